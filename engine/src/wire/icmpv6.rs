//! ICMPv6 messages (RFC 4443), and the packet that an error quotes.

use std::net::Ipv6Addr;

use super::{
    checksum::Sum,
    error::{Layer, Malformed, split},
    ipv6,
    quote::Quoted,
};

/// Octets of the header, the four that each type has for itself included.
pub const LEN: usize = 8;
/// The number of ICMPv6 in an IPv6 header.
pub const PROTOCOL: u8 = 58;
/// The type of "destination unreachable".
pub const UNREACHABLE: u8 = 1;
/// The type of "packet too big".
pub const PACKET_TOO_BIG: u8 = 2;
/// The type of "time exceeded".
pub const TIME_EXCEEDED: u8 = 3;
/// The type of "parameter problem".
pub const PARAMETER_PROBLEM: u8 = 4;

/// An ICMPv6 message where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    fixed: &'a [u8; LEN],
    body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// [`Malformed::Short`].
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (fixed, body) = split(Layer::Icmpv6, bytes)?;
        Ok(Self { fixed, body })
    }

    /// The type.
    pub fn kind(&self) -> u8 {
        self.fixed[0]
    }

    /// The code, which says more about the type.
    pub fn code(&self) -> u8 {
        self.fixed[1]
    }

    /// The four octets that each type has for itself.
    pub fn of_type(&self) -> [u8; 4] {
        [self.fixed[4], self.fixed[5], self.fixed[6], self.fixed[7]]
    }

    /// What follows the header.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Whether the checksum over the message and its pseudo-header (RFC 4443, section 2.3) is right. One that the link cut
    /// short is not, nor is one that a virtual device leaves to a hardware which never comes.
    pub fn has_right_checksum(&self, source: Ipv6Addr, destination: Ipv6Addr) -> bool {
        let len = LEN + self.body.len();
        let Ok(short) = u16::try_from(len) else {
            return false; // a jumbogram, which no ICMPv6 message needs to be
        };
        let sum = Sum::of(&source.octets())
            .and(Sum::of(&destination.octets()))
            .word(short)
            .word(PROTOCOL.into())
            .and(Sum::of(self.fixed))
            .and(Sum::of(self.body));
        sum.checksum() == 0
    }

    /// The packet that an error quotes of which it says that it does not arrive: of types 1 and 3, or 4 where the host does not
    /// know its protocol (RFC 4443, section 3.4).
    pub fn undelivered(&self) -> Option<Quoted<'a, Ipv6Addr>> {
        match (self.kind(), self.code()) {
            (UNREACHABLE | TIME_EXCEEDED, _) | (PARAMETER_PROBLEM, 1) => self.quoted(),
            _ => None,
        }
    }

    /// The packet that an error (types 1 to 4) quotes: as much of it as fits into 1,280 octets (RFC 4443, section 3), less is
    /// seen. `None` when this is no error, or its quote ends before the ports, or it is of a fragment without ports.
    pub fn quoted(&self) -> Option<Quoted<'a, Ipv6Addr>> {
        if !matches!(self.kind(), UNREACHABLE | PACKET_TOO_BIG | TIME_EXCEEDED | PARAMETER_PROBLEM)
        {
            return None;
        }
        // The quote keeps the payload length of the whole packet, so it looks like one that was cut.
        let (header, payload) = ipv6::Header::parse(self.body).ok()?;
        if header.fragment_offset() > 0 {
            return None;
        }
        Quoted::read(header.source(), header.destination(), header.protocol(), payload)
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::{
        super::{tcp, udp},
        *,
    };

    const ROUTER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfe);
    const OURS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    const THEIRS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

    fn syn() -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ipv6(OURS.octets(), THEIRS.octets(), 60)
            .tcp(61_000, 443, 0xdead_beef, 1_024)
            .syn()
            .write(&mut bytes, &[])
            .unwrap();
        bytes
    }

    /// A whole packet with an error of `kind` that quotes `quoted`.
    fn error(kind: u8, quoted: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ipv6(ROUTER.octets(), OURS.octets(), 60)
            .icmpv6_raw(kind, 3, [0, 0, 5, 0])
            .write(&mut bytes, quoted)
            .unwrap();
        bytes
    }

    #[track_caller]
    fn message(packet: &[u8]) -> Message<'_> {
        let (header, payload) = ipv6::Header::parse(packet).unwrap();
        assert_eq!(header.protocol(), PROTOCOL);
        Message::parse(payload).unwrap()
    }

    #[test]
    fn eight_octets_of_tcp_are_enough() {
        let expected = Quoted {
            source: OURS,
            destination: THEIRS,
            protocol: tcp::PROTOCOL,
            source_port: 61_000,
            destination_port: 443,
            tcp_seq: Some(0xdead_beef),
            udp_checksum: None,
            udp_payload: &[],
        };
        for kind in [UNREACHABLE, PACKET_TOO_BIG, TIME_EXCEEDED, PARAMETER_PROBLEM] {
            for len in [48, 60] {
                let packet = error(kind, &syn()[..len]);
                let message = message(&packet);
                assert_eq!((message.kind(), message.code()), (kind, 3));
                assert_eq!(message.of_type(), [0, 0, 5, 0]);
                assert_eq!(message.quoted(), Some(expected));
            }
        }
        let cut = |len: usize| error(UNREACHABLE, &syn()[..len]);
        for len in [44, 47] {
            let without = Quoted { tcp_seq: None, ..expected };
            assert_eq!(message(&cut(len)).quoted(), Some(without));
        }
        for len in [39, 43] {
            assert_eq!(message(&cut(len)).quoted(), None);
        }
    }

    #[test]
    fn a_datagram_is_quoted_as_far_as_it_is_there() {
        let mut sent = Vec::new();
        PacketBuilder::ipv6(OURS.octets(), THEIRS.octets(), 60)
            .udp(61_000, 53)
            .write(&mut sent, b"a question")
            .unwrap();
        let checksum = u16::from_be_bytes([sent[46], sent[47]]);
        for (len, expected, said) in [
            (sent.len(), Some(checksum), &b"a question"[..]),
            (52, Some(checksum), b"a qu"),
            (48, Some(checksum), b""),
            (47, None, b""),
            (44, None, b""),
        ] {
            let packet = error(UNREACHABLE, &sent[..len]);
            let quoted = message(&packet).quoted().unwrap();
            assert_eq!((quoted.source_port, quoted.destination_port), (61_000, 53), "{len}");
            assert_eq!((quoted.udp_checksum, quoted.udp_payload), (expected, said), "{len}");
        }
        // RFC 4884: the quote is padded, and extensions follow.
        let padded = [&sent[..], &[0; 64]].concat();
        let packet = error(UNREACHABLE, &padded);
        assert_eq!(message(&packet).quoted().unwrap().udp_payload, b"a question");
    }

    #[test]
    fn extension_headers_of_the_quote_are_walked() {
        let mut quoted = syn();
        quoted[6] = 44;
        quoted.splice(40..40, [6, 0, 0, 1, 0, 0, 0, 9]);
        assert_eq!(message(&error(1, &quoted)).quoted().unwrap().tcp_seq, Some(0xdead_beef));
        quoted[43] = 8 | 1; // not the first fragment
        assert_eq!(message(&error(1, &quoted)).quoted(), None);
        quoted[6] = udp::PROTOCOL;
        assert_eq!(message(&error(1, &quoted)).quoted().unwrap().tcp_seq, None);
        quoted[6] = 60;
        quoted[41] = 255; // destination options that go on behind the end
        assert_eq!(message(&error(1, &quoted)).quoted(), None);
    }

    #[test]
    fn what_is_no_error_quotes_nothing() {
        for kind in [0, 5, 100, 127, 128, 129, 135, 255] {
            assert_eq!(message(&error(kind, &syn())).quoted(), None, "{kind}");
        }
        assert_eq!(Message::parse(&[1, 0, 0]).unwrap_err(), Malformed::Short(Layer::Icmpv6, 5));
    }

    #[test]
    fn a_checksum_covers_the_addresses_and_every_octet() {
        let mut packet = error(UNREACHABLE, &syn()[..47]);
        assert!(message(&packet).has_right_checksum(ROUTER, OURS));
        assert!(!message(&packet).has_right_checksum(THEIRS, OURS));
        assert!(!message(&packet).has_right_checksum(ROUTER, ROUTER));
        for at in ipv6::LEN..packet.len() {
            packet[at] ^= 0x10;
            assert!(!message(&packet).has_right_checksum(ROUTER, OURS), "octet {at}");
            packet[at] ^= 0x10;
        }
    }
}
