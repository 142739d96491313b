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
//! What a machine missed while it did something else for up to `DEBT` is made up, a twentieth faster than the rate, so over each
//! second the count is right; what it missed beyond (it was suspended) is forfeited, so there is no burst. Any 10 ms hold
//! at most `PEAK (10 ms + DEPTH) rate`, that is 1.2 times their share, or one frame.
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

use std::{
    fmt,
    num::NonZeroU64,
    str::FromStr,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::time::Instant;

/// How far behind the clock the schedule may lie: half a hundredth of the second in which rates are judged.
pub const DEBT: Duration = Duration::from_millis(5);
/// How far ahead of the clock the peak may run: with what it is faster, a fifth of the 10 ms in which bursts are judged.
pub const DEPTH: Duration = Duration::from_micros(1_425);
/// The peak rate in twentieths of the rate.
const PEAK: u64 = 21;

/// Frames a second, all classes together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rate {
    /// As fast as the link takes them.
    Max,
    /// At most this many.
    PerSecond(NonZeroU64),
}

impl Rate {
    /// The lower of this rate and `limit` a second.
    #[must_use]
    pub fn capped(self, limit: NonZeroU64) -> Self {
        match self {
            Self::Max => Self::PerSecond(limit),
            Self::PerSecond(rate) => Self::PerSecond(rate.min(limit)),
        }
    }

    /// The number of frames a second, `None` for [`Rate::Max`].
    pub fn per_second(self) -> Option<NonZeroU64> {
        match self {
            Self::Max => None,
            Self::PerSecond(rate) => Some(rate),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => f.write_str("max"),
            Self::PerSecond(rate) => rate.fmt(f),
        }
    }
}

/// A rate that could not be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is not a rate: give frames a second such as 500, 10k or 1.5M, or max")]
pub struct RateError(String);

impl FromStr for Rate {
    type Err = RateError;

    /// `500`, `10k`, `1.5M` (times 1,000 and 1,000,000) or `max`.
    fn from_str(text: &str) -> Result<Self, RateError> {
        let error = || RateError(text.to_owned());
        if text.eq_ignore_ascii_case("max") {
            return Ok(Self::Max);
        }
        let (digits, unit) = match text.char_indices().next_back() {
            Some((at, 'k' | 'K')) => (&text[..at], 1_000),
            Some((at, 'm' | 'M')) => (&text[..at], 1_000_000),
            _ => (text, 1),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let number = |s: &str| match s {
            s if s.bytes().all(|b| b.is_ascii_digit()) && s.len() <= 9 => {
                s.parse::<u64>().map_err(|_| error())
            }
            _ => Err(error()),
        };
        let fraction = match part {
            "" if digits.ends_with('.') => return Err(error()),
            "" => 0,
            part => number(part)? * unit / 10_u64.pow(part.len() as u32),
        };
        NonZeroU64::new(number(whole)? * unit + fraction)
            .filter(|rate| rate.get() <= MAX_RATE)
            .map(Self::PerSecond)
            .ok_or_else(error)
    }
}

/// The highest rate that can be asked for: above it a frame would be due every fraction of a nanosecond.
const MAX_RATE: u64 = 1_000_000_000;

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

/// A virtual schedule. Times inside are in 1/256 ns, which holds two years in 64 bits and a rate to one part in 10^5 at 10 M/s.
#[derive(Debug)]
pub struct Bucket {
    /// When the next frame is due.
    due: AtomicU64,
    /// What one frame costs; 0 = no limit.
    cost: AtomicU64,
    /// How far ahead of the clock and how far behind it `due` may be.
    ahead: u64,
    behind: u64,
}

const TICKS_PER_NANO: u64 = 256;
const TICKS_PER_SECOND: u64 = 1_000_000_000 * TICKS_PER_NANO;

impl Bucket {
    /// A bucket of `rate` a second, `None` for one that lets everything pass. What was not taken in time is forfeited, but
    /// for [`DEPTH`].
    pub fn new(rate: Option<NonZeroU64>) -> Self {
        Self::within(rate, DEPTH, Duration::ZERO)
    }

    /// As [`Self::new`], but nothing is given before it is due, and what was not taken for [`DEBT`] can be taken later.
    pub fn owing(rate: Option<NonZeroU64>) -> Self {
        Self::within(rate, Duration::ZERO, DEBT)
    }

    fn within(rate: Option<NonZeroU64>, ahead: Duration, behind: Duration) -> Self {
        let [ahead, behind] = [ahead, behind].map(|by| by.as_nanos() as u64 * TICKS_PER_NANO);
        Self { due: AtomicU64::new(0), cost: AtomicU64::new(cost(rate)), ahead, behind }
    }

    /// Takes up to `want`; returns how many there were.
    pub fn take(&self, want: u32, now: Instant) -> u32 {
        let cost = self.cost.load(Relaxed);
        if cost == 0 || want == 0 {
            return want;
        }
        let now = ticks(now);
        // One frame always fits, however slow the rate: the depth is what is ahead of the last frame taken.
        let limit = now + self.ahead.saturating_sub(cost);
        let mut due = self.due.load(Relaxed);
        loop {
            let base = due.max(now.saturating_sub(self.behind));
            if base > limit {
                return 0;
            }
            let got = ((limit - base) / cost + 1).min(u64::from(want));
            match self.due.compare_exchange_weak(due, base + got * cost, Relaxed, Relaxed) {
                Ok(_) => return got as u32,
                Err(other) => due = other,
            }
        }
    }

    /// Returns `n` that were taken and not used.
    pub fn put_back(&self, n: u32) {
        let back = self.cost.load(Relaxed) * u64::from(n);
        let _ = self.due.fetch_update(Relaxed, Relaxed, |due| Some(due.saturating_sub(back)));
    }

    /// When `n` can be taken at once, or as many as it can ever hold.
    pub fn ready_at(&self, n: u32) -> Instant {
        let cost = self.cost.load(Relaxed);
        if cost == 0 {
            return Instant::START;
        }
        let room = self.ahead.saturating_sub(cost);
        let burst = u64::from(n.min(self.most()).saturating_sub(1)) * cost;
        let due = self.due.load(Relaxed);
        // Rounded up: a nanosecond early would find the frame not yet there.
        Instant::from_nanos((due + burst).saturating_sub(room).div_ceil(TICKS_PER_NANO))
    }

    /// How many can ever be taken at once.
    fn most(&self) -> u32 {
        match self.cost.load(Relaxed) {
            0 => u32::MAX,
            cost => {
                let held = (self.ahead.saturating_sub(cost) + self.behind) / cost;
                u32::try_from(held).unwrap_or(u32::MAX).saturating_add(1)
            }
        }
    }

    /// Changes the rate; what was taken before keeps its price.
    pub fn set_rate(&self, rate: Option<NonZeroU64>) {
        self.cost.store(cost(rate), Relaxed);
    }

    /// The rate in force.
    pub fn rate(&self) -> Option<NonZeroU64> {
        match self.cost.load(Relaxed) {
            0 => None,
            cost => NonZeroU64::new(TICKS_PER_SECOND / cost),
        }
    }
}

/// The rate at which what was missed is made up.
fn peak(rate: NonZeroU64) -> NonZeroU64 {
    // At least the rate itself, so not zero.
    NonZeroU64::new(rate.get().saturating_mul(PEAK) / 20).unwrap_or(rate)
}

fn cost(rate: Option<NonZeroU64>) -> u64 {
    rate.map_or(0, |rate| (TICKS_PER_SECOND / rate.get()).max(1))
}

fn ticks(at: Instant) -> u64 {
    at.as_nanos().saturating_mul(TICKS_PER_NANO)
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn rates_are_read_as_people_write_them() {
        let per_second = |n| Ok(Rate::PerSecond(NonZeroU64::new(n).unwrap()));
        assert_eq!("500".parse(), per_second(500));
        assert_eq!("10k".parse(), per_second(10_000));
        assert_eq!("1.5M".parse(), per_second(1_500_000));
        assert_eq!("0.5k".parse(), per_second(500));
        assert_eq!("MAX".parse(), Ok(Rate::Max));
        for wrong in [
            "",
            "0",
            "k",
            "-1",
            "1.",
            "1e3",
            "10kk",
            "fast",
            "1.0000000001k",
            "9999999999",
            "2000M",
        ] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong:?}");
        }
    }
}
