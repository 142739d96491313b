use super::*;

fn link(link_type: LinkLayerType, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = 7;
    link.header.link_layer_type = link_type;
    link.header.flags = LinkFlags::Up | LinkFlags::Running;
    link.attributes = attributes;
    link
}

fn address(index: u32, prefix_len: u8, attributes: Vec<AddressAttribute>) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = prefix_len;
    message.attributes = attributes;
    message
}

#[track_caller]
fn check_layer(link_type: LinkLayerType, expected: Option<LinkLayer>) {
    let read = Interface::read(&link(link_type, Vec::new()), &[]);
    assert_eq!(read.map(|interface| interface.layer()), expected);
}

#[test]
fn the_link_layer_follows_from_the_hardware_type() {
    check_layer(LinkLayerType::Ether, Some(LinkLayer::Ethernet));
    check_layer(LinkLayerType::Loopback, Some(LinkLayer::Ethernet));
    check_layer(LinkLayerType::None, Some(LinkLayer::Ip));
    check_layer(LinkLayerType::Rawip, Some(LinkLayer::Ip));
    check_layer(LinkLayerType::Infiniband, None);
}

#[test]
fn a_link_is_read_whole() {
    let attributes = vec![
        LinkAttribute::IfName("s0".to_owned()),
        LinkAttribute::Mtu(1400),
        LinkAttribute::Address(vec![2, 0, 0, 0, 0, 9]),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth)]),
    ];
    let ours = Ipv4Addr::new(198, 18, 0, 1);
    let theirs = Ipv4Addr::new(198, 18, 0, 2);
    let addresses = [
        address(
            7,
            32,
            vec![AddressAttribute::Address(theirs.into()), AddressAttribute::Local(ours.into())],
        ),
        address(8, 24, vec![AddressAttribute::Local(theirs.into())]),
        address(7, 64, vec![AddressAttribute::Address("2001:db8::1".parse().unwrap())]),
    ];
    let interface = Interface::read(&link(LinkLayerType::Ether, attributes), &addresses).unwrap();
    assert_eq!((interface.index(), interface.name(), interface.kind()), (7, "s0", "veth"));
    assert_eq!((interface.mac(), interface.mtu()), (MacAddr([2, 0, 0, 0, 0, 9]), 1400));
    assert_eq!(interface.v4(), [(ours, 32)], "the far end of a point-to-point link is not ours");
    assert_eq!(interface.v6(), [("2001:db8::1".parse().unwrap(), 64)]);
    assert!(
        interface.is_up()
            && interface.is_running()
            && !interface.is_loopback()
            && interface.uses_arp()
    );
}

#[test]
fn counters_grow_or_were_reset() {
    let earlier = Counters { rx_packets: 5, tx_packets: 9, ..Counters::default() };
    let later = Counters { rx_packets: 7, tx_packets: 3, rx_bytes: 60, ..Counters::default() };
    let growth = Counters { rx_packets: 2, tx_packets: 0, rx_bytes: 60, ..Counters::default() };
    assert_eq!(later.since(&earlier), growth);
}

#[test]
fn the_kernel_knows_lo_and_names_the_others_when_asked_for_what_is_not_there() {
    let lo = Interface::by_name("lo").unwrap();
    assert!(lo.is_loopback() && !lo.uses_arp());
    assert_eq!(Interface::by_index(lo.index()).unwrap().name(), "lo");
    assert!(Interface::list().unwrap().iter().any(|interface| interface.name() == "lo"));
    lo.counters().unwrap();
    for name in ["", "nosuch0", "longer-than-any-interface-name"] {
        match Interface::by_name(name) {
            Err(LinkError::NoInterface { name: asked, known }) => {
                assert_eq!(asked, name);
                assert!(known.split(", ").any(|known| known == "lo"), "{known}");
            }
            other => panic!("{other:?}"),
        }
    }
}

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// An interface with these addresses of IPv6 and their flags.
fn with_v6(addrs: &[(&str, AddressFlags)]) -> Interface {
    let messages = addrs.iter().map(|(addr, flags)| {
        let addr = AddressAttribute::Address(v6(addr).into());
        address(7, 64, vec![addr, AddressAttribute::Flags(*flags)])
    });
    Interface::read(&link(LinkLayerType::Ether, Vec::new()), &messages.collect::<Vec<_>>()).unwrap()
}

#[test]
fn addresses_that_may_be_another_s_are_not_ours_yet() {
    let interface = with_v6(&[
        ("2001:db8::1", AddressFlags::Tentative),
        ("2001:db8::2", AddressFlags::Dadfailed | AddressFlags::Tentative),
        ("2001:db8::3", AddressFlags::Tentative | AddressFlags::Optimistic),
        ("2001:db8::4", AddressFlags::Permanent),
    ]);
    assert_eq!(interface.v6(), [(v6("2001:db8::4"), 64)]);
    // Where the long form of the flags is missing, the short one counts.
    let mut message = address(7, 64, vec![AddressAttribute::Address(v6("2001:db8::1").into())]);
    message.header.flags = netlink_packet_route::address::AddressHeaderFlags::Tentative;
    let interface = Interface::read(&link(LinkLayerType::Ether, Vec::new()), &[message]).unwrap();
    assert_eq!(interface.v6(), []);
    assert_eq!(interface.source_v6(v6("2001:db8::9")), None);
}

#[track_caller]
fn check_source(addrs: &[(&str, AddressFlags)], to: &str, expected: &str) {
    for order in [addrs.to_vec(), addrs.iter().rev().copied().collect()] {
        assert_eq!(with_v6(&order).source_v6(v6(to)), Some(v6(expected)), "{order:?} to {to}");
    }
}

#[test]
fn the_source_follows_from_the_destination() {
    let none = AddressFlags::empty();
    let all = [
        ("fe80::1", none),
        ("fd00:1::1", none),
        ("2001:db8:1::1", none),
        ("2001:db8:2::1", AddressFlags::Deprecated),
    ];
    check_source(&all, "fe80::9", "fe80::1");
    check_source(&all, "ff02::1", "fe80::1");
    check_source(&all, "fd00:1::9", "fd00:1::1");
    check_source(&all, "2001:db8:1::9", "2001:db8:1::1");
    check_source(&all, "2001:db8:2::9", "2001:db8:1::1"); // fresh before near
    check_source(&all, "2001:db8:2::1", "2001:db8:2::1"); // to ourselves
    // Nobody answers a link-local address from beyond the link.
    for to in ["2001:db8::9", "fd00::9", "ff0e::1"] {
        assert_eq!(with_v6(&[("fe80::1", none)]).source_v6(v6(to)), None, "{to}");
    }
    check_source(
        &[("2001:db8::1", AddressFlags::Secondary), ("2001:db8::2", none)],
        "2001:db8:1::9",
        "2001:db8::2",
    );
    // Of two that are equal the kernel's first.
    let interface = with_v6(&[("2001:db8::2", none), ("2001:db8::3", none)]);
    assert_eq!(interface.source_v6(v6("2001:db9::1")), Some(v6("2001:db8::2")));
}
