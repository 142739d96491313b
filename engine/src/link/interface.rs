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
    address::{AddressAttribute, AddressMessage},
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
                Some(IpAddr::V6(addr)) => interface.v6.push((addr, prefix)),
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

    /// Its IPv6 addresses and the lengths of their prefixes, in the kernel's order.
    pub fn v6(&self) -> &[(Ipv6Addr, u8)] {
        &self.v6
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
    let messages = netlink.dump(&question).map_err(asking)?;
    let link = |message| match message {
        RouteNetlinkMessage::NewLink(link) => Some(link),
        _ => None,
    };
    Ok(messages.into_iter().filter_map(link).collect())
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
    let messages = netlink.dump(&RouteNetlinkMessage::GetAddress(question)).map_err(asking)?;
    let address = |message| match message {
        RouteNetlinkMessage::NewAddress(address) => Some(address),
        _ => None,
    };
    Ok(messages.into_iter().filter_map(address).collect())
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
mod tests {
    use super::*;

    fn link(link_type: LinkLayerType, attributes: Vec<LinkAttribute>) -> LinkMessage {
        let mut link = LinkMessage::default();
        link.header.index = 7;
        link.header.link_layer_type = link_type;
        link.header.flags = LinkFlags::Up | LinkFlags::Running;
        link.attributes = attributes;
        link
    }

    fn address(index: u32, prefix_len: u8, attributes: Vec<AddressAttribute>) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.index = index;
        message.header.prefix_len = prefix_len;
        message.attributes = attributes;
        message
    }

    #[track_caller]
    fn check_layer(link_type: LinkLayerType, expected: Option<LinkLayer>) {
        let read = Interface::read(&link(link_type, Vec::new()), &[]);
        assert_eq!(read.map(|interface| interface.layer()), expected);
    }

    #[test]
    fn the_link_layer_follows_from_the_hardware_type() {
        check_layer(LinkLayerType::Ether, Some(LinkLayer::Ethernet));
        check_layer(LinkLayerType::Loopback, Some(LinkLayer::Ethernet));
        check_layer(LinkLayerType::None, Some(LinkLayer::Ip));
        check_layer(LinkLayerType::Rawip, Some(LinkLayer::Ip));
        check_layer(LinkLayerType::Infiniband, None);
    }

    #[test]
    fn a_link_is_read_whole() {
        let attributes = vec![
            LinkAttribute::IfName("s0".to_owned()),
            LinkAttribute::Mtu(1400),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 9]),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth)]),
        ];
        let ours = Ipv4Addr::new(198, 18, 0, 1);
        let theirs = Ipv4Addr::new(198, 18, 0, 2);
        let addresses = [
            address(
                7,
                32,
                vec![
                    AddressAttribute::Address(theirs.into()),
                    AddressAttribute::Local(ours.into()),
                ],
            ),
            address(8, 24, vec![AddressAttribute::Local(theirs.into())]),
            address(7, 64, vec![AddressAttribute::Address("2001:db8::1".parse().unwrap())]),
        ];
        let interface =
            Interface::read(&link(LinkLayerType::Ether, attributes), &addresses).unwrap();
        assert_eq!((interface.index(), interface.name(), interface.kind()), (7, "s0", "veth"));
        assert_eq!((interface.mac(), interface.mtu()), (MacAddr([2, 0, 0, 0, 0, 9]), 1400));
        assert_eq!(
            interface.v4(),
            [(ours, 32)],
            "the far end of a point-to-point link is not ours"
        );
        assert_eq!(interface.v6(), [("2001:db8::1".parse().unwrap(), 64)]);
        assert!(
            interface.is_up()
                && interface.is_running()
                && !interface.is_loopback()
                && interface.uses_arp()
        );
    }

    #[test]
    fn counters_grow_or_were_reset() {
        let earlier = Counters { rx_packets: 5, tx_packets: 9, ..Counters::default() };
        let later = Counters { rx_packets: 7, tx_packets: 3, rx_bytes: 60, ..Counters::default() };
        let growth = Counters { rx_packets: 2, tx_packets: 0, rx_bytes: 60, ..Counters::default() };
        assert_eq!(later.since(&earlier), growth);
    }

    #[test]
    fn the_kernel_knows_lo_and_names_the_others_when_asked_for_what_is_not_there() {
        let lo = Interface::by_name("lo").unwrap();
        assert!(lo.is_loopback() && !lo.uses_arp());
        assert_eq!(Interface::by_index(lo.index()).unwrap().name(), "lo");
        assert!(Interface::list().unwrap().iter().any(|interface| interface.name() == "lo"));
        lo.counters().unwrap();
        for name in ["", "nosuch0", "longer-than-any-interface-name"] {
            match Interface::by_name(name) {
                Err(LinkError::NoInterface { name: asked, known }) => {
                    assert_eq!(asked, name);
                    assert!(known.split(", ").any(|known| known == "lo"), "{known}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
