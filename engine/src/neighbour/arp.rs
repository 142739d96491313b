//! Whose answer counts in IPv4 (RFC 826).

use std::net::Ipv4Addr;

use crate::wire::{MacAddr, arp};

/// Takes an ARP packet for an answer to `source`, which is at `source_mac`: a reply, addressed to us, from a host (a unicast
/// hardware address that is not ours). Gives the address that answered and where it is.
pub(super) fn answer(
    packet: &arp::Packet<'_>,
    source: Ipv4Addr,
    source_mac: MacAddr,
) -> Option<(u32, MacAddr)> {
    let is_to_us =
        packet.is_reply() && packet.target() == source && packet.target_mac() == source_mac;
    let mac = packet.sender_mac();
    (is_to_us && is_of_host(mac, source_mac)).then(|| (packet.sender().to_bits(), mac))
}

/// Whether another host than we can have the address.
pub(super) fn is_of_host(mac: MacAddr, ours: MacAddr) -> bool {
    is_unicast(mac) && mac != ours
}

/// Whether one host can have the address: the lowest bit of the first octet marks groups (IEEE 802, section 8.2.2).
pub(super) fn is_unicast(mac: MacAddr) -> bool {
    mac.0[0] & 1 == 0 && mac != MacAddr::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
    const OUR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const THEIRS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 5);
    const THEIR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 5]);

    /// The parts of an ARP packet.
    #[derive(Clone, Copy)]
    struct Parts {
        operation: u16,
        sender: Ipv4Addr,
        sender_mac: MacAddr,
        target: Ipv4Addr,
        target_mac: MacAddr,
    }

    const REPLY: Parts = Parts {
        operation: 2,
        sender: THEIRS,
        sender_mac: THEIR_MAC,
        target: OURS,
        target_mac: OUR_MAC,
    };

    impl Parts {
        fn answer(self) -> Option<(u32, MacAddr)> {
            let mut bytes = arp::FORM.to_vec();
            bytes.extend(self.operation.to_be_bytes());
            bytes.extend(self.sender_mac.0);
            bytes.extend(self.sender.octets());
            bytes.extend(self.target_mac.0);
            bytes.extend(self.target.octets());
            answer(&arp::Packet::parse(&bytes).unwrap(), OURS, OUR_MAC)
        }
    }

    #[test]
    fn a_reply_to_us_is_an_answer() {
        assert_eq!(REPLY.answer(), Some((THEIRS.to_bits(), THEIR_MAC)));
    }

    #[test]
    fn what_cannot_be_to_our_question_is_refused() {
        let other = MacAddr([2, 0, 0, 0, 0, 9]);
        for parts in [
            Parts { operation: 1, ..REPLY },
            Parts { target: Ipv4Addr::new(198, 18, 0, 9), ..REPLY },
            Parts { target: THEIRS, ..REPLY }, // gratuitous (RFC 5227)
            Parts { target_mac: other, ..REPLY },
            Parts { target_mac: MacAddr::BROADCAST, ..REPLY },
            Parts { sender_mac: MacAddr::BROADCAST, ..REPLY },
            Parts { sender_mac: MacAddr([1, 0, 0x5e, 0, 0, 5]), ..REPLY },
            Parts { sender_mac: MacAddr::ZERO, ..REPLY },
            Parts { sender_mac: OUR_MAC, ..REPLY },
        ] {
            assert_eq!(parts.answer(), None);
        }
    }
}
