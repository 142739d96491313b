//! JARM as part of a scan: ten passes over those who speak TLS, and nothing of it seen but the fingerprint.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use mrpf_engine::{
    link::sim::{
        Faults,
        hosts::{Behaviour, Hosts, Say, Speaker, Then},
    },
    scan::{Failure, Stop},
    time::Instant,
};
use mrpf_records::{Record, TlsOutcome, TlsRecord};
use mrpf_tls::{
    Show,
    fingerprint::jarm::{self, Answer, JarmProbe},
    hello::{Hello, KeyShares, Profile, Salt},
};

use super::{
    adds_up,
    world::{Pki, network, network_of, run, tls},
};

const ALERT: &[u8] = b"\x15\x03\x01\0\x02\x02\x28";

/// What tells the ten hellos apart whatever is drawn for them: the version of the record, and the suites without GREASE.
fn mark_of(hello: &[u8]) -> (u8, Vec<[u8; 2]>) {
    let session_id = usize::from(hello[43]);
    let suites = &hello[44 + session_id..];
    let length = usize::from(u16::from_be_bytes([suites[0], suites[1]]));
    let suites = suites[2..2 + length].chunks_exact(2).map(|suite| [suite[0], suite[1]]);
    (hello[2], suites.filter(|suite| suite.map(|octet| octet & 0xf) != [0xa; 2]).collect())
}

/// The ten hellos, with `name` and nothing drawn.
fn hellos(name: &str) -> [Vec<u8>; JarmProbe::COUNT] {
    let shares = Arc::new(KeyShares::identity());
    let salt = Salt { random: [1; 32], session_id: [2; 32] };
    JarmProbe::ALL.map(|probe| {
        let mut hello = Vec::new();
        Hello::new(Profile::Jarm(probe), Arc::clone(&shares)).write(&mut hello, &salt, Some(name));
        hello
    })
}

/// Which of the ten hellos was said, from 0; none for another.
fn which(asked: &[u8]) -> Option<usize> {
    static MARKS: OnceLock<Vec<(u8, Vec<[u8; 2]>)>> = OnceLock::new();
    let marks = MARKS.get_or_init(|| hellos("x").iter().map(|hello| mark_of(hello)).collect());
    marks.iter().position(|mark| *mark == mark_of(asked))
}

/// A ServerHello of TLS 1.2 that chooses `cipher`, as the only thing in a record.
fn server_hello(cipher: u16) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(0);
    body.extend(cipher.to_be_bytes());
    body.extend([0, 0, 5, 0xff, 1, 0, 1, 0]);
    [&[22, 3, 3, 0, body.len() as u8 + 4, 2, 0, 0, body.len() as u8], &body[..]].concat()
}

/// A host that says to the ten hellos what `answer` gives, and to another that it speaks TLS.
fn scripted(answer: impl Fn(IpAddr, usize) -> Say + Send + Sync + 'static) -> Speaker {
    Speaker::answering(move |target, asked| match asked {
        [] => Say::nothing(),
        _ => match which(asked) {
            Some(number) => answer(target.addr, number),
            None => Say::bytes(ALERT).then(Then::Finish),
        },
    })
}

const HASH_OF_TEN: &str = "01d02d03d04d05d06d07d08d09d0ad";

/// The ciphers that have the numbers from 1 to 10.
const TEN: [u16; 10] = [4, 5, 7, 0x0a, 0x16, 0x2f, 0x33, 0x35, 0x39, 0x3c];

#[test]
fn every_answer_stands_where_its_hello_does() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let hosts = scripted(move |host, number| {
        log.lock().unwrap().push((number, host));
        Say::bytes(server_hello(TEN[number]))
    });
    let network = network(21, hosts, Faults::default());
    let (rows, summary) = run(tls(network.clone(), "198.19.0.0/24").jarm(true));
    let answers = TEN.map(|cipher| Answer::read(&server_hello(cipher)));
    let expected = jarm::hash(&answers);
    assert!(expected.starts_with(HASH_OF_TEN), "{expected}");
    assert_eq!(rows.len(), 256);
    for row in rows.values() {
        assert_eq!((row.outcome, row.jarm.as_ref()), (TlsOutcome::Alert, Some(&expected)));
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2_560, "each host was asked each once");
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 2_560);
    for pass in seen.chunks(256) {
        let hosts: BTreeSet<_> = pass.iter().map(|(_, host)| host).collect();
        let hellos: BTreeSet<_> = pass.iter().map(|(number, _)| number).collect();
        assert_eq!((hosts.len(), hellos.len()), (256, 10), "a pass asks all, and all kinds");
    }
    // Eleven connections a host are in the counters, and one target.
    let base = &summary.base;
    adds_up(&base.counts);
    assert_eq!((base.counts.connections, base.counts.first), (11 * 256, 11 * 256));
    assert_eq!(base.counts.sent, network.counts().sent);
    assert_eq!(
        (base.progress.total, base.progress.settled, base.states),
        (256, 256, [256, 0, 0, 0])
    );
    assert_eq!((summary.count(TlsOutcome::Alert), summary.without_jarm), (256, 0));
    assert!(base.is_complete());
    network.with_hosts(|hosts| assert_eq!(hosts.talks(), 0, "a connection stays open"));
}

/// What rustls says to the ten hellos, asked without a network.
fn expected_of(pki: &Pki, name: &str) -> String {
    let answers = hellos(name).map(|hello| match pki.answer(&hello) {
        said if said.is_empty() => Answer::FAILED,
        said => Answer::read(&said),
    });
    jarm::hash(&answers)
}

#[test]
fn the_fingerprint_of_a_server_is_that_of_its_answers() {
    let pki = Pki::new();
    let expected = expected_of(&pki, "198.19.0.1");
    assert_ne!(expected, "0".repeat(62));
    let (rows, summary) =
        run(tls(network(22, pki.server(), Faults::default()), "198.19.0.0/28").jarm(true));
    assert_eq!(rows.len(), 16);
    for row in rows.values() {
        assert_eq!((row.certificates.len(), row.jarm.as_deref()), (2, Some(expected.as_str())));
    }
    adds_up(&summary.base.counts);
}

#[test]
fn loss_reorder_and_duplication_do_not_change_it() {
    let pki = Pki::new();
    let expected = expected_of(&pki, "198.19.0.1");
    let faults = Faults {
        loss_out: 0.02,
        loss_back: 0.02,
        duplicate: 0.02,
        reorder: 0.05,
        held_up: Duration::from_millis(30),
        latency: (Duration::from_millis(1), Duration::from_millis(40)),
        ..Faults::default()
    };
    let (rows, summary) = run(tls(network(23, pki.server(), faults), "198.19.0.0/24").jarm(true));
    assert_eq!(rows.len(), 256, "one record each");
    let others: Vec<_> = rows.values().filter(|row| row.jarm.as_ref() != Some(&expected)).collect();
    assert!(others.is_empty(), "{others:?}");
    adds_up(&summary.base.counts);
    let strange = pki.server().segment(1);
    let (rows, _) = run(tls(network(23, strange, Faults::default()), "198.19.0.0/30").jarm(true));
    assert!(rows.values().all(|row| row.jarm.as_ref() == Some(&expected)), "{rows:?}");
}

#[test]
fn silence_is_no_fingerprint_and_every_other_failure_is_an_answer() {
    let good = |number: usize| Say::bytes(server_hello(TEN[number]));
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let hosts = scripted(move |host, number| match (host.to_string().as_str(), number) {
        ("198.19.0.1", 3) => Say::nothing(),
        ("198.19.0.1", number) => {
            count.fetch_add(1, Relaxed);
            good(number)
        }
        ("198.19.0.2", 3) => Say::bytes(&b""[..]).then(Then::Reset),
        ("198.19.0.3", 3) => Say::bytes(&b""[..]).then(Then::Finish),
        ("198.19.0.4", 3) => Say::bytes(ALERT).then(Then::Wait),
        ("198.19.0.5", 3) => Say::bytes(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..]),
        // Silence after half of a ServerHello is an answer that ends there.
        ("198.19.0.6", 3) => Say::bytes(server_hello(TEN[3])[..46].to_vec()),
        (_, number) => good(number),
    });
    let (rows, summary) =
        run(tls(network(24, hosts, Faults::default()), "198.19.0.0/29").jarm(true));
    let jarms: Vec<&str> = rows.values().map(|row| row.jarm.as_deref().unwrap()).collect();
    assert!(jarms[0].starts_with(HASH_OF_TEN));
    assert_eq!(jarms[1], "0".repeat(62));
    assert!(asked.load(Relaxed) < 9, "who was silent is left alone");
    let mut answers = TEN.map(|cipher| Answer::read(&server_hello(cipher)));
    answers[3] = Answer::FAILED;
    let but_one = jarm::hash(&answers);
    assert_eq!(jarms[2..6], [but_one.as_str(); 4]);
    answers[3] = Answer::read(&server_hello(TEN[3])[..46]);
    assert_eq!(jarms[6], jarm::hash(&answers));
    assert_eq!(jarms[7], jarms[0]);
    adds_up(&summary.base.counts);
    assert!(summary.base.is_complete());
}

#[test]
fn rows_of_others_come_at_once_and_the_mark_waits_for_the_rest() {
    let pki = Pki::new();
    let last = |from, to| ([198, 19, 0, from], [198, 19, 0, to]);
    let http = Speaker::answering(|_, _| Say::bytes(&b"HTTP/1.0 400 Bad Request\r\n"[..]));
    let hosts = Hosts::new(25)
        .rule(last(0, 7), 443..=443, Behaviour::Speaks(pki.server()))
        .rule(last(8, 9), 443..=443, Behaviour::Speaks(http))
        .rule(last(10, 11), 443..=443, Behaviour::closed());
    let network = network_of(25, hosts, Faults::default());
    let mut scan = tls(network, "198.19.0.0/28").show(Show::ALL).jarm(true).build().unwrap();
    let mut marks = Vec::new();
    let mut rows: Vec<TlsRecord> = Vec::new();
    while let Some(record) = scan.next() {
        let Record::Tls(row) = record else { panic!("{record:?}") };
        rows.push(*row);
        marks.push((scan.mark(), scan.progress().settled));
    }
    assert_eq!(rows.len(), 16);
    let (others, speaking) = rows.split_at(8);
    assert!(others.iter().all(|row| row.jarm.is_none() && row.outcome != TlsOutcome::Ok));
    assert!(speaking.iter().all(|row| row.jarm.is_some() && row.outcome == TlsOutcome::Ok));
    let (mark, _) = marks[8];
    assert!(mark < 16 && marks[8..15].iter().all(|(stands, _)| *stands == mark), "{marks:?}");
    assert_eq!(
        marks[8..].iter().map(|(_, settled)| *settled).collect::<Vec<_>>(),
        (9..=16).collect::<Vec<_>>()
    );
    assert_eq!((scan.mark(), scan.summary().base.states), (16, [10, 2, 0, 4]));
    assert_eq!(scan.summary().without_jarm, 0);
}

#[test]
fn a_scan_that_is_stopped_in_a_pass_hands_out_what_it_holds() {
    let pki = Pki::new();
    for after in [100, 1_500, 4_000] {
        let handle: Arc<OnceLock<Stop>> = Arc::default();
        let (seen, stop) = (AtomicU32::new(0), Arc::clone(&handle));
        let network =
            network(26, pki.server(), Faults::default()).with_tap(Box::new(move |_, _| {
                if seen.fetch_add(1, Relaxed) == after {
                    stop.get().expect("the scan has begun").stop();
                }
            }));
        let mut scan = tls(network.clone(), "198.19.0.0/24").jarm(true).build().unwrap();
        handle.set(scan.stop()).unwrap();
        let rows = scan.by_ref().count() as u64;
        let summary = scan.summary();
        adds_up(&summary.base.counts);
        assert_eq!(rows, summary.count(TlsOutcome::Ok));
        assert_eq!(summary.without_jarm, rows, "after {after} frames");
        assert!(rows == 256 || after == 100, "{rows}");
        assert!(summary.base.was_stopped && !summary.base.is_complete());
        assert!(scan.take_failure().is_none());
        network.with_hosts(|hosts| assert_eq!(hosts.talks(), 0, "their hosts were told"));
    }
}

#[test]
fn a_link_that_goes_away_in_a_pass_loses_no_row() {
    let pki = Pki::new();
    let gone = Instant::START + Duration::from_millis(100);
    let network = network(27, pki.server(), Faults::default()).gone_at(gone);
    let mut scan = tls(network, "198.19.0.0/24").jarm(true).build().unwrap();
    assert_eq!(scan.by_ref().count(), 256);
    assert_eq!(scan.summary().without_jarm, 256);
    assert!(!scan.summary().base.is_complete());
    assert!(matches!(scan.take_failure(), Some(Failure::Link(_))));
}

#[test]
fn one_seed_gives_one_run_of_all_passes() {
    let pki = Pki::new();
    let faults = Faults { loss_back: 0.05, reorder: 0.1, ..Faults::default() };
    let once = || run(tls(network(28, pki.server_v12(), faults), "198.19.0.0/27").jarm(true));
    let (first, again) = (once(), once());
    assert_eq!(first.1.base.counts, again.1.base.counts);
    assert_eq!(first.1.base.elapsed, again.1.base.elapsed);
    // The clock of the network is that of the summary: ten passes are not counted ten times.
    assert!(first.1.base.elapsed < Duration::from_secs(120), "{:?}", first.1.base.elapsed);
}
