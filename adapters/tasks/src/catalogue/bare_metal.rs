//! Tasks that send packets of their own.

use std::{collections::BTreeSet, net::IpAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    AddressRange, Check, DomainName, Scope,
    scope::{Refused, Targeted},
    task,
};

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
        check_shard(self.shard, self.shards)?;
        check_rate(self.rate)?;
        check_ports(&self.ports)
    }
}

impl Targeted for SynScanInput {
    fn cut(&mut self, scope: &Scope, blocklist: &[AddressRange]) -> Vec<Refused> {
        let cut = scope.cut(&self.targets, blocklist);
        self.targets = cut.inside;
        cut.refused
    }

    fn has_no_target(&self) -> bool {
        self.targets.is_empty()
    }
}

task! {
    /// Says what TLS tells on some ports of some addresses, and keeps certificates, and where they are shown, in recon.
    pub struct TlsScan;
    requires: [TaskDataAccess, ReconDataAccess, RawSocketAccess];
    input: TlsScanInput;
    output: Value;
}

/// See [`TlsScan`]. Its output are the records of `mrpf tls`. It has hosts, or targets with ports, or both.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TlsScanInput {
    /// Single addresses with ports of their own. The manager takes out what the workflow may not touch, and so does the worker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<TlsHost>,
    /// What is asked on `ports`, without a name. It is cut as `hosts` are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<AddressRange>,
    /// Ports of `targets`: `443`, `443,8443`, `-` for all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ports: String,
    /// Frames a second.
    pub rate: u64,
    /// SYNs after the first.
    pub retries: u8,
    /// Seconds in which answers are taken after the last SYN.
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

/// An address and what is asked of it by a [`TlsScan`].
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TlsHost {
    /// The address.
    pub ip: IpAddr,
    /// The ports.
    pub ports: Vec<u16>,
    /// The name that hellos to all these ports ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<DomainName>,
}

impl Check for TlsScanInput {
    fn check(&self) -> Result<(), String> {
        if self.has_no_target() {
            return Err("hosts: there are none, and no targets".to_owned());
        }
        if self.targets.is_empty() != self.ports.is_empty() {
            return Err(
                "ports: they are those of targets, so there must be both or neither".to_owned()
            );
        }
        if !self.ports.is_empty() {
            check_ports(&self.ports)?;
        }
        let mut seen = BTreeSet::new();
        for TlsHost { ip, ports, .. } in &self.hosts {
            if !seen.insert(ip) {
                return Err(format!("hosts: {ip} is there twice"));
            }
            let distinct: BTreeSet<&u16> = ports.iter().collect();
            if ports.is_empty() || distinct.len() < ports.len() || ports.contains(&0) {
                return Err(format!("hosts: {ip} has no ports, or one twice, or port 0"));
            }
        }
        check_shard(self.shard, self.shards)?;
        check_rate(self.rate)
    }
}

impl Targeted for TlsScanInput {
    fn cut(&mut self, scope: &Scope, blocklist: &[AddressRange]) -> Vec<Refused> {
        let single: Vec<_> = self.hosts.iter().map(|it| AddressRange::one(it.ip)).collect();
        let mut cut = scope.cut(&AddressRange::merged(&single), blocklist);
        let inside = AddressRange::merged(&cut.inside);
        self.hosts.retain(|host| AddressRange::any_of(&inside, host.ip));
        let targets = scope.cut(&self.targets, blocklist);
        self.targets = targets.inside;
        if self.targets.is_empty() {
            self.ports.clear();
        }
        cut.refused.extend(targets.refused);
        cut.refused
    }

    fn has_no_target(&self) -> bool {
        self.hosts.is_empty() && self.targets.is_empty()
    }
}

fn check_shard(shard: u32, shards: u32) -> Result<(), String> {
    if shard == 0 || shard > shards {
        return Err(format!("shard: {shard} is none of 1 to {shards}"));
    }
    Ok(())
}

pub(super) fn check_rate(rate: u64) -> Result<(), String> {
    if rate == 0 { Err("rate: must be 1 or more".to_owned()) } else { Ok(()) }
}

pub(super) fn check_ports(ports: &str) -> Result<(), String> {
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
    use serde_json::json;

    use super::*;

    fn tls(more: Value) -> TlsScanInput {
        let mut input = json!({ "rate": 1, "retries": 0, "cooldown_secs": 1, "seed": 1 });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(input).unwrap()
    }

    #[test]
    fn a_tls_scan_has_hosts_or_targets_with_ports() {
        let hosts = json!([
            { "ip": "198.19.0.1", "ports": [443, 8443], "server_name": "a.example.org" },
            { "ip": "198.19.0.2", "ports": [443] },
        ]);
        for good in [
            json!({ "hosts": hosts }),
            json!({ "targets": ["198.19.0.0/24"], "ports": "443" }),
            json!({ "hosts": hosts, "targets": ["198.19.0.0/24"], "ports": "443" }),
        ] {
            assert_eq!(tls(good).check(), Ok(()));
        }
        let ports = |ports: Value| json!({ "hosts": [{ "ip": "198.19.0.1", "ports": ports }] });
        let bad = [
            (json!({}), "hosts: there are none"),
            (json!({ "targets": ["198.19.0.0/24"] }), "ports: "),
            (json!({ "hosts": hosts, "ports": "443" }), "ports: "),
            (json!({ "targets": ["198.19.0.0/24"], "ports": "https" }), "ports: \"https\""),
            (ports(json!([])), "no ports"),
            (ports(json!([443, 443])), "one twice"),
            (ports(json!([443, 0])), "port 0"),
            (json!({ "hosts": [hosts[0], hosts[0]] }), "is there twice"),
            (json!({ "hosts": hosts, "shard": 2 }), "shard: "),
            (json!({ "hosts": hosts, "rate": 0 }), "rate: "),
        ];
        for (bad, why) in bad {
            let error = tls(bad.clone()).check().unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn a_tls_scan_is_cut_to_what_may_be_touched() {
        let scope: Scope = serde_json::from_value(json!({
            "addresses": ["198.19.0.0/24", "2001:db8::/64"], "exclude": ["198.19.0.7"],
        }))
        .unwrap();
        let blocklist = ["2001:db8::9".parse().unwrap()];
        let host = |ip: &str| json!({ "ip": ip, "ports": [443] });
        let ips = [
            "2001:db8::9",
            "198.19.0.7",
            "198.19.0.8",
            "10.0.0.1",
            "10.0.0.2",
            "2001:db8::8",
            "198.19.0.6",
        ];
        let mut input =
            tls(json!({ "hosts": ips.map(host), "targets": ["10.1.0.0/16"], "ports": "443" }));
        let refused = input.cut(&scope, &blocklist);
        let left: Vec<_> = input.hosts.iter().map(|it| it.ip.to_string()).collect();
        assert_eq!(left, ["198.19.0.8", "2001:db8::8", "198.19.0.6"]);
        let refused: Vec<_> = refused.iter().map(|it| it.what.as_str()).collect();
        let told = ["10.0.0.1-10.0.0.2", "198.19.0.7", "2001:db8::9", "10.1.0.0/16"];
        assert_eq!(refused, told);
        assert_eq!((input.check(), input.has_no_target()), (Ok(()), false));
        let mut outside = tls(json!({ "hosts": [host("10.0.0.1")] }));
        outside.cut(&scope, &[]);
        assert!(outside.has_no_target());
    }

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
