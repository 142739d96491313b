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

    /// Both clocks at the present moment, to read the kernel's timestamps by.
    pub fn reading(&self) -> Reading {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Reading { now: self.now(), wall_nanos: wall.map_or(0, |wall| wall.as_nanos() as u64) }
    }
}

/// Longest time after a reading that a timestamp is believed: what one look at a full ring takes.
const MOST_AFTER: Duration = Duration::from_millis(100);

/// Two clocks read together. What lies between a kernel timestamp and the reading is how old a frame is, so a wall
/// clock that is stepped in mid-scan misplaces only what is in flight at that moment.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    now: Instant,
    wall_nanos: u64,
}

impl Reading {
    /// The moment of a kernel timestamp (wall clock, nanoseconds since 1970), as received frames carry it: before the
    /// reading or, for a frame that came while others were looked at, a little after it.
    pub fn at_wall_nanos(&self, wall_nanos: u64) -> Instant {
        match wall_nanos.checked_sub(self.wall_nanos) {
            Some(after) => self.now + Duration::from_nanos(after).min(MOST_AFTER),
            None => self.now - Duration::from_nanos(self.wall_nanos - wall_nanos),
        }
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
    fn a_kernel_timestamp_is_never_far_in_the_future() {
        let clock = Clock::start();
        let future =
            (SystemTime::now() + Duration::from_secs(3600)).duration_since(UNIX_EPOCH).unwrap();
        let reading = clock.reading();
        assert_eq!(reading.at_wall_nanos(future.as_nanos() as u64), reading.now + MOST_AFTER);
        assert_eq!(reading.at_wall_nanos(reading.wall_nanos - 1_000_000_000_000), Instant::START);
    }

    #[test]
    fn a_frame_is_as_old_as_the_wall_clock_says_even_when_that_was_stepped() {
        let reading = Reading { now: Instant::from_nanos(9_000), wall_nanos: 50_000 };
        assert_eq!(reading.at_wall_nanos(48_000), Instant::from_nanos(7_000));
        let stepped = Reading { wall_nanos: 50_000 - 40_000, ..reading };
        assert_eq!(stepped.at_wall_nanos(8_000), Instant::from_nanos(7_000));
    }
}
