//! `compare dns`: what names stand for, by mrpf and by others.
//!
//! ```text
//! names    all, in turn     400,000 names, half of which do not exist, at one knotd behind 100 addresses
//! stream   mrpf alone       10 million names by standard input: memory does not grow with them
//! ```
//!
//! What counts is CPU for a name with the right answer, and names a second. dnsperf says how many of its queries were
//! answered, and nothing of what the answers say: it is here for what the server can take.

mod answers;
mod tools;

use std::{
    fs,
    io::{BufWriter, Write as _},
    path::Path,
    time::Duration,
};

use clap::ValueEnum;
use mrpf_engine::link::interface::Interface;
use mrpf_lab::{
    Lab, Prefix,
    dns::{Knot, Zone},
    veth,
};

use self::{
    answers::Answers,
    tools::{Program, Tool, Work},
};
use crate::{
    Failure,
    measure::{Measure, Run, Sent},
    report::{Report, median, ratio, spread},
    tick::Tick,
    tool::OURS,
    turns::in_turn,
};

/// Names of the zone that exist; as many more are asked for.
const NAMES: u32 = 200_000;
/// Addresses at which the one server is asked.
const RESOLVERS: u32 = 100;
/// Lookups that mrpf has under way at once where memory is looked at.
const IN_FLIGHT: u32 = 100_000;
/// Names by standard input.
const STREAM: u32 = 10_000_000;
/// The exit code of mrpf when frames were lost.
const INCOMPLETE: i32 = 3;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Runs of each tool in each part; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// A hundredth of the work: shows that all runs, gives no figures
    #[arg(long)]
    quick: bool,
    /// Adds a dated section to benches/RESULTS.md
    #[arg(long)]
    write: bool,
    /// Only these parts
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Part>,
    /// Only these tools
    #[arg(long, value_delimiter = ',', value_enum)]
    tools: Vec<Tool>,
}

/// A part of the comparison.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Part {
    /// Everyone against knotd.
    Names,
    /// mrpf and a list that never seems to end.
    Stream,
}

impl Options {
    fn share(&self, all: u32) -> u32 {
        if self.quick { all / 100 } else { all }
    }
}
