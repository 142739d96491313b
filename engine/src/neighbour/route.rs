//! The interface, source addresses and next hops of a scan, as the kernel would choose them.
//!
//! The kernel is asked for the route of one target of each family, and which source address it would take. With that address
//! it is then asked for every cell of addresses that has targets (see [`ways`](super::ways)), so that rules that look at the
//! source count too; and, where the source address was the kernel's choice, whether it would choose the same for that cell.
//! Nothing is sent.

use std::net::{IpAddr, Ipv6Addr};

use crate::{
    link::{LinkError, interface::Interface, sys::netlink::Netlink},
    sources::Sources,
    target::Targets,
    wire::MacAddr,
};

use super::{
    NeighbourError,
    address::Address,
    kernel::{Asker, Tables, asking},
    ways::{Way, Ways},
};

/// Most hosts of a link that are asked for their hardware addresses, of each family.
pub const MAX_ON_LINK: u64 = 1 << 20;

/// The way from this machine to the targets of a scan, as it was when [`route_for`] looked.
#[derive(Clone, Debug)]
pub struct Route {
    /// The interface that all probes leave by.
    pub interface: Interface,
    /// Their source addresses: one of each family that has targets.
    pub sources: Sources,
    pub(super) v4: Option<Plan<u32>>,
    pub(super) v6: Option<Plan<u128>>,
}

/// How the hardware addresses of one family are found.
#[derive(Clone, Debug)]
pub(super) enum Plan<A> {
    /// There is but one, or the link has none.
    Fixed(MacAddr),
    /// By ARP or neighbour discovery.
    Ask(Ways<A>),
}

/// Finds the way to `targets`: by the kernel's rules and routes, narrowed by the name of an interface and by the source
/// addresses of `wish`, as those of a socket would be that is bound to them.
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
    wish: Sources,
    gateway_mac: Option<MacAddr>,
) -> Result<Route, NeighbourError> {
    if let (None, Some(addr)) = (interface, first_link_local(targets)) {
        return Err(NeighbourError::LinkLocal { addr });
    }
    let named = interface.map(Interface::by_name).transpose()?;
    let named = named.as_ref();
    let v4 = half_for(targets, named, wish.v4.map(|addr| addr.to_bits()), gateway_mac)?;
    let v6 = half_for(targets, named, wish.v6.map(|addr| addr.to_bits()), gateway_mac)?;
    let interface = match (&v4, &v6) {
        (Some(v4), Some(v6)) if v4.interface.index() != v6.interface.index() => {
            return Err(NeighbourError::TwoInterfaces {
                v4: v4.interface.name().to_owned(),
                v6: v6.interface.name().to_owned(),
            });
        }
        (Some(half), _) => half.interface.clone(),
        (None, Some(half)) => half.interface.clone(),
        (None, None) => return Err(NeighbourError::NoTargets),
    };
    let sources = Sources {
        v4: v4.as_ref().map(|half| half.source.into()),
        v6: v6.as_ref().map(|half| half.source.into()),
    };
    Ok(Route { interface, sources, v4: v4.map(|half| half.plan), v6: v6.map(|half| half.plan) })
}

/// Whether an address is one of IPv6 that no router takes beyond its link.
fn is_link_local(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V6(addr) if addr.is_unicast_link_local())
}

/// The first target that means another host on each link: fe80::/10 (RFC 4291, section 2.5.6).
fn first_link_local(targets: &Targets) -> Option<IpAddr> {
    const FIRST: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
    let first = targets.v6_ranges().find(|(_, last)| *last >= FIRST)?.0.max(FIRST);
    first.is_unicast_link_local().then_some(first.into())
}

/// The way to the targets of one family.
#[derive(Debug)]
struct Half<A> {
    interface: Interface,
    source: A,
    plan: Plan<A>,
}

/// `None` without targets of the family.
fn half_for<A: Address>(
    targets: &Targets,
    named: Option<&Interface>,
    wish: Option<A>,
    gateway_mac: Option<MacAddr>,
) -> Result<Option<Half<A>>, NeighbourError> {
    let Some((target, _)) = A::ranges(targets).next() else { return Ok(None) };
    if let Some(named) = named {
        check_usable(named, wish)?;
    }
    if let (Some(interface), Some(mac)) = (named, gateway_mac) {
        let source = source_of(interface, wish, None, target)?;
        return Ok(Some(Half { interface: interface.clone(), source, plan: Plan::Fixed(mac) }));
    }
    if let (None, Some(source)) = (named, wish) {
        check_own(source)?;
    }

    let mut netlink = Netlink::open().map_err(asking)?;
    let tables = Tables::<A>::read(&mut netlink)?;
    if let (Some(priority), None) = (tables.port_rule, named) {
        return Err(NeighbourError::PortRule { priority });
    }
    let first = first_abroad(targets, &tables).unwrap_or(target);
    let bound_to = named.map(Interface::index);
    let asker = Asker { bound_to, source: wish };
    let answer = asker.choose(&mut netlink, first)?;
    let is_over_loopback = first.ip().is_loopback() || named.is_some_and(Interface::is_loopback);
    match answer.way {
        Way::OnLink(_) | Way::Via(..) | Way::ViaV6(_) => {}
        Way::Own if is_over_loopback => {}
        Way::Own => return Err(NeighbourError::Own { addr: first.ip() }),
        Way::Group => {
            let kind = if first.ip().is_multicast() { "multicast" } else { "broadcast" };
            return Err(NeighbourError::Refused { addr: first.ip(), kind });
        }
        Way::Refused(kind) => return Err(NeighbourError::Refused { addr: first.ip(), kind }),
        Way::None => return Err(lost(&mut netlink, first, named)?),
    }
    let interface = match (named, answer.interface) {
        (Some(named), _) => named.clone(),
        (None, Some(index)) => Interface::by_index(index)?,
        (None, None) => return Err(NeighbourError::NoRoute { addr: first.ip() }),
    };
    check_usable(&interface, wish)?;
    let source = source_of(&interface, wish, answer.source, first)?;
    // The kernel would send from it, and the gateway throw it away (RFC 4291, section 2.5.6).
    if wish.is_none() && matches!(answer.way, Way::Via(..)) && is_link_local(source.ip()) {
        return Err(no_address::<A>(&interface));
    }
    if let Some(mac) = gateway_mac {
        return Ok(Some(Half { interface, source, plan: Plan::Fixed(mac) }));
    }

    let index = interface.index();
    let asker = Asker { bound_to, source: Some(source) };
    let free = Asker { bound_to, source: None };
    let mut elsewhence = None;
    let cells = tables.cells.cut_at(A::source_bounds(&interface).into_iter());
    let ways = Ways::of(A::ranges(targets), &cells, |first, last| {
        // A socket that is bound to one interface may send to the address of another, but what for?
        let local = tables.local(first);
        if first.is_group() || bound_to.is_some() && local != Way::None {
            return Ok(local);
        }
        let way = asker.way(&mut netlink, index, (first, last))?;
        if wish.is_none() && elsewhence.is_none() && way.interface() == Some(index) {
            let answer = free.choose(&mut netlink, first)?;
            // Of a route with several next hops it may have taken that of another interface, whose address says nothing.
            let other = answer.source.filter(|_| answer.way.interface() == Some(index));
            elsewhence = other.filter(|other| *other != source).map(|other| (first, other));
        }
        Ok::<_, NeighbourError>(way)
    })?;
    check_ways(targets, &ways, &mut netlink, &interface)?;
    if let Some((addr, other)) = elsewhence {
        return Err(NeighbourError::TwoSources {
            first: first.ip(),
            source_address: source.ip(),
            addr: addr.ip(),
            other: other.ip(),
        });
    }
    let plan = if interface.uses_arp() { Plan::Ask(ways) } else { Plan::Fixed(MacAddr::ZERO) };
    Ok(Some(Half { interface, source, plan }))
}

/// Refuses an interface that is switched off (which has no routes, so the kernel's own word would mislead) or has not got
/// the source address.
fn check_usable<A: Address>(interface: &Interface, wish: Option<A>) -> Result<(), NeighbourError> {
    let name = interface.name();
    if !interface.is_up() {
        let why = format!(
            "is down: switch it on with `ip link set {name} up`, or choose another with -i"
        );
        return Err(LinkError::Unusable { name: name.to_owned(), why }.into());
    }
    let own = A::all_of(interface);
    if own.is_empty() {
        return Err(no_address::<A>(interface));
    }
    // All of 127.0.0.0/8 is ours, though only its first is listed.
    let has =
        |source: A| own.contains(&source) || (interface.is_loopback() && source.ip().is_loopback());
    match wish {
        Some(source) if !has(source) => Err(NeighbourError::SourceElsewhere {
            source_address: source.ip(),
            interface: name.to_owned(),
            known: own.iter().map(|addr| addr.ip().to_string()).collect::<Vec<_>>().join(", "),
        }),
        _ => Ok(()),
    }
}

/// The source address: the one asked for, or the one the kernel prefers, or the best of the interface.
fn source_of<A: Address>(
    interface: &Interface,
    wish: Option<A>,
    preferred: Option<A>,
    to: A,
) -> Result<A, NeighbourError> {
    let source = wish.or(preferred).or_else(|| A::best_of(interface, to));
    source.ok_or_else(|| no_address::<A>(interface))
}

fn no_address<A: Address>(interface: &Interface) -> NeighbourError {
    NeighbourError::NoAddress { interface: interface.name().to_owned(), family: A::NAME }
}

/// Refuses a source address that no interface has; the kernel would only say that something is invalid.
fn check_own<A: Address>(source: A) -> Result<(), NeighbourError> {
    let has = |interface: &Interface| A::all_of(interface).contains(&source);
    if source.ip().is_loopback() || Interface::list()?.iter().any(has) {
        Ok(())
    } else {
        Err(NeighbourError::NoSource { source_address: source.ip() })
    }
}

/// The first target that is not this machine, a broadcast or a multicast address.
fn first_abroad<A: Address>(targets: &Targets, tables: &Tables<A>) -> Option<A> {
    let local = |addr, _| Ok::<_, std::convert::Infallible>(tables.local(addr));
    let Ok(ways) = Ways::of(A::ranges(targets), &tables.cells, local);
    ways.meet(A::ranges(targets)).find(|span| span.way == Way::None).map(|span| span.first)
}

/// Why there is no way to `addr`, where a socket that is not bound to an interface may have one.
fn lost<A: Address>(
    netlink: &mut Netlink,
    addr: A,
    interface: Option<&Interface>,
) -> Result<NeighbourError, NeighbourError> {
    let Some(interface) = interface else {
        return Ok(NeighbourError::NoRoute { addr: addr.ip() });
    };
    let unbound = Asker { bound_to: None, source: None };
    let answer = unbound.choose(netlink, addr)?;
    Ok(match (answer.way, answer.way.interface()) {
        (Way::Refused(kind), _) => NeighbourError::Refused { addr: addr.ip(), kind },
        (_, Some(index)) if index != interface.index() => elsewhere(addr, index, interface),
        _ => NeighbourError::NoRouteBy { addr: addr.ip(), interface: interface.name().to_owned() },
    })
}

/// Refuses targets that do not leave by `interface`, and more hosts on its link than are asked for.
fn check_ways<A: Address>(
    targets: &Targets,
    ways: &Ways<A>,
    netlink: &mut Netlink,
    interface: &Interface,
) -> Result<(), NeighbourError> {
    for span in ways.meet(A::ranges(targets)) {
        let addr = span.first;
        match span.way {
            Way::Own | Way::Group => {}
            Way::Refused(kind) => return Err(NeighbourError::Refused { addr: addr.ip(), kind }),
            Way::ViaV6(index) if index == interface.index() && interface.uses_arp() => {
                return Err(NeighbourError::V6Gateway {
                    addr: addr.ip(),
                    interface: interface.name().to_owned(),
                });
            }
            Way::OnLink(index) | Way::Via(index, _) | Way::ViaV6(index)
                if index == interface.index() => {}
            Way::OnLink(index) | Way::Via(index, _) | Way::ViaV6(index) => {
                return Err(elsewhere(addr, index, interface));
            }
            Way::None => return Err(lost(netlink, addr, Some(interface))?),
        }
    }
    if interface.uses_arp() { check_count(targets, ways, interface.name()) } else { Ok(()) }
}

/// Refuses more hosts on one link than are asked for.
pub(super) fn check_count<A: Address>(
    targets: &Targets,
    ways: &Ways<A>,
    interface: &str,
) -> Result<(), NeighbourError> {
    let on_link = ways.meet(A::ranges(targets)).filter(|span| matches!(span.way, Way::OnLink(_)));
    let hosts = on_link.fold(0_u128, |hosts, span| {
        hosts.saturating_add(span.last.widen() - span.first.widen()).saturating_add(1)
    });
    if hosts > MAX_ON_LINK.into() {
        return Err(NeighbourError::TooMany {
            hosts,
            most: MAX_ON_LINK,
            interface: interface.to_owned(),
        });
    }
    Ok(())
}

fn elsewhere<A: Address>(addr: A, other: u32, interface: &Interface) -> NeighbourError {
    let other = Interface::by_index(other)
        .map_or_else(|_| format!("number {other}"), |other| other.name().to_owned());
    NeighbourError::Elsewhere { addr: addr.ip(), other, interface: interface.name().to_owned() }
}
