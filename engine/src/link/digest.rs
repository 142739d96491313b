//! What the XDP program tells of an answer instead of the whole frame, where nothing else of it is wanted.
//!
//! ```text
//!  0       4    6    8        12       16   18  19  20     24
//!  | addr  | rp | lp |  seq   |  ack   | win |ttl|flg| lap  |
//! ```
//!
//! Numbers are in network order, but for the last, by which the link knows that all of it is written. Only TCP over IPv4 has
//! digests, and only what proved itself by its cookie: see `engine/bpf/receive.bpf.c`, which writes them.

use std::net::Ipv4Addr;

use crate::wire::tcp::Flags;

/// A TCP segment to us, in few words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Digest {
    /// Who sent it,
    pub remote: Ipv4Addr,
    /// from this port,
    pub remote_port: u16,
    /// to this one of ours.
    pub local_port: u16,
    /// Its sequence number.
    pub seq: u32,
    /// What it acknowledges.
    pub ack: u32,
    /// Its window, not scaled.
    pub window: u16,
    /// Of its IP header.
    pub ttl: u8,
    /// Its flags.
    pub flags: Flags,
}

impl Digest {
    /// Octets of a digest.
    pub const LEN: usize = 24;

    /// Reads a digest; `None` when `octets` are not as many.
    #[inline]
    pub fn read(octets: &[u8]) -> Option<Self> {
        let octets: &[u8; Self::LEN] = octets.try_into().ok()?;
        let [
            a,
            b,
            c,
            d,
            rp0,
            rp1,
            lp0,
            lp1,
            s0,
            s1,
            s2,
            s3,
            k0,
            k1,
            k2,
            k3,
            w0,
            w1,
            ttl,
            flags,
            ..,
        ] = *octets;
        Some(Self {
            remote: Ipv4Addr::new(a, b, c, d),
            remote_port: u16::from_be_bytes([rp0, rp1]),
            local_port: u16::from_be_bytes([lp0, lp1]),
            seq: u32::from_be_bytes([s0, s1, s2, s3]),
            ack: u32::from_be_bytes([k0, k1, k2, k3]),
            window: u16::from_be_bytes([w0, w1]),
            ttl,
            flags: Flags(flags),
        })
    }
}
