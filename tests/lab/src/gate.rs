//! What this machine permits, and tests that are skipped aloud.
//!
//! A test begins with `if !gate::permits(&[Need::Netns]) { return; }`. Where the machine lacks it, a line that begins with
//! SKIPPED says so; under `CI=true` it fails instead when .ci/required lists the word.

use std::{
    env, fmt, fs,
    io::{self, Write},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    thread,
};

use nix::unistd::geteuid;

use crate::{LabError, Namespace, child, ipv6, loss, netns};

/// Something that a test takes for given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Need {
    /// BPF programs, as root of the machine: the sink and its like.
    #[cfg(feature = "sink")]
    Bpf,
    /// GnuTLS's server.
    Gnutls,
    /// The go command.
    Go,
    /// Network namespaces, as root or inside of a user namespace.
    Netns,
    /// IPv6 in network namespaces.
    Ipv6,
    /// Knot DNS.
    Knot,
    /// nft and a kernel that takes its rules: loss.
    Nft,
    /// nginx.
    Nginx,
    /// NSD.
    Nsd,
    /// The openssl command.
    Openssl,
    /// Unbound.
    Unbound,
    /// User namespaces for ordinary users.
    Userns,
}

/// The user that stands for an ordinary one: nobody.
const NOBODY: u32 = 65_534;
const REQUIRED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.ci/required");

/// Whether this machine gives all of `needs`; prints a line that begins with SKIPPED when not.
///
/// # Panics
///
/// Instead of saying no under `CI=true`, for what .ci/required lists.
pub fn permits(needs: &[Need]) -> bool {
    needs.iter().all(|need| match need.missing() {
        None => true,
        Some(why) => {
            assert!(!need.is_required(), "{need} is listed in .ci/required and not there: {why}");
            let test = thread::current();
            // Not by a macro: the test harness would keep the line to itself, or have begun one with the test's name.
            let line = format!("\nSKIPPED: {}: {why}\n", test.name().unwrap_or("a test"));
            let _ = io::stderr().write_all(line.as_bytes());
            false
        }
    })
}

/// Has `command` run as an ordinary user: as nobody where this process is root of the machine. Root of a user namespace
/// is an ordinary user already, and knows no other.
pub fn as_ordinary_user(command: &mut Command) {
    if is_root_of_machine() {
        command.uid(NOBODY).gid(NOBODY);
    }
}

/// Whether this process is root, and not only in a user namespace: user_namespaces(7), /proc/PID/uid_map.
pub fn is_root_of_machine() -> bool {
    const ALL_USERS: &str = "4294967295";
    geteuid().is_root()
        && fs::read_to_string("/proc/self/uid_map")
            .is_ok_and(|map| map.split_whitespace().eq(["0", "0", ALL_USERS]))
}

impl Need {
    /// Why it is not there, if it is not.
    fn missing(self) -> Option<String> {
        let tried = match self {
            #[cfg(feature = "sink")]
            Self::Bpf => return crate::xdp::missing(),
            Self::Netns => in_new_namespace(|| Ok(())),
            Self::Ipv6 => in_new_namespace(ipv6::try_out),
            Self::Nft => in_new_namespace(|| loss::nft(&["list", "ruleset"], "").map(drop)),
            Self::Gnutls => child::find("gnutls-serv", "gnutls-bin").map(drop),
            Self::Go => child::find("go", "golang-go").map(drop),
            Self::Openssl => child::find("openssl", "openssl").map(drop),
            Self::Knot => child::find("knotd", "knot").map(drop),
            Self::Nginx => child::find("nginx", "nginx-light").map(drop),
            Self::Nsd => child::find("nsd", "nsd").map(drop),
            Self::Unbound => child::find("unbound", "unbound").map(drop),
            Self::Userns => match netns::user_namespaces_forbidden() {
                Some((why, or)) => Err(LabError::UserNamespace { why, or }),
                None => try_user_namespace(),
            },
        };
        tried.err().map(|error| error.to_string())
    }

    fn is_required(self) -> bool {
        env::var_os("CI").is_some_and(|value| value == "true")
            && fs::read_to_string(REQUIRED).is_ok_and(|list| lists(&list, &self.to_string()))
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            #[cfg(feature = "sink")]
            Self::Bpf => "bpf",
            Self::Gnutls => "gnutls",
            Self::Go => "go",
            Self::Ipv6 => "ipv6",
            Self::Knot => "knot",
            Self::Netns => "netns",
            Self::Nft => "nft",
            Self::Nginx => "nginx",
            Self::Nsd => "nsd",
            Self::Openssl => "openssl",
            Self::Unbound => "unbound",
            Self::Userns => "userns",
        })
    }
}

/// Whether a line of `list` is `word`, up to a comment.
fn lists(list: &str, word: &str) -> bool {
    list.lines().any(|line| line.split('#').next().is_some_and(|entry| entry.trim() == word))
}

/// Runs `f` in a new namespace, on a thread of its own.
pub(crate) fn in_new_namespace(
    f: impl FnOnce() -> Result<(), LabError> + Send,
) -> Result<(), LabError> {
    let inside = || {
        let _inside = Namespace::unshare()?;
        f()
    };
    thread::scope(|scope| scope.spawn(inside).join().unwrap_or(Err(LabError::WorldEnded)))
}

/// Has a process without privileges make a user namespace.
fn try_user_namespace() -> Result<(), LabError> {
    let refused = |why: String| LabError::UserNamespace { why, or: "" };
    let mut unshare = Command::new(child::find("unshare", "util-linux")?);
    unshare.args(["--user", "--map-root-user", "--net", "true"]).stdin(Stdio::null());
    as_ordinary_user(&mut unshare);
    let output = unshare.output().map_err(|error| refused(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_required_when_it_stands_on_a_line_of_its_own() {
        let list = "# bpf comes later\nnetns  # namespaces\nnft\n";
        assert!(lists(list, "netns") && lists(list, "nft"));
        assert!(!lists(list, "bpf") && !lists(list, "net"));
    }
}
