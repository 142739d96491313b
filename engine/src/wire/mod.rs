//! Views of received bytes: read where they lie, checked once.
//!
//! [`parse`] reads the lengths of one frame from the outermost header inwards and returns views that borrow it. A view holds
//! its fixed header as an array, so no accessor can fail or checks a bound again.
//!
//! ```text
//!  frame  -> ethernet::Header -> VLAN tags -> arp::Packet
//!                                          |-> ipv4::Header -> tcp::Segment -> tcp_options
//!                                          |                |-> udp::Datagram
//!                                          |                '-> icmp::Message -> Quoted
//!                                          '-> ipv6::Header -> extension headers
//!                                                           |-> tcp::Segment, udp::Datagram
//!                                                           '-> icmpv6::Message -> Quoted, ndp
//! ```
//!
//! # What holds
//!
//! - Nothing here panics, allocates or loops without end, whatever the bytes. The fuzz targets hold it to that.
//! - A payload that the link cut short is shown as far as it goes; a header that is cut is [`Malformed`].
//! - Bytes after the end that the IP header names (Ethernet padding) belong to no view.
//!
//! Never here: [`parse`] judges no checksums, since the kernel shows frames of virtual devices before they have one, and a reply
//! proves itself by its cookie; who takes more than that from a datagram asks [`udp::Datagram::is_intact`]. Fragments are not put together. Nothing is built: that is [`crate::template`].

pub mod arp;
pub mod checksum;
mod error;
pub mod ethernet;
#[cfg(any(fuzzing, test, feature = "testing"))]
pub mod fuzzing;
pub mod icmp;
pub mod icmpv6;
pub mod ipv4;
pub mod ipv6;
pub mod ndp;
mod quote;
pub mod tcp;
pub mod tcp_options;
pub mod udp;

pub use self::{
    error::{Layer, Malformed},
    ethernet::{MacAddr, MacAddrError},
    quote::Quoted,
};
use crate::link::LinkLayer;

/// One received packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// The Ethernet header; `None` on links without one.
    pub ethernet: Option<ethernet::Header<'a>>,
    /// The VLAN of the innermost tag (IEEE 802.1Q), 12 bits; `None` without a tag.
    pub vlan: Option<u16>,
    /// What it carries.
    pub network: Network<'a>,
}

/// The network layer of a packet.
#[derive(Clone, Copy, Debug)]
pub enum Network<'a> {
    /// ARP for IPv4 over Ethernet.
    Arp(arp::Packet<'a>),
    /// IPv4, and what is in it.
    Ipv4(ipv4::Header<'a>, Transport<'a>),
    /// IPv6, and what is in it.
    Ipv6(ipv6::Header<'a>, Transport<'a>),
    /// Something else, by its EtherType.
    Other(u16),
}

/// What an IP packet carries.
#[derive(Clone, Copy, Debug)]
pub enum Transport<'a> {
    /// A TCP segment.
    Tcp(tcp::Segment<'a>),
    /// A UDP datagram.
    Udp(udp::Datagram<'a>),
    /// An ICMP message, in IPv4 alone.
    Icmp(icmp::Message<'a>),
    /// An ICMPv6 message, in IPv6 alone.
    Icmpv6(icmpv6::Message<'a>),
    /// A fragment that is not the first, so it has no transport header.
    Fragment,
    /// Another protocol, by its number.
    Other(u8),
}

/// Reads the lengths of every header in `frame`.
///
/// # Errors
///
/// [`Malformed`] when a header is not all there or contradicts itself. Anyone can cause it: count it and go on.
#[inline]
pub fn parse(frame: &[u8], layer: LinkLayer) -> Result<Packet<'_>, Malformed> {
    match layer {
        LinkLayer::Ethernet => {
            let (ethernet, rest) = ethernet::Header::parse(frame)?;
            let (ether_type, vlan, rest) = ethernet::tags(ethernet.ether_type(), rest)?;
            Ok(Packet { ethernet: Some(ethernet), vlan, network: network(ether_type, rest)? })
        }
        LinkLayer::Ip => {
            let ether_type = match frame.first().map(|octet| octet >> 4) {
                None => return Err(Malformed::Short(Layer::Ipv4, ipv4::MIN_LEN)),
                Some(4) => ethernet::IPV4,
                Some(6) => ethernet::IPV6,
                Some(_) => 0,
            };
            Ok(Packet { ethernet: None, vlan: None, network: network(ether_type, frame)? })
        }
    }
}

#[inline]
fn network(ether_type: u16, bytes: &[u8]) -> Result<Network<'_>, Malformed> {
    match ether_type {
        ethernet::IPV4 => {
            let (header, payload) = ipv4::Header::parse(bytes)?;
            let transport = match header.protocol() {
                _ if header.fragment_offset() > 0 => Transport::Fragment,
                icmp::PROTOCOL => Transport::Icmp(icmp::Message::parse(payload)?),
                protocol => transport(protocol, payload)?,
            };
            Ok(Network::Ipv4(header, transport))
        }
        ethernet::IPV6 => {
            let (header, payload) = ipv6::Header::parse(bytes)?;
            let transport = match header.protocol() {
                _ if header.fragment_offset() > 0 => Transport::Fragment,
                icmpv6::PROTOCOL => Transport::Icmpv6(icmpv6::Message::parse(payload)?),
                protocol => transport(protocol, payload)?,
            };
            Ok(Network::Ipv6(header, transport))
        }
        ethernet::ARP => arp::Packet::parse(bytes).map(Network::Arp),
        other => Ok(Network::Other(other)),
    }
}

/// What both versions of IP carry alike.
#[inline]
fn transport(protocol: u8, payload: &[u8]) -> Result<Transport<'_>, Malformed> {
    match protocol {
        tcp::PROTOCOL => tcp::Segment::parse(payload).map(Transport::Tcp),
        udp::PROTOCOL => udp::Datagram::parse(payload).map(Transport::Udp),
        other => Ok(Transport::Other(other)),
    }
}

#[cfg(test)]
mod tests;
