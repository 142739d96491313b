//! How fast one server is asked: as fast as it answers, found from below.
//!
//! Queries are counted in epochs. An epoch is judged once its last query can have been answered: what share of it was lost,
//! and how many answers a second it brought. The moment of sending is known from an answer's round trip, so that each
//! answer counts for the epoch of its query.
//!
//! ```text
//!  sent    |--- epoch ---|                 |--- epoch ---|
//!  counted       |<- settle ->| verdict    |
//!                               |
//!             Double   few lost: twice as fast           many lost: as fast as was answered
//!             Hold     as fast as was answered, for 2, 4, 8 seconds
//!             Low      15 % slower or more, for one epoch: what is lost now is lost on the way
//!             Raise    5 % faster, for one epoch, and while nothing more is lost 10 %, 20 % ...
//!             Test     half as fast, for one epoch: is it the path that loses so much?
//! ```
//!
//! What is lost at any rate is the baseline of the path: it is taken off before a loss is blamed on the rate. A loss that
//! stays the same when the rate falls, and does so again at half the rate, becomes the baseline, and the rate goes back to
//! where it was. Answers that come after the verdict undo it: what was slow was not lost (as RFC 4015 has it for TCP).

use super::rtt::Rtt;

/// A server is asked at least so often a second, as long as it is asked at all.
const LEAST_RATE: f32 = 1.0;
/// Queries a round trip at the start (RFC 6928 starts TCP with as many segments).
const FIRST_ROUND: f32 = 10.0;
/// The rate at the start lies between these, whatever the round trip.
const FIRST_RATES: (f32, f32) = (20.0, 1_000.0);
/// While doubling, an excess loss above this is the server's: the rate before was at most twice too high.
const PLAIN_LOSS: f32 = 0.25;
/// Of a loss below this nothing is concluded, however many queries show it.
const SMALL_LOSS: f32 = 0.02;
/// A path that loses more than this is not believed to be one.
const MOST_BASELINE: f32 = 0.6;
/// How far below its rate `Low` asks: so far that a baseline which is none would show, within these.
const LOW: (f32, f32) = (0.5, 0.85);
/// The first step of `Raise`.
const FIRST_STEP: f32 = 0.05;
/// How long `Hold` lasts once a step was too much; each time that the next one is too, twice as long.
const HOLD: u64 = 2_000_000_000;
const LONGEST_HOLD: u64 = 8_000_000_000;
/// So long after an epoch its answers can undo what was concluded from it.
const BLAME: u64 = 5_000_000_000;
/// An epoch ends here even with few queries.
const LONGEST_EPOCH: u64 = 2_000_000_000;
/// Of fewer queries nothing is concluded.
const LEAST_SAMPLES: u32 = 5;
/// Whoever asks less than this share of what it may has other reasons than the rate.
const FULL: f32 = 0.7;

const SECOND: f32 = 1e9;

/// The rate of one server, and how it came to it.
#[derive(Clone, Debug)]
pub(super) struct Control {
    /// Queries a second, before the phase's part.
    rate: f32,
    /// The share that is lost whatever the rate.
    baseline: f32,
    /// What `Raise` adds, as a share.
    step: f32,
    /// The rate and the loss that led to the last reduction, while it is not known whether that helped; rate 0 for none.
    cut: (f32, f32),
    phase: Phase,
    /// Where `Hold` ends, and how long the next one is.
    until: u64,
    pause: u64,
    /// The epoch being sent.
    current: Epoch,
    /// The epoch whose answers are awaited; without queries there is none.
    awaited: Epoch,
    awaited_end: u64,
    /// The first epoch of late for which the rate was reduced, and the rate before; without queries there is none.
    blamed: Epoch,
    blamed_end: u64,
    blamed_rate: f32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Double,
    Hold,
    Low,
    Raise,
    Test,
}

#[derive(Clone, Copy, Debug, Default)]
struct Epoch {
    since: u64,
    sent: u32,
    answered: u32,
}

impl Control {
    /// The start: a first round, or a quarter of `before`, a rate that was once reached.
    pub(super) fn new(rtt: &Rtt, before: f32, most: f32, now: u64) -> Self {
        let (least, limit) = FIRST_RATES;
        let round = FIRST_ROUND * SECOND / rtt.mean().max(1) as f32;
        let limit = if before > 0.0 { limit.min(before / 4.0) } else { limit };
        let rate = round.min(limit).max(least).min(most);
        Self {
            rate,
            baseline: 0.0,
            step: FIRST_STEP,
            cut: (0.0, 0.0),
            phase: Phase::Double,
            until: 0,
            pause: HOLD,
            current: Epoch { since: now, ..Epoch::default() },
            awaited: Epoch::default(),
            awaited_end: 0,
            blamed: Epoch::default(),
            blamed_end: 0,
            blamed_rate: 0.0,
        }
    }

    /// Queries a second, at this moment.
    #[inline]
    pub(super) fn rate(&self) -> f32 {
        match self.phase {
            Phase::Double | Phase::Hold => self.rate,
            Phase::Low => self.rate * (1.0 - 1.2 * self.baseline).clamp(LOW.0, LOW.1),
            Phase::Raise => self.rate * (1.0 + self.step),
            Phase::Test => self.rate * 0.5,
        }
    }

    /// A query was sent.
    #[inline]
    pub(super) fn sent(&mut self, rtt: &Rtt, most: f32, now: u64) {
        self.judge_if_settled(rtt, most, now);
        if self.awaited.sent == 0 && self.is_over(rtt, now) {
            (self.awaited, self.awaited_end) = (self.current, now);
            self.current = Epoch { since: now, ..Epoch::default() };
        }
        self.current.sent += 1;
    }

    /// The query that was sent at `sent_at` was answered.
    #[inline]
    pub(super) fn answered(&mut self, sent_at: u64, rtt: &Rtt, most: f32, now: u64) {
        if let Some(epoch) = self.epoch_of(sent_at) {
            epoch.answered += 1;
        } else if (self.blamed.since..self.blamed_end).contains(&sent_at) {
            self.excuse(now);
        }
        // While doubling, most of an epoch says enough, and the slowest answers need not be awaited.
        let awaited = &self.awaited;
        let excess = awaited.sent as f32 * (1.0 - self.baseline) - awaited.answered as f32;
        if self.phase == Phase::Double
            && awaited.sent >= LEAST_SAMPLES
            && excess <= awaited.sent as f32 * PLAIN_LOSS
        {
            self.judge(most, now);
        } else {
            self.judge_if_settled(rtt, most, now);
        }
    }

    /// An answer came after all to a query of the epoch for which the rate was reduced.
    #[cold]
    fn excuse(&mut self, now: u64) {
        self.blamed.answered += 1;
        let sent = self.blamed.sent as f32;
        if self.blamed.answered as f32 >= sent * (1.0 - self.baseline - 2.0 * SMALL_LOSS) {
            self.rate = self.rate.max(self.blamed_rate);
            self.cut = (0.0, 0.0);
            self.phase = Phase::Double;
            self.blamed_end = 0;
            self.current = Epoch { since: now, ..Epoch::default() };
            self.awaited = Epoch::default();
        }
    }

    /// Nobody waits any longer for the answer to the query that was sent at `sent_at`: it counts neither way.
    pub(super) fn withdrawn(&mut self, sent_at: u64) {
        if let Some(epoch) = self.epoch_of(sent_at) {
            epoch.sent = epoch.sent.saturating_sub(1);
        }
    }

    fn epoch_of(&mut self, sent_at: u64) -> Option<&mut Epoch> {
        if sent_at >= self.current.since {
            return Some(&mut self.current);
        }
        let is_awaited = (self.awaited.since..self.awaited_end).contains(&sent_at);
        (is_awaited && self.awaited.sent > 0).then_some(&mut self.awaited)
    }

    fn is_over(&self, rtt: &Rtt, now: u64) -> bool {
        let (least, samples) = match self.phase {
            Phase::Double => ((rtt.mean() / 4).clamp(10_000_000, 100_000_000), 10),
            // What a path loses by chance hides what the server drops, so it takes more queries to see that.
            _ => {
                let samples = 100 + (4_000.0 * self.baseline) as u32;
                ((rtt.mean() * 2).clamp(100_000_000, 400_000_000), samples)
            }
        };
        let lasted = now.saturating_sub(self.current.since);
        lasted >= least && (self.current.sent >= samples || lasted >= LONGEST_EPOCH)
    }

    #[inline]
    fn judge_if_settled(&mut self, rtt: &Rtt, most: f32, now: u64) {
        if self.awaited.sent > 0 && now >= self.awaited_end + rtt.settle() {
            self.judge(most, now);
        }
    }

    fn judge(&mut self, most: f32, now: u64) {
        let epoch = std::mem::take(&mut self.awaited);
        let seen = Seen::of(epoch, self.awaited_end);
        if seen.queries < LEAST_SAMPLES as f32 {
            return;
        }
        let before = self.rate();
        if self.is_too_much(&seen) {
            if self.blamed_end == 0 || self.blamed_end + BLAME < now {
                (self.blamed, self.blamed_end) = (epoch, self.awaited_end);
                self.blamed_rate = self.rate;
            }
            self.reduce(&seen, now);
        } else {
            self.go_on(&seen, now);
        }
        self.rate = self.rate.clamp(LEAST_RATE.min(most), most);
        if self.rate() != before {
            // What was sent since was sent at another rate.
            self.current = Epoch { since: now, ..Epoch::default() };
        }
    }

    /// Whether more is missing than the path takes and than chance explains.
    fn is_too_much(&self, seen: &Seen) -> bool {
        let expected = self.baseline * seen.queries;
        let excess = seen.lost - expected;
        match self.phase {
            Phase::Double => excess > PLAIN_LOSS * seen.queries && excess > 2.5,
            _ => excess > 1.5 + 2.0 * (expected + 0.5).sqrt() && excess > SMALL_LOSS * seen.queries,
        }
    }

    fn reduce(&mut self, seen: &Seen, now: u64) {
        let taken = seen.goodput / (1.0 - self.baseline);
        if seen.goodput == 0.0 {
            // Dead, or asked so fast that its allowance is used up for a while.
            self.rate /= 8.0;
            self.cut = (0.0, 0.0);
            self.phase = Phase::Double;
            return;
        }
        if self.phase == Phase::Raise {
            self.rate = self.rate.min(taken);
            self.hold(now + self.pause);
            self.pause = (self.pause * 2).min(LONGEST_HOLD);
            return;
        }
        let (rate, loss) = self.cut;
        // Of few queries a share is not known well: three standard deviations of the difference.
        let chance = 3.0 * (2.0 * loss * (1.0 - loss) / seen.queries).sqrt();
        let is_same = (seen.loss - loss).abs() <= (0.25 * loss).max(chance.min(0.1))
            && seen.loss <= MOST_BASELINE;
        if is_same && self.phase == Phase::Test {
            self.baseline = seen.loss;
            self.rate = rate;
            self.cut = (0.0, 0.0);
            self.phase = Phase::Double;
            return;
        }
        if is_same && seen.rate <= 0.95 * rate {
            self.rate = taken.min(self.rate);
            self.phase = Phase::Test;
            return;
        }
        self.cut = (seen.rate, seen.loss);
        self.pause = HOLD;
        self.rate = taken.min(self.rate);
        self.hold(now);
    }

    fn go_on(&mut self, seen: &Seen, now: u64) {
        self.cut = (0.0, 0.0);
        let is_full = seen.rate >= FULL * self.rate();
        match self.phase {
            Phase::Double if is_full => self.rate *= 2.0,
            Phase::Double => {}
            Phase::Hold => {
                // Too little for a verdict, but the same in each epoch: the rate goes down as far as that explains it.
                self.rate *= 1.0 - (seen.loss - self.baseline).max(0.0) / 2.0;
                self.learn(seen, 0.125);
                if now >= self.until {
                    self.phase = if self.baseline > SMALL_LOSS { Phase::Low } else { Phase::Raise };
                }
            }
            Phase::Low => {
                self.learn(seen, 0.5);
                self.phase = Phase::Raise;
            }
            Phase::Raise if is_full => {
                self.rate *= 1.0 + self.step;
                self.pause = HOLD;
                self.step = (self.step * 2.0).min(1.0);
            }
            Phase::Raise => self.hold(now),
            Phase::Test => {
                self.learn(seen, 0.5);
                self.hold(now);
            }
        }
    }

    fn hold(&mut self, until: u64) {
        self.step = FIRST_STEP;
        self.until = until;
        self.phase = Phase::Hold;
    }

    /// Moves the baseline towards what was seen: fast down, `up` up, and less for few queries.
    fn learn(&mut self, seen: &Seen, up: f32) {
        let by = if seen.loss < self.baseline { 0.5 } else { up };
        let weight = by * (seen.queries / 64.0).min(1.0);
        self.baseline =
            (self.baseline + weight * (seen.loss - self.baseline)).clamp(0.0, MOST_BASELINE);
    }
}

/// What an epoch showed.
struct Seen {
    queries: f32,
    lost: f32,
    loss: f32,
    /// Queries a second.
    rate: f32,
    /// Answers a second.
    goodput: f32,
}

impl Seen {
    fn of(epoch: Epoch, end: u64) -> Self {
        let answered = epoch.answered.min(epoch.sent) as f32;
        let queries = epoch.sent as f32;
        let seconds = end.saturating_sub(epoch.since).max(1) as f32 / SECOND;
        let lost = queries - answered;
        let loss = lost / queries.max(1.0);
        Self { queries, lost, loss, rate: queries / seconds, goodput: answered / seconds }
    }
}
