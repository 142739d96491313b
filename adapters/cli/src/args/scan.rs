//! What every scan can be asked for.

use std::{net::IpAddr, num::NonZeroU64, path::PathBuf, time::Duration};

use clap::Args;
use mrpf_engine::{
    answered::MAX_RETRIES, governor::Rate, link::xdp::Wish, target::Shard, wire::MacAddr,
};

use super::Format;
use crate::values::{HostRate, PortSpan, cooldown, max_time};

/// Targets, pace, packets and output.
#[derive(Args, Clone, Debug)]
pub(crate) struct ScanArgs {
    /// Networks, ranges, addresses, ADDRESS:PORT pairs or host names.
    #[arg(value_name = "TARGET", help_heading = "Targets")]
    pub(crate) targets: Vec<String>,
    /// Ports of every target that names none: 80 or 80,443 or 8000-8100, or - for all; tls takes 443 when none is given.
    #[arg(short, long, value_name = "PORTS", help_heading = "Targets", allow_hyphen_values = true)]
    pub(crate) ports: Vec<String>,
    /// Reads targets from a file, or from standard input with -; may be given again.
    #[arg(short, long, value_name = "FILE", help_heading = "Targets")]
    pub(crate) file: Vec<PathBuf>,
    /// Leaves these out, at all ports; may be given again.
    #[arg(long, value_name = "X", help_heading = "Targets")]
    pub(crate) exclude: Vec<String>,
    /// Leaves out what a file lists; may be given again.
    #[arg(long, value_name = "FILE", help_heading = "Targets")]
    pub(crate) exclude_file: Vec<PathBuf>,
    /// Leaves out whatever this file does not list; may be given again.
    #[arg(long, value_name = "FILE", help_heading = "Targets")]
    pub(crate) scope: Vec<PathBuf>,
    /// Scans private, loopback, documentation, multicast and other special addresses too.
    #[arg(long, help_heading = "Targets")]
    pub(crate) allow_reserved: bool,
    /// The order of the scan follows from this number; random when not given.
    #[arg(long, value_name = "N", help_heading = "Targets")]
    pub(crate) seed: Option<u64>,
    /// Scans part k of n, as in 2/5; all parts need the same seed.
    #[arg(long, value_name = "k/n", requires = "seed", help_heading = "Targets")]
    pub(crate) shard: Option<Shard>,

    /// Frames a second, all together: 500, 10k, 1.5M, or max.
    #[arg(long, value_name = "RATE", default_value = "10k", help_heading = "Pace")]
    pub(crate) rate: Rate,
    /// Most probes a second for one host, on average: 500 or 10k.
    #[arg(long, value_name = "RATE", default_value = "1000", help_heading = "Pace")]
    pub(crate) host_rate: HostRate,
    /// Further attempts on targets that do not answer, a second apart.
    #[arg(long, value_name = "N", default_value_t = 2, help_heading = "Pace",
        value_parser = clap::value_parser!(u8).range(0..=i64::from(MAX_RETRIES)))]
    pub(crate) retries: u8,
    /// Seconds in which answers are taken after the last attempt.
    #[arg(long, value_name = "S", default_value = "8", help_heading = "Pace", value_parser = cooldown)]
    pub(crate) cooldown: Duration,
    /// Threads that send, each with a socket of its own.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Pace",
        value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) threads: u8,
    /// Stops after so many records.
    #[arg(long, value_name = "N", help_heading = "Pace")]
    pub(crate) max_results: Option<NonZeroU64>,
    /// Stops after so many seconds.
    #[arg(long, value_name = "S", help_heading = "Pace", value_parser = max_time)]
    pub(crate) max_time: Option<Duration>,

    /// The interface; that of the route to the targets when not given.
    #[arg(short, long, value_name = "IF", help_heading = "Packets")]
    pub(crate) interface: Option<String>,
    /// Our address in the probes, one of the interface's; given twice, one of IPv4 and one of IPv6.
    #[arg(long, value_name = "A", help_heading = "Packets")]
    pub(crate) source_ip: Vec<IpAddr>,
    /// Our ports in the probes; 256 free ones when not given.
    #[arg(long, value_name = "A-B", help_heading = "Packets")]
    pub(crate) source_ports: Option<PortSpan>,
    /// Sends everything to this hardware address, without asking routes and neighbours.
    #[arg(long, value_name = "M", help_heading = "Packets")]
    pub(crate) gateway_mac: Option<MacAddr>,
    /// How frames are sent and received: packet, by packet sockets; xdp, by XDP programs, which no answer passes to reach the
    /// kernel; auto, by xdp from 1M/s on where the machine can.
    #[arg(long, value_name = "LINK", default_value_t, help_heading = "Packets")]
    pub(crate) link: Wish,

    /// Writes records to a file, replacing what it holds; - is stdout.
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub(crate) output: Option<PathBuf>,
    /// The form of the records; pretty on a terminal and jsonl elsewhere when not given. A list is ip:port, csv has a header.
    #[arg(long, value_name = "FORMAT", value_enum, help_heading = "Output")]
    pub(crate) format: Option<Format>,
    /// Writes every counter, setting and version to a JSON file at the end.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) summary: Option<PathBuf>,
    /// Keeps in this file, at least every 5 s and at the end, what a killed scan needs to go on.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Goes on with the scan of a checkpoint, appends to its output, and keeps its checkpoint.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) resume: Option<PathBuf>,
    /// Says what would be scanned and how long it would take; sends no probe, needs no privileges.
    #[arg(long, help_heading = "Output")]
    pub(crate) dry_run: bool,
    /// No progress and no summary on stderr: errors alone, and what makes a scan incomplete.
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    pub(crate) quiet: bool,
    /// Also the link, source and order at the start, progress every 10 s where there is no terminal, all counters at the end.
    #[arg(short, long, help_heading = "Output")]
    pub(crate) verbose: bool,
}
