//! Neighbour solicitations and advertisements (RFC 4861, sections 4.3 and 4.4): what IPv6 has for ARP.
//!
//! Both are ICMPv6 messages that no router passes on, which a hop limit of 255 proves; the other checks of sections 7.1.1 and
//! 7.1.2 are made too, but for the checksum: [`icmpv6::Message::has_right_checksum`] is there for who wants it.

use std::net::Ipv6Addr;

use super::{
    MacAddr,
    error::{Layer, Malformed, split},
    icmpv6, ipv6,
};

/// The ICMPv6 type of a solicitation.
pub const SOLICITATION: u8 = 135;
/// The ICMPv6 type of an advertisement.
pub const ADVERTISEMENT: u8 = 136;
/// The hop limit that both must arrive with.
pub const HOP_LIMIT: u8 = 255;
/// The option with the hardware address of who sends (section 4.6.1).
pub const SOURCE_LINK_LAYER: u8 = 1;
/// The option with the hardware address of the target.
pub const TARGET_LINK_LAYER: u8 = 2;

/// Octets of the target, which follows the ICMPv6 header.
const TARGET_LEN: usize = 16;
/// The lengths of options count these.
const UNIT: usize = 8;

/// "Who has this address?"
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Solicitation {
    /// The address that is looked for.
    pub target: Ipv6Addr,
    /// The hardware address of who asks; `None` when it has no address yet (RFC 4862, section 5.4.2).
    pub source_mac: Option<MacAddr>,
}

/// "I have it."
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Advertisement {
    /// The address that is spoken of.
    pub target: Ipv6Addr,
    /// Whether it is a router's.
    pub is_router: bool,
    /// Whether this answers a solicitation of the address it is sent to.
    pub is_solicited: bool,
    /// Whether it replaces a hardware address that is known already.
    pub is_override: bool,
    /// The hardware address of the target; an answer to a solicitation of one host may leave it out.
    pub target_mac: Option<MacAddr>,
}

impl Solicitation {
    /// Reads a solicitation out of the ICMPv6 message of a packet.
    ///
    /// # Errors
    ///
    /// [`Malformed`] for another message and for one that must be dropped (RFC 4861, section 7.1.1).
    pub fn parse(
        header: &ipv6::Header<'_>,
        message: &icmpv6::Message<'_>,
    ) -> Result<Self, Malformed> {
        let (target, source_mac) = parts(header, message, SOLICITATION, SOURCE_LINK_LAYER)?;
        // Who has no address cannot be answered alone.
        if header.source().is_unspecified() && source_mac.is_some() {
            return Err(Malformed::Form(Layer::Ndp, SOURCE_LINK_LAYER.into()));
        }
        Ok(Self { target, source_mac })
    }
}

impl Advertisement {
    /// Reads an advertisement out of the ICMPv6 message of a packet.
    ///
    /// # Errors
    ///
    /// [`Malformed`] for another message and for one that must be dropped (RFC 4861, section 7.1.2).
    pub fn parse(
        header: &ipv6::Header<'_>,
        message: &icmpv6::Message<'_>,
    ) -> Result<Self, Malformed> {
        let (target, target_mac) = parts(header, message, ADVERTISEMENT, TARGET_LINK_LAYER)?;
        let [flags, ..] = message.of_type();
        let is_solicited = flags & 0x40 != 0;
        if is_solicited && header.destination().is_multicast() {
            return Err(Malformed::Form(Layer::Ndp, flags.into()));
        }
        let (is_router, is_override) = (flags & 0x80 != 0, flags & 0x20 != 0);
        Ok(Self { target, is_router, is_solicited, is_override, target_mac })
    }
}

/// The target of a message of type `kind`, and the hardware address in its option `wanted`.
fn parts(
    header: &ipv6::Header<'_>,
    message: &icmpv6::Message<'_>,
    kind: u8,
    wanted: u8,
) -> Result<(Ipv6Addr, Option<MacAddr>), Malformed> {
    let form = |value: u8| Err(Malformed::Form(Layer::Ndp, value.into()));
    if message.kind() != kind {
        return form(message.kind());
    }
    if message.code() != 0 {
        return form(message.code());
    }
    if header.hop_limit() != HOP_LIMIT {
        return form(header.hop_limit());
    }
    let (target, options) = split::<TARGET_LEN>(Layer::Ndp, message.body())?;
    let target = Ipv6Addr::from(*target);
    if target.is_multicast() {
        return form(0xff);
    }
    Ok((target, link_layer(options, wanted)?))
}

/// The hardware address in the first option `wanted`. Each turn takes at least 8 octets, so the walk ends.
fn link_layer(mut options: &[u8], wanted: u8) -> Result<Option<MacAddr>, Malformed> {
    let mut found = None;
    while !options.is_empty() {
        let (unit, _) = split::<UNIT>(Layer::Ndp, options)?;
        let len = usize::from(unit[1]) * UNIT;
        if len == 0 {
            return Err(Malformed::Length(Layer::Ndp, 0));
        }
        options =
            options.get(len..).ok_or_else(|| Malformed::Short(Layer::Ndp, len - options.len()))?;
        // A longer one holds an address of another kind of link (RFC 2464, section 6).
        if unit[0] == wanted && len == UNIT && found.is_none() {
            let [_, _, mac @ ..] = *unit;
            found = Some(MacAddr(mac));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::{super::Packet, *};
    use crate::{
        link::LinkLayer,
        wire::{self, Network, Transport},
    };

    const OURS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    const THEIRS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
    const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

    struct Parts {
        from: Ipv6Addr,
        to: Ipv6Addr,
        hop_limit: u8,
        kind: u8,
        code: u8,
        flags: u8,
        target: Ipv6Addr,
        options: Vec<u8>,
    }

    impl Parts {
        fn new(kind: u8, flags: u8, option: u8) -> Self {
            let options = [&[option, 1], &MAC.0[..]].concat();
            let (from, to, target) = (THEIRS, OURS, THEIRS);
            Self { from, to, hop_limit: 255, kind, code: 0, flags, target, options }
        }

        fn packet(&self) -> Vec<u8> {
            let mut bytes = Vec::new();
            PacketBuilder::ipv6(self.from.octets(), self.to.octets(), self.hop_limit)
                .icmpv6_raw(self.kind, self.code, [self.flags, 0, 0, 0])
                .write(&mut bytes, &[&self.target.octets()[..], &self.options].concat())
                .unwrap();
            bytes
        }

        fn read<T>(
            &self,
            parse: impl FnOnce(&ipv6::Header<'_>, &icmpv6::Message<'_>) -> Result<T, Malformed>,
        ) -> Result<T, Malformed> {
            let packet = self.packet();
            let Packet { network, .. } = wire::parse(&packet, LinkLayer::Ip).unwrap();
            let Network::Ipv6(header, Transport::Icmpv6(message)) = network else {
                panic!("{network:?}");
            };
            parse(&header, &message)
        }

        fn solicitation(&self) -> Result<Solicitation, Malformed> {
            self.read(Solicitation::parse)
        }

        fn advertisement(&self) -> Result<Advertisement, Malformed> {
            self.read(Advertisement::parse)
        }
    }

    fn solicitation() -> Parts {
        Parts::new(SOLICITATION, 0, SOURCE_LINK_LAYER)
    }

    fn advertisement(flags: u8) -> Parts {
        Parts::new(ADVERTISEMENT, flags, TARGET_LINK_LAYER)
    }

    #[test]
    fn both_read_as_they_were_written() {
        let read = solicitation().solicitation().unwrap();
        assert_eq!(read, Solicitation { target: THEIRS, source_mac: Some(MAC) });
        for (flags, [is_router, is_solicited, is_override]) in [
            (0, [false; 3]),
            (0x80, [true, false, false]),
            (0x40, [false, true, false]),
            (0x3f, [false, false, true]),
        ] {
            let read = advertisement(flags).advertisement().unwrap();
            let target_mac = Some(MAC);
            let expected =
                Advertisement { target: THEIRS, is_router, is_solicited, is_override, target_mac };
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn what_must_be_dropped_is_refused() {
        let form = |value| Malformed::Form(Layer::Ndp, value);
        let check = |parts: Parts, why| assert_eq!(parts.advertisement(), Err(why));
        check(Parts { kind: 133, ..advertisement(0) }, form(133));
        check(Parts { hop_limit: 254, ..advertisement(0) }, form(254));
        check(Parts { code: 1, ..advertisement(0) }, form(1));
        check(Parts { target: GROUP, ..advertisement(0) }, form(0xff));
        check(Parts { to: GROUP, ..advertisement(0x40) }, form(0x40));
        assert!(Parts { to: GROUP, ..advertisement(0x20) }.advertisement().is_ok());
        assert_eq!(advertisement(0).solicitation(), Err(form(136)));
        let nobody = Parts { from: Ipv6Addr::UNSPECIFIED, ..solicitation() };
        assert_eq!(nobody.solicitation(), Err(form(1)));
        let nobody = Parts { options: Vec::new(), ..nobody };
        assert_eq!(nobody.solicitation().unwrap().source_mac, None);
    }

    #[test]
    fn options_are_walked_to_their_end() {
        let read = |options: &[u8]| Parts { options: options.to_vec(), ..advertisement(0) };
        let mac = |options: &[u8]| read(options).advertisement().map(|read| read.target_mac);
        let other = [1, 1, 9, 9, 9, 9, 9, 9];
        let long = [&[2, 2], &[0; 14][..]].concat();
        let ours = [&[2, 1], &MAC.0[..]].concat();
        assert_eq!(mac(&[]), Ok(None));
        assert_eq!(mac(&other), Ok(None));
        assert_eq!(mac(&long), Ok(None));
        assert_eq!(
            mac(&[&other, &long[..], &ours, &[2, 1, 0, 0, 0, 0, 0, 0]].concat()),
            Ok(Some(MAC))
        );
        assert_eq!(mac(&[&ours[..], &[0; 8]].concat()), Err(Malformed::Length(Layer::Ndp, 0)));
        assert_eq!(mac(&[&ours[..], &[2, 1, 3]].concat()), Err(Malformed::Short(Layer::Ndp, 5)));
        assert_eq!(mac(&[5, 3, 0, 0, 0, 0, 0, 0]), Err(Malformed::Short(Layer::Ndp, 16)));
    }

    #[test]
    fn a_target_that_is_cut_is_refused() {
        let packet = solicitation().packet();
        let (header, payload) = ipv6::Header::parse(&packet).unwrap();
        for len in icmpv6::LEN..icmpv6::LEN + TARGET_LEN {
            let message = icmpv6::Message::parse(&payload[..len]).unwrap();
            let missing = icmpv6::LEN + TARGET_LEN - len;
            assert_eq!(
                Solicitation::parse(&header, &message),
                Err(Malformed::Short(Layer::Ndp, missing))
            );
        }
    }
}
