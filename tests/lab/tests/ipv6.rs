//! Labs with IPv6.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv6Addr, SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use mrpf_lab::{
    Lab, LabError, Prefix6,
    gate::{self, Need},
    ipv6,
};
use socket2::{Domain, Socket, Type};

use super::{PATIENCE, SHORT, eventually, host};

/// Some hosts of 2001:db8:1::/64, spread by a multiplication.
fn some_hosts() -> impl Iterator<Item = Ipv6Addr> {
    let last_half = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let first = ipv6::HOSTS.first().to_bits();
    (1..200).map(move |n| Ipv6Addr::from_bits(first | u128::from(last_half(n))))
}

/// What an HTTP request to the host brings.
fn fetch(addr: Ipv6Addr, port: u16) -> String {
    let addr = SocketAddr::from((addr, port));
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[track_caller]
fn check_refused(addr: Ipv6Addr, port: u16, wait: Duration, kind: ErrorKind) {
    let error = TcpStream::connect_timeout(&(addr, port).into(), wait).expect_err("it should not");
    assert_eq!(error.kind(), kind, "[{addr}]:{port}: {error}");
}

/// ICMPv6 destination unreachable, as the kernel of the calling thread's namespace received it.
fn reported() -> u64 {
    let table = std::fs::read_to_string("/proc/thread-self/net/snmp6").unwrap();
    let line = table.lines().find(|line| line.starts_with("Icmp6InDestUnreachs")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn every_host_answers_on_the_open_port_and_refuses_others() {
    if !gate::permits(&[Need::Netns, Need::Ipv6]) {
        return;
    }
    let lab = Lab::builder().ipv6().open(80).start().unwrap();
    for addr in some_hosts() {
        assert!(ipv6::HOSTS.contains(addr));
        assert!(fetch(addr, 80).ends_with("lab\n"), "{addr}");
        check_refused(addr, 81, PATIENCE, ErrorKind::ConnectionRefused);
    }
    assert_eq!(lab.served(), some_hosts().count() as u64);
    // And IPv4 beside it, by the same port.
    TcpStream::connect_timeout(&(host(0, 1), 80).into(), PATIENCE).unwrap();
}

#[test]
fn nginx_serves_both_families() {
    if !gate::permits(&[Need::Netns, Need::Ipv6, Need::Nginx]) {
        return;
    }
    let _lab = Lab::builder().ipv6().nginx(80).start().unwrap();
    let addr = ipv6::HOSTS.last();
    assert!(fetch(addr, 80).starts_with("HTTP/1.1 200 OK\r\nServer: nginx"));
    TcpStream::connect_timeout(&(host(0, 1), 80).into(), PATIENCE).unwrap();
}

#[test]
fn silent_hosts_say_nothing_and_unreachable_ones_are_reported() {
    if !gate::permits(&[Need::Netns, Need::Ipv6]) {
        return;
    }
    let silent = Prefix6::new([0x2001, 0xdb8, 1, 0, 1, 0, 0, 0], 80);
    let unreachable = Prefix6::new([0x2001, 0xdb8, 1, 0, 2, 0, 0, 0], 80);
    let _lab = Lab::builder().open(80).silent6(silent).unreachable6(unreachable).start().unwrap();
    check_refused(silent.last(), 80, SHORT, ErrorKind::TimedOut);
    check_refused(unreachable.last(), 80, PATIENCE, ErrorKind::NetworkUnreachable);
    // More than the kernel's own limit would let through while we wait.
    let before = reported();
    let calls: Vec<_> = (0..50)
        .map(|n| {
            let addr = Ipv6Addr::from_bits(unreachable.first().to_bits() + n);
            let socket = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            // In progress, or refused already.
            socket.connect(&SocketAddr::from((addr, 80)).into()).unwrap_err();
            socket
        })
        .collect();
    eventually("50 hosts were reported", || reported() >= before + 50);
    drop(calls);
    fetch(ipv6::HOSTS.first(), 80);
}

#[test]
fn ipv6_sends_nothing_of_itself() {
    if !gate::permits(&[Need::Netns, Need::Ipv6]) {
        return;
    }
    let _lab = Lab::builder().ipv6().open(80).start().unwrap();
    let counters = || {
        let table = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
        table.lines().find(|line| line.trim().starts_with("s0:")).unwrap().to_owned()
    };
    let before = counters();
    thread::sleep(Duration::from_secs(2));
    assert_eq!(counters(), before);
    fetch(ipv6::HOSTS.first(), 80);
    assert_ne!(counters(), before);
}

#[test]
fn there_is_no_way_out_and_none_by_default() {
    if !gate::permits(&[Need::Netns, Need::Ipv6]) {
        return;
    }
    // RFC 3849: for documentation, and not in the lab.
    let outside = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1);
    let lab = Lab::builder().ipv6().open(80).start().unwrap();
    check_refused(outside, 80, SHORT, ErrorKind::NetworkUnreachable);
    mrpf_engine::link::fence::check().unwrap();
    lab.world().run(mrpf_engine::link::fence::check).unwrap().unwrap();
    drop(lab);
    let _without = Lab::builder().open(80).start().unwrap();
    let addr = (ipv6::HOSTS.first(), 80).into();
    assert!(TcpStream::connect_timeout(&addr, SHORT).is_err());
}

#[test]
fn prefixes_outside_of_a_lab_are_refused() {
    if !gate::permits(&[Need::Ipv6]) {
        return;
    }
    let wide = Prefix6::new([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32);
    for builder in [Lab::builder().silent6(wide), Lab::builder().unreachable6(wide)] {
        assert!(matches!(builder.start(), Err(LabError::Outside6(prefix)) if prefix == wide));
    }
}
