//! Segments of a live connection: acknowledgements, data, resets.

use super::{
    Address, Ends, TcpProfile,
    frame::{Frame, IpFields, tcp_sum},
};
use crate::wire::{
    MacAddr,
    checksum::Sum,
    tcp::{self, Flags},
};

/// Octets of the options of a segment with one SACK block, two of them padding (RFC 2018, section 3).
const SACK_LEN: usize = 12;

/// What one segment says.
#[derive(Clone, Copy, Debug)]
pub struct SegmentFields<'a, A> {
    /// The hardware address to send to; ignored on links without one.
    pub next_hop: MacAddr,
    /// To whom.
    pub destination: A,
    /// The port of the host.
    pub destination_port: u16,
    /// Our port.
    pub source_port: u16,
    /// The number of the first octet.
    pub seq: u32,
    /// The number that we expect next.
    pub ack: u32,
    /// The control bits.
    pub flags: Flags,
    /// How many octets we take.
    pub window: u16,
    /// The first number of a block that arrived out of order, and the first after it.
    pub sack: Option<(u32, u32)>,
    /// What it carries.
    pub payload: &'a [u8],
    /// The identification of an IPv4 packet, its low 16 bits; the flow label of an IPv6 packet, its low 20 bits.
    pub ip_id: u32,
}

/// Frames of a segment. See the [module](super).
#[derive(Clone, Debug)]
pub struct SegmentTemplate<A> {
    frame: Frame<A>,
    sum: Sum,
}

impl<A: Address> SegmentTemplate<A> {
    /// Most octets of payload that fit in a frame of 1,500 octets.
    pub const MAX_PAYLOAD: u16 = A::MAX_SEGMENT;

    /// Segments from `ends`, of the connections that SYNs of `profile` opened; `None` when it has no address of this version.
    pub fn new(ends: &Ends, profile: TcpProfile) -> Option<Self> {
        let source = A::ours(&ends.sources)?;
        let segment = [0; tcp::MIN_LEN];
        let ip = IpFields { hop_limit: profile.ttl(), protocol: tcp::PROTOCOL };
        let frame = Frame::new(ends, source, ip, &segment);
        Some(Self { frame, sum: tcp_sum(source, &segment) })
    }

    /// Writes a whole frame into a slot, whatever it held, and returns the length of the frame.
    ///
    /// # Panics
    ///
    /// When `slot` is shorter than the frame.
    #[inline]
    pub fn write(&self, slot: &mut [u8], fields: &SegmentFields<'_, A>) -> u16 {
        let options_len = if fields.sack.is_some() { SACK_LEN } else { 0 };
        let more = (options_len + fields.payload.len()) as u16;
        let SegmentFields { next_hop, destination, ip_id, .. } = *fields;
        let segment = self.frame.lengthened(slot, next_hop, destination, ip_id, more);
        let (header, payload) = segment.split_at_mut(tcp::MIN_LEN + options_len);
        let ports = u32::from(fields.source_port) << 16 | u32::from(fields.destination_port);
        let offset = (header.len() as u16 / 4) << 12 | u16::from(fields.flags.0);
        let mut sum = self.sum.and(destination.sum()).word(more).words(ports);
        sum = sum.words(fields.seq).words(fields.ack).word(offset).word(fields.window);
        header[..4].copy_from_slice(&ports.to_be_bytes());
        header[4..8].copy_from_slice(&fields.seq.to_be_bytes());
        header[8..12].copy_from_slice(&fields.ack.to_be_bytes());
        header[12..14].copy_from_slice(&offset.to_be_bytes());
        header[14..16].copy_from_slice(&fields.window.to_be_bytes());
        if let Some((first, end)) = fields.sack {
            const NOP_NOP_SACK_10: u32 = 0x0101_050a;
            let options = &mut header[tcp::MIN_LEN..];
            options[..4].copy_from_slice(&NOP_NOP_SACK_10.to_be_bytes());
            options[4..8].copy_from_slice(&first.to_be_bytes());
            options[8..12].copy_from_slice(&end.to_be_bytes());
            sum = sum.words(NOP_NOP_SACK_10).words(first).words(end);
        }
        payload.copy_from_slice(fields.payload);
        sum = sum.and(Sum::of(payload));
        header[16..18].copy_from_slice(&sum.checksum().to_be_bytes());
        self.frame.len() as u16 + more
    }
}

#[cfg(test)]
mod tests;
