//! The part that all IPv4 templates share: link header, IP header and the sum of it.

use std::net::Ipv4Addr;

use super::Ends;
use crate::{
    link::LinkLayer,
    wire::{MacAddr, checksum::Sum, ethernet, ipv4},
};

/// Longest frame of a template: tagged Ethernet, IPv4, TCP with 40 octets of options.
pub(super) const MAX_LEN: usize = ethernet::LEN + ethernet::TAG_LEN + ipv4::MIN_LEN + 60;

/// A frame without its changing fields.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    bytes: [u8; MAX_LEN],
    len: u8,
    /// Where the IP header begins.
    pub(super) ip_at: u8,
    ip_sum: Sum,
}

/// What an IP header of ours says besides addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct IpFields {
    pub(super) ttl: u8,
    pub(super) protocol: u8,
}

/// Flags and fragment offset: don't fragment.
const DONT_FRAGMENT: [u8; 2] = [0x40, 0];

impl Frame {
    /// A frame of `payload` in an IPv4 packet.
    pub(super) fn new(ends: &Ends, source: Ipv4Addr, ip: IpFields, payload: &[u8]) -> Self {
        let mut bytes = [0; MAX_LEN];
        let ip_at = write_link_header(&mut bytes, ends, ethernet::IPV4);
        let len = ip_at + ipv4::MIN_LEN + payload.len();
        let total_len = (ipv4::MIN_LEN + payload.len()) as u16;
        let header = &mut bytes[ip_at..ip_at + ipv4::MIN_LEN];
        header[0] = 0x45; // version 4, five words
        header[2..4].copy_from_slice(&total_len.to_be_bytes());
        header[6..8].copy_from_slice(&DONT_FRAGMENT);
        header[8] = ip.ttl;
        header[9] = ip.protocol;
        header[12..16].copy_from_slice(&source.octets());
        let ip_sum = Sum::of(header);
        bytes[ip_at + ipv4::MIN_LEN..len].copy_from_slice(payload);
        Self { bytes, len: len as u8, ip_at: ip_at as u8, ip_sum }
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
        destination: Ipv4Addr,
        id: u16,
    ) -> &'s mut [u8] {
        let ip_at = usize::from(self.ip_at);
        if ip_at > 0 {
            slot[..6].copy_from_slice(&next_hop.0);
        }
        let (header, payload) = slot[ip_at..self.len()].split_at_mut(ipv4::MIN_LEN);
        let sum = self.ip_sum.word(id).words(destination.to_bits());
        header[4..6].copy_from_slice(&id.to_be_bytes());
        header[10..12].copy_from_slice(&sum.checksum().to_be_bytes());
        header[16..20].copy_from_slice(&destination.octets());
        payload
    }
}

/// The sum over a TCP segment and its pseudo-header (RFC 9293, section 3.1), with zeros for what is patched.
pub(super) fn tcp_sum(source: Ipv4Addr, segment: &[u8]) -> Sum {
    Sum::of(segment)
        .words(source.to_bits())
        .word(crate::wire::tcp::PROTOCOL.into())
        .word(segment.len() as u16)
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
