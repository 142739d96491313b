//! How long a server takes, and so how long to wait for it (after RFC 6298).

use std::time::Duration;

/// Below this a pause says nothing: it is what threads take to look at their frames.
const LEAST_SETTLE: u64 = 20_000_000;
/// Before anything is known (RFC 6298, section 2.1).
const UNKNOWN: u64 = 1_000_000_000;
/// One sixteenth of each new value, where TCP takes an eighth: a resolver answers from its memory in one moment and after
/// a walk through the tree in the next, and both must stay in the figure.
const GAIN: i64 = 16;
/// How fast the slowest round trip is forgotten: what is slower than that is less than one answer in so many.
const FORGET: u32 = 256;

/// A smoothed round trip, its mean deviation and the slowest of late, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rtt {
    mean: u32,
    deviation: u32,
    slowest: u32,
}

impl Rtt {
    /// One more round trip.
    #[inline]
    pub(super) fn took(&mut self, rtt: Duration) {
        let took = i64::from(u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX)).max(1);
        let slowest = self.slowest;
        self.slowest = (took as u32).max(slowest - slowest.div_ceil(FORGET));
        if self.mean == 0 {
            (self.mean, self.deviation) = (took as u32, (took / 2) as u32);
            return;
        }
        let (mean, deviation) = (i64::from(self.mean), i64::from(self.deviation));
        let off = took - mean;
        // Rounded away from zero, so that short ones do not stand still.
        let part = |value: i64| (value.abs() + GAIN - 1) / GAIN * value.signum();
        self.mean = (mean + part(off)).max(1) as u32;
        self.deviation = (deviation + part(off.abs() - deviation)).max(0) as u32;
    }

    /// The mean, in nanoseconds; zero while nothing is known.
    #[inline]
    pub(super) fn mean(&self) -> u64 {
        u64::from(self.mean) * 1_000
    }

    /// After how many nanoseconds an answer is late. The mean alone forgets the slow answers when a few fast ones come in a
    /// row.
    #[inline]
    pub(super) fn late(&self) -> u64 {
        match self.mean {
            0 => UNKNOWN,
            mean => {
                let usual = u64::from(mean) + 4 * u64::from(self.deviation);
                usual.max(u64::from(self.slowest) * 5 / 4) * 1_000
            }
        }
    }

    /// After how many nanoseconds what was not answered is counted as lost.
    #[inline]
    pub(super) fn settle(&self) -> u64 {
        self.late().max(LEAST_SETTLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_known_at_first() {
        assert_eq!((Rtt::default().mean(), Rtt::default().late()), (0, UNKNOWN));
    }

    #[test]
    fn a_steady_round_trip_is_learnt_whatever_came_before() {
        for before in [1, 80, 300_000] {
            let mut rtt = Rtt::default();
            rtt.took(Duration::from_micros(before));
            (0..3_000).for_each(|_| rtt.took(Duration::from_micros(200)));
            assert!((199_000..=201_000).contains(&rtt.mean()), "{rtt:?} after {before}");
            assert!(rtt.late() < 300_000, "{rtt:?} after {before}");
        }
    }

    /// One answer in five takes a walk through the tree: it is not late.
    #[test]
    fn slow_answers_among_fast_ones_are_not_late() {
        let mut rtt = Rtt::default();
        let mut late = 0;
        for n in 0..2_000_u64 {
            let took = if n % 5 == 0 { 1_000_000 } else { 10_000 };
            if n > 100 && took * 1_000 > rtt.late() {
                late += 1;
            }
            rtt.took(Duration::from_micros(took));
        }
        assert_eq!(late, 0, "{rtt:?}");
    }
}
