//! What the kernel is asked about routes (rtnetlink(7)), for either family.
//!
//! Its tables and rules are dumped for one thing: where a lookup may change its answer. The answers are its own
//! (RTM_GETROUTE), for a TCP socket of this user without a mark, with our source address and, where an interface was named,
//! bound to it (SO_BINDTODEVICE).

use std::{
    collections::{BTreeSet, HashMap},
    io,
};

use netlink_packet_core::DefaultNla;
use netlink_packet_route::{
    RouteNetlinkMessage,
    route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteNextHopFlags, RouteType,
        RouteVia,
    },
    rule::{RuleAttribute, RuleMessage},
};

use super::{
    NeighbourError,
    address::Address,
    ways::{Cells, Way},
};
use crate::{link::LinkError, link::sys::netlink::Netlink, wire::tcp};

/// The table of this machine's own addresses (RT_TABLE_LOCAL).
const LOCAL_TABLE: u32 = 255;
/// The attribute with the protocol of the packets asked about (linux/rtnetlink.h), which rules may look at.
const RTA_IP_PROTO: u16 = 27;

/// What the tables and rules of one family say of prefixes.
#[derive(Clone, Debug)]
pub(super) struct Tables<A> {
    pub(super) cells: Cells<A>,
    /// Prefixes of the local table, by first address and length, and what they are.
    local: HashMap<(A, u8), Kind>,
    /// The lengths of these, the longest first.
    local_lens: Vec<u8>,
    /// The priority of a rule that looks at ports.
    pub(super) port_rule: Option<u32>,
}

impl<A: Address> Tables<A> {
    pub(super) fn read(netlink: &mut Netlink) -> Result<Self, NeighbourError> {
        Ok(Self::of(&routes::<A>(netlink).map_err(asking)?, &rules::<A>(netlink).map_err(asking)?))
    }

    pub(super) fn of(routes: &[Prefix<A>], rules: &[RuleMessage]) -> Self {
        let of_routes = routes.iter().map(|route| (route.first, route.last));
        let of_rules = rules.iter().flat_map(|rule| {
            rule.attributes.iter().filter_map(|attribute| match attribute {
                RuleAttribute::Destination(to) => {
                    A::of(*to).map(|to| A::prefix(to, rule.header.dst_len))
                }
                _ => None,
            })
        });
        let cells = Cells::between(of_routes.chain(of_rules));
        let local = routes.iter().filter(|route| route.kind != Kind::Other);
        let local = local.map(|route| ((route.first, route.len), route.kind));
        let local = local.collect::<HashMap<_, _>>();
        let lens = local.keys().map(|(_, len)| *len).collect::<BTreeSet<_>>();
        Self {
            cells,
            local,
            local_lens: lens.into_iter().rev().collect(),
            port_rule: rules.iter().find(|rule| looks_at_ports(rule)).map(priority),
        }
    }

    /// What the local table says of an address, by its longest prefix: ours, a group, or nothing ([`Way::None`]).
    pub(super) fn local(&self, addr: A) -> Way<A> {
        if addr.is_group() {
            return Way::Group;
        }
        let holding = |len: &u8| self.local.get(&(A::prefix(addr, *len).0, *len));
        match self.local_lens.iter().find_map(holding) {
            Some(Kind::Own) => Way::Own,
            Some(Kind::Group) => Way::Group,
            Some(Kind::Other) | None => Way::None,
        }
    }
}

/// What is kept of a route. A router has a million of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefix<A> {
    first: A,
    last: A,
    len: u8,
    kind: Kind,
}

/// What the local table says of a prefix.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// Nothing, or the prefix is of another table.
    Other,
    Own,
    Group,
}

impl<A: Address> Prefix<A> {
    fn of(route: &RouteMessage) -> Self {
        let to = route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Destination(to) => address_of(to),
            _ => None,
        });
        let len = route.header.destination_prefix_length;
        let (first, last) = A::prefix(to.unwrap_or(A::FIRST), len);
        let kind = match route.header.kind {
            _ if table_of(route) != LOCAL_TABLE => Kind::Other,
            RouteType::Local => Kind::Own,
            RouteType::Broadcast | RouteType::Anycast | RouteType::Multicast => Kind::Group,
            _ => Kind::Other,
        };
        Self { first, last, len, kind }
    }
}

/// Whether a rule decides by the ports of a TCP packet. They differ from probe to probe, so no answer holds for a target.
fn looks_at_ports(rule: &RuleMessage) -> bool {
    let mut has_ports = false;
    for attribute in &rule.attributes {
        match attribute {
            RuleAttribute::SourcePortRange(_) | RuleAttribute::DestinationPortRange(_) => {
                has_ports = true;
            }
            RuleAttribute::IpProtocol(protocol) if u8::from(*protocol) != tcp::PROTOCOL => {
                return false;
            }
            _ => {}
        }
    }
    has_ports
}

fn priority(rule: &RuleMessage) -> u32 {
    let priority = rule.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::Priority(priority) => Some(*priority),
        _ => None,
    });
    priority.unwrap_or(0)
}

fn address_of<A: Address>(addr: &RouteAddress) -> Option<A> {
    match addr {
        RouteAddress::Inet(addr) => A::of((*addr).into()),
        RouteAddress::Inet6(addr) => A::of((*addr).into()),
        _ => None,
    }
}

/// The number of a route's table; those above 255 do not fit in its header.
fn table_of(route: &RouteMessage) -> u32 {
    let table = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    table.unwrap_or_else(|| route.header.table.into())
}

fn routes<A: Address>(netlink: &mut Netlink) -> io::Result<Vec<Prefix<A>>> {
    let mut question = RouteMessage::default();
    question.header.address_family = A::FAMILY;
    netlink.dump(&RouteNetlinkMessage::GetRoute(question), |message| match message {
        RouteNetlinkMessage::NewRoute(route) => Some(Prefix::of(&route)),
        _ => None,
    })
}

fn rules<A: Address>(netlink: &mut Netlink) -> io::Result<Vec<RuleMessage>> {
    let mut question = RuleMessage::default();
    question.header.family = A::FAMILY;
    let rule = |message| match message {
        RouteNetlinkMessage::NewRule(rule) => Some(rule),
        _ => None,
    };
    match netlink.dump(&RouteNetlinkMessage::GetRule(question), rule) {
        // A kernel that was built without policy routing.
        Err(error)
            if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EAFNOSUPPORT)) =>
        {
            Ok(Vec::new())
        }
        rules => rules,
    }
}

/// How the kernel is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker<A> {
    /// The interface that a socket would be bound to.
    pub(super) bound_to: Option<u32>,
    /// Its address.
    pub(super) source: Option<A>,
}

/// What the kernel would do with a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Answer<A> {
    pub(super) way: Way<A>,
    /// The interface, for addresses of this machine too.
    pub(super) interface: Option<u32>,
    /// The source address that it would choose.
    pub(super) source: Option<A>,
    /// It has learnt this of one host and not of its prefix: a redirect or a path MTU.
    is_exception: bool,
    /// A route that names a next hop object and does not say what that is (net.ipv4.nexthop_compat_mode).
    is_bare: bool,
}

impl<A: Address> Asker<A> {
    /// The whole answer for one address, the source address included.
    pub(super) fn choose(
        &self,
        netlink: &mut Netlink,
        addr: A,
    ) -> Result<Answer<A>, NeighbourError> {
        self.look_up(netlink, addr, RouteFlags::LookupTable, None)
    }

    /// The way of `first` and `last`, two targets (or one) that no prefix divides. Of several next hops of one route the first that
    /// leaves by `interface`, or else the one that the kernel took.
    pub(super) fn way(
        &self,
        netlink: &mut Netlink,
        interface: u32,
        (first, last): (A, A),
    ) -> Result<Way<A>, NeighbourError> {
        let exact = RouteFlags::LookupTable;
        let matched = exact | RouteFlags::FibMatch;
        if A::BITS == 32 {
            // The route itself, and not what was learnt of the one host.
            let answer = self.look_up(netlink, first, matched, Some(interface))?;
            if answer.is_bare {
                return Ok(self.look_up(netlink, first, exact, Some(interface))?.way);
            }
            return Ok(answer.way);
        }
        // Of IPv6 routes only this answer weighs which routers are alive (RFC 4191), as sending does.
        let mut answer = self.unlearnt(netlink, interface, (first, last))?;
        if self.bound_to.is_some() && answer.interface != self.bound_to {
            // IPv6 keeps a socket that is bound to the routes of its interface, but a question only when that names no
            // source address. So the question is put without; rules that look at the source are passed over then.
            let strict = Self { source: None, ..*self };
            answer = strict.unlearnt(netlink, interface, (first, last))?;
        }
        if self.bound_to.is_none() && answer.interface.is_some_and(|other| other != interface) {
            // One route with several next hops, of which the kernel took another?
            let ours = self.look_up(netlink, first, matched, Some(interface))?;
            let taken = self.look_up(netlink, first, matched, answer.interface)?;
            if ours.interface == Some(interface) && taken.interface == answer.interface {
                return Ok(ours.way);
            }
        }
        Ok(answer.way)
    }

    /// The answer for one of two targets of a cell that is not what the kernel has learnt of the one host, which must not
    /// become the way of all: if it has learnt of both, the route of the first as it was before.
    fn unlearnt(
        &self,
        netlink: &mut Netlink,
        interface: u32,
        (first, last): (A, A),
    ) -> Result<Answer<A>, NeighbourError> {
        let exact = RouteFlags::LookupTable;
        let mut answer = self.look_up(netlink, first, exact, Some(interface))?;
        if answer.is_exception && last != first {
            answer = self.look_up(netlink, last, exact, Some(interface))?;
        }
        if answer.is_exception {
            let matched = exact | RouteFlags::FibMatch;
            let route = self.look_up(netlink, first, matched, Some(interface))?;
            // A bare one says less than what was learnt.
            answer = if route.is_bare { answer } else { route };
        }
        Ok(answer)
    }

    fn look_up(
        &self,
        netlink: &mut Netlink,
        addr: A,
        flags: RouteFlags,
        wanted: Option<u32>,
    ) -> Result<Answer<A>, NeighbourError> {
        let refused = |way| Answer {
            way,
            interface: None,
            source: None,
            is_exception: false,
            is_bare: false,
        };
        let messages = match netlink.ask(RouteNetlinkMessage::GetRoute(self.question(addr, flags)))
        {
            Ok(messages) => messages,
            Err(error) => {
                return match error.raw_os_error() {
                    Some(libc::ENETUNREACH) => Ok(refused(Way::None)),
                    // Of a socket that is bound to an interface, the kernel then takes all for neighbours. We do not.
                    Some(libc::EHOSTUNREACH) if self.bound_to.is_some() => Ok(refused(Way::None)),
                    // How a lookup answers for each type of route or rule that refuses.
                    Some(libc::EHOSTUNREACH) => Ok(refused(Way::Refused("unreachable"))),
                    Some(libc::EACCES) => Ok(refused(Way::Refused("prohibit"))),
                    Some(libc::EINVAL) => Ok(refused(Way::Refused("blackhole"))),
                    _ => Err(asking(error)),
                };
            }
        };
        let route = messages.iter().find_map(|message| match message {
            RouteNetlinkMessage::NewRoute(route) => Some(route),
            _ => None,
        });
        Ok(route.map_or_else(|| refused(Way::None), |route| read(route, wanted)))
    }

    fn question(&self, addr: A, flags: RouteFlags) -> RouteMessage {
        let route_address = |addr: A| RouteAttribute::Destination(addr.ip().into());
        let mut question = RouteMessage::default();
        question.header.address_family = A::FAMILY;
        question.header.destination_prefix_length = A::BITS;
        question.header.flags = flags;
        question.attributes.push(route_address(addr));
        question.attributes.extend(self.bound_to.map(RouteAttribute::Oif));
        if let Some(source) = self.source {
            question.header.source_prefix_length = A::BITS;
            question.attributes.push(RouteAttribute::Source(source.ip().into()));
        }
        question
            .attributes
            .push(RouteAttribute::Other(DefaultNla::new(RTA_IP_PROTO, vec![tcp::PROTOCOL])));
        question
    }
}

/// Reads an answer; of several next hops the first that leaves by `wanted`, or else the first.
fn read<A: Address>(route: &RouteMessage, wanted: Option<u32>) -> Answer<A> {
    let mut answer = Answer {
        way: Way::None,
        interface: None,
        source: None,
        is_exception: route.header.flags.contains(RouteFlags::Cloned),
        is_bare: false,
    };
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(index) => answer.interface = Some(*index),
            RouteAttribute::PrefSource(addr) => answer.source = address_of(addr),
            _ => {}
        }
    }
    answer.way = match route.header.kind {
        RouteType::Unicast => {
            let way = next_hop(route, wanted);
            answer.is_bare = way.is_none();
            let way = way.unwrap_or(Way::None);
            answer.interface = way.interface();
            way
        }
        RouteType::Local => Way::Own,
        RouteType::Broadcast | RouteType::Anycast | RouteType::Multicast => Way::Group,
        RouteType::Unreachable => Way::Refused("unreachable"),
        RouteType::BlackHole => Way::Refused("blackhole"),
        RouteType::Prohibit => Way::Refused("prohibit"),
        _ => Way::Refused("unknown to this program"),
    };
    answer
}

fn next_hop<A: Address>(route: &RouteMessage, wanted: Option<u32>) -> Option<Way<A>> {
    let single = one_hop(&route.attributes, None);
    let several = route.attributes.iter().filter_map(|attribute| match attribute {
        RouteAttribute::MultiPath(hops) => Some(hops),
        _ => None,
    });
    let several = several.flatten().filter(|hop| !hop.flags.contains(RouteNextHopFlags::Dead));
    let several = several.filter_map(|hop| one_hop(&hop.attributes, Some(hop.interface_index)));
    let mut hops = single.into_iter().chain(several);
    let first = hops.next()?;
    let is_wanted = |way: &Way<A>| wanted.is_some() && way.interface() == wanted;
    Some(if is_wanted(&first) { first } else { hops.find(is_wanted).unwrap_or(first) })
}

fn one_hop<A: Address>(
    attributes: &[RouteAttribute],
    mut interface: Option<u32>,
) -> Option<Way<A>> {
    let (mut gateway, mut is_v6) = (None, false);
    for attribute in attributes {
        match attribute {
            RouteAttribute::Oif(index) => interface = Some(*index),
            RouteAttribute::Gateway(addr) => gateway = address_of(addr),
            RouteAttribute::Via(RouteVia::Inet(addr)) => gateway = A::of((*addr).into()),
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

pub(super) fn asking(source: io::Error) -> NeighbourError {
    LinkError::Io { what: "asking the kernel for its routes", source }.into()
}

#[cfg(test)]
mod tests;
