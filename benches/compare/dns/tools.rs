//! The programs: where each is, which version it is, and how each is asked for names.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use clap::ValueEnum;
use mrpf_lab::veth;

use crate::{
    Failure,
    tool::{Args, Link, OURS, output, search},
};

/// A program that can be compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Tool {
    Mrpf,
    Massdns,
    Dnsperf,
    Zdns,
    Dnsx,
}

impl Tool {
    /// All, ours first.
    pub(super) const ALL: [Self; 5] =
        [Self::Mrpf, Self::Massdns, Self::Dnsperf, Self::Zdns, Self::Dnsx];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Mrpf => OURS,
            Self::Massdns => "massdns",
            Self::Dnsperf => "dnsperf",
            Self::Zdns => "zdns",
            Self::Dnsx => "dnsx",
        }
    }

    /// The part of the names that it can do in about a minute: one of so many.
    pub(super) fn share(self) -> u32 {
        match self {
            Self::Mrpf | Self::Massdns | Self::Dnsperf => 1,
            Self::Zdns | Self::Dnsx => 4,
        }
    }
}

/// A program that is here.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) tool: Tool,
    path: PathBuf,
    /// As it says itself, on one line.
    pub(super) version: String,
}

/// What a tool is asked to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work<'a> {
    /// Where a tool may keep what it wants to keep.
    pub(super) folder: &'a Path,
    /// A name a line; `-` is standard input.
    pub(super) names: &'a Path,
    /// The same as dnsperf reads them: with a type.
    pub(super) queries: &'a Path,
    /// An address a line.
    pub(super) resolvers: &'a Path,
    /// Where to write what is found.
    pub(super) found: &'a Path,
}

/// How mrpf does it; what is `None` is left to it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct How {
    /// What it sends and receives by.
    pub(super) link: Option<Link>,
    /// Lookups under way at once.
    pub(super) in_flight: Option<u32>,
    /// Queries a second; `None` is as fast as it can.
    pub(super) rate: Option<u32>,
}

impl Program {
    /// Looks for `tool`; says why it cannot be used.
    pub(super) fn find(tool: Tool) -> Result<Self, Failure> {
        let variable = format!("MRPF_{}", tool.as_str().to_uppercase());
        let path = match env::var_os(&variable) {
            Some(path) => PathBuf::from(path),
            None => search(tool.as_str(), tool == Tool::Mrpf).ok_or_else(|| match tool {
                Tool::Mrpf => "it is not built: cargo build --release -p mrpf".to_owned(),
                _ => format!("it is neither in PATH nor named by {variable}"),
            })?,
        };
        let args: &[&str] = match tool {
            Tool::Mrpf | Tool::Zdns => &["--version"],
            Tool::Massdns => &["--help"],
            Tool::Dnsperf => &["-h"],
            Tool::Dnsx => &["-version"],
        };
        let said = output(&path, args)?;
        // dnsx draws a picture before it says something; massdns and dnsperf say it among other things.
        let (_, said) = said.rsplit_once("Current Version: ").unwrap_or(("", &said));
        let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
        let version = match tool {
            Tool::Massdns => None,
            Tool::Dnsperf => lines.find(|line| line.to_lowercase().contains("version")),
            _ => lines.next(),
        };
        let version = version.unwrap_or("does not say its version").to_owned();
        if tool == Tool::Mrpf && !output(&path, &["--help"])?.contains("dns") {
            return Err("this mrpf has no dns".into());
        }
        Ok(Self { tool, path, version })
    }

    /// The command that does `work`.
    pub(super) fn command(&self, work: &Work<'_>, how: How) -> Command {
        let mut command = Command::new(&self.path);
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let paths = [work.names, work.queries, work.resolvers, work.found].map(text);
        let args = self.args(paths.each_ref().map(String::as_str), how);
        command.args(args).env("MRPF_FENCE", "lab");
        // Settings of whoever runs this are not theirs, and what they keep goes with the folder.
        command.env("HOME", work.folder).env("XDG_CONFIG_HOME", work.folder);
        command.current_dir(work.folder);
        command
    }

    /// The same for people, without the folders of this machine.
    pub(super) fn shown(&self, names: &str, how: How) -> String {
        let args = self.args([names, "QUERIES", "RESOLVERS", "FOUND"], how);
        format!("{} {}", self.tool.as_str(), args.join(" "))
    }

    fn args(&self, [names, queries, resolvers, found]: [&str; 4], how: How) -> Vec<String> {
        let mut args = Args::default();
        match self.tool {
            Tool::Mrpf => {
                let rate = how.rate.map_or_else(|| "max".to_owned(), |rate| rate.to_string());
                args.add(&["dns", "-q", "-i", veth::SCANNER.device, "--rate", &rate]);
                args.add(&["--host-rate", "1M", "--retries", "5", "-f", names, "-r", resolvers]);
                args.maybe("--link", how.link.map(|link| link.as_str().to_owned()));
                args.maybe("--in-flight", how.in_flight.map(|most| most.to_string()));
                args.add(&["--format", "jsonl", "-o", found]);
            }
            Tool::Massdns => {
                args.add(&["-q", "-r", resolvers, "-t", "A", "-o", "J", "-w", found, names]);
            }
            Tool::Dnsperf => {
                // Each query once; it has one server, and says at the end how many were answered.
                let server = super::first_resolver().to_string();
                args.add(&["-s", &server, "-d", queries, "-n", "1", "-q", "2000"]);
            }
            Tool::Zdns => {
                args.add(&["A", "--input-file", names, "--output-file", found]);
                args.add(&["--name-servers", &format!("@{resolvers}"), "--threads", "1000"]);
                args.add(&["--quiet"]);
            }
            Tool::Dnsx => {
                args.add(&["-l", names, "-r", resolvers, "-a", "-json", "-o", found]);
                args.add(&["-rcode", "noerror,nxdomain", "-t", "1000", "-silent", "-nc", "-duc"]);
            }
        }
        args.0
    }
}
