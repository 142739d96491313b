//! Time as the engine sees it: a number of nanoseconds that only grows.
//!
//! Everything below takes `now` as an argument. [`Clock`] is the one place that asks the system; the `sim` link has a
//! clock of its own and needs none.

use std::{
    fmt,
    ops::{Add, AddAssign, Sub},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A moment, in nanoseconds since the clock of the scan started. Real or virtual: nothing below can tell.
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Instant(u64);

impl Instant {
    /// The moment the clock started.
    pub const START: Self = Self(0);
    /// A moment that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment `nanos` after the start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Microseconds since the start, wrapped to 32 bits (after 71.6 minutes): what the answered ring stores.
    pub const fn as_wrapped_micros(self) -> u32 {
        (self.0 / 1_000) as u32
    }

    /// How long after `earlier` this is; zero when it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, by: Duration) {
        *self = *self + by;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// Saturates at the start.
    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// The one reader of the system's clocks: a monotonic one for pacing and the wall clock for what people read.
///
/// A suspended machine stops the monotonic clock (CLOCK_MONOTONIC, clock_gettime(2)), so nothing is owed when it wakes.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: std::time::Instant,
    start_wall: SystemTime,
}

impl Clock {
    /// Starts a clock at [`Instant::START`].
    pub fn start() -> Self {
        Self { start: std::time::Instant::now(), start_wall: SystemTime::now() }
    }

    /// The present moment.
    pub fn now(&self) -> Instant {
        Instant(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// The wall-clock time at the start: add an [`Instant`]'s nanoseconds to it for the time of an event.
    pub fn start_wall(&self) -> SystemTime {
        self.start_wall
    }

    /// The moment of a kernel timestamp (wall clock, nanoseconds since 1970), as received frames carry it.
    ///
    /// The wall clock may have been stepped since the start, so the answer is held within `0..=now`.
    pub fn at_wall_nanos(&self, wall_nanos: u64) -> Instant {
        let start = self.start_wall.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
        Instant(wall_nanos.saturating_sub(start)).min(self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        assert_eq!(Instant::NEVER + Duration::from_secs(1), Instant::NEVER);
        assert_eq!(Instant::START - Duration::from_secs(1), Instant::START);
        assert_eq!(Instant::START.since(Instant::from_nanos(5)), Duration::ZERO);
    }

    #[test]
    fn a_kernel_timestamp_is_never_in_the_future() {
        let clock = Clock::start();
        let future =
            (SystemTime::now() + Duration::from_secs(3600)).duration_since(UNIX_EPOCH).unwrap();
        assert!(clock.at_wall_nanos(future.as_nanos() as u64) <= clock.now());
    }
}
