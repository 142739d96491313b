//! The scanners: where each is, which version it is, and how each is asked for certificates.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use clap::ValueEnum;
use mrpf_lab::{Prefix, veth};

use crate::{
    Failure,
    tool::{Args, Link, OURS, output, search},
};

/// A scanner that can be compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Tool {
    Mrpf,
    Zgrab2,
    Tlsx,
    Sslyze,
    Nmap,
}

impl Tool {
    /// All, ours first.
    pub(super) const ALL: [Self; 5] =
        [Self::Mrpf, Self::Zgrab2, Self::Tlsx, Self::Sslyze, Self::Nmap];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Mrpf => OURS,
            Self::Zgrab2 => "zgrab2",
            Self::Tlsx => "tlsx",
            Self::Sslyze => "sslyze",
            Self::Nmap => "nmap",
        }
    }

    /// The hosts that it can do in about a minute, of 198.19.0.0/16.
    pub(super) fn share(self) -> Prefix {
        let len = match self {
            Self::Mrpf | Self::Zgrab2 | Self::Tlsx => 18,
            Self::Nmap => 22,
            Self::Sslyze => 25,
        };
        Prefix::new(veth::HOSTS.first().octets(), len)
    }

    /// What it is asked to say its version; zgrab2 and sslyze have no word for it.
    fn version_args(self) -> Option<&'static str> {
        match self {
            Self::Mrpf | Self::Nmap => Some("--version"),
            Self::Tlsx => Some("-version"),
            Self::Zgrab2 | Self::Sslyze => None,
        }
    }
}

/// A scanner that is here.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) tool: Tool,
    path: PathBuf,
    /// As it says itself, on one line.
    pub(super) version: String,
}

/// What a tool is asked to do.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) targets: Prefix,
    /// One or a range.
    pub(super) ports: String,
    /// Frames a second of mrpf; `None` is as fast as it can. The others go by connections at once, as many as they have by
    /// default.
    pub(super) rate: Option<u32>,
    /// What mrpf sends and receives by, where that is not left to it.
    pub(super) link: Option<Link>,
    /// The most connections of mrpf at once, where that is not left to it.
    pub(super) connections: Option<u32>,
    /// For how many seconds of silence a connection is held, if not for as long as is usual.
    pub(super) patience: Option<u32>,
}

impl Work {
    /// How many rows there can be.
    pub(super) fn asked(&self) -> u64 {
        let ports = match self.ports.split_once('-') {
            Some((first, last)) => {
                let number = |text: &str| text.parse::<u64>().unwrap_or(0);
                number(last) - number(first) + 1
            }
            None => 1,
        };
        ports << (32 - self.targets.len())
    }
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
        let version = match tool.version_args() {
            Some(args) => {
                let said = output(&path, &[args])?;
                // tlsx draws a picture before it says something.
                let (_, said) = said.rsplit_once("Current version: ").unwrap_or(("", &said));
                let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
                lines.next().unwrap_or("unknown").to_owned()
            }
            None => "does not say its version".to_owned(),
        };
        if tool == Tool::Mrpf && !output(&path, &["--help"])?.contains("tls") {
            return Err("this mrpf has no tls".into());
        }
        Ok(Self { tool, path, version })
    }

    /// The command that does `work`, whose addresses stand in `list` too, and writes what it finds to `found`.
    pub(super) fn command(&self, work: &Work, list: &Path, found: &Path) -> Command {
        let mut command = Command::new(&self.path);
        let args = self.args(work, &list.to_string_lossy(), &found.to_string_lossy());
        command.args(args).env("MRPF_FENCE", "lab");
        // Settings of whoever runs this are not theirs, and what they keep goes with the folder.
        if let Some(folder) = list.parent() {
            command.env("HOME", folder).env("XDG_CONFIG_HOME", folder).current_dir(folder);
        }
        command
    }

    /// The same for people, without the folders of this machine.
    pub(super) fn shown(&self, work: &Work) -> String {
        format!("{} {}", self.tool.as_str(), self.args(work, "LIST", "FOUND").join(" "))
    }

    fn args(&self, work: &Work, list: &str, found: &str) -> Vec<String> {
        let mut args = Args::default();
        let (device, ports) = (veth::SCANNER.device, work.ports.as_str());
        match self.tool {
            Tool::Mrpf => {
                let rate = work.rate.map_or_else(|| "max".to_owned(), |rate| rate.to_string());
                args.add(&["tls", "--allow-reserved", "-q", "-i", device, "--rate", &rate]);
                args.maybe("--link", work.link.map(|link| link.as_str().to_owned()));
                args.maybe("--connections", work.connections.map(|most| most.to_string()));
                for flag in ["--idle", "--deadline"] {
                    args.maybe(flag, work.patience.map(|seconds| seconds.to_string()));
                }
                args.add(&["--format", "jsonl", "-o", found, "-p", ports]);
                args.add(&[&work.targets.to_string()]);
            }
            Tool::Zgrab2 => {
                args.add(&["tls", "-p", ports, "-f", list, "-o", found]);
                args.add(&["-b", "/dev/null", "-l", "/dev/null", "-m", "/dev/null"]);
            }
            Tool::Tlsx => {
                args.add(&["-l", list, "-p", ports, "-json", "-o", found]);
                args.add(&["-silent", "-nc", "-duc"]);
            }
            Tool::Sslyze => {
                args.add(&["--targets_in", list, "--json_out", found, "--certinfo", "--quiet"]);
            }
            Tool::Nmap => {
                // Only what its defaults would do first, and a lab has no use for: looking who is there, and names.
                args.add(&["-Pn", "-n", "-T4", "-e", device, "-p", ports]);
                args.add(&["--script", "ssl-cert", "-iL", list, "-oX", found]);
            }
        }
        args.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_hosts_times_ports() {
        let work = |ports: &str| Work {
            targets: Prefix::new([198, 19, 0, 0], 24),
            ports: ports.to_owned(),
            rate: None,
            link: None,
            connections: None,
            patience: None,
        };
        assert_eq!((work("443").asked(), work("443-446").asked()), (256, 1_024));
    }
}
