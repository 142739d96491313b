//! Whose answer counts in IPv6 (RFC 4861, section 7.2.5).
//!
//! Solicitations for our own address are not answered here: it is an address of the kernel's, and the kernel answers.

use std::net::Ipv6Addr;

use super::arp::is_of_host;
use crate::wire::{MacAddr, Packet, icmpv6, ipv6, ndp};

/// Takes an ICMPv6 message for an answer to `source`, which is at `source_mac`: a valid advertisement (section 7.1.2: hop
/// limit 255, so that no router has passed it on, and the right checksum), solicited, addressed to us and not in fragments
/// (RFC 6980), of the hardware address of a host. Gives the address that answered and where it is.
///
/// One without a hardware address is refused: a solicitation to a group has to be answered with it (section 7.2.4).
pub(super) fn answer(
    packet: &Packet<'_>,
    header: &ipv6::Header<'_>,
    message: &icmpv6::Message<'_>,
    source: Ipv6Addr,
    source_mac: MacAddr,
) -> Option<(u128, MacAddr)> {
    // Advertisements for others are the rule on a busy link: their checksums are not worth counting.
    if header.destination() != source || !header.extension_bytes().is_empty() {
        return None;
    }
    if packet.ethernet.is_none_or(|ethernet| ethernet.source() == source_mac) {
        return None;
    }
    let advertisement = ndp::Advertisement::parse(header, message).ok()?;
    if !advertisement.is_solicited || advertisement.target == source {
        return None;
    }
    let mac = advertisement.target_mac.filter(|mac| is_of_host(*mac, source_mac))?;
    message
        .has_right_checksum(header.source(), header.destination())
        .then(|| (advertisement.target.to_bits(), mac))
}

/// Whether a message is one of neighbour discovery: from router solicitation to redirect.
pub(super) fn is_discovery(message: &icmpv6::Message<'_>) -> bool {
    matches!(message.kind(), 133..=137)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        link::LinkLayer,
        template::{self, Ends},
        wire::{self, Network, Transport},
    };

    const OURS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    const THEIRS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 5);
    const OUR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const THEIR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 5]);
    /// Where the fields of an untagged advertisement begin.
    const HOP_LIMIT: usize = 14 + 7;
    const SENDER: usize = 14 + 8;
    const FLAGS: usize = 14 + 40 + 4;
    const CHECKSUM: usize = 14 + 40 + 2;
    const OPTION: usize = 14 + 40 + 24;

    /// The advertisement with which a host at `mac` answers us.
    fn advertisement(mac: MacAddr) -> Vec<u8> {
        let ends = Ends {
            layer: LinkLayer::Ethernet,
            source_mac: mac,
            vlan: None,
            sources: THEIRS.into(),
        };
        let mut slot = [0; 128];
        let asker = Some((OURS, OUR_MAC));
        let len = template::neighbour_advertisement(&mut slot, &ends, THEIRS, asker);
        slot[..len.into()].to_vec()
    }

    fn read(frame: &[u8]) -> Option<(u128, MacAddr)> {
        let packet = wire::parse(frame, LinkLayer::Ethernet).unwrap();
        let Network::Ipv6(header, Transport::Icmpv6(message)) = packet.network else {
            panic!("{packet:?}");
        };
        answer(&packet, &header, &message, OURS, OUR_MAC)
    }

    /// An advertisement with other octets and a checksum that is right again.
    fn changed(mac: MacAddr, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut frame = advertisement(mac);
        change(&mut frame);
        frame[CHECKSUM..CHECKSUM + 2].fill(0);
        let len = (frame.len() - 54) as u16;
        let sum = wire::checksum::Sum::of(&frame[SENDER..54])
            .word(len)
            .word(icmpv6::PROTOCOL.into())
            .and(wire::checksum::Sum::of(&frame[54..]));
        frame[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum.checksum().to_be_bytes());
        frame
    }

    #[test]
    fn an_advertisement_to_us_is_an_answer() {
        let expected = Some((THEIRS.to_bits(), THEIR_MAC));
        assert_eq!(read(&advertisement(THEIR_MAC)), expected);
        assert_eq!(read(&changed(THEIR_MAC, |_| ())), expected);
        let by_another =
            changed(THEIR_MAC, |frame| frame[6..12].copy_from_slice(&[2, 7, 7, 7, 7, 7]));
        assert_eq!(read(&by_another), expected, "by a proxy (section 7.2.8)");
    }

    #[test]
    fn what_cannot_be_to_our_question_is_refused() {
        let refused = |what: &str, frame: &[u8]| assert_eq!(read(frame), None, "{what}");
        let with = |change: fn(&mut Vec<u8>)| changed(THEIR_MAC, change);
        refused("a router has passed it on", &with(|frame| frame[HOP_LIMIT] = 254));
        refused("to another", &with(|frame| frame[14 + 39] ^= 1));
        refused("not solicited", &with(|frame| frame[FLAGS] &= !0x40));
        refused("a code", &with(|frame| frame[55] = 1));
        refused("a solicitation", &with(|frame| frame[54] = 135));
        refused("of our own address", &with(|frame| frame[FLAGS + 4 + 15] = 1));
        refused("our own frame", &with(|frame| frame[6..12].copy_from_slice(&OUR_MAC.0)));
        refused(
            "without a hardware address",
            &with(|frame| {
                frame.truncate(OPTION);
                frame[14 + 5] -= 8;
            }),
        );
        refused("a broken option", &with(|frame| frame[OPTION + 1] = 0));
        for mac in [OUR_MAC, MacAddr::ZERO, MacAddr::BROADCAST, MacAddr([0x33, 0x33, 0, 0, 0, 1])] {
            let frame = changed(THEIR_MAC, |frame| {
                frame[OPTION + 2..OPTION + 8].copy_from_slice(&mac.0);
            });
            refused("not a host's", &frame);
        }
    }

    #[test]
    fn every_octet_is_covered_by_the_checksum() {
        let whole = advertisement(THEIR_MAC);
        for at in 54..whole.len() {
            for bit in 0..8 {
                let mut frame = whole.clone();
                frame[at] ^= 1 << bit;
                assert_eq!(read(&frame), None, "octet {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn fragments_are_refused() {
        let frame = changed(THEIR_MAC, |_| ());
        let mut fragment = frame[..54].to_vec();
        fragment[14 + 6] = 44;
        fragment[14 + 5] += 8;
        fragment.extend([icmpv6::PROTOCOL, 0, 0, 0, 0, 0, 0, 9]);
        fragment.extend(&frame[54..]);
        assert_eq!(read(&fragment), None);
    }
}
