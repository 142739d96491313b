//! UDP datagrams (RFC 768).

use std::net::IpAddr;

use super::{
    checksum::Sum,
    error::{Layer, Malformed, split},
};

/// Octets of the header.
pub const LEN: usize = 8;
/// The number of UDP in an IP header.
pub const PROTOCOL: u8 = 17;

/// A UDP datagram where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    fixed: &'a [u8; LEN],
    payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Reads a datagram. Its payload is shown as far as it was captured.
    ///
    /// # Errors
    ///
    /// [`Malformed`] when the header is cut, or its length does not hold the header.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (fixed, rest): (&[u8; LEN], _) = split(Layer::Udp, bytes)?;
        let len = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
        let payload_len = len.checked_sub(LEN).ok_or(Malformed::Length(Layer::Udp, len))?;
        Ok(Self { fixed, payload: &rest[..payload_len.min(rest.len())] })
    }

    /// The port it came from.
    pub fn source_port(&self) -> u16 {
        u16::from_be_bytes([self.fixed[0], self.fixed[1]])
    }

    /// The port it is for.
    pub fn destination_port(&self) -> u16 {
        u16::from_be_bytes([self.fixed[2], self.fixed[3]])
    }

    /// What it carries.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Its checksum, 0 for none.
    pub fn checksum(&self) -> u16 {
        u16::from_be_bytes([self.fixed[6], self.fixed[7]])
    }

    /// Whether it is all here and what `source` sent to `destination`, as far as its checksum tells: the sum is right, or there
    /// is none, which IPv4 alone allows (RFC 768; RFC 8200, section 8.1), or it is left to the hardware. The field holds the
    /// sum of the pseudo-header alone then, and on a virtual device it stays so.
    pub fn is_intact(&self, source: IpAddr, destination: IpAddr) -> bool {
        let len = u16::from_be_bytes([self.fixed[4], self.fixed[5]]);
        if usize::from(len) != LEN + self.payload.len() {
            return false;
        }
        let checksum = self.checksum();
        if checksum == 0 {
            return source.is_ipv4();
        }
        let pseudo = sum_addr(source).and(sum_addr(destination)).word(PROTOCOL.into()).word(len);
        let whole = pseudo.and(Sum::of(self.fixed)).and(Sum::of(self.payload));
        whole.checksum() == 0 || !pseudo.checksum() == checksum
    }
}

fn sum_addr(addr: IpAddr) -> Sum {
    match addr {
        IpAddr::V4(addr) => Sum::of(&addr.octets()),
        IpAddr::V6(addr) => Sum::of(&addr.octets()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn the_payload_ends_where_the_header_says() {
        let datagram = Datagram::parse(&[0, 53, 0x92, 1, 0, 10, 0, 0, 1, 2, 3]).unwrap();
        assert_eq!((datagram.source_port(), datagram.destination_port()), (53, 0x9201));
        assert_eq!(datagram.payload(), [1, 2]);
        assert_eq!(Datagram::parse(&[0, 53, 0, 1, 0, 20, 0, 0, 1]).unwrap().payload(), [1]);
    }

    #[test]
    fn the_sum_may_be_right_absent_in_ipv4_or_left_to_the_hardware() {
        let v4 = [Ipv4Addr::new(198, 18, 0, 1), Ipv4Addr::new(198, 18, 0, 2)].map(IpAddr::from);
        let addr = |last| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
        let v6 = [addr(1), addr(2)].map(IpAddr::from);
        let datagram = |checksum: u16| {
            let [high, low] = checksum.to_be_bytes();
            [0, 53, 0x92, 1, 0, 11, high, low, 1, 2, 3]
        };
        for ends in [v4, v6] {
            let is_intact = |checksum| {
                Datagram::parse(&datagram(checksum)).unwrap().is_intact(ends[0], ends[1])
            };
            // Of all values one is right, and one is the pseudo-header's.
            let right: Vec<u16> = (1..=u16::MAX).filter(|checksum| is_intact(*checksum)).collect();
            assert_eq!(right.len(), 2, "{right:?}");
            assert_eq!(is_intact(0), ends[0].is_ipv4());
            let cut = &datagram(right[0])[..10];
            assert!(!Datagram::parse(cut).unwrap().is_intact(ends[0], ends[1]));
        }
    }

    #[test]
    fn impossible_lengths_are_refused() {
        assert_eq!(
            Datagram::parse(&[0, 53, 0, 1, 0, 7, 0, 0]).unwrap_err(),
            Malformed::Length(Layer::Udp, 7)
        );
        assert_eq!(
            Datagram::parse(&[0, 53, 0, 1, 0]).unwrap_err(),
            Malformed::Short(Layer::Udp, 3)
        );
    }
}
