//! Many resolvers, each with a limit of its own that nobody knows.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use mrpf_dns::lookup::Settings;
use mrpf_engine::{
    link::sim::{
        Faults, Network,
        hosts::{Heard, Said},
    },
    time::Instant,
};

use super::world::{Draws, Numbered, Plan, World, hosts, resolver, resolvers, truthful};

const RESOLVERS: u16 = 1_000;
const MS: Duration = Duration::from_millis(1);

/// The highest limit: the figure of the goal takes a minute.
fn highest() -> f64 {
    if std::env::var_os("MRPF_FULL").is_some() { 5_000.0 } else { 1_000.0 }
}

/// A resolver answers what its bucket has a token for, and drops the rest; the bucket holds a twentieth of a second.
#[derive(Clone, Copy, Debug)]
struct Limit {
    per_second: f64,
    tokens: f64,
    at: Instant,
}

impl Limit {
    fn takes(&mut self, now: Instant) -> bool {
        let most = (self.per_second / 20.0).max(2.0);
        let more = now.since(self.at).as_secs_f64() * self.per_second;
        (self.tokens, self.at) = ((self.tokens + more).min(most), now);
        let takes = self.tokens >= 1.0;
        self.tokens -= f64::from(u8::from(takes));
        takes
    }
}

/// Limits from 10 to the highest, evenly over their logarithms; every tenth resolver is dead.
fn limits() -> HashMap<SocketAddr, Limit> {
    let mut draws = Draws(77);
    (0..RESOLVERS)
        .filter(|number| number % 10 != 3)
        .map(|number| {
            let share = draws.next() as f64 / u64::MAX as f64;
            let per_second = 10.0 * (highest() / 10.0).powf(share);
            (resolver(number), Limit { per_second, tokens: 1.0, at: Instant::START })
        })
        .collect()
}

#[test]
fn within_ten_seconds_nine_tenths_of_the_capacity_is_used() {
    let mut limits = limits();
    let capacity: f64 = limits.values().map(|limit| limit.per_second).sum();
    let dead = Arc::new(Mutex::new(HashMap::<SocketAddr, u64>::new()));
    let (dead_too, mut draws) = (Arc::clone(&dead), Draws(3));
    let answer = move |heard: &Heard<'_>| match limits.get_mut(&heard.to) {
        None => {
            *dead_too.lock().unwrap().entry(heard.to).or_default() += 1;
            vec![]
        }
        Some(limit) => {
            let delay = MS * (5 + draws.next() % 60) as u32;
            let said = || Said::datagram(truthful(heard.payload)).after(delay);
            limit.takes(heard.now).then(said).into_iter().collect()
        }
    };
    let network = Network::new(3, hosts(answer), Faults::default());
    let settings = Settings { slots: 1 << 17, retries: 20, ..Plan::default().settings };
    let plan = Plan { settings, rate: "2M", resolvers: resolvers(RESOLVERS), ..Plan::default() };
    // More than there is time for.
    let mut world = World::new(network, Numbered::new(u64::MAX), plan);
    let mut by_second = Vec::<(u64, u64)>::new();
    let second = Duration::from_secs(1);
    while world.network.now() < Instant::START + 11 * second {
        assert!(world.step());
        while world.network.now() >= Instant::START + second * (by_second.len() as u32 + 1) {
            let counted = world.tally.counted();
            by_second.push((counted.ends(), counted.queries));
        }
    }
    let ends = |at: usize| by_second[at].0 - by_second[at - 1].0;
    let queries = by_second[10].1 - by_second[9].1;
    println!(
        "capacity {capacity:.0}/s, ends by second {:?}",
        (1..11).map(ends).collect::<Vec<_>>()
    );
    assert!(ends(10) as f64 >= 0.9 * capacity, "{} of {capacity:.0} a second", ends(10));
    // What is asked beyond that is lost: little.
    assert!(queries as f64 <= 1.1 * ends(10) as f64, "{queries} queries for {} ends", ends(10));
    let dead = dead.lock().unwrap();
    assert_eq!(dead.len(), usize::from(RESOLVERS) / 10, "each is tried");
    assert!(dead.values().all(|asked| *asked <= 11), "{:?}", dead.values().max());
}
