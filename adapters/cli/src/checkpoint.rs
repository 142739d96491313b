//! What a scan has to know to go on, as a file of JSON. Fields are only ever added within one format.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use mrpf_engine::stats::Counts;
use mrpf_records::{State, Timestamp};
use mrpf_syn::Summary;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{error::CliError, report::counters, stdin};

/// The one that this version writes and reads.
const FORMAT: u32 = 1;
const KIND: &str = "checkpoint";
/// Far above any that was written: targets from standard input, escaped, and a command line.
const LONGEST: u64 = 8 * stdin::MOST as u64;

/// See the [module](self).
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Checkpoint {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) format: u32,
    /// The version of the command, as the order of targets is not promised to others.
    pub(crate) mrpf: String,
    /// The name of the scan, the same in all its runs.
    pub(crate) scan: String,
    pub(crate) saved: Timestamp,
    /// The words after `mrpf syn`, with the seed, the format and whole paths.
    pub(crate) command: Vec<String>,
    /// What standard input held, if targets came from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stdin: Option<String>,
    pub(crate) seed: u64,
    pub(crate) shard: String,
    /// Of targets, ports, exclusions, shard and seed; hexadecimal.
    pub(crate) fingerprint: String,
    /// Everything before this position of the order is final, and its records are in the output.
    pub(crate) mark: u64,
    /// Positions in all.
    pub(crate) total: u64,
    /// There is nothing left.
    pub(crate) finished: bool,
    /// The run that wrote it has come to its end: no record was written after it.
    pub(crate) closed: bool,
    pub(crate) output: Written,
    /// At most so many records of the output come again when this is resumed, those aside that were written later.
    pub(crate) may_repeat: u64,
    /// At most so many records came again in the runs until now.
    pub(crate) may_have_repeated: u64,
    /// Those aside that a killed run had sent to a pipe.
    #[serde(default)]
    pub(crate) uncounted: bool,
    /// All runs together.
    pub(crate) so_far: Totals,
    /// Why a finished scan is not complete all the same; empty for one that is.
    #[serde(default)]
    pub(crate) incomplete: Vec<String>,
}

/// How far the output was on the disk.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Written {
    /// The file; none for standard output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<PathBuf>,
    /// Its length, all whole lines; none for what is no regular file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) octets: Option<u64>,
}

/// What all runs of a scan have done, each up to its last checkpoint.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Totals {
    pub(crate) runs: u32,
    pub(crate) records: u64,
    pub(crate) elapsed_s: f64,
    pub(crate) states: BTreeMap<String, u64>,
    pub(crate) noisy_hosts: u64,
    pub(crate) counters: Map<String, Value>,
}

impl Totals {
    /// With one run more, which wrote `records`.
    pub(crate) fn plus(&self, summary: &Summary, records: u64) -> Self {
        let mut all = self.clone();
        // A file may hold any number.
        all.runs = all.runs.saturating_add(1);
        all.records = all.records.saturating_add(records);
        all.elapsed_s += summary.elapsed.as_secs_f64();
        for state in State::ALL {
            let count = all.states.entry(state.as_str().to_owned()).or_default();
            *count = count.saturating_add(summary.count(state));
        }
        all.noisy_hosts = all.noisy_hosts.saturating_add(summary.noisy_hosts);
        for (name, value) in counters(&summary.counts) {
            let before = all.counters.entry(name).or_insert(Value::Null);
            *before = sum(before, &value);
        }
        all
    }

    /// What is known to be lost, and of how much; nothing else is in these.
    pub(crate) fn losses(&self) -> Counts {
        let count = |name| self.counters.get(name).and_then(Value::as_u64).unwrap_or(0);
        Counts {
            generated: count("generated"),
            dropped_busy: count("dropped_busy"),
            dropped_too_long: count("dropped_too_long"),
            dropped_forbidden: count("dropped_forbidden"),
            dropped_other: count("dropped_other"),
            ring_drops: count("ring_drops"),
            refused: count("refused"),
            ..Counts::default()
        }
    }
}

/// Numbers, or lists of them. What is neither counts as nothing: a file may hold anything.
fn sum(one: &Value, other: &Value) -> Value {
    match (one, other) {
        (one, Value::Array(others)) => {
            let ones = one.as_array().map(Vec::as_slice).unwrap_or_default();
            let at = |n: usize| ones.get(n).unwrap_or(&Value::Null);
            others.iter().enumerate().map(|(n, other)| sum(at(n), other)).collect()
        }
        (one, other) => {
            one.as_u64().unwrap_or(0).saturating_add(other.as_u64().unwrap_or(0)).into()
        }
    }
}

impl Checkpoint {
    /// The kind, format and version of what this program writes.
    pub(crate) fn head() -> (String, u32, String) {
        (KIND.to_owned(), FORMAT, env!("CARGO_PKG_VERSION").to_owned())
    }

    /// As it stands in its file.
    pub(crate) fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }

    /// The one in a file.
    pub(crate) fn read(path: &Path) -> Result<Self, CliError> {
        let wrong = |why: String| CliError::Checkpoint { path: path.to_owned(), why };
        let text = text_of(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let value: Value = serde_json::from_slice(&text)
            .map_err(|error| wrong(format!("is no checkpoint ({error})")))?;
        if value["type"] != KIND {
            return Err(wrong("is no checkpoint".to_owned()));
        }
        // Before anything else is read, which another format may call otherwise.
        let (format, version) = (&value["format"], value["mrpf"].as_str().unwrap_or("unknown"));
        let ours = env!("CARGO_PKG_VERSION");
        if *format != FORMAT || version != ours {
            return Err(wrong(format!(
                "was written by mrpf {version} in format {format}, and this is mrpf {ours} with format {FORMAT}: resume \
                 with the version that wrote it"
            )));
        }
        let read: Self = serde_json::from_value(value)
            .map_err(|error| wrong(format!("is damaged ({error})")))?;
        if read.mark > read.total {
            return Err(wrong("is damaged (its mark lies behind its end)".to_owned()));
        }
        Ok(read)
    }

    /// Whether a file may be replaced by a checkpoint: none yet, an empty one, or a checkpoint of any version.
    pub(crate) fn may_replace(path: &Path) -> io::Result<bool> {
        let facts = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            facts => facts?,
        };
        if !facts.is_file() {
            return Ok(false);
        }
        let is_ours = |text: Vec<u8>| {
            serde_json::from_slice::<Value>(&text).is_ok_and(|value| value["type"] == KIND)
        };
        Ok(facts.len() == 0 || text_of(path).is_ok_and(is_ours))
    }
}

fn text_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    fs::File::open(path)?.take(LONGEST).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn checkpoint() -> Checkpoint {
        let (kind, format, mrpf) = Checkpoint::head();
        Checkpoint {
            kind,
            format,
            mrpf,
            scan: "0123456789abcdef".to_owned(),
            saved: Timestamp::from_unix_micros(0),
            command: ["--ports=80", "--output=/x/out.jsonl", "--", "198.19.0.0/24"]
                .map(str::to_owned)
                .to_vec(),
            stdin: Some("198.19.1.1\n".to_owned()),
            seed: u64::MAX,
            shard: "1/1".to_owned(),
            fingerprint: "00000000000000ff".to_owned(),
            mark: 5,
            total: 256,
            finished: false,
            closed: false,
            output: Written { path: Some("/x/out.jsonl".into()), octets: Some(77) },
            may_repeat: 3,
            may_have_repeated: 4,
            uncounted: false,
            so_far: Totals::default(),
            incomplete: Vec::new(),
        }
    }

    fn written(text: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[track_caller]
    fn check_wrong(text: &[u8], words: &str) {
        let (_folder, path) = written(text);
        let error = Checkpoint::read(&path).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.exit_code(), crate::error::USAGE);
    }

    #[test]
    fn it_comes_back_as_it_was() {
        let (_folder, path) = written(&checkpoint().to_json().unwrap());
        let read = Checkpoint::read(&path).unwrap();
        assert_eq!(read.to_json().unwrap(), checkpoint().to_json().unwrap());
        assert!(Checkpoint::may_replace(&path).unwrap());
    }

    #[test]
    fn anything_else_is_refused_with_words() {
        let json = checkpoint().to_json().unwrap();
        let text = String::from_utf8(json.clone()).unwrap();
        check_wrong(b"", "is no checkpoint");
        check_wrong(b"{}", "is no checkpoint");
        check_wrong(b"\xff", "is no checkpoint");
        check_wrong(text.replace("\"format\": 1", "\"format\": 2").as_bytes(), "in format 2");
        let other = text
            .replace(&format!("\"mrpf\": \"{}\"", env!("CARGO_PKG_VERSION")), "\"mrpf\": \"9\"");
        check_wrong(other.as_bytes(), "written by mrpf 9");
        check_wrong(text.replace("\"mark\": 5", "\"mark\": 257").as_bytes(), "damaged");
        check_wrong(text.replace("\"mark\": 5", "\"mark\": -5").as_bytes(), "damaged");
        // Wherever it is torn.
        for end in 0..json.len() - 2 {
            check_wrong(&json[..end], "is no checkpoint");
        }
        let error = Checkpoint::read(Path::new("/no/such/file")).unwrap_err();
        assert!(error.to_string().contains("/no/such/file cannot be read"), "{error}");
    }

    #[test]
    fn only_checkpoints_are_replaced() {
        let (folder, path) = written(b"precious\n");
        assert!(!Checkpoint::may_replace(&path).unwrap());
        assert!(!Checkpoint::may_replace(folder.path()).unwrap());
        assert!(!Checkpoint::may_replace(Path::new("/dev/null")).unwrap());
        assert!(Checkpoint::may_replace(&folder.path().join("none")).unwrap());
        fs::write(&path, "").unwrap();
        assert!(Checkpoint::may_replace(&path).unwrap());
    }

    #[test]
    fn totals_add_up_over_runs() {
        let driven = crate::report::tests::through();
        let once = Totals::default().plus(&driven.summary, 256);
        let twice = once.plus(&driven.summary, 256);
        assert_eq!((twice.runs, twice.records, twice.states["open"]), (2, 512, 512));
        assert_eq!(twice.counters["sent"], 2 * driven.summary.counts.sent);
        let attempts = |totals: &Totals| totals.counters["made_by_attempt"][0].as_u64().unwrap();
        assert_eq!(attempts(&twice), 2 * attempts(&once));
        let mut lossy = driven.summary.clone();
        lossy.counts.dropped_busy = 1;
        lossy.counts.dropped_too_long = 2;
        lossy.counts.dropped_forbidden = 3;
        lossy.counts.dropped_other = 4;
        lossy.counts.ring_drops = 5;
        lossy.counts.refused = 6;
        let losses = Totals::default().plus(&lossy, 0).losses();
        assert_eq!((losses.dropped(), losses.ring_drops, losses.refused), (10, 5, 6));
        assert!((losses.loss() - lossy.counts.loss()).abs() < 1e-12);
        // A file that was edited by hand.
        let mut odd = once.clone();
        odd.counters.insert("sent".to_owned(), "x".into());
        odd.counters.insert("made_by_attempt".to_owned(), 7.into());
        (odd.runs, odd.records, odd.noisy_hosts) = (u32::MAX, u64::MAX, u64::MAX);
        odd.states.insert("open".to_owned(), u64::MAX);
        let sum = odd.plus(&driven.summary, 1);
        assert_eq!(sum.counters["sent"], driven.summary.counts.sent);
        assert_eq!((sum.runs, sum.records, sum.states["open"]), (u32::MAX, u64::MAX, u64::MAX));
    }
}
