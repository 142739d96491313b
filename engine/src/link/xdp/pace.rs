//! How fast frames go to a device that loses some: slower until nearly none is lost, and faster again while none is.
//!
//! A device has no way to say "wait" to a redirected frame: what it has no room for is gone. So the sender finds out what the
//! device takes, as TCP does of a path (additive growth is a share of the rate here, since rates differ by a thousand):
//!
//! ```text
//! rate  |      /|    /|    /|       more than 0.1 % lost in an interval: 4/5 of what did go through
//!       |     / |   / |   / |       none lost: 15 % more in a second; none for long: twice as much
//!       |    /  |  /  |  /  |
//!       +------------------------   nothing was ever lost: no limit at all
//! ```
//!
//! Pure: it is told the time and the counts, and says how long to wait.

use std::time::Duration;

use crate::time::Instant;

/// The shortest time that is judged: longer than the ring holds frames for.
const INTERVAL: Duration = Duration::from_millis(20);
/// The fewest frames that are judged: of fewer, one lost is more than a thousandth.
const FEWEST: u64 = 1000;
/// Lost frames are borne up to one in so many.
const BORNE: u64 = 1000;
/// Of what went through while frames were lost.
const CUT: f64 = 0.8;
/// Growth in a second without loss, and in one judgement at most.
const GROWTH: f64 = 0.15;
/// The same when nothing was lost for [`LONG`], which is more than it takes to make up for a cut: the device is another now.
const LEAP: f64 = 1.0;
const LONG: Duration = Duration::from_secs(4);
/// Frames a second that are sent even when all are lost: how else would one see that the far end is there again.
const SLOWEST: f64 = 10_000.0;
/// What may be caught up on after a wait that was too long.
const CATCH_UP: Duration = Duration::from_millis(1);
/// Waits shorter than this are left for the next batch: the system does not sleep that exactly.
const SHORTEST_WAIT: Duration = Duration::from_micros(50);

/// The pace of one sender.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Frames a second.
    limit: Option<f64>,
    /// When the next frame may go.
    due: Instant,
    /// When, and at which counts, the interval began that is judged next.
    since: Instant,
    taken: u64,
    lost: u64,
    /// When frames were last lost.
    clean_since: Instant,
}

impl Pace {
    /// No limit, until frames are lost.
    pub(crate) fn new(now: Instant) -> Self {
        Self { limit: None, due: now, since: now, taken: 0, lost: 0, clean_since: now }
    }

    /// How long to wait before `count` more frames are sent.
    pub(crate) fn wait(&mut self, now: Instant, count: usize) -> Duration {
        let Some(limit) = self.limit else { return Duration::ZERO };
        self.due = self.due.max(now - CATCH_UP);
        let wait = self.due.since(now);
        self.due += Duration::from_secs_f64(count as f64 / limit);
        if wait < SHORTEST_WAIT { Duration::ZERO } else { wait }
    }

    /// What the device was given since the start, and how many of those it lost.
    pub(crate) fn observe(&mut self, now: Instant, taken: u64, lost: u64) {
        let elapsed = now.since(self.since);
        let (frames, gone) = (taken.saturating_sub(self.taken), lost.saturating_sub(self.lost));
        if elapsed < INTERVAL || frames < FEWEST {
            return;
        }
        let seconds = elapsed.as_secs_f64();
        if gone > 0 {
            self.clean_since = now;
        }
        if gone.saturating_mul(BORNE) > frames {
            let through = frames.saturating_sub(gone) as f64 / seconds;
            self.limit = Some((through * CUT).max(SLOWEST));
        } else if gone == 0 {
            let growth = if now.since(self.clean_since) < LONG { GROWTH } else { LEAP };
            self.limit = self.limit.map(|limit| limit * (1.0 + growth * seconds.min(1.0)));
        }
        (self.since, self.taken, self.lost) = (now, taken, lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device that sends `rate` frames a second, keeps up to `queue` more, and loses the rest.
    struct Device {
        rate: f64,
        queue: f64,
        held: f64,
        at: Instant,
        taken: u64,
        lost: u64,
    }

    impl Device {
        fn new(rate: f64, queue: f64) -> Self {
            Self { rate, queue, held: 0.0, at: Instant::START, taken: 0, lost: 0 }
        }

        fn take(&mut self, now: Instant, count: usize) {
            self.held = (self.held - self.rate * now.since(self.at).as_secs_f64()).max(0.0);
            self.at = now;
            self.taken += count as u64;
            for _ in 0..count {
                if self.held + 1.0 > self.queue {
                    self.lost += 1;
                } else {
                    self.held += 1.0;
                }
            }
        }
    }

    /// Sends batches of 64 as fast as the pace lets a sender that could make `fastest` a second, for so long. What the device
    /// took and lost in that time.
    fn send(
        pace: &mut Pace,
        device: &mut Device,
        now: &mut Instant,
        fastest: f64,
        time: Duration,
    ) -> (u64, u64) {
        let (end, before) = (*now + time, (device.taken, device.lost));
        while *now < end {
            *now += Duration::from_secs_f64(64.0 / fastest);
            *now += pace.wait(*now, 64);
            device.take(*now, 64);
            pace.observe(*now, device.taken, device.lost);
        }
        (device.taken - before.0, device.lost - before.1)
    }

    #[track_caller]
    fn check(rate: f64, queue: f64) {
        let (mut pace, mut now) = (Pace::new(Instant::START), Instant::START);
        let mut device = Device::new(rate, queue);
        let second = Duration::from_secs(1);
        send(&mut pace, &mut device, &mut now, 8e6, second);
        let (taken, lost) = send(&mut pace, &mut device, &mut now, 8e6, 20 * second);
        assert!(lost * 1000 < taken, "{lost} of {taken} lost by a device of {rate}/s");
        let share = taken as f64 / 20.0 / rate;
        assert!((0.84..1.01).contains(&share), "{share} of a device of {rate}/s is used");
    }

    #[test]
    fn fewer_than_one_in_a_thousand_is_lost_and_most_of_the_device_is_used() {
        // Queues of two batches at least, and of what comes in the shortest wait.
        for (rate, queue) in
            [(2e5, 256.0), (1e6, 256.0), (1e6, 4096.0), (3e6, 512.0), (3e6, 4096.0), (7e6, 1024.0)]
        {
            check(rate, queue);
        }
    }

    #[test]
    fn a_device_that_loses_nothing_is_not_slowed() {
        let (mut pace, mut now) = (Pace::new(Instant::START), Instant::START);
        let mut device = Device::new(9e6, 4096.0);
        let second = Duration::from_secs(1);
        let (taken, lost) = send(&mut pace, &mut device, &mut now, 8e6, second);
        assert!(taken >= 7_990_000 && lost == 0, "{taken}, {lost} lost");
    }

    #[test]
    fn a_loss_that_is_borne_changes_nothing() {
        let mut pace = Pace::new(Instant::START);
        pace.observe(Instant::from_nanos(30_000_000), 100_000, 100);
        assert_eq!(pace.limit, None);
        pace.observe(Instant::from_nanos(60_000_000), 200_000, 201);
        let limit = pace.limit.unwrap();
        pace.observe(Instant::from_nanos(90_000_000), 300_000, 202);
        assert_eq!(pace.limit, Some(limit), "neither slower nor faster");
    }

    #[test]
    fn it_follows_a_device_that_becomes_faster() {
        let (mut pace, mut now) = (Pace::new(Instant::START), Instant::START);
        let mut device = Device::new(1e6, 1024.0);
        let second = Duration::from_secs(1);
        send(&mut pace, &mut device, &mut now, 8e6, 3 * second);
        device.rate = 4e6;
        send(&mut pace, &mut device, &mut now, 8e6, 10 * second);
        let (taken, lost) = send(&mut pace, &mut device, &mut now, 8e6, 10 * second);
        assert!(taken > 34_000_000, "{taken}");
        assert!(lost * 1000 < taken, "{lost}");
    }

    #[test]
    fn when_all_is_lost_it_goes_on_slowly_and_comes_back() {
        let (mut pace, mut now) = (Pace::new(Instant::START), Instant::START);
        let mut device = Device::new(1e6, 0.0);
        let second = Duration::from_secs(1);
        send(&mut pace, &mut device, &mut now, 8e6, second);
        let (taken, lost) = send(&mut pace, &mut device, &mut now, 8e6, 5 * second);
        assert_eq!(taken, lost);
        assert!((45_000..55_000).contains(&taken), "{taken}");
        device.queue = 1024.0;
        send(&mut pace, &mut device, &mut now, 8e6, 25 * second);
        let (taken, _) = send(&mut pace, &mut device, &mut now, 8e6, second);
        assert!(taken > 800_000, "{taken}");
    }
}
