//! Servers and a resolver that nobody here wrote.

use std::{collections::BTreeSet, net::IpAddr};

use mrpf_dns::{Ask, Origin, message::Qtype};
use mrpf_lab::{
    Lab, Servers,
    dns_servers::{ZoneFile, knotd, nsd, unbound},
    gate::{self, Need},
};

use super::{lookups, run};

/// A record of each of many types, with its data as records have them.
const RECORDS: [(&str, &str, &str); 24] = [
    ("www", "A", "198.51.100.1"),
    ("www", "AAAA", "2001:db8::1"),
    ("alias", "CNAME", "www.example.test."),
    ("deep.alias", "CNAME", "alias.example.test."),
    ("mx", "MX", "10 mail.example.test."),
    ("txt", "TXT", "\"one\" \"two words\" \"\" \"qu\\\"ote\\\\\""),
    ("srv", "SRV", "1 2 5060 sip.example.test."),
    ("naptr", "NAPTR", "100 50 \"s\" \"SIP+D2U\" \"\" _sip._udp.example.test."),
    ("caa", "CAA", "0 issue \"ca.example\""),
    ("ptr", "PTR", "www.example.test."),
    ("dname", "DNAME", "elsewhere.test."),
    ("sshfp", "SSHFP", "1 2 0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F20"),
    ("tlsa", "TLSA", "3 1 1 0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F20"),
    ("hinfo", "HINFO", "\"cpu\" \"os\""),
    ("rp", "RP", "root.example.test. txt.example.test."),
    // Of some types nobody here has a form of their own (RFC 3597, section 5).
    ("loc", "LOC", "\\# 16 001216138b3cf018810cbce0009895b8"),
    ("afsdb", "AFSDB", "1 afs.example.test."),
    ("uri", "URI", "10 1 \"https://example.test/\""),
    ("openpgp", "OPENPGPKEY", "AQIDBAUGBwg="),
    ("ds", "DS", "12345 13 2 0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F20"),
    ("https", "HTTPS", "1 . alpn=h2,h3 port=8443"),
    ("svcb", "SVCB", "2 svc.example.test. port=53"),
    ("new", "TYPE65280", "\\# 3 010203"),
    ("eui", "EUI48", "\\# 6 00005e00532a"),
];

fn zone() -> String {
    let mut text =
        "example.test. 3600 SOA ns.example.test. root.example.test. 1 3600 900 604800 300\n\
        example.test. 3600 NS ns.example.test.\nns.example.test. 3600 A 198.18.0.2\n"
            .to_owned();
    for (name, rtype, data) in RECORDS {
        text.push_str(&format!("{name}.example.test. 300 {rtype} {data}\n"));
    }
    // Longer than any datagram that is asked for.
    for number in 0..40 {
        text.push_str(&format!("big.example.test. 300 TXT \"{number:03}{}\"\n", "x".repeat(100)));
    }
    text
}

fn folded(data: &str) -> String {
    data.to_lowercase().replace('"', "")
}

/// Asks `resolvers` for everything that is in the zone and compares what comes with what is there.
#[track_caller]
fn check(resolvers: &str, names_servers: bool, recursion: bool) {
    let server = if names_servers { format!(",{resolvers}") } else { String::new() };
    let listed = if names_servers { String::new() } else { resolvers.to_owned() };
    let ask =
        |text: String| Ask::Lines { origins: vec![Origin::Text(text)], servers: names_servers };
    for (name, rtype, data) in RECORDS {
        let text = format!("{name}.example.test{server}\n");
        let set = |it: mrpf_syn::Builder| it;
        let builder = match names_servers {
            true => mrpf_dns::Scan::builder(crate::world::builder(), ask(text)),
            false => lookups(&listed, ask(text), set),
        };
        let qtype: Qtype = rtype.parse().unwrap();
        let (rows, _) = run(builder.types([qtype]).recursion(recursion));
        assert_eq!(rows.len(), 1, "{name}");
        let row = &rows[0];
        assert_eq!((&*row.status, &*row.qtype), ("NOERROR", rtype), "{row:?}");
        let found: Vec<_> = row.answers.iter().filter(|answer| answer.rtype == rtype).collect();
        assert_eq!(found.len(), 1, "{row:?}");
        assert_eq!(folded(&found[0].data), folded(data), "{row:?}");
        assert_eq!(row.flags.iter().any(|flag| flag == "aa"), !recursion, "{row:?}");
        assert!(row.cut.is_none() && row.rtt_us.is_some(), "{row:?}");
    }

    let text = ["big", "nobody", "www"].map(|name| format!("{name}.example.test{server}\n"));
    let builder = match names_servers {
        true => mrpf_dns::Scan::builder(crate::world::builder(), ask(text.concat())),
        false => lookups(&listed, ask(text.concat()), |it| it),
    };
    let (rows, summary) = run(builder.types([Qtype::TXT, Qtype::A]).recursion(recursion));
    let row = |name: &str, qtype: &str| {
        let is = |row: &&mrpf_dns::DnsRecord| {
            row.name.strip_suffix(".example.test") == Some(name) && row.qtype == qtype
        };
        rows.iter().find(is).unwrap_or_else(|| panic!("{name} {qtype}: {rows:?}"))
    };
    assert_eq!(rows.len(), 6);
    let big = row("big", "TXT");
    let texts: BTreeSet<_> = big.answers.iter().map(|answer| &answer.data[1..4]).collect();
    assert_eq!((texts.len(), big.answers.len()), (40, 40), "{big:?}");
    assert_eq!(serde_json::to_value(big.protocol).unwrap(), "tcp");
    assert_eq!(summary.lookups.over_tcp, 1);
    for (name, qtype, status, count) in [
        ("big", "A", "NOERROR", 0),
        ("nobody", "A", "NXDOMAIN", 0),
        ("nobody", "TXT", "NXDOMAIN", 0),
        ("www", "TXT", "NOERROR", 0),
        ("www", "A", "NOERROR", 1),
    ] {
        let row = row(name, qtype);
        assert_eq!((&*row.status, row.answers.len()), (status, count), "{row:?}");
    }
}

#[test]
fn knot_has_told_everything_that_is_in_its_zone() {
    if !gate::permits(&[Need::Netns, Need::Knot]) {
        return;
    }
    let (lab, folder) = (Lab::builder().start().unwrap(), tempfile::tempdir().unwrap());
    let text = zone();
    let zones = [ZoneFile { name: "example.test", text: &text }];
    let server = knotd(folder.path(), &[], 53, &zones).unwrap();
    let _servers = Servers::start(lab.world(), vec![server]).unwrap();
    check("198.19.0.53", true, false);
}

#[test]
fn nsd_has_told_everything_that_is_in_its_zone() {
    if !gate::permits(&[Need::Netns, Need::Nsd]) {
        return;
    }
    let (lab, folder) = (Lab::builder().start().unwrap(), tempfile::tempdir().unwrap());
    let text = zone();
    let zones = [ZoneFile { name: "example.test", text: &text }];
    let addrs: [IpAddr; 1] = [[198, 19, 0, 53].into()];
    let server = nsd(folder.path(), &addrs, 53, &zones).unwrap();
    let _servers = Servers::start(lab.world(), vec![server]).unwrap();
    check("198.19.0.53", true, false);
}

#[test]
fn unbound_resolves_what_knot_has() {
    if !gate::permits(&[Need::Netns, Need::Knot, Need::Unbound]) {
        return;
    }
    let (lab, folder) = (Lab::builder().start().unwrap(), tempfile::tempdir().unwrap());
    let text = zone();
    let zones = [ZoneFile { name: "example.test", text: &text }];
    let knot = knotd(folder.path(), &[], 5_300, &zones).unwrap();
    let stubs = [
        ("example.test", ([127, 0, 0, 1], 5_300).into()),
        ("gone.test", ([127, 0, 0, 1], 5_300).into()),
    ];
    let resolver = unbound(folder.path(), 53, &stubs).unwrap();
    let _servers = Servers::start(lab.world(), vec![knot, resolver]).unwrap();
    check("198.19.0.53", false, true);

    // A zone that its server does not have any more, and one that this resolver resolves for nobody.
    let text = "www.gone.test\nwww.example.net\n".to_owned();
    let ask = Ask::Lines { origins: vec![Origin::Text(text)], servers: false };
    let (rows, _) = run(lookups("198.19.0.53-198.19.0.54", ask, |it| it));
    let mut told: Vec<_> = rows.iter().map(|row| (&*row.name, &*row.status)).collect();
    told.sort_unstable();
    assert_eq!(told, [("www.example.net", "REFUSED"), ("www.gone.test", "SERVFAIL")]);
    assert!(rows.iter().all(|row| row.attempts == Some(3)), "asked elsewhere: {rows:?}");
}
