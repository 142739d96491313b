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
        let system = monotonic::nanos()?;
        Ok(Self { ahead: system.saturating_sub(clock.now().as_nanos()) })
    }

    /// The moment of a stamp in nanoseconds.
    #[inline]
    pub(super) fn at_nanos(&self, nanos: u64) -> Instant {
        Instant::from_nanos(nanos.saturating_sub(self.ahead))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

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
