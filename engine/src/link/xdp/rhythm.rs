//! When a receiver naps before it looks, so that what comes fast comes in numbers.
//!
//! ```text
//! slow   wait until woken: one record, one wake-up, at once
//! fast   nap, look, nap, look: one wake-up for all that came meanwhile, and the program wakes nobody
//! ```
//!
//! Sans I/O: it is told what was seen and when.

use std::time::Duration;

use crate::time::Instant;

/// How long a nap is. What comes meanwhile waits in the ring; its time of arrival is the kernel's.
pub(super) const NAP: Duration = Duration::from_micros(250);

/// Records that a nap must be expected to bring. For fewer it saves too little, and who owes resets to a rate that is kept can
/// send them too late.
const WORTH: u128 = 4;

/// What is coming, judged by what came last.
#[derive(Debug)]
pub(super) struct Rhythm {
    last: Instant,
    naps: bool,
}

impl Rhythm {
    pub(super) fn new(now: Instant) -> Self {
        Self { last: now, naps: false }
    }

    /// At `now` there were `count` records, and then no more if `is_all`.
    pub(super) fn saw(&mut self, count: usize, is_all: bool, now: Instant) {
        let since = now.since(self.last).as_nanos();
        // What is left in the ring is taken without a nap.
        self.naps = is_all && count as u128 * NAP.as_nanos() >= WORTH * since;
        self.last = now;
    }

    /// Nothing was there after all.
    pub(super) fn saw_nothing(&mut self) {
        self.naps = false;
    }

    /// Whether to nap before the next look.
    pub(super) fn naps(&self) -> bool {
        self.naps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at records that come one each `gap`, for a second; how many wake-ups that took, and the longest that one lay there.
    fn run(gap: Duration) -> (u64, Duration) {
        let mut rhythm = Rhythm::new(Instant::START);
        let (mut now, mut next, mut longest, mut wakes) =
            (Instant::START, Instant::START + gap, Duration::ZERO, 0);
        while now < Instant::START + Duration::from_secs(1) {
            wakes += 1;
            if rhythm.naps() {
                now += NAP;
            } else {
                now = now.max(next);
            }
            longest = longest.max(now.since(next));
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
        (wakes, longest)
    }

    #[test]
    fn a_record_that_comes_alone_is_seen_at_once() {
        let (wakes, longest) = run(Duration::from_millis(20));
        assert_eq!((wakes, longest), (50, Duration::ZERO));
    }

    #[test]
    fn many_records_are_seen_together_and_soon() {
        for gap in [Duration::from_nanos(250), Duration::from_micros(10), Duration::from_micros(50)]
        {
            let (wakes, longest) = run(gap);
            assert!(wakes <= 4_002, "{wakes} at {gap:?}");
            assert!(longest <= NAP, "{longest:?} at {gap:?}");
        }
    }

    #[test]
    fn after_a_nap_for_nothing_it_waits() {
        let mut rhythm = Rhythm::new(Instant::START);
        rhythm.saw(100, true, Instant::START + NAP);
        assert!(rhythm.naps());
        rhythm.saw_nothing();
        assert!(!rhythm.naps());
    }

    #[test]
    fn what_is_left_is_taken_without_a_nap() {
        let mut rhythm = Rhythm::new(Instant::START);
        rhythm.saw(8_192, false, Instant::START + NAP);
        assert!(!rhythm.naps());
    }
}
