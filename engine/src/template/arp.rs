//! ARP requests.

use std::net::Ipv4Addr;

use super::{Ends, frame::write_link_header};
use crate::wire::{MacAddr, arp, ethernet};

/// Writes a request for the hardware address of `target` into `slot`, which a template may have used, and returns the
/// length of the frame (RFC 826). Who has no IPv4 address asks as 0.0.0.0 (RFC 5227, section 2.1.1).
///
/// # Panics
///
/// When `slot` is shorter than the 46 octets of a tagged request.
pub fn arp_request(slot: &mut [u8], ends: &Ends, target: Ipv4Addr) -> u16 {
    let at = write_link_header(slot, ends, ethernet::ARP);
    if at > 0 {
        slot[..6].copy_from_slice(&MacAddr::BROADCAST.0);
    }
    let packet = &mut slot[at..at + arp::LEN];
    packet[..6].copy_from_slice(&arp::FORM);
    packet[6..8].copy_from_slice(&arp::REQUEST.to_be_bytes());
    packet[8..14].copy_from_slice(&ends.source_mac.0);
    packet[14..18].copy_from_slice(&ends.sources.v4.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
    packet[18..24].fill(0);
    packet[24..28].copy_from_slice(&target.octets());
    (at + arp::LEN) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        link::LinkLayer,
        wire::{self, Network},
    };

    #[test]
    fn a_request_is_the_kernels_byte_for_byte() {
        let kernels = include_bytes!("../../testdata/arp_request.bin");
        let mut ends = Ends {
            layer: LinkLayer::Ethernet,
            source_mac: MacAddr([2, 0, 0, 0, 0, 1]),
            vlan: None,
            sources: Ipv4Addr::new(198, 18, 0, 1).into(),
        };
        let mut slot = [0xaa; 64];
        let target = Ipv4Addr::new(198, 18, 0, 2);
        let len = usize::from(arp_request(&mut slot, &ends, target));
        assert_eq!(slot[..len], kernels[..]);

        ends.vlan = Some(9);
        let len = usize::from(arp_request(&mut slot, &ends, target));
        let packet = wire::parse(&slot[..len], LinkLayer::Ethernet).unwrap();
        assert_eq!(packet.vlan, Some(9));
        assert!(
            matches!(packet.network, Network::Arp(arp) if arp.is_request() && arp.target() == target)
        );
    }
}
