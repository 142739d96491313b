//! Endpoints out of items, for a scan of ports that are known to be open.
//!
//! ```text
//!  items --ip, port, server_name--> each endpoint once --scope, blocklist--> groups that a message has room for
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use mrpf_ports::Cx;
use mrpf_tasks::{
    AddressRange, DomainName, ErrorKind, TaskError,
    catalogue::{DataRef, GenerateTargets, TlsHost},
};
use serde_json::Value;

use super::{Group, allowed};
use crate::item::{each, name_in, tell_malformed};

/// Most endpoints that are held in memory.
const MOST: usize = 2_000_000;
/// Most octets of a group as text, or hardly more: all of a message is below 900 KiB.
const OCTETS: usize = 400_000;
/// Octets of a host, without its address, ports and name.
const OF_HOST: usize = 40;
/// Octets of a port.
const OF_PORT: usize = 6;

/// The endpoints that the items of `from` name, as far as they may be touched. Each address has one name for all its ports: the first
/// that an item gives it.
pub(super) fn groups(
    cx: &Cx<'_, GenerateTargets>,
    from: DataRef,
    field: &str,
) -> Result<Vec<Group>, TaskError> {
    let mut found: BTreeMap<IpAddr, Host> = BTreeMap::new();
    let (mut count, mut malformed) = (0, 0);
    each(cx, from, |item| {
        let Some((ip, port)) = endpoint(&item, field) else {
            malformed += 1;
            return Ok(());
        };
        let host = found.entry(ip).or_default();
        count += usize::from(host.ports.insert(port));
        if host.name.is_none() {
            host.name = item.pointer("/server_name").and_then(Value::as_str).and_then(name_in);
        }
        if count > MOST {
            let why = format!("more than {MOST} endpoints: filter them, or scan ports of ranges");
            return Err(TaskError::new(ErrorKind::Input, why));
        }
        Ok(())
    })?;
    let addresses: Vec<_> = found.keys().map(|ip| AddressRange::one(*ip)).collect();
    let inside = allowed(cx, &addresses)?;
    found.retain(|ip, _| AddressRange::any_of(&inside, *ip));
    tell_malformed(cx, malformed);
    Ok(cut(found))
}

/// What items say of an address.
#[derive(Default)]
struct Host {
    ports: BTreeSet<u16>,
    name: Option<DomainName>,
}

fn endpoint(item: &Value, field: &str) -> Option<(IpAddr, u16)> {
    let ip = item.pointer(field)?.as_str()?.parse().ok()?;
    let port = item.pointer("/port")?.as_u64()?.try_into().ok()?;
    (port > 0).then_some((ip, port))
}

fn cut(found: BTreeMap<IpAddr, Host>) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut octets = OCTETS;
    for (ip, Host { ports, name }) in found {
        if octets >= OCTETS {
            octets = 0;
            groups.push(Group { targets: Vec::new(), hosts: Vec::new(), probes: 0 });
        }
        octets += OF_HOST + ip.to_string().len() + OF_PORT * ports.len();
        octets += name.as_ref().map_or(0, |name| name.as_str().len());
        if let Some(group) = groups.last_mut() {
            group.probes += ports.len() as u128;
            let ports = ports.into_iter().collect();
            group.hosts.push(TlsHost { ip, ports, server_name: name });
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use mrpf_ports::Finished;
    use mrpf_tasks::{
        Check as _,
        catalogue::{TlsScan, TlsScanInput},
        scope::Refusal,
    };
    use serde_json::json;

    use super::*;
    use crate::fake::{Fake, items};

    fn scans(fake: &Fake) -> Vec<TlsScanInput> {
        let scans = fake.children::<TlsScan>();
        assert!(scans.iter().all(|scan| scan.check().is_ok()));
        scans
    }

    #[test]
    fn open_ports_are_asked_once_each_with_the_name_that_one_has() {
        let fake = Fake::with_scope(json!({ "addresses": ["198.19.0.0/24"] }));
        fake.block("198.19.0.9");
        let from = fake.stored(items(json!([
            { "type": "syn", "ip": "198.19.0.7", "port": 443, "state": "open" },
            { "ip": "198.19.0.7", "port": 443, "server_name": "WWW.example.org." },
            { "ip": "198.19.0.7", "port": 443, "server_name": "b.example.org" },
            { "ip": "198.19.0.6", "port": 8443 },
            { "ip": "198.19.0.7", "port": 8443 },
            { "ip": "198.19.0.9", "port": 443 },
            { "ip": "203.0.113.7", "port": 443 },
            { "ip": "203.0.113.7", "port": 80 },
            { "ip": "198.19.0.6", "port": 0 },
            { "ip": "198.19.0.6", "port": 65_536 },
            { "ip": "198.19.0.0/24", "port": 443 },
            { "ip": "198.19.0.6" },
            7,
        ])));
        let input = json!({ "scan": "tls", "from": from, "rate": 10_000 });
        assert_eq!(fake.run::<GenerateTargets>(input), Ok(Finished::default()));
        let scans = scans(&fake);
        assert_eq!(scans.len(), 1);
        assert_eq!(
            serde_json::to_value(&scans[0].hosts).unwrap(),
            json!([
                { "ip": "198.19.0.6", "ports": [8443] },
                { "ip": "198.19.0.7", "ports": [443, 8443], "server_name": "www.example.org" },
            ])
        );
        assert_eq!((scans[0].rate, scans[0].retries, scans[0].shards), (2_000, 2, 1));
        let refused = [("203.0.113.7", Refusal::OutOfScope), ("198.19.0.9", Refusal::Blocklisted)];
        assert_eq!(fake.refused(), refused.map(|(what, why)| (what.to_owned(), why)));
        assert_eq!(fake.told(), "5: items were malformed and passed over");
        assert_eq!(
            fake.output(),
            [json!({ "shards": 1, "addresses": 3, "ports": 1, "rate": 2_000 })]
        );
    }

    #[test]
    fn ports_of_ranges_may_be_asked_too() {
        let fake = Fake::with_scope(json!({ "addresses": ["198.19.0.0/24"] }));
        let input = json!({ "scan": "tls", "ports": "443,8443" });
        assert_eq!(fake.run::<GenerateTargets>(input), Ok(Finished::default()));
        let scans = scans(&fake);
        assert_eq!((scans[0].targets.len(), scans[0].ports.as_str()), (1, "443,8443"));
    }

    #[test]
    fn endpoints_come_out_of_items_alone() {
        let fake = Fake::with_scope(json!({ "addresses": ["198.19.0.0/24"] }));
        for bad in [
            json!({ "scan": "tls" }),
            json!({ "from": fake.stored(Vec::new()) }),
            json!({ "scan": "tls", "from": fake.stored(Vec::new()), "addresses": ["198.19.0.1"] }),
        ] {
            let error = fake.run::<GenerateTargets>(bad).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Input, "{error}");
        }
    }

    #[test]
    fn many_endpoints_make_several_scans_of_messages_that_queues_take() {
        let fake = Fake::with_scope(json!({ "addresses": ["2001:db8::/32"] }));
        let name = format!("{}.example.org", ["a".repeat(60), "b".repeat(60)].join("."));
        let item = |n: u32| json!({ "ip": format!("2001:db8:ffff:ffff:ffff:ffff:{:x}:{:x}", n >> 16, n & 0xffff | 0x8000), "port": 65_535, "server_name": name });
        let from = fake.stored((0..10_000).map(item).collect());
        let input = json!({ "scan": "tls", "from": from });
        assert_eq!(fake.run::<GenerateTargets>(input), Ok(Finished::default()));
        let scans = scans(&fake);
        assert_eq!(scans.iter().map(|scan| scan.hosts.len()).sum::<usize>(), 10_000);
        assert!(scans.len() > 4);
        for scan in scans {
            let octets = serde_json::to_string(&scan).unwrap().len();
            assert!(octets < mrpf_tasks::message::MOST_BODY / 2, "{octets}");
        }
    }
}
