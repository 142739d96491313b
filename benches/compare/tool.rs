//! The scanners: where each is, which version it is, and how each is asked for the same work.

use std::{
    env, fmt, fs,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use clap::ValueEnum;
use mrpf_lab::{Prefix, veth};

use crate::Failure;

/// What ours is called.
pub(crate) const OURS: &str = "mrpf";

/// An address on the scanner's network that no kernel has, for tools that bring their own: no kernel resets what is answered
/// to it, which is what their manuals advise and the faster way for them. Nobody asks for its hardware address in a lab.
const APART: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 3);
/// Frames that kxdpgun hands over at once: in copy mode the kernel takes no more in a call (net/xdp/xsk.c, max_tx_budget), and
/// with its own ten it is slower.
const KXDPGUN_BATCH: &str = "32";
/// What kxdpgun asks for, over and over: the root makes the shortest query, in a frame of 59 octets.
pub(crate) const KXDPGUN_QUERIES: &str = ". NS\n";
/// The name of the file with it.
pub(crate) const QUERIES: &str = "queries";

/// A scanner that can be compared, or what only sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Tool {
    Mrpf,
    Zmap,
    Masscan,
    Nmap,
    /// A generator of DNS queries over AF_XDP: it scans nothing, and is here for what a frame costs.
    Kxdpgun,
}

impl Tool {
    /// All, ours first.
    pub(crate) const ALL: [Self; 5] =
        [Self::Mrpf, Self::Zmap, Self::Masscan, Self::Nmap, Self::Kxdpgun];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Mrpf => OURS,
            Self::Zmap => "zmap",
            Self::Masscan => "masscan",
            Self::Nmap => "nmap",
            Self::Kxdpgun => "kxdpgun",
        }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A scanner that is here.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) tool: Tool,
    path: PathBuf,
    /// As it says itself, on one line.
    pub(crate) version: String,
    /// Whether it has `--threads`: mrpf alone is asked.
    has_threads: bool,
    /// Whether it has `--link`: mrpf alone is asked.
    has_link: bool,
}

/// What a tool is asked to do. What is `None` is left to the tool.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) targets: Prefix,
    /// Ports as all of them read it: `80` or `1-128`.
    pub(crate) ports: String,
    /// Frames a second; `None` is as fast as it can.
    pub(crate) rate: Option<u32>,
    /// How often a silent target is asked.
    pub(crate) attempts: Option<u32>,
    /// Seconds in which answers are taken after the last probe.
    pub(crate) wait: Option<u32>,
    /// The least SYN that all can send, Ethernet header included 58 octets: MSS is its only option.
    pub(crate) is_smallest: bool,
    /// Threads that send.
    pub(crate) threads: Option<u32>,
    /// What mrpf sends and receives by.
    pub(crate) link: Option<Link>,
    /// What mrpf writes; the others write a line for each open port.
    pub(crate) records: Records,
    /// mrpf and masscan reset what they opened.
    pub(crate) resets: bool,
    /// zmap and masscan send from an address that no kernel has.
    pub(crate) is_apart: bool,
    /// For how long kxdpgun sends, which has no list of targets.
    pub(crate) seconds: u32,
}

/// What mrpf sends and receives by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Link {
    Packet,
    Xdp,
}

impl Link {
    pub(crate) const ALL: [Self; 2] = [Self::Packet, Self::Xdp];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Packet => "packet",
            Self::Xdp => "xdp",
        }
    }
}

/// What mrpf writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Records {
    /// `ip:port`, a line each.
    List,
    /// Everything it knows of an open port.
    Jsonl,
    /// Counters at the end, and no records.
    Counters,
}

impl Program {
    /// Looks for `tool`; says why it cannot be used.
    pub(crate) fn find(tool: Tool) -> Result<Self, Failure> {
        let variable = format!("MRPF_{}", tool.as_str().to_uppercase());
        let path = match env::var_os(&variable) {
            Some(path) => PathBuf::from(path),
            None => search(tool.as_str(), tool == Tool::Mrpf).ok_or_else(|| match tool {
                Tool::Mrpf => "it is not built: cargo build --release -p mrpf".to_owned(),
                _ => format!("it is neither in PATH nor named by {variable}"),
            })?,
        };
        let args: &[&str] = match tool {
            // An installed zmap.conf may name what this zmap does not know.
            Tool::Zmap => &["-C", "/dev/null", "--version"],
            _ => &["--version"],
        };
        let said = output(&path, args)?;
        let version =
            said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("unknown");
        if tool == Tool::Zmap
            && ["zmap 1.", "zmap 2.", "zmap 3."].iter().any(|old| version.starts_with(old))
        {
            return Err(format!("{version} is not zmap 4: name one by {variable}").into());
        }
        let help = match tool {
            Tool::Mrpf => output(&path, &["syn", "--help"])?,
            _ => String::new(),
        };
        let (has_threads, has_link) = (help.contains("--threads"), help.contains("--link"));
        Ok(Self { tool, path, version: version.to_owned(), has_threads, has_link })
    }

    /// Whether it can send and receive by `link`: a mrpf that has no choice has packet sockets.
    pub(crate) fn has(&self, link: Link) -> bool {
        self.tool == Tool::Mrpf && (self.has_link || link == Link::Packet)
    }

    /// Whether it can be told how many threads send.
    pub(crate) fn has_threads(&self) -> bool {
        self.tool == Tool::Zmap || self.has_threads
    }

    /// The command that does `work` and writes what it finds to `found`. What kxdpgun asks, [`KXDPGUN_QUERIES`], lies
    /// beside it under [`QUERIES`].
    pub(crate) fn command(&self, work: &Work, found: &Path) -> Command {
        let mut command = Command::new(&self.path);
        let queries = found.with_file_name(QUERIES);
        let args = self.args(work, &found.to_string_lossy(), &queries.to_string_lossy());
        command.args(args).env("MRPF_FENCE", "lab");
        command
    }

    /// The same for people, without the folders of this machine.
    pub(crate) fn shown(&self, work: &Work) -> String {
        let args = self.args(work, "FOUND", "QUERIES");
        let quoted =
            args.iter().map(|arg| if arg.contains(' ') { format!("'{arg}'") } else { arg.clone() });
        format!("{} {}", self.tool, quoted.collect::<Vec<_>>().join(" "))
    }

    fn args(&self, work: &Work, found: &str, queries: &str) -> Vec<String> {
        let mut args = Args::default();
        let device = veth::SCANNER.device;
        let source = if work.is_apart { APART } else { veth::SCANNER.addr }.to_string();
        let hardware =
            |mac: [u8; 6], separator: &str| mac.map(|octet| format!("{octet:02x}")).join(separator);
        // More than any of them reaches; zmap reads 0 otherwise (as 10,000,000 with a pause after each batch).
        let limit = work.rate.unwrap_or(100_000_000).to_string();
        let retries = work.attempts.map(|attempts| (attempts - 1).to_string());
        let wait = work.wait.map(|wait| wait.to_string());
        match self.tool {
            Tool::Mrpf => {
                args.add(&["syn", "--allow-reserved", "-q", "-i", device]);
                args.add(&["--rate", work.rate.map_or("max", |_| &limit)]);
                args.maybe("--retries", retries);
                args.maybe("--cooldown", wait);
                if work.is_smallest {
                    args.add(&["--tcp-profile", "bare"]);
                }
                if !work.resets {
                    args.add(&["--no-rst"]);
                }
                if self.has_threads {
                    args.maybe("--threads", work.threads.map(|threads| threads.to_string()));
                }
                if self.has_link {
                    args.maybe("--link", work.link.map(|link| link.as_str().to_owned()));
                }
                match work.records {
                    Records::List => args.add(&["--format", "list", "-o", found]),
                    Records::Jsonl => args.add(&["--format", "jsonl", "-o", found]),
                    Records::Counters => args.add(&["--show", "none", "--summary", found]),
                }
            }
            Tool::Zmap => {
                args.add(&[
                    "-C",
                    "/dev/null",
                    "-b",
                    "/dev/null",
                    "-q",
                    "-v",
                    "1",
                    "--disable-syslog",
                ]);
                args.add(&["-i", device, "-S", &source, "-G", &hardware(veth::WORLD.mac, ":")]);
                args.add(&["-r", &limit]);
                args.maybe("-P", work.attempts.map(|attempts| attempts.to_string()));
                args.maybe("-c", wait);
                args.maybe("-T", work.threads.map(|threads| threads.to_string()));
                if work.is_smallest {
                    args.add(&["--probe-args=smallest-probes"]);
                }
                args.add(&["-O", "csv", "-f", "saddr,sport", "--no-header-row"]);
                args.add(&["--output-filter", "success = 1 && repeat = 0", "-o", found]);
            }
            Tool::Masscan => {
                args.add(&["--interface", device, "--adapter-ip", &source]);
                args.add(&["--adapter-mac", &hardware(veth::SCANNER.mac, "-")]);
                args.add(&["--router-mac", &hardware(veth::WORLD.mac, "-"), "--rate", &limit]);
                args.maybe("--retries", retries);
                args.maybe("--wait", wait);
                if !work.resets {
                    args.add(&["--noreset"]);
                }
                args.add(&["-oL", found]);
            }
            Tool::Nmap => {
                // Only what its defaults would do first, and a lab has no use for: looking who is there, and names.
                args.add(&["-sS", "-Pn", "-n", "-e", device, "--min-rate", &limit]);
                args.maybe("--max-rate", work.rate.map(|rate| rate.to_string()));
                args.maybe("--max-retries", retries);
                args.add(&["--open", "-oG", found]);
            }
            Tool::Kxdpgun => {
                let local = veth::SCANNER.addr.to_string();
                args.add(&["-t", &work.seconds.to_string(), "-Q", &limit, "-b", KXDPGUN_BATCH]);
                args.add(&["-r", "-p", "53", "-i", queries, "-I", device, "-l", &local]);
                args.add(&["-L", &hardware(veth::SCANNER.mac, ":")]);
                args.add(&["-R", &hardware(veth::WORLD.mac, ":")]);
                args.add(&[&work.targets.first().to_string()]);
                return args.0;
            }
        }
        args.add(&["-p", &work.ports, &work.targets.to_string()]);
        args.0
    }
}

#[derive(Default)]
pub(crate) struct Args(pub(crate) Vec<String>);

impl Args {
    pub(crate) fn add(&mut self, args: &[&str]) {
        self.0.extend(args.iter().map(|arg| (*arg).to_owned()));
    }

    pub(crate) fn maybe(&mut self, flag: &str, value: Option<String>) {
        if let Some(value) = value {
            self.add(&[flag, &value]);
        }
    }
}

/// mrpf where cargo has put it, beside this program; others in PATH and where root's tools lie.
pub(crate) fn search(name: &str, is_ours: bool) -> Option<PathBuf> {
    let folders: Vec<PathBuf> = match is_ours {
        true => env::current_exe().ok()?.parent().map(Path::to_owned).into_iter().collect(),
        false => {
            let path = env::var_os("PATH").unwrap_or_default();
            let more = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
            env::split_paths(&path).chain(more).collect()
        }
    };
    let is_program = |path: &PathBuf| {
        fs::metadata(path)
            .is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
    };
    folders.into_iter().map(|folder| folder.join(name)).find(is_program)
}

/// What a program prints, whatever its exit code: masscan's is 1 for --version.
pub(crate) fn output(path: &Path, args: &[&str]) -> Result<String, Failure> {
    let output = Command::new(path)
        .args(args)
        .output()
        .map_err(|error| format!("{} cannot be started: {error}", path.display()))?;
    Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}
