//! Routes and hardware addresses: where the frames of a scan go, settled before its first probe.
//!
//! ```text
//!  targets -> route_for: the kernel's routes (netlink) -> Route { interface, source, .. }
//!                                                            |
//!  targets -> resolve: the kernel's neighbours (netlink), then ARP for the rest -> NextHops
//!                                                                                     |
//!                                                            probe of `addr` <- NextHops::of(addr)
//! ```
//!
//! The kernel is asked for what it knows and told nothing: its routes and neighbours are the same afterwards. Targets on the
//! link itself are sent to directly, all others to their gateway. On loopback, on links without Ethernet and where the next
//! hop was given there is nothing to ask.
//!
//! Who asks for the hardware address of our own addresses is answered by the kernel, whose addresses they are.
//!
//! | file | is |
//! |---|---|
//! | `route.rs` | the interface, the source addresses, and what is refused |
//! | `kernel.rs` | what the kernel is asked about routes |
//! | `ways.rs` | the way of every target, by as few questions as its tables and rules allow |
//! | `resolver.rs` | who is asked when; no I/O, no clock |
//! | `arp.rs`, `ndp.rs` | whose answer counts |
//! | `table.rs` | [`NextHops`], the one part that is on the path of a probe |

mod address;
mod arp;
mod error;
mod kernel;
mod ndp;
mod resolver;
mod route;
mod table;
mod ways;

use std::{collections::HashMap, io, net::IpAddr, num::NonZeroU64};

use netlink_packet_route::{
    RouteNetlinkMessage,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
};

use self::{
    address::Address,
    resolver::{Poll, Resolver},
    route::Plan,
    table::{Hops, Leg},
    ways::{Way, Ways},
};
pub use self::{
    error::NeighbourError,
    route::{MAX_ON_LINK, Route, route_for},
    table::NextHops,
};
use crate::{
    governor::{Class, Governor, Rate},
    link::{LinkError, MAX_BATCH, Rx, Tx, sys::netlink::Netlink},
    target::Targets,
    template::{self, Ends},
    time::Clock,
    wire::{self, MacAddr, Network, Packet, Transport},
};

/// Most questions a second, whatever the rate of the scan: each ARP request is a broadcast that wakes every host of the link.
const MAX_RATE: NonZeroU64 = NonZeroU64::new(10_000).unwrap();

/// ARP and neighbour discovery frames of one [`resolve`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ArpCounts {
    /// Requests and solicitations that the link took.
    pub sent: u64,
    /// Requests and solicitations that the link did not take.
    pub dropped: u64,
    /// Frames of either protocol that it showed, answers to us or not.
    pub received: u64,
}

/// Finds the hardware address of every next hop of `targets` on `route`: from the kernel's neighbour table, and by ARP or
/// neighbour discovery for who is not in there. Waits, for each family, up to 4 s more than the rate makes it: three
/// questions, a second apart.
///
/// `ends` has the addresses of `route`. A host on the link that does not answer has no next hop afterwards:
/// [`NextHops::of`] says `None`.
///
/// # Errors
///
/// [`NeighbourError::Gateway`] when a gateway that is needed does not answer; [`NeighbourError::NoAddress`] when `ends` lacks
/// an address; [`NeighbourError::Link`] when the link fails.
pub fn resolve(
    targets: &Targets,
    route: &Route,
    ends: &Ends,
    rate: Rate,
    tx: &mut impl Tx,
    rx: &mut impl Rx,
    clock: &Clock,
) -> Result<(NextHops, ArpCounts), NeighbourError> {
    let mut wire = Wire {
        ends,
        governor: Governor::new(rate.capped(MAX_RATE)),
        tx,
        rx,
        clock,
        counts: ArpCounts::default(),
    };
    let v4 = half::<u32>(targets, route, route.v4.as_ref(), &mut wire)?;
    let v6 = half::<u128>(targets, route, route.v6.as_ref(), &mut wire)?;
    Ok((NextHops::new(v4, v6), wire.counts))
}

/// The next hops of one family.
fn half<A: Asks>(
    targets: &Targets,
    route: &Route,
    plan: Option<&Plan<A>>,
    wire: &mut Wire<'_, impl Tx, impl Rx>,
) -> Result<Hops<A>, NeighbourError> {
    let ways = match plan {
        None => return Ok(Hops::None),
        Some(Plan::Fixed(mac)) => return Ok(Hops::Single(*mac)),
        Some(Plan::Ask(ways)) => ways,
    };
    let interface = &route.interface;
    route::check_count(targets, ways, interface.name())?;
    let Some(source) = A::source(wire.ends) else {
        let interface = interface.name().to_owned();
        return Err(NeighbourError::NoAddress { interface, family: A::NAME });
    };
    let next = Needed::of(targets, ways);
    // The kernel's neighbours are those of the link without a tag.
    let known = match wire.ends.vlan {
        None => neighbours::<A>(interface.index())?,
        Some(_) => HashMap::new(),
    };
    let addrs = next.gateways.iter().chain(&next.hosts).copied();
    let mut resolver = Resolver::new(addrs.collect(), |addr| known.get(&addr).copied());
    wire.exchange(&mut resolver, source)?;
    for gateway in &next.gateways {
        if resolver.mac_of(*gateway).is_none() {
            return Err(NeighbourError::Gateway {
                addr: gateway.ip(),
                interface: interface.name().to_owned(),
            });
        }
    }
    Ok(next.hops(ways, &resolver))
}

/// Whose hardware addresses the targets need.
#[derive(Debug)]
struct Needed<A> {
    /// Each once.
    gateways: Vec<A>,
    /// Targets on the link.
    hosts: Vec<A>,
    /// Some targets have no next hop at all.
    some_have_none: bool,
}

impl<A: Address> Needed<A> {
    fn of(targets: &Targets, ways: &Ways<A>) -> Self {
        let mut needed = Self { gateways: Vec::new(), hosts: Vec::new(), some_have_none: false };
        for span in ways.meet(A::ranges(targets)) {
            match span.way {
                Way::Via(_, gateway) => {
                    // Ranges of one gateway are often neighbours, so the list stays short.
                    if needed.gateways.last() != Some(&gateway) {
                        needed.gateways.push(gateway);
                    }
                }
                Way::OnLink(_) => {
                    needed.hosts.extend((span.first.widen()..=span.last.widen()).map(A::narrow))
                }
                _ => needed.some_have_none = true,
            }
        }
        needed.gateways.sort_unstable();
        needed.gateways.dedup();
        needed
    }

    fn hops(&self, ways: &Ways<A>, resolver: &Resolver<A>) -> Hops<A> {
        if let ([gateway], [], false) = (&self.gateways[..], &self.hosts[..], self.some_have_none)
            && let Some(mac) = resolver.mac_of(*gateway)
        {
            return Hops::Single(mac);
        }
        let legs = ways.spans().iter().filter_map(|span| {
            let gateway = match span.way {
                Way::OnLink(_) => None,
                // A gateway that was not asked for is that of no target.
                Way::Via(_, gateway) => Some(resolver.mac_of(gateway)?),
                _ => return None,
            };
            Some(Leg { first: span.first, last: span.last, gateway })
        });
        let hosts = self.hosts.iter().filter_map(|host| Some((*host, resolver.mac_of(*host)?)));
        Hops::table(legs.collect(), hosts.collect::<Vec<_>>().into_iter())
    }
}

/// How a family asks for hardware addresses.
trait Asks: Address {
    /// Our address that asks.
    fn source(ends: &Ends) -> Option<Self>;
    /// Writes the question for `addr` into `slot`; returns the length of the frame.
    fn write(slot: &mut [u8], ends: &Ends, source: Self, addr: Self) -> u16;
    /// The address that a packet answers for, if it answers us.
    fn answer(packet: &Packet<'_>, ends: &Ends, source: Self) -> Option<(Self, MacAddr)>;
}

impl Asks for u32 {
    fn source(ends: &Ends) -> Option<Self> {
        ends.sources.v4.map(|addr| addr.to_bits())
    }

    fn write(slot: &mut [u8], ends: &Ends, _: Self, addr: Self) -> u16 {
        template::arp_request(slot, ends, addr.into())
    }

    fn answer(packet: &Packet<'_>, ends: &Ends, source: Self) -> Option<(Self, MacAddr)> {
        match &packet.network {
            Network::Arp(packet) => arp::answer(packet, source.into(), ends.source_mac),
            _ => None,
        }
    }
}

impl Asks for u128 {
    fn source(ends: &Ends) -> Option<Self> {
        ends.sources.v6.map(|addr| addr.to_bits())
    }

    fn write(slot: &mut [u8], ends: &Ends, source: Self, addr: Self) -> u16 {
        template::neighbour_solicitation(slot, ends, source.into(), addr.into())
    }

    fn answer(packet: &Packet<'_>, ends: &Ends, source: Self) -> Option<(Self, MacAddr)> {
        match &packet.network {
            Network::Ipv6(header, Transport::Icmpv6(message)) => {
                ndp::answer(packet, header, message, source.into(), ends.source_mac)
            }
            _ => None,
        }
    }
}

/// The link under the questions.
struct Wire<'a, T, R> {
    ends: &'a Ends,
    governor: Governor,
    tx: &'a mut T,
    rx: &'a mut R,
    clock: &'a Clock,
    counts: ArpCounts,
}

impl<T: Tx, R: Rx> Wire<'_, T, R> {
    /// Asks and listens until `resolver` has done.
    fn exchange<A: Asks>(
        &mut self,
        resolver: &mut Resolver<A>,
        source: A,
    ) -> Result<(), LinkError> {
        let mut lens = [0; MAX_BATCH];
        while resolver.unanswered() > 0 {
            let now = self.clock.now();
            let slots = self.tx.slots().min(MAX_BATCH) as u32;
            let tokens = self.governor.take(Class::Neighbour, slots, now);
            let mut filled = 0;
            let next = loop {
                if filled == tokens as usize {
                    break self.governor.ready_at(Class::Neighbour, 1);
                }
                match resolver.poll(now) {
                    Poll::Ask(addr) => {
                        lens[filled] = A::write(self.tx.frame(filled), self.ends, source, addr);
                        filled += 1;
                    }
                    Poll::Wait(until) => break until,
                    Poll::Done => return Ok(()),
                }
            };
            self.governor.put_back(Class::Neighbour, tokens - filled as u32);
            if filled > 0 {
                let batch = self.tx.send(&lens[..filled])?;
                self.counts.sent += u64::from(batch.sent);
                self.counts.dropped += u64::from(batch.dropped);
            }
            let (ends, counts) = (self.ends, &mut self.counts);
            self.rx.receive(next.since(self.clock.now()), |frame| {
                if let Ok(packet) = wire::parse(frame.bytes, ends.layer) {
                    counts.received += u64::from(is_of_neighbours(&packet));
                    if let Some((addr, mac)) = A::answer(&packet, ends, source) {
                        resolver.answer(addr, mac);
                    }
                }
            })?;
        }
        Ok(())
    }
}

/// Whether a packet is of ARP or neighbour discovery.
fn is_of_neighbours(packet: &Packet<'_>) -> bool {
    match &packet.network {
        Network::Arp(_) => true,
        Network::Ipv6(_, Transport::Icmpv6(message)) => ndp::is_discovery(message),
        _ => false,
    }
}

/// Whom the kernel knows on an interface (RTM_GETNEIGH).
fn neighbours<A: Address>(interface: u32) -> Result<HashMap<A, MacAddr>, LinkError> {
    let asking =
        |source: io::Error| LinkError::Io { what: "asking the kernel for its neighbours", source };
    let mut question = NeighbourMessage::default();
    question.header.family = A::FAMILY;
    let mut netlink = Netlink::open().map_err(asking)?;
    let neighbour = |message| match message {
        RouteNetlinkMessage::NewNeighbour(message) if message.header.ifindex == interface => {
            known(&message)
        }
        _ => None,
    };
    let question = RouteNetlinkMessage::GetNeighbour(question);
    Ok(netlink.dump(&question, neighbour).map_err(asking)?.into_iter().collect())
}

/// A neighbour whose hardware address the kernel holds for true. One that it would have to ask again (stale, delay, probe) is
/// asked by us: a scan does not last long enough to be told otherwise.
fn known<A: Address>(message: &NeighbourMessage) -> Option<(A, MacAddr)> {
    match message.header.state {
        NeighbourState::Reachable | NeighbourState::Permanent | NeighbourState::Noarp => {}
        _ => return None,
    }
    let (mut addr, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(inet)) => {
                addr = A::of(IpAddr::V4(*inet));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(inet)) => {
                addr = A::of(IpAddr::V6(*inet));
            }
            NeighbourAttribute::LinkLayerAddress(octets) => {
                mac = octets.as_slice().try_into().ok().map(MacAddr);
            }
            _ => {}
        }
    }
    Some((addr?, mac.filter(|mac| arp::is_unicast(*mac))?))
}

#[cfg(test)]
mod tests;
