//! UDP datagrams around a payload that is already in its place.
//!
//! ```text
//!  slot   | link header | ip | udp 8 | payload ...........|
//!         '---- finish writes these -'-- the caller wrote -'
//! ```

use super::{
    Address, Ends,
    frame::{Frame, IpFields, transport_sum},
};
use crate::wire::{MacAddr, checksum::Sum, udp};

/// The hop limit of our datagrams, as Linux and the BSDs have it.
const HOP_LIMIT: u8 = 64;

/// What one datagram says besides its payload.
#[derive(Clone, Copy, Debug)]
pub struct DatagramFields<A> {
    /// The hardware address to send to; ignored on links without one.
    pub next_hop: MacAddr,
    /// To whom.
    pub destination: A,
    /// The port of the host.
    pub destination_port: u16,
    /// Our port.
    pub source_port: u16,
    /// The identification of an IPv4 packet, its low 16 bits; the flow label of an IPv6 packet, its low 20 bits.
    pub ip_id: u32,
}

/// Frames of a datagram. See the [module](super).
#[derive(Clone, Debug)]
pub struct DatagramTemplate<A> {
    frame: Frame<A>,
    sum: Sum,
}

impl<A: Address> DatagramTemplate<A> {
    /// Most octets of payload that fit in a frame of 1,500 octets.
    pub const MAX_PAYLOAD: u16 = A::MAX_DATAGRAM;

    /// Datagrams from `ends`; `None` when it has no address of this version.
    pub fn new(ends: &Ends) -> Option<Self> {
        let source = A::ours(&ends.sources)?;
        let datagram = [0; udp::LEN];
        let ip = IpFields { hop_limit: HOP_LIMIT, protocol: udp::PROTOCOL };
        // The length stands in the pseudo-header, which is summed here, and in the header as well (RFC 768).
        let sum = transport_sum(source, udp::PROTOCOL, &datagram).word(udp::LEN as u16);
        Some(Self { frame: Frame::new(ends, source, ip, &datagram), sum })
    }

    /// Octets of all headers: the length of a frame without payload.
    pub fn headers_len(&self) -> usize {
        self.frame.len()
    }

    /// Where in a slot the payload goes: its first octet is the first of what this gives.
    ///
    /// # Panics
    ///
    /// When `slot` is shorter than the headers.
    #[inline]
    pub fn payload<'s>(&self, slot: &'s mut [u8]) -> &'s mut [u8] {
        &mut slot[self.frame.len()..]
    }

    /// Writes the headers before the `payload_len` octets of [payload](Self::payload) in a slot, whatever else it held, and
    /// returns the length of the frame.
    ///
    /// # Panics
    ///
    /// When `slot` is shorter than the frame.
    #[inline]
    pub fn finish(&self, slot: &mut [u8], fields: &DatagramFields<A>, payload_len: u16) -> u16 {
        let DatagramFields { next_hop, destination, ip_id, .. } = *fields;
        let datagram = self.frame.lengthened(slot, next_hop, destination, ip_id, payload_len);
        let (header, payload) = datagram.split_at_mut(udp::LEN);
        let ports = u32::from(fields.source_port) << 16 | u32::from(fields.destination_port);
        let sum = self.sum.and(destination.sum()).words(ports).and(Sum::of(payload));
        let checksum = sum.word(payload_len).word(payload_len).checksum();
        header[..4].copy_from_slice(&ports.to_be_bytes());
        header[4..6].copy_from_slice(&(udp::LEN as u16 + payload_len).to_be_bytes());
        // Zero would say that there is none, which IPv6 forbids (RFC 768; RFC 8200, section 8.1).
        header[6..8]
            .copy_from_slice(&if checksum == 0 { u16::MAX } else { checksum }.to_be_bytes());
        self.frame.len() as u16 + payload_len
    }
}

#[cfg(test)]
mod tests;
