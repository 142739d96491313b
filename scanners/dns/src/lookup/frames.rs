//! Frames of queries, and of the SYNs that open a connection for one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mrpf_engine::{
    template::{DatagramFields, DatagramTemplate, Ends, SynFields, SynTemplate, TcpProfile},
    wire::MacAddr,
};

use crate::message::Query;

/// How our SYNs are dressed: without timestamps, which flows do not keep up.
pub(super) const PROFILE: TcpProfile = TcpProfile::Windows;

/// Where a frame goes, and from which port.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) next_hop: MacAddr,
    pub(super) server: SocketAddr,
    pub(super) port: u16,
    /// The identification of an IPv4 packet, the flow label of an IPv6 packet.
    pub(super) label: u32,
}

/// Writes frames of both families.
#[derive(Clone, Debug)]
pub(super) struct Frames {
    v4: Option<Family<Ipv4Addr>>,
    v6: Option<Family<Ipv6Addr>>,
}

#[derive(Clone, Debug)]
struct Family<A> {
    datagrams: DatagramTemplate<A>,
    syns: SynTemplate<A>,
}

macro_rules! family {
    ($addr:ty) => {
        impl Family<$addr> {
            fn new(ends: &Ends) -> Option<Self> {
                let datagrams = DatagramTemplate::new(ends)?;
                Some(Self { datagrams, syns: SynTemplate::new(ends, PROFILE)? })
            }

            #[inline]
            fn query(&self, frame: &mut [u8], addr: $addr, way: &Way, query: &Query<'_>) -> u16 {
                let len = query.write(self.datagrams.payload(frame)) as u16;
                let fields = DatagramFields {
                    next_hop: way.next_hop,
                    destination: addr,
                    destination_port: way.server.port(),
                    source_port: way.port,
                    ip_id: way.label,
                };
                self.datagrams.finish(frame, &fields, len)
            }

            fn syn(&self, frame: &mut [u8], addr: $addr, way: &Way, seq: u32) -> u16 {
                self.syns.prepare(frame);
                let fields = SynFields {
                    next_hop: way.next_hop,
                    destination: addr,
                    destination_port: way.server.port(),
                    source_port: way.port,
                    seq,
                    ip_id: way.label,
                    ts_val: 0,
                };
                self.syns.patch(frame, &fields);
                self.syns.frame_len() as u16
            }
        }
    };
}

family!(Ipv4Addr);
family!(Ipv6Addr);

impl Frames {
    /// Frames from the addresses of `ends`.
    pub(super) fn new(ends: &Ends) -> Self {
        Self { v4: Family::<Ipv4Addr>::new(ends), v6: Family::<Ipv6Addr>::new(ends) }
    }

    /// Writes a frame with `query`; its length, `None` where we have no address of the family.
    #[inline]
    pub(super) fn query(&self, frame: &mut [u8], way: &Way, query: &Query<'_>) -> Option<u16> {
        match way.server.ip() {
            IpAddr::V4(addr) => Some(self.v4.as_ref()?.query(frame, addr, way, query)),
            IpAddr::V6(addr) => Some(self.v6.as_ref()?.query(frame, addr, way, query)),
        }
    }

    /// Writes a frame with a SYN; as [`query`](Self::query).
    pub(super) fn syn(&self, frame: &mut [u8], way: &Way, seq: u32) -> Option<u16> {
        match way.server.ip() {
            IpAddr::V4(addr) => Some(self.v4.as_ref()?.syn(frame, addr, way, seq)),
            IpAddr::V6(addr) => {
                let label = way.label & PROFILE.flow_label_mask();
                Some(self.v6.as_ref()?.syn(frame, addr, &Way { label, ..*way }, seq))
            }
        }
    }
}
