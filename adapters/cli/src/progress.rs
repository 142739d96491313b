//! How far a scan is: a live line on a terminal, a line every 10 s where `-v` asks for it, and else nothing.

use std::{
    borrow::Cow,
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use mrpf_engine::{scan::Progress as Reached, stats::Counts};

use mrpf_console::say;

use crate::kind::Scan;

/// Shows a scan while it runs.
#[derive(Debug)]
pub(crate) struct Progress {
    form: Form,
    next: Instant,
    pace: Pace,
    /// How long answers are awaited after the last target has begun.
    tail: Duration,
    /// When the last target had begun.
    all_started: Option<Instant>,
    /// Records are shown on the same screen.
    shares_screen: bool,
}

#[derive(Debug)]
enum Form {
    Bar(ProgressBar),
    Lines,
    Off,
}

/// What is to be shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
    /// Records go to a terminal too.
    pub(crate) records_on_terminal: bool,
}

impl Progress {
    pub(crate) fn new(wanted: Wanted, tail: Duration) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let form = match wanted {
            Wanted { quiet: true, .. } => Form::Off,
            _ if is_terminal => Form::Bar(bar()),
            Wanted { verbose: true, .. } => Form::Lines,
            _ => Form::Off,
        };
        let now = Instant::now();
        Self {
            next: now + form.every(),
            form,
            pace: Pace { at: now, sent: 0, started: 0, per_second: None },
            tail,
            all_started: None,
            shares_screen: is_terminal && wanted.records_on_terminal,
        }
    }

    /// Shows where `scan` is, when it is time to.
    pub(crate) fn show(&mut self, now: Instant, scan: &Scan) {
        if now < self.next || matches!(self.form, Form::Off) {
            return;
        }
        self.next = now + self.form.every();
        let (reached, counts) = (scan.progress(), scan.counts());
        self.pace.step(now, &counts, &reached);
        let is_counted = scan.is_counted();
        if is_counted && reached.started >= reached.total {
            self.all_started.get_or_insert(now);
        }
        let left = if is_counted { self.left(now, &reached) } else { None };
        let line = line(&counts, &scan.tally(), self.pace.frames(), left);
        let line = match is_counted {
            // Not `settled`, which stands still until the first cooldown is over.
            true => {
                let percent = reached.started.min(reached.total) * 100 / reached.total.max(1);
                format!("{percent:>3} %  {line}")
            }
            // Of how many, nobody knows.
            false => format!("{} done  {line}", HumanCount(reached.settled)),
        };
        match &self.form {
            Form::Bar(bar) => bar.set_message(line),
            Form::Lines => say(&line),
            Form::Off => {}
        }
    }

    /// Writes records without tearing the live line.
    pub(crate) fn aside<R>(&self, write: impl FnOnce() -> R) -> R {
        match &self.form {
            Form::Bar(bar) if self.shares_screen => bar.suspend(write),
            _ => write(),
        }
    }

    /// Takes the live line away.
    pub(crate) fn end(&self) {
        if let Form::Bar(bar) = &self.form {
            bar.finish_and_clear();
        }
    }

    fn left(&self, now: Instant, reached: &Reached) -> Option<Duration> {
        if let Some(since) = self.all_started {
            // What comes after the last cooldown takes its own time, which nobody knows.
            let left = self.tail.saturating_sub(now.duration_since(since));
            return Some(left).filter(|left| !left.is_zero());
        }
        let per_second =
            self.pace.per_second.map(|(_, targets)| targets).filter(|targets| *targets >= 0.01)?;
        let seconds = reached.total.saturating_sub(reached.started) as f64 / per_second;
        Some(Duration::try_from_secs_f64(seconds).ok()?.saturating_add(self.tail))
    }
}

impl Form {
    fn every(&self) -> Duration {
        match self {
            Self::Bar(_) => Duration::from_millis(200),
            Self::Lines | Self::Off => Duration::from_secs(10),
        }
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_msg}");
    ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr())
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

/// Frames and targets a second, of late.
#[derive(Debug)]
struct Pace {
    at: Instant,
    sent: u64,
    started: u64,
    per_second: Option<(f64, f64)>,
}

impl Pace {
    fn step(&mut self, now: Instant, counts: &Counts, reached: &Reached) {
        let since = now.duration_since(self.at).as_secs_f64();
        if since < 0.9 {
            return; // shorter stretches show the batches, and not the pace
        }
        let pace = |new: u64, old: u64| new.saturating_sub(old) as f64 / since;
        let (frames, targets) = (pace(counts.sent, self.sent), pace(reached.started, self.started));
        // Retries come in waves: what is left is judged by a mean over some seconds.
        let smooth = self.per_second.map_or(targets, |(_, before)| before * 0.8 + targets * 0.2);
        self.per_second = Some((frames, smooth));
        (self.at, self.sent, self.started) = (now, counts.sent, reached.started);
    }

    fn frames(&self) -> Option<u64> {
        self.per_second.map(|(frames, _)| frames as u64)
    }
}

/// What matters most stands first: a narrow terminal cuts the end off.
fn line(
    counts: &Counts,
    tally: &[(Cow<'_, str>, u64)],
    per_second: Option<u64>,
    left: Option<Duration>,
) -> String {
    let lost = counts.dropped() + counts.ring_drops + counts.refused;
    // Words that nobody has met say nothing, but for the first and those that every scan has.
    let show = |(word, count): &(Cow<'_, str>, u64)| format!("{word} {}", HumanCount(*count));
    let (first, others) =
        tally.split_first().map_or((None, tally), |(first, rest)| (Some(first), rest));
    let rate = per_second.map(|rate| format!(" ({}/s)", HumanCount(rate))).unwrap_or_default();
    let mut parts = Vec::with_capacity(7);
    parts.extend(left.map(|left| format!("{} left", span(left))));
    parts.push(format!("sent {}{rate}", HumanCount(counts.sent)));
    parts.extend(first.map(show));
    parts.push(format!("lost {}", HumanCount(lost)));
    let is_short = others.len() < 4;
    parts.extend(others.iter().filter(|(_, count)| is_short || *count > 0).map(show));
    parts.join("  ")
}

/// A duration as people say it: `4 s`, `12 min 30 s`, `3 h 5 min`, `2 days 4 h`.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} days {} h", HumanCount(seconds / 86_400), seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_frames_states_losses_and_time() {
        let counts = Counts { sent: 12_345, dropped_busy: 1, ring_drops: 2, ..Counts::default() };
        let tally = [("open", 3), ("closed", 4), ("unreachable", 5), ("silent", 6_000)];
        let tally = tally.map(|(word, count)| (word.into(), count));
        let line = line(&counts, &tally, Some(9_999), Some(Duration::from_secs(75)));
        let expected = "1 min 15 s left  sent 12,345 (9,999/s)  open 3  lost 3  closed 4  unreachable 5  silent 6,000";
        assert_eq!(line, expected);
    }

    #[test]
    fn spans_are_read_at_a_glance() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min 0 s"),
            (3_700, "1 h 1 min"),
            (180_000, "2 days 2 h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        assert!(span(Duration::MAX).ends_with(" h"));
    }

    #[test]
    fn a_pace_needs_a_second() {
        let begin = Instant::now();
        let mut pace = Pace { at: begin, sent: 0, started: 0, per_second: None };
        let counts = Counts { sent: 2_000, ..Counts::default() };
        let reached = Reached { total: 4_000, started: 1_000, reached: 1_000, settled: 0 };
        pace.step(begin + Duration::from_millis(100), &counts, &reached);
        assert_eq!(pace.frames(), None);
        pace.step(begin + Duration::from_secs(2), &counts, &reached);
        assert_eq!(pace.frames(), Some(1_000));
    }
}
