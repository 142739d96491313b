//! ICMP messages (RFC 792), and the packet that an error quotes.

use std::net::Ipv4Addr;

use super::{
    error::{Layer, Malformed, split},
    ipv4,
    quote::Quoted,
};

/// Octets of the header.
pub const LEN: usize = 8;
/// The number of ICMP in an IP header.
pub const PROTOCOL: u8 = 1;
/// The type of "destination unreachable".
pub const UNREACHABLE: u8 = 3;
/// The type of "time exceeded".
pub const TIME_EXCEEDED: u8 = 11;

/// An ICMP message where it lies.
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
        let (fixed, body) = split(Layer::Icmp, bytes)?;
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

    /// What follows the header.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The packet that an error quotes of which it says that it does not arrive: of types 3 and 11, but for code 4 of the first,
    /// which asks for shorter ones.
    pub fn undelivered(&self) -> Option<Quoted<'a, Ipv4Addr>> {
        match (self.kind(), self.code()) {
            (UNREACHABLE, 4) => None,
            (UNREACHABLE | TIME_EXCEEDED, _) => self.quoted(),
            _ => None,
        }
    }

    /// The packet that an error (types 3, 4, 5, 11 and 12) quotes: an IPv4 header and 8 octets are promised (RFC 792), more
    /// is common, less is seen. `None` when this is no error, or its quote ends before the ports, or it is of a fragment
    /// without ports.
    pub fn quoted(&self) -> Option<Quoted<'a, Ipv4Addr>> {
        if !matches!(self.kind(), UNREACHABLE | 4 | 5 | TIME_EXCEEDED | 12) {
            return None;
        }
        // The quote keeps the total length of the whole packet, so it looks like one that was cut.
        let (header, payload) = ipv4::Header::parse(self.body).ok()?;
        if header.fragment_offset() > 0 {
            return None;
        }
        Quoted::read(header.source(), header.destination(), header.protocol(), payload)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{ethernet, tcp, udp},
        *,
    };

    const FULL: &[u8] = include_bytes!("../../testdata/icmp_host_unreachable.bin");
    const SHORT: &[u8] = include_bytes!("../../testdata/icmp_host_unreachable_short.bin");
    const OF_UDP: &[u8] = include_bytes!("../../testdata/icmp_port_unreachable.bin");
    const MPLS: &[u8] = include_bytes!("../../testdata/icmp_time_exceeded_mpls.bin");
    const ECHO: &[u8] = include_bytes!("../../testdata/icmp_echo_reply.bin");

    #[track_caller]
    fn message(frame: &[u8]) -> Message<'_> {
        let (_, payload) = ipv4::Header::parse(&frame[ethernet::LEN..]).unwrap();
        Message::parse(payload).unwrap()
    }

    #[test]
    fn eight_octets_of_tcp_are_enough() {
        let quoted = message(SHORT).quoted().unwrap();
        assert_eq!(quoted, message(FULL).quoted().unwrap());
        assert_eq!(quoted.source, Ipv4Addr::new(198, 18, 0, 1));
        assert_eq!(quoted.destination, Ipv4Addr::new(198, 18, 1, 99));
        assert_eq!(quoted.protocol, tcp::PROTOCOL);
        assert_eq!(quoted.source_port, 0x8d9c);
        assert!(quoted.tcp_seq.is_some());
        assert_eq!((message(SHORT).kind(), message(SHORT).code()), (3, 1));
    }

    #[test]
    fn a_quote_that_ends_early_has_no_sequence_number_or_no_ports() {
        let (_, payload) = ipv4::Header::parse(&SHORT[ethernet::LEN..]).unwrap();
        let quoted =
            |missing: usize| Message::parse(&payload[..payload.len() - missing]).unwrap().quoted();
        assert_eq!(quoted(1).unwrap().tcp_seq, None);
        assert_eq!(quoted(4).unwrap().destination_port, quoted(0).unwrap().destination_port);
        assert_eq!(quoted(5), None);
        assert_eq!(quoted(9), None);
    }

    #[test]
    fn datagrams_are_quoted_without_a_sequence_number() {
        let quoted = message(OF_UDP).quoted().unwrap();
        assert_eq!((quoted.protocol, quoted.tcp_seq), (udp::PROTOCOL, None));
        assert_eq!(quoted.source_port, 0x9201);
        assert!(quoted.udp_checksum.is_some());
    }

    #[test]
    fn extensions_behind_the_quote_do_not_matter() {
        // RFC 4884: the quote is padded to 128 octets and MPLS labels follow.
        let quoted = message(MPLS).quoted().unwrap();
        assert_eq!(message(MPLS).kind(), TIME_EXCEEDED);
        assert_eq!((quoted.source_port, quoted.protocol), (0xe1cc, tcp::PROTOCOL));
    }

    #[test]
    fn what_is_no_error_quotes_nothing() {
        assert_eq!(message(ECHO).quoted(), None);
        assert_eq!(Message::parse(&[3, 1, 0]).unwrap_err(), Malformed::Short(Layer::Icmp, 5));
    }
}
