//! The lab by itself: that it answers as it says, loses what it should, has no way out and leaves nothing behind.

#![forbid(unsafe_code)]

mod demo;
mod dns;
#[cfg(feature = "sink")]
mod gauge;
mod ipv6;
mod processes;
mod recorder;
mod servers;
#[cfg(feature = "sink")]
mod sink;
#[cfg(feature = "sink")]
mod synack;
mod tls;

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpStream},
    thread,
    time::{Duration, Instant},
};

use mrpf_engine::link::sim::hosts::{Behaviour, Hosts, Order, Say, Speaker, Then};
use mrpf_lab::{
    Lab, LabError, Loss, Namespace, Prefix,
    gate::{self, Need},
};

/// Longer than anything takes that answers, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// Long enough to say that nothing came.
const SHORT: Duration = Duration::from_millis(300);

fn host(third: u8, fourth: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 19, third, fourth)
}

fn connect(addr: Ipv4Addr, port: u16, wait: Duration) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&SocketAddrV4::new(addr, port).into(), wait)
}

#[track_caller]
fn check_refused(addr: Ipv4Addr, port: u16, wait: Duration, kind: ErrorKind) {
    let error = connect(addr, port, wait).expect_err("it should not connect");
    assert_eq!(error.kind(), kind, "{addr}:{port}: {error}");
}

/// What an HTTP request to the host brings.
fn fetch(addr: Ipv4Addr, port: u16) -> io::Result<String> {
    let mut stream = connect(addr, port, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Waits until `is_so`, at most [`PATIENCE`].
#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "not after {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn every_host_of_the_kernel_answers_on_the_open_port_and_refuses_others() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let lab = Lab::builder().open(80).start().unwrap();
    let hosts = [host(0, 0), host(0, 1), host(7, 255), host(255, 255)];
    for addr in hosts {
        let answer = fetch(addr, 80).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("lab\n"), "{answer}");
        check_refused(addr, 81, PATIENCE, ErrorKind::ConnectionRefused);
    }
    assert_eq!(lab.served(), hosts.len() as u64);
}

#[test]
fn the_first_frame_of_a_new_lab_arrives() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    for _ in 0..10 {
        let _lab = Lab::builder().open(80).start().unwrap();
        // A second SYN would come after a second.
        connect(host(0, 1), 80, Duration::from_millis(900)).unwrap();
    }
}

#[test]
fn silent_hosts_say_nothing_and_unreachable_ones_are_reported() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let lab = Lab::builder()
        .open(80)
        .silent(Prefix::new([198, 19, 1, 0], 24))
        .unreachable(Prefix::new([198, 19, 2, 0], 24))
        .start()
        .unwrap();
    check_refused(host(1, 1), 80, SHORT, ErrorKind::TimedOut);
    // More than the kernel's own limit would let through.
    for fourth in 0..50 {
        check_refused(host(2, fourth), 80, PATIENCE, ErrorKind::HostUnreachable);
    }
    connect(host(3, 1), 80, PATIENCE).unwrap();
    assert_eq!(lab.responder().map(|counts| counts.syns_unreachable > 0), Some(true));
}

#[test]
fn the_responder_completes_the_handshake_of_a_real_kernel() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let prefix = Prefix::new([198, 19, 5, 0], 24);
    let addrs = (prefix.first(), prefix.last());
    let hosts = Hosts::new(1)
        .rule(addrs, 80..=80, Behaviour::open())
        .rule(addrs, 81..=81, Behaviour::open().slow(SHORT))
        .rule(addrs, 0..=u16::MAX, Behaviour::closed());
    let lab = Lab::builder().respond(prefix, hosts).start().unwrap();
    let stream = connect(host(5, 1), 80, PATIENCE).unwrap();
    let start = Instant::now();
    connect(host(5, 2), 81, PATIENCE).unwrap();
    assert!(start.elapsed() >= SHORT);
    check_refused(host(5, 3), 82, PATIENCE, ErrorKind::ConnectionRefused);
    check_refused(host(6, 1), 80, PATIENCE, ErrorKind::ConnectionRefused);
    eventually("both handshakes were counted", || lab.responder().unwrap().completed == 2);
    let counts = lab.responder().unwrap();
    assert_eq!((counts.syns_open, counts.syns_closed, counts.bad_checksums), (2, 1, 0));
    drop(stream);
}

#[test]
fn hosts_that_speak_satisfy_a_real_kernel() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    const ANSWER: usize = 100_000;
    let prefix = Prefix::new([198, 19, 5, 0], 24);
    let octets = || (0..ANSWER).map(|at| (at * 7 / 5) as u8).collect::<Vec<_>>();
    let speaker = Speaker::answering(move |_, asked| match asked {
        b"all" => Say::bytes(octets()).then(Then::Finish),
        b"no" => Say::reset(),
        _ => Say::nothing(),
    });
    let small = speaker.clone().mss(Some(100)).segment(700).overlap(300).order(Order::Backward);
    let addrs = (prefix.first(), prefix.last());
    let hosts = Hosts::new(1).rule(addrs, 80..=80, Behaviour::Speaks(speaker)).rule(
        addrs,
        81..=81,
        Behaviour::Speaks(small),
    );
    let lab = Lab::builder().respond(prefix, hosts).start().unwrap();
    for port in [80, 81] {
        let mut stream = connect(host(5, 1), port, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"all").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer == octets(), "{} octets at port {port}", answer.len());
        let mut stream = connect(host(5, 1), port, PATIENCE).unwrap();
        stream.write_all(b"no").unwrap();
        let error = stream.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    eventually("all were counted", || lab.responder().unwrap().syns_speaking == 4);
    let counts = lab.responder().unwrap();
    assert_eq!((counts.bad_checksums, counts.expired), (0, 0));
}

#[test]
fn the_most_specific_prefix_answers() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let (wide, narrow) = (Prefix::new([198, 19, 0, 0], 16), Prefix::new([198, 19, 9, 0], 24));
    let all = |behaviour| Hosts::new(1).rule((wide.first(), wide.last()), 0..=u16::MAX, behaviour);
    let _lab = Lab::builder()
        .respond(wide, all(Behaviour::closed()))
        .respond(narrow, all(Behaviour::open()))
        .start()
        .unwrap();
    connect(host(9, 1), 80, PATIENCE).unwrap();
    check_refused(host(8, 1), 80, PATIENCE, ErrorKind::ConnectionRefused);
}

#[test]
fn hosts_on_the_link_are_found_by_arp() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let prefix = Prefix::new([198, 18, 7, 0], 24);
    let addrs = (prefix.first(), prefix.last());
    let hosts = Hosts::new(1).owning(addrs).rule(addrs, 0..=u16::MAX, Behaviour::open());
    let lab = Lab::builder().respond(prefix, hosts).start().unwrap();
    connect(Ipv4Addr::new(198, 18, 7, 1), 80, PATIENCE).unwrap();
    assert!(lab.responder().unwrap().arp_answers >= 1);
}

#[test]
fn lost_and_doubled_frames_are_counted() {
    if !gate::permits(&[Need::Netns, Need::Nft]) {
        return;
    }
    let loss = Loss { probes_percent: 100, ..Loss::default() };
    let lab = Lab::builder().open(80).loss(loss).start().unwrap();
    check_refused(host(0, 1), 80, SHORT, ErrorKind::TimedOut);
    let counters = lab.loss().unwrap();
    assert!(counters.probes_lost >= 1 && counters.answers_lost == 0, "{counters:?}");
    drop(lab);

    let loss = Loss { answers_percent: 100, ..Loss::default() };
    let lab = Lab::builder().open(80).loss(loss).start().unwrap();
    check_refused(host(0, 1), 80, SHORT, ErrorKind::TimedOut);
    let counters = lab.loss().unwrap();
    assert!(counters.answers_lost >= 1 && counters.probes_lost == 0, "{counters:?}");
    drop(lab);

    let loss = Loss { duplicated_percent: 50, ..Loss::default() };
    let lab = Lab::builder().open(80).loss(loss).start().unwrap();
    for fourth in 0..50 {
        fetch(host(0, fourth), 80).unwrap();
    }
    let counters = lab.loss().unwrap();
    assert!(counters.duplicated >= 20 && counters.answers_lost == 0, "{counters:?}");
}

#[test]
fn a_lab_has_no_way_out() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let lab = Lab::builder().open(80).start().unwrap();
    // RFC 5737 sets it aside for documentation: nobody is there, and nothing may even be sent to find out.
    let outside = Ipv4Addr::new(192, 0, 2, 1);
    check_refused(outside, 80, SHORT, ErrorKind::NetworkUnreachable);
    let kind = lab.world().run(|| connect(outside, 80, SHORT).unwrap_err().kind()).unwrap();
    assert_eq!(kind, ErrorKind::NetworkUnreachable);
}

#[test]
fn nothing_but_the_scan_moves_the_counters() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = Lab::builder().open(80).start().unwrap();
    let counters = || {
        let table = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
        table.lines().find(|line| line.trim().starts_with("s0:")).unwrap().to_owned()
    };
    let before = counters();
    thread::sleep(Duration::from_secs(2));
    assert_eq!(counters(), before);
}

#[test]
fn the_thread_is_home_when_the_lab_is_dropped() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let inode = || Namespace::current().unwrap().inode().unwrap();
    let home = inode();
    let lab = Lab::builder().start().unwrap();
    assert_eq!(inode(), lab.scanner().inode().unwrap());
    assert_ne!(inode(), home);
    drop(lab);
    assert_eq!(inode(), home);
}

#[test]
fn addresses_outside_of_a_lab_are_refused() {
    let outside = Prefix::new([192, 0, 2, 0], 24);
    assert!(
        matches!(Lab::builder().hosts(outside).start(), Err(LabError::Outside(p)) if p == outside)
    );
    let own = Prefix::new([198, 18, 0, 0], 24);
    let refused = Lab::builder().respond(own, Hosts::new(1)).start();
    assert!(matches!(refused, Err(LabError::Reserved(_))), "{refused:?}");
}

#[test]
fn nginx_serves_beside_the_built_in_listener() {
    if !gate::permits(&[Need::Netns, Need::Nginx]) {
        return;
    }
    let lab = Lab::builder().nginx(80).open(81).start().unwrap();
    let answer = fetch(host(3, 7), 80).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\nServer: nginx"), "{answer}");
    assert_eq!(lab.served(), 0);
    assert!(fetch(host(3, 7), 81).unwrap().contains("mrpf-lab"));
}

#[test]
fn a_server_that_cannot_start_says_why() {
    if !gate::permits(&[Need::Netns, Need::Nginx]) {
        return;
    }
    let home = Namespace::current().unwrap().inode().unwrap();
    let error = Lab::builder().open(80).nginx(80).start().unwrap_err().to_string();
    assert!(error.contains("nginx") && error.contains("port 80"), "{error}");
    // Its own words, and a thread that is home again.
    let error = Lab::builder().nginx(80).nginx(80).start().unwrap_err().to_string();
    assert!(error.contains("nginx") && error.contains("duplicate"), "{error}");
    assert_eq!(Namespace::current().unwrap().inode().unwrap(), home);
}
