//! Which way the kernel's routes send each IPv4 address: longest prefix first, then the lowest metric.
//!
//! The routes are painted over one another, the least specific first, until each address has the one that the kernel would
//! take. What is left is a list of disjoint ranges, so millions of target ranges are matched in one walk over both.

use std::{cmp::Reverse, collections::BTreeMap, net::Ipv4Addr};

use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteNextHopFlags, RouteType, RouteVia,
};

/// The table of this machine's own addresses (RT_TABLE_LOCAL), which is asked before all others.
pub(super) const LOCAL_TABLE: u32 = 255;
/// The table that `ip route` shows (RT_TABLE_MAIN).
pub(super) const MAIN_TABLE: u32 = 254;
/// The table after it (RT_TABLE_DEFAULT), empty as a rule.
pub(super) const DEFAULT_TABLE: u32 = 253;

/// What becomes of a packet to some address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// No route leads there.
    None,
    /// The host is on the link of this interface.
    OnLink(u32),
    /// An interface and the gateway on its link.
    Via(u32, Ipv4Addr),
    /// As [`Way::Via`], with a gateway that has an IPv6 address.
    ViaV6(u32),
    /// The address is this machine's.
    Own,
    /// Not one host: broadcast, multicast, anycast of ours.
    Group,
    /// A route that says no: the kernel's word for its type.
    Refused(&'static str),
}

impl Way {
    /// The interface, where there is one.
    pub(super) fn interface(self) -> Option<u32> {
        match self {
            Self::OnLink(interface) | Self::Via(interface, _) | Self::ViaV6(interface) => {
                Some(interface)
            }
            Self::None | Self::Own | Self::Group | Self::Refused(_) => None,
        }
    }
}

/// Addresses, first to last, that go the same way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Span {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) way: Way,
}

/// Whose routes count.
#[derive(Clone, Copy, Debug)]
pub(super) enum Prefer {
    /// All of them; of the next hops of one route those of this interface first.
    Interface(u32),
    /// Those of this interface, as with SO_BINDTODEVICE.
    Only(u32),
}

/// The way of every address, as ascending spans from the first address to the last.
#[derive(Clone, Debug)]
pub(super) struct Ways(Vec<Span>);

impl Ways {
    /// What `routes` say where `tables` are asked in this order.
    pub(super) fn of(routes: &[RouteMessage], tables: &[u32], prefer: Prefer) -> Self {
        let mut canvas = Canvas(BTreeMap::from([(0, Way::None)]));
        for table in tables.iter().rev() {
            let mut paths = routes
                .iter()
                .filter(|route| table_of(route) == *table)
                .filter_map(|route| Path::of(route, prefer))
                .collect::<Vec<_>>();
            paths.sort_by_key(|path| (path.len, Reverse(path.metric)));
            // A throw route ends the search in this table: the ones after it decide.
            let below = paths.iter().any(|path| path.step == Step::Throw).then(|| canvas.clone());
            for path in paths {
                match (path.step, &below) {
                    (Step::Go(way), _) => canvas.paint(path.first, path.last, way),
                    (Step::Throw, Some(below)) => canvas.paint_from(path.first, path.last, below),
                    (Step::Throw, None) => {}
                }
            }
        }
        // These mean no host whatever the tables say (RFC 1122, section 3.2.1.3; RFC 5771).
        canvas.paint(0, 0, Way::Group);
        canvas.paint(0xe000_0000, 0xefff_ffff, Way::Group);
        canvas.paint(u32::MAX, u32::MAX, Way::Group);
        Self(canvas.spans())
    }

    /// The spans, which cover all addresses.
    pub(super) fn spans(&self) -> &[Span] {
        &self.0
    }

    /// The way of one address.
    pub(super) fn way(&self, addr: Ipv4Addr) -> Way {
        let at = self.0.partition_point(|span| span.last < addr.to_bits());
        self.0[at].way
    }

    /// Ranges (ascending and disjoint) cut where the way changes.
    pub(super) fn meet(
        &self,
        ranges: impl Iterator<Item = (Ipv4Addr, Ipv4Addr)>,
    ) -> impl Iterator<Item = Span> {
        let mut left = &self.0[..];
        ranges.flat_map(move |(first, last)| {
            let (first, last) = (first.to_bits(), last.to_bits());
            let passed = left.iter().take_while(|span| span.last < first).count();
            left = &left[passed..];
            let spans = left.iter().take_while(move |span| span.first <= last);
            spans.map(move |span| Span {
                first: span.first.max(first),
                last: span.last.min(last),
                way: span.way,
            })
        })
    }
}

/// Where each address goes: a key is the first address of a way, which holds until the next key.
#[derive(Clone, Debug)]
struct Canvas(BTreeMap<u32, Way>);

impl Canvas {
    fn at(&self, addr: u32) -> Way {
        self.0.range(..=addr).next_back().map_or(Way::None, |(_, way)| *way)
    }

    /// Gives `first..=last` a new way. Each call adds two keys at most, so all together remove no more than twice that.
    fn paint(&mut self, first: u32, last: u32, way: Way) {
        if let Some(after) = last.checked_add(1) {
            let behind = self.at(after);
            self.0.insert(after, behind);
        }
        let covered = self.0.range(first..=last).map(|(key, _)| *key).collect::<Vec<_>>();
        for key in covered {
            self.0.remove(&key);
        }
        self.0.insert(first, way);
    }

    /// Gives `first..=last` back the ways of `below`.
    fn paint_from(&mut self, first: u32, last: u32, below: &Self) {
        self.paint(first, last, below.at(first));
        self.0.extend(below.0.range(first..=last));
    }

    fn spans(self) -> Vec<Span> {
        let mut spans = Vec::<Span>::new();
        for (first, way) in self.0 {
            match spans.last_mut() {
                Some(before) if before.way == way => continue,
                Some(before) => before.last = first - 1,
                None => {}
            }
            spans.push(Span { first, last: u32::MAX, way });
        }
        spans
    }
}

/// What a route does with the search.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    Go(Way),
    Throw,
}

/// What matters of a route.
#[derive(Clone, Copy, Debug)]
struct Path {
    first: u32,
    last: u32,
    len: u8,
    metric: u32,
    step: Step,
}

impl Path {
    /// `None` for a route that the kernel would pass over too, or that `prefer` does not want.
    fn of(route: &RouteMessage, prefer: Prefer) -> Option<Self> {
        let header = &route.header;
        if header.tos != 0 || header.flags.intersects(RouteFlags::Cloned | RouteFlags::Dead) {
            return None;
        }
        let (mut to, mut metric) = (0, 0);
        for attribute in &route.attributes {
            match attribute {
                RouteAttribute::Destination(RouteAddress::Inet(addr)) => to = addr.to_bits(),
                RouteAttribute::Priority(priority) => metric = *priority,
                _ => {}
            }
        }
        let step = match header.kind {
            RouteType::Unicast => Step::Go(unicast(route, prefer)?),
            RouteType::Local => Step::Go(Way::Own),
            RouteType::Broadcast | RouteType::Anycast | RouteType::Multicast => {
                Step::Go(Way::Group)
            }
            RouteType::Throw => Step::Throw,
            RouteType::Unreachable => Step::Go(Way::Refused("unreachable")),
            RouteType::BlackHole => Step::Go(Way::Refused("blackhole")),
            RouteType::Prohibit => Step::Go(Way::Refused("prohibit")),
            _ => Step::Go(Way::Refused("unknown to this program")),
        };
        let len = header.destination_prefix_length.min(32);
        let host_bits = u32::MAX.checked_shr(len.into()).unwrap_or(0);
        Some(Self { first: to & !host_bits, last: to | host_bits, len, metric, step })
    }
}

/// The next hop of a unicast route: of several the first of the wanted interface, or else the first.
fn unicast(route: &RouteMessage, prefer: Prefer) -> Option<Way> {
    let single = next_hop(&route.attributes, None);
    let several = route.attributes.iter().filter_map(|attribute| match attribute {
        RouteAttribute::MultiPath(hops) => Some(hops),
        _ => None,
    });
    let several = several.flatten().filter(|hop| !hop.flags.contains(RouteNextHopFlags::Dead));
    let several = several.filter_map(|hop| next_hop(&hop.attributes, Some(hop.interface_index)));
    let mut hops = single.into_iter().chain(several);
    match prefer {
        Prefer::Only(interface) => hops.find(|way| way.interface() == Some(interface)),
        Prefer::Interface(interface) => {
            let first = hops.next()?;
            let wanted = |way: &Way| way.interface() == Some(interface);
            Some(if wanted(&first) { first } else { hops.find(wanted).unwrap_or(first) })
        }
    }
}

fn next_hop(attributes: &[RouteAttribute], mut interface: Option<u32>) -> Option<Way> {
    let (mut gateway, mut is_v6) = (None, false);
    for attribute in attributes {
        match attribute {
            RouteAttribute::Oif(index) => interface = Some(*index),
            RouteAttribute::Gateway(RouteAddress::Inet(addr))
            | RouteAttribute::Via(RouteVia::Inet(addr)) => {
                gateway = Some(*addr);
            }
            RouteAttribute::Via(_) => is_v6 = true,
            _ => {}
        }
    }
    let interface = interface?;
    Some(match gateway {
        Some(gateway) => Way::Via(interface, gateway),
        None if is_v6 => Way::ViaV6(interface),
        None => Way::OnLink(interface),
    })
}

/// The number of a route's table; those above 255 do not fit in its header.
pub(super) fn table_of(route: &RouteMessage) -> u32 {
    let table = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    table.unwrap_or_else(|| route.header.table.into())
}

#[cfg(test)]
mod tests;
