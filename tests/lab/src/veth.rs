//! The pair of virtual Ethernet devices between the scanner and the world, set up by netlink.
//!
//! Both ends know each other's hardware address for good and IPv6 is off before a device exists, so that no ARP, neighbour
//! or multicast frame moves the counters: what they count is the scan. [`ipv6`](crate::ipv6) switches it on where a lab is
//! to have it, as quietly.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    os::fd::AsRawFd,
    thread,
    time::{Duration, Instant},
};

use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, State},
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
    route::{
        RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
        RouteType,
    },
};
use nix::net::if_::if_nametoindex;

use crate::{
    LabError, Prefix,
    error::asking,
    netns::Namespace,
    rtnl::{Mode, Rtnl},
    sysctl,
};

/// One end of the pair.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct End {
    /// The name of its device.
    pub device: &'static str,
    /// Its address on [`LINK`].
    pub addr: Ipv4Addr,
    /// Its hardware address.
    pub mac: [u8; 6],
}

/// The scanner's end.
pub const SCANNER: End =
    End { device: "s0", addr: Ipv4Addr::new(198, 18, 0, 1), mac: [2, 0, 0xc6, 0x12, 0, 1] };
/// The world's end.
pub const WORLD: End =
    End { device: "w0", addr: Ipv4Addr::new(198, 18, 0, 2), mac: [2, 0, 0xc6, 0x12, 0, 2] };
/// The network between them (RFC 2544 sets it aside for tests of devices).
pub const LINK: Prefix = Prefix::new([198, 18, 0, 0], 16);
/// What the scanner reaches through the world's end: every host of a lab is in here, or on [`LINK`].
pub const HOSTS: Prefix = Prefix::new([198, 19, 0, 0], 16);

/// The kernel's routing table for its own addresses, which it asks before any other (rtnetlink(7), RT_TABLE_LOCAL).
pub(crate) const LOCAL_TABLE: u8 = 255;

/// Brings lo up and IPv6 and forwarding down in the calling thread's new namespace.
pub(crate) fn prepare_namespace() -> Result<(), LabError> {
    for scope in ["all", "default"] {
        sysctl::set_if_there(&format!("net/ipv6/conf/{scope}/disable_ipv6"), "1")?;
        sysctl::set(&format!("net/ipv4/conf/{scope}/forwarding"), "0")?;
        // Answers come from any address of the world by one device.
        sysctl::set(&format!("net/ipv4/conf/{scope}/rp_filter"), "0")?;
    }
    up("lo")
}

/// Makes the pair, with so many queues to each end: the scanner's end in the calling thread's namespace, the other in `world`. Both
/// are down.
pub(crate) fn create(world: &Namespace, queues: u32) -> Result<(), LabError> {
    let queues = [LinkAttribute::NumTxQueues(queues), LinkAttribute::NumRxQueues(queues)];
    let mut peer = LinkMessage::default();
    peer.attributes = vec![
        LinkAttribute::IfName(WORLD.device.to_owned()),
        LinkAttribute::Address(WORLD.mac.to_vec()),
        LinkAttribute::NetNsFd(world.file().as_raw_fd()),
    ];
    peer.attributes.extend(queues.clone());
    let mut pair = LinkMessage::default();
    pair.attributes = vec![
        LinkAttribute::IfName(SCANNER.device.to_owned()),
        LinkAttribute::Address(SCANNER.mac.to_vec()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]),
    ];
    pair.attributes.extend(queues);
    Rtnl::open()?.request(RouteNetlinkMessage::NewLink(pair), Mode::Create, "making a veth pair")
}

/// Gives `own` its address, brings it up and tells it where `other` is.
pub(crate) fn set_up(own: End, other: End) -> Result<(), LabError> {
    let index = index_of(own.device)?;
    let mut rtnl = Rtnl::open()?;
    let mut address = AddressMessage::default();
    address.header.family = AddressFamily::Inet;
    address.header.prefix_len = LINK.len();
    address.header.index = index;
    address.attributes = vec![
        AddressAttribute::Address(IpAddr::V4(own.addr)),
        AddressAttribute::Local(IpAddr::V4(own.addr)),
    ];
    let what = format!("giving {} to {}", own.addr, own.device);
    rtnl.request(RouteNetlinkMessage::NewAddress(address), Mode::Create, &what)?;
    up(own.device)?;
    let mut neighbour = NeighbourMessage::default();
    neighbour.header.family = AddressFamily::Inet;
    neighbour.header.ifindex = index;
    neighbour.header.state = NeighbourState::Permanent;
    neighbour.attributes = vec![
        NeighbourAttribute::Destination(NeighbourAddress::Inet(other.addr)),
        NeighbourAttribute::LinkLayerAddress(other.mac.to_vec()),
    ];
    let what = format!("telling {} the hardware address of {}", own.device, other.addr);
    rtnl.request(RouteNetlinkMessage::NewNeighbour(neighbour), Mode::Create, &what)
}

/// Waits until `end`, in the calling thread's namespace, carries frames. When both ends came up the kernel starts their
/// queues only a moment later, and until then it drops what is sent (linux/net/core/link_watch.c).
pub(crate) fn wait_until_running(end: End) -> Result<(), LabError> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let what = format!("waiting for {} to carry frames", end.device);
    let mut rtnl = Rtnl::open()?;
    let mut question = LinkMessage::default();
    question.header.index = index_of(end.device)?;
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let answer = rtnl.ask(RouteNetlinkMessage::GetLink(question.clone()), &what)?;
        if let RouteNetlinkMessage::NewLink(link) = answer
            && is_running(&link.attributes)
        {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Err(asking(what)(io::Error::from(io::ErrorKind::TimedOut)))
}

/// Whether a device has carrier, and a queue in place of the noop that drops all. IFF_RUNNING would not do: a new device
/// has it until the kernel first looks.
fn is_running(attributes: &[LinkAttribute]) -> bool {
    let is = |test: fn(&LinkAttribute) -> bool| attributes.iter().any(test);
    is(|attribute| matches!(attribute, LinkAttribute::OperState(State::Up)))
        && is(|attribute| matches!(attribute, LinkAttribute::Qdisc(name) if name != "noop"))
}

/// Routes [`HOSTS`] to the world's end.
pub(crate) fn route_hosts() -> Result<(), LabError> {
    let via = RouteAttribute::Gateway(RouteAddress::Inet(WORLD.addr));
    add_route(HOSTS, RouteType::Unicast, vec![via])
}

/// Lets the kernel answer for every address of `prefix`.
pub(crate) fn answer_locally(prefix: Prefix) -> Result<(), LabError> {
    let lo = RouteAttribute::Oif(index_of("lo")?);
    add_route(prefix, RouteType::Local, vec![lo])
}

/// Keeps the kernel from answering for `prefix`, inside a prefix that it answers for too.
pub(crate) fn swallow(prefix: Prefix) -> Result<(), LabError> {
    add_route(prefix, RouteType::BlackHole, Vec::new())
}

fn add_route(
    prefix: Prefix,
    kind: RouteType,
    mut attributes: Vec<RouteAttribute>,
) -> Result<(), LabError> {
    attributes.push(RouteAttribute::Destination(RouteAddress::Inet(prefix.first())));
    let mut route = RouteMessage::default();
    route.header = RouteHeader {
        address_family: AddressFamily::Inet,
        destination_prefix_length: prefix.len(),
        // All but the way to the world stand in the table that is asked first, where the longest prefix of them wins.
        table: if kind == RouteType::Unicast { RouteHeader::RT_TABLE_MAIN } else { LOCAL_TABLE },
        protocol: RouteProtocol::Static,
        scope: if kind == RouteType::Local { RouteScope::Host } else { RouteScope::Universe },
        kind,
        ..RouteHeader::default()
    };
    route.attributes = attributes;
    let what = format!("adding the {kind:?} route {prefix}");
    Rtnl::open()?.request(RouteNetlinkMessage::NewRoute(route), Mode::Create, &what)
}

/// Sets how many octets behind the Ethernet header a frame of `end` may have, 65,535 at most (netdevice(7), SIOCSIFMTU); in
/// the calling thread's namespace. What one end sends the other must be able to take, or it is dropped on the way.
///
/// # Errors
///
/// [`LabError::System`] when there is no such device here, or the kernel refuses.
pub fn set_mtu(end: End, octets: u32) -> Result<(), LabError> {
    let mut link = LinkMessage::default();
    link.header.index = index_of(end.device)?;
    link.attributes = vec![LinkAttribute::Mtu(octets)];
    let what = format!("setting the MTU of {}", end.device);
    Rtnl::open()?.request(RouteNetlinkMessage::SetLink(link), Mode::Change, &what)
}

fn up(device: &str) -> Result<(), LabError> {
    let mut link = LinkMessage::default();
    link.header.index = index_of(device)?;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    let what = format!("bringing {device} up");
    Rtnl::open()?.request(RouteNetlinkMessage::SetLink(link), Mode::Change, &what)
}

/// The number of a device in the calling thread's namespace.
pub(crate) fn index_of(device: &str) -> Result<u32, LabError> {
    if_nametoindex(device).map_err(asking(format!("looking for the device {device}")))
}
