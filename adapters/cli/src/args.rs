//! What can be asked for on the command line. Values are typed here; lists of targets and ports are read by the engine,
//! which names the file and line of what it cannot read.

mod dns;
mod scan;

use std::{ffi::OsString, fmt, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use mrpf_syn::{Show, TcpProfile};
use mrpf_tasks::{PerSecond, WorkerClass};
use mrpf_tls::KeyShare;

pub(crate) use self::{dns::DnsArgs, scan::ScanArgs};
use crate::values::{HelloChoice, max_time, server_name};

/// Scans networks: which hosts answer, on which ports.
#[derive(Debug, Parser)]
#[command(name = "mrpf", version, max_term_width = 100, after_help = EXAMPLES)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  mrpf demo                                  the whole platform against hosts that it makes itself; needs no root
  sudo mrpf syn 203.0.113.0/24 -p 80,443     open ports of a network, to the terminal
  mrpf syn 203.0.113.0/24 -p - --dry-run     what that would be; sends nothing, needs no root
  mrpf syn --help                            all flags of a scan
  sudo mrpf tls 203.0.113.0/24               certificates of its hosts
  sudo mrpf dns -f names.txt -r resolvers.txt  what names stand for
  sudo mrpf up                               the platform: workflows from a domain to stored results
  sudo mrpf submit recon --domain example.org --address 203.0.113.0/24

Exit codes:
  0 done   1 failed   2 wrong usage   3 finished but incomplete   130 interrupted and saved

Scan only networks whose owners agree.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Which TCP ports answer a SYN: open, closed, unreachable or silent.
    #[command(after_help = SYN_EXAMPLES)]
    Syn(Box<SynArgs>),
    /// Which certificates, versions and names TLS ports have, TLS 1.3 included; SYN and TLS in one pass.
    #[command(after_help = TLS_EXAMPLES)]
    Tls(Box<TlsArgs>),
    /// What names stand for, with millions of lookups at once; names of networks; and which hosts resolve names.
    #[command(after_help = DNS_EXAMPLES)]
    Dns(Box<DnsArgs>),
    /// Runs the whole platform on this machine against an organisation that it makes itself, and checks what it found;
    /// nothing leaves the machine.
    Demo(DemoArgs),
    /// Runs the platform on this machine: manager, queues, store and workers, until Ctrl-C.
    #[command(after_help = UP_EXAMPLES)]
    Up(UpArgs),
    #[command(flatten)]
    Console(mrpf_console::Command<DataArgs>),
    /// What `up` and the manager start.
    #[command(hide = true)]
    Worker(WorkerArgs),
    /// Network namespaces with hosts that answer and no way out.
    Lab {
        #[command(subcommand)]
        command: LabCommand,
    },
    /// Completions for a shell, to standard output.
    #[command(after_help = COMPLETIONS)]
    Completions {
        /// Whose.
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// The manual: the page mrpf(1) to standard output, or a page for each command into a folder.
    #[command(
        after_help = "Examples:\n  mrpf man | man -l -\n  mrpf man /usr/local/share/man/man1"
    )]
    Man {
        /// Where the pages go.
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
}

const COMPLETIONS: &str = "\
Examples:
  mrpf completions bash > ~/.local/share/bash-completion/completions/mrpf
  mrpf completions zsh > ~/.zfunc/_mrpf                      with ~/.zfunc in $fpath
  mrpf completions fish > ~/.config/fish/completions/mrpf.fish";

const SYN_EXAMPLES: &str = "\
Targets, one or many, as arguments or a line each in a file (# begins a comment):
  203.0.113.0/24   203.0.113.1-203.0.113.9   203.0.113.7   203.0.113.7:443   host.example

Examples:
  mrpf syn 203.0.113.0/24 -p 80,443                      records on the terminal
  mrpf syn -f hosts.txt -p 1-1024 --rate 50k -o out.jsonl --summary out.json
  mrpf syn -f hosts.txt -p 443 --format list | sort      ip:port, a line each
  mrpf syn 203.0.113.0/24 -p - --exclude 203.0.113.7 --scope contract.txt --dry-run
  mrpf syn 203.0.113.0/24 -p 22 --seed 7 --shard 2/5     the second of five machines
  mrpf syn -f nets.txt -p 443 --rate max                 by XDP programs where the machine can: see --link
  mrpf syn -f hosts.txt -p - -o out.jsonl --checkpoint out.checkpoint
  mrpf syn --resume out.checkpoint                       goes on where that one was killed

With --resume everything is as it was. Only these can be given again: --rate, --threads, --max-time,
--max-results and --checkpoint; -q and -v are of one run. Limits count anew. Ctrl-C without
--checkpoint saves in mrpf-SCANID.checkpoint in this folder; a second one, a second later or more, ends at once.
A checkpoint is a command line: resume only files that you trust.

Records are JSON, a line each (jsonl), when stdout is not a terminal. Sending needs CAP_NET_RAW: run with sudo, or once
  sudo setcap cap_net_raw,cap_net_admin+ep $(command -v mrpf)
and for XDP, from Linux 5.18 on:
  sudo setcap cap_net_raw,cap_net_admin,cap_bpf,cap_perfmon+ep $(command -v mrpf)";

const TLS_EXAMPLES: &str = "\
Targets are those of `mrpf syn`; the port is 443 where none is given.

Examples:
  mrpf tls 203.0.113.0/24                                certificates on the terminal
  mrpf tls -f hosts.txt -p 443,8443 --chain -o out.jsonl with whole certificates, and whether they are trusted
  mrpf tls www.example --show all                        asks for the name that it was given
  mrpf tls 203.0.113.7 --sni www.example                 asks for that name
  mrpf tls 203.0.113.0/24 --jarm -o out.jsonl            their fingerprints too, from ten connections more to each
  mrpf tls 203.0.113.0/24 --hello legacy --show ok       who still speaks TLS 1.0 or 1.1
  jq -r 'select(.outcome==\"ok\") | .certificates[0].sans[]' out.jsonl | sort -u

No signature of a host is verified and no handshake is finished, so a record says what a host shows, and not that it has
the key. Checkpoints, --resume, limits and formats are those of `mrpf syn`.";

const DNS_EXAMPLES: &str = "\
Each name ends in exactly one record a type: an answer, NXDOMAIN, or why there is none (SERVFAIL, REFUSED, TIMEOUT, ...).

Examples:
  mrpf dns www.example -r 192.0.2.53 -t A,AAAA,TYPE65    three records, to the terminal
  mrpf dns -f names.txt -r resolvers.txt -o out.jsonl    millions of names by thousands of resolvers
  some-source-of-names | mrpf dns -f - -r resolvers.txt  as they come
  mrpf dns example.org --words words.txt -r resolvers.txt --show answers --format list
  mrpf dns --ptr 203.0.113.0/24 2001:db8::/120 -r 192.0.2.53
  mrpf dns --direct -f pairs.txt                         lines such as www.example.org,192.0.2.53
  mrpf dns --sweep 203.0.113.0/24 --query www.example.org
  mrpf dns --sweep 203.0.113.0/24 --query version.bind -t TXT --class CH

Each resolver is asked as fast as it answers, and no faster than --host-rate. NXDOMAIN is an answer; silence, SERVFAIL and
REFUSED are asked about elsewhere. Checkpoints, --resume, limits and formats are those of `mrpf syn`.";

/// `mrpf syn`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SynArgs {
    #[command(flatten)]
    pub(crate) scan: ScanArgs,
    /// Whose SYN to send, with its options, window and time to live: windows, linux, bsd or bare.
    #[arg(long, value_name = "SYSTEM", default_value_t, help_heading = "Packets")]
    pub(crate) tcp_profile: TcpProfile,
    /// Leaves the connections half-open that a SYN-ACK opens, and does not reset them.
    #[arg(long, help_heading = "Packets")]
    pub(crate) no_rst: bool,
    /// Which states give records: a comma list of open, closed, unreachable, silent, or all, or none.
    #[arg(long, value_name = "STATES", default_value = "open", help_heading = "Output")]
    pub(crate) show: Show,
}

/// `mrpf tls`.
#[derive(Args, Clone, Debug)]
pub(crate) struct TlsArgs {
    #[command(flatten)]
    pub(crate) scan: ScanArgs,
    /// The name that hosts are asked for (SNI); the host name that a target was given by when not given, and none for addresses.
    #[arg(long, value_name = "NAME", help_heading = "TLS", value_parser = server_name)]
    pub(crate) sni: Option<String>,
    /// Which ClientHello to say: modern (TLS 1.0 to 1.3), tls12, legacy (1.0 and 1.1), or a file with one.
    #[arg(long, value_name = "HELLO", default_value = "modern", help_heading = "TLS")]
    pub(crate) hello: HelloChoice,
    /// identity: key shares that need no computing, so that anyone on the way can read what hosts say; fresh: a key pair for
    /// this scan.
    #[arg(long, value_name = "KIND", default_value_t, help_heading = "TLS")]
    pub(crate) key_share: KeyShare,
    /// Says of each certificate whether it leads to a root that Mozilla trusts, and puts whole certificates into the records.
    #[arg(long, help_heading = "TLS")]
    pub(crate) chain: bool,
    /// As --chain, with the roots of a PEM file instead.
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub(crate) roots: Option<PathBuf>,
    /// Asks hosts that speak TLS ten times more, after all others, to find their JARM fingerprint.
    #[arg(long, help_heading = "TLS")]
    pub(crate) jarm: bool,
    /// Most connections at once, 64 or more; what 4 s at the rate may open when not given.
    #[arg(long, value_name = "N", help_heading = "TLS",
        value_parser = clap::value_parser!(u32).range(64..=1 << 24))]
    pub(crate) connections: Option<u32>,
    /// Seconds that a connection may take altogether.
    #[arg(long, value_name = "S", default_value = "8", help_heading = "TLS", value_parser = max_time)]
    pub(crate) deadline: Duration,
    /// Seconds in which a host may say nothing.
    #[arg(long, value_name = "S", default_value = "3", help_heading = "TLS", value_parser = max_time)]
    pub(crate) idle: Duration,
    /// Which outcomes give records: a comma list of ok, alert, not-tls, refused, unreachable, reset, timeout, truncated,
    /// malformed; connected for all but refused and unreachable; silent for hosts that never answer; all; none.
    #[arg(long, value_name = "OUTCOMES", default_value_t, help_heading = "Output")]
    pub(crate) show: mrpf_tls::Show,
}

const UP_EXAMPLES: &str = "\
Examples:
  sudo mrpf up                                 scans need CAP_NET_RAW, everything else does not
  sudo mrpf up --data /var/lib/mrpf --external 4

A folder is its user's: after `sudo mrpf up`, submit, status, results, cancel and stop need sudo too.
Without sudo, once: sudo setcap cap_net_raw,cap_net_admin+ep $(command -v mrpf)

Settings come from the environment, as on AWS: MAX_BARE_METAL_WORKERS (5), BARE_METAL_IDLE_TIMEOUT_SECS (300),
BARE_METAL_MAX_RATE (10k), CENSYS_TOKEN, CENSYS_ORGANIZATION_ID, SHODAN_API_KEY, CRTSH_BASE_URL, CENSYS_BASE_URL,
SHODAN_BASE_URL, MRPF_LOG (info).";

/// Where the platform of this machine keeps what it has.
#[derive(Args, Clone, Debug)]
pub(crate) struct DataArgs {
    /// The folder of the platform's queues and store.
    #[arg(long, value_name = "DIR", default_value = "mrpf-data", env = "MRPF_DATA")]
    pub(crate) data: PathBuf,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Processes for external tasks, those that ask public services.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) external: u8,
    /// Processes for internal tasks, those on stored data.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) internal: u8,
    /// Lets scans touch private, loopback, documentation, multicast and other special addresses too.
    #[arg(long)]
    pub(crate) allow_reserved: bool,
}

/// One worker process of this machine.
#[derive(Args, Clone, Debug)]
pub(crate) struct WorkerArgs {
    /// external, internal or bare_metal.
    #[arg(value_name = "CLASS")]
    pub(crate) class: WorkerClass,
    /// The file of the queues.
    #[arg(long, value_name = "FILE")]
    pub(crate) queue: PathBuf,
    /// The file of the store; an external worker gets none.
    #[arg(long, value_name = "FILE")]
    pub(crate) store: Option<PathBuf>,
    /// See `up`.
    #[arg(long)]
    pub(crate) allow_reserved: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Where the queues and the store go; ./mrpf-demo-data, or a temporary folder if that cannot be made.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Frames a second, all workers together: 500 or 30k.
    #[arg(long, value_name = "RATE", default_value = "30k")]
    pub(crate) rate: PerSecond,
    /// No progress.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// Runs a command inside a lab that ends with it; needs no root.
    #[command(
        after_help = "Example:\n  mrpf lab run -- mrpf syn 198.19.0.0/24 -p 80 --allow-reserved"
    )]
    Run {
        /// The command and its arguments.
        #[arg(value_name = "CMD", required = true, trailing_var_arg = true)]
        command: Vec<OsString>,
    },
    /// Makes a lab that stays until `down`; needs root.
    Up,
    /// Ends the lab of `up`.
    Down,
    /// Says whether there is a lab, and what is in it.
    Status,
    /// What `up` leaves behind.
    #[command(hide = true)]
    Hold,
}

// Its variants have no docs of their own: clap would make of them a help text twice as long.
/// The form of records: a JSON object a line, comma-separated fields, ip:port, or aligned for reading.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Format {
    Jsonl,
    Csv,
    List,
    Pretty,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::List => "list",
            Self::Pretty => "pretty",
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use mrpf_engine::link::xdp::Wish;

    use super::*;
    use crate::values::PortSpan;

    fn parse(words: &str) -> Result<SynArgs, clap::Error> {
        let words = ["mrpf", "syn"].into_iter().chain(words.split_whitespace());
        match Cli::try_parse_from(words)?.command {
            Command::Syn(args) => Ok(*args),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn check_wrong(words: &str, expected: &str) {
        let error = parse(words).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.use_stderr() && error.exit_code() == 2);
    }

    #[test]
    fn the_command_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_library() {
        let args = parse("198.51.100.1 -p 80").unwrap();
        let settings = mrpf_engine::scan::Settings::default();
        assert_eq!(
            (args.scan.rate, args.scan.host_rate.0, args.scan.retries, args.scan.cooldown),
            (settings.rate, settings.host_rate, settings.retries, settings.cooldown)
        );
        assert_eq!((args.show, args.scan.link), (Show::default(), Wish::Auto));
        assert_eq!(args.tcp_profile, TcpProfile::default());
        assert!(!args.no_rst && !args.scan.allow_reserved && args.scan.format.is_none());
        assert_eq!(args.scan.threads, 1);
    }

    #[test]
    fn flags_are_read() {
        let args = parse(
            "a b -p 80,443 -p - -f x -f - --exclude c,d --exclude e --rate 1.5M --host-rate 2k --cooldown 0.25 \
             --source-ports 61000-61255 --seed 7 --shard 2/5 --show open,closed --max-time 1.5 --max-results 3 -q \
             --threads 64 --format csv --source-ip 198.18.0.1 --source-ip 2001:db8::1",
        )
        .unwrap()
        .scan;
        assert_eq!(args.targets, ["a", "b"]);
        assert_eq!(args.ports, ["80,443", "-"]);
        assert_eq!(args.file, [PathBuf::from("x"), PathBuf::from("-")]);
        assert_eq!(args.exclude, ["c,d", "e"]);
        assert_eq!(args.rate.to_string(), "1500000");
        assert_eq!(args.host_rate.0.get(), 2_000);
        assert_eq!(args.cooldown, Duration::from_millis(250));
        assert_eq!(args.max_time, Some(Duration::from_millis(1_500)));
        assert_eq!(args.source_ports, Some(PortSpan { first: 61_000, last: 61_255 }));
        assert_eq!(args.shard.map(|shard| (shard.k(), shard.n())), Some((2, 5)));
        assert_eq!((args.threads, args.format), (64, Some(Format::Csv)));
        assert_eq!(args.source_ip.len(), 2);
    }

    #[test]
    fn every_scan_takes_every_link() {
        for line in ["syn a", "tls a", "dns a -r b", "dns --sweep a --query b"] {
            for wish in [Wish::Auto, Wish::Packet, Wish::Xdp] {
                let line = format!("mrpf {line} --link {wish}");
                let scan = match Cli::try_parse_from(line.split(' ')).unwrap().command {
                    Command::Syn(args) => args.scan,
                    Command::Tls(args) => args.scan,
                    Command::Dns(args) => args.scan,
                    other => panic!("{other:?}"),
                };
                assert_eq!(scan.link, wish);
            }
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_mend() {
        check_wrong("a --rate fast", "give frames a second such as 500, 10k or 1.5M, or max");
        check_wrong("a --host-rate max", "give one such as 500 or 10k");
        check_wrong("a --host-rate 0", "give one such as 500 or 10k");
        check_wrong("a --shard 6/5 --seed 1", "give k/n with k from 1 to n");
        check_wrong("a --shard 1/5", "--seed");
        check_wrong("a --link af_xdp", "give auto, packet or xdp");
        check_wrong("a --show opened", "comma list of open");
        check_wrong("a --format xml", "csv");
        check_wrong("a --tcp-profile solaris", "windows");
        check_wrong("a --retries 16", "0..=15");
        check_wrong("a -q -v", "cannot be used with");
        check_wrong("a --threads 0", "1..=64");
        check_wrong("a --threads 65", "1..=64");
        for text in ["-1", "1e3", "inf", "nan", "x", "4000", "1.2.3", "."] {
            check_wrong(&format!("a --cooldown={text}"), "give one such as 8 or 0.5");
        }
        check_wrong("a --max-time 0", "seconds above 0");
        check_wrong("a --max-time 1000000000000000000000000", "seconds above 0");
        for text in ["1", "0-5", "9-5", "1-65536", "a-b", "-", "1-2-3"] {
            check_wrong(&format!("a --source-ports={text}"), "61000-61255");
        }
        check_wrong("a --source-ip ::x", "invalid IP address");
        check_wrong("a --gateway-mac 02:00", "--gateway-mac");
    }

    #[test]
    fn lab_run_takes_a_command_with_flags_of_its_own() {
        for line in ["mrpf lab run -- ls -l --help", "mrpf lab run ls -l --help"] {
            match Cli::try_parse_from(line.split(' ')).unwrap().command {
                Command::Lab { command: LabCommand::Run { command } } => {
                    assert_eq!(command, ["ls", "-l", "--help"])
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(Cli::try_parse_from(["mrpf", "lab", "run"]).is_err());
    }
}
