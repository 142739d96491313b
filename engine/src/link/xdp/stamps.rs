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

    /// The moment of a stamp in microseconds that wrap at 32 bits, not long before or after `now`.
    #[inline]
    pub(super) fn at_micros(&self, micros: u32, now: Instant) -> Instant {
        let system = (self.ahead.wrapping_add(now.as_nanos()) / 1_000) as u32;
        let since = i64::from(micros.wrapping_sub(system) as i32) * 1_000;
        Instant::from_nanos(now.as_nanos().saturating_add_signed(since))
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

    #[test]
    fn microseconds_wrap() {
        // The system's clock is just past a wrap, the stamp before it.
        let wrap = 1_000 << 32;
        let stamps = Stamps { ahead: wrap - 5_000_000 };
        let now = Instant::from_nanos(6_000_000);
        assert_eq!(stamps.at_micros(1_000, now), now);
        assert_eq!(stamps.at_micros(0, now), Instant::from_nanos(5_000_000));
        assert_eq!(stamps.at_micros(u32::MAX, now), Instant::from_nanos(4_999_000));
        assert_eq!(stamps.at_micros(1_500, now), Instant::from_nanos(6_500_000), "a little after");
        assert_eq!(stamps.at_micros(0x9000_0000, now), Instant::START, "never before the start");
    }
}
