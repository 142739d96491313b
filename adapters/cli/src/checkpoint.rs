//! What a scan has to know to go on, as a file of JSON. Fields are only ever added within one format.
//!
//! The file carries a [sum](mod@sum) of what it says: a mark that a disk has changed would leave targets out without a word.
//! It is no seal. Who can write the file can write the sum, so resume only files that you trust.

mod sum;

use std::{
    collections::BTreeMap,
    fmt::Display,
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use mrpf_engine::stats::Counts;
use mrpf_records::{State, Timestamp};
use mrpf_syn::Summary;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{error::CliError, kind::Kind, report::counters, stdin};

/// The one that this version writes and reads. 1 had no sum.
const FORMAT: u32 = 2;
const KIND: &str = "checkpoint";
/// Far above any that was written: targets from standard input, escaped, and a command line.
const LONGEST: u64 = 8 * stdin::MOST as u64;

/// See the [module](self).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Checkpoint {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) format: u32,
    /// The version of the command, as the order of targets is not promised to others.
    pub(crate) mrpf: String,
    /// The name of the scan, the same in all its runs.
    pub(crate) scan: String,
    pub(crate) saved: Timestamp,
    /// Which scanner it is of.
    #[serde(default)]
    pub(crate) scanner: Kind,
    /// The words after `mrpf syn` or whichever it is, with the seed, the format and whole paths.
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

/// A checkpoint as its file has it, the sum last.
#[derive(Serialize)]
struct Summed<'a> {
    #[serde(flatten)]
    checkpoint: &'a Checkpoint,
    crc32: String,
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
        all.noisy_hosts = all.noisy_hosts.saturating_add(summary.noisy_hosts.unwrap_or(0));
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
        let crc32 = sum::of(&serde_json::to_value(self)?)?;
        let mut text = serde_json::to_vec_pretty(&Summed { checkpoint: self, crc32 })?;
        text.push(b'\n');
        Ok(text)
    }

    /// The one in a file.
    pub(crate) fn read(path: &Path) -> Result<Self, CliError> {
        let text = text_of(path).map_err(|error| format!("cannot be read: {error}"));
        text.and_then(|text| Self::parse(&text))
            .map_err(|why| CliError::Checkpoint { path: path.to_owned(), why })
    }

    /// The one that `text` is, or what is wrong with it. Any octets are answered.
    fn parse(text: &[u8]) -> Result<Self, String> {
        let mut value: Value =
            serde_json::from_slice(text).map_err(|error| no_checkpoint(&error))?;
        if value["type"] != KIND {
            return Err(no_checkpoint(&format_args!("it has no type \"{KIND}\"")));
        }
        // Before anything else is read, which another format may call otherwise.
        let (format, version) = (&value["format"], value["mrpf"].as_str().unwrap_or("unknown"));
        let ours = env!("CARGO_PKG_VERSION");
        if *format != FORMAT || version != ours {
            return Err(format!(
                "was written by mrpf {version} in format {format}, and this is mrpf {ours} with format {FORMAT}: resume \
                 with the version that wrote it"
            ));
        }
        let told = sum::take(&mut value);
        let found = sum::of(&value).map_err(|error| damaged(&error))?;
        if told.as_ref().and_then(Value::as_str) != Some(&found) {
            return Err(damaged(&format_args!("its {} is not {found}", sum::NAME)));
        }
        let read: Self = serde_json::from_value(value).map_err(|error| damaged(&error))?;
        if read.mark > read.total {
            return Err(damaged(&"its mark lies behind its end"));
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

fn no_checkpoint(why: &dyn Display) -> String {
    format!(
        "is no checkpoint ({why}): give the file that --checkpoint named, put back a copy of it if it was cut or written \
         over, or begin the scan again without --resume"
    )
}

/// Says so of a checkpoint, and what can be done.
pub(crate) fn damaged(why: &dyn Display) -> String {
    format!(
        "is damaged ({why}): put back a copy of it as it was written, or begin the scan again without --resume"
    )
}

fn text_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    fs::File::open(path)?.take(LONGEST).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
pub(crate) mod tests;
