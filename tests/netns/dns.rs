//! Names over real links: each ends in one record and a true one, whatever is lost, cut or refused on the way.

mod servers;

use std::{fmt::Write as _, fs, net::Ipv4Addr, path::Path};

use mrpf_dns::{Ask, Builder, DnsRecord, Origin, Record, Scan, Summary};
use mrpf_lab::{
    Lab, Loss,
    dns_responder::{Asked, DnsResponder, Knobs, Reply, rtype},
    gate::{self, Need},
};

use crate::world::kernel_udp;

/// Addresses of 198.19.0.0/16 that are asked as resolvers.
const RESOLVERS: &str = "198.19.0.1-198.19.0.100";

/// Names that are asked for: a million when there is time.
fn names() -> u32 {
    if std::env::var_os("MRPF_FULL").is_some() { 1_000_000 } else { 20_000 }
}

/// `w<number>.example.test` exists when its number is even.
fn address(number: u32) -> Option<Ipv4Addr> {
    number.is_multiple_of(2).then(|| Ipv4Addr::from_bits(0x0a00_0000 | number))
}

fn number(name: &[u8]) -> Option<u32> {
    let (len, label) = name.split_first()?;
    let digits = std::str::from_utf8(label.get(1..usize::from(*len))?).ok()?;
    matches!(label.first(), Some(b'w' | b'W')).then(|| digits.parse().ok())?
}

fn truth(asked: &Asked<'_>, reply: &mut Reply) {
    match (number(asked.name).and_then(address), asked.qtype) {
        (Some(address), rtype::A) => reply.answer(rtype::A, 60, &address.octets()),
        (Some(_), _) => {}
        (None, _) => reply.status(3),
    }
}

fn write_names(path: &Path, count: u32) {
    let mut text = String::new();
    for number in 0..count {
        writeln!(text, "w{number}.example.test").unwrap();
    }
    fs::write(path, text).unwrap();
}

fn lookups(
    resolvers: &str,
    ask: Ask,
    set: impl Fn(mrpf_syn::Builder) -> mrpf_syn::Builder,
) -> Builder {
    Scan::builder(set(crate::world::builder().target(resolvers)), ask)
}

fn file(path: &Path) -> Ask {
    Ask::Lines { origins: vec![Origin::File(path.to_owned())], servers: false }
}

/// Runs lookups to their end.
#[track_caller]
fn run(builder: Builder) -> (Vec<DnsRecord>, Summary) {
    let mut scan = builder.build().unwrap_or_else(|error| panic!("{error}"));
    let mut rows = Vec::new();
    for record in &mut scan {
        let Record::Dns(row) = record else { panic!("{record:?}") };
        rows.push(*row);
    }
    (rows, scan.finish().unwrap_or_else(|error| panic!("{error}")))
}

/// Each of `count` names has one row: how many say what is true, how many say that they do not know.
#[track_caller]
fn judge(rows: &[DnsRecord], count: u32) -> (u32, u32) {
    let mut seen = vec![false; count as usize];
    let (mut right, mut unknown) = (0, 0);
    for row in rows {
        let label = row.name.strip_suffix(".example.test").expect("a name that was asked for");
        let number: u32 = label[1..].parse().unwrap();
        assert!(!std::mem::replace(&mut seen[number as usize], true), "a second row: {row:?}");
        let data: Vec<_> = row.answers.iter().map(|answer| answer.data.clone()).collect();
        let expected: Vec<_> = address(number).iter().map(ToString::to_string).collect();
        match (&*row.status, address(number)) {
            ("NOERROR", Some(_)) | ("NXDOMAIN", None) => {
                assert_eq!(data, expected, "{row:?}");
                right += 1;
            }
            ("SERVFAIL" | DnsRecord::TIMEOUT | DnsRecord::TRUNCATED, _) => unknown += 1,
            _ => panic!("not true: {row:?}"),
        }
    }
    assert_eq!(right + unknown, count, "a row for each name");
    (right, unknown)
}

#[test]
fn every_name_ends_in_one_record_and_nothing_costs_more_than_it_must() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let (lab, folder) = (Lab::builder().start().unwrap(), tempfile::tempdir().unwrap());
    let responder = DnsResponder::start(lab.world(), Knobs::default(), truth).unwrap();
    let (count, path) = (names(), folder.path().join("names"));
    write_names(&path, count);
    let before = kernel_udp("NoPorts");
    let set = |it: mrpf_syn::Builder| it.rate("40k".parse().unwrap());
    let (rows, summary) = run(lookups(RESOLVERS, file(&path), set));
    assert_eq!(judge(&rows, count), (count, 0), "{:?} {:?}", summary.lookups, summary.base.counts);
    let asked = responder.counts();
    assert!(asked.udp * 100 <= u64::from(count) * 105, "{} queries for {count}", asked.udp);
    assert_eq!(kernel_udp("NoPorts"), before, "the kernel took answers for its own");
    let counts = summary.base.counts;
    assert_eq!(counts.generated, counts.sent + counts.dropped());
    let (_, growth) = summary.base.interface.as_ref().unwrap();
    assert_eq!(growth.tx_packets, counts.sent, "what we count left, left");
    assert_eq!(rows.iter().filter(|row| row.protocol.is_none()).count(), 0);
    assert_eq!(summary.lookups.ends(), u64::from(count));
}

#[test]
fn loss_truncation_and_failures_are_overcome() {
    if !gate::permits(&[Need::Netns, Need::Nft]) {
        return;
    }
    let loss = Loss { probes_percent: 5, answers_percent: 5, ..Loss::default() };
    let (lab, folder) = (Lab::builder().loss(loss).start().unwrap(), tempfile::tempdir().unwrap());
    let knobs = Knobs { truncated: 0.01, servfail: 0.01, ..Knobs::default() };
    let responder = DnsResponder::start(lab.world(), knobs, truth).unwrap();
    let (count, path) = (names(), folder.path().join("names"));
    write_names(&path, count);
    let set = |it: mrpf_syn::Builder| {
        let settings = mrpf_engine::scan::Settings { retries: 5, ..*it.pace() };
        it.settings(settings).rate("20k".parse().unwrap())
    };
    let (rows, summary) = run(lookups(RESOLVERS, file(&path), set));
    let (right, unknown) = judge(&rows, count);
    println!("{right} right, {unknown} unknown of {count}: {:?}", summary.lookups);
    assert!(u64::from(right) * 10_000 >= u64::from(count) * 9_999, "{:?}", summary.lookups);
    let lost = lab.loss().unwrap();
    assert!(
        lost.probes_lost > u64::from(count) / 25 && lost.answers_lost > u64::from(count) / 25,
        "{lost:?}"
    );
    let asked = responder.counts();
    assert!(asked.truncated > 0 && asked.servfail > 0 && asked.tcp > 0, "{asked:?}");
    assert!(summary.lookups.over_tcp > 0, "{:?}", summary.lookups);
}

#[test]
fn several_threads_share_names_and_ports() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let (lab, folder) = (Lab::builder().start().unwrap(), tempfile::tempdir().unwrap());
    let _responder = DnsResponder::start(lab.world(), Knobs::default(), truth).unwrap();
    let path = folder.path().join("names");
    write_names(&path, 20_000);
    let set = |it: mrpf_syn::Builder| it.rate("20k".parse().unwrap()).threads(3);
    let (rows, summary) = run(lookups(RESOLVERS, file(&path), set));
    assert_eq!(judge(&rows, 20_000), (20_000, 0), "{:?}", summary.lookups);
    assert_eq!(summary.base.threads, 3);
}
