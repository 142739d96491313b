//! What `mrpf dns` can be asked for besides.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use clap::Args;
use mrpf_dns::message::{Qclass, Qtype};

use super::ScanArgs;
use crate::values::{Wildcards, max_time};

/// `mrpf dns`, in its three forms: names, the names of addresses, and hosts that resolve.
#[derive(Args, Clone, Debug)]
#[command(
    mut_arg("targets", |arg| arg.value_name("NAME").help(TARGETS)),
    mut_arg("ports", |arg| arg.help(PORTS).requires("sweep").conflicts_with_all(NAMES)),
    mut_arg("exclude", |arg| arg.help(EXCLUDE)),
    mut_arg("file", |arg| arg.help(FILE)),
    mut_arg("host_rate", |arg| arg.help(HOST_RATE)),
    mut_arg("retries", |arg| arg.help(RETRIES).default_value("5")),
    mut_arg("cooldown", |arg| arg.help(COOLDOWN)),
    mut_arg("format", |arg| arg.help(FORMAT)),
    mut_arg("checkpoint", |arg| arg.help(CHECKPOINT)),
)]
pub(crate) struct DnsArgs {
    #[command(flatten)]
    pub(crate) scan: ScanArgs,
    /// Who is asked: an address, ADDRESS:PORT, a comma list of them, or a file with one a line; may be given again. The
    /// machine's own resolvers are asked only when named: -r /etc/resolv.conf.
    #[arg(short, long, value_name = "RESOLVERS", help_heading = "DNS",
        required_unless_present_any = ["direct", "sweep", "resume"], conflicts_with_all = ["direct", "sweep"])]
    pub(crate) resolvers: Vec<String>,
    /// Types to ask for, by name or as TYPE65: a comma list; A when not given, and PTR with --ptr.
    #[arg(short, long, value_name = "TYPES", help_heading = "DNS", value_delimiter = ',')]
    pub(crate) types: Vec<Qtype>,
    /// The class: IN, CH, HS, ANY or CLASS7.
    #[arg(long, value_name = "CLASS", default_value = "IN", help_heading = "DNS")]
    pub(crate) class: Qclass,
    /// Asks for the names of addresses: networks and ranges are given in place of names.
    #[arg(long, help_heading = "DNS", conflicts_with_all = ["sweep", "words", "direct"])]
    pub(crate) ptr: bool,
    /// Asks every host for --query, to find those that answer: networks are given in place of names.
    #[arg(long, help_heading = "DNS", requires = "query", conflicts_with_all = ["words", "direct"])]
    pub(crate) sweep: bool,
    /// The name that --sweep asks for.
    #[arg(long, value_name = "NAME", help_heading = "DNS", requires = "sweep",
        conflicts_with_all = NAMES)]
    pub(crate) query: Option<String>,
    /// Asks for each word of a file below each name.
    #[arg(long, value_name = "FILE", help_heading = "DNS", conflicts_with = "direct")]
    pub(crate) words: Option<PathBuf>,
    /// Names come with the server to ask, as name,server or name,server:port, and it is asked without recursion.
    #[arg(long, help_heading = "DNS")]
    pub(crate) direct: bool,
    /// Finds out which names are there only because their parent answers for any: auto does with --words.
    #[arg(long, value_name = "WHEN", default_value = "auto", help_heading = "DNS")]
    pub(crate) wildcards: Wildcards,
    /// Asks for signatures too (DNSSEC OK).
    #[arg(long = "do", help_heading = "DNS", conflicts_with = "no_edns")]
    pub(crate) dnssec_ok: bool,
    /// Sends queries without EDNS.
    #[arg(long, help_heading = "DNS")]
    pub(crate) no_edns: bool,
    /// Sends names as they are, and not in a random case that answers have to repeat.
    #[arg(long = "no-0x20", help_heading = "DNS")]
    pub(crate) no_0x20: bool,
    /// Most lookups at once; 131072 when not given.
    #[arg(long, value_name = "N", help_heading = "DNS", conflicts_with = "sweep")]
    pub(crate) in_flight: Option<NonZeroU32>,
    /// Seconds that one attempt waits for its answer at most; less where a resolver is known to be faster.
    #[arg(long, value_name = "S", default_value = "4", help_heading = "DNS", value_parser = max_time)]
    pub(crate) timeout: Duration,
    /// Puts each answer into its record as it came, in base64.
    #[arg(long, help_heading = "Output")]
    pub(crate) wire: bool,
    /// Which outcomes give records: a comma list of answers, wild, nodata, nxdomain, servfail, refused, other, timeout, failed,
    /// invalid; answered for the first seven; all; none. With --sweep: answered, unreachable, silent. All when not given, and
    /// answered with --sweep.
    #[arg(long, value_name = "OUTCOMES", help_heading = "Output")]
    pub(crate) show: Option<String>,
}

/// Flags that are about names.
const NAMES: [&str; 4] = ["resolvers", "ptr", "words", "direct"];
const TARGETS: &str = "Names; with --ptr and --sweep, networks, ranges or addresses";
const PORTS: &str = "The port that --sweep asks at; 53 when not given";
const EXCLUDE: &str =
    "Leaves these addresses out; of names, servers that are not asked; may be given again";
const FILE: &str =
    "Reads names, or networks, from a file, or from standard input with -; may be given again";
const HOST_RATE: &str = "Most queries a second for one resolver, on average: 500 or 10k";
const RETRIES: &str =
    "Further attempts after silence, SERVFAIL or REFUSED, by other resolvers where there are some";
const COOLDOWN: &str = "Seconds in which --sweep takes answers after the last attempt";
const FORMAT: &str = "The form of the records; pretty on a terminal and jsonl elsewhere when not given. A list is a name a line, \
     or an address with --sweep; csv has a header";
const CHECKPOINT: &str =
    "Keeps in this file, at least every 5 s and at the end, what a killed scan needs to go on";
