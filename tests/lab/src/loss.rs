//! Frames lost and doubled on the way, by nft rules on the world's device, and their counters.
//!
//! The netdev hooks lie below everything a sender or receiver of the scanner's side could bypass: ingress of the world's
//! device sees every probe, egress every answer.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::{LabError, child, error::asking, veth};

/// What is lost and doubled, in percent; the default is nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Loss {
    /// Probes that never reach the world.
    pub probes_percent: u8,
    /// Answers that never reach the scanner.
    pub answers_percent: u8,
    /// Of the answers that do, those that come twice.
    pub duplicated_percent: u8,
}

/// Frames that the rules met so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Probes lost.
    pub probes_lost: u64,
    /// Answers lost.
    pub answers_lost: u64,
    /// Answers sent twice.
    pub duplicated: u64,
}

const TABLE: &str = "mrpf_lab";

/// Puts the rules on the world's device. For a thread in the world's namespace.
pub(crate) fn install(loss: Loss) -> Result<(), LabError> {
    nft(&["-f", "-"], &rules(loss)).map(drop)
}

/// Reads the counters. For a thread in the world's namespace.
pub(crate) fn counters() -> Result<Counters, LabError> {
    let listing = nft(&["list", "counters", "table", "netdev", TABLE], "")?;
    let read = |name| {
        packets(&listing, name)
            .ok_or_else(|| LabError::Nft { stderr: format!("no counter {name} in: {listing}") })
    };
    Ok(Counters {
        probes_lost: read("probes_lost")?,
        answers_lost: read("answers_lost")?,
        duplicated: read("duplicated")?,
    })
}

/// Runs nft in the namespace of the calling thread; gives back what it prints.
pub(crate) fn nft(args: &[&str], input: &str) -> Result<String, LabError> {
    let mut child = Command::new(child::find("nft", "nftables")?)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(asking("starting nft"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // An nft that reads nothing has said why by its status.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(asking("waiting for nft"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(LabError::Nft { stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}

fn rules(loss: Loss) -> String {
    let device = veth::WORLD.device;
    let probes = rule(loss.probes_percent, "probes_lost", "drop");
    let answers = rule(loss.answers_percent, "answers_lost", "drop");
    let doubled = rule(loss.duplicated_percent, "duplicated", &format!("dup to \"{device}\""));
    // A brace and a rule a line: nft 1.0.6 does not take all of it in one.
    format!(
        "table netdev {TABLE} {{
    counter probes_lost {{
    }}
    counter answers_lost {{
    }}
    counter duplicated {{
    }}
    chain probes {{
        type filter hook ingress device \"{device}\" priority 0; policy accept;
        {probes}
    }}
    chain answers {{
        type filter hook egress device \"{device}\" priority 0; policy accept;
        {answers}
        {doubled}
    }}
}}
"
    )
}

/// A rule for so many of a hundred frames: nft takes no comparison that is always true.
fn rule(percent: u8, counter: &str, verdict: &str) -> String {
    match percent {
        0 => String::new(),
        1..100 => format!("numgen random mod 100 < {percent} counter name \"{counter}\" {verdict}"),
        100.. => format!("counter name \"{counter}\" {verdict}"),
    }
}

/// The packets of one counter in what `nft list counters` prints.
fn packets(listing: &str, name: &str) -> Option<u64> {
    let (_, after) = listing.split_once(&format!("counter {name} {{"))?;
    let mut words = after.split_whitespace().skip_while(|word| *word != "packets");
    words.nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_some_and_all_are_three_rules() {
        assert_eq!(rule(0, "a", "drop"), "");
        assert_eq!(rule(5, "a", "drop"), "numgen random mod 100 < 5 counter name \"a\" drop");
        assert_eq!(rule(100, "a", "drop"), "counter name \"a\" drop");
    }

    #[test]
    fn counters_are_read_by_name() {
        let listing = "table netdev mrpf_lab {\n\tcounter probes_lost {\n\t\tpackets 7 bytes 280\n\t}\n\
                       \tcounter duplicated {\n\t\tpackets 12 bytes 1\n\t}\n}\n";
        assert_eq!(packets(listing, "probes_lost"), Some(7));
        assert_eq!(packets(listing, "duplicated"), Some(12));
        assert_eq!(packets(listing, "answers_lost"), None);
    }
}
