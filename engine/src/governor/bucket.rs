//! One virtual schedule: when the next frame is due, in one word that threads share.

use std::{
    num::NonZeroU64,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::time::Instant;

/// How far behind the clock the schedule may lie: half a hundredth of the second in which rates are judged.
pub const DEBT: Duration = Duration::from_millis(5);
/// How far ahead of the clock the peak may run. With what it is faster this makes 1.175 of what is due in the 10 ms in which
/// bursts are judged; the rest up to 1.2 is for what happens between a token and the far end, where a frame that was held
/// up for a hundred microseconds arrives with those that were not.
pub const DEPTH: Duration = Duration::from_micros(1_300);

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
    pub(super) fn most(&self) -> u32 {
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

fn cost(rate: Option<NonZeroU64>) -> u64 {
    rate.map_or(0, |rate| (TICKS_PER_SECOND / rate.get()).max(1))
}

fn ticks(at: Instant) -> u64 {
    at.as_nanos().saturating_mul(TICKS_PER_NANO)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Option<NonZeroU64> = NonZeroU64::new(10_000);

    #[test]
    fn one_forfeits_what_was_not_taken_and_the_other_owes_it() {
        let begin = Instant::START + Duration::from_secs(1);
        let later = begin + Duration::from_millis(3);
        for (bucket, held) in [(Bucket::new(RATE), 13), (Bucket::owing(RATE), 30)] {
            while bucket.take(64, begin) > 0 {}
            // At 10,000 a second 30 more are due, and 1,300 us hold 13.
            assert_eq!(bucket.take(64, later), held, "{bucket:?}");
            assert_eq!(bucket.take(64, later), 0, "{bucket:?}");
        }
    }

    #[test]
    fn a_bucket_without_a_rate_gives_everything() {
        let bucket = Bucket::new(None);
        assert_eq!(bucket.take(u32::MAX, Instant::START), u32::MAX);
        assert_eq!((bucket.rate(), bucket.ready_at(u32::MAX)), (None, Instant::START));
        bucket.set_rate(RATE);
        assert_eq!(bucket.rate(), RATE);
        assert!(bucket.take(u32::MAX, Instant::START) < u32::MAX);
    }
}
