//! When a receiver naps before it looks, and how long, so that what comes fast comes in numbers.
//!
//! ```text
//! slow   wait until woken: one record, one wake-up, at once
//! fast   nap, look, nap, look: one wake-up for all that came meanwhile, and the program wakes nobody
//! ```
//!
//! Each wake-up is one of the receiver, and mostly one more of whoever takes what it found. A nap lasts until many records are
//! expected to be there; what comes meanwhile waits in the ring, with the kernel's time of arrival.
//!
//! Sans I/O: it is told what was seen and when.

use std::time::Duration;

use crate::time::Instant;

/// The shortest nap: the kernel's timer adds some 50 us to any.
pub(super) const SHORTEST: Duration = Duration::from_micros(250);

/// Records that a nap must be expected to bring. For fewer it saves too little, and who owes resets to a rate that is kept can
/// send them too late.
const WORTH: u128 = 4;

/// Records that a nap is to bring. For more it would save next to nothing.
const WANTED: u32 = 64;

/// What is coming, judged by what came last.
#[derive(Debug)]
pub(super) struct Rhythm {
    /// The longest nap.
    longest: Duration,
    last: Instant,
    nap: Option<Duration>,
}

impl Rhythm {
    /// Naps for `longest` at most, which is no less than [`SHORTEST`].
    pub(super) fn new(longest: Duration, now: Instant) -> Self {
        Self { longest, last: now, nap: None }
    }

    /// At `now` there were `count` records, and then no more if `is_all`.
    pub(super) fn saw(&mut self, count: usize, is_all: bool, now: Instant) {
        let since = now.since(self.last);
        self.last = now;
        let is_worth = count as u128 * self.longest.as_nanos() >= WORTH * since.as_nanos();
        // What is left in the ring is taken without a nap.
        self.nap = (is_all && is_worth).then(|| {
            let gap = since / u32::try_from(count).unwrap_or(u32::MAX).max(1);
            (gap * WANTED).clamp(SHORTEST, self.longest)
        });
    }

    /// Nothing was there after all.
    pub(super) fn saw_nothing(&mut self) {
        self.nap = None;
    }

    /// How long to nap before the next look, if at all.
    pub(super) fn nap(&self) -> Option<Duration> {
        self.nap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_millis(2);

    /// Looks at records that come one each `gap`, for a second; how many wake-ups that took, and the longest that one lay there.
    fn run(gap: Duration, longest: Duration) -> (u64, Duration) {
        let mut rhythm = Rhythm::new(longest, Instant::START);
        let (mut now, mut next, mut waited, mut wakes) =
            (Instant::START, Instant::START + gap, Duration::ZERO, 0);
        while now < Instant::START + Duration::from_secs(1) {
            wakes += 1;
            match rhythm.nap() {
                Some(nap) => now += nap,
                None => now = now.max(next),
            }
            waited = waited.max(now.since(next));
            let mut count = 0;
            while next <= now {
                count += 1;
                next += gap;
            }
            if count > 0 {
                rhythm.saw(count, true, now);
            } else {
                rhythm.saw_nothing();
            }
        }
        (wakes, waited)
    }

    #[test]
    fn a_record_that_comes_alone_is_seen_at_once() {
        for longest in [SHORTEST, LONGEST] {
            assert_eq!(run(Duration::from_millis(20), longest), (50, Duration::ZERO));
        }
    }

    #[test]
    fn many_records_are_seen_together_and_soon() {
        for micros in [1, 3, 10, 50] {
            let (wakes, waited) = run(Duration::from_micros(micros), SHORTEST);
            assert!(wakes <= 4_002, "{wakes} at {micros} us");
            assert!(waited <= SHORTEST, "{waited:?} at {micros} us");
        }
    }

    #[test]
    fn a_nap_lasts_until_many_are_there_and_no_longer() {
        for (micros, expected) in
            [(1, 250), (3, 250), (10, 640), (30, 1_920), (50, 2_000), (400, 2_000)]
        {
            let (wakes, waited) = run(Duration::from_micros(micros), LONGEST);
            let nap = Duration::from_micros(expected);
            // A nap that ends between two records is a little shorter or longer than the rule.
            assert!(waited <= nap + nap / 16, "{waited:?} at {micros} us");
            assert!(wakes <= 1_100_000 / expected, "{wakes} at {micros} us");
        }
    }

    #[test]
    fn after_a_nap_for_nothing_it_waits() {
        let mut rhythm = Rhythm::new(LONGEST, Instant::START);
        rhythm.saw(100, true, Instant::START + SHORTEST);
        assert_eq!(rhythm.nap(), Some(SHORTEST));
        rhythm.saw_nothing();
        assert_eq!(rhythm.nap(), None);
    }

    #[test]
    fn what_is_left_is_taken_without_a_nap() {
        let mut rhythm = Rhythm::new(LONGEST, Instant::START);
        rhythm.saw(8_192, false, Instant::START + SHORTEST);
        assert_eq!(rhythm.nap(), None);
    }
}
