use netlink_packet_route::route::RouteNextHop;
use proptest::prelude::*;

use super::*;

const ETH: u32 = 2;
const VPN: u32 = 3;
const ALL: [u32; 3] = [LOCAL_TABLE, MAIN_TABLE, DEFAULT_TABLE];

fn addr(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn route(table: u32, kind: RouteType, to: &str, attributes: Vec<RouteAttribute>) -> RouteMessage {
    let (to, len) = to.split_once('/').unwrap();
    let mut route = RouteMessage::default();
    route.header.destination_prefix_length = len.parse().unwrap();
    route.header.table = table.try_into().unwrap_or(252); // RT_TABLE_COMPAT
    route.header.kind = kind;
    route.attributes = attributes;
    route.attributes.push(RouteAttribute::Table(table));
    if len != "0" {
        route.attributes.push(RouteAttribute::Destination(addr(to).into()));
    }
    route
}

fn on_link(to: &str, interface: u32) -> RouteMessage {
    route(MAIN_TABLE, RouteType::Unicast, to, vec![RouteAttribute::Oif(interface)])
}

fn via(to: &str, interface: u32, gateway: &str, metric: u32) -> RouteMessage {
    let gateway = RouteAttribute::Gateway(addr(gateway).into());
    let attributes =
        vec![RouteAttribute::Oif(interface), gateway, RouteAttribute::Priority(metric)];
    route(MAIN_TABLE, RouteType::Unicast, to, attributes)
}

fn hop(interface: u32, gateway: &str) -> RouteNextHop {
    let mut hop = RouteNextHop::default();
    hop.interface_index = interface;
    hop.attributes = vec![RouteAttribute::Gateway(addr(gateway).into())];
    hop
}

fn several(to: &str, hops: Vec<RouteNextHop>) -> RouteMessage {
    route(MAIN_TABLE, RouteType::Unicast, to, vec![RouteAttribute::MultiPath(hops)])
}

#[track_caller]
fn check(routes: &[RouteMessage], prefer: Prefer, to: &str, expected: Way) {
    assert_eq!(Ways::of(routes, &ALL, prefer).way(addr(to)), expected, "{to} {prefer:?}");
}

const ANY: Prefer = Prefer::Interface(ETH);

#[test]
fn the_longest_prefix_wins_in_whatever_order_routes_come() {
    let mut routes = vec![
        via("0.0.0.0/0", ETH, "198.18.0.1", 0),
        on_link("198.18.0.0/24", ETH),
        via("198.18.0.128/25", ETH, "198.18.0.2", 9),
        via("198.19.0.0/16", VPN, "198.18.9.1", 0),
        on_link("198.18.0.200/32", VPN),
    ];
    for _ in 0..2 {
        check(&routes, ANY, "192.0.2.1", Way::Via(ETH, addr("198.18.0.1")));
        check(&routes, ANY, "198.18.0.127", Way::OnLink(ETH));
        check(&routes, ANY, "198.18.0.128", Way::Via(ETH, addr("198.18.0.2")));
        check(&routes, ANY, "198.18.0.200", Way::OnLink(VPN));
        check(&routes, ANY, "198.18.0.201", Way::Via(ETH, addr("198.18.0.2")));
        check(&routes, ANY, "198.18.1.0", Way::Via(ETH, addr("198.18.0.1")));
        check(&routes, ANY, "198.19.255.255", Way::Via(VPN, addr("198.18.9.1")));
        check(&routes, ANY, "255.255.255.254", Way::Via(ETH, addr("198.18.0.1")));
        routes.reverse();
    }
}

#[test]
fn of_equal_prefixes_the_lower_metric_wins() {
    let routes =
        [via("0.0.0.0/0", VPN, "198.18.9.1", 100), via("0.0.0.0/0", ETH, "198.18.0.1", 50)];
    check(&routes, ANY, "192.0.2.1", Way::Via(ETH, addr("198.18.0.1")));
    check(&routes, Prefer::Only(VPN), "192.0.2.1", Way::Via(VPN, addr("198.18.9.1")));
}

#[test]
fn of_one_interface_only_its_own_routes_count_and_those_that_refuse() {
    let routes = [
        via("0.0.0.0/0", ETH, "198.18.0.1", 0),
        on_link("198.18.9.0/24", VPN),
        route(MAIN_TABLE, RouteType::BlackHole, "198.18.9.64/26", vec![]),
    ];
    check(&routes, Prefer::Only(VPN), "198.18.9.1", Way::OnLink(VPN));
    check(&routes, Prefer::Only(VPN), "192.0.2.1", Way::None);
    check(&routes, Prefer::Only(VPN), "198.18.9.65", Way::Refused("blackhole"));
    check(&routes, Prefer::Only(ETH), "198.18.9.1", Way::Via(ETH, addr("198.18.0.1")));
}

#[test]
fn of_several_next_hops_the_first_of_the_scan_s_interface_is_taken() {
    let mut dead = hop(ETH, "198.18.0.9");
    dead.flags = RouteNextHopFlags::Dead;
    let routes = [several(
        "0.0.0.0/0",
        vec![dead, hop(VPN, "198.18.9.1"), hop(ETH, "198.18.0.1"), hop(ETH, "198.18.0.2")],
    )];
    check(&routes, ANY, "192.0.2.1", Way::Via(ETH, addr("198.18.0.1")));
    check(&routes, Prefer::Only(ETH), "192.0.2.1", Way::Via(ETH, addr("198.18.0.1")));
    check(&routes, Prefer::Interface(9), "192.0.2.1", Way::Via(VPN, addr("198.18.9.1")));
    check(&routes, Prefer::Only(9), "192.0.2.1", Way::None);
}

#[test]
fn this_machine_and_groups_are_no_next_hops() {
    let routes = [
        via("0.0.0.0/0", ETH, "198.18.0.1", 0),
        on_link("198.18.0.0/24", ETH),
        route(LOCAL_TABLE, RouteType::Local, "198.18.0.7/32", vec![RouteAttribute::Oif(ETH)]),
        route(LOCAL_TABLE, RouteType::Broadcast, "198.18.0.255/32", vec![RouteAttribute::Oif(ETH)]),
    ];
    for prefer in [ANY, Prefer::Only(ETH), Prefer::Only(VPN)] {
        check(&routes, prefer, "198.18.0.7", Way::Own);
        check(&routes, prefer, "198.18.0.255", Way::Group);
        check(&routes, prefer, "224.0.0.1", Way::Group);
        check(&routes, prefer, "255.255.255.255", Way::Group);
        check(&routes, prefer, "0.0.0.0", Way::Group);
    }
    check(&routes, ANY, "198.18.0.6", Way::OnLink(ETH));
    check(&routes, ANY, "240.0.0.0", Way::Via(ETH, addr("198.18.0.1")));
}

#[test]
fn the_local_table_comes_before_a_longer_prefix_of_another() {
    let routes = [
        route(LOCAL_TABLE, RouteType::Local, "198.18.0.0/16", vec![]),
        on_link("198.18.0.0/24", ETH),
        route(DEFAULT_TABLE, RouteType::Unicast, "198.19.0.0/24", vec![RouteAttribute::Oif(VPN)]),
        via("198.19.0.0/16", ETH, "198.18.0.1", 0),
        route(7_000, RouteType::Unicast, "198.0.0.0/8", vec![RouteAttribute::Oif(VPN)]),
    ];
    check(&routes, ANY, "198.18.0.1", Way::Own);
    check(&routes, ANY, "198.19.0.1", Way::Via(ETH, addr("198.18.0.1")));
    check(&routes, ANY, "198.0.0.1", Way::None);
    let with_rule = Ways::of(&routes, &[LOCAL_TABLE, 7_000, MAIN_TABLE], ANY);
    assert_eq!(with_rule.way(addr("198.19.0.1")), Way::OnLink(VPN));
}

#[test]
fn a_throw_route_leaves_it_to_the_next_table() {
    let routes = [
        route(7_000, RouteType::Unicast, "0.0.0.0/0", vec![RouteAttribute::Oif(VPN)]),
        route(7_000, RouteType::Throw, "198.18.0.0/16", vec![]),
        route(7_000, RouteType::Unicast, "198.18.4.0/24", vec![RouteAttribute::Oif(VPN)]),
        on_link("198.18.0.0/17", ETH),
        via("0.0.0.0/0", ETH, "198.18.0.1", 0),
    ];
    let ways = Ways::of(&routes, &[LOCAL_TABLE, 7_000, MAIN_TABLE], ANY);
    assert_eq!(ways.way(addr("198.17.255.255")), Way::OnLink(VPN));
    assert_eq!(ways.way(addr("198.18.0.0")), Way::OnLink(ETH));
    assert_eq!(ways.way(addr("198.18.4.9")), Way::OnLink(VPN));
    assert_eq!(ways.way(addr("198.18.127.255")), Way::OnLink(ETH));
    assert_eq!(ways.way(addr("198.18.128.0")), Way::Via(ETH, addr("198.18.0.1")));
    assert_eq!(ways.way(addr("198.19.0.0")), Way::OnLink(VPN));
}

#[test]
fn routes_that_the_kernel_passes_over_do_not_count() {
    let mut of_service = on_link("198.18.0.0/24", ETH);
    of_service.header.tos = 0x10;
    let mut dead = on_link("198.18.0.0/24", ETH);
    dead.header.flags = RouteFlags::Dead;
    let mut without_interface = on_link("198.18.0.0/24", ETH);
    without_interface.attributes.retain(|attribute| !matches!(attribute, RouteAttribute::Oif(_)));
    check(&[of_service, dead, without_interface], ANY, "198.18.0.1", Way::None);
}

#[test]
fn gateways_may_have_addresses_of_either_family() {
    let of = |via| {
        route(
            MAIN_TABLE,
            RouteType::Unicast,
            "0.0.0.0/0",
            vec![RouteAttribute::Oif(ETH), RouteAttribute::Via(via)],
        )
    };
    check(&[of(RouteVia::Inet6("fe80::1".parse().unwrap()))], ANY, "192.0.2.1", Way::ViaV6(ETH));
    check(
        &[of(RouteVia::Inet(addr("198.18.0.1")))],
        ANY,
        "192.0.2.1",
        Way::Via(ETH, addr("198.18.0.1")),
    );
}

#[test]
fn ranges_are_cut_where_the_way_changes() {
    let routes = [on_link("198.18.0.0/24", ETH), via("198.18.1.0/24", ETH, "198.18.0.1", 0)];
    let ranges =
        [("198.17.0.1", "198.17.0.1"), ("198.18.0.3", "198.18.0.4"), ("198.18.0.9", "198.18.2.0")];
    let spans = Ways::of(&routes, &ALL, ANY)
        .meet(ranges.into_iter().map(|(a, b)| (addr(a), addr(b))))
        .collect::<Vec<_>>();
    let span =
        |first, last, way| Span { first: addr(first).to_bits(), last: addr(last).to_bits(), way };
    let expected = [
        span("198.17.0.1", "198.17.0.1", Way::None),
        span("198.18.0.3", "198.18.0.4", Way::OnLink(ETH)),
        span("198.18.0.9", "198.18.0.255", Way::OnLink(ETH)),
        span("198.18.1.0", "198.18.1.255", Way::Via(ETH, addr("198.18.0.1"))),
        span("198.18.2.0", "198.18.2.0", Way::None),
    ];
    assert_eq!(spans, expected);
}

/// A route of 256 addresses, by the number of its prefix, with an interface for a name.
fn some_route() -> impl Strategy<Value = (u32, u8, u32, u32)> {
    (0..256_u32, 23..=32_u8, 1..60_u32, 0..4_u32).prop_map(|(at, len, interface, metric)| {
        let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
        ((0xc612_0000 + at) & mask, len, interface, metric)
    })
}

proptest! {
    /// Painting gives each address what a search through all routes gives it, and the spans cover all addresses once.
    #[test]
    fn each_address_goes_the_way_that_a_search_finds(routes in prop::collection::vec(some_route(), 0..40)) {
        let messages = routes.iter().map(|(to, len, interface, metric)| {
            let attributes = vec![RouteAttribute::Oif(*interface), RouteAttribute::Priority(*metric)];
            route(MAIN_TABLE, RouteType::Unicast, &format!("{}/{len}", Ipv4Addr::from_bits(*to)), attributes)
        });
        let ways = Ways::of(&messages.collect::<Vec<_>>(), &ALL, ANY);
        prop_assert!(ways.spans().windows(2).all(|pair| pair[0].last + 1 == pair[1].first && pair[0].way != pair[1].way));
        prop_assert_eq!((ways.spans()[0].first, ways.spans().last().unwrap().last), (0, u32::MAX));
        for addr in 0xc612_0000_u32 - 3..=0xc612_0200 + 3 {
            let holds = |to: u32, len: u8| len == 0 || (to ^ addr) >> (32 - len) == 0;
            let best = routes.iter().filter(|(to, len, ..)| holds(*to, *len)).map(|(_, len, _, metric)| (*len, Reverse(*metric))).max();
            let candidates = routes.iter().filter(|(to, len, _, metric)| holds(*to, *len) && Some((*len, Reverse(*metric))) == best);
            let allowed = candidates.map(|(_, _, interface, _)| Way::OnLink(*interface)).collect::<Vec<_>>();
            let way = ways.way(Ipv4Addr::from_bits(addr));
            prop_assert!(if allowed.is_empty() { way == Way::None } else { allowed.contains(&way) }, "{:x}: {:?} not of {:?}", addr, way, allowed);
        }
    }
}
