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
//! | file | is |
//! |---|---|
//! | `route.rs` | what the kernel says of routes |
//! | `ways.rs` | the way of every address, from a dump of routes |
//! | `arp.rs` | who is asked when, and whose answer counts; no I/O, no clock |
//! | `table.rs` | [`NextHops`], the one part that is on the path of a probe |

mod arp;
mod error;
mod route;
mod table;
mod ways;

use std::{collections::HashMap, io, net::Ipv4Addr, num::NonZeroU64};

use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
};

use self::{
    arp::{Answer, Poll, Resolver, is_unicast},
    route::Plan,
    table::Leg,
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
    wire::{self, MacAddr, Network},
};

/// Most ARP requests a second, whatever the rate of the scan: each is a broadcast that wakes every host of the link.
const MAX_RATE: NonZeroU64 = NonZeroU64::new(10_000).unwrap();

/// ARP frames of one [`resolve`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ArpCounts {
    /// Requests that the link took.
    pub sent: u64,
    /// Requests that the link did not take.
    pub dropped: u64,
    /// ARP frames that it showed, answers to us or not.
    pub received: u64,
}

/// Finds the hardware address of every next hop of `targets` on `route`: from the kernel's neighbour table, and by ARP for
/// who is not in there. Waits up to 4 s more than the rate makes it: three questions, a second apart.
///
/// A host on the link that does not answer has no next hop afterwards: [`NextHops::of`] says `None`.
///
/// # Errors
///
/// [`NeighbourError::Gateway`] when a gateway that is needed does not answer; [`NeighbourError::Link`] when the link fails.
pub fn resolve(
    targets: &Targets,
    route: &Route,
    ends: &Ends,
    rate: Rate,
    tx: &mut impl Tx,
    rx: &mut impl Rx,
    clock: &Clock,
) -> Result<(NextHops, ArpCounts), NeighbourError> {
    let ways = match &route.plan {
        Plan::Fixed(mac) => return Ok((NextHops::single(*mac), ArpCounts::default())),
        Plan::Ask(ways) => ways,
    };
    route::check_count(targets, ways, route.interface.name())?;
    let next = Needed::of(targets, ways);
    // The kernel's neighbours are those of the link without a tag.
    let known =
        if ends.vlan.is_none() { neighbours(route.interface.index())? } else { HashMap::new() };
    let addrs =
        next.gateways.iter().map(|gateway| gateway.to_bits()).chain(next.hosts.iter().copied());
    let mut resolver = Resolver::new(route.source, ends.source_mac, addrs.collect(), |addr| {
        known.get(&addr).copied()
    });
    let counts = exchange(&mut resolver, ends, rate, tx, rx, clock)?;
    for gateway in &next.gateways {
        if resolver.mac_of(*gateway).is_none() {
            return Err(NeighbourError::Gateway {
                addr: *gateway,
                interface: route.interface.name().to_owned(),
            });
        }
    }
    Ok((next.hops(ways, &resolver), counts))
}

/// Whose hardware addresses the targets need.
#[derive(Debug)]
struct Needed {
    /// Each once.
    gateways: Vec<Ipv4Addr>,
    /// Targets on the link.
    hosts: Vec<u32>,
    /// Some targets have no next hop at all.
    some_have_none: bool,
}

impl Needed {
    fn of(targets: &Targets, ways: &Ways) -> Self {
        let mut needed = Self { gateways: Vec::new(), hosts: Vec::new(), some_have_none: false };
        for span in ways.meet(targets.v4_ranges()) {
            match span.way {
                Way::Via(_, gateway) => {
                    // Ranges of one gateway are often neighbours, so the list stays short.
                    if needed.gateways.last() != Some(&gateway) {
                        needed.gateways.push(gateway);
                    }
                }
                Way::OnLink(_) => needed.hosts.extend(span.first..=span.last),
                _ => needed.some_have_none = true,
            }
        }
        needed.gateways.sort_unstable();
        needed.gateways.dedup();
        needed
    }

    fn hops(&self, ways: &Ways, resolver: &Resolver) -> NextHops {
        if let ([gateway], [], false) = (&self.gateways[..], &self.hosts[..], self.some_have_none)
            && let Some(mac) = resolver.mac_of(*gateway)
        {
            return NextHops::single(mac);
        }
        let legs = ways.spans().iter().filter_map(|span| match span.way {
            Way::OnLink(_) => Some(Leg { first: span.first, last: span.last, gateway: None }),
            // A gateway that was not asked for is that of no target.
            Way::Via(_, gateway) => Some(Leg {
                first: span.first,
                last: span.last,
                gateway: Some(resolver.mac_of(gateway)?),
            }),
            _ => None,
        });
        let hosts = self.hosts.iter().filter_map(|host| {
            let host = Ipv4Addr::from_bits(*host);
            Some((host, resolver.mac_of(host)?))
        });
        NextHops::table(legs.collect(), hosts.collect::<Vec<_>>().into_iter())
    }
}

/// Asks and listens until `resolver` has done.
fn exchange(
    resolver: &mut Resolver,
    ends: &Ends,
    rate: Rate,
    tx: &mut impl Tx,
    rx: &mut impl Rx,
    clock: &Clock,
) -> Result<ArpCounts, LinkError> {
    let governor = Governor::new(rate.capped(MAX_RATE));
    let mut counts = ArpCounts::default();
    let mut lens = [0; MAX_BATCH];
    while resolver.unanswered() > 0 {
        let now = clock.now();
        let tokens = governor.take(Class::Neighbour, tx.slots().min(MAX_BATCH) as u32, now);
        let mut filled = 0;
        let next = loop {
            if filled == tokens as usize {
                break governor.ready_at(Class::Neighbour, 1);
            }
            match resolver.poll(now) {
                Poll::Ask(addr) => {
                    lens[filled] = template::arp_request(tx.frame(filled), ends, addr);
                    filled += 1;
                }
                Poll::Wait(until) => break until,
                Poll::Done => return Ok(counts),
            }
        };
        governor.put_back(Class::Neighbour, tokens - filled as u32);
        if filled > 0 {
            let batch = tx.send(&lens[..filled])?;
            counts.sent += u64::from(batch.sent);
            counts.dropped += u64::from(batch.dropped);
        }
        rx.receive(next.since(clock.now()), |frame| {
            if let Ok(packet) = wire::parse(frame.bytes, ends.layer)
                && let Network::Arp(arp) = packet.network
            {
                counts.received += 1;
                if arp.is_reply() {
                    resolver.answer(&Answer {
                        sender: arp.sender(),
                        sender_mac: arp.sender_mac(),
                        target: arp.target(),
                        target_mac: arp.target_mac(),
                    });
                }
            }
        })?;
    }
    Ok(counts)
}

/// Whom the kernel knows on an interface (RTM_GETNEIGH).
fn neighbours(interface: u32) -> Result<HashMap<Ipv4Addr, MacAddr>, LinkError> {
    let asking =
        |source: io::Error| LinkError::Io { what: "asking the kernel for its neighbours", source };
    let mut question = NeighbourMessage::default();
    question.header.family = AddressFamily::Inet;
    let mut netlink = Netlink::open().map_err(asking)?;
    let messages = netlink.dump(&RouteNetlinkMessage::GetNeighbour(question)).map_err(asking)?;
    let neighbour = |message: &RouteNetlinkMessage| match message {
        RouteNetlinkMessage::NewNeighbour(message) if message.header.ifindex == interface => {
            known(message)
        }
        _ => None,
    };
    Ok(messages.iter().filter_map(neighbour).collect())
}

/// A neighbour whose hardware address the kernel holds for true. One that it would have to ask again (stale, delay, probe) is
/// asked by us: a scan does not last long enough to be told otherwise.
fn known(message: &NeighbourMessage) -> Option<(Ipv4Addr, MacAddr)> {
    match message.header.state {
        NeighbourState::Reachable | NeighbourState::Permanent | NeighbourState::Noarp => {}
        _ => return None,
    }
    let (mut addr, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(inet)) => addr = Some(*inet),
            NeighbourAttribute::LinkLayerAddress(octets) => {
                mac = octets.as_slice().try_into().ok().map(MacAddr)
            }
            _ => {}
        }
    }
    Some((addr?, mac.filter(|mac| is_unicast(*mac))?))
}

#[cfg(test)]
mod tests;
