//! What a scan has done, as text for people and as JSON for programs. Neither says done when it is not.

use std::{collections::BTreeMap, fs::File, io::Write as _};

use indicatif::HumanCount;
use mrpf_engine::{link::interface::Counters as InterfaceCounters, stats::Counts, target::Excluded};
use mrpf_records::{SCHEMA_VERSION, State, Timestamp};
use mrpf_syn::Summary;
use serde::Serialize;

use crate::{
    drive::{Driven, Ended},
    error::{CliError, DONE, INCOMPLETE, INTERRUPTED},
    output::Prepared,
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
        reasons.push(format!("{} of {} targets have no outcome", HumanCount(open), HumanCount(progress.total)));
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
        reasons.push(format!("{} ({:.2} %; a lower --rate helps)", parts.join(", "), counts.loss() * 100.0));
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
    let found = State::ALL.map(|state| format!("{} {state}", HumanCount(states[state as usize]))).join(", ");
    lines.push(format!("{head}: {found}"));
    let pace = (counts.sent as f64 / seconds.max(0.001)) as u64;
    lines.push(format!(
        "{} frames sent ({}/s), {} lost; {} records in {place}",
        HumanCount(counts.sent),
        HumanCount(pace),
        HumanCount(lost(counts)),
        HumanCount(driven.written)
    ));
    if driven.summary.noisy_hosts > 0 {
        let hosts = HumanCount(driven.summary.noisy_hosts);
        lines.push(format!("{hosts} hosts answer on nearly every port: what they say of services is worth little"));
    }
    if counts.late > 0 {
        lines.push(format!("{} answers came after their cooldown and are not in the records", HumanCount(counts.late)));
    }
    if counts.slowdowns > 0 {
        lines.push(format!("first attempts were lost, so new probes were slowed {} times", HumanCount(counts.slowdowns)));
    }
    if !settings.rst && states[State::Open as usize] > 0 {
        lines.push("no resets were sent (--no-rst): hosts hold half-open connections for about a minute".to_owned());
    } else if counts.resets_skipped > 0 {
        let skipped = HumanCount(counts.resets_skipped);
        lines.push(format!("{skipped} resets were owed and not sent: their hosts hold half-open connections"));
    }
    if verbose {
        for (name, value) in counts.fields().into_iter().filter(|(_, value)| *value > 0) {
            lines.push(format!("  {:<20} {}", name, HumanCount(value)));
        }
        if let Some((name, grown)) = &driven.summary.interface {
            let (tx, rx) = (HumanCount(grown.tx_packets), HumanCount(grown.rx_packets));
            lines.push(format!("  interface {name}: {tx} packets sent, {rx} received, all programs together"));
        }
    }
    lines.join("\n")
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

/// What was asked for, as the JSON summary tells it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Settings {
    pub(crate) targets: Vec<String>,
    pub(crate) ports: Vec<String>,
    pub(crate) files: Vec<String>,
    pub(crate) exclude: Vec<String>,
    pub(crate) exclude_files: Vec<String>,
    pub(crate) scope_files: Vec<String>,
    pub(crate) allow_reserved: bool,
    pub(crate) rate: String,
    pub(crate) host_rate: u64,
    pub(crate) retries: u8,
    pub(crate) cooldown_s: f64,
    pub(crate) rst: bool,
    pub(crate) tcp_profile: &'static str,
    pub(crate) link: &'static str,
    pub(crate) shard: String,
    pub(crate) show: Vec<&'static str>,
    pub(crate) format: String,
    pub(crate) output: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_results: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_time_s: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    versions: Versions,
    command: &'static str,
    started: Timestamp,
    finished: Timestamp,
    elapsed_s: f64,
    complete: bool,
    ended: &'static str,
    incomplete: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    records: u64,
    states: BTreeMap<&'static str, u64>,
    noisy_hosts: u64,
    targets: Targets,
    loss: f64,
    rate: String,
    seed: u64,
    link: &'static str,
    source_ports: [u16; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<InterfaceReport<'a>>,
    counters: serde_json::Map<String, serde_json::Value>,
    settings: &'a Settings,
}

#[derive(Debug, Serialize)]
struct Versions {
    mrpf: &'static str,
    schema: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<String>,
}

#[derive(Debug, Serialize)]
struct Targets {
    total: u64,
    started: u64,
    settled: u64,
    hosts: u64,
    excluded_reserved: u64,
    excluded_listed: u64,
    excluded_out_of_scope: u64,
}

#[derive(Debug, Serialize)]
struct InterfaceReport<'a> {
    name: &'a str,
    rx_packets: u64,
    tx_packets: u64,
    rx_bytes: u64,
    tx_bytes: u64,
    rx_errors: u64,
    tx_errors: u64,
    rx_dropped: u64,
    tx_dropped: u64,
    rx_missed: u64,
}

impl<'a> From<&'a (String, InterfaceCounters)> for InterfaceReport<'a> {
    fn from((name, grown): &'a (String, InterfaceCounters)) -> Self {
        let InterfaceCounters {
            rx_packets,
            tx_packets,
            rx_bytes,
            tx_bytes,
            rx_errors,
            tx_errors,
            rx_dropped,
            tx_dropped,
            rx_missed,
        } = *grown;
        Self {
            name,
            rx_packets,
            tx_packets,
            rx_bytes,
            tx_bytes,
            rx_errors,
            tx_errors,
            rx_dropped,
            tx_dropped,
            rx_missed,
        }
    }
}

/// The summary as JSON, with a closing line feed.
pub(crate) fn json(driven: &Driven, settings: &Settings) -> serde_json::Result<String> {
    let summary = &driven.summary;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok();
    let report = Report {
        kind: "summary",
        versions: Versions {
            mrpf: env!("CARGO_PKG_VERSION"),
            schema: SCHEMA_VERSION,
            kernel: kernel.map(|text| text.trim().to_owned()),
        },
        command: "syn",
        started: driven.started.into(),
        finished: driven.finished.into(),
        elapsed_s: summary.elapsed.as_secs_f64(),
        complete: driven.is_complete(),
        ended: driven.ended.as_str(),
        incomplete: incomplete(driven),
        error: driven.error.as_ref().map(CliError::to_string),
        records: driven.written,
        states: State::ALL.into_iter().map(|state| (state.as_str(), summary.count(state))).collect(),
        noisy_hosts: summary.noisy_hosts,
        targets: Targets {
            total: summary.progress.total,
            started: summary.progress.started.min(summary.progress.total),
            settled: summary.progress.settled,
            hosts: clamp(summary.hosts),
            excluded_reserved: clamp(summary.excluded.reserved),
            excluded_listed: clamp(summary.excluded.listed),
            excluded_out_of_scope: clamp(summary.excluded.out_of_scope),
        },
        loss: summary.counts.loss(),
        rate: summary.rate.to_string(),
        seed: summary.seed,
        link: summary.link,
        source_ports: [summary.source_ports.0, summary.source_ports.1],
        interface: summary.interface.as_ref().map(Into::into),
        counters: counters(&summary.counts),
        settings,
    };
    Ok(serde_json::to_string_pretty(&report)? + "\n")
}

fn counters(counts: &Counts) -> serde_json::Map<String, serde_json::Value> {
    let scalars = counts.fields().into_iter().map(|(name, value)| (name.to_owned(), value.into()));
    let arrays = [
        ("made_by_attempt", counts.made_by_attempt.as_slice()),
        ("answered_by_attempt", counts.answered_by_attempt.as_slice()),
    ];
    let arrays = arrays.into_iter().map(|(name, values)| (name.to_owned(), values.into()));
    scalars.chain(arrays).collect()
}

/// Writes the JSON summary, replacing what the file holds.
pub(crate) fn write(driven: &Driven, settings: &Settings, prepared: Prepared) -> Result<(), CliError> {
    let path = prepared.path().to_owned();
    let write = |mut file: File| file.write_all(json(driven, settings)?.as_bytes());
    prepared.commit().and_then(write).map_err(|source| CliError::WriteSummary { path, source })
}

/// JSON numbers of other programs end at 64 bits, and only IPv6 has more addresses than that.
fn clamp(n: u128) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
