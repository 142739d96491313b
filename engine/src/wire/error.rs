//! Why bytes are not what they claim to be.

use std::fmt;

/// Why some received bytes are not the packet they claim to be.
///
/// Anyone on the network can cause one, so making it allocates and logs nothing: the receive loop counts it and takes the
/// next frame.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Malformed {
    /// A length field of this layer, with its value in octets, that the bytes around it contradict.
    Length(Layer, usize),
    /// The bytes end before this layer's header does; how many are missing.
    Short(Layer, usize),
    /// A field that says which form the header has, with a value for which there is none here.
    Form(Layer, u16),
}

/// A layer of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Layer {
    /// IEEE 802.3.
    Ethernet,
    /// IEEE 802.1Q.
    Vlan,
    /// RFC 826.
    Arp,
    /// RFC 791.
    Ipv4,
    /// RFC 8200, section 3.
    Ipv6,
    /// RFC 8200, section 4.
    Ipv6Extension,
    /// RFC 792.
    Icmp,
    /// RFC 4443.
    Icmpv6,
    /// RFC 4861.
    Ndp,
    /// RFC 768.
    Udp,
    /// RFC 9293.
    Tcp,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ethernet => "Ethernet",
            Self::Vlan => "VLAN",
            Self::Arp => "ARP",
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
            Self::Ipv6Extension => "IPv6 extension header",
            Self::Icmp => "ICMP",
            Self::Icmpv6 => "ICMPv6",
            Self::Ndp => "neighbour discovery",
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        })
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(layer, value) => write!(f, "{layer}: impossible length {value}"),
            Self::Short(layer, missing) => write!(f, "{layer}: {missing} octets missing"),
            Self::Form(layer, value) => write!(f, "{layer}: no such form as {value}"),
        }
    }
}

impl std::error::Error for Malformed {}

/// The fixed header at the start of `bytes`, and what follows it.
#[inline]
pub(super) fn split<const LEN: usize>(
    layer: Layer,
    bytes: &[u8],
) -> Result<(&[u8; LEN], &[u8]), Malformed> {
    bytes.split_first_chunk().ok_or_else(|| Malformed::Short(layer, LEN - bytes.len()))
}
