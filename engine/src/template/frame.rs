//! The part that all templates of IP packets share: link header, IP header and the sum of it.

use std::marker::PhantomData;

use super::{Address, Ends};
use crate::{
    link::LinkLayer,
    wire::{MacAddr, checksum::Sum, ethernet, ipv6, tcp},
};

/// Longest frame of a template: tagged Ethernet, IPv6, TCP with 40 octets of options.
pub(super) const MAX_LEN: usize = ethernet::LEN + ethernet::TAG_LEN + ipv6::LEN + 60;

/// A frame without its changing fields.
#[derive(Clone, Debug)]
pub(super) struct Frame<A> {
    bytes: [u8; MAX_LEN],
    len: u8,
    /// Where the IP header begins.
    ip_at: u8,
    ip_sum: Sum,
    version: PhantomData<A>,
}

/// What an IP header of ours says besides addresses.
#[expect(unnameable_types, reason = "an argument of Layout, which is not to be called elsewhere")]
#[derive(Clone, Copy, Debug)]
pub struct IpFields {
    pub(super) hop_limit: u8,
    pub(super) protocol: u8,
}

impl<A: Address> Frame<A> {
    /// A frame of `payload` in an IP packet.
    pub(super) fn new(ends: &Ends, source: A, ip: IpFields, payload: &[u8]) -> Self {
        let mut bytes = [0; MAX_LEN];
        let ip_at = write_link_header(&mut bytes, ends, A::ETHER_TYPE);
        let len = ip_at + A::HEADER_LEN + payload.len();
        let header = &mut bytes[ip_at..ip_at + A::HEADER_LEN];
        A::write(header, source, ip, payload.len() as u16);
        let ip_sum = Sum::of(header);
        bytes[ip_at + A::HEADER_LEN..len].copy_from_slice(payload);
        Self { bytes, len: len as u8, ip_at: ip_at as u8, ip_sum, version: PhantomData }
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    pub(super) fn prepare(&self, slot: &mut [u8]) {
        slot[..self.len()].copy_from_slice(&self.bytes[..self.len()]);
    }

    /// Writes the next hop and the IP header's changing fields; returns what follows the IP header.
    #[inline]
    pub(super) fn patch<'s>(
        &self,
        slot: &'s mut [u8],
        next_hop: MacAddr,
        destination: A,
        ip_id: u32,
    ) -> &'s mut [u8] {
        let ip_at = usize::from(self.ip_at);
        if ip_at > 0 {
            slot[..6].copy_from_slice(&next_hop.0);
        }
        let (header, payload) = slot[ip_at..self.len()].split_at_mut(A::HEADER_LEN);
        destination.patch(header, self.ip_sum, ip_id);
        payload
    }

    /// Writes a whole frame, `more` octets longer than the template; returns what follows the IP header.
    #[inline]
    pub(super) fn lengthened<'s>(
        &self,
        slot: &'s mut [u8],
        next_hop: MacAddr,
        destination: A,
        ip_id: u32,
        more: u16,
    ) -> &'s mut [u8] {
        let (ip_at, len) = (usize::from(self.ip_at), self.len());
        let slot = &mut slot[..len + usize::from(more)];
        slot[..len].copy_from_slice(&self.bytes[..len]);
        if ip_at > 0 {
            slot[..6].copy_from_slice(&next_hop.0);
        }
        let (header, payload) = slot[ip_at..].split_at_mut(A::HEADER_LEN);
        let sum = A::lengthen(header, self.ip_sum, payload.len() as u16, more);
        destination.patch(header, sum, ip_id);
        payload
    }
}

/// The sum over a TCP segment and its pseudo-header, with zeros for what is patched.
pub(super) fn tcp_sum<A: Address>(source: A, segment: &[u8]) -> Sum {
    transport_sum(source, tcp::PROTOCOL, segment)
}

/// The sum over what an IP packet carries and its pseudo-header, our address of the two alone (RFC 768; RFC 9293, section 3.1;
/// RFC 8200, section 8.1).
pub(super) fn transport_sum<A: Address>(source: A, protocol: u8, payload: &[u8]) -> Sum {
    Sum::of(payload).and(source.sum()).word(protocol.into()).word(payload.len() as u16)
}

/// Writes the constant part of an Ethernet header, if the link has one; returns its length.
pub(super) fn write_link_header(slot: &mut [u8], ends: &Ends, ether_type: u16) -> usize {
    if ends.layer == LinkLayer::Ip {
        return 0;
    }
    slot[6..12].copy_from_slice(&ends.source_mac.0);
    match ends.vlan {
        None => {
            slot[12..14].copy_from_slice(&ether_type.to_be_bytes());
            ethernet::LEN
        }
        Some(vid) => {
            slot[12..14].copy_from_slice(&ethernet::VLAN.to_be_bytes());
            slot[14..16].copy_from_slice(&(vid & 0x0fff).to_be_bytes());
            slot[16..18].copy_from_slice(&ether_type.to_be_bytes());
            ethernet::LEN + ethernet::TAG_LEN
        }
    }
}
