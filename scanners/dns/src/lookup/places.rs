//! Where an answer belongs, without a table: source port and id of a query are its slot and its generation, permuted.
//!
//! ```text
//!  slot, generation --> generation * slots + slot --> permuted --> port * 65,536 + id --> the query
//!                                                        ^                                    | the network
//!  slot, age        <-- apart again                <-- inverse <-- port, id           <-- the answer
//! ```
//!
//! Each query of a slot takes the next generation, so that an answer tells which attempt it answers; and one that comes after its
//! lookup is over, or again, bears a generation that is past. Generations wrap: what then looks like a present one still has to
//! come from the resolver that this attempt asked and to repeat its question.
//!
//! # Why nobody can guess
//!
//! The order is a generalised Feistel network (J. Black and P. Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002)
//! of six rounds whose function is SipHash-1-3 under a key that the operating system gave for this scan. Whoever sees some
//! of our queries, as each resolver does, knows nothing of the others. The permutation of the targets, which is two
//! multiplications a round, would not do here: there the order is all that counts, and its seed is told.

use siphasher::sip::SipHasher13;

/// Source ports of one thread, one after the other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ports {
    first: u16,
    count: u16,
}

impl Ports {
    /// `count` ports from `first` up; `None` when there are none, or fewer than that.
    pub fn new(first: u16, count: u16) -> Option<Self> {
        let fits = u32::from(first) + u32::from(count) <= 1 << 16;
        (count > 0 && fits).then_some(Self { first, count })
    }

    /// Whether `port` is one of them.
    #[inline]
    pub fn contains(self, port: u16) -> bool {
        port.wrapping_sub(self.first) < self.count
    }

    /// The first of them.
    pub fn first(self) -> u16 {
        self.first
    }

    /// How many there are.
    pub fn count(self) -> u16 {
        self.count
    }
}

/// Rounds of the network: enough for halves of twelve bits, however much of it someone saw (J. Patarin, "Security of random
/// Feistel schemes with 5 or more rounds", CRYPTO 2004).
const ROUNDS: u32 = 6;
/// How many generations a slot has at least: the attempts that are taken, and as many that are known to be late.
const LEAST_GENERATIONS: u32 = 16;

/// See the [module](self).
#[derive(Clone)]
pub(super) struct Places {
    ports: Ports,
    slots: u32,
    generations: u32,
    /// The sizes of the halves: `a * b` is at least the number of places.
    a: u32,
    b: u32,
    hash: SipHasher13,
}

/// What a port and an id stand for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) slot: u32,
    /// Modulo the number of generations.
    generation: u32,
}

impl Places {
    /// Places for `slots` slots; `None` when the ports are too few to tell their queries apart.
    pub(super) fn new(ports: Ports, slots: u32, key: (u64, u64)) -> Option<Self> {
        let places = u32::from(ports.count) << 16;
        let generations = places.checked_div(slots).filter(|n| *n >= LEAST_GENERATIONS)?;
        let root = places.isqrt();
        let a = if root * root == places { root } else { root + 1 };
        let hash = SipHasher13::new_with_keys(key.0, key.1);
        Some(Self { ports, slots, generations, a, b: places.div_ceil(a), hash })
    }

    /// The fewest ports that do for `slots` slots; `None` when all are too few.
    pub(super) fn least_ports(slots: u32) -> Option<u16> {
        u16::try_from((u64::from(slots) * u64::from(LEAST_GENERATIONS)).div_ceil(1 << 16)).ok()
    }

    /// The ports.
    pub(super) fn ports(&self) -> Ports {
        self.ports
    }

    /// The source port and the id of query `generation` of `slot`, which is below the number of slots.
    #[inline]
    pub(super) fn of(&self, slot: u32, generation: u32) -> (u16, u16) {
        let mut x = generation % self.generations * self.slots + slot;
        loop {
            x = self.forward(x);
            // What lies beyond the last place goes round once more (cycle walking), as rarely as the halves are uneven.
            if let Some(port) = self.port_at(x) {
                return (port, x as u16);
            }
        }
    }

    /// What the port and the id of a datagram stand for; `None` for what no query of ours ever has.
    #[inline]
    pub(super) fn find(&self, port: u16, id: u16) -> Option<Place> {
        let mut x = u32::from(port.checked_sub(self.ports.first)?) << 16 | u32::from(id);
        self.port_at(x)?;
        loop {
            x = self.inverse(x);
            if self.port_at(x).is_some() {
                break;
            }
        }
        let (generation, slot) = (x / self.slots, x % self.slots);
        (generation < self.generations).then_some(Place { slot, generation })
    }

    /// How many queries of its slot lie between `place` and the latest, `generation`.
    #[inline]
    pub(super) fn age(&self, place: Place, generation: u32) -> u32 {
        let latest = generation % self.generations;
        let age = latest + self.generations - place.generation;
        if age >= self.generations { age - self.generations } else { age }
    }

    #[inline]
    fn port_at(&self, x: u32) -> Option<u16> {
        let at = (x >> 16) as u16;
        (x < u32::from(self.ports.count) << 16).then(|| self.ports.first + at)
    }

    #[inline]
    fn forward(&self, x: u32) -> u32 {
        let (mut r, mut l) = (x / self.a, x % self.a);
        for round in (0..ROUNDS).step_by(2) {
            r = add(r, self.mixed(round, l, self.b), self.b);
            l = add(l, self.mixed(round + 1, r, self.a), self.a);
        }
        r * self.a + l
    }

    #[inline]
    fn inverse(&self, x: u32) -> u32 {
        let (mut r, mut l) = (x / self.a, x % self.a);
        for round in (0..ROUNDS).step_by(2).rev() {
            l = subtract(l, self.mixed(round + 1, r, self.a), self.a);
            r = subtract(r, self.mixed(round, l, self.b), self.b);
        }
        r * self.a + l
    }

    /// The function of a round, scaled to `0..size`.
    #[inline]
    fn mixed(&self, round: u32, half: u32, size: u32) -> u32 {
        let input = (u64::from(round) << 32 | u64::from(half)).to_le_bytes();
        (((self.hash.hash(&input) >> 32) * u64::from(size)) >> 32) as u32
    }
}

/// `x + y` modulo `size`, for both below a `size` of at most 2^16.
#[inline]
fn add(x: u32, y: u32, size: u32) -> u32 {
    let sum = x + y;
    sum.min(sum.wrapping_sub(size))
}

/// `x - y` modulo `size`; as [`add`].
#[inline]
fn subtract(x: u32, y: u32, size: u32) -> u32 {
    let difference = x.wrapping_sub(y);
    difference.min(difference.wrapping_add(size))
}

impl std::fmt::Debug for Places {
    /// Never shows the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Places")
            .field("ports", &self.ports)
            .field("slots", &self.slots)
            .field("generations", &self.generations)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: (u64, u64) = (1, 2);

    #[test]
    fn every_query_has_a_place_of_its_own_and_is_found_there() {
        for (count, slots) in [(1, 4_096), (3, 12_288), (5, 1_000), (2, 1), (7, 28_671)] {
            let ports = Ports::new(40_000, count).unwrap();
            let places = Places::new(ports, slots, KEY).unwrap();
            let mut seen = vec![false; usize::from(count) << 16];
            for generation in 0..places.generations {
                for slot in 0..slots {
                    let (port, id) = places.of(slot, generation);
                    assert!(ports.contains(port));
                    let at = usize::from(port - 40_000) << 16 | usize::from(id);
                    assert!(!std::mem::replace(&mut seen[at], true), "{port} {id} again");
                    let place = places.find(port, id).unwrap();
                    assert_eq!((place.slot, places.age(place, generation)), (slot, 0));
                }
            }
            let taken = seen.iter().filter(|taken| **taken).count();
            assert_eq!(taken, (places.generations * slots) as usize);
            for (at, _) in seen.iter().enumerate().filter(|(_, taken)| !**taken) {
                assert_eq!(places.find(40_000 + (at >> 16) as u16, at as u16), None);
            }
        }
    }

    proptest! {
        #[test]
        fn an_age_is_how_many_queries_ago(
            first in 1_u16..60_000, count in 1_u16..5_000, slots in 1_u32..4_096, slot: u32, latest: u32,
            ago in 0_u32..16, key: (u64, u64),
        ) {
            let places = Places::new(Ports::new(first, count).unwrap(), slots, key).unwrap();
            // Where the count of queries wraps nothing is promised, some weeks into a scan.
            let latest = latest.max(ago);
            let (port, id) = places.of(slot % slots, latest - ago);
            let place = places.find(port, id).unwrap();
            prop_assert_eq!(place.slot, slot % slots);
            prop_assert_eq!(places.age(place, latest), ago);
        }

        #[test]
        fn other_ports_are_nobodys(first in 100_u16..60_000, count in 1_u16..5_000, port: u16, id: u16) {
            let ports = Ports::new(first, count).unwrap();
            let places = Places::new(ports, 4_096, KEY).unwrap();
            prop_assert!(ports.contains(port) || places.find(port, id).is_none());
        }
    }

    /// Queries of one slot, and of neighbouring slots, under two keys: over 64 classes of port and of id all are as frequent as
    /// chance has it, and so are the differences from one to the next.
    #[test]
    fn ports_and_ids_look_random() {
        for key in [(1, 2), (3, 4)] {
            let places = Places::new(Ports::new(1_024, 4_096).unwrap(), 1 << 17, key).unwrap();
            let by_generation = (0..2_000).map(|generation| places.of(5, generation));
            let by_slot = (0..30_000).map(|slot| places.of(slot, 7));
            for places in [by_generation.collect::<Vec<_>>(), by_slot.collect()] {
                let ports = || places.iter().map(|(port, _)| u32::from(port - 1_024) >> 6);
                let ids = || places.iter().map(|(_, id)| u32::from(*id) >> 10);
                let steps = places
                    .windows(2)
                    .map(|pair| u32::from(pair[1].1.wrapping_sub(pair[0].1)) >> 10);
                check_even(ports());
                check_even(ids());
                check_even(steps);
            }
        }
    }

    #[track_caller]
    fn check_even(classes: impl Iterator<Item = u32>) {
        let mut counts = [0_f64; 64];
        classes.for_each(|class| counts[class as usize] += 1.0);
        let expected = counts.iter().sum::<f64>() / 64.0;
        let chi: f64 = counts.iter().map(|n| (n - expected).powi(2) / expected).sum();
        assert!((30.0..115.0).contains(&chi), "chi square of 63 degrees: {chi}");
    }

    #[test]
    fn too_few_ports_are_refused() {
        let ports = |count| Ports::new(1_024, count).unwrap();
        assert!(Places::new(ports(31), 1 << 17, KEY).is_none());
        assert!(Places::new(ports(32), 1 << 17, KEY).is_some());
        assert_eq!(Places::least_ports(1 << 17), Some(32));
        assert_eq!(Places::least_ports(u32::MAX), None);
        assert!(Places::new(ports(32), 0, KEY).is_none());
        assert_eq!(Ports::new(65_535, 2), None);
        assert_eq!(Ports::new(65_535, 0), None);
        assert!(Ports::new(65_535, 1).unwrap().contains(65_535));
    }
}
