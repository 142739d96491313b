//! Neighbour solicitations and advertisements.

use std::net::Ipv6Addr;

use super::{Ends, frame::write_link_header};
use crate::wire::{MacAddr, checksum::Sum, ethernet, icmpv6, ipv6, ndp};

/// ICMPv6 header, target and one option with a hardware address.
const LEN: usize = icmpv6::LEN + 16 + 8;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Flags of an advertisement that answers: solicited, and better than what is known.
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// Writes a solicitation of the hardware address of `target` into `slot`, which a template may have used, and returns the
/// length of the frame (RFC 4861, section 4.3). It goes to the group of the target's last three octets (section 2.3), so that
/// hardly anyone else hears it.
///
/// `source` is one of our addresses on the link; the unspecified address asks whether anyone has `target` (RFC 4862, section
/// 5.4.2).
///
/// # Panics
///
/// When `slot` is shorter than the 90 octets of a tagged solicitation.
pub fn neighbour_solicitation(
    slot: &mut [u8],
    ends: &Ends,
    source: Ipv6Addr,
    target: Ipv6Addr,
) -> u16 {
    let [.., a, b, c] = target.octets();
    let group =
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
    let option = (!source.is_unspecified()).then_some(ndp::SOURCE_LINK_LAYER);
    let message = Message { kind: ndp::SOLICITATION, flags: 0, target, option };
    write(slot, ends, (source, group, multicast_mac(group)), &message)
}

/// Writes an advertisement that `ours`, an address of ours, is at our hardware address; returns the length of the frame (RFC
/// 4861, section 4.4). `asker` is who asked; `None` when it had no address, and then every node on the link is told (section
/// 7.2.4).
///
/// # Panics
///
/// As [`neighbour_solicitation`].
pub fn neighbour_advertisement(
    slot: &mut [u8],
    ends: &Ends,
    ours: Ipv6Addr,
    asker: Option<(Ipv6Addr, MacAddr)>,
) -> u16 {
    let (flags, (to, mac)) = match asker {
        Some(asker) => (SOLICITED | OVERRIDE, asker),
        None => (OVERRIDE, (ALL_NODES, multicast_mac(ALL_NODES))),
    };
    let option = Some(ndp::TARGET_LINK_LAYER);
    let message = Message { kind: ndp::ADVERTISEMENT, flags, target: ours, option };
    write(slot, ends, (ours, to, mac), &message)
}

struct Message {
    kind: u8,
    flags: u8,
    target: Ipv6Addr,
    /// Which option holds our hardware address, if one does.
    option: Option<u8>,
}

fn write(
    slot: &mut [u8],
    ends: &Ends,
    (source, destination, mac): (Ipv6Addr, Ipv6Addr, MacAddr),
    message: &Message,
) -> u16 {
    let at = write_link_header(slot, ends, ethernet::IPV6);
    if at > 0 {
        slot[..6].copy_from_slice(&mac.0);
    }
    let len = if message.option.is_some() { LEN } else { LEN - 8 };
    let (header, rest) = slot[at..at + ipv6::LEN + len].split_at_mut(ipv6::LEN);
    header[..4].copy_from_slice(&[0x60, 0, 0, 0]);
    header[4..6].copy_from_slice(&(len as u16).to_be_bytes());
    header[6..8].copy_from_slice(&[icmpv6::PROTOCOL, ndp::HOP_LIMIT]);
    header[8..24].copy_from_slice(&source.octets());
    header[24..40].copy_from_slice(&destination.octets());
    rest[..8].copy_from_slice(&[message.kind, 0, 0, 0, message.flags, 0, 0, 0]);
    rest[8..24].copy_from_slice(&message.target.octets());
    if let Some(option) = message.option {
        rest[24..26].copy_from_slice(&[option, 1]);
        rest[26..32].copy_from_slice(&ends.source_mac.0);
    }
    let sum =
        Sum::of(&header[8..40]).word(len as u16).word(icmpv6::PROTOCOL.into()).and(Sum::of(rest));
    rest[2..4].copy_from_slice(&sum.checksum().to_be_bytes());
    (at + ipv6::LEN + len) as u16
}

/// Where a group is heard (RFC 2464, section 7).
fn multicast_mac(group: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = group.octets();
    MacAddr([0x33, 0x33, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::{
        link::LinkLayer,
        wire::{self, Network, Transport},
    };

    const OURS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    const THEIRS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0x1122, 0x3344, 0x5566, 0x7788);
    const OUR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const THEIR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

    fn ends(layer: LinkLayer, vlan: Option<u16>) -> Ends {
        Ends { layer, source_mac: OUR_MAC, vlan, sources: Ipv4Addr::new(198, 18, 0, 1).into() }
    }

    /// Destination address and hardware address of a frame whose checksum is right, and what `read` makes of its message.
    #[track_caller]
    fn read<T>(
        frame: &[u8],
        ends: &Ends,
        read: impl FnOnce(&ipv6::Header<'_>, &icmpv6::Message<'_>) -> T,
    ) -> (Ipv6Addr, Option<MacAddr>, T) {
        let packet = wire::parse(frame, ends.layer).unwrap();
        assert_eq!(packet.vlan, ends.vlan);
        let Network::Ipv6(header, Transport::Icmpv6(message)) = packet.network else {
            panic!("{packet:?}");
        };
        assert!(message.has_right_checksum(header.source(), header.destination()));
        let to = packet.ethernet.map(|ethernet| {
            assert_eq!(ethernet.source(), OUR_MAC);
            ethernet.destination()
        });
        (header.destination(), to, read(&header, &message))
    }

    #[test]
    fn a_solicitation_is_the_kernels_byte_for_byte() {
        let kernels = include_bytes!("../../testdata/ipv6_neighbour_solicitation.bin");
        let mut slot = [0xaa; 128];
        let target = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
        let ends = ends(LinkLayer::Ethernet, None);
        let len = usize::from(neighbour_solicitation(&mut slot, &ends, OURS, target));
        assert_eq!(slot[..len], kernels[..]);
    }

    #[test]
    fn an_advertisement_is_a_kernels_but_for_the_router_flag() {
        let kernels: &[u8] = include_bytes!("../../testdata/ipv6_neighbour_advertisement.bin");
        let from = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
        let ends = Ends { source_mac: THEIR_MAC, ..ends(LinkLayer::Ethernet, None) };
        let mut slot = [0xaa; 128];
        let len = neighbour_advertisement(&mut slot, &ends, from, Some((OURS, OUR_MAC)));
        assert_eq!(usize::from(len), kernels.len());
        let flags = ethernet::LEN + ipv6::LEN + 4;
        assert_eq!(slot[flags] | 0x80, kernels[flags]);
        let sum = flags - 2; // the flag is in the sum
        assert_eq!(slot[..sum], kernels[..sum]);
        assert_eq!(slot[flags + 1..kernels.len()], kernels[flags + 1..]);
    }

    #[test]
    fn a_solicitation_goes_to_the_group_of_its_target() {
        for (layer, vlan, len) in [
            (LinkLayer::Ethernet, None, 86),
            (LinkLayer::Ethernet, Some(9), 90),
            (LinkLayer::Ip, None, 72),
        ] {
            let ends = ends(layer, vlan);
            let mut slot = [0xaa; 128];
            assert_eq!(neighbour_solicitation(&mut slot, &ends, OURS, THEIRS), len);
            assert!(slot[usize::from(len)..].iter().all(|octet| *octet == 0xaa));
            let (to, mac, read) = read(&slot[..usize::from(len)], &ends, ndp::Solicitation::parse);
            assert_eq!(to.to_string(), "ff02::1:ff66:7788");
            let expected = MacAddr([0x33, 0x33, 0xff, 0x66, 0x77, 0x88]);
            assert_eq!(mac, (layer == LinkLayer::Ethernet).then_some(expected));
            let source_mac = Some(OUR_MAC);
            assert_eq!(read, Ok(ndp::Solicitation { target: THEIRS, source_mac }));
        }
    }

    #[test]
    fn who_has_no_address_gives_no_hardware_address() {
        let ends = ends(LinkLayer::Ethernet, None);
        let mut slot = [0xaa; 128];
        let len = neighbour_solicitation(&mut slot, &ends, Ipv6Addr::UNSPECIFIED, THEIRS);
        let (.., read) = read(&slot[..usize::from(len)], &ends, ndp::Solicitation::parse);
        assert_eq!(read, Ok(ndp::Solicitation { target: THEIRS, source_mac: None }));
    }

    #[test]
    fn an_advertisement_goes_to_who_asked_or_to_all() {
        let ends = ends(LinkLayer::Ethernet, None);
        let mut slot = [0xaa; 128];
        let mut advertise = |asker| {
            let len = usize::from(neighbour_advertisement(&mut slot, &ends, OURS, asker));
            let (to, mac, read) = read(&slot[..len], &ends, ndp::Advertisement::parse);
            let read = read.unwrap();
            assert_eq!((read.target, read.target_mac), (OURS, Some(OUR_MAC)));
            assert!(read.is_override && !read.is_router);
            (to, mac.unwrap(), read.is_solicited)
        };
        assert_eq!(advertise(Some((THEIRS, THEIR_MAC))), (THEIRS, THEIR_MAC, true));
        let all = MacAddr([0x33, 0x33, 0, 0, 0, 1]);
        assert_eq!(advertise(None), (ALL_NODES, all, false));
    }
}
