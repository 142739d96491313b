//! Tasks that send packets of their own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{AddressRange, Check, task};

task! {
    /// Says which TCP ports of some addresses answer a SYN, and keeps what it finds in recon.
    pub struct TcpSynScan;
    requires: [TaskDataAccess, ReconDataAccess, RawSocketAccess];
    input: SynScanInput;
    output: Value;
}

/// See [`TcpSynScan`]. Its output are the records of `mrpf syn`.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SynScanInput {
    /// What is scanned. The manager takes out what the workflow may not touch, and so does the worker.
    pub targets: Vec<AddressRange>,
    /// Ports: `80,443`, `1-1024`, `-` for all.
    pub ports: String,
    /// Frames a second.
    pub rate: u64,
    /// Attempts after the first.
    pub retries: u8,
    /// Seconds in which answers are taken after the last attempt.
    pub cooldown_secs: u8,
    /// Of the order: shards of one scan share it, and so does a scan that goes on.
    pub seed: u64,
    /// Which of `shards` parts, from 1.
    #[serde(default = "one")]
    pub shard: u32,
    /// How many parts.
    #[serde(default = "one")]
    pub shards: u32,
}

fn one() -> u32 {
    1
}

impl Check for SynScanInput {
    fn check(&self) -> Result<(), String> {
        if self.targets.is_empty() {
            return Err("targets: there are none".to_owned());
        }
        if self.shard == 0 || self.shard > self.shards {
            return Err(format!("shard: {} is none of 1 to {}", self.shard, self.shards));
        }
        check_scan(&self.ports, self.rate)
    }
}

/// Checks what every scan has.
pub(super) fn check_scan(ports: &str, rate: u64) -> Result<(), String> {
    if rate == 0 {
        return Err("rate: must be 1 or more".to_owned());
    }
    match count_ports(ports) {
        Some(_) => Ok(()),
        None => Err(format!("ports: {ports:?} is no list of ports such as 80,443 or 1-1024 or -")),
    }
}

/// How many ports `80,443`, `1-1024` or `-` are; ranges that overlap are refused.
pub fn count_ports(ports: &str) -> Option<u32> {
    if ports == "-" {
        return Some(65_535);
    }
    let mut seen = vec![false; 65_536];
    for part in ports.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse::<u16>().ok()?, last.trim().parse::<u16>().ok()?);
        if first == 0 || first > last {
            return None;
        }
        for port in first..=last {
            if std::mem::replace(&mut seen[usize::from(port)], true) {
                return None;
            }
        }
    }
    u32::try_from(seen.iter().filter(|seen| **seen).count()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_counted() {
        let cases = [
            ("80", Some(1)),
            ("80,443", Some(2)),
            ("1-1024, 8080", Some(1_025)),
            ("-", Some(65_535)),
        ];
        for (ports, count) in cases {
            assert_eq!(count_ports(ports), count, "{ports}");
        }
        for ports in ["", "0", "80-79", "80,80", "1-10,5", "65536", "http"] {
            assert_eq!(count_ports(ports), None, "{ports}");
        }
    }
}
