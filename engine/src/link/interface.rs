//! Facts of a network interface, from the kernel by rtnetlink(7).
//!
//! An [`Interface`] is a copy of what held when it was asked for, in the network namespace of the calling thread. It
//! changes nothing and sends nothing.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressFlags, AddressMessage},
    link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage},
};

use super::{LinkError, LinkLayer, sys::netlink::Netlink};
use crate::wire::MacAddr;

/// The longest name that an interface can have (IFNAMSIZ less the closing zero).
const MAX_NAME_LEN: usize = 15;

/// A network interface as it was when it was asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Interface {
    index: u32,
    name: String,
    kind: String,
    mac: MacAddr,
    mtu: u32,
    layer: LinkLayer,
    flags: LinkFlags,
    v4: Vec<(Ipv4Addr, u8)>,
    v6: Vec<(Ipv6Addr, u8)>,
    /// Those of `v6` that are not to be preferred: see [`Interface::source_v6`].
    deprecated: Vec<Ipv6Addr>,
    temporary: Vec<Ipv6Addr>,
}

impl Interface {
    /// The interface called `name`.
    ///
    /// # Errors
    ///
    /// [`LinkError::NoInterface`], with the names there are; [`LinkError::Unusable`] when its frames begin with neither
    /// an Ethernet nor an IP header (InfiniBand, 802.11 monitor mode, ...); [`LinkError::Io`] when the kernel refuses.
    pub fn by_name(name: &str) -> Result<Self, LinkError> {
        let mut netlink = open()?;
        let mut question = LinkMessage::default();
        question.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let answer = match name.len() {
            1..=MAX_NAME_LEN => netlink.ask(RouteNetlinkMessage::GetLink(question)),
            _ => Err(io::Error::from_raw_os_error(libc::ENODEV)),
        };
        match answer {
            Ok(messages) => Self::first(&mut netlink, messages, name),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {
                let known =
                    links(&mut netlink)?.iter().map(link_name).collect::<Vec<_>>().join(", ");
                Err(LinkError::NoInterface { name: name.to_owned(), known })
            }
            Err(error) => Err(asking(error)),
        }
    }

    /// The interface with the number `index`.
    ///
    /// # Errors
    ///
    /// As [`Self::by_name`].
    pub fn by_index(index: u32) -> Result<Self, LinkError> {
        let mut netlink = open()?;
        let messages = netlink.ask(get_link(index)).map_err(asking)?;
        Self::first(&mut netlink, messages, &format!("number {index}"))
    }

    /// Every interface of the namespace whose frames a link can make.
    ///
    /// # Errors
    ///
    /// [`LinkError::Io`] when the kernel refuses.
    pub fn list() -> Result<Vec<Self>, LinkError> {
        let mut netlink = open()?;
        let links = links(&mut netlink)?;
        let addresses = addresses(&mut netlink)?;
        Ok(links.iter().filter_map(|link| Self::read(link, &addresses)).collect())
    }

    fn first(
        netlink: &mut Netlink,
        messages: Vec<RouteNetlinkMessage>,
        name: &str,
    ) -> Result<Self, LinkError> {
        let link = messages.into_iter().find_map(|message| match message {
            RouteNetlinkMessage::NewLink(link) => Some(link),
            _ => None,
        });
        let link = link.ok_or_else(|| LinkError::NoInterface {
            name: name.to_owned(),
            known: String::new(),
        })?;
        let addresses = addresses(netlink)?;
        Self::read(&link, &addresses).ok_or_else(|| LinkError::Unusable {
            name: link_name(&link),
            why: format!(
                "is of type {:?}, whose frames begin with neither an Ethernet nor an IP header; choose another with -i",
                link.header.link_layer_type
            ),
        })
    }

    fn read(link: &LinkMessage, addresses: &[AddressMessage]) -> Option<Self> {
        let mut interface = Self {
            index: link.header.index,
            name: link_name(link),
            kind: link_kind(link),
            mac: MacAddr::ZERO,
            mtu: 0,
            layer: layer_of(link.header.link_layer_type)?,
            flags: link.header.flags,
            v4: Vec::new(),
            v6: Vec::new(),
            deprecated: Vec::new(),
            temporary: Vec::new(),
        };
        for attribute in &link.attributes {
            match attribute {
                LinkAttribute::Address(octets) => {
                    interface.mac = octets.as_slice().try_into().map_or(MacAddr::ZERO, MacAddr);
                }
                LinkAttribute::Mtu(mtu) => interface.mtu = *mtu,
                _ => {}
            }
        }
        for message in addresses.iter().filter(|message| message.header.index == interface.index) {
            let prefix = message.header.prefix_len;
            match own_address(message) {
                Some(IpAddr::V4(addr)) => interface.v4.push((addr, prefix)),
                Some(IpAddr::V6(addr)) => {
                    let flags = flags_of(message);
                    if flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed) {
                        continue;
                    }
                    interface.v6.push((addr, prefix));
                    if flags.contains(AddressFlags::Deprecated) {
                        interface.deprecated.push(addr);
                    }
                    // Linux marks temporary addresses (RFC 8981) by the bit that means "secondary" in IPv4.
                    if flags.contains(AddressFlags::Secondary) {
                        interface.temporary.push(addr);
                    }
                }
                None => {}
            }
        }
        Some(interface)
    }

    /// Its number in this namespace.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The driver's word for a virtual device: `veth`, `tun`, `bridge`, ...; empty for hardware and loopback.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Its hardware address; zero on loopback and where there is none.
    pub fn mac(&self) -> MacAddr {
        self.mac
    }

    /// The longest IP packet it carries, in octets.
    pub fn mtu(&self) -> u32 {
        self.mtu
    }

    /// What its frames begin with.
    pub fn layer(&self) -> LinkLayer {
        self.layer
    }

    /// Whether it was switched on (IFF_UP).
    pub fn is_up(&self) -> bool {
        self.flags.contains(LinkFlags::Up)
    }

    /// Whether it has a carrier too (IFF_RUNNING).
    pub fn is_running(&self) -> bool {
        self.flags.contains(LinkFlags::Running)
    }

    /// Whether what is sent comes back to this machine (IFF_LOOPBACK).
    pub fn is_loopback(&self) -> bool {
        self.flags.contains(LinkFlags::Loopback)
    }

    /// Whether neighbours are found by ARP: an Ethernet that is neither loopback nor marked IFF_NOARP.
    pub fn uses_arp(&self) -> bool {
        self.layer == LinkLayer::Ethernet
            && !self.is_loopback()
            && !self.flags.contains(LinkFlags::Noarp)
    }

    /// Its IPv4 addresses and the lengths of their prefixes, in the kernel's order.
    pub fn v4(&self) -> &[(Ipv4Addr, u8)] {
        &self.v4
    }

    /// Its IPv6 addresses and the lengths of their prefixes, in the kernel's order. An address that was not yet found to be
    /// unique on the link, or was found not to be (RFC 4862, section 5.4), is not among them: nobody may send from it.
    pub fn v6(&self) -> &[(Ipv6Addr, u8)] {
        &self.v6
    }

    /// Which of its IPv6 addresses suits the destination `to`, by the rules of RFC 6724, section 5, that need no more than
    /// addresses: `to` itself, the scope, not deprecated, the longest common prefix; and then rather not a temporary one. The
    /// kernel's own choice, for a route, knows more. An address whose scope is narrower than that of `to` suits only on
    /// loopback: no router takes a packet out of its scope, and no answer comes back (RFC 4007, section 9).
    pub fn source_v6(&self, to: Ipv6Addr) -> Option<Ipv6Addr> {
        let wanted = scope_of(to);
        let rank = |addr: Ipv6Addr| {
            let scope = scope_of(addr);
            // Of scopes that are wide enough the narrowest.
            let suits = (scope >= wanted, !scope);
            let common = (addr.to_bits() ^ to.to_bits()).leading_zeros();
            let is_fresh = !self.deprecated.contains(&addr);
            (addr == to, suits, is_fresh, common, !self.temporary.contains(&addr))
        };
        let reaches = |addr: &Ipv6Addr| scope_of(*addr) >= wanted || self.is_loopback();
        let addrs = self.v6.iter().map(|(addr, _)| *addr).filter(reaches);
        // Of equals the first, as max_by_key takes the last.
        addrs.rev().max_by_key(|addr| rank(*addr))
    }

    /// What it has carried until now, by its own count (IFLA_STATS64).
    ///
    /// # Errors
    ///
    /// [`LinkError::Gone`] when the interface is no longer there; [`LinkError::Io`] when the kernel refuses.
    pub fn counters(&self) -> Result<Counters, LinkError> {
        let messages =
            open()?.ask(get_link(self.index)).map_err(|source| match source.raw_os_error() {
                Some(libc::ENODEV) => LinkError::Gone { name: self.name.clone(), source },
                _ => asking(source),
            })?;
        let stats = messages.iter().find_map(|message| match message {
            RouteNetlinkMessage::NewLink(link) => {
                link.attributes.iter().find_map(|attribute| match attribute {
                    LinkAttribute::Stats64(stats) => Some(stats),
                    _ => None,
                })
            }
            _ => None,
        });
        let stats = stats.ok_or_else(|| asking(io::ErrorKind::NotFound.into()))?;
        Ok(Counters {
            rx_packets: stats.rx_packets,
            tx_packets: stats.tx_packets,
            rx_bytes: stats.rx_bytes,
            tx_bytes: stats.tx_bytes,
            rx_errors: stats.rx_errors,
            tx_errors: stats.tx_errors,
            rx_dropped: stats.rx_dropped,
            tx_dropped: stats.tx_dropped,
            rx_missed: stats.rx_missed_errors,
        })
    }
}

/// What an interface has carried, all programs together: packets and octets since it was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Octets received.
    pub rx_bytes: u64,
    /// Octets sent.
    pub tx_bytes: u64,
    /// Packets that arrived broken.
    pub rx_errors: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Packets that arrived and for which the kernel had no room.
    pub rx_dropped: u64,
    /// Packets for which the device had no room.
    pub tx_dropped: u64,
    /// Packets that the device itself lost for want of buffers.
    pub rx_missed: u64,
}

impl Counters {
    /// What was added since `earlier`. A counter that fell, as after a driver's reset, gives zero.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            rx_packets: self.rx_packets.saturating_sub(earlier.rx_packets),
            tx_packets: self.tx_packets.saturating_sub(earlier.tx_packets),
            rx_bytes: self.rx_bytes.saturating_sub(earlier.rx_bytes),
            tx_bytes: self.tx_bytes.saturating_sub(earlier.tx_bytes),
            rx_errors: self.rx_errors.saturating_sub(earlier.rx_errors),
            tx_errors: self.tx_errors.saturating_sub(earlier.tx_errors),
            rx_dropped: self.rx_dropped.saturating_sub(earlier.rx_dropped),
            tx_dropped: self.tx_dropped.saturating_sub(earlier.tx_dropped),
            rx_missed: self.rx_missed.saturating_sub(earlier.rx_missed),
        }
    }
}

/// Every link of the namespace, of whatever type.
pub(super) fn links(netlink: &mut Netlink) -> Result<Vec<LinkMessage>, LinkError> {
    let question = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let link = |message| match message {
        RouteNetlinkMessage::NewLink(link) => Some(link),
        _ => None,
    };
    netlink.dump(&question, link).map_err(asking)
}

pub(super) fn link_name(link: &LinkMessage) -> String {
    let name = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    });
    name.unwrap_or_else(|| format!("number {}", link.header.index))
}

/// The driver's word for a virtual device, empty for hardware and loopback.
pub(super) fn link_kind(link: &LinkMessage) -> String {
    let infos = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    });
    let kind = infos.into_iter().flatten().find_map(|info| match info {
        LinkInfo::Kind(InfoKind::Other(kind)) => Some(kind.clone()),
        LinkInfo::Kind(kind) => Some(kind.to_string()),
        _ => None,
    });
    kind.unwrap_or_default()
}

fn addresses(netlink: &mut Netlink) -> Result<Vec<AddressMessage>, LinkError> {
    let mut question = AddressMessage::default();
    question.header.family = AddressFamily::Unspec;
    let address = |message| match message {
        RouteNetlinkMessage::NewAddress(address) => Some(address),
        _ => None,
    };
    netlink.dump(&RouteNetlinkMessage::GetAddress(question), address).map_err(asking)
}

/// On a point-to-point link IFA_ADDRESS is the far end and IFA_LOCAL is ours; elsewhere they agree or IFA_LOCAL is missing.
fn own_address(message: &AddressMessage) -> Option<IpAddr> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(addr) => Some(*addr),
        _ => None,
    });
    local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(addr) => Some(*addr),
            _ => None,
        })
    })
}

/// The flags of an address; the field of the header has room for the first eight.
fn flags_of(message: &AddressMessage) -> AddressFlags {
    let flags = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Flags(flags) => Some(*flags),
        _ => None,
    });
    let short = AddressFlags::from_bits_retain(message.header.flags.bits().into());
    flags.unwrap_or(short)
}

/// How far an address is understood (RFC 4007; the numbers are those of multicast, RFC 7346).
fn scope_of(addr: Ipv6Addr) -> u8 {
    if addr.is_multicast() {
        return addr.octets()[1] & 0xf;
    }
    if addr.is_unicast_link_local() || addr.is_loopback() { 0x2 } else { 0xe }
}

/// The types whose frames we can make; ARPHRD_NONE is tun, WireGuard and the like.
fn layer_of(link_type: LinkLayerType) -> Option<LinkLayer> {
    match link_type {
        LinkLayerType::Ether | LinkLayerType::Loopback => Some(LinkLayer::Ethernet),
        LinkLayerType::None | LinkLayerType::Rawip => Some(LinkLayer::Ip),
        _ => None,
    }
}

fn get_link(index: u32) -> RouteNetlinkMessage {
    let mut question = LinkMessage::default();
    question.header.index = index;
    RouteNetlinkMessage::GetLink(question)
}

fn open() -> Result<Netlink, LinkError> {
    Netlink::open().map_err(asking)
}

fn asking(source: io::Error) -> LinkError {
    LinkError::Io { what: "asking the kernel for its interfaces", source }
}

#[cfg(test)]
mod tests;
