//! One source address for all targets of a family, or none: what the kernel would choose differs where networks and scopes do.

use std::net::{IpAddr, Ipv6Addr, SocketAddrV6, TcpListener};

use mrpf_engine::{
    link::interface::Interface,
    neighbour::{NeighbourError, route_for},
    port_guard::PortGuard,
    sources::Sources,
};
use mrpf_lab::gate::{self, Need};

use super::{any_route, gateway_mac, ip, targets, two_uplinks};

/// Two targets, and the sources that the kernel would choose for them.
#[track_caller]
fn check_two(spec: &str, expected: [(&str, &str); 2]) {
    let error = any_route(spec).unwrap_err();
    let text = error.to_string();
    let NeighbourError::TwoSources { first, source_address, addr, other } = error else {
        panic!("{spec}: {error}")
    };
    let expected = expected
        .map(|(addr, source)| [addr.parse::<IpAddr>().unwrap(), source.parse::<IpAddr>().unwrap()]);
    assert_eq!([[first, source_address], [addr, other]], expected, "{spec}");
    assert!(text.contains("--source-ip"), "{text}");
}

#[test]
fn targets_that_want_different_source_addresses_are_not_scanned_from_one() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _inside = two_uplinks();
    ip("addr add 198.18.32.1/24 dev s0");
    ip("addr add fd00:1::1/64 dev s0 nodad");
    ip("addr add fe80::5/64 dev s0 nodad");
    ip("-4 route add 198.19.0.0/17 via 198.18.0.101 dev s0");
    ip("-4 route add 198.19.128.0/17 via 198.18.32.101 dev s0");
    ip("-6 route add default via 2001:db8::101 dev s0");

    check_two(
        "198.18.0.7 198.18.32.7",
        [("198.18.0.7", "198.18.0.1"), ("198.18.32.7", "198.18.32.1")],
    );
    check_two("198.19.0.0/16", [("198.19.0.0", "198.18.0.1"), ("198.19.128.0", "198.18.32.1")]);
    // By one route: the kernel chooses by the label of the destination.
    check_two("2001:db9::1 fc00::1", [("2001:db9::1", "2001:db8::1"), ("fc00::1", "fd00:1::1")]);
    for spec in ["198.19.0.0/17 198.18.0.7", "2001:db9::1 2001:dba::/64"] {
        any_route(spec).unwrap_or_else(|error| panic!("{spec}: {error}"));
    }
    // Bound to the interface no less; and what the user says is done.
    let both = targets("198.19.0.0/16 2001:db9::1 fc00::1");
    let error = route_for(&both, Some("s0"), Sources::default(), None).unwrap_err();
    assert!(matches!(error, NeighbourError::TwoSources { .. }), "{error}");
    let wish = Sources {
        v4: Some("198.18.32.1".parse().unwrap()),
        v6: Some("2001:db8::1".parse().unwrap()),
    };
    for interface in [None, Some("s0")] {
        assert_eq!(route_for(&both, interface, wish, None).unwrap().sources, wish);
    }
}

#[test]
fn a_link_local_target_needs_a_link() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _inside = two_uplinks();
    ip("addr add fe80::5/64 dev t0 nodad");
    for (spec, first) in
        [("fe80::9", "fe80::9"), ("2001:db8::7 fe80::7:0/112 fec0::1", "fe80::7:0")]
    {
        let error = any_route(spec).unwrap_err();
        let expected = first.parse::<IpAddr>().unwrap();
        assert!(
            matches!(&error, NeighbourError::LinkLocal { addr } if *addr == expected),
            "{spec}: {error}"
        );
        assert!(error.to_string().contains("-i"), "{error}");
    }
    let route = route_for(&targets("fe80::9"), Some("t0"), Sources::default(), None).unwrap();
    assert_eq!(route.interface.name(), "t0");
    assert!(route.sources.v6.is_some_and(|addr| addr.is_unicast_link_local()));
    let global = "2001:db8::7".parse::<Ipv6Addr>().unwrap();
    assert_eq!(any_route(&global.to_string()).unwrap().interface.name(), "s0");
}

#[test]
fn nobody_beyond_the_link_is_sent_to_from_a_link_local_address() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _inside = two_uplinks();
    ip("addr add fe80::5/64 dev s0 nodad");
    ip("-6 route add default via fe80::101 dev s0");
    ip("addr del 2001:db8::1/64 dev s0");
    ip("addr del 2001:db8:0:64::1/64 dev t0");
    for interface in [None, Some("s0")] {
        for mac in [None, Some(gateway_mac(101))] {
            let error =
                route_for(&targets("2001:db9::1"), interface, Sources::default(), mac).unwrap_err();
            assert!(
                matches!(&error, NeighbourError::NoAddress { family: "IPv6", interface } if interface == "s0"),
                "{interface:?} {mac:?}: {error}"
            );
        }
    }
    // A host on the link may answer.
    ip("-6 route add 2001:db9::/64 dev s0");
    let route = any_route("2001:db9::1").unwrap();
    assert!(route.sources.v6.is_some_and(|addr| addr.is_unicast_link_local()));
}

#[test]
fn ports_are_held_at_the_link_local_address_of_the_scans_interface() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _inside = two_uplinks();
    // Both links may have it, and an address alone does not say which is meant.
    let ours = "fe80::5".parse::<Ipv6Addr>().unwrap();
    let devices = ["s0", "t0"].map(|name| {
        ip(&format!("addr add {ours}/64 dev {name} nodad"));
        Interface::by_name(name).unwrap().index()
    });
    for held in devices {
        let guard = PortGuard::claim(ours, held, None, 4).unwrap();
        guard.self_test().unwrap();
        for device in devices {
            let bound = TcpListener::bind(SocketAddrV6::new(ours, guard.ports().0, 0, device));
            assert_eq!(bound.is_err(), device == held, "{held} {device}: {bound:?}");
        }
    }
}
