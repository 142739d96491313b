use std::{
    collections::VecDeque,
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use super::*;
use crate::{
    link::{Frame, Sent, interface::Interface},
    sources::Sources,
    time::Instant,
};

const OURS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const OURS_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 254);
const OUR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

fn targets(spec: &str) -> Targets {
    Targets::builder().spec(spec).ports("80").allow_reserved(true).build().unwrap()
}

#[test]
fn loopback_needs_no_question() {
    let route = route_for(&targets("127.0.0.1"), None, Sources::default(), None).unwrap();
    assert_eq!((route.interface.name(), route.sources.v4), ("lo", Some(Ipv4Addr::LOCALHOST)));
    assert!(matches!(route.v4, Some(Plan::Fixed(MacAddr::ZERO))) && route.v6.is_none());
    let route =
        route_for(&targets("127.0.0.0/8"), Some("lo"), Ipv4Addr::new(127, 0, 0, 5).into(), None)
            .unwrap();
    assert_eq!(
        (route.interface.name(), route.sources.v4),
        ("lo", Some(Ipv4Addr::new(127, 0, 0, 5)))
    );
    let (mut tx, mut rx) = wire_of(|_| Vec::new());
    let (next_hops, counts) = resolve(
        &targets("127.0.0.1"),
        &route,
        &ends(),
        Rate::Max,
        &mut tx,
        &mut rx,
        &Clock::start(),
    )
    .unwrap();
    assert_eq!(
        (next_hops.of(Ipv4Addr::LOCALHOST.into()), counts),
        (Some(MacAddr::ZERO), ArpCounts::default())
    );
}

#[test]
fn what_cannot_be_routed_says_so() {
    let refused = |spec, interface, source: Option<Ipv4Addr>| {
        let wish = Sources { v4: source, v6: None };
        route_for(&targets(spec), interface, wish, None).unwrap_err()
    };
    let error = refused("127.0.0.1", Some("nosuch0"), None);
    assert!(
        matches!(&error, NeighbourError::Link(LinkError::NoInterface { name, .. }) if name == "nosuch0"),
        "{error}"
    );
    let elsewhere = Ipv4Addr::new(203, 0, 113, 77);
    let error = refused("127.0.0.1", Some("lo"), Some(elsewhere));
    assert!(
        matches!(&error, NeighbourError::SourceElsewhere { interface, .. } if interface == "lo"),
        "{error}"
    );
    let error = refused("127.0.0.1", None, Some(elsewhere));
    assert!(
        matches!(error, NeighbourError::NoSource { source_address } if source_address == elsewhere)
    );
    let error = refused("203.0.113.1", Some("lo"), None);
    assert!(
        matches!(
            error,
            NeighbourError::NoRouteBy { .. }
                | NeighbourError::Elsewhere { .. }
                | NeighbourError::NoRoute { .. }
        ),
        "{error}"
    );
    let error = refused("255.255.255.255", None, None);
    assert!(
        matches!(error, NeighbourError::Refused { .. } | NeighbourError::NoRoute { .. }),
        "{error}"
    );
}

#[test]
fn a_given_hardware_address_is_that_of_all() {
    let mac = MacAddr([2, 9, 9, 9, 9, 9]);
    for interface in [None, Some("lo")] {
        let route =
            route_for(&targets("127.0.0.1"), interface, Sources::default(), Some(mac)).unwrap();
        assert!(matches!(route.v4, Some(Plan::Fixed(fixed)) if fixed == mac));
        assert_eq!(route.sources, Ipv4Addr::LOCALHOST.into());
    }
    let route =
        route_for(&targets("203.0.113.0/24"), Some("lo"), Sources::default(), Some(mac)).unwrap();
    assert!(matches!(route.v4, Some(Plan::Fixed(fixed)) if fixed == mac), "no route is asked for");
}

/// A link to one segment: each question sent gives the answers of `answers`.
struct WireTx {
    slot: Vec<[u8; 128]>,
    answers: Box<dyn FnMut(IpAddr) -> Vec<Vec<u8>> + Send>,
    to: crossbeam_channel::Sender<Vec<u8>>,
}

#[derive(Debug)]
struct WireRx(crossbeam_channel::Receiver<Vec<u8>>, VecDeque<Vec<u8>>);

fn wire_of_any(answers: impl FnMut(IpAddr) -> Vec<Vec<u8>> + Send + 'static) -> (WireTx, WireRx) {
    let (to, from) = crossbeam_channel::unbounded();
    let answers = Box::new(answers);
    (WireTx { slot: vec![[0; 128]; MAX_BATCH], answers, to }, WireRx(from, VecDeque::new()))
}

fn wire_of(mut answers: impl FnMut(Ipv4Addr) -> Vec<Vec<u8>> + Send + 'static) -> (WireTx, WireRx) {
    wire_of_any(move |asked| match asked {
        IpAddr::V4(asked) => answers(asked),
        IpAddr::V6(asked) => panic!("{asked}"),
    })
}

impl Tx for WireTx {
    fn slots(&self) -> usize {
        self.slot.len()
    }

    fn frame(&mut self, slot: usize) -> &mut [u8] {
        &mut self.slot[slot]
    }

    fn send(&mut self, lens: &[u16]) -> Result<Sent, LinkError> {
        for (slot, len) in self.slot.iter().zip(lens) {
            let packet =
                wire::parse(&slot[..usize::from(*len)], crate::link::LinkLayer::Ethernet).unwrap();
            let asked = match packet.network {
                Network::Arp(arp) => {
                    assert!(!arp.is_reply());
                    assert_eq!((arp.sender(), arp.sender_mac()), (OURS, OUR_MAC));
                    arp.target().into()
                }
                Network::Ipv6(header, Transport::Icmpv6(message)) => {
                    let asked = wire::ndp::Solicitation::parse(&header, &message).unwrap();
                    assert!(message.has_right_checksum(OURS_V6, header.destination()));
                    assert_eq!((header.source(), asked.source_mac), (OURS_V6, Some(OUR_MAC)));
                    asked.target.into()
                }
                _ => panic!("{packet:?}"),
            };
            for answer in (self.answers)(asked) {
                self.to.send(answer).unwrap();
            }
        }
        Ok(Sent { sent: lens.len() as u32, ..Sent::default() })
    }
}

impl Rx for WireRx {
    fn receive(
        &mut self,
        wait: Duration,
        mut take: impl FnMut(Frame<'_>),
    ) -> Result<usize, LinkError> {
        self.1.extend(self.0.recv_timeout(wait));
        self.1.extend(self.0.try_iter());
        let frames = self.1.len();
        for bytes in self.1.drain(..) {
            take(Frame::whole(&bytes, Instant::START, bytes.len() as u32));
        }
        Ok(frames)
    }

    fn ring_drops(&mut self) -> u64 {
        0
    }
}

fn ends() -> Ends {
    Ends {
        layer: crate::link::LinkLayer::Ethernet,
        source_mac: OUR_MAC,
        vlan: None,
        sources: OURS.into(),
    }
}

fn mac(addr: Ipv4Addr) -> MacAddr {
    let [a, b, c, d] = addr.octets();
    MacAddr([2, 0xaa, a, b, c, d])
}

/// An ARP reply as RFC 826 lays it out.
fn reply(from: Ipv4Addr) -> Vec<u8> {
    let mut frame =
        [&OUR_MAC.0[..], &mac(from).0, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2], &mac(from).0].concat();
    frame.extend(from.octets().into_iter().chain(OUR_MAC.0).chain(OURS.octets()));
    frame
}

/// A route over an interface number that nobody has, so that the kernel's neighbours are none.
fn route(routes: &[(&str, Option<Ipv4Addr>)]) -> Route {
    let lo = Interface::by_name("lo").unwrap();
    let ways = ways(routes, lo.index(), |gateway: Ipv4Addr| gateway.to_bits());
    Route { interface: lo, sources: OURS.into(), v4: Some(Plan::Ask(ways)), v6: None }
}

/// The ways that routes mean, each a prefix and perhaps a gateway: the longest prefix counts.
fn ways<A: Address, G: Copy>(
    routes: &[(&str, Option<G>)],
    interface: u32,
    number: impl Fn(G) -> A,
) -> Ways<A> {
    let routes = routes.iter().map(|(to, gateway)| {
        let (to, len) = to.split_once('/').unwrap();
        let (to, len) = (A::of(to.parse().unwrap()).unwrap(), len.parse::<u8>().unwrap());
        let way =
            gateway.map_or(Way::OnLink(interface), |gateway| Way::Via(interface, number(gateway)));
        (A::prefix(to, len), len, way)
    });
    let routes = routes.collect::<Vec<_>>();
    let cells = ways::Cells::between(routes.iter().map(|(prefix, ..)| *prefix));
    let all = [(A::FIRST, A::LAST)].into_iter();
    let Ok(ways) = Ways::of(all, &cells, |addr, _| {
        let holding = routes.iter().filter(|((first, last), ..)| (*first..=*last).contains(&addr));
        let longest = holding.max_by_key(|(_, len, _)| *len);
        Ok::<_, std::convert::Infallible>(longest.map_or(Way::None, |(.., way)| *way))
    });
    ways
}

#[test]
fn one_gateway_is_asked_once_and_is_the_next_hop_of_all() {
    let route = route(&[("0.0.0.0/0", Some(GATEWAY)), ("198.18.0.0/24", None)]);
    let (mut tx, mut rx) = wire_of(|asked| vec![reply(OURS), reply(asked), reply(asked)]);
    let targets = targets("203.0.113.0/24");
    let (next_hops, counts) =
        resolve(&targets, &route, &ends(), Rate::Max, &mut tx, &mut rx, &Clock::start()).unwrap();
    assert_eq!(next_hops.of(Ipv4Addr::new(203, 0, 113, 9).into()), Some(mac(GATEWAY)));
    assert_eq!(counts, ArpCounts { sent: 1, dropped: 0, received: 3 });
}

#[test]
fn hosts_on_the_link_have_their_own_and_those_behind_gateways_theirs() {
    let other = Ipv4Addr::new(198, 18, 0, 253);
    let route = route(&[
        ("0.0.0.0/0", Some(GATEWAY)),
        ("203.0.113.128/25", Some(other)),
        ("198.18.0.0/24", None),
    ]);
    let silent = Ipv4Addr::new(198, 18, 0, 77);
    let (mut tx, mut rx) =
        wire_of(move |asked| if asked == silent { Vec::new() } else { vec![reply(asked)] });
    let targets = targets("198.18.0.70-198.18.0.79,203.0.113.0/24");
    let (next_hops, counts) = resolve(
        &targets,
        &route,
        &ends(),
        "1k".parse().unwrap(),
        &mut tx,
        &mut rx,
        &Clock::start(),
    )
    .unwrap();
    for low in 70..80 {
        let host = Ipv4Addr::new(198, 18, 0, low);
        assert_eq!(next_hops.of(host.into()), (host != silent).then(|| mac(host)));
    }
    assert_eq!(next_hops.of(Ipv4Addr::new(203, 0, 113, 127).into()), Some(mac(GATEWAY)));
    assert_eq!(next_hops.of(Ipv4Addr::new(203, 0, 113, 128).into()), Some(mac(other)));
    assert_eq!(counts, ArpCounts { sent: 10 + 2 + 2, dropped: 0, received: 9 + 2 });
}

#[test]
fn a_silent_gateway_is_named() {
    let route = route(&[("0.0.0.0/0", Some(GATEWAY))]);
    let (mut tx, mut rx) = wire_of(|_| Vec::new());
    let clock = Clock::start();
    let error =
        resolve(&targets("203.0.113.1"), &route, &ends(), Rate::Max, &mut tx, &mut rx, &clock)
            .unwrap_err();
    assert!(
        matches!(&error, NeighbourError::Gateway { addr, interface } if *addr == IpAddr::V4(GATEWAY) && interface == "lo")
    );
    assert!(error.to_string().contains("--gateway-mac"));
    let waited = clock.now().since(Instant::START);
    assert!(waited >= Duration::from_secs(3) && waited < Duration::from_secs(10), "{waited:?}");
}

#[test]
fn more_hosts_than_the_table_holds_are_an_error() {
    let route = route(&[("0.0.0.0/0", None)]);
    let (mut tx, mut rx) = wire_of(|_| Vec::new());
    let clock = Clock::start();
    let error =
        resolve(&targets("10.0.0.0/8"), &route, &ends(), Rate::Max, &mut tx, &mut rx, &clock)
            .unwrap_err();
    assert!(matches!(error, NeighbourError::TooMany { hosts: 0x100_0000, .. }), "{error}");
}

#[test]
fn neighbours_count_while_the_kernel_is_sure_of_them() {
    let message = |state, mac: &[u8]| {
        let mut message = NeighbourMessage::default();
        message.header.state = state;
        message.attributes = vec![
            NeighbourAttribute::Destination(NeighbourAddress::Inet(GATEWAY)),
            NeighbourAttribute::LinkLayerAddress(mac.to_vec()),
        ];
        message
    };
    for state in [NeighbourState::Reachable, NeighbourState::Permanent, NeighbourState::Noarp] {
        assert_eq!(known(&message(state, &OUR_MAC.0)), Some((GATEWAY.to_bits(), OUR_MAC)));
        assert_eq!(known::<u128>(&message(state, &OUR_MAC.0)), None, "of the other family");
    }
    for state in [
        NeighbourState::Stale,
        NeighbourState::Delay,
        NeighbourState::Probe,
        NeighbourState::Failed,
        NeighbourState::Incomplete,
        NeighbourState::None,
    ] {
        assert_eq!(known::<u32>(&message(state, &OUR_MAC.0)), None);
    }
    for mac in [&[][..], &[0; 6], &[0xff; 6], &[2; 8]] {
        assert_eq!(known::<u32>(&message(NeighbourState::Reachable, mac)), None);
    }
}

fn mac_v6(addr: Ipv6Addr) -> MacAddr {
    let [.., a, b, c] = addr.octets();
    MacAddr([2, 0xbb, 0, a, b, c])
}

/// The advertisement of a host that is asked by us.
fn advertisement(addr: Ipv6Addr) -> Vec<u8> {
    let ends = Ends { source_mac: mac_v6(addr), sources: addr.into(), ..ends() };
    let mut slot = [0; 128];
    let asker = Some((OURS_V6, OUR_MAC));
    let len = template::neighbour_advertisement(&mut slot, &ends, addr, asker);
    slot[..len.into()].to_vec()
}

#[test]
fn both_families_are_resolved_on_one_link() {
    let v6 = |text: &str| text.parse::<Ipv6Addr>().unwrap();
    let (gateway, silent) = (v6("fe80::fe"), v6("2001:db8::77"));
    let route = Route {
        sources: Sources { v4: Some(OURS), v6: Some(OURS_V6) },
        v6: Some(Plan::Ask(ways(
            &[("::/0", Some(gateway)), ("2001:db8::/64", None)],
            route(&[]).interface.index(),
            |gateway: Ipv6Addr| gateway.to_bits(),
        ))),
        ..route(&[("0.0.0.0/0", Some(GATEWAY))])
    };
    let ends = Ends { sources: route.sources, ..ends() };
    let (mut tx, mut rx) = wire_of_any(move |asked| match asked {
        IpAddr::V4(asked) => vec![reply(asked)],
        IpAddr::V6(asked) if asked == silent => vec![],
        // Another host than the one asked for says something first.
        IpAddr::V6(asked) => vec![advertisement(OURS_V6), advertisement(asked), reply(GATEWAY)],
    });
    let targets = targets("203.0.113.0/24 2001:db8::70-2001:db8::79 2001:db8:1::/96");
    let clock = Clock::start();
    let (next_hops, counts) =
        resolve(&targets, &route, &ends, Rate::Max, &mut tx, &mut rx, &clock).unwrap();
    assert_eq!(next_hops.of(Ipv4Addr::new(203, 0, 113, 9).into()), Some(mac(GATEWAY)));
    for low in 0x70..=0x79 {
        let host = Ipv6Addr::from_bits(OURS_V6.to_bits() - 1 + low);
        assert_eq!(next_hops.of(host.into()), (host != silent).then(|| mac_v6(host)), "{host}");
    }
    assert_eq!(next_hops.of(v6("2001:db8:1::7").into()), Some(mac_v6(gateway)));
    assert_eq!(counts, ArpCounts { sent: 1 + 10 + 1 + 2, dropped: 0, received: 1 + 3 * 10 });
}

#[test]
fn without_an_address_of_a_family_nobody_is_asked() {
    let route = route(&[("0.0.0.0/0", Some(GATEWAY))]);
    let ends = Ends { sources: OURS_V6.into(), ..ends() };
    let (mut tx, mut rx) = wire_of(|_| Vec::new());
    let clock = Clock::start();
    let targets = targets("203.0.113.1");
    let error = resolve(&targets, &route, &ends, Rate::Max, &mut tx, &mut rx, &clock).unwrap_err();
    assert!(matches!(error, NeighbourError::NoAddress { family: "IPv4", .. }), "{error}");
}

#[test]
fn an_ipv6_network_that_is_too_large_is_an_error() {
    let all = ways(&[("::/0", None::<Ipv6Addr>)], 1, |gateway| gateway.to_bits());
    for (spec, expected) in [("2001:db8::/64", 1_u128 << 64), ("2001:db8::/107", 1 << 21)] {
        let error = route::check_count(&targets(spec), &all, "s0").unwrap_err();
        assert!(
            matches!(&error, NeighbourError::TooMany { hosts, .. } if *hosts == expected),
            "{error}"
        );
    }
    route::check_count(&targets("2001:db8::/108"), &all, "s0").unwrap();
}
