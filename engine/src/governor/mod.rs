//! One bucket for every frame that a scan sends, with four classes that take from it in order.
//!
//! The bucket is made of virtual schedules (GCRA; ITU-T I.371, annex A): instead of tokens each keeps the moment at which
//! its next frame is due. Taking `n` frames moves that moment by `n / rate`. A frame leaves when both allow it:
//!
//! ```text
//! mean   the rate                  may lie DEBT behind the clock, never ahead of it
//! peak   PEAK times the rate       may run DEPTH ahead of the clock, never lies behind it
//!
//!      now - DEBT        due             now                   now + DEPTH
//! ---------|--------------|---------------|---------------------|------> time
//!          forfeited <----'--- owed ------'--- at once by peak -'
//! ```
//!
//! What a machine missed while it did something else for up to `DEBT` is made up, a twenty-fifth faster than the rate, so over each
//! second the count is right; what it missed beyond (it was suspended) is forfeited, so there is no burst. Any 10 ms hold
//! at most `PEAK (10 ms + DEPTH) rate`, that is 1.175 times their share, or one frame; at the far end it is 1.2 times.
//!
//! # Classes
//!
//! A class gets nothing while a class before it [waits](Governor::set_waiting): hardware addresses first, then what
//! live connections need, then retries, and new probes last. Each frame belongs to one of them; there is no frame
//! outside the bucket.
//!
//! `Rate::Max` has no bucket. New probes alone then have a pace, which [`crate::scan`] halves when answers show that
//! first attempts were lost where retries were not.
//!
//! Atomics only, so that a receiver thread can take for its flows. `now` is an argument.

mod bucket;
mod rate;

use std::{
    num::NonZeroU64,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

pub use self::{
    bucket::{Bucket, DEBT, DEPTH},
    rate::{Rate, RateError},
};
use crate::time::Instant;

/// The peak rate in twenty-fifths of the rate.
const PEAK: u64 = 26;

/// Who takes from the bucket, most urgent first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Class {
    /// ARP and neighbour discovery: without them nothing else arrives.
    Neighbour,
    /// Acknowledgements, resets and retransmissions of live connections: a host waits for them.
    Flow,
    /// Second and later attempts.
    Retry,
    /// First attempts.
    New,
}

/// What one thread has waiting of one class: threads that serve the same class wait beside each other.
#[derive(Debug)]
pub struct Waiting {
    class: Class,
    n: u32,
}

impl Waiting {
    /// Nothing of `class` waits yet.
    pub fn new(class: Class) -> Self {
        Self { class, n: 0 }
    }
}

/// The one bucket of a scan. See the module.
#[derive(Debug)]
pub struct Governor {
    mean: Bucket,
    peak: Bucket,
    /// The pace of new probes under [`Rate::Max`]; open until losses close it.
    new: Bucket,
    /// What each class has waiting, all threads together.
    waiting: [AtomicU32; 4],
}

impl Governor {
    /// A governor that lets `rate` frames a second pass.
    pub fn new(rate: Rate) -> Self {
        Self {
            mean: Bucket::owing(rate.per_second()),
            peak: Bucket::new(rate.per_second().map(peak)),
            new: Bucket::new(None),
            waiting: [const { AtomicU32::new(0) }; 4],
        }
    }

    /// Takes up to `want` frames for `class` and returns how many it got, at once; none of them may be sent later
    /// than now without being [put back](Self::put_back) first.
    pub fn take(&self, class: Class, want: u32, now: Instant) -> u32 {
        let before = &self.waiting[..class as usize];
        if want == 0 || before.iter().any(|waiting| waiting.load(Relaxed) > 0) {
            return 0;
        }
        let want = if class == Class::New { self.new.take(want, now) } else { want };
        let most = self.peak.take(want, now);
        let got = self.mean.take(most, now);
        self.peak.put_back(most - got);
        if class == Class::New && got < want {
            self.new.put_back(want - got);
        }
        got
    }

    /// Returns `n` frames that were taken for `class` and not sent.
    pub fn put_back(&self, class: Class, n: u32) {
        self.mean.put_back(n);
        self.peak.put_back(n);
        if class == Class::New {
            self.new.put_back(n);
        }
    }

    /// Says how many frames wait with `queue` to be sent, which holds back the classes after its own.
    pub fn set_waiting(&self, queue: &mut Waiting, n: u32) {
        if n != queue.n {
            // A sum that wraps: each adds what it has more than it said before.
            self.waiting[queue.class as usize].fetch_add(n.wrapping_sub(queue.n), Relaxed);
            queue.n = n;
        }
    }

    /// The moment from which `n` frames of `class` can be taken at once (as many as the bucket can ever hold, if that
    /// is fewer), if nothing else takes any.
    pub fn ready_at(&self, class: Class, n: u32) -> Instant {
        let n = n.min(self.peak.most());
        let all = self.mean.ready_at(n).max(self.peak.ready_at(n));
        if class == Class::New { all.max(self.new.ready_at(n)) } else { all }
    }

    /// Changes the rate of all frames; `None` for as fast as the link takes them.
    pub fn set_rate(&self, rate: Option<NonZeroU64>) {
        self.mean.set_rate(rate);
        self.peak.set_rate(rate.map(peak));
    }

    /// The rate of all frames in force; `None` without one.
    pub fn rate(&self) -> Option<NonZeroU64> {
        self.mean.rate()
    }

    /// Sets the pace of new probes beside the bucket; `None` lifts it.
    pub fn pace_new(&self, rate: Option<NonZeroU64>) {
        self.new.set_rate(rate);
    }

    /// The pace of new probes, if there is one.
    pub fn new_pace(&self) -> Option<NonZeroU64> {
        self.new.rate()
    }
}

/// The rate at which what was missed is made up.
fn peak(rate: NonZeroU64) -> NonZeroU64 {
    // At least the rate itself, so not zero.
    NonZeroU64::new(rate.get().saturating_mul(PEAK) / 25).unwrap_or(rate)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn governor(rate: u64) -> Governor {
        Governor::new(Rate::PerSecond(NonZeroU64::new(rate).unwrap()))
    }

    /// The moments at which frames leave when one asks every `step` for a batch, for `seconds`.
    fn departures(governor: &Governor, step: Duration, seconds: u64) -> Vec<Instant> {
        // Not at zero, where `due` starts.
        departures_from(governor, Instant::START + Duration::from_secs(5), step, seconds)
    }

    fn departures_from(
        governor: &Governor,
        mut now: Instant,
        step: Duration,
        seconds: u64,
    ) -> Vec<Instant> {
        let mut out = Vec::new();
        let end = now + Duration::from_secs(seconds);
        while now < end {
            let got = governor.take(Class::New, 64, now);
            out.extend(std::iter::repeat_n(now, got as usize));
            now += step;
        }
        out
    }

    fn most_within(departures: &[Instant], window: Duration) -> usize {
        (0..departures.len())
            .map(|i| departures[i..].iter().take_while(|at| **at < departures[i] + window).count())
            .max()
            .unwrap_or(0)
    }

    #[track_caller]
    fn check_rate(rate: u64, step: Duration) {
        let departures = departures(&governor(rate), step, 3);
        let wanted = 3 * rate as usize;
        let slack = (wanted / 100).max(1);
        assert!(
            departures.len().abs_diff(wanted) <= slack,
            "{rate}/s: {} in 3 s",
            departures.len()
        );
        let burst = most_within(&departures, 10 * MS);
        let allowed = ((rate as usize * 12).div_ceil(1000)).max(1);
        assert!(burst <= allowed, "{rate}/s: {burst} in 10 ms, allowed {allowed}");
    }

    #[test]
    fn rates_hold_over_seconds_and_over_10_ms() {
        for rate in [1, 7, 100, 999, 1_001, 10_000] {
            check_rate(rate, Duration::from_micros(50));
        }
        check_rate(10_000, MS);
        check_rate(30_000, MS);
    }

    #[test]
    fn a_suspended_machine_owes_nothing() {
        let governor = governor(1_000);
        departures(&governor, MS, 1);
        let later = Instant::START + Duration::from_secs(3600);
        let after = departures_from(&governor, later, Duration::from_micros(50), 1);
        assert!(most_within(&after, 10 * MS) <= 12);
        assert!((1_000..=1_006).contains(&after.len()), "{}", after.len());
    }

    #[test]
    fn what_a_short_stall_missed_is_made_up_and_what_a_long_one_missed_is_not() {
        for (stall, missing) in [(2, 0), (4, 0), (5, 0), (25, 200)] {
            let governor = governor(10_000);
            let step = Duration::from_micros(50);
            let begin = Instant::START + Duration::from_secs(5);
            let mut all = departures_from(&governor, begin, step, 1);
            let stalled = begin + Duration::from_secs(1) + stall * MS;
            all.extend(departures_from(&governor, stalled, step, 1));
            let expected = 20_000 + 10 * stall as usize - missing;
            assert!(all.len().abs_diff(expected) <= 51, "{stall} ms: {} {expected}", all.len());
            assert!(most_within(&all, 10 * MS) <= 120, "{stall} ms");
            assert!(most_within(&all, 1_000 * MS) <= 10_051, "{stall} ms");
        }
    }

    #[test]
    fn the_rate_can_be_changed_under_way() {
        let governor = governor(10_000);
        departures(&governor, MS, 1);
        governor.set_rate(NonZeroU64::new(1_000));
        let begin = Instant::START + Duration::from_secs(7);
        let slower = departures_from(&governor, begin, Duration::from_micros(50), 1).len();
        assert!((995..=1_006).contains(&slower), "{slower}");
    }

    #[test]
    fn classes_before_hold_back_classes_after() {
        let governor = governor(10_000);
        let now = Instant::START + Duration::from_secs(1);
        let (mut one, mut other) = (Waiting::new(Class::Flow), Waiting::new(Class::Flow));
        governor.set_waiting(&mut one, 1);
        governor.set_waiting(&mut other, 3);
        governor.set_waiting(&mut other, 0);
        assert_eq!(governor.take(Class::New, 1, now), 0);
        assert_eq!(governor.take(Class::Retry, 1, now), 0);
        assert_eq!(governor.take(Class::Flow, 1, now), 1);
        governor.set_waiting(&mut one, 0);
        assert_eq!(governor.take(Class::New, 1, now), 1);
    }

    #[test]
    fn what_is_put_back_can_be_taken_again() {
        let governor = governor(1_000);
        let now = Instant::START + Duration::from_secs(1);
        let got = governor.take(Class::Retry, 64, now);
        assert_eq!(governor.take(Class::Retry, 64, now), 0);
        governor.put_back(Class::Retry, got);
        assert_eq!(governor.take(Class::Retry, 64, now), got);
    }

    #[test]
    fn ready_at_is_the_first_moment_that_gives_so_many() {
        for (rate, n) in [(1, 1), (3, 5), (999, 2), (10_000, 10), (10_000, 64), (1_000_000, 64)] {
            let governor = governor(rate);
            let now = Instant::START + Duration::from_secs(1);
            while governor.take(Class::New, 64, now) > 0 {}
            let ready = governor.ready_at(Class::New, n);
            let fits = n.min(self::governor(rate).take(Class::New, 64, now));
            let early = Instant::from_nanos(ready.as_nanos() - 2);
            assert!(governor.take(Class::New, n, early) < fits, "{rate}/s, {n}: too late");
            let governor = self::governor(rate);
            while governor.take(Class::New, 64, now) > 0 {}
            assert!(governor.take(Class::New, n, ready) >= fits, "{rate}/s, {n}: too early");
        }
    }

    #[test]
    fn max_has_no_bucket_until_new_probes_get_a_pace() {
        let governor = Governor::new(Rate::Max);
        let now = Instant::START + Duration::from_secs(1);
        assert_eq!(governor.take(Class::New, 1 << 20, now), 1 << 20);
        governor.pace_new(NonZeroU64::new(1_000));
        assert_eq!(governor.take(Class::New, 64, now), 1);
        assert_eq!(governor.take(Class::New, 64, now), 0);
        assert_eq!(governor.take(Class::Retry, 64, now), 64);
    }
}
