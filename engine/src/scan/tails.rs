//! Below which number every connection is over.
//!
//! A connection opens only for a target that is not below the tail of the window, and lasts no longer than its deadline. So once
//! a deadline has passed since the tail stood at a number, nothing below that number is under way.

use std::{collections::VecDeque, time::Duration};

use crate::time::Instant;

/// How many moments are kept: the mark is behind by at most a deadline and a 64th of it.
const MOMENTS: usize = 64;

/// Where the tail stood lately.
#[derive(Debug)]
pub(super) struct Tails {
    /// After it, nothing that was open is.
    longest: Duration,
    /// Oldest first.
    moments: VecDeque<(Instant, u64)>,
}

impl Tails {
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest, moments: VecDeque::with_capacity(MOMENTS + 2) }
    }

    /// Notes the tail at `now`; gives the latest that stood long enough ago.
    pub(super) fn note(&mut self, now: Instant, tail: u64) -> Option<u64> {
        let step = self.longest / MOMENTS as u32;
        if self.moments.back().is_none_or(|(at, _)| now.since(*at) >= step) {
            self.moments.push_back((now, tail));
        }
        let mut old = None;
        while let Some((at, tail)) = self.moments.front()
            && now.since(*at) >= self.longest
        {
            old = Some(*tail);
            self.moments.pop_front();
        }
        old
    }

    /// Nothing is open, so no moment matters.
    pub(super) fn clear(&mut self) {
        self.moments.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_counts_when_it_is_old_enough() {
        let mut tails = Tails::new(Duration::from_secs(9));
        let at = |ms| Instant::START + Duration::from_millis(ms);
        let mut seen = 0;
        for ms in (0..60_000).step_by(7) {
            // The tail moves by one a millisecond.
            if let Some(tail) = tails.note(at(ms), ms) {
                assert!(tail + 9_000 <= ms && tail >= seen, "{tail} at {ms}");
                assert!(ms - tail <= 9_000 + 9_000 / 64 + 14, "{tail} at {ms}");
                seen = tail;
            }
            assert!(tails.moments.len() <= MOMENTS + 1);
        }
        assert!(seen > 50_000);
        tails.clear();
        assert_eq!(tails.note(at(60_000), 60_000), None);
    }
}
