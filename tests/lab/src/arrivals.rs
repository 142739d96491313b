//! How evenly frames arrived: the most and the fewest in any window of a length.

use std::{ops::Range, time::Duration};

/// When frames arrived, in order; nanoseconds of one clock.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Arrivals {
    times: Vec<u64>,
    counted: u64,
}

/// A stretch without any frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Gap {
    /// How long after the first arrival it began.
    pub after: Duration,
    /// How long it was.
    pub len: Duration,
}

impl Arrivals {
    /// Arrivals at `times`, in any order; the device counted `counted` of them.
    pub fn new(mut times: Vec<u64>, counted: u64) -> Self {
        times.sort_unstable();
        Self { times, counted }
    }

    /// How many arrived.
    pub fn count(&self) -> usize {
        self.times.len()
    }

    /// How many the device counted that were not recorded: with any, the record is worth nothing.
    pub fn missed(&self) -> u64 {
        self.counted.saturating_sub(self.times.len() as u64)
    }

    /// From the first to the last.
    pub fn span(&self) -> Duration {
        match (self.times.first(), self.times.last()) {
            (Some(first), Some(last)) => Duration::from_nanos(last - first),
            _ => Duration::ZERO,
        }
    }

    /// Those within `range`, measured from the first of all.
    #[must_use]
    pub fn within(&self, range: Range<Duration>) -> Self {
        let Some(first) = self.times.first() else { return Self::default() };
        let at = |after: Duration| {
            let until = first + nanos(after);
            self.times.partition_point(|at| *at < until)
        };
        let times = self.times[at(range.start)..at(range.end).max(at(range.start))].to_vec();
        Self { counted: times.len() as u64, times }
    }

    /// The most in any `window`.
    pub fn most_in(&self, window: Duration) -> usize {
        let window = nanos(window);
        let mut from = 0;
        let mut most = 0;
        for (to, at) in self.times.iter().enumerate() {
            // Both ends of a window are not inside of it.
            while at - self.times[from] >= window {
                from += 1;
            }
            most = most.max(to + 1 - from);
        }
        most
    }

    /// The fewest in any `window` that lies between the first arrival and the last and that meets no gap of `stall` or
    /// longer; `None` when there is no such window.
    pub fn fewest_in(&self, window: Duration, stall: Duration) -> Option<usize> {
        let runs = self.times.chunk_by(|one, next| next - one < nanos(stall));
        runs.filter_map(|run| fewest(run, nanos(window))).min()
    }

    /// Stretches of at least `stall` without a frame, in order.
    pub fn gaps(&self, stall: Duration) -> Vec<Gap> {
        let pairs = self.times.windows(2).map(|pair| (pair[0], pair[1]));
        let long = pairs.filter(|(one, next)| next - one >= nanos(stall));
        long.map(|(one, next)| Gap {
            after: Duration::from_nanos(one - self.times[0]),
            len: Duration::from_nanos(next - one),
        })
        .collect()
    }
}

/// The fewest of `times` in any `window` from just behind one of them on, up to the last.
fn fewest(times: &[u64], window: u64) -> Option<usize> {
    let last = *times.last()?;
    let mut to = 0;
    let mut fewest = None;
    for (from, at) in times.iter().enumerate() {
        let end = at + window;
        if end > last {
            break;
        }
        while times[to] < end {
            to += 1;
        }
        // The window is open at its beginning: the frame at `from` is just outside.
        let inside = to - from - 1;
        fewest = Some(fewest.map_or(inside, |fewest: usize| fewest.min(inside)));
    }
    fewest
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn at_ms(times: impl IntoIterator<Item = u64>) -> Arrivals {
        let times: Vec<_> = times.into_iter().map(|at| at * 1_000_000).collect();
        let counted = times.len() as u64;
        Arrivals::new(times, counted)
    }

    #[test]
    fn an_even_stream_has_the_same_in_every_window() {
        let even = at_ms((0..1_000).map(|n| n * 10));
        assert_eq!(even.most_in(ms(1_000)), 100);
        assert_eq!(even.most_in(ms(10)), 1);
        // From just behind one frame: 10 ms to 1,000 ms later are 99 and the last is at the open end.
        assert_eq!(even.fewest_in(ms(1_000), ms(50)), Some(99));
        assert_eq!(even.gaps(ms(11)), []);
        assert_eq!((even.count(), even.span(), even.missed()), (1_000, ms(9_990), 0));
    }

    #[test]
    fn a_burst_and_a_hole_are_found() {
        let uneven = at_ms((0..100).chain([50; 30]).chain(300..400));
        assert_eq!(uneven.most_in(ms(10)), 40);
        assert_eq!(uneven.gaps(ms(5)), [Gap { after: ms(99), len: ms(201) }]);
        // The hole is a stall, left out; or it is none, and is what counts.
        assert_eq!(uneven.fewest_in(ms(10), ms(5)), Some(9));
        assert_eq!(uneven.fewest_in(ms(10), ms(1_000)), Some(0));
    }

    #[test]
    fn windows_longer_than_the_record_are_none() {
        assert_eq!(at_ms([1, 2, 3]).fewest_in(ms(3), ms(100)), None);
        assert_eq!(at_ms([]).fewest_in(ms(1), ms(1)), None);
        assert_eq!((at_ms([]).most_in(ms(1)), at_ms([]).span()), (0, ms(0)));
        assert_eq!(at_ms([4]).most_in(ms(1)), 1);
    }

    #[test]
    fn a_part_is_measured_from_the_first() {
        let part = at_ms(100..200).within(ms(10)..ms(20));
        assert_eq!(part, at_ms(110..120));
        assert_eq!(part.missed(), 0);
        assert_eq!(at_ms(100..200).within(ms(20)..ms(10)).count(), 0);
        assert_eq!(Arrivals::new(vec![1, 2], 5).missed(), 3);
    }
}
