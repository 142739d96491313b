use std::net::{Ipv4Addr, Ipv6Addr};

use netlink_packet_route::{
    IpProtocol,
    route::{RouteNextHop, RouteType},
    rule::RulePortRange,
};

use super::*;

const ETH: u32 = 2;
const VPN: u32 = 3;

fn addr(text: &str) -> u32 {
    text.parse::<Ipv4Addr>().unwrap().to_bits()
}

fn route(kind: RouteType, attributes: Vec<RouteAttribute>) -> RouteMessage {
    let mut route = RouteMessage::default();
    route.header.kind = kind;
    route.attributes = attributes;
    route
}

fn gateway(text: &str) -> RouteAttribute {
    RouteAttribute::Gateway(text.parse::<Ipv4Addr>().unwrap().into())
}

fn hop(interface: u32, text: &str) -> RouteNextHop {
    let mut hop = RouteNextHop::default();
    hop.interface_index = interface;
    hop.attributes = vec![gateway(text)];
    hop
}

fn way(attributes: Vec<RouteAttribute>, wanted: Option<u32>) -> Way<u32> {
    read(&route(RouteType::Unicast, attributes), wanted).way
}

#[test]
fn an_answer_has_a_way_an_interface_and_a_source() {
    let attributes = vec![
        RouteAttribute::Oif(ETH),
        gateway("198.18.0.254"),
        RouteAttribute::PrefSource(Ipv4Addr::new(198, 18, 0, 1).into()),
    ];
    let expected = Answer {
        way: Way::Via(ETH, addr("198.18.0.254")),
        interface: Some(ETH),
        source: Some(addr("198.18.0.1")),
        is_exception: false,
        is_bare: false,
    };
    assert_eq!(read(&route(RouteType::Unicast, attributes), None), expected);
    let own = read::<u32>(&route(RouteType::Local, vec![RouteAttribute::Oif(1)]), None);
    assert_eq!((own.way, own.interface), (Way::Own, Some(1)));
}

#[test]
fn the_type_of_a_route_counts() {
    for (kind, expected) in [
        (RouteType::Broadcast, Way::Group),
        (RouteType::Anycast, Way::Group),
        (RouteType::Multicast, Way::Group),
        (RouteType::Unreachable, Way::Refused("unreachable")),
        (RouteType::BlackHole, Way::Refused("blackhole")),
        (RouteType::Prohibit, Way::Refused("prohibit")),
        (RouteType::Nat, Way::Refused("unknown to this program")),
        (RouteType::Other(77), Way::Refused("unknown to this program")),
    ] {
        let attributes = vec![RouteAttribute::Oif(ETH)];
        assert_eq!(read::<u32>(&route(kind, attributes), None).way, expected, "{kind:?}");
    }
}

#[test]
fn of_several_next_hops_the_wanted_one_is_taken_and_else_the_first() {
    let mut dead = hop(ETH, "198.18.0.9");
    dead.flags = RouteNextHopFlags::Dead;
    let hops = vec![dead, hop(VPN, "198.18.9.1"), hop(ETH, "198.18.0.1"), hop(ETH, "198.18.0.2")];
    let several = || vec![RouteAttribute::MultiPath(hops.clone())];
    assert_eq!(way(several(), Some(ETH)), Way::Via(ETH, addr("198.18.0.1")));
    assert_eq!(way(several(), None), Way::Via(VPN, addr("198.18.9.1")));
    assert_eq!(way(several(), Some(9)), Way::Via(VPN, addr("198.18.9.1")));
}

#[test]
fn a_route_that_says_no_next_hop_is_asked_for_again() {
    let bare = read::<u32>(&route(RouteType::Unicast, vec![RouteAttribute::NhId(7)]), None);
    assert!(bare.is_bare && bare.way == Way::None);
}

#[test]
fn gateways_may_have_addresses_of_either_family() {
    let v6 = "fe80::1".parse::<Ipv6Addr>().unwrap();
    let via = |via| vec![RouteAttribute::Oif(ETH), RouteAttribute::Via(via)];
    assert_eq!(way(via(RouteVia::Inet6(v6)), None), Way::ViaV6(ETH));
    let v4 = Ipv4Addr::new(198, 18, 0, 1);
    assert_eq!(way(via(RouteVia::Inet(v4)), None), Way::Via(ETH, v4.to_bits()));
    let attributes = vec![RouteAttribute::Oif(ETH), RouteAttribute::Gateway(v6.into())];
    let answer = read::<u128>(&route(RouteType::Unicast, attributes), None);
    assert_eq!(answer.way, Way::Via(ETH, v6.to_bits()));
}

/// A route of the local table.
fn local(kind: RouteType, to: &str, len: u8) -> RouteMessage {
    let to = to.parse::<Ipv4Addr>().unwrap();
    let mut route = route(kind, vec![RouteAttribute::Destination(to.into())]);
    route.header.destination_prefix_length = len;
    route.header.table = 255;
    route
}

#[test]
fn the_local_table_says_which_addresses_are_ours() {
    let mut elsewhere = local(RouteType::Local, "198.18.3.0", 24);
    elsewhere.attributes.push(RouteAttribute::Table(7_000));
    let routes = [
        local(RouteType::Local, "198.18.0.0", 16),
        local(RouteType::Broadcast, "198.18.0.255", 32),
        local(RouteType::Unicast, "198.19.0.0", 16),
        elsewhere,
    ];
    let tables = Tables::<u32>::of(&routes.map(|route| Prefix::of(&route)), &[]);
    assert_eq!(tables.local(addr("198.18.0.1")), Way::Own);
    assert_eq!(tables.local(addr("198.18.0.255")), Way::Group, "the longest prefix");
    assert_eq!(tables.local(addr("198.19.0.1")), Way::None);
    assert_eq!(tables.local(addr("198.17.0.1")), Way::None);
    assert_eq!(tables.local(addr("224.0.0.1")), Way::Group);
}

#[test]
fn only_rules_that_look_at_ports_of_tcp_are_not_followed() {
    let rule = |attributes: &[RuleAttribute]| {
        let mut rule = RuleMessage::default();
        rule.attributes = attributes.to_vec();
        rule.attributes.push(RuleAttribute::Priority(99));
        Tables::<u32>::of(&[], &[RuleMessage::default(), rule]).port_rule
    };
    let ports = RulePortRange { start: 443, end: 443 };
    assert_eq!(rule(&[RuleAttribute::DestinationPortRange(ports)]), Some(99));
    assert_eq!(rule(&[RuleAttribute::SourcePortRange(ports)]), Some(99));
    let of = |protocol| {
        [RuleAttribute::DestinationPortRange(ports), RuleAttribute::IpProtocol(protocol)]
    };
    assert_eq!(rule(&of(IpProtocol::Tcp)), Some(99));
    assert_eq!(rule(&of(IpProtocol::Udp)), None);
    assert_eq!(rule(&[RuleAttribute::FwMark(1), RuleAttribute::SuppressPrefixLen(0)]), None);
}

#[test]
fn the_kernel_knows_the_way_to_itself() {
    let mut netlink = Netlink::open().unwrap();
    let tables = Tables::<u32>::read(&mut netlink).unwrap();
    assert_eq!(tables.local(addr("127.0.0.1")), Way::Own);
    let asker = Asker { bound_to: None, source: None };
    let answer = asker.choose(&mut netlink, addr("127.0.0.1")).unwrap();
    assert_eq!((answer.way, answer.source), (Way::Own, Some(addr("127.0.0.1"))));
    let pair = (addr("127.0.0.9"), addr("127.0.0.99"));
    assert_eq!(asker.way(&mut netlink, 1, pair).unwrap(), Way::Own);
}
