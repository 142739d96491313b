use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

/// The number of loopback in every namespace.
const LO: u32 = 1;

/// An address of loopback for each test: they run side by side and must not take one another's ports.
const fn here(test: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 61, test)
}

fn bound(kind: Type, here: Ipv4Addr, port: u16) -> Socket {
    let socket = Socket::new(Domain::IPV4, kind, None).unwrap();
    socket.bind(&SocketAddrV4::new(here, port).into()).unwrap();
    socket
}

fn port_of(socket: &Socket) -> u16 {
    socket.local_addr().unwrap().as_socket().unwrap().port()
}

#[test]
fn ports_are_free_consecutive_and_silent() {
    let guard = PortGuard::claim(here(1), LO, None, 16).unwrap();
    let (first, last) = guard.ports();
    assert_eq!(last - first, 15);
    assert_eq!(guard.sockets.len(), 32);
    let text = fs::read_to_string(LOCAL_PORT_RANGE).unwrap();
    let (low, high) = local_ports(&text).unwrap();
    assert!(last < low || first > high);
    guard.self_test().unwrap();
    assert_eq!(format!("{guard:?}"), format!("PortGuard({} {first}-{last}, 32 sockets)", here(1)));
}

#[test]
fn two_guards_do_not_share_a_port() {
    let one = PortGuard::claim(here(2), LO, None, 100).unwrap();
    let other = PortGuard::claim(here(2), LO, None, 100).unwrap();
    assert!(one.ports().1 < other.ports().0 || other.ports().1 < one.ports().0);
}

#[test]
fn a_range_is_taken_as_it_is_and_given_back() {
    let range = PortGuard::claim(here(3), LO, None, 4).unwrap().ports();
    let guard = PortGuard::claim(here(3), LO, Some(range), 256).unwrap();
    assert_eq!(guard.ports(), range);
    let again = PortGuard::claim(here(3), LO, Some(range), 256).unwrap_err();
    assert!(
        matches!(again, PortGuardError::InUse { port, protocol: "tcp", .. } if port == range.0),
        "{again}"
    );
    drop(guard);
    let _udp = bound(Type::DGRAM, here(3), range.1);
    let again = PortGuard::claim(here(3), LO, Some(range), 256).unwrap_err();
    assert!(
        matches!(again, PortGuardError::InUse { port, protocol: "udp", .. } if port == range.1),
        "{again}"
    );
}

#[test]
fn ranges_that_cannot_be_are_refused() {
    for (first, last) in [(0, 10), (0, 0), (62_000, 61_000)] {
        let error = PortGuard::claim(here(4), LO, Some((first, last)), 1).unwrap_err();
        assert!(matches!(error, PortGuardError::Range { .. }), "{error}");
    }
    let text = fs::read_to_string(LOCAL_PORT_RANGE).unwrap();
    let (low, high) = local_ports(&text).unwrap();
    for range in [(low, low), (high, high), (low, high), (1, u16::MAX)] {
        let error = PortGuard::claim(here(4), LO, Some(range), 1).unwrap_err();
        assert!(matches!(error, PortGuardError::Ephemeral { .. }), "{range:?}: {error}");
    }
}

#[test]
fn an_address_of_others_is_refused() {
    let error = PortGuard::claim(Ipv4Addr::new(192, 0, 2, 1), LO, None, 1).unwrap_err();
    assert!(matches!(error, PortGuardError::NotLocal { .. }), "{error}");
    assert!(error.to_string().contains("--source-ip"));
}

/// The self-test of a guard that holds nothing, at a port where the kernel answers.
#[track_caller]
fn check_answers(port: u16, expected: &str) {
    let guard = PortGuard {
        sources: here(5).into(),
        interface: LO,
        ports: (port, port),
        sockets: Vec::new(),
    };
    match guard.self_test() {
        Err(PortGuardError::Answers { protocol, port: at, .. }) => {
            assert_eq!((protocol, at), (expected, port))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_is_heard() {
    let closed = bound(Type::STREAM, here(5), 0); // bound but not listening: nobody else gets the port, and it is closed
    check_answers(port_of(&closed), "tcp");
    let open = bound(Type::STREAM, here(5), 0);
    open.listen(1).unwrap();
    check_answers(port_of(&open), "tcp");
    let silent = silent(here(5).into(), Type::STREAM, &Filter::drop_all()).unwrap();
    silent.bind(&SocketAddrV4::new(here(5), 0).into()).unwrap();
    silent.listen(1).unwrap();
    check_answers(port_of(&silent), "udp");
}

#[test]
fn what_a_rule_that_rejects_sends_is_an_answer() {
    // What connect(2) and recv(2) say of a RST and of ICMP codes: refused, net and host unreachable, prohibited, unknown, ...
    for code in [
        libc::ECONNREFUSED,
        libc::ECONNRESET,
        libc::ENETUNREACH,
        libc::EHOSTUNREACH,
        libc::EACCES,
        libc::ENOPROTOOPT,
        libc::EHOSTDOWN,
    ] {
        came_back(io::Error::from_raw_os_error(code)).unwrap();
    }
    for code in [libc::EPERM, libc::ENOBUFS, libc::EINVAL, libc::EMFILE] {
        came_back(io::Error::from_raw_os_error(code)).unwrap_err();
    }
}

#[test]
fn the_kernels_range_is_read() {
    assert_eq!(local_ports("32768\t60999\n"), Some((32_768, 60_999)));
    for text in ["", "32768", "a b", "1 65536"] {
        assert_eq!(local_ports(text), None, "{text:?}");
    }
}

#[test]
fn blocks_above_come_before_blocks_below() {
    let firsts = |range, count, turn| {
        blocks(range, count, turn).map(|block| *block.start()).collect::<Vec<_>>()
    };
    assert_eq!(firsts((1_030, 65_530), 2, 0), [65_531, 65_533, 1_024, 1_026, 1_028]);
    assert_eq!(firsts((1_030, 65_530), 2, 1), [65_533, 65_531, 1_026, 1_028, 1_024]);
    assert!(firsts((1, 65_535), 1, 7).is_empty());
    assert_eq!(firsts((0, 0), 64_512, 7), [1_024]);
    assert!(firsts((32_768, 60_999), 65_535, 7).is_empty());
}

proptest! {
    /// Blocks are of the size asked for, apart from one another, and outside the range and the privileged ports.
    #[test]
    fn blocks_are_disjoint_and_outside(low: u16, len in 0_u16..=u16::MAX, count in 500_u16.., turn: u64) {
        let high = low.saturating_add(len);
        let mut found = blocks((low, high), count, turn).collect::<Vec<_>>();
        found.sort_by_key(|block| *block.start());
        for block in &found {
            prop_assert_eq!(block.len(), usize::from(count));
            prop_assert!(*block.start() >= FIRST_PORT && (*block.end() < low || *block.start() > high));
        }
        prop_assert!(found.windows(2).all(|pair| pair[0].end() < pair[1].start()));
    }
}

/// Loopback has one address of IPv6, so the tests of it are one: they must not take one another's ports.
#[test]
fn ports_are_held_at_both_addresses() {
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        return; // IPv6 is off: the namespaces of tests/netns/routing.rs have it on
    }
    let both = Sources { v4: Some(here(6)), v6: Some(Ipv6Addr::LOCALHOST) };
    let guard = PortGuard::claim(both, LO, None, 8).unwrap();
    let (first, last) = guard.ports();
    assert_eq!((last - first, guard.sockets.len()), (7, 32));
    guard.self_test().unwrap();
    assert_eq!(
        format!("{guard:?}"),
        format!("PortGuard({} ::1 {first}-{last}, 32 sockets)", here(6))
    );
    for taken in [Sources::from(Ipv6Addr::LOCALHOST), here(6).into()] {
        let error = PortGuard::claim(taken, LO, Some((first, last)), 1).unwrap_err();
        assert!(matches!(error, PortGuardError::InUse { .. }), "{error}");
    }
    // Another address of IPv4 has the ports to itself: the sockets of IPv6 take none of it.
    drop(PortGuard::claim(here(7), LO, Some((first, last)), 1).unwrap());
    drop(guard);
    let guard = PortGuard::claim(Ipv6Addr::LOCALHOST, LO, Some((first, last)), 1).unwrap();
    guard.self_test().unwrap();
    drop(guard);
    // A guard that holds nothing, at a port where the kernel answers.
    let ports = (first, first);
    let empty = PortGuard {
        sources: Ipv6Addr::LOCALHOST.into(),
        interface: LO,
        ports,
        sockets: Vec::new(),
    };
    assert!(matches!(empty.self_test(), Err(PortGuardError::Answers { protocol: "tcp", .. })));
}

#[test]
fn an_ipv6_address_of_others_is_refused() {
    for addr in ["2001:db8::77", "fe80::77"] {
        let addr = addr.parse::<Ipv6Addr>().unwrap();
        let error = PortGuard::claim(addr, LO, None, 1).unwrap_err();
        assert!(matches!(error, PortGuardError::NotLocal { .. }), "{error}");
    }
}
