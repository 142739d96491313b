//! What a scan has done, as text for people: it never says done when it is not.

use indicatif::HumanCount;
use mrpf_engine::{stats::Counts, target::Excluded};
use mrpf_records::State;
use mrpf_syn::Summary;

use crate::{
    drive::{Driven, Ended},
    error::{DONE, INCOMPLETE, INTERRUPTED},
    report::Settings,
    saver::Saved,
};

impl Driven {
    /// Whether every target has an outcome, next to nothing was lost, and all that was found is written.
    pub(crate) fn is_complete(&self) -> bool {
        self.ended == Ended::Through && self.error.is_none() && self.summary.is_complete()
    }

    /// The exit code of a scan that has not failed.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.ended {
            Ended::Interrupted => INTERRUPTED,
            _ if self.is_complete() => DONE,
            _ => INCOMPLETE,
        }
    }
}

/// Why a scan is not complete, in the order of their weight; nothing for one that is.
pub(crate) fn incomplete(driven: &Driven) -> Vec<String> {
    let Summary { counts, progress, .. } = &driven.summary;
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
            "{} of {} targets have no outcome",
            HumanCount(open),
            HumanCount(progress.total)
        ));
    }
    // The limit above which `Summary::is_complete` is false has its place there.
    if lost(counts) > 0 && !driven.summary.is_complete() {
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
            "{} ({:.2} %; a lower --rate helps)",
            parts.join(", "),
            counts.loss() * 100.0
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
    let seconds = elapsed.as_secs_f64();
    let head = match driven.is_complete() {
        true => format!("done: {} targets in {seconds:.1} s", HumanCount(progress.total)),
        false => format!(
            "not complete ({}): {} of {} targets begun in {seconds:.1} s",
            incomplete(driven).join("; "),
            HumanCount(progress.started.min(progress.total)),
            HumanCount(progress.total)
        ),
    };
    let found = State::ALL
        .map(|state| format!("{} {state}", HumanCount(states[state as usize])))
        .join(", ");
    lines.push(format!("{head}: {found}"));
    let pace = (counts.sent as f64 / seconds.max(0.001)) as u64;
    lines.push(format!(
        "{} frames sent ({}/s), {} lost; {} records written to {place}",
        HumanCount(counts.sent),
        HumanCount(pace),
        HumanCount(lost(counts)),
        HumanCount(driven.written)
    ));
    lines.extend(resumed(driven));
    if driven.summary.noisy_hosts > 0 {
        let hosts = HumanCount(driven.summary.noisy_hosts);
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
    if counts.slowdowns > 0 {
        lines.push(format!(
            "first attempts were lost, so new probes were slowed {} times",
            HumanCount(counts.slowdowns)
        ));
    }
    if !settings.rst && states[State::Open as usize] > 0 {
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
        if let Some((name, grown)) = &driven.summary.interface {
            let (tx, rx) = (HumanCount(grown.tx_packets), HumanCount(grown.rx_packets));
            lines.push(format!(
                "  interface {name}: {tx} packets sent, {rx} received, all programs together"
            ));
        }
    }
    lines.join("\n")
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
pub(crate) fn going_on(driven: &Driven) -> Option<String> {
    match &driven.saved {
        Saved::At(path) if driven.ended != Ended::Through || driven.error.is_some() => {
            Some(format!(
                "saved at position {} of {}; to go on: mrpf syn --resume {}",
                HumanCount(driven.mark),
                HumanCount(driven.summary.progress.total),
                quoted(&path.display().to_string())
            ))
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
    use crate::report::tests::{settings, through};

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
    fn half_open_connections_are_told() {
        let told = Settings { rst: false, ..settings() };
        assert!(text(&through(), &told, "list", false).contains("--no-rst"));
    }

    #[test]
    fn a_scan_that_can_go_on_says_how() {
        let mut driven = through();
        assert_eq!(going_on(&driven), None);
        driven.saved = Saved::At("x y".into());
        assert_eq!(going_on(&driven), None, "there is nothing left");
        driven.ended = Ended::Interrupted;
        driven.mark = 5;
        let expected = "saved at position 5 of 256; to go on: mrpf syn --resume 'x y'";
        assert_eq!(going_on(&driven).unwrap(), expected);
        driven.saved = Saved::Failed("z".into(), "full".to_owned());
        assert_eq!(going_on(&driven).unwrap(), "the checkpoint z could not be written: full");
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
