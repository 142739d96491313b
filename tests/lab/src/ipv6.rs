//! IPv6 on the pair: its addresses, neighbours and routes.
//!
//! ```text
//!   s0 2001:db8::1/64  <------- veth pair ------>  w0 2001:db8::2/64
//!   2001:db8:1::/64 via 2001:db8::2                local 2001:db8:1::/64: the kernel answers for every address
//!                                                  blackhole, unreachable: parts of it for which it does not
//! ```
//!
//! Addresses are there at once and nobody looks for others who have them (nodad); no device has a link-local address and
//! no router is asked for, so what IPv6 sends of itself is the two reports of each device that joins the group of its
//! address (RFC 9777), which are over before the lab is ready.

use std::{
    fs,
    net::{IpAddr, Ipv6Addr},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressHeaderFlags, AddressMessage},
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
    route::{
        RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
        RouteType,
    },
};

use crate::{
    LabError, Prefix6,
    error::asking,
    gate,
    rtnl::{Mode, Rtnl},
    sysctl,
    veth::{self, LOCAL_TABLE, index_of},
};

/// The network between the ends (RFC 3849 sets all of 2001:db8::/32 aside for documentation).
pub const LINK: Prefix6 = Prefix6::new([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 64);
/// The scanner's address on [`LINK`].
pub const SCANNER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// The world's address on [`LINK`], which is the way to [`HOSTS`].
pub const WORLD: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
/// Every IPv6 host of a lab.
pub const HOSTS: Prefix6 = Prefix6::new([0x2001, 0xdb8, 1, 0, 0, 0, 0, 0], 64);

const SETTINGS: &str = "net/ipv6/conf";

/// Whether a namespace of this machine can have IPv6.
pub(crate) fn check() -> Result<(), LabError> {
    if Path::new("/proc/sys").join(SETTINGS).is_dir() {
        return Ok(());
    }
    Err(LabError::NoIpv6 { why: "this kernel has none, or was booted with ipv6.disable=1".into() })
}

/// Switches it on for the one device that a new namespace has: whether a lab could have it.
pub(crate) fn try_out() -> Result<(), LabError> {
    check()?;
    switch_on("lo")
}

/// Whether a lab of this process could have it.
pub(crate) fn is_possible() -> bool {
    gate::in_new_namespace(try_out).is_ok()
}

/// Gives the device of `own` the address `addr` and tells it where `other` is. For a thread in its namespace, where IPv6
/// is off.
pub(crate) fn set_up(
    own: veth::End,
    addr: Ipv6Addr,
    other: (veth::End, Ipv6Addr),
) -> Result<(), LabError> {
    for device in ["lo", own.device] {
        switch_on(device)?;
    }
    let index = index_of(own.device)?;
    let mut rtnl = Rtnl::open()?;
    let mut address = AddressMessage::default();
    address.header.family = AddressFamily::Inet6;
    address.header.prefix_len = LINK.len();
    address.header.flags = AddressHeaderFlags::Nodad;
    address.header.index = index;
    address.attributes = vec![AddressAttribute::Address(IpAddr::V6(addr))];
    let what = format!("giving {addr} to {}", own.device);
    rtnl.request(RouteNetlinkMessage::NewAddress(address), Mode::Create, &what)?;
    let (other, other_addr) = other;
    let mut neighbour = NeighbourMessage::default();
    neighbour.header.family = AddressFamily::Inet6;
    neighbour.header.ifindex = index;
    neighbour.header.state = NeighbourState::Permanent;
    neighbour.attributes = vec![
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(other_addr)),
        NeighbourAttribute::LinkLayerAddress(other.mac.to_vec()),
    ];
    let what = format!("telling {} the hardware address of {other_addr}", own.device);
    rtnl.request(RouteNetlinkMessage::NewNeighbour(neighbour), Mode::Create, &what)
}

/// Switches IPv6 on for one device that says nothing of its own accord.
fn switch_on(device: &str) -> Result<(), LabError> {
    for (name, value) in [
        // No address is made up, so there is none from which a router could be asked.
        ("addr_gen_mode", "1"),
        ("accept_ra", "0"),
        ("router_solicitations", "0"),
        ("forwarding", "0"),
        // In milliseconds: reports are over when the lab is ready.
        ("mldv1_unsolicited_report_interval", "1"),
        ("mldv2_unsolicited_report_interval", "1"),
        ("disable_ipv6", "0"),
    ] {
        let set = sysctl::set(&format!("{SETTINGS}/{device}/{name}"), value);
        set.map_err(|error| LabError::NoIpv6 { why: error.to_string() })?;
    }
    Ok(())
}

/// Lets nothing limit how often the world's kernel says that a host is unreachable.
pub(crate) fn answer_without_limit() -> Result<(), LabError> {
    sysctl::set_if_there("net/ipv6/icmp/ratelimit", "0").map(drop)
}

/// Routes [`HOSTS`] to the world's end.
pub(crate) fn route_hosts() -> Result<(), LabError> {
    let via = RouteAttribute::Gateway(RouteAddress::Inet6(WORLD));
    add_route(HOSTS, RouteType::Unicast, vec![via])
}

/// Lets the kernel answer for every address of `prefix`.
pub(crate) fn answer_locally(prefix: Prefix6) -> Result<(), LabError> {
    let lo = RouteAttribute::Oif(index_of("lo")?);
    add_route(prefix, RouteType::Local, vec![lo])
}

/// Keeps the kernel from answering for `prefix`, inside a prefix that it answers for too.
pub(crate) fn swallow(prefix: Prefix6) -> Result<(), LabError> {
    add_route(prefix, RouteType::BlackHole, Vec::new())
}

/// Has the kernel say of `prefix` that there is no way to it: ICMPv6 destination unreachable, no route (RFC 4443,
/// section 3.1). It does so without forwarding, other than for IPv4 (linux/net/ipv6/route.c, `ip6_pkt_discard`).
pub(crate) fn refuse(prefix: Prefix6) -> Result<(), LabError> {
    add_route(prefix, RouteType::Unreachable, Vec::new())
}

fn add_route(
    prefix: Prefix6,
    kind: RouteType,
    mut attributes: Vec<RouteAttribute>,
) -> Result<(), LabError> {
    attributes.push(RouteAttribute::Destination(RouteAddress::Inet6(prefix.first())));
    let mut route = RouteMessage::default();
    route.header = RouteHeader {
        address_family: AddressFamily::Inet6,
        destination_prefix_length: prefix.len(),
        // As for IPv4: the longest prefix of the table that is asked first.
        table: if kind == RouteType::Unicast { RouteHeader::RT_TABLE_MAIN } else { LOCAL_TABLE },
        protocol: RouteProtocol::Static,
        scope: RouteScope::Universe,
        kind,
        ..RouteHeader::default()
    };
    route.attributes = attributes;
    let what = format!("adding the {kind:?} route {prefix}");
    Rtnl::open()?.request(RouteNetlinkMessage::NewRoute(route), Mode::Create, &what)
}

/// Waits until the reports of the device have left, in the calling thread's namespace, so that what its counters count from
/// then on is the scan. For a device that has sent nothing else yet.
pub(crate) fn wait_until_quiet(end: veth::End) -> Result<(), LabError> {
    /// What the kernel repeats a report to (RFC 9777, section 9.1: the robustness variable).
    const REPORTS: u64 = 2;
    /// Longer than they take; a kernel that was told another number sends that.
    const PATIENCE: Duration = Duration::from_millis(500);
    const FILE: &str = "/proc/thread-self/net/dev";
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let table = fs::read_to_string(FILE).map_err(asking(format!("reading {FILE}")))?;
        if sent(&table, end.device).is_some_and(|sent| sent >= REPORTS) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The frames that `device` sent, by the table of proc_net(5).
fn sent(table: &str, device: &str) -> Option<u64> {
    const SENT: usize = 9;
    let lines = table.lines().filter_map(|line| line.split_once(':'));
    let (_, numbers) = lines.into_iter().find(|(name, _)| name.trim() == device)?;
    numbers.split_whitespace().nth(SENT)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_sent_are_read_by_device() {
        let table = "Inter-|   Receive  |  Transmit\n face |bytes packets|bytes packets\n\
                     lo:  1 1 0 0 0 0 0 0  1 1 0 0 0 0 0 0\n    s0:     180       2    0    0    0     0          0         0      270       3    0 0 0 0 0 0\n";
        assert_eq!(
            (sent(table, "s0"), sent(table, "lo"), sent(table, "s")),
            (Some(3), Some(1), None)
        );
    }

    #[test]
    fn the_ends_are_on_the_link_and_the_hosts_are_not() {
        assert!(LINK.contains(SCANNER) && LINK.contains(WORLD));
        assert!(!LINK.covers(HOSTS) && !HOSTS.contains(WORLD));
    }
}
