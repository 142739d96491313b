//! What `--rate max` needs instead of a bucket: retries that do not come in a burst, and new probes that slow down when
//! they are lost.

use std::{num::NonZeroU64, time::Duration};

use crate::{governor::Bucket, stats::Counters, time::Instant};

/// Lets a pass go over the targets that wait for it in one spacing, not at once: the first pass may have left within
/// a few milliseconds, and what it overran would be overrun again.
#[derive(Debug)]
pub(super) struct Spread {
    spacing: Duration,
    bucket: Bucket,
    until: Instant,
}

/// Slowest pass: a few stragglers need not take a whole spacing each.
const LEAST_SPEED: u64 = 1_000;

impl Spread {
    pub(super) fn new(spacing: Duration) -> Self {
        Self { spacing, bucket: Bucket::owing(NonZeroU64::new(LEAST_SPEED)), until: Instant::START }
    }

    /// Whether one more target may be passed at `now`, when `backlog` targets wait.
    pub(super) fn may_pass(&mut self, now: Instant, backlog: u64) -> bool {
        if now >= self.until {
            let per_second = (backlog as f64 / self.spacing.as_secs_f64().max(0.001)) as u64;
            self.bucket.set_rate(NonZeroU64::new(per_second.clamp(LEAST_SPEED, 100_000_000)));
            self.until = now + self.spacing;
        }
        self.bucket.take(1, now) == 1
    }

    pub(super) fn ready_at(&self) -> Instant {
        self.bucket.ready_at(32)
    }
}

/// Judges once a spacing whether first attempts are lost where retries are not, and paces new probes by it.
///
/// Among targets that answer at all let `p0` be the share whose first attempt was lost and `p1` the same for retries, which
/// leave slowly. Of every host that lives, `1 - p0` answer the first attempt, `p0 (1 - p1)` the second and `p0 p1 (1 - p1)`
/// the third, so counts `n0, n1, n2` of first answers by attempt give both without knowing how many live:
///
/// ```text
/// p1 = n2 / n1        p0 / (1 - p0) = (n1 / n0) / (1 - p1)
/// ```
///
/// The three counts must be of the same targets, and attempt `a` leaves `a` spacings after the first: `n0` is taken from
/// the last interval but two, `n1` from the last but one.
///
/// A network that loses 5 % of everything has `p0 = p1` and is left alone. `p0 > p1 + 1 %` is our own doing: the pace is
/// halved (and grows again by a twentieth of the full rate each time all is well: AIMD). With one retry `p1` cannot be known
/// and counts as 0; without retries there is nothing to judge by.
#[derive(Debug)]
pub(super) struct Losses {
    interval: Duration,
    next: Instant,
    /// At the ends of the last intervals, the latest last.
    seen: [Seen; 4],
    /// Intervals until the targets judged are all younger than the last change of pace.
    wait: u8,
    /// The highest rate at which new probes were slowed; a twentieth of it is the step up.
    full: Option<u64>,
    pace: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    at: Instant,
    head: u64,
    answers: [u64; 3],
}

/// A new pace for new probes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Pace {
    pub(super) rate: Option<NonZeroU64>,
    pub(super) is_slower: bool,
}

/// Excess of first attempts lost over retries lost that counts as our doing.
const EXCESS: f64 = 0.01;
/// Fewer first answers than this in an interval prove nothing.
const LEAST_ANSWERS: u64 = 500;
/// Slowest pace.
const LEAST_PACE: u64 = 1_000;

impl Losses {
    /// For a scan with `retries` further attempts, one `spacing` apart.
    pub(super) fn new(spacing: Duration, retries: u8) -> Self {
        let interval = spacing.max(Duration::from_millis(100));
        let wait = retries.min(2);
        Self {
            interval,
            next: Instant::START + interval,
            seen: [Seen::default(); 4],
            wait,
            full: None,
            pace: None,
        }
    }

    /// The pace to be set, when it changes.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        head: u64,
        counters: &Counters,
        retries: u8,
    ) -> Option<Pace> {
        if now < self.next {
            return None;
        }
        let answers = [0, 1, 2].map(|attempt: usize| counters.answered_by_attempt[attempt].load());
        self.judge_counts(now, head, answers, retries)
    }

    fn judge_counts(
        &mut self,
        now: Instant,
        head: u64,
        answers: [u64; 3],
        retries: u8,
    ) -> Option<Pace> {
        self.next = now + self.interval;
        self.seen.rotate_left(1);
        self.seen[3] = Seen { at: now, head, answers };
        let before = self.seen[2];
        let elapsed = now.since(before.at);
        if elapsed > self.interval * 3 / 2 {
            // The consumer or the machine held us up: this interval is not as long as the others.
            self.wait = retries.min(2) + 1;
        }
        if self.wait > 0 {
            self.wait -= 1;
            return None;
        }
        let of = |attempt: usize, ago: usize| {
            let [from, to] = [3 - ago - 1, 3 - ago].map(|at| self.seen[at].answers[attempt]);
            to.saturating_sub(from)
        };
        let last = usize::from(retries.min(2));
        let [n0, n1, n2] = [of(0, last), of(1, last - 1), if last == 2 { of(2, 0) } else { 0 }];
        if n0 < LEAST_ANSWERS {
            // Too few to be slowed by; and what was slowed goes up again, or it would stay where too few answer to judge it.
            return self.faster();
        }
        if n1 == 0 && self.pace.is_none() {
            return None;
        }
        let rate = ((head - before.head) as f64 / elapsed.as_secs_f64().max(0.001)) as u64;
        if excess(n0, n1, n2, retries) > EXCESS {
            let full = self.full.unwrap_or(rate).max(rate);
            self.full = Some(full);
            let pace = (self.pace.unwrap_or(full).min(rate.max(LEAST_PACE)) / 2).max(LEAST_PACE);
            self.pace = Some(pace);
            self.wait = retries.min(2);
            return Some(Pace { rate: NonZeroU64::new(pace), is_slower: true });
        }
        self.faster()
    }

    /// One step up, if new probes were slowed.
    fn faster(&mut self) -> Option<Pace> {
        let pace = self.pace? + (self.full? / 20).max(LEAST_PACE / 20);
        self.pace = Some(pace);
        Some(Pace { rate: NonZeroU64::new(pace), is_slower: false })
    }
}

/// `p0 - p1`: see [`Losses`].
fn excess(n0: u64, n1: u64, n2: u64, retries: u8) -> f64 {
    let p1 = if retries >= 2 && n1 > 0 { (n2 as f64 / n1 as f64).min(0.95) } else { 0.0 };
    let odds = n1 as f64 / n0 as f64 / (1.0 - p1);
    odds / (1.0 + odds) - p1
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// First answers by attempt of `live` hosts when attempts are lost at `p0` and retries at `p1`.
    fn answers(live: f64, p0: f64, p1: f64) -> [u64; 3] {
        [live * (1.0 - p0), live * p0 * (1.0 - p1), live * p0 * p1 * (1.0 - p1)].map(|n| n as u64)
    }

    /// Intervals one after the other, each with the same answers of the targets that it began.
    struct Intervals {
        losses: Losses,
        now: Instant,
        head: u64,
        seen: [u64; 3],
        young: [[u64; 3]; 2],
        retries: u8,
    }

    impl Intervals {
        fn new(retries: u8) -> Self {
            let losses = Losses::new(SECOND, retries);
            Self { losses, now: Instant::START, head: 0, seen: [0; 3], young: [[0; 3]; 2], retries }
        }

        fn next(&mut self, head: u64, began: [u64; 3]) -> Option<Pace> {
            self.now += SECOND;
            self.head += head;
            self.seen[0] += began[0];
            self.seen[1] += self.young[1][1];
            self.seen[2] += self.young[0][2];
            self.young = [self.young[1], began];
            self.losses.judge_counts(self.now, self.head, self.seen, self.retries)
        }
    }

    #[track_caller]
    fn check(p0: f64, p1: f64, retries: u8, is_slowed: bool) {
        let mut intervals = Intervals::new(retries);
        let began = answers(200_000.0, p0, p1);
        for _ in 0..retries.min(2) {
            assert_eq!(intervals.next(1_000_000, began), None, "nobody knows yet");
        }
        let pace = intervals.next(1_000_000, began);
        assert_eq!(pace.is_some_and(|pace| pace.is_slower), is_slowed, "{p0} {p1}: {pace:?}");
    }

    #[test]
    fn only_losses_that_retries_do_not_share_slow_us() {
        check(0.0, 0.0, 2, false);
        check(0.05, 0.05, 2, false);
        check(0.20, 0.20, 3, false);
        check(0.005, 0.0, 2, false);
        check(0.02, 0.0, 2, true);
        check(0.40, 0.05, 2, true);
        check(0.08, 0.05, 3, true);
        check(0.02, 0.0, 1, true);
    }

    #[test]
    fn the_pace_is_halved_and_grows_by_steps() {
        let mut intervals = Intervals::new(2);
        let bad = answers(200_000.0, 0.3, 0.0);
        assert_eq!((intervals.next(1_000_000, bad), intervals.next(1_000_000, bad)), (None, None));
        let first = intervals.next(1_000_000, bad).unwrap();
        assert_eq!((first.rate.unwrap().get(), first.is_slower), (500_000, true));
        // What left before the change is not held against the new pace.
        let good = answers(100_000.0, 0.0, 0.0);
        assert_eq!((intervals.next(500_000, good), intervals.next(500_000, good)), (None, None));
        let second = intervals.next(500_000, good).unwrap();
        assert_eq!((second.rate.unwrap().get(), second.is_slower), (550_000, false));
    }

    #[test]
    fn a_pace_at_which_too_few_answer_to_judge_it_grows_again() {
        let mut intervals = Intervals::new(2);
        let bad = answers(200_000.0, 0.3, 0.0);
        assert_eq!((intervals.next(1_000_000, bad), intervals.next(1_000_000, bad)), (None, None));
        assert!(intervals.next(1_000_000, bad).unwrap().is_slower);
        let few = answers(400.0, 0.0, 0.0);
        assert_eq!((intervals.next(2_000, few), intervals.next(2_000, few)), (None, None));
        let next = intervals.next(2_000, few).unwrap();
        assert_eq!((next.rate.unwrap().get(), next.is_slower), (550_000, false));
    }

    #[test]
    fn few_answers_prove_nothing() {
        let mut intervals = Intervals::new(2);
        assert!((0..6).all(|_| intervals.next(1_000_000, [400, 90, 0]).is_none()));
    }

    #[test]
    fn a_pass_takes_one_spacing_over_its_backlog() {
        let mut spread = Spread::new(SECOND);
        let start = Instant::START + SECOND;
        let (mut now, mut passed) = (start, 0_u64);
        while passed < 60_000 {
            while passed < 60_000 && spread.may_pass(now, 60_000 - passed) {
                passed += 1;
            }
            now += Duration::from_micros(100);
        }
        let took = now.since(start);
        assert!(took > SECOND * 9 / 10 && took < SECOND * 11 / 10, "{took:?}");
    }
}
