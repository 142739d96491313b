//! What can go wrong in making a lab, each with what mends it.

use std::{io, net::Ipv4Addr};

use crate::{Prefix, Prefix6};

/// Why there is no lab. Nothing is left behind when one is returned.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A named lab is there already.
    #[error("a lab is up already, held by process {pid}: end it with `mrpf lab down`")]
    AlreadyUp {
        /// The process that holds it.
        pid: i32,
    },
    /// The command of `lab run` could not be started.
    #[error("cannot run {command}: {source}")]
    Command {
        /// Its name as it was given.
        command: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The process that should hold a named lab did not come up.
    #[error("the process that holds the lab did not start: {why}")]
    Holder {
        /// Its last words.
        why: String,
    },
    /// A program is missing.
    #[error("{program} is not installed: apt-get install {package}")]
    Missing {
        /// The program.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// nft did not take the rules.
    #[error("nft refused the rules of the lab: {stderr}")]
    Nft {
        /// What it said.
        stderr: String,
    },
    /// A lab was to have IPv6 and the machine does not give it.
    #[error(
        "the lab cannot have IPv6: {why}. Boot without ipv6.disable=1, and let /proc/sys/net/ipv6 be written"
    )]
    NoIpv6 {
        /// What is missing, or the setting that could not be made.
        why: String,
    },
    /// Only root can do it.
    #[error(
        "{what} needs root: run it with sudo, or use `mrpf lab run -- COMMAND`, which does not"
    )]
    NeedsRoot {
        /// What was asked for.
        what: &'static str,
    },
    /// An address range outside of what a lab may hold.
    #[error("{0} is not inside 198.19.0.0/16, which is all that a lab routes")]
    Outside(Prefix),
    /// As [`Outside`](Self::Outside), of IPv6.
    #[error("{0} is not inside 2001:db8:1::/64, which is all of IPv6 that a lab routes")]
    Outside6(Prefix6),
    /// The same addresses cannot be answered by the kernel and by an on-link responder.
    #[error("{0} is an address of the lab itself")]
    Reserved(Ipv4Addr),
    /// A server in the world did not come up.
    #[error("{program} did not start in the lab: {why}")]
    Server {
        /// Which.
        program: String,
        /// Its last words.
        why: String,
    },
    /// The system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was asked of the system.
        what: String,
        /// Its answer.
        source: io::Error,
    },
    /// A user namespace can be made only before the first thread is.
    #[error(
        "this process has threads already, and a user namespace is for processes without: this is a defect of mrpf, please report it"
    )]
    Threads,
    /// The machine does not let ordinary users make namespaces.
    #[error("an ordinary user cannot make a lab on this machine ({why}): run it with sudo{or}")]
    UserNamespace {
        /// The setting that forbids it, or the system's answer.
        why: String,
        /// What else would help, beginning with a comma.
        or: &'static str,
    },
    /// A thread of the lab ended without a word.
    #[error(
        "the thread that holds the world of the lab ended before it was ready: this is a defect of mrpf, please report it"
    )]
    WorldEnded,
}

/// Turns an answer of the system into an error that says what was asked.
pub(crate) fn asking<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> LabError {
    move |source| LabError::System { what: what.into(), source: source.into() }
}
