//! Slows down while an allowance is exceeded, and goes back up when it no longer is.
//!
//! Once a second: any growth of a counter that our sending can move halves the rate, a second without growth adds a
//! twentieth of the full rate (AIMD, as the pace of `--rate max`). Half of what: of what really left in that second
//! where that is less than what was allowed, or the first few halvings would change nothing.
//!
//! What counts is [packets](Allowance::pps_exceeded), [outbound bits](Allowance::bw_out_exceeded) and
//! [connections](Allowance::conntrack_exceeded). Inbound bits and what goes to the services of the link are not ours.

use std::{num::NonZeroU64, time::Duration};

use super::Allowance;
use crate::{governor::Rate, time::Instant};

/// How often it looks: ena asks its device for the counters, which takes no less than a millisecond.
const INTERVAL: Duration = Duration::from_secs(1);
/// The slowest it makes a scan, in frames a second, or what was asked for where that is less: below this the allowance is
/// exceeded by somebody else.
const FLOOR: u64 = 100;
/// A clean second adds this part of the full rate.
const STEPS: u64 = 20;

/// Decides by the counters of an interface how fast a scan may send. See the module.
#[derive(Clone, Debug)]
pub struct Throttle {
    asked: Rate,
    /// The rate in force; `None` while it is the one that was asked for.
    slowed: Option<Slowed>,
    last: Option<Look>,
    exceeded: Allowance,
    halvings: u64,
}

#[derive(Clone, Copy, Debug)]
struct Slowed {
    rate: u64,
    /// Where it goes back to: the rate asked for, or, without one, what left when it was first too much.
    full: u64,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    at: Instant,
    allowance: Allowance,
    sent: u64,
}

impl Throttle {
    /// For a scan that was asked to send at `asked`.
    pub fn new(asked: Rate) -> Self {
        Self { asked, slowed: None, last: None, exceeded: Allowance::default(), halvings: 0 }
    }

    /// When [`Self::observe`] next does something.
    pub fn next_look(&self) -> Instant {
        self.last.map_or(Instant::START, |last| last.at + INTERVAL)
    }

    /// Takes the counters as of `now`, and how many frames were sent since the scan began; gives the rate that the whole
    /// scan may send at from now on, when it changes. Does nothing before [`Self::next_look`]. The first look changes
    /// nothing: what was exceeded before it was not our doing.
    pub fn observe(&mut self, now: Instant, allowance: &Allowance, sent: u64) -> Option<Rate> {
        if now < self.next_look() {
            return None;
        }
        let look = Look { at: now, allowance: *allowance, sent };
        let last = self.last.replace(look)?;
        let grown = growth(&last.allowance, allowance);
        self.exceeded = sum(&self.exceeded, &grown);
        let ours = [grown.pps_exceeded, grown.bw_out_exceeded, grown.conntrack_exceeded];
        if ours.into_iter().flatten().any(|grown| grown > 0) {
            let left = sent.saturating_sub(last.sent) as f64;
            let seconds = now.since(last.at).as_secs_f64().max(INTERVAL.as_secs_f64());
            self.halve((left / seconds) as u64)
        } else {
            self.add()
        }
    }

    /// What was exceeded since the first look; `conntrack_available` is the latest.
    pub fn exceeded(&self) -> Allowance {
        let conntrack_available = self.last.and_then(|last| last.allowance.conntrack_available);
        Allowance { conntrack_available, ..self.exceeded }
    }

    /// How often the rate was halved.
    pub fn halvings(&self) -> u64 {
        self.halvings
    }

    /// The rate in force.
    pub fn rate(&self) -> Rate {
        let slowed = self.slowed.and_then(|slowed| NonZeroU64::new(slowed.rate));
        slowed.map_or(self.asked, Rate::PerSecond)
    }

    fn halve(&mut self, left: u64) -> Option<Rate> {
        let before = self.rate();
        let full = match (self.slowed, self.asked) {
            (Some(slowed), _) => slowed.full,
            (None, Rate::PerSecond(asked)) => asked.get(),
            (None, Rate::Max) => left.max(FLOOR),
        };
        let allowed = self.slowed.map_or(full, |slowed| slowed.rate);
        let rate = (allowed.min(left) / 2).max(FLOOR.min(full));
        // Never up: a scan that sends next to nothing any more, since it is at its end, is not what exceeds.
        self.slowed = Some(Slowed { rate: rate.min(allowed), full });
        self.halvings += 1;
        self.changed(before)
    }

    fn add(&mut self) -> Option<Rate> {
        let before = self.rate();
        let slowed = self.slowed?;
        let rate = slowed.rate + (slowed.full / STEPS).max(1);
        // Back at the full rate it is as if nothing had happened; without a rate asked for there is no bucket again.
        self.slowed = (rate < slowed.full).then_some(Slowed { rate, ..slowed });
        self.changed(before)
    }

    fn changed(&self, before: Rate) -> Option<Rate> {
        Some(self.rate()).filter(|rate| *rate != before)
    }
}

/// How much each counter grew. One that is lower than before was started again, by a device that was reset, and counts
/// from zero; one that was not there before says nothing yet.
fn growth(before: &Allowance, now: &Allowance) -> Allowance {
    by_counter(before, now, |before, now| {
        let (before, now) = (before?, now?);
        Some(now.checked_sub(before).unwrap_or(now))
    })
}

fn sum(total: &Allowance, more: &Allowance) -> Allowance {
    by_counter(total, more, |total, more| match (total, more) {
        (Some(total), Some(more)) => Some(total.saturating_add(more)),
        (total, more) => total.or(more),
    })
}

fn by_counter(
    one: &Allowance,
    other: &Allowance,
    f: impl Fn(Option<u64>, Option<u64>) -> Option<u64>,
) -> Allowance {
    let (one, other) = (one.fields(), other.fields());
    Allowance::from_values(std::array::from_fn(|i| f(one[i].1, other[i].1)))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::link::allowance::AllowanceSource;

    /// An instance that lets so many packets a second pass and counts the others.
    struct Instance {
        allows: u64,
        exceeded: u64,
    }

    impl Instance {
        fn pass(&mut self, packets: u64) {
            self.exceeded += packets.saturating_sub(self.allows);
        }
    }

    impl AllowanceSource for Instance {
        fn read(&mut self) -> io::Result<Allowance> {
            Ok(Allowance { pps_exceeded: Some(self.exceeded), ..Allowance::default() })
        }
    }

    fn per_second(rate: u64) -> Rate {
        Rate::PerSecond(NonZeroU64::new(rate).unwrap())
    }

    fn seconds(n: u64) -> Instant {
        Instant::START + Duration::from_secs(n)
    }

    fn pps(exceeded: u64) -> Allowance {
        Allowance { pps_exceeded: Some(exceeded), ..Allowance::default() }
    }

    /// Looks at each of `readings`, a second apart, while a scan sends all that it may (`most` without a rate).
    fn rates(asked: Rate, most: u64, readings: &[Allowance]) -> Vec<Rate> {
        let mut throttle = Throttle::new(asked);
        let mut sent = 0;
        let look = |(at, reading): (usize, &Allowance)| {
            throttle.observe(seconds(at as u64), reading, sent);
            sent += throttle.rate().per_second().map_or(most, NonZeroU64::get);
            throttle.rate()
        };
        readings.iter().enumerate().map(look).collect()
    }

    #[test]
    fn growth_halves_and_clean_seconds_add_a_twentieth() {
        let readings = [0, 5, 6, 6, 6, 9].map(pps);
        let expected = [1_000, 500, 250, 300, 350, 175].map(per_second);
        assert_eq!(rates(per_second(1_000), 0, &readings), expected);
    }

    #[test]
    fn the_first_look_never_slows() {
        assert_eq!(
            rates(per_second(1_000), 0, &[pps(1 << 40), pps(1 << 40)]),
            [per_second(1_000); 2]
        );
    }

    #[test]
    fn the_rate_goes_back_to_what_was_asked_and_no_higher() {
        let mut readings = vec![pps(0), pps(1)];
        readings.resize(40, pps(1));
        let rates = rates(per_second(10_000), 0, &readings);
        assert_eq!(rates[1], per_second(5_000));
        assert_eq!(rates[10], per_second(9_500));
        assert!(rates[11..].iter().all(|rate| *rate == per_second(10_000)));
    }

    #[test]
    fn there_is_a_floor() {
        let readings: Vec<_> = (0..40).map(pps).collect();
        assert_eq!(rates(per_second(1_000_000), 0, &readings)[39], per_second(FLOOR));
        // What was asked is the floor where it is lower.
        assert_eq!(rates(per_second(7), 0, &readings)[39], per_second(7));
    }

    #[test]
    fn a_scan_without_a_rate_gets_half_of_what_it_sent_and_is_free_again_in_the_end() {
        let mut readings = vec![pps(0), pps(1)];
        readings.resize(40, pps(1));
        let rates = rates(Rate::Max, 800_000, &readings);
        assert_eq!(rates[..3], [Rate::Max, per_second(400_000), per_second(440_000)]);
        assert_eq!(rates[39], Rate::Max);
    }

    #[test]
    fn half_is_of_what_really_left() {
        let mut throttle = Throttle::new(per_second(1_000_000));
        throttle.observe(seconds(0), &pps(0), 0);
        assert_eq!(throttle.observe(seconds(1), &pps(1), 200_000), Some(per_second(100_000)));
        // Two seconds later: 90,000 in each.
        assert_eq!(throttle.observe(seconds(3), &pps(2), 380_000), Some(per_second(45_000)));
    }

    #[test]
    fn a_counter_that_starts_again_counts_from_zero() {
        let readings = [pps(1_000), pps(0), pps(0), pps(500), pps(3)];
        let expected = [1_000, 1_000, 1_000, 500, 250].map(per_second);
        assert_eq!(rates(per_second(1_000), 0, &readings), expected);
        let wrapped = [pps(u64::MAX), pps(1)];
        assert_eq!(rates(per_second(1_000), 0, &wrapped)[1], per_second(500));
    }

    #[test]
    fn a_counter_that_comes_or_goes_slows_nothing() {
        let readings = [Allowance::default(), pps(7), Allowance::default(), pps(9), pps(9)];
        assert_eq!(rates(per_second(1_000), 0, &readings), [per_second(1_000); 5]);
    }

    #[test]
    fn each_counter_that_our_sending_moves_slows_and_no_other() {
        for (place, name) in Allowance::NAMES.into_iter().enumerate() {
            let mut values = [Some(1); Allowance::COUNT];
            let before = Allowance::from_values(values);
            values[place] = Some(2);
            let rates = rates(per_second(1_000), 0, &[before, Allowance::from_values(values)]);
            let is_ours = ["pps", "bw_out", "conntrack"]
                .map(|what| format!("{what}_allowance_exceeded"))
                .contains(&name.to_owned());
            assert_eq!(rates[1] == per_second(500), is_ours, "{name}");
        }
    }

    #[test]
    fn nothing_happens_between_two_looks() {
        let mut throttle = Throttle::new(per_second(1_000));
        assert_eq!(throttle.next_look(), Instant::START);
        throttle.observe(seconds(5), &pps(0), 0);
        assert_eq!(throttle.next_look(), seconds(6));
        for n in 1..100 {
            let now = seconds(5) + Duration::from_millis(n * 10);
            assert_eq!(throttle.observe(now, &pps(n), n * 10), None);
        }
        let slower = throttle.observe(seconds(6), &pps(100), 1_000);
        assert_eq!(slower, Some(per_second(500)));
    }

    #[test]
    fn what_was_exceeded_is_added_up_over_a_reset() {
        let mut throttle = Throttle::new(per_second(1_000));
        for (at, exceeded, available) in [(0, 100, 9), (1, 130, 8), (2, 5, 7)] {
            let allowance = Allowance { conntrack_available: Some(available), ..pps(exceeded) };
            throttle.observe(seconds(at), &allowance, at * 1_000);
        }
        let exceeded = throttle.exceeded();
        assert_eq!((exceeded.pps_exceeded, exceeded.conntrack_available), (Some(35), Some(7)));
        assert_eq!((exceeded.bw_out_exceeded, throttle.halvings()), (None, 2));
    }

    /// Left to itself it stays near what the instance allows: never long above it, and most of it used.
    #[test]
    fn it_settles_where_the_instance_allows() {
        let mut instance = Instance { allows: 60_000, exceeded: 12_345 };
        let mut throttle = Throttle::new(per_second(200_000));
        let (mut sent, mut late) = (0, Vec::new());
        for at in 0..300 {
            let allowance = instance.read().unwrap();
            throttle.observe(seconds(at), &allowance, sent);
            let rate = throttle.rate().per_second().unwrap().get();
            instance.pass(rate);
            sent += rate;
            if at >= 20 {
                late.push(rate);
            }
        }
        let mean = late.iter().sum::<u64>() / late.len() as u64;
        assert!((40_000..=60_000).contains(&mean), "{mean}");
        assert!(late.iter().all(|rate| *rate <= 70_000), "{late:?}");
    }
}
