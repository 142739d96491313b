//! What a scan has done, as text for people: it never says done when it is not.

use indicatif::HumanCount;
use mrpf_dns::lookup::Counted;
use mrpf_engine::{stats::Counts, target::Excluded};
use mrpf_records::State;
use mrpf_syn::Summary;

use mrpf_console::exit::{DONE, FAILED, INCOMPLETE, INTERRUPTED};

use crate::{
    drive::{Driven, Ended},
    kind::Kind,
    report::Settings,
    saver::Saved,
};

impl Driven {
    /// Whether every target has an outcome, next to nothing was lost in any run, and all that was found is written.
    pub(crate) fn is_complete(&self) -> bool {
        self.ended == Ended::Through
            && self.error.is_none()
            && self.summary.is_complete()
            && !is_lossy(&self.losses())
    }

    /// Those of all runs together.
    fn losses(&self) -> Counts {
        self.before.so_far.plus(&self.summary, self.written).losses()
    }

    /// The exit code of a scan that has not failed.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.ended {
            // The code says that the scan can go on.
            Ended::Interrupted if matches!(self.saved, Saved::Failed(..)) => FAILED,
            Ended::Interrupted => INTERRUPTED,
            _ if self.is_complete() => DONE,
            _ => INCOMPLETE,
        }
    }
}

/// As [`Summary::is_complete`] has it for one run: losses above this share make a scan incomplete, and so does any answer
/// that found no room.
const MOST_LOSS: f64 = 0.001;

fn is_lossy(counts: &Counts) -> bool {
    counts.refused > 0 || counts.loss() > MOST_LOSS
}

/// Why a scan is not complete, in the order of their weight; nothing for one that is.
pub(crate) fn incomplete(driven: &Driven) -> Vec<String> {
    let Summary { progress, .. } = &driven.summary;
    let mut reasons = Vec::new();
    match driven.ended {
        Ended::Through => {}
        Ended::Failed => reasons.push("the scan failed".to_owned()),
        Ended::Interrupted => reasons.push("interrupted".to_owned()),
        Ended::MaxResults => reasons.push("stopped by --max-results".to_owned()),
        Ended::MaxTime => reasons.push("stopped by --max-time".to_owned()),
        Ended::ReaderClosed => reasons.push("the reader closed the pipe".to_owned()),
        Ended::WriteFailed => reasons.push("records could not be written".to_owned()),
    }
    if progress.settled < progress.total {
        let open = progress.total - progress.settled;
        reasons.push(format!(
            "{} of {} {} have no outcome",
            HumanCount(open),
            HumanCount(progress.total),
            driven.kind.targets()
        ));
    }
    let all = driven.losses();
    // A run may have lost more of what it made than all together.
    let counts = if is_lossy(&all) { &all } else { &driven.summary.counts };
    if is_lossy(counts) {
        let mut parts = Vec::new();
        for (n, what) in [
            (counts.dropped(), "frames not sent"),
            (counts.ring_drops, "frames lost on arrival"),
            (counts.refused, "answers without room"),
        ] {
            if n > 0 {
                parts.push(format!("{} {what}", HumanCount(n)));
            }
        }
        reasons.push(format!(
            "{} ({:.2} %{}; a lower --rate helps)",
            parts.join(", "),
            counts.loss() * 100.0,
            if driven.before.mark.is_some() && counts == &all { " of all runs" } else { "" }
        ));
    }
    reasons
}

fn lost(counts: &Counts) -> u64 {
    counts.dropped() + counts.ring_drops + counts.refused
}

/// The lines for the end of stderr. `verbose` adds every counter that is not zero.
pub(crate) fn text(driven: &Driven, settings: &Settings, place: &str, verbose: bool) -> String {
    let Summary { counts, states, elapsed, progress, .. } = &driven.summary;
    let mut lines = Vec::new();
    let (seconds, targets) = (elapsed.as_secs_f64(), driven.kind.targets());
    let head = match driven.is_complete() {
        true => format!("done: {} {targets} in {seconds:.1} s", HumanCount(progress.total)),
        false => format!(
            "not complete ({}): {} of {} {targets} begun in {seconds:.1} s",
            incomplete(driven).join("; "),
            HumanCount(progress.started.min(progress.total)),
            HumanCount(progress.total)
        ),
    };
    let found: Vec<String> = driven
        .tally
        .iter()
        .filter(|(_, count)| *count > 0 || settings.kind == Kind::Syn)
        .map(|(word, count)| format!("{} {word}", HumanCount(*count)))
        .collect();
    let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
    lines.push(format!("{head}: {found}"));
    let pace = (counts.sent as f64 / seconds.max(0.001)) as u64;
    lines.push(format!(
        "{} frames sent ({}/s), {} lost; {} records written to {place}",
        HumanCount(counts.sent),
        HumanCount(pace),
        HumanCount(lost(counts)),
        HumanCount(driven.written)
    ));
    lines.extend(driven.lookups.as_ref().map(queries));
    lines.extend(resumed(driven));
    if let Some(hosts) = driven.summary.noisy_hosts.filter(|hosts| *hosts > 0) {
        let hosts = HumanCount(hosts);
        lines.push(format!(
            "{hosts} hosts answer on nearly every port: what they say of services is worth little"
        ));
    }
    if counts.late > 0 {
        lines.push(format!(
            "{} answers came after their cooldown and are not in the records",
            HumanCount(counts.late)
        ));
    }
    if counts.abandoned > 0 {
        lines.push(format!(
            "{} connections were under way when the scan was stopped and are not in the records",
            HumanCount(counts.abandoned)
        ));
    }
    if counts.slowdowns > 0 {
        lines.push(format!(
            "first attempts were lost, so new probes were slowed {} times",
            HumanCount(counts.slowdowns)
        ));
    }
    if settings.kind == Kind::Syn && !settings.rst && states[State::Open as usize] > 0 {
        lines.push(
            "no resets were sent (--no-rst): hosts hold half-open connections for about a minute"
                .to_owned(),
        );
    } else if counts.resets_skipped > 0 {
        let skipped = HumanCount(counts.resets_skipped);
        lines.push(format!(
            "{skipped} resets were owed and not sent: their hosts hold half-open connections"
        ));
    }
    if verbose {
        for (name, value) in counts.fields().into_iter().filter(|(_, value)| *value > 0) {
            lines.push(format!("  {:<20} {}", name, HumanCount(value)));
        }
        let lookups = driven.lookups.iter().flat_map(Counted::fields);
        for (name, value) in lookups.filter(|(_, value)| *value > 0) {
            lines.push(format!("  {:<20} {}", name, HumanCount(value)));
        }
        if let Some((name, grown)) = &driven.summary.interface {
            let (tx, rx) = (HumanCount(grown.tx_packets), HumanCount(grown.rx_packets));
            lines.push(format!(
                "  interface {name}: {tx} packets sent, {rx} received, all programs together"
            ));
        }
    }
    lines.join("\n")
}

/// What it took to know, and what was almost believed.
fn queries(lookups: &Counted) -> String {
    let each = lookups.queries as f64 / lookups.questions.max(1) as f64;
    let mut line = format!("{} queries, {each:.2} a question", HumanCount(lookups.queries));
    for (count, what) in [
        (lookups.lost, "without an answer"),
        (lookups.servfail, "answered by SERVFAIL"),
        (lookups.refused, "by REFUSED"),
        (lookups.tests, "to find wildcards"),
        (lookups.over_tcp, "answers over TCP"),
        (lookups.near_misses(), "answers that nothing had asked for, so not taken"),
    ] {
        if count > 0 {
            line += &format!(", {} {what}", HumanCount(count));
        }
    }
    line
}

/// From where a resumed scan went on, and what that costs; `None` for a first run.
fn resumed(driven: &Driven) -> Option<String> {
    let from = driven.before.mark?;
    let all = driven.before.so_far.plus(&driven.summary, driven.written);
    Some(format!(
        "resumed from position {} of {}: run {}, {} records in all, of which {} may come twice",
        HumanCount(from),
        HumanCount(driven.summary.progress.total),
        all.runs,
        HumanCount(all.records),
        HumanCount(driven.before.may_have_repeated)
    ))
}

/// How a scan that is not through goes on; `None` where it does not.
pub(crate) fn going_on(driven: &Driven, settings: &Settings) -> Option<String> {
    match &driven.saved {
        Saved::At(path) if driven.ended != Ended::Through || driven.error.is_some() => {
            let mut text = format!(
                "saved at position {} of {}; to go on: mrpf {} --resume={}",
                HumanCount(driven.mark),
                HumanCount(driven.summary.progress.total),
                settings.kind,
                quoted(&path.display().to_string())
            );
            if driven.mark == driven.before.mark.unwrap_or(0) {
                // Retries are a second apart.
                let talk = settings.tls.as_ref().map_or(0.0, |tls| tls.deadline_s + 1.0);
                let final_after = f64::from(settings.retries) + settings.cooldown_s + talk;
                text += &format!(
                    "\nthat is where this run began: a target without an answer is final {final_after:.1} s after its first \
                     attempt, so let the next run last longer than that, or nothing is gained"
                );
            }
            Some(text)
        }
        Saved::Failed(path, why) => {
            Some(format!("the checkpoint {} could not be written: {why}", path.display()))
        }
        Saved::At(_) | Saved::Not => None,
    }
}

/// As a shell reads it as one word.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+,:@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) && !word.starts_with('-') {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// What exclusions took, in one line; `None` when they took nothing.
pub(crate) fn excluded(excluded: Excluded) -> Option<String> {
    let parts: Vec<String> = [
        (excluded.reserved, "reserved (--allow-reserved keeps them)"),
        (excluded.listed, "excluded"),
        (excluded.out_of_scope, "out of scope"),
    ]
    .into_iter()
    .filter(|(n, _)| *n > 0)
    .map(|(n, why)| format!("{} {why}", HumanCount(clamp(n))))
    .collect();
    (!parts.is_empty()).then(|| format!("left out addresses: {}", parts.join(", ")))
}

/// JSON numbers of other programs end at 64 bits, and only IPv6 has more addresses than that.
pub(crate) fn clamp(n: u128) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        checkpoint::Totals,
        report::tests::{settings, through},
    };

    #[test]
    fn what_is_not_complete_never_says_done() {
        let mut driven = through();
        assert!(text(&driven, &settings(), "list", false).starts_with("done: 256 targets in "));
        driven.summary.counts.ring_drops = driven.summary.counts.generated / 100;
        let text = text(&driven, &settings(), "list", true);
        assert!(text.starts_with("not complete (") && text.contains("lost on arrival"), "{text}");
        assert!(!text.contains("done"), "{text}");
        assert_eq!(driven.exit_code(), INCOMPLETE);
        driven.summary.counts.ring_drops = 0;
        driven.summary.progress.settled -= 1;
        assert_eq!(incomplete(&driven), ["1 of 256 targets have no outcome"]);
        assert_eq!(driven.exit_code(), INCOMPLETE);
    }

    #[test]
    fn what_earlier_runs_have_lost_is_not_forgotten() {
        let mut driven = through();
        let mut lossy = driven.summary.clone();
        lossy.counts.dropped_busy = lossy.counts.generated / 100;
        driven.before.mark = Some(9);
        driven.before.so_far = Totals::default().plus(&lossy, 0);
        assert!(driven.summary.is_complete() && !driven.is_complete());
        assert_eq!(driven.exit_code(), INCOMPLETE);
        let reasons = incomplete(&driven);
        assert!(reasons[0].contains("% of all runs"), "{reasons:?}");
        lossy.counts.dropped_busy = 0;
        lossy.counts.refused = 1;
        driven.before.so_far = Totals::default().plus(&lossy, 0);
        assert!(!driven.is_complete() && incomplete(&driven)[0].contains("without room"));
        driven.before.so_far = Totals::default().plus(&driven.summary, 0);
        assert!(driven.is_complete() && incomplete(&driven).is_empty());
    }

    /// One rule for a run and for all of them.
    #[test]
    fn the_limit_of_losses_is_that_of_the_library() {
        let mut summary = through().summary;
        summary.counts.generated = 1_000_000;
        for (lost, refused) in [(0, 0), (1_000, 0), (1_001, 0), (0, 1)] {
            (summary.counts.ring_drops, summary.counts.refused) = (lost, refused);
            assert_eq!(summary.is_complete(), !is_lossy(&summary.counts), "{lost} {refused}");
        }
    }

    #[test]
    fn half_open_connections_are_told() {
        let told = Settings { rst: false, ..settings() };
        assert!(text(&through(), &told, "list", false).contains("--no-rst"));
    }

    #[test]
    fn a_scan_that_can_go_on_says_how() {
        let mut driven = through();
        assert_eq!(going_on(&driven, &settings()), None);
        driven.saved = Saved::At("x y".into());
        assert_eq!(going_on(&driven, &settings()), None, "there is nothing left");
        driven.ended = Ended::Interrupted;
        driven.mark = 5;
        let expected = "saved at position 5 of 256; to go on: mrpf syn --resume='x y'";
        assert_eq!(going_on(&driven, &settings()).unwrap(), expected);
        // No further than the run before.
        driven.before.mark = Some(5);
        let text = going_on(&driven, &settings()).unwrap();
        assert!(text.starts_with(expected) && text.contains("final 10.0 s after"), "{text}");
        driven.saved = Saved::Failed("z".into(), "full".to_owned());
        assert_eq!(driven.exit_code(), FAILED, "it can not go on");
        assert_eq!(
            going_on(&driven, &settings()).unwrap(),
            "the checkpoint z could not be written: full"
        );
    }

    #[test]
    fn a_resumed_scan_tells_what_may_come_twice() {
        let mut driven = through();
        driven.before.mark = Some(9);
        driven.before.may_have_repeated = 1_234;
        let text = text(&driven, &settings(), "list", false);
        let expected = "resumed from position 9 of 256: run 1, 256 records in all, of which 1,234 may come twice";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("mrpf-0f.checkpoint"), "mrpf-0f.checkpoint");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("a'b"), "'a'\\''b'");
        assert_eq!(quoted("-x"), "'-x'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn exclusions_are_one_line_with_the_flag_that_lifts_them() {
        assert_eq!(excluded(Excluded::default()), None);
        let some = Excluded { reserved: 1 << 100, listed: 0, out_of_scope: 2 };
        let expected = "left out addresses: 18,446,744,073,709,551,615 reserved (--allow-reserved keeps them), 2 out of scope";
        assert_eq!(excluded(some).unwrap(), expected);
    }
}
