//! A segment to be sent, and the frame that carries it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::About;
use crate::{
    target::Target,
    template::{Ends, SegmentFields, SegmentTemplate, TcpProfile},
    wire::{MacAddr, tcp::Flags},
};

/// What is asked on a connection. A request is made each time it is sent, so that no flow keeps a copy of it.
pub trait Requests {
    /// The whole of request `about.request`: as many octets as were announced, and the same ones each time.
    fn bytes(&mut self, about: &About) -> &[u8];
}

/// One segment to be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Outgoing<'a> {
    /// To whom.
    pub remote: Target,
    /// From which port.
    pub local_port: u16,
    /// The hardware address to send to.
    pub next_hop: MacAddr,
    /// The number of the first octet.
    pub seq: u32,
    /// The number that we expect next.
    pub ack: u32,
    /// The control bits.
    pub flags: Flags,
    /// How many octets we take, as the field has it.
    pub window: u16,
    /// A block that arrived beyond a hole: its first number, and the first after it.
    pub sack: Option<(u32, u32)>,
    /// What it carries.
    pub payload: &'a [u8],
    /// See [`Opening::label`](super::Opening::label).
    pub label: u32,
}

/// Writes frames for segments of both families.
#[derive(Clone, Debug)]
pub struct Frames {
    v4: Option<SegmentTemplate<Ipv4Addr>>,
    v6: Option<SegmentTemplate<Ipv6Addr>>,
    flow_label_mask: u32,
}

impl Frames {
    /// The longest frame: what a slot of the link must hold.
    pub const MAX_LEN: usize = 14 + 4 + 1_500;

    /// Frames from `ends`, of connections that SYNs of `profile` opened.
    pub fn new(ends: &Ends, profile: TcpProfile) -> Self {
        Self {
            v4: SegmentTemplate::new(ends, profile),
            v6: SegmentTemplate::new(ends, profile),
            flow_label_mask: profile.flow_label_mask(),
        }
    }

    /// Writes a whole frame into a slot, whatever it held, and returns the length of the frame: 0 where we have no address of the
    /// family of the host.
    ///
    /// # Panics
    ///
    /// When `slot` is shorter than [`MAX_LEN`](Self::MAX_LEN).
    #[inline]
    pub fn write(&self, slot: &mut [u8], outgoing: &Outgoing<'_>) -> u16 {
        match (outgoing.remote.addr, &self.v4, &self.v6) {
            (IpAddr::V4(addr), Some(template), _) => {
                template.write(slot, &fields(addr, outgoing.label, outgoing))
            }
            (IpAddr::V6(addr), _, Some(template)) => {
                template.write(slot, &fields(addr, outgoing.label & self.flow_label_mask, outgoing))
            }
            _ => 0,
        }
    }
}

#[inline]
fn fields<'a, A>(destination: A, ip_id: u32, outgoing: &Outgoing<'a>) -> SegmentFields<'a, A> {
    SegmentFields {
        next_hop: outgoing.next_hop,
        destination,
        destination_port: outgoing.remote.port,
        source_port: outgoing.local_port,
        seq: outgoing.seq,
        ack: outgoing.ack,
        flags: outgoing.flags,
        window: outgoing.window,
        sack: outgoing.sack,
        payload: outgoing.payload,
        ip_id,
    }
}
