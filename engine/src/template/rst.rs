//! The RST that closes a connection which a SYN-ACK opened.

use std::net::Ipv4Addr;

use super::{
    Ends,
    frame::{Frame, IpFields, tcp_sum},
};
use crate::wire::{
    MacAddr,
    checksum::Sum,
    tcp::{self, Flags},
};

/// What changes from one RST to the next.
#[derive(Clone, Copy, Debug)]
pub struct RstFields {
    /// The hardware address to send to; ignored on links without one.
    pub next_hop: MacAddr,
    /// To whom.
    pub destination: Ipv4Addr,
    /// The port that answered.
    pub destination_port: u16,
    /// The port we asked from.
    pub source_port: u16,
    /// What the SYN-ACK acknowledged: a RST of any other number is ignored or challenged (RFC 9293, section 3.10.7.3).
    pub seq: u32,
    /// The identification of the IP packet.
    pub ip_id: u16,
}

/// Frames of a bare RST. See the [module](super).
#[derive(Clone, Debug)]
pub struct RstTemplate {
    frame: Frame,
    sum: Sum,
}

impl RstTemplate {
    /// RSTs from `ends`.
    pub fn new(ends: &Ends) -> Self {
        let source = ends.sources.v4.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let mut segment = [0; tcp::MIN_LEN];
        segment[12] = 5 << 4;
        segment[13] = Flags::RST.0;
        let frame =
            Frame::new(ends, source, IpFields { ttl: 64, protocol: tcp::PROTOCOL }, &segment);
        Self { frame, sum: tcp_sum(source, &segment) }
    }

    /// The length of every frame, in octets.
    pub fn frame_len(&self) -> usize {
        self.frame.len()
    }

    /// Writes what [`patch`](Self::patch) leaves alone.
    ///
    /// # Panics
    ///
    /// When `slot` is shorter than [`frame_len`](Self::frame_len).
    pub fn prepare(&self, slot: &mut [u8]) {
        self.frame.prepare(slot);
    }

    /// Writes one RST into a prepared slot.
    ///
    /// # Panics
    ///
    /// As [`prepare`](Self::prepare).
    #[inline]
    pub fn patch(&self, slot: &mut [u8], fields: &RstFields) {
        let segment = self.frame.patch(slot, fields.next_hop, fields.destination, fields.ip_id);
        let ports = u32::from(fields.source_port) << 16 | u32::from(fields.destination_port);
        let sum = self.sum.words(fields.destination.to_bits()).words(ports).words(fields.seq);
        segment[..4].copy_from_slice(&ports.to_be_bytes());
        segment[4..8].copy_from_slice(&fields.seq.to_be_bytes());
        segment[16..18].copy_from_slice(&sum.checksum().to_be_bytes());
    }
}
