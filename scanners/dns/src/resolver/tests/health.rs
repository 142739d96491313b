//! Servers that die, come back, refuse, fail, and are to be avoided.

use std::{net::SocketAddr, num::NonZeroU32, time::Duration};

use mrpf_engine::time::Instant;

use super::{
    super::{Census, Pick, Pool, PoolSettings, ServerId, Turn, Why, server::Server},
    world::{Dice, Host, Says, World, addr},
};

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn picked(pick: Pick) -> ServerId {
    match pick {
        Pick::Server(id) => id,
        other => panic!("{other:?}"),
    }
}

/// A pool of `count` servers, all of which have answered once.
fn awake(count: usize) -> Pool {
    let addrs: Vec<SocketAddr> = (0..count).map(addr).collect();
    let mut pool = Pool::new(&addrs, PoolSettings::default(), 1);
    for _ in 0..count {
        let id = picked(pool.pick(at(10), &[]));
        pool.sent(id, at(10));
    }
    for number in 0..count as u32 {
        pool.answered(ServerId(number), at(20), Some(Duration::from_millis(10)));
    }
    pool
}

#[test]
fn a_pool_without_servers_is_dead() {
    let mut pool = Pool::new(&[], PoolSettings::default(), 1);
    assert_eq!(pool.pick(at(0), &[]), Pick::Dead);
}

#[test]
fn a_server_is_asked_once_until_it_answers() {
    let mut pool = Pool::new(&[addr(0)], PoolSettings::default(), 1);
    let id = picked(pool.pick(at(10), &[]));
    pool.sent(id, at(10));
    assert_eq!(pool.pick(at(11), &[]), Pick::Wait(at(1_010)));
    pool.answered(id, at(20), Some(Duration::from_millis(10)));
    assert_eq!(pool.pick(at(20), &[]), Pick::Server(id));
}

#[test]
fn those_to_avoid_are_passed_over_while_others_are_there() {
    let mut pool = awake(3);
    let first = picked(pool.pick(at(20), &[]));
    let second = picked(pool.pick(at(20), &[first]));
    let third = picked(pool.pick(at(20), &[first, second]));
    assert!(first != second && first != third && second != third);
    // Better one of them than nobody.
    assert_eq!(pool.pick(at(20), &[first, second, third]), Pick::Server(first));
    // Others are there, but all too slow to wait for: at 1 a second, not before the next one.
    let settings =
        PoolSettings { most_per_second_each: NonZeroU32::new(1), ..PoolSettings::default() };
    let mut pool = Pool::new(&[addr(0), addr(1)], settings, 1);
    for _ in 0..2 {
        let id = picked(pool.pick(at(10), &[]));
        pool.sent(id, at(10));
        pool.answered(id, at(11), Some(Duration::from_millis(1)));
    }
    let one = picked(pool.pick(at(20), &[]));
    let other = picked(pool.pick(at(20), &[one]));
    pool.sent(other, at(20));
    assert_eq!(pool.pick(at(21), &[one]), Pick::Server(one));
}

/// Found where it hung: the only lookups left had asked the one server that was due, and its turn never passed.
#[test]
fn who_waits_for_another_server_does_not_wait_for_others_to_ask() {
    for is_source_idle in [false, true] {
        let settings =
            PoolSettings { most_per_second_each: NonZeroU32::new(10), ..PoolSettings::default() };
        let mut pool = Pool::new(&[addr(0), addr(1)], settings, 1);
        for _ in 0..2 {
            let id = picked(pool.pick(at(10), &[]));
            pool.sent(id, at(10));
            pool.answered(id, at(11), Some(Duration::from_millis(1)));
        }
        let one = picked(pool.pick(at(200), &[]));
        let other = picked(pool.pick(at(200), &[one]));
        pool.sent(other, at(200));
        let mut moments = 200..400;
        let asked = moments.find(|millis| {
            if is_source_idle {
                // Looked at whether there is something to ask, and there was not.
                pool.pick(at(*millis), &[]);
            }
            match pool.pick(at(*millis), &[one]) {
                Pick::Server(id) => id == other || panic!("{id:?}"),
                Pick::Wait(until) => until <= at(*millis) && panic!("waits for what was"),
                Pick::Dead => panic!("dead"),
            }
        });
        // Its next turn is due after 100 ms, and no sooner.
        assert!(matches!(asked, Some(295..=310)), "{asked:?}");
    }
}

#[test]
fn servers_that_die_are_left_and_come_back() {
    let host = |cap| Host::new(cap, Duration::from_millis(20));
    let mut hosts = vec![host(f64::INFINITY), host(3_000.0)];
    hosts[0].dead = Duration::from_secs(5)..Duration::from_secs(60);
    let mut world = World::new(hosts, PoolSettings::default(), 1);
    world.set_demand(2_000.0);
    world.run(Duration::from_secs(5));
    world.mark();
    world.run(Duration::from_secs(2));
    println!("{} lost until it was left", world.hosts[0].late_asked);
    assert!(world.hosts[0].late_asked < 600, "{}", world.hosts[0].late_asked);
    world.mark();
    world.run(Duration::from_secs(50));
    // A probe every 8 seconds at last, and the other one takes all.
    assert!(world.hosts[0].late_asked <= 12, "{}", world.hosts[0].late_asked);
    assert!(world.hosts[1].late_answered > 49 * 2_000, "{}", world.hosts[1].late_answered);
    // Once it is back it takes what the other one cannot, as soon as there is more to ask.
    world.run(Duration::from_secs(15));
    world.set_demand(10_000.0);
    world.run(Duration::from_secs(2));
    world.mark();
    world.run(Duration::from_secs(1));
    assert!(world.hosts[0].late_answered > 6_900, "{}", world.hosts[0].late_answered);
    assert!(world.since_mark().0 > 9_800.0, "{:?}", world.since_mark());
}

/// The network itself is away for three seconds: nobody is dead, and all goes on.
#[test]
fn an_outage_of_all_is_survived() {
    let mut hosts = vec![Host::new(1_000.0, Duration::from_millis(20)); 20];
    for host in &mut hosts {
        host.dead = Duration::from_secs(10)..Duration::from_secs(13);
    }
    let mut world = World::new(hosts, PoolSettings::default(), 1);
    world.run(Duration::from_secs(22));
    world.mark();
    world.run(Duration::from_secs(5));
    let (rate, _) = world.since_mark();
    println!("{rate:.0} of 20,000 a second");
    assert_eq!(world.dead_picks, 0);
    assert!(rate > 18_000.0, "{rate}");
}

#[test]
fn a_list_without_any_life_is_dead_after_a_while_and_not_before() {
    let hosts = vec![Host::new(1.0, Duration::from_millis(20)).dead(); 10];
    let mut world = World::new(hosts, PoolSettings::default(), 1);
    world.run(Duration::from_secs(29));
    assert_eq!(world.dead_picks, 0);
    world.run(Duration::from_secs(2));
    assert!(world.dead_picks > 0);
    assert_eq!(world.pool.census(), Census { new: 0, alive: 0, out: 10, rate: 0 });
}

/// One that refuses all while others answer is left; where all refuse, it is about the names.
#[test]
fn refusals_are_about_the_server_only_where_it_alone_refuses() {
    let host = || Host::new(f64::INFINITY, Duration::from_millis(10));
    for says in [Says::Refused, Says::ServFail] {
        let mut hosts = vec![host(); 10];
        hosts[0].says = says;
        let mut world = World::new(hosts, PoolSettings::default(), 1);
        world.set_demand(1_000.0);
        world.run(Duration::from_secs(10));
        world.mark();
        world.run(Duration::from_secs(10));
        assert!(world.hosts[0].late_asked <= 12, "{says:?}: {}", world.hosts[0].late_asked);
    }
    // All names are broken: nobody is left for that.
    let mut hosts = vec![host(); 3];
    hosts.iter_mut().for_each(|host| host.says = Says::ServFail);
    let mut world = World::new(hosts, PoolSettings::default(), 1);
    world.set_demand(1_000.0);
    world.run(Duration::from_secs(10));
    world.mark();
    world.run(Duration::from_secs(5));
    assert!(world.since_mark().0 > 990.0, "{:?}", world.since_mark());
}

#[test]
fn what_a_server_cannot_do_is_remembered() {
    let mut pool = awake(1);
    let id = ServerId(0);
    assert!(pool.speaks_edns(id) && pool.keeps_case(id));
    let mut fail = |why| {
        pool.sent(id, at(30));
        pool.failed(id, at(40), why);
        (pool.speaks_edns(id), pool.keeps_case(id))
    };
    assert_eq!(fail(Why::CaseLost), (true, true));
    assert_eq!(fail(Why::CaseLost), (true, false));
    assert_eq!(fail(Why::NoEdns), (false, false));
    pool.answered(id, at(50), None);
    assert!(!pool.keeps_case(id) && !pool.speaks_edns(id));
}

#[test]
fn timeouts_follow_the_round_trip_within_their_limits() {
    let mut pool = awake(1);
    let id = ServerId(0);
    assert_eq!(pool.timeout(id), PoolSettings::default().timeout_floor);
    for _ in 0..200 {
        pool.answered(id, at(30), Some(Duration::from_millis(900)));
    }
    let slow = pool.timeout(id);
    assert!((900..1_200).contains(&slow.as_millis()), "{slow:?}");
    // What fails may be slow rather than lost: each time in a row there is twice as much time.
    pool.failed(id, at(40), Why::Timeout);
    assert_eq!(pool.timeout(id).as_millis() / 10, slow.as_millis() * 2 / 10);
    (0..200).for_each(|_| pool.late(id, at(50), Duration::from_secs(20)));
    assert_eq!(pool.timeout(id), PoolSettings::default().timeout_ceiling);
}

#[test]
fn direct_servers_are_bounded_and_forgotten_when_idle() {
    let settings = PoolSettings { most_added: 100, ..PoolSettings::default() };
    let mut pool = Pool::new(&[], settings, 1);
    let ids: Vec<ServerId> = (0..100).map(|n| pool.add(addr(n), at(1)).unwrap()).collect();
    assert_eq!(pool.add(addr(5), at(1)), Some(ids[5]));
    for id in &ids {
        assert_eq!(pool.may_ask(*id, at(1)), Turn::Now);
        pool.sent(*id, at(1));
        assert_eq!(pool.may_ask(*id, at(2)), Turn::Wait(at(1_001)));
    }
    assert_eq!(pool.add(addr(100), at(2)), None);
    pool.answered(ids[3], at(3), Some(Duration::from_millis(2)));
    let new: Vec<_> = (0..3).filter_map(|_| pool.add(addr(100), at(4))).collect();
    assert_eq!(new.first(), Some(&ids[3]));
    assert_eq!(pool.addr(ids[3]), addr(100));
}

#[test]
fn a_direct_server_that_never_answers_is_given_up_and_tried_again() {
    let mut pool = Pool::new(&[], PoolSettings::default(), 1);
    let id = pool.add(addr(0), at(0)).unwrap();
    let mut now = 0;
    let mut asked = 0;
    while now < 60_000 {
        match pool.may_ask(id, at(now)) {
            Turn::Now => {
                asked += 1;
                pool.sent(id, at(now));
                pool.failed(id, at(now + 900), Why::Timeout);
            }
            Turn::Wait(_) => assert!(now < 5_000, "still waits at {now} ms"),
            Turn::Dead(until) => assert!(until > at(now)),
        }
        now += 1;
    }
    assert!((8..=12).contains(&asked), "{asked}");
    pool.sent(id, at(now));
    pool.answered(id, at(now + 20), Some(Duration::from_millis(20)));
    assert_eq!(pool.may_ask(id, at(now + 20)), Turn::Now);
}

#[test]
fn a_server_takes_little_memory() {
    println!("{} octets a server", size_of::<Server>());
    let addrs: Vec<SocketAddr> = (0..65_536).map(addr).collect();
    let used = allocation_counter::measure(|| {
        let pool = Pool::new(&addrs, PoolSettings::default(), 1);
        assert_eq!(pool.census().new, 65_536);
    });
    println!("{} octets for 65,536 servers", used.bytes_max);
    assert!(used.bytes_max < 16 << 20, "{used:?}");
}

/// A large pool costs what a small one costs, but for the depth of its heap, and asks for no memory while it is asked.
#[test]
fn nothing_allocates_while_servers_are_asked() {
    let mut pool = awake(10_000);
    let mut dice = Dice::new(1);
    // Both queues know all numbers from the start on.
    let used = allocation_counter::measure(|| {
        for n in 0..200_000_u64 {
            let now = Instant::from_nanos(30_000_000 + n * 1_000);
            if let Pick::Server(id) = pool.pick(now, &[]) {
                pool.sent(id, now);
                if dice.chance(0.9) {
                    pool.answered(id, now, Some(Duration::from_micros(100)));
                }
            }
        }
    });
    assert_eq!(used.count_total, 0, "{used:?}");
}
