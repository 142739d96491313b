//! The program's times of arrival, as moments of the scan.

use std::io;

use crate::{
    link::sys::monotonic,
    time::{Clock, Instant},
};

/// Reads the stamps of the program: CLOCK_MONOTONIC, which is the clock of the scan too, but from another start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamps {
    /// How much more the system's clock says than that of the scan.
    ahead: u64,
}

impl Stamps {
    pub(super) fn new(clock: &Clock) -> io::Result<Self> {
        let reading = || {
            let before = clock.now().as_nanos();
            Ok((before, monotonic::nanos()?, clock.now().as_nanos()))
        };
        let readings = (0..READINGS).map(|_| reading()).collect::<io::Result<Vec<_>>>()?;
        Ok(Self { ahead: ahead(&readings) })
    }

    /// The moment of a stamp in nanoseconds.
    #[inline]
    pub(super) fn at_nanos(&self, nanos: u64) -> Instant {
        Instant::from_nanos(nanos.saturating_sub(self.ahead))
    }
}

/// How often both clocks are read: a thread is not held up between them each time.
const READINGS: usize = 8;

/// How much more the system's clock says, by the reading (of the scan's clock before it, its own, the scan's after it) that took
/// the least time: what held up the others would shift every time of arrival.
fn ahead(readings: &[(u64, u64, u64)]) -> u64 {
    let best = readings.iter().min_by_key(|(before, _, after)| after.saturating_sub(*before));
    best.map_or(0, |(before, system, after)| system.saturating_sub(before.midpoint(*after)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_reading_that_was_held_up_does_not_count() {
        let readings = [
            (1_000, 501_900, 9_000), // before the system's clock
            (10_000, 510_050, 10_100),
            (11_000, 511_010, 80_000), // after it
        ];
        assert_eq!(ahead(&readings), 500_000);
    }

    #[test]
    fn nanoseconds_are_those_of_the_scan() {
        let clock = Clock::start();
        let stamps = Stamps::new(&clock).unwrap();
        let (before, stamp, after) = (clock.now(), monotonic::nanos().unwrap(), clock.now());
        let at = stamps.at_nanos(stamp);
        let slack = Duration::from_millis(50);
        assert!(at + slack >= before && at <= after + slack, "{before:?} {at:?} {after:?}");
    }
}
