//! What a scan has done, as JSON for programs: every counter, setting and version. Fields are only ever added.

use std::{collections::BTreeMap, fs::File, io::Write as _};

use mrpf_engine::{link::interface::Counters as InterfaceCounters, stats::Counts};
use mrpf_records::{SCHEMA_VERSION, State, Timestamp};
use serde::Serialize;

use crate::{
    checkpoint::Totals,
    drive::Driven,
    error::CliError,
    kind::Kind,
    prepared::Prepared,
    summary::{clamp, incomplete},
};

/// What was asked for, as the JSON summary tells it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Settings {
    #[serde(skip)]
    pub(crate) kind: Kind,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tcp_profile: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<TlsSettings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dns: Option<DnsSettings>,
    pub(crate) link: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interface: Option<String>,
    pub(crate) source_ips: Vec<String>,
    pub(crate) threads: u8,
    pub(crate) shard: String,
    pub(crate) show: Vec<String>,
    pub(crate) format: String,
    pub(crate) output: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) checkpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resume: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_results: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_time_s: Option<f64>,
}

/// What a TLS scan was asked for besides.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TlsSettings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sni: Option<String>,
    pub(crate) hello: String,
    pub(crate) key_share: String,
    pub(crate) chain: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) roots: Option<String>,
    pub(crate) jarm: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connections: Option<u32>,
    pub(crate) deadline_s: f64,
    pub(crate) idle_s: f64,
}

/// What a DNS scan was asked for besides.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DnsSettings {
    pub(crate) form: &'static str,
    pub(crate) resolvers: Vec<String>,
    pub(crate) types: Vec<String>,
    pub(crate) class: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) query: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) words: Option<String>,
    pub(crate) direct: bool,
    pub(crate) wildcards: bool,
    pub(crate) dnssec_ok: bool,
    pub(crate) edns: bool,
    pub(crate) random_case: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_flight: Option<u32>,
    pub(crate) timeout_s: f64,
    pub(crate) wire: bool,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    outcomes: Option<BTreeMap<&'a str, u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lookups: Option<BTreeMap<&'static str, u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    noisy_hosts: Option<u64>,
    targets: Targets,
    mark: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed_from: Option<u64>,
    may_repeat: u64,
    may_repeat_is_counted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    all_runs: Option<Totals>,
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
        command: settings.kind.as_str(),
        started: driven.started.into(),
        finished: driven.finished.into(),
        elapsed_s: summary.elapsed.as_secs_f64(),
        complete: driven.is_complete(),
        ended: driven.ended.as_str(),
        incomplete: incomplete(driven),
        error: driven.error.as_ref().map(CliError::to_string),
        records: driven.written,
        states: State::ALL
            .into_iter()
            .map(|state| (state.as_str(), summary.count(state)))
            .collect(),
        outcomes: (settings.kind != Kind::Syn)
            .then(|| driven.tally.iter().map(|(word, count)| (&**word, *count)).collect()),
        lookups: driven.lookups.as_ref().map(|lookups| lookups.fields().into_iter().collect()),
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
        mark: driven.mark,
        resumed_from: driven.before.mark,
        may_repeat: driven.before.may_have_repeated,
        may_repeat_is_counted: !driven.before.is_uncounted,
        all_runs: driven.before.mark.map(|_| driven.before.so_far.plus(summary, driven.written)),
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

pub(crate) fn counters(counts: &Counts) -> serde_json::Map<String, serde_json::Value> {
    let scalars = counts.fields().into_iter().map(|(name, value)| (name.to_owned(), value.into()));
    let arrays = [
        ("made_by_attempt", counts.made_by_attempt.as_slice()),
        ("answered_by_attempt", counts.answered_by_attempt.as_slice()),
    ];
    let arrays = arrays.into_iter().map(|(name, values)| (name.to_owned(), values.into()));
    scalars.chain(arrays).collect()
}

/// Writes the JSON summary, replacing what the file holds.
pub(crate) fn write(
    driven: &Driven,
    settings: &Settings,
    prepared: Prepared,
) -> Result<(), CliError> {
    let path = prepared.path().to_owned();
    let write = |mut file: File| file.write_all(json(driven, settings)?.as_bytes());
    prepared.commit().and_then(write).map_err(|source| CliError::WriteSummary { path, source })
}

#[cfg(test)]
pub(crate) mod tests {
    use mrpf_console::Signals;

    use super::*;
    use crate::{
        drive::{
            Limits,
            tests::{HOSTS, disk, drive_quietly},
        },
        saver::Before,
    };

    pub(crate) fn settings() -> Settings {
        Settings {
            kind: Kind::Syn,
            targets: vec!["198.19.0.0/24".to_owned()],
            ports: vec!["80".to_owned()],
            files: Vec::new(),
            exclude: Vec::new(),
            exclude_files: Vec::new(),
            scope_files: Vec::new(),
            allow_reserved: true,
            rate: "10000".to_owned(),
            host_rate: 1_000,
            retries: 2,
            cooldown_s: 8.0,
            rst: true,
            tcp_profile: Some("windows"),
            tls: None,
            dns: None,
            link: "auto",
            interface: None,
            source_ips: Vec::new(),
            threads: 1,
            shard: "1/1".to_owned(),
            show: vec!["open".to_owned()],
            format: "list".to_owned(),
            output: "list".to_owned(),
            checkpoint: None,
            resume: None,
            max_results: None,
            max_time_s: None,
        }
    }

    pub(crate) fn through() -> Driven {
        drive_quietly(&mut disk(1 << 20), Limits::default(), &Signals::default())
    }

    #[test]
    fn the_json_has_every_counter_version_and_setting() {
        let driven = through();
        let json: serde_json::Value =
            serde_json::from_str(&json(&driven, &settings()).unwrap()).unwrap();
        for key in [
            "type",
            "versions",
            "command",
            "started",
            "finished",
            "elapsed_s",
            "complete",
            "ended",
            "incomplete",
            "records",
            "states",
            "noisy_hosts",
            "targets",
            "mark",
            "may_repeat",
            "may_repeat_is_counted",
            "loss",
            "rate",
            "seed",
            "link",
            "source_ports",
            "counters",
            "settings",
        ] {
            assert!(json.get(key).is_some(), "{key}");
        }
        for (name, value) in driven.summary.counts.fields() {
            assert_eq!(json["counters"][name], value, "{name}");
        }
        assert!(json["counters"]["made_by_attempt"].is_array());
        assert_eq!(json["versions"]["mrpf"], env!("CARGO_PKG_VERSION"));
        assert_eq!(json["versions"]["schema"], SCHEMA_VERSION);
        assert_eq!((&json["complete"], &json["ended"]), (&true.into(), &"through".into()));
        assert_eq!(
            (&json["states"]["open"], &json["targets"]["total"]),
            (&HOSTS.into(), &HOSTS.into())
        );
        assert_eq!(json["settings"]["ports"][0], "80");
        assert_eq!(json["settings"]["threads"], 1);
        assert_eq!((&json["mark"], &json["may_repeat"]), (&HOSTS.into(), &0.into()));
        for key in ["error", "interface", "outcomes", "resumed_from", "all_runs"] {
            assert!(json.get(key).is_none(), "{key}");
        }
    }

    #[test]
    fn a_resumed_scan_says_so_and_adds_its_runs_up() {
        let mut driven = through();
        driven.before = Before {
            mark: Some(7),
            so_far: Totals::default().plus(&driven.summary, 256),
            may_have_repeated: 3,
            is_uncounted: true,
        };
        let json: serde_json::Value =
            serde_json::from_str(&json(&driven, &settings()).unwrap()).unwrap();
        assert_eq!((&json["resumed_from"], &json["may_repeat"]), (&7.into(), &3.into()));
        assert_eq!(json["may_repeat_is_counted"], false);
        let sent = driven.summary.counts.sent;
        assert_eq!((&json["counters"]["sent"], &json["records"]), (&sent.into(), &HOSTS.into()));
        let all = &json["all_runs"];
        assert_eq!((&all["runs"], &all["records"]), (&2.into(), &(2 * HOSTS).into()));
        assert_eq!(all["counters"]["sent"], 2 * sent);
    }

    #[test]
    fn the_json_replaces_what_the_file_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.json");
        std::fs::write(&path, "x".repeat(100_000)).unwrap();
        write(&through(), &settings(), Prepared::open("--summary", &path).unwrap()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }
}
