//! The interface, source address and next hops of a scan, as the kernel would choose them (rtnetlink(7)).
//!
//! The kernel is asked for the route of one target. Its routes, dumped, say which other targets go the same way, over which
//! gateways, and which hosts are on the link itself. Nothing is sent.

use std::{io, net::Ipv4Addr};

use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteType},
};

use super::{
    NeighbourError,
    ways::{DEFAULT_TABLE, LOCAL_TABLE, MAIN_TABLE, Prefer, Way, Ways, table_of},
};
use crate::{
    link::{LinkError, interface::Interface, sys::netlink::Netlink},
    target::Targets,
    wire::MacAddr,
};

/// Most hosts of a link that are asked for their hardware addresses.
pub const MAX_ON_LINK: u64 = 1 << 20;

/// The way from this machine to the targets of a scan, as it was when [`route_for`] looked.
#[derive(Clone, Debug)]
pub struct Route {
    /// The interface that all probes leave by.
    pub interface: Interface,
    /// Their source address.
    pub source: Ipv4Addr,
    pub(super) plan: Plan,
}

/// How hardware addresses are found.
#[derive(Clone, Debug)]
pub(super) enum Plan {
    /// There is but one, or the link has none.
    Fixed(MacAddr),
    /// By ARP.
    Ask(Ways),
}

/// Finds the way to `targets`: by the kernel's routes, narrowed by the name of an interface and a source address.
///
/// With `gateway_mac` every frame goes to that address, and with an interface beside it no route is asked for. A target that
/// is an address of this machine, or a broadcast or multicast address, has no next hop ([`NextHops::of`]) unless the scan
/// goes over loopback.
///
/// [`NextHops::of`]: super::NextHops::of
///
/// # Errors
///
/// [`NeighbourError`], whose texts say what to do. All targets are looked at, so that none fails later for want of a route.
pub fn route_for(
    targets: &Targets,
    interface: Option<&str>,
    source: Option<Ipv4Addr>,
    gateway_mac: Option<MacAddr>,
) -> Result<Route, NeighbourError> {
    let named = interface.map(Interface::by_name).transpose()?;
    if let Some(named) = &named {
        check_usable(named, source)?;
    }
    if let (Some(interface), Some(mac)) = (&named, gateway_mac) {
        let source = source_of(interface, source, None)?;
        return Ok(Route { interface: interface.clone(), source, plan: Plan::Fixed(mac) });
    }
    if let (None, Some(source)) = (&named, source) {
        check_own(source)?;
    }

    let mut netlink = Netlink::open().map_err(asking)?;
    let routes = dump(&mut netlink).map_err(asking)?;
    let first = first_abroad(targets, &routes)?;
    let answer = look_up(&mut netlink, first, named.as_ref(), source)?;
    let over_loopback = first.is_loopback() || named.as_ref().is_some_and(Interface::is_loopback);
    match answer.kind {
        RouteType::Unicast => {}
        RouteType::Local if over_loopback => {}
        RouteType::Local => return Err(NeighbourError::Own { addr: first }),
        RouteType::Broadcast => {
            return Err(NeighbourError::Refused { addr: first, kind: "broadcast" });
        }
        RouteType::Multicast => {
            return Err(NeighbourError::Refused { addr: first, kind: "multicast" });
        }
        _ => return Err(NeighbourError::Refused { addr: first, kind: "unknown to this program" }),
    }
    let is_named = named.is_some();
    let interface = match named {
        Some(named) => named,
        None => {
            Interface::by_index(answer.interface.ok_or(NeighbourError::NoRoute { addr: first })?)?
        }
    };
    check_usable(&interface, source)?;
    let source = source_of(&interface, source, answer.source)?;
    if let Some(mac) = gateway_mac {
        return Ok(Route { interface, source, plan: Plan::Fixed(mac) });
    }

    let prefer = if is_named {
        Prefer::Only(interface.index())
    } else {
        Prefer::Interface(interface.index())
    };
    let mut tables = vec![LOCAL_TABLE, MAIN_TABLE, DEFAULT_TABLE];
    if !tables.contains(&answer.table) {
        tables.insert(1, answer.table); // a rule of the machine (`ip rule`) sends the scan there
    }
    let ways = Ways::of(&routes, &tables, prefer);
    check_ways(targets, &routes, &ways, &interface)?;
    let plan = if interface.uses_arp() { Plan::Ask(ways) } else { Plan::Fixed(MacAddr::ZERO) };
    Ok(Route { interface, source, plan })
}

/// Refuses an interface that is switched off (which has no routes, so the kernel's own word would mislead) or has not got
/// the source address.
fn check_usable(interface: &Interface, source: Option<Ipv4Addr>) -> Result<(), NeighbourError> {
    let name = interface.name();
    if !interface.is_up() {
        let why = format!(
            "is down: switch it on with `ip link set {name} up`, or choose another with -i"
        );
        return Err(LinkError::Unusable { name: name.to_owned(), why }.into());
    }
    if interface.v4().is_empty() {
        return Err(NeighbourError::NoAddress { interface: name.to_owned() });
    }
    // All of 127.0.0.0/8 is ours, though only its first is listed.
    let has = |source: Ipv4Addr| {
        interface.v4().iter().any(|(addr, _)| *addr == source)
            || (interface.is_loopback() && source.is_loopback())
    };
    match source {
        Some(source) if !has(source) => Err(NeighbourError::SourceElsewhere {
            source_address: source,
            interface: name.to_owned(),
            known: interface
                .v4()
                .iter()
                .map(|(addr, _)| addr.to_string())
                .collect::<Vec<_>>()
                .join(", "),
        }),
        _ => Ok(()),
    }
}

/// The source address: the one asked for, or the one the kernel prefers, or the first of the interface.
fn source_of(
    interface: &Interface,
    source: Option<Ipv4Addr>,
    preferred: Option<Ipv4Addr>,
) -> Result<Ipv4Addr, NeighbourError> {
    let first = || interface.v4().first().map(|(addr, _)| *addr);
    let source = source.or(preferred).or_else(first);
    source.ok_or_else(|| NeighbourError::NoAddress { interface: interface.name().to_owned() })
}

/// Refuses a source address that no interface has; the kernel would only say that something is invalid.
fn check_own(source: Ipv4Addr) -> Result<(), NeighbourError> {
    let has = |interface: &Interface| interface.v4().iter().any(|(addr, _)| *addr == source);
    if source.is_loopback() || Interface::list()?.iter().any(has) {
        Ok(())
    } else {
        Err(NeighbourError::NoSource { source_address: source })
    }
}

/// The first target that is not this machine, a broadcast or a multicast address; the first of all if there is no other.
fn first_abroad(targets: &Targets, routes: &[RouteMessage]) -> Result<Ipv4Addr, NeighbourError> {
    let local = Ways::of(routes, &[LOCAL_TABLE], Prefer::Interface(0));
    let abroad =
        local.meet(targets.v4_ranges()).find(|span| !matches!(span.way, Way::Own | Way::Group));
    let abroad = abroad.map(|span| Ipv4Addr::from_bits(span.first));
    abroad
        .or_else(|| targets.v4_ranges().next().map(|(first, _)| first))
        .ok_or(NeighbourError::NoTargets)
}

/// What the kernel would do with a packet.
#[derive(Debug)]
struct Answer {
    kind: RouteType,
    interface: Option<u32>,
    source: Option<Ipv4Addr>,
    table: u32,
}

fn look_up(
    netlink: &mut Netlink,
    addr: Ipv4Addr,
    interface: Option<&Interface>,
    source: Option<Ipv4Addr>,
) -> Result<Answer, NeighbourError> {
    let mut question = RouteMessage::default();
    question.header.address_family = AddressFamily::Inet;
    question.header.destination_prefix_length = 32;
    question.header.flags = RouteFlags::LookupTable; // or the answer claims the main table
    question.attributes.push(RouteAttribute::Destination(addr.into()));
    if let Some(interface) = interface {
        question.attributes.push(RouteAttribute::Oif(interface.index()));
    }
    if let Some(source) = source {
        question.header.source_prefix_length = 32;
        question.attributes.push(RouteAttribute::Source(source.into()));
    }
    let messages = netlink.ask(RouteNetlinkMessage::GetRoute(question)).map_err(|error| {
        match error.raw_os_error() {
            Some(libc::ENETUNREACH) => no_route(addr, interface),
            // How fib_lookup(9) answers for each type of route that refuses.
            Some(libc::EHOSTUNREACH) => NeighbourError::Refused { addr, kind: "unreachable" },
            Some(libc::EACCES) => NeighbourError::Refused { addr, kind: "prohibit" },
            Some(libc::EINVAL) => NeighbourError::Refused { addr, kind: "blackhole" },
            _ => asking(error),
        }
    })?;
    let route = messages.into_iter().find_map(|message| match message {
        RouteNetlinkMessage::NewRoute(route) => Some(route),
        _ => None,
    });
    let route = route.ok_or_else(|| no_route(addr, interface))?;
    let mut answer =
        Answer { kind: route.header.kind, interface: None, source: None, table: table_of(&route) };
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(index) => answer.interface = Some(*index),
            RouteAttribute::PrefSource(RouteAddress::Inet(addr)) => answer.source = Some(*addr),
            _ => {}
        }
    }
    Ok(answer)
}

fn no_route(addr: Ipv4Addr, interface: Option<&Interface>) -> NeighbourError {
    match interface {
        Some(interface) => {
            NeighbourError::NoRouteBy { addr, interface: interface.name().to_owned() }
        }
        None => NeighbourError::NoRoute { addr },
    }
}

fn dump(netlink: &mut Netlink) -> io::Result<Vec<RouteMessage>> {
    let mut question = RouteMessage::default();
    question.header.address_family = AddressFamily::Inet;
    let messages = netlink.dump(&RouteNetlinkMessage::GetRoute(question))?;
    let route = |message| match message {
        RouteNetlinkMessage::NewRoute(route) => Some(route),
        _ => None,
    };
    Ok(messages.into_iter().filter_map(route).collect())
}

/// Refuses targets that do not leave by `interface`, and more hosts on its link than are asked for.
fn check_ways(
    targets: &Targets,
    routes: &[RouteMessage],
    ways: &Ways,
    interface: &Interface,
) -> Result<(), NeighbourError> {
    for span in ways.meet(targets.v4_ranges()) {
        let addr = Ipv4Addr::from_bits(span.first);
        match span.way {
            Way::Own | Way::Group => {}
            Way::Refused(kind) => return Err(NeighbourError::Refused { addr, kind }),
            Way::ViaV6(index) if index == interface.index() && interface.uses_arp() => {
                return Err(NeighbourError::V6Gateway {
                    addr,
                    interface: interface.name().to_owned(),
                });
            }
            Way::OnLink(index) | Way::Via(index, _) | Way::ViaV6(index)
                if index == interface.index() => {}
            Way::OnLink(index) | Way::Via(index, _) | Way::ViaV6(index) => {
                return Err(elsewhere(addr, index, interface));
            }
            Way::None => {
                // Where the routes of one interface were looked at, those of another may lead there.
                let all = Ways::of(
                    routes,
                    &[LOCAL_TABLE, MAIN_TABLE, DEFAULT_TABLE],
                    Prefer::Interface(0),
                );
                return Err(match all.way(addr).interface() {
                    Some(index) if index != interface.index() => elsewhere(addr, index, interface),
                    _ => no_route(addr, Some(interface)),
                });
            }
        }
    }
    if interface.uses_arp() { check_count(targets, ways, interface.name()) } else { Ok(()) }
}

/// Refuses more hosts on one link than are asked for.
pub(super) fn check_count(
    targets: &Targets,
    ways: &Ways,
    interface: &str,
) -> Result<(), NeighbourError> {
    let on_link = ways.meet(targets.v4_ranges()).filter(|span| matches!(span.way, Way::OnLink(_)));
    let hosts = on_link.map(|span| u64::from(span.last - span.first) + 1).sum::<u64>();
    if hosts > MAX_ON_LINK {
        return Err(NeighbourError::TooMany {
            hosts,
            most: MAX_ON_LINK,
            interface: interface.to_owned(),
        });
    }
    Ok(())
}

fn elsewhere(addr: Ipv4Addr, other: u32, interface: &Interface) -> NeighbourError {
    let other = Interface::by_index(other)
        .map_or_else(|_| format!("number {other}"), |other| other.name().to_owned());
    NeighbourError::Elsewhere { addr, other, interface: interface.name().to_owned() }
}

fn asking(source: io::Error) -> NeighbourError {
    LinkError::Io { what: "asking the kernel for its routes", source }.into()
}
