//! What is of the XDP link alone: whom it disturbs, what it leaves behind, and who may not have it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use mrpf_engine::link::{
    interface::Interface,
    xdp::{Facts, Send, Wish},
};
use mrpf_lab::{
    Lab, Pass, Synack,
    gate::{self, Need},
    synack,
    veth::HOSTS,
};
use mrpf_records::State;
use mrpf_syn::{Scan, Show};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::world::{
    bare_command, found, kernel_tcp, mrpf, output, records, run, scan, stderr, syn,
};

/// How long a program may take to be gone from its interface.
const GONE: Duration = Duration::from_secs(10);
/// Of the kernel's server in the world: what an operator's session would be.
const SESSION: &str = "198.18.0.2:2222";

fn program() -> Option<u32> {
    Facts::gather(&Interface::by_name("s0").unwrap()).attached
}

#[track_caller]
fn check_gone() {
    let until = Instant::now() + GONE;
    while program().is_some() {
        assert!(Instant::now() < until, "a program is left on s0");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Says back whatever it is told, until the other side has nothing more to say.
fn echo(listener: &TcpListener) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut octets = [0; 4_096];
    loop {
        match stream.read(&mut octets).unwrap() {
            0 => return,
            len => stream.write_all(&octets[..len]).unwrap(),
        }
    }
}

/// A session through the kernel goes on beside a scan as fast as it goes: each line is said back, and the connection lives.
#[test]
fn a_session_over_the_same_interface_is_not_disturbed() {
    if !gate::permits(&[Need::Netns, Need::Bpf]) {
        return;
    }
    let lab = Lab::builder().open(80).start().unwrap();
    let _pass = Pass::attach(lab.world(), "w0").unwrap();
    let listener = lab.world().run(|| TcpListener::bind(SESSION)).unwrap().unwrap();
    let (lines, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| echo(&listener));
        let mut stream = TcpStream::connect(SESSION).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let session = scope.spawn(|| {
            let mut said = [0; 512];
            while !is_over.load(Relaxed) {
                let line: [u8; 512] =
                    std::array::from_fn(|at| (at as u64 ^ lines.load(Relaxed)) as u8);
                stream.write_all(&line).unwrap();
                stream.read_exact(&mut said).unwrap();
                assert_eq!(said, line);
                lines.fetch_add(1, Relaxed);
            }
            stream
        });
        let wait_for = |more: u64| {
            let wanted = lines.load(Relaxed) + more;
            let until = Instant::now() + GONE;
            while lines.load(Relaxed) < wanted {
                assert!(
                    Instant::now() < until && !session.is_finished(),
                    "the session stands still"
                );
                thread::sleep(Duration::from_millis(1));
            }
        };
        wait_for(10);
        let mut under_way = scan("198.19.0.0/16", "80,81")
            .link(Wish::Xdp)
            .rate("max".parse().unwrap())
            .build()
            .unwrap();
        let mut open = 0;
        for record in under_way.by_ref() {
            if let mrpf_records::Record::Syn(record) = record {
                open += u32::from(record.state == State::Open);
            }
            if open == 30_000 {
                wait_for(10);
            }
        }
        let summary = under_way.finish().unwrap();
        assert_eq!((open, summary.link), (65_536, "xdp"));
        wait_for(10);
        is_over.store(true, Relaxed);
        drop(session.join().unwrap());
    });
    assert_eq!(kernel_tcp("OutRsts"), 0, "resets of the kernel");
    check_gone();
}

/// As many answers as the far end gave, whichever share of its hosts answers; nothing is told, so digests and resets are the link's.
#[test]
fn every_answer_of_a_fast_far_end_is_counted_once() {
    if !gate::permits(&[Need::Netns, Need::Bpf]) {
        return;
    }
    for per_mille in [0, 10, 100, 1_000_u32] {
        let lab = Lab::builder().start().unwrap();
        let far = Synack::attach(lab.world(), "w0", per_mille).unwrap();
        let scan = scan("198.19.0.0/16", "1-4").show(Show::NONE).link(Wish::Xdp);
        let scan = scan.cooldown(Duration::from_secs(2));
        let (_, summary) = run(scan.rate("max".parse().unwrap()));
        let (counts, far) = (summary.counts, far.counts().unwrap());
        let hosts = HOSTS.first().to_bits()..=HOSTS.last().to_bits();
        let answering =
            hosts.filter(|host| synack::answers(Ipv4Addr::from_bits(*host), per_mille)).count();
        assert_eq!(counts.first, 4 * answering as u64, "{per_mille} of 1,000: {counts:?}");
        assert_eq!(summary.count(State::Open), counts.first);
        assert_eq!(counts.probes, far.syns, "what we count left, arrived: {counts:?} {far:?}");
        assert!(counts.valid <= far.answered && counts.valid >= counts.first, "{counts:?} {far:?}");
        assert_eq!(counts.resets + counts.resets_skipped, counts.valid, "one reset a SYN-ACK");
        assert_eq!(counts.generated, counts.sent + counts.dropped());
        assert_eq!(kernel_tcp("OutRsts"), 0);
    }
}

/// Two threads that send live frames, each by a queue of its own, and share what comes back.
#[test]
fn two_threads_with_a_queue_each_count_every_answer_once() {
    if !gate::permits(&[Need::Netns, Need::Bpf]) {
        return;
    }
    let lab = Lab::builder().queues(2).start().unwrap();
    let far = Synack::attach(lab.world(), "w0", 1_000).unwrap();
    let scan = scan("198.19.0.0/16", "1-4").show(Show::NONE).link(Wish::Xdp).threads(2);
    let scan = scan.cooldown(Duration::from_secs(2)).rate("max".parse().unwrap());
    let (_, summary) = run(scan);
    let (counts, far) = (summary.counts, far.counts().unwrap());
    assert_eq!(summary.choice.as_ref().unwrap().send, Send::Live);
    assert_eq!((summary.link, summary.threads), ("xdp", 2));
    // A probe that the pair lost on a busy machine is sent again.
    assert_eq!(counts.first, 4 * u64::from(HOSTS.last().to_bits() - HOSTS.first().to_bits() + 1));
    assert_eq!(counts.probes, far.syns, "what we count left, arrived: {counts:?} {far:?}");
    assert_eq!(counts.resets + counts.resets_skipped, counts.valid, "one reset a SYN-ACK");
    assert_eq!(kernel_tcp("OutRsts"), 0);
}

fn start(words: &[&str]) -> Child {
    let mut command = bare_command(&syn("198.19.0.0/16", words));
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn whatever_ends_it_no_program_is_left() {
    if !gate::permits(&[Need::Netns, Need::Bpf]) {
        return;
    }
    let _lab = Lab::builder().open(80).start().unwrap();
    for signal in [Signal::SIGKILL, Signal::SIGINT, Signal::SIGABRT] {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = folder.path().join("checkpoint");
        let words = format!("--link xdp --rate 5k --checkpoint {}", checkpoint.display());
        let mut child = start(&[&words]);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..100 {
            assert!(lines.next().unwrap().unwrap().contains("\"state\":\"open\""));
        }
        assert!(program().is_some(), "it scans by a program");
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        child.wait().unwrap();
        check_gone();
    }
}

/// By root without one capability, which CAP_SYS_ADMIN stands for too.
fn without(capability: &str, words: &str) -> Output {
    let mut command = Command::new("setpriv");
    command.arg(format!("--bounding-set=-{capability},-sys_admin"));
    command.arg(mrpf()).args(syn("198.19.0.0/24", &[words]));
    command.env("MRPF_FENCE", "lab").output().unwrap()
}

#[test]
fn who_may_not_load_programs_is_told_and_scans_all_the_same() {
    if !gate::permits(&[Need::Netns, Need::Bpf]) {
        return;
    }
    let _lab = Lab::builder().open(80).start().unwrap();
    for capability in ["bpf", "perfmon"] {
        let name = format!("CAP_{}", capability.to_uppercase());
        let refused = without(capability, "--link xdp");
        let said = stderr(&refused);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        let reason = format!("as XDP needs {name}: ");
        assert!(said.contains(&reason) && said.contains("setcap"), "{said}");
        let scanned = without(capability, "--rate max --host-rate 100k");
        let said = stderr(&scanned);
        assert_eq!(scanned.status.code(), Some(0), "{said}");
        assert_eq!(records(&scanned.stdout).len(), 256);
        let lines: Vec<_> = said.lines().filter(|line| line.contains(&name)).collect();
        assert_eq!(lines.len(), 1, "one clear line: {said}");
    }
}

#[test]
fn sixteen_threads_share_it_and_who_asks_for_more_is_told() {
    if !gate::permits(&[Need::Netns, Need::Bpf]) {
        return;
    }
    let lab = Lab::builder().open(80).start().unwrap();
    let _pass = Pass::attach(lab.world(), "w0").unwrap();
    let most = scan("198.19.0.0/20", "80").link(Wish::Xdp).threads(16);
    let (records_of_most, summary) = run(most.rate("50k".parse().unwrap()));
    assert_eq!(found(&records_of_most, State::Open).len(), 4_096);
    assert_eq!((summary.link, summary.threads), ("xdp", 16));
    let reason = "17 threads receive, and at most 16 can share what XDP takes";
    let refused = output(&syn("198.19.0.0/22", &["--link xdp --threads 17"]));
    let said = stderr(&refused);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains(reason) && said.contains("give --threads 16 or fewer"), "{said}");
    let scanned = output(&syn("198.19.0.0/22", &["--link auto --rate max --threads 17"]));
    let said = stderr(&scanned);
    assert_eq!(scanned.status.code(), Some(0), "{said}");
    assert_eq!(records(&scanned.stdout).len(), 1_024);
    assert!(said.contains(&format!("link: packet sockets, since {reason}")), "{said}");
}

/// At this rate the probes leave by a packet socket, and the answers come by XDP.
#[test]
fn a_slow_scan_only_receives_by_xdp_and_times_every_answer() {
    if !gate::permits(&[Need::Netns, Need::Bpf]) {
        return;
    }
    let _lab = Lab::builder().open(80).start().unwrap();
    let scan =
        Scan::builder().target("198.19.0.0/22").ports("80").allow_reserved(true).link(Wish::Xdp);
    let (records, summary) = run(scan.rate("1k".parse().unwrap()));
    assert_eq!((records.len(), summary.link), (1_024, "xdp"));
    assert_eq!(summary.choice.as_ref().unwrap().send, Send::Packet);
    assert!(summary.is_complete() && records.iter().all(|record| record.rtt_us.is_some()));
}
