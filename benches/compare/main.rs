//! mrpf beside other scanners, in one lab, one after the other, on one machine.
//!
//! ```text
//! main ---> tool      which programs are here, and how each is asked for the same work
//!      |--> sinks     rate, CPU and memory against a far end that counts, and drops
//!      |--> answers   the same where it answers a share, and the goals of it
//!      |       '---> far_end  the far end, a run against it, the tables
//!      |--> truth     what each finds of hosts whose answers are known, with loss
//!      |       |---> turns    every tool once a round
//!      |       '---> measure  one run: counters of the interface, CPU twice, peak memory
//!      |--> tls       the same for certificates: CPU for a row, memory
//!      |--> dns       the same for names: CPU for a name, names a second, memory
//!      '--> report    tables on stdout, and a dated section in benches/RESULTS.md
//! ```
//!
//! Everything is sent inside namespaces without a route out, to 198.19.0.0/16 and nowhere else; the tools are started in
//! there and see no other interface. Needs root: the sink is a BPF program.
//!
//! Numbers of a tool about itself are never used: what was sent is counted at the far end or at the interface.

#![forbid(unsafe_code)]

mod answers;
mod dns;
mod far_end;
mod findings;
mod machine;
mod measure;
mod report;
mod sinks;
mod tick;
mod tls;
mod tool;
mod truth;
mod turns;

use std::{error::Error, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};

use crate::{
    report::Report,
    tool::{Program, Tool},
};

/// What any step of a comparison may end with; told to the user as it is.
type Failure = Box<dyn Error>;

/// Runs mrpf and the other scanners that are installed side by side in a lab, and prints ratios.
#[derive(Debug, Parser)]
#[command(name = "compare", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// SYN scans: mrpf, zmap 4, masscan and nmap; and kxdpgun, which only sends
    #[command(after_help = "Programs are looked for in PATH (mrpf: beside this one), or named by \
        MRPF_MRPF, MRPF_ZMAP, MRPF_MASSCAN, MRPF_NMAP and MRPF_KXDPGUN. Build mrpf first: cargo build --release -p mrpf")]
    Syn(Options),
    /// Certificates: mrpf, zgrab2, tlsx, sslyze and nmap
    #[command(after_help = "Programs are looked for in PATH (mrpf: beside this one), or named by \
        MRPF_MRPF, MRPF_ZGRAB2, MRPF_TLSX, MRPF_SSLYZE and MRPF_NMAP. Build mrpf first: cargo build --release -p mrpf")]
    Tls(tls::Options),
    /// Names: mrpf, massdns, dnsperf, zdns and dnsx
    #[command(after_help = "Programs are looked for in PATH (mrpf: beside this one), or named by \
        MRPF_MRPF, MRPF_MASSDNS, MRPF_DNSPERF, MRPF_ZDNS and MRPF_DNSX. Build mrpf first: cargo build --release -p mrpf")]
    Dns(dns::Options),
}

#[derive(Debug, clap::Args)]
struct Options {
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
    /// The same frames to a sink, as fast as each can.
    Sink,
    /// Each tool's own frames, attempts, threads and waits, to a sink.
    Defaults,
    /// mrpf's memory with many targets and retries, to a sink.
    Memory,
    /// None and shares of the hosts answer, as fast as each tool can; nmap not among them.
    Answers,
    /// Hosts whose answers are known, with loss, at one rate.
    Truth,
}

fn main() -> ExitCode {
    let done = match Cli::parse().kind {
        Kind::Syn(options) => compare(&options),
        Kind::Tls(options) => tls::compare(&options),
        Kind::Dns(options) => dns::compare(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> Result<(), Failure> {
    let mut report = Report::begin("SYN", options.runs, options.quick)?;
    let mut programs = Vec::new();
    for tool in Tool::ALL {
        let is_wanted = options.tools.is_empty() || options.tools.contains(&tool);
        match is_wanted.then(|| Program::find(tool)) {
            Some(Ok(program)) => programs.push(program),
            Some(Err(why)) => report.note(format!("Without {tool}: {why}.")),
            None => {}
        }
    }
    if programs.is_empty() {
        return Err("none of the tools can be run".into());
    }
    let versions = programs.iter().map(|it| (it.tool.as_str(), it.version.as_str()));
    report.programs(versions);
    let is_wanted = |part| options.only.is_empty() || options.only.contains(&part);
    if is_wanted(Part::Sink) {
        sinks::equal_frames(&programs, options, &mut report)?;
    }
    if is_wanted(Part::Defaults) {
        sinks::defaults(&programs, options, &mut report)?;
    }
    if is_wanted(Part::Memory) {
        sinks::memory(&programs, options, &mut report)?;
    }
    if is_wanted(Part::Answers) {
        answers::compare(&programs, options, &mut report)?;
    }
    if is_wanted(Part::Truth) {
        programs.retain(|program| program.tool != Tool::Kxdpgun);
        truth::compare(&programs, options, &mut report)?;
    }
    if options.write {
        report.write()?;
    }
    if report.ours_failed() {
        return Err("mrpf did not finish every part: see above".into());
    }
    Ok(())
}
