//! How much of what servers can do is used, how soon, and what it costs.

use std::{num::NonZeroU32, time::Duration};

use super::{
    super::PoolSettings,
    world::{Dice, Host, World},
};

/// Resolvers as lists have them: limits from 10 to 5,000 a second, 5 to 200 ms away, one in ten dead.
fn list(count: usize, dead: f64, lossy: f64, seed: u64) -> Vec<Host> {
    let mut dice = Dice::new(seed);
    let host = |dice: &mut Dice| {
        let cap = dice.log_uniform(10.0, 5_000.0);
        let rtt = Duration::from_secs_f64(dice.log_uniform(0.005, 0.2));
        let mut host = Host::new(cap, rtt);
        if dice.chance(lossy) {
            host.loss = 0.05;
        }
        if dice.chance(dead) { host.dead() } else { host }
    };
    (0..count).map(|_| host(&mut dice)).collect()
}

/// Answers a second that the living can give: what gets through to them, up to their limits, and back.
fn capacity(hosts: &[Host]) -> f64 {
    let living = hosts.iter().filter(|host| !host.is_dead(u64::MAX / 2));
    living.map(|host| host.cap * (1.0 - host.loss)).sum()
}

#[test]
fn a_thousand_hidden_limits_are_found_within_ten_seconds() {
    let hosts = list(1_000, 0.1, 0.2, 7);
    let all = capacity(&hosts);
    let mut world = World::new(hosts, PoolSettings::default(), 1);
    for second in 1..=10 {
        world.mark();
        world.run(Duration::from_secs(1));
        let (rate, loss) = world.since_mark();
        println!(
            "second {second}: {:.1} % of capacity, {:.1} % lost",
            rate / all * 100.0,
            loss * 100.0
        );
    }
    let dead: Vec<u64> =
        world.hosts.iter().filter(|host| host.is_dead(world.now)).map(|host| host.asked).collect();
    world.mark();
    world.run(Duration::from_secs(10));
    let (rate, loss) = world.since_mark();
    let on_the_way: f64 = {
        let lost = |host: &Host| host.cap * (1.0 - (1.0 - host.loss).powi(2));
        let living = || world.hosts.iter().filter(|host| !host.is_dead(world.now));
        living().map(lost).sum::<f64>() / living().map(|host| host.cap).sum::<f64>()
    };
    println!(
        "then: {:.1} % of capacity, {:.2} % lost, {:.2} % on the way",
        rate / all * 100.0,
        loss * 100.0,
        on_the_way * 100.0
    );
    assert!(rate >= 0.9 * all, "{rate} of {all}");
    assert!(loss - on_the_way <= 0.02, "{loss} lost, {on_the_way} of it on the way");
    assert!(dead.iter().all(|asked| *asked <= 11), "{dead:?}");
}

#[test]
fn a_list_with_nine_of_ten_dead_does_not_lower_the_others() {
    let hosts = list(1_000, 0.9, 0.0, 11);
    let all = capacity(&hosts);
    let mut world = World::new(hosts, PoolSettings::default(), 1);
    world.run(Duration::from_secs(10));
    world.mark();
    world.run(Duration::from_secs(5));
    let (rate, loss) = world.since_mark();
    println!("{:.1} % of capacity, {:.2} % lost", rate / all * 100.0, loss * 100.0);
    assert!(rate >= 0.9 * all, "{rate} of {all}");
    let seconds = world.now as f64 / 1e9;
    for host in world.hosts.iter().filter(|host| host.is_dead(world.now)) {
        assert!(host.asked as f64 <= seconds + 1.0, "{} in {seconds} s", host.asked);
    }
}

/// What a benchmark has: hosts next door without limits.
#[test]
fn one_server_next_door_is_at_full_speed_within_a_second() {
    let mut world = World::new(
        vec![Host::new(f64::INFINITY, Duration::from_micros(200))],
        PoolSettings::default(),
        1,
    );
    world.set_demand(100_000.0);
    world.run(Duration::from_millis(500));
    world.mark();
    world.run(Duration::from_millis(500));
    let (rate, loss) = world.since_mark();
    println!("{rate:.0} a second in the second half second");
    assert!(rate > 99_000.0, "{rate}");
    assert_eq!(loss, 0.0);
}

#[test]
fn a_hundred_servers_next_door_share_a_million_a_second_within_a_quarter_of_a_second() {
    let hosts = vec![Host::new(f64::INFINITY, Duration::from_micros(200)); 100];
    let mut world = World::new(hosts, PoolSettings::default(), 1);
    world.set_demand(1_000_000.0);
    world.run(Duration::from_millis(250));
    world.mark();
    world.run(Duration::from_millis(250));
    let (rate, _) = world.since_mark();
    println!("{rate:.0} a second");
    assert!(rate > 990_000.0, "{rate}");
}

/// 5 % each way, and no limit: never taken for a full server.
#[test]
fn a_lossy_path_is_not_taken_for_a_full_server() {
    for seed in 0..10 {
        let mut host = Host::new(f64::INFINITY, Duration::from_millis(30));
        host.loss = 0.05;
        let mut world = World::new(vec![host], PoolSettings::default(), seed);
        world.set_demand(5_000.0);
        world.run(Duration::from_secs(10));
        world.mark();
        world.run(Duration::from_secs(10));
        let (rate, loss) = world.since_mark();
        println!("{rate:.0} a second, {:.1} % lost", loss * 100.0);
        assert!(rate >= 0.95 * 5_000.0 * 0.95 * 0.95, "{rate} with seed {seed}");
    }
}

/// A lossy path to a full server: both are found.
#[test]
fn the_limit_behind_a_lossy_path_is_found() {
    let runs = (0..40).map(|seed| {
        let mut host = Host::new(1_000.0, Duration::from_millis(30));
        host.loss = 0.05;
        let mut world = World::new(vec![host], PoolSettings::default(), seed);
        world.run(Duration::from_secs(10));
        world.mark();
        world.run(Duration::from_secs(20));
        world.since_mark()
    });
    let runs: Vec<(f64, f64)> = runs.collect();
    let mean = runs.iter().map(|(rate, _)| rate).sum::<f64>() / runs.len() as f64;
    let least = runs.iter().map(|(rate, _)| *rate).fold(f64::INFINITY, f64::min);
    let loss = runs.iter().map(|(_, loss)| *loss).fold(0.0, f64::max);
    println!("{mean:.0} a second, {least:.0} at least, {:.1} % lost at most", loss * 100.0);
    assert!(mean >= 0.95 * 950.0 && least >= 0.75 * 950.0, "{mean}, {least} at least");
    assert!(loss <= 0.0975 + 0.05, "{loss}");
}

/// A third of the names take one to two seconds, as cold ones do: nothing is lost, and the rate must not fall for it.
#[test]
fn a_lossless_path_is_never_throttled_below_what_the_server_takes() {
    let mut host = Host::new(f64::INFINITY, Duration::from_millis(20));
    host.slow = (0.3, Duration::from_millis(1_500));
    let mut world = World::new(vec![host], PoolSettings::default(), 3);
    world.set_demand(20_000.0);
    world.run(Duration::from_secs(15));
    world.mark();
    world.run(Duration::from_secs(10));
    let (rate, loss) = world.since_mark();
    println!("{rate:.0} a second, {:.2} % lost", loss * 100.0);
    assert!(rate >= 19_800.0, "{rate}");
}

#[test]
fn the_limit_that_was_set_holds_in_any_second_whatever_the_server_takes() {
    let hosts = vec![Host::new(f64::INFINITY, Duration::from_millis(1)); 3];
    let settings = PoolSettings {
        most_per_second_each: NonZeroU32::new(300),
        threads: NonZeroU32::new(3).unwrap(),
        ..PoolSettings::default()
    };
    let mut world = World::new(hosts, settings, 1);
    for _ in 0..10 {
        world.mark();
        world.run(Duration::from_secs(1));
        for host in &world.hosts {
            assert!(host.late_asked <= 102, "{}", host.late_asked);
        }
    }
    let asked: u64 = world.hosts.iter().map(|host| host.late_asked).sum();
    assert!(asked >= 295, "{asked}");
}

/// Less is asked than all could take: the slow one is not run at its limit.
#[test]
fn a_small_demand_is_shared_by_what_each_takes() {
    let hosts = vec![
        Host::new(50.0, Duration::from_millis(10)),
        Host::new(1_000.0, Duration::from_millis(10)),
        Host::new(1_000.0, Duration::from_millis(10)),
    ];
    let mut world = World::new(hosts, PoolSettings::default(), 1);
    world.run(Duration::from_secs(10));
    world.set_demand(500.0);
    world.run(Duration::from_secs(1));
    world.mark();
    world.run(Duration::from_secs(10));
    let (rate, loss) = world.since_mark();
    let slow = world.hosts[0].late_asked;
    println!("{rate:.0} a second, {:.2} % lost, {slow} of them at the slow one", loss * 100.0);
    assert!(loss < 0.001, "{loss}");
    // 50 of 2,050 of 5,000.
    assert!((60..240).contains(&slow), "{slow}");
}
