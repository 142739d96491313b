//! The start of the packet that an ICMP error quotes, alike in IPv4 and IPv6.

use super::{tcp, udp};

/// What the first 8 octets of a quoted transport header say.
pub(super) struct Start {
    /// 0 where the protocol has none.
    pub(super) source_port: u16,
    /// 0 where the protocol has none.
    pub(super) destination_port: u16,
    /// `None` for another protocol than TCP, or when the quote ends before it.
    pub(super) tcp_seq: Option<u32>,
}

/// Reads `payload` as the start of `protocol`; `None` when it ends before the ports of one that has some.
pub(super) fn start(protocol: u8, payload: &[u8]) -> Option<Start> {
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
    Some(Start { source_port, destination_port, tcp_seq })
}
