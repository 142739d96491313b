//! A received segment as a flow needs it.

use crate::{
    target::Target,
    wire::{Network, Packet, Transport, tcp::Segment},
};

/// A segment, and between whom.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Who sent it.
    pub remote: Target,
    /// The port of ours that it is for.
    pub local_port: u16,
    /// What it says.
    pub segment: Segment<'a>,
    /// Whether the link showed less of it than was sent, so that nobody knows where it ends.
    pub is_cut: bool,
}

impl<'a> Incoming<'a> {
    /// The segment in `packet`, `None` when that carries none. Whether it is for an address of ours is not asked here.
    #[inline]
    pub fn of(packet: &Packet<'a>) -> Option<Self> {
        let (addr, segment, named, before) = match packet.network {
            Network::Ipv4(header, Transport::Tcp(segment)) => {
                let before = crate::wire::ipv4::MIN_LEN + header.options_bytes().len();
                (header.source().into(), segment, header.total_len(), before)
            }
            Network::Ipv6(header, Transport::Tcp(segment)) => {
                let before = header.extension_bytes().len();
                (header.source().into(), segment, header.payload_len(), before)
            }
            _ => return None,
        };
        let header_len = crate::wire::tcp::MIN_LEN + segment.options_bytes().len();
        // A length of zero names none: the packet is longer than the field can say (RFC 2675; Linux does it in IPv4 too).
        let sent = usize::from(named).checked_sub(before + header_len);
        Some(Self {
            remote: Target { addr, port: segment.source_port() },
            local_port: segment.destination_port(),
            is_cut: sent.is_some_and(|sent| sent > segment.payload().len()),
            segment,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        link::LinkLayer,
        wire::{self, ethernet},
    };

    fn of(frame: &[u8]) -> Option<(Target, u16, usize, bool)> {
        let packet = wire::parse(frame, LinkLayer::Ethernet).unwrap();
        let incoming = Incoming::of(&packet)?;
        let len = incoming.segment.payload().len();
        Some((incoming.remote, incoming.local_port, len, incoming.is_cut))
    }

    #[test]
    fn segments_of_both_families_are_read_and_nothing_else_is() {
        let v4 = of(include_bytes!("../../testdata/data.bin")).unwrap();
        assert_eq!((v4.2, v4.3), (56, false));
        let v6 = of(include_bytes!("../../testdata/ipv6_syn_ack.bin")).unwrap();
        assert!(v6.0.addr.is_ipv6());
        assert_eq!((v6.2, v6.3), (0, false));
        assert_eq!(of(include_bytes!("../../testdata/udp.bin")), None);
        assert_eq!(of(include_bytes!("../../testdata/arp_reply.bin")), None);
    }

    #[test]
    fn what_the_link_cut_is_known_to_be_cut() {
        let whole = include_bytes!("../../testdata/data.bin");
        let cut = of(&whole[..whole.len() - 1]).unwrap();
        assert_eq!((cut.2, cut.3), (55, true));
        // Padding behind the packet is no part of it.
        let padded = [&whole[..], &[0; 6]].concat();
        assert_eq!(of(&padded).unwrap().2, 56);
        let mut unnamed = whole.to_vec();
        unnamed[ethernet::LEN + 2..ethernet::LEN + 4].fill(0);
        if let Ok(packet) = wire::parse(&unnamed, LinkLayer::Ethernet) {
            assert!(!Incoming::of(&packet).unwrap().is_cut);
        }
    }
}
