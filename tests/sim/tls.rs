//! TLS scans of hosts that speak: one record each, whatever networks and hosts do.
//!
//! The hosts are rustls behind a small TCP of the simulated network, so both layers are read by somebody else's code.

mod jarm;
mod world;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use mrpf_engine::{
    link::sim::{
        Faults,
        hosts::{Behaviour, Hosts, Order, Say, Speaker, Then},
    },
    scan::Stop,
    stats::Counts,
};
use mrpf_records::{TlsOutcome, TlsRecord, TlsStage};
use mrpf_tls::Show;

use self::world::{Pki, network, run, tls};

/// received = valid + segments + invalid + ARP, and what was valid is a first answer or has another name.
#[track_caller]
fn adds_up(counts: &Counts) {
    assert_eq!(counts.generated, counts.sent + counts.dropped());
    assert_eq!(
        counts.received,
        counts.valid + counts.segments + counts.invalid() + counts.arp_received,
        "{counts:?}"
    );
    assert_eq!(
        counts.valid,
        counts.first + counts.duplicate + counts.late + counts.refused + counts.abandoned,
        "{counts:?}"
    );
    assert_eq!(
        counts.sent,
        counts.probes + counts.segments_sent + counts.resets + counts.arp_requests
    );
}

#[test]
fn every_host_gives_its_chain_once() {
    let pki = Pki::new();
    let network = network(5, pki.server(), Faults::default());
    let (rows, summary) = run(tls(network.clone(), "198.19.0.0/22"));
    assert_eq!(rows.len(), 1_024);
    for row in rows.values() {
        assert_eq!((row.outcome, row.stage), (TlsOutcome::Ok, TlsStage::Done), "{row:?}");
        let shown: Vec<&str> = row.certificates.iter().map(|known| known.sha256.as_str()).collect();
        assert_eq!(shown, pki.chain_sha256(), "{row:?}");
        assert_eq!((row.version.as_deref(), row.alpn.as_deref()), (Some("TLSv1.3"), Some("h2")));
        assert!(row.ja3s.is_some() && row.timings.is_some_and(|timings| timings.done_us.is_some()));
    }
    adds_up(&summary.base.counts);
    assert!(summary.base.is_complete());
    let counts = summary.base.counts;
    // SYN; the hello with the ACK; what acknowledges the flight is the reset itself.
    assert!(counts.sent <= 4 * 1_024, "{counts:?}");
    network.with_hosts(|hosts| assert_eq!(hosts.talks(), 0, "a connection stays open"));
}

#[test]
fn loss_reorder_and_duplication_cost_next_to_nothing() {
    let pki = Pki::new();
    let faults = Faults {
        loss_out: 0.01,
        loss_back: 0.01,
        duplicate: 0.02,
        reorder: 0.05,
        held_up: Duration::from_millis(30),
        latency: (Duration::from_millis(1), Duration::from_millis(40)),
        ..Faults::default()
    };
    let (rows, summary) = run(tls(network(6, pki.server(), faults), "198.19.0.0/20"));
    assert_eq!(rows.len(), 4_096, "one record each");
    let whole = |row: &&TlsRecord| row.outcome == TlsOutcome::Ok && row.certificates.len() == 2;
    let ok = rows.values().filter(whole).count();
    assert!(ok * 1_000 >= 4_096 * 999, "{ok} of 4096");
    adds_up(&summary.base.counts);
}

/// What one kind of host makes of a scan.
#[track_caller]
fn check(name: &str, speaker: Speaker, faults: Faults, expected: (TlsOutcome, TlsStage, usize)) {
    let (rows, summary) = run(tls(network(7, speaker, faults), "198.19.0.0/28"));
    assert_eq!(rows.len(), 16, "{name}");
    for row in rows.values() {
        let got = (row.outcome, row.stage, row.certificates.len());
        assert_eq!(got, expected, "{name}: {row:?}");
    }
    adds_up(&summary.base.counts);
}

#[test]
fn strange_transports_change_nothing_that_is_read() {
    let pki = Pki::new();
    let good = (TlsOutcome::Ok, TlsStage::Done, 2);
    let plain = Faults::default;
    check("one octet a segment", pki.server().segment(1), plain(), good);
    check("overlapping segments", pki.server().segment(100).overlap(60), plain(), good);
    check("reversed order", pki.server().segment(200).order(Order::Backward), plain(), good);
    check("small segments", pki.server().mss(Some(48)), plain(), good);
    check("no MSS", pki.server().mss(None), plain(), good);
    check("a window for part of the hello", pki.server().window(256), plain(), good);
    check(
        "a zero window that opens",
        pki.server().opens_after(Duration::from_millis(700)),
        plain(),
        good,
    );
    check("everything twice", pki.server(), Faults { duplicate: 1.0, ..plain() }, good);
    check("large frames", pki.server().segment(u16::MAX), plain(), good);
}

#[test]
fn a_flight_of_64_kib_is_read_whole() {
    let pki = Pki::with_extra(60_000);
    let (rows, _) = run(tls(network(7, pki.server(), Faults::default()), "198.19.0.0/30"));
    for row in rows.values() {
        assert_eq!((row.outcome, row.certificates.len()), (TlsOutcome::Ok, 2), "{row:?}");
    }
}

#[test]
fn whatever_a_host_does_instead_has_a_name() {
    let pki = Pki::new();
    let faults = Faults::default();
    use TlsOutcome::{Alert, Malformed, NotTls, Reset, Timeout, Truncated};
    use TlsStage::{Hello, ServerHello};
    let says = |bytes: &'static [u8], then| {
        Speaker::answering(move |_, asked| match asked {
            [] => Say::nothing(),
            _ => Say::bytes(bytes).then(then),
        })
    };
    check("silence", Speaker::silent(), faults, (Timeout, Hello, 0));
    // It shows that somebody is there, and not that the hello was read.
    check("a reset", says(b"", Then::Reset), faults, (Reset, TlsStage::Connected, 0));
    check("the end", says(b"", Then::Finish), faults, (Truncated, Hello, 0));
    let http = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
    check("HTTP", says(http, Then::Finish), faults, (NotTls, Hello, 0));
    check("an alert", says(b"\x15\x03\x01\0\x02\x02\x28", Then::Finish), faults, (Alert, Hello, 0));
    check(
        "half a record",
        says(b"\x16\x03\x03\x00\x40\x02\0\0\x3c\x03\x03", Then::Finish),
        faults,
        (Truncated, Hello, 0),
    );
    let lies = b"\x16\x03\x03\x00\x06\x02\0\0\x02\x03\x03";
    check("a ServerHello of two octets", says(lies, Then::Wait), faults, (Malformed, Hello, 0));
    // All but the last octets of the flight, which is in mid-record, then the end.
    check(
        "the end in mid-record",
        pki.server_cut(1_000, Then::Finish),
        faults,
        (Truncated, ServerHello, 0),
    );
    check(
        "a reset in mid-record",
        pki.server_cut(1_000, Then::Reset),
        faults,
        (Reset, ServerHello, 0),
    );
}

#[test]
fn what_is_no_tls_is_shown_and_classified() {
    let banner = Speaker::answering(|_, _| Say::bytes(&b"HTTP/1.0 400 Bad Request\r\n"[..]));
    let (rows, _) = run(tls(network(7, banner, Faults::default()), "198.19.0.1"));
    let row = rows.into_values().next().unwrap();
    assert_eq!(row.service.as_deref(), Some("http"));
    assert!(row.first_bytes.unwrap().starts_with("485454502f312e30"));
}

#[test]
fn who_is_closed_silent_or_unreachable_has_a_record_when_asked_for() {
    let pki = Pki::new();
    let hosts = Hosts::new(8)
        .rule(([198, 19, 0, 1], [198, 19, 0, 1]), 443..=443, Behaviour::Speaks(pki.server()))
        .rule(([198, 19, 0, 2], [198, 19, 0, 2]), 443..=443, Behaviour::closed());
    let network = world::network_of(8, hosts, Faults::default());
    let (rows, summary) = run(tls(network, "198.19.0.0/30").show(Show::ALL));
    let told: Vec<_> = rows.values().map(|row| (row.outcome, row.stage)).collect();
    let silent = (TlsOutcome::Timeout, TlsStage::Syn);
    let expected =
        [silent, (TlsOutcome::Ok, TlsStage::Done), (TlsOutcome::Refused, TlsStage::Syn), silent];
    assert_eq!(told, expected);
    assert_eq!(summary.base.states, [1, 1, 0, 2]);
}

#[test]
fn a_table_that_is_full_makes_targets_wait_and_loses_none() {
    let (rows, summary) =
        run(tls(network(9, Speaker::silent(), Faults::default()), "198.19.0.0/21")
            .connections(64)
            .idle(Duration::from_millis(300)));
    assert_eq!(rows.len(), 2_048);
    assert!(rows.values().all(|row| row.outcome == TlsOutcome::Timeout));
    let counts = summary.base.counts;
    assert!(counts.pauses > 10, "{counts:?}");
    adds_up(&counts);
}

#[test]
fn one_seed_gives_one_run() {
    let pki = Pki::new();
    let faults = Faults { loss_back: 0.05, reorder: 0.1, ..Faults::default() };
    let once = || run(tls(network(4, pki.server_v12(), faults), "198.19.0.0/25"));
    let (first, again) = (once(), once());
    assert_eq!(first.1.base.counts, again.1.base.counts);
    let times = |rows: &BTreeMap<_, TlsRecord>| -> Vec<_> {
        rows.values().map(|row| (row.ts, row.outcome, row.timings)).collect()
    };
    assert_eq!(times(&first.0), times(&again.0));
}

#[test]
fn a_scan_that_is_cut_off_and_goes_on_leaves_nothing_out() {
    let pki = Pki::new();
    let faults = Faults {
        loss_out: 0.05,
        loss_back: 0.05,
        latency: (Duration::from_millis(5), Duration::from_millis(200)),
        ..Faults::default()
    };
    for taken in [0, 1, 5, 100, 250, 400, 511] {
        let describe =
            |mark| world::tls_from(network(10, pki.server(), faults), "198.19.0.0/23", mark);
        let mut cut = describe(0).build().unwrap();
        let mut union = BTreeMap::new();
        while union.len() < taken {
            match cut.next() {
                Some(record) => world::keep(&mut union, record),
                None => break,
            }
        }
        let mark = cut.mark();
        assert!(mark <= 512);
        drop(cut);
        let (rest, summary) = run(describe(mark));
        union.extend(rest);
        assert_eq!(union.len(), 512, "{taken} were taken, mark {mark}");
        assert!(summary.base.progress.settled >= 512);
    }
}

#[test]
fn a_scan_that_is_stopped_tells_what_was_under_way() {
    // Stopped by the 300th frame, when some connections are open and none is over.
    let handle: Arc<OnceLock<Stop>> = Arc::default();
    let (seen, stop) = (AtomicU32::new(0), Arc::clone(&handle));
    let network =
        network(11, Speaker::silent(), Faults::default()).with_tap(Box::new(move |_, _| {
            if seen.fetch_add(1, Relaxed) == 300 {
                stop.get().expect("the scan has begun").stop();
            }
        }));
    let mut scan = tls(network.clone(), "198.19.0.0/24").build().unwrap();
    handle.set(scan.stop()).unwrap();
    assert_eq!(scan.by_ref().count(), 0);
    let counts = scan.summary().base.counts;
    adds_up(&counts);
    assert!((100..256).contains(&counts.abandoned), "{counts:?}");
    assert_eq!(counts.abandoned, counts.connections);
    network.with_hosts(|hosts| assert_eq!(hosts.talks(), 0, "their hosts were told"));
}

/// Hosts that take longer than the cooldown: the window has passed those whose connections are given up.
#[test]
fn what_was_under_way_when_a_scan_was_stopped_is_asked_again() {
    let slow = || {
        let host = Speaker::answering(|target, asked| match asked {
            [] => Say::nothing(),
            _ if target.addr.is_ipv4() => Say::bytes(&b"SSH-2.0-slow\r\n"[..]).then(Then::Finish),
            _ => Say::nothing(),
        });
        network(12, host.opens_after(Duration::from_secs(7)), Faults::default())
    };
    let describe = |mark| {
        world::tls_from(slow(), "198.19.0.0/26", mark)
            .deadline(Duration::from_secs(60))
            .idle(Duration::from_secs(60))
    };
    let mut cut = describe(0).build().unwrap();
    let stop = cut.stop();
    let mut union = BTreeMap::new();
    // The first are told after seven seconds, when the others are under way still.
    if let Some(record) = cut.next() {
        world::keep(&mut union, record);
    }
    stop.stop();
    for record in &mut cut {
        world::keep(&mut union, record);
    }
    let (mark, abandoned) = (cut.mark(), cut.summary().base.counts.abandoned);
    drop(cut);
    let (rest, _) = run(describe(mark));
    union.extend(rest);
    assert_eq!(union.len(), 64, "mark {mark}, {abandoned} were given up");
}
