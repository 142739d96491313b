//! What templates of IPv4 and of IPv6 differ in.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::frame::IpFields;
use crate::{
    sources::Sources,
    wire::{checksum::Sum, ethernet, ipv4, ipv6},
};

/// The address of one version of IP, which decides what a template's header looks like. Only [`Ipv4Addr`] and [`Ipv6Addr`]
/// are one.
pub trait Address: Layout {}

impl Address for Ipv4Addr {}
impl Address for Ipv6Addr {}

/// The header of a version of IP. Out of reach, so that nobody adds a third.
#[expect(unnameable_types, reason = "so that nobody adds a third version")]
pub trait Layout: Copy + fmt::Debug + Eq {
    const ETHER_TYPE: u16;
    const HEADER_LEN: usize;
    /// What a TCP segment holds at most in a frame of 1,500 octets.
    const MAX_SEGMENT: u16;
    /// What a UDP datagram holds at most in such a frame.
    const MAX_DATAGRAM: u16;

    /// Our address of this version.
    fn ours(sources: &Sources) -> Option<Self>;

    /// Writes the fields that never change into a header of zeros.
    fn write(header: &mut [u8], source: Self, ip: IpFields, payload_len: u16);

    /// Writes those that do; `constant` is the sum of what [`write`](Self::write) wrote.
    fn patch(self, header: &mut [u8], constant: Sum, ip_id: u32);

    /// Writes the length of what the header carries, `more` than [`write`](Self::write) was told; returns the sum of the
    /// header then.
    fn lengthen(header: &mut [u8], constant: Sum, payload_len: u16, more: u16) -> Sum;

    /// This address as a part of a checksum.
    fn sum(self) -> Sum;
}

/// Flags and fragment offset: don't fragment.
const DONT_FRAGMENT: [u8; 2] = [0x40, 0];

impl Layout for Ipv4Addr {
    const ETHER_TYPE: u16 = ethernet::IPV4;
    const HEADER_LEN: usize = ipv4::MIN_LEN;
    const MAX_SEGMENT: u16 = 1_460;
    const MAX_DATAGRAM: u16 = 1_472;

    fn ours(sources: &Sources) -> Option<Self> {
        sources.v4
    }

    fn write(header: &mut [u8], source: Self, ip: IpFields, payload_len: u16) {
        header[0] = 0x45; // version 4, five words
        header[2..4].copy_from_slice(&(ipv4::MIN_LEN as u16 + payload_len).to_be_bytes());
        header[6..8].copy_from_slice(&DONT_FRAGMENT);
        header[8] = ip.hop_limit;
        header[9] = ip.protocol;
        header[12..16].copy_from_slice(&source.octets());
    }

    #[inline]
    fn patch(self, header: &mut [u8], constant: Sum, ip_id: u32) {
        let id = ip_id as u16;
        let sum = constant.word(id).words(self.to_bits());
        header[4..6].copy_from_slice(&id.to_be_bytes());
        header[10..12].copy_from_slice(&sum.checksum().to_be_bytes());
        header[16..20].copy_from_slice(&self.octets());
    }

    #[inline]
    fn lengthen(header: &mut [u8], constant: Sum, payload_len: u16, more: u16) -> Sum {
        header[2..4].copy_from_slice(&(ipv4::MIN_LEN as u16 + payload_len).to_be_bytes());
        constant.word(more)
    }

    #[inline]
    fn sum(self) -> Sum {
        Sum::default().words(self.to_bits())
    }
}

/// The version in the first four octets of an IPv6 header, of traffic class 0.
const VERSION_6: u32 = 6 << 28;
/// The part of them that is the flow label.
pub(super) const FLOW_LABEL: u32 = 0xf_ffff;

impl Layout for Ipv6Addr {
    const ETHER_TYPE: u16 = ethernet::IPV6;
    const HEADER_LEN: usize = ipv6::LEN;
    const MAX_SEGMENT: u16 = 1_440;
    const MAX_DATAGRAM: u16 = 1_452;

    fn ours(sources: &Sources) -> Option<Self> {
        sources.v6
    }

    fn write(header: &mut [u8], source: Self, ip: IpFields, payload_len: u16) {
        header[..4].copy_from_slice(&VERSION_6.to_be_bytes());
        header[4..6].copy_from_slice(&payload_len.to_be_bytes());
        header[6] = ip.protocol;
        header[7] = ip.hop_limit;
        header[8..24].copy_from_slice(&source.octets());
    }

    /// There is no checksum in this header (RFC 8200, section 8.1 has it in what is carried alone).
    #[inline]
    fn patch(self, header: &mut [u8], _constant: Sum, ip_id: u32) {
        header[..4].copy_from_slice(&(VERSION_6 | ip_id & FLOW_LABEL).to_be_bytes());
        header[24..40].copy_from_slice(&self.octets());
    }

    #[inline]
    fn lengthen(header: &mut [u8], constant: Sum, payload_len: u16, _more: u16) -> Sum {
        header[4..6].copy_from_slice(&payload_len.to_be_bytes());
        constant
    }

    #[inline]
    fn sum(self) -> Sum {
        let bits = self.to_bits();
        Sum::default()
            .words((bits >> 96) as u32)
            .words((bits >> 64) as u32)
            .words((bits >> 32) as u32)
            .words(bits as u32)
    }
}
