//! What one answer says, in a form small enough to cross a queue by value.

use std::{fmt, net::IpAddr};

use mrpf_engine::wire::tcp_options::{self, TcpOption};
use mrpf_records::{Reason, State};

/// One answer to a SYN.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    /// What kind of answer it is.
    pub kind: ReplyKind,
    /// The IP time to live, or hop limit, that it arrived with.
    pub ttl: u8,
}

/// See [`Reply`].
#[derive(Clone, Copy, Debug)]
pub enum ReplyKind {
    /// The port accepts connections.
    SynAck {
        /// The receive window, unscaled.
        window: u16,
        /// The options as they came.
        options: Options,
    },
    /// The port refuses connections.
    Rst {
        /// The receive window, which some systems leave non-zero here.
        window: u16,
    },
    /// An ICMP error that quotes our probe.
    Icmp {
        /// Type: of ICMP (3 or 11) from an IPv4 responder, of ICMPv6 (1, 3 or 4) from an IPv6 one.
        kind: u8,
        /// Its code.
        code: u8,
        /// Who sent it.
        responder: IpAddr,
    },
}

impl Reply {
    /// What a record says of the port, and why.
    pub fn state(&self) -> (State, Reason) {
        match self.kind {
            ReplyKind::SynAck { .. } => (State::Open, Reason::SynAck),
            ReplyKind::Rst { .. } => (State::Closed, Reason::Rst),
            ReplyKind::Icmp { kind, code, responder } => {
                let reason = match responder {
                    IpAddr::V4(_) => icmp_reason(kind, code),
                    IpAddr::V6(_) => icmpv6_reason(kind, code),
                };
                (State::Unreachable, reason)
            }
        }
    }
}

/// RFC 792 and RFC 1812, section 5.2.7.1.
fn icmp_reason(kind: u8, code: u8) -> Reason {
    match (kind, code) {
        (11, _) => Reason::TimeExceeded,
        (_, 0 | 6 | 11) => Reason::NetUnreachable,
        (_, 1 | 7 | 12) => Reason::HostUnreachable,
        (_, 2) => Reason::ProtocolUnreachable,
        (_, 3) => Reason::PortUnreachable,
        (_, 9 | 10 | 13) => Reason::AdminProhibited,
        _ => Reason::OtherUnreachable,
    }
}

/// RFC 4443, sections 3.1, 3.3 and 3.4.
fn icmpv6_reason(kind: u8, code: u8) -> Reason {
    match (kind, code) {
        (3, _) => Reason::TimeExceeded,
        (4, _) => Reason::ProtocolUnreachable,
        (_, 0) => Reason::NetUnreachable,
        (_, 1 | 5 | 6) => Reason::AdminProhibited, // 5 and 6 say more of why it is prohibited
        (_, 3) => Reason::HostUnreachable,
        (_, 4) => Reason::PortUnreachable,
        _ => Reason::OtherUnreachable,
    }
}

/// The options of a SYN-ACK as they came, at most the 40 octets that a TCP header holds.
#[derive(Clone, Copy)]
pub struct Options {
    bytes: [u8; tcp_options::MAX_LEN],
    len: u8,
}

impl Options {
    /// Copies the option octets of a segment; what exceeds 40 octets cannot be there and is cut.
    pub fn new(octets: &[u8]) -> Self {
        let len = octets.len().min(tcp_options::MAX_LEN);
        let mut bytes = [0; tcp_options::MAX_LEN];
        bytes[..len].copy_from_slice(&octets[..len]);
        Self { bytes, len: len as u8 }
    }

    /// The octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The maximum segment size offered, if any.
    pub fn mss(&self) -> Option<u16> {
        tcp_options::iter(self.as_bytes()).find_map(|option| match option {
            TcpOption::MaximumSegmentSize(mss) => Some(mss),
            _ => None,
        })
    }
}

impl fmt::Display for Options {
    /// `mss=1460,sack,ts,nop,ws=7`; an unknown option as its kind, a malformed one as `malformed`, after which nothing can
    /// be read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, option) in tcp_options::iter(self.as_bytes()).enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            match option {
                TcpOption::End => f.write_str("eol")?,
                TcpOption::Nop => f.write_str("nop")?,
                TcpOption::MaximumSegmentSize(mss) => write!(f, "mss={mss}")?,
                TcpOption::WindowScale(shift) => write!(f, "ws={shift}")?,
                TcpOption::SackPermitted => f.write_str("sack")?,
                TcpOption::Timestamps { .. } => f.write_str("ts")?,
                TcpOption::Other { kind, .. } => write!(f, "{kind}")?,
                TcpOption::Malformed => f.write_str("malformed")?,
                _ => f.write_str("?")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Options({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(octets: &[u8], text: &str, mss: Option<u16>) {
        let options = Options::new(octets);
        assert_eq!(options.to_string(), text);
        assert_eq!(options.mss(), mss);
    }

    #[test]
    fn options_read_as_people_write_them() {
        check(&[], "", None);
        check(
            &[2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7],
            "mss=1460,sack,ts,nop,ws=7",
            Some(1_460),
        );
        check(&[1, 1, 254, 4, 0, 0, 0, 0], "nop,nop,254,eol", None);
        check(&[2, 4, 5], "malformed", None);
    }

    #[test]
    fn icmp_codes_have_reasons() {
        let reason = |kind, code| icmp_reason(kind, code).as_str();
        assert_eq!(reason(3, 1), "host-unreachable");
        assert_eq!(reason(3, 13), "admin-prohibited");
        assert_eq!(reason(3, 200), "other-unreachable");
        assert_eq!(reason(11, 1), "time-exceeded");
    }

    #[test]
    fn the_responder_tells_which_codes_are_meant() {
        let reason = |kind, code, responder: &str| {
            let kind = ReplyKind::Icmp { kind, code, responder: responder.parse().unwrap() };
            let (state, reason) = Reply { kind, ttl: 64 }.state();
            assert_eq!(state, State::Unreachable);
            reason
        };
        assert_eq!(reason(3, 1, "198.18.0.1"), Reason::HostUnreachable);
        assert_eq!(reason(3, 1, "2001:db8::1"), Reason::TimeExceeded);
        assert_eq!(reason(4, 1, "2001:db8::1"), Reason::ProtocolUnreachable);
        let codes = [0, 1, 2, 3, 4, 5, 6, 7].map(|code| reason(1, code, "2001:db8::1"));
        let expected = [
            Reason::NetUnreachable,
            Reason::AdminProhibited,
            Reason::OtherUnreachable, // beyond the scope of the source address
            Reason::HostUnreachable,
            Reason::PortUnreachable,
            Reason::AdminProhibited,
            Reason::AdminProhibited,
            Reason::OtherUnreachable,
        ];
        assert_eq!(codes, expected);
    }
}
