//! TLS over real links: every host's certificate, under loss too, while the kernel of the scanner says nothing.

mod matrix;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use mrpf_lab::{
    Lab, Loss,
    gate::{self, Need},
    tls_responder::{Leaves, TlsResponder},
    veth,
};
use mrpf_records::{Record, TlsOutcome, TlsRecord, TlsStage};
use mrpf_tls::{Builder, KeyShare, Scan, Summary};

use crate::world::{kernel_tcp, output, stderr};

/// Hosts of one nginx that are asked: all of 198.19.0.0/16 when there is time.
fn hosts() -> (&'static str, u64) {
    match std::env::var_os("MRPF_FULL") {
        Some(_) => ("198.19.0.0/16", 65_536),
        None => ("198.19.0.0/20", 4_096),
    }
}

/// A scan of port 443, at a rate that one nginx keeps up with.
fn tls(targets: &str) -> Builder {
    let targets = crate::world::builder()
        .target(targets)
        .ports("443")
        .allow_reserved(true)
        .rate("6k".parse().unwrap());
    Scan::builder(targets)
}

/// Runs a scan to its end; two records of one host are a failure.
#[track_caller]
fn run(builder: Builder) -> (BTreeMap<IpAddr, TlsRecord>, Summary) {
    let mut scan = builder.build().unwrap_or_else(|error| panic!("{error}"));
    let mut rows = BTreeMap::new();
    for record in &mut scan {
        let Record::Tls(row) = record else { panic!("{record:?}") };
        assert!(rows.insert(row.ip, *row).is_none(), "a second record of a host");
    }
    (rows, scan.finish().unwrap_or_else(|error| panic!("{error}")))
}

/// How many rows have the leaf of the lab's nginx.
fn with_leaf(rows: &BTreeMap<IpAddr, TlsRecord>, leaf: &str) -> u64 {
    let has = |row: &&TlsRecord| {
        row.outcome == TlsOutcome::Ok
            && row.certificates.first().is_some_and(|shown| shown.sha256 == leaf)
    };
    rows.values().filter(has).count() as u64
}

fn nginx(leaves: &Leaves) -> mrpf_lab::Builder {
    Lab::builder().nginx_tls(443, leaves.chain_pem(0), leaves.key_pem().to_owned())
}

#[test]
fn every_host_of_nginx_shows_its_certificate_and_the_kernel_says_nothing() {
    if !gate::permits(&[Need::Netns, Need::Nginx]) {
        return;
    }
    let leaves = Leaves::make().unwrap();
    let lab = nginx(&leaves).start().unwrap();
    let (targets, count) = hosts();
    let before = (kernel_tcp("OutRsts"), kernel_tcp("OutSegs"));
    let (rows, summary) = run(tls(targets));
    let after = (kernel_tcp("OutRsts"), kernel_tcp("OutSegs"));
    assert_eq!(after.0, before.0, "resets of the kernel");
    // The self-test of the port guard is all that the kernel sends.
    assert!(after.1 - before.1 <= 4, "{before:?} {after:?}");
    assert_eq!(rows.len() as u64, count, "one record each");
    let found = with_leaf(&rows, &leaves.sha256(0));
    let others: Vec<_> =
        rows.values().filter(|row| row.outcome != TlsOutcome::Ok).take(3).collect();
    println!("{found} of {count} with the leaf");
    assert!(
        found * 10_000 >= count * 9_999,
        "{found} of {count}: {others:?} {:?}",
        summary.base.counts
    );
    let row = rows.values().find(|row| row.outcome == TlsOutcome::Ok).unwrap();
    assert_eq!((row.version.as_deref(), row.stage), (Some("TLSv1.3"), TlsStage::Done));
    assert_eq!(row.certificates.len(), 2);
    let counts = summary.base.counts;
    assert_eq!(counts.generated, counts.sent + counts.dropped());
    assert_eq!(counts.sent, counts.probes + counts.segments_sent + counts.arp_requests);
    assert_eq!(
        counts.received,
        counts.valid + counts.segments + counts.invalid() + counts.arp_received
    );
    let (_, growth) = summary.base.interface.as_ref().unwrap();
    assert_eq!(growth.tx_packets, counts.sent, "what we count left, left");
    drop(lab);
}

#[test]
fn loss_of_one_percent_each_way_costs_next_to_nothing() {
    if !gate::permits(&[Need::Netns, Need::Nginx, Need::Nft]) {
        return;
    }
    let leaves = Leaves::make().unwrap();
    let loss = Loss { probes_percent: 1, answers_percent: 1, ..Loss::default() };
    let lab = nginx(&leaves).loss(loss).start().unwrap();
    let (targets, count) = hosts();
    let (rows, summary) = run(tls(targets));
    assert_eq!(rows.len() as u64, count, "one record each: {:?}", summary.base.counts);
    let found = with_leaf(&rows, &leaves.sha256(0));
    println!("{found} of {count} with the leaf");
    assert!(found * 1_000 >= count * 999, "{found} of {count}: {:?}", summary.base.counts);
    let lost = lab.loss().unwrap();
    assert!(lost.probes_lost > count / 100 && lost.answers_lost > count / 100, "{lost:?}");
}

#[test]
fn ipv6_hosts_show_their_certificate_too() {
    if !gate::permits(&[Need::Netns, Need::Nginx, Need::Ipv6]) {
        return;
    }
    let leaves = Leaves::make().unwrap();
    let _lab = nginx(&leaves).ipv6().start().unwrap();
    let (rows, _) = run(tls("2001:db8:1::/118").key_share(KeyShare::Fresh));
    assert_eq!((rows.len(), with_leaf(&rows, &leaves.sha256(0))), (1_024, 1_024));
    assert!(rows.contains_key(&IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x3ff))));
}

/// A far end that answers as fast as it is asked, each host with its own of 1,000 certificates.
#[test]
fn each_host_shows_its_own_certificate_at_a_high_rate() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let leaves = Arc::new(Leaves::make().unwrap());
    let lab = Lab::builder().silent(veth::HOSTS).start().unwrap();
    let _responder = TlsResponder::start(lab.world(), Arc::clone(&leaves)).unwrap();
    let targets = crate::world::builder()
        .target("198.19.0.0/16")
        .ports("443")
        .allow_reserved(true)
        .rate("60k".parse().unwrap());
    let (rows, summary) = run(Scan::builder(targets));
    assert_eq!(rows.len(), 65_536, "{:?}", summary.base.counts);
    let wrong = rows.iter().filter(|(host, row)| {
        row.certificates
            .first()
            .is_none_or(|leaf| leaf.sha256 != leaves.sha256(Leaves::number_of(**host)))
    });
    let wrong: Vec<_> = wrong.take(3).collect();
    assert!(wrong.is_empty(), "{wrong:?} {:?}", summary.base.counts);
}

#[test]
fn the_command_writes_a_line_a_host() {
    if !gate::permits(&[Need::Netns, Need::Nginx]) {
        return;
    }
    let leaves = Leaves::make().unwrap();
    let _lab = nginx(&leaves).start().unwrap();
    let done =
        output(&["tls", "198.19.0.0/29", "198.19.0.9:444", "--allow-reserved", "--show", "all"]);
    assert!(done.status.success(), "{}", stderr(&done));
    let mut rows: Vec<TlsRecord> = String::from_utf8(done.stdout.clone())
        .unwrap()
        .lines()
        .map(|line| match serde_json::from_str(line) {
            Ok(Record::Tls(row)) => *row,
            other => panic!("{other:?}: {line}"),
        })
        .collect();
    rows.sort_by_key(|row| row.ip);
    assert_eq!(rows.len(), 9);
    let refused = rows.pop().unwrap();
    assert_eq!(refused.ip, IpAddr::V4(Ipv4Addr::new(198, 19, 0, 9)));
    assert_eq!(
        (refused.outcome, refused.stage, refused.port),
        (TlsOutcome::Refused, TlsStage::Syn, 444)
    );
    assert!(
        rows.iter().all(|row| row.certificates[0].sha256 == leaves.sha256(0) && row.port == 443)
    );
    assert!(stderr(&done).contains("8 certificates, 8 ok, 1 refused"), "{}", stderr(&done));
    let named = output(&[
        "tls",
        "198.19.0.1",
        "--allow-reserved",
        "--sni",
        "www.example",
        "--format",
        "csv",
        "-q",
    ]);
    let text = String::from_utf8(named.stdout).unwrap();
    let columns: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let values: Vec<&str> = text.lines().nth(1).unwrap().split(',').collect();
    let sni = columns.iter().position(|column| *column == "sni").unwrap();
    assert_eq!(values[sni], "www.example");
    let wrong = output(&["tls", "198.19.0.1", "--allow-reserved", "--hello", "/no/such/file"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("give modern, tls12, legacy, or a file"), "{}", stderr(&wrong));
}
