//! The packet that an ICMP error quotes, alike in IPv4 and IPv6.

use super::{tcp, udp};

/// What an error says of the packet that caused it; `A` is an address of its family.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Quoted<'a, A> {
    /// Who sent that packet.
    pub source: A,
    /// To whom.
    pub destination: A,
    /// The protocol it carried, behind the extension headers of IPv6.
    pub protocol: u8,
    /// The port it came from; 0 where the protocol has none.
    pub source_port: u16,
    /// The port it was for; 0 where the protocol has none.
    pub destination_port: u16,
    /// Its TCP sequence number; `None` for another protocol, or when the quote ends before it.
    pub tcp_seq: Option<u32>,
    /// The checksum of a UDP datagram; `None` for another protocol, or when the quote ends before it.
    pub udp_checksum: Option<u16>,
    /// What the datagram carried, as far as it is quoted; nothing for another protocol.
    pub udp_payload: &'a [u8],
}

impl<'a, A> Quoted<'a, A> {
    /// Reads `payload` as the start of `protocol`; `None` when it ends before the ports of one that has some.
    pub(super) fn read(source: A, destination: A, protocol: u8, payload: &'a [u8]) -> Option<Self> {
        let (source_port, destination_port) = match protocol {
            tcp::PROTOCOL | udp::PROTOCOL => {
                let ports = payload.first_chunk::<4>()?;
                (u16::from_be_bytes([ports[0], ports[1]]), u16::from_be_bytes([ports[2], ports[3]]))
            }
            _ => (0, 0),
        };
        let tcp_seq = match protocol {
            tcp::PROTOCOL => {
                payload.get(4..8).and_then(|seq| seq.first_chunk()).copied().map(u32::from_be_bytes)
            }
            _ => None,
        };
        let (udp_checksum, udp_payload) = match protocol {
            // Its length says where it ends: padding and extensions may follow (RFC 4884).
            udp::PROTOCOL => match udp::Datagram::parse(payload) {
                Ok(datagram) => (Some(datagram.checksum()), datagram.payload()),
                Err(_) => (None, &[][..]),
            },
            _ => (None, &[][..]),
        };
        Some(Self {
            source,
            destination,
            protocol,
            source_port,
            destination_port,
            tcp_seq,
            udp_checksum,
            udp_payload,
        })
    }
}
