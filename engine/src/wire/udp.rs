//! UDP datagrams (RFC 768).

use super::error::{Layer, Malformed, split};

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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_ends_where_the_header_says() {
        let datagram = Datagram::parse(&[0, 53, 0x92, 1, 0, 10, 0, 0, 1, 2, 3]).unwrap();
        assert_eq!((datagram.source_port(), datagram.destination_port()), (53, 0x9201));
        assert_eq!(datagram.payload(), [1, 2]);
        assert_eq!(Datagram::parse(&[0, 53, 0, 1, 0, 20, 0, 0, 1]).unwrap().payload(), [1]);
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
