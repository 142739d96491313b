//! ARP for IPv4 over Ethernet (RFC 826).

use std::net::Ipv4Addr;

use super::{
    MacAddr,
    error::{Layer, Malformed, split},
    ethernet,
};

/// Octets of a packet.
pub const LEN: usize = 28;
/// The operation of a request.
pub const REQUEST: u16 = 1;
/// The operation of a reply.
pub const REPLY: u16 = 2;

/// Hardware type 1 (Ethernet), protocol IPv4, addresses of 6 and 4 octets: how every packet that we read or make begins.
pub(crate) const FORM: [u8; 6] = [0, 1, (ethernet::IPV4 >> 8) as u8, ethernet::IPV4 as u8, 6, 4];

/// An ARP packet where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    fixed: &'a [u8; LEN],
}

impl<'a> Packet<'a> {
    /// Reads a packet.
    ///
    /// # Errors
    ///
    /// [`Malformed::Short`]; [`Malformed::Form`] when its addresses are not Ethernet's and IPv4's.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (fixed, _padding) = split(Layer::Arp, bytes)?;
        if fixed[..6] != FORM {
            return Err(Malformed::Form(Layer::Arp, u16::from_be_bytes([fixed[0], fixed[1]])));
        }
        Ok(Self { fixed })
    }

    /// [`REQUEST`], [`REPLY`] or another.
    pub fn operation(&self) -> u16 {
        u16::from_be_bytes([self.fixed[6], self.fixed[7]])
    }

    /// Whether it asks.
    pub fn is_request(&self) -> bool {
        self.operation() == REQUEST
    }

    /// Whether it answers.
    pub fn is_reply(&self) -> bool {
        self.operation() == REPLY
    }

    /// The hardware address of who speaks.
    pub fn sender_mac(&self) -> MacAddr {
        self.mac(8)
    }

    /// The address of who speaks.
    pub fn sender(&self) -> Ipv4Addr {
        self.addr(14)
    }

    /// In a reply, whom it answers; in a request, nothing.
    pub fn target_mac(&self) -> MacAddr {
        self.mac(18)
    }

    /// In a request, who is looked for; in a reply, who looked.
    pub fn target(&self) -> Ipv4Addr {
        self.addr(24)
    }

    fn mac(&self, at: usize) -> MacAddr {
        let octets = &self.fixed[at..at + 6];
        MacAddr([octets[0], octets[1], octets[2], octets[3], octets[4], octets[5]])
    }

    fn addr(&self, at: usize) -> Ipv4Addr {
        let octets = &self.fixed[at..at + 4];
        Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY_FRAME: &[u8] = include_bytes!("../../testdata/arp_reply.bin");

    #[test]
    fn a_reply_of_the_kernel_reads_as_it_was_sent() {
        let packet = Packet::parse(&REPLY_FRAME[ethernet::LEN..]).unwrap();
        assert!(packet.is_reply() && !packet.is_request());
        assert_eq!(packet.sender(), Ipv4Addr::new(198, 18, 0, 2));
        assert_eq!(packet.sender_mac(), MacAddr([2, 0, 0, 0, 0, 2]));
        assert_eq!(packet.target(), Ipv4Addr::new(198, 18, 0, 1));
        assert_eq!(packet.target_mac(), MacAddr([2, 0, 0, 0, 0, 1]));
    }

    #[test]
    fn each_shorter_packet_says_how_much_is_missing() {
        let bytes = &REPLY_FRAME[ethernet::LEN..];
        for len in 0..LEN {
            assert_eq!(
                Packet::parse(&bytes[..len]).unwrap_err(),
                Malformed::Short(Layer::Arp, LEN - len)
            );
        }
    }

    #[test]
    fn addresses_of_other_lengths_are_refused() {
        let mut bytes: [u8; LEN] = REPLY_FRAME[ethernet::LEN..].try_into().unwrap();
        bytes[4] = 8;
        assert_eq!(Packet::parse(&bytes).unwrap_err(), Malformed::Form(Layer::Arp, 1));
        bytes[4] = 6;
        bytes[1] = 32; // InfiniBand
        assert_eq!(Packet::parse(&bytes).unwrap_err(), Malformed::Form(Layer::Arp, 32));
    }
}
