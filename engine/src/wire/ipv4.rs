//! The IPv4 header (RFC 791, section 3.1).

use std::net::Ipv4Addr;

use super::error::{Layer, Malformed, split};

/// Octets of a header without options.
pub const MIN_LEN: usize = 20;

/// An IPv4 header where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    fixed: &'a [u8; MIN_LEN],
    options: &'a [u8],
}

impl<'a> Header<'a> {
    /// The header, and the packet's payload: without what follows the packet in its frame, and as far as it was
    /// captured.
    ///
    /// # Errors
    ///
    /// [`Malformed`] when the version is not 4 or the header is longer than the packet or the bytes.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (fixed, rest): (&[u8; MIN_LEN], _) = split(Layer::Ipv4, bytes)?;
        if fixed[0] >> 4 != 4 {
            return Err(Malformed::Form(Layer::Ipv4, u16::from(fixed[0] >> 4)));
        }
        let header_len = usize::from(fixed[0] & 0xf) * 4; // the field counts 32-bit words
        let options_len =
            header_len.checked_sub(MIN_LEN).ok_or(Malformed::Length(Layer::Ipv4, header_len))?;
        let (options, rest) = rest
            .split_at_checked(options_len)
            .ok_or_else(|| Malformed::Short(Layer::Ipv4, options_len - rest.len()))?;
        let total_len = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        let payload_len =
            total_len.checked_sub(header_len).ok_or(Malformed::Length(Layer::Ipv4, total_len))?;
        Ok((Self { fixed, options }, &rest[..payload_len.min(rest.len())]))
    }

    /// Octets of the whole packet, by its own word.
    pub fn total_len(&self) -> u16 {
        u16::from_be_bytes([self.fixed[2], self.fixed[3]])
    }

    /// The identification that fragments of one packet share.
    pub fn id(&self) -> u16 {
        u16::from_be_bytes([self.fixed[4], self.fixed[5]])
    }

    /// Whether routers may not cut it.
    pub fn is_unfragmentable(&self) -> bool {
        self.fixed[6] & 0x40 != 0
    }

    /// Whether more fragments follow.
    pub fn has_more_fragments(&self) -> bool {
        self.fixed[6] & 0x20 != 0
    }

    /// Where this fragment stands in the packet, in units of 8 octets.
    #[inline]
    pub fn fragment_offset(&self) -> u16 {
        u16::from_be_bytes([self.fixed[6], self.fixed[7]]) & 0x1fff
    }

    /// How many more routers may pass it on.
    pub fn ttl(&self) -> u8 {
        self.fixed[8]
    }

    /// The number of the protocol that it carries.
    #[inline]
    pub fn protocol(&self) -> u8 {
        self.fixed[9]
    }

    /// Who sent it, by its own word.
    #[inline]
    pub fn source(&self) -> Ipv4Addr {
        let [a, b, c, d] = [self.fixed[12], self.fixed[13], self.fixed[14], self.fixed[15]];
        Ipv4Addr::new(a, b, c, d)
    }

    /// Who should take it.
    #[inline]
    pub fn destination(&self) -> Ipv4Addr {
        let [a, b, c, d] = [self.fixed[16], self.fixed[17], self.fixed[18], self.fixed[19]];
        Ipv4Addr::new(a, b, c, d)
    }

    /// The options, at most 40 octets.
    pub fn options_bytes(&self) -> &'a [u8] {
        self.options
    }
}

#[cfg(test)]
mod tests {
    use super::{super::ethernet, *};

    const UDP_WITH_OPTIONS: &[u8] = include_bytes!("../../testdata/udp_ip_options.bin");
    const PADDED: &[u8] = include_bytes!("../../testdata/rst_ack_padded.bin");

    #[test]
    fn options_are_kept_apart_from_the_payload() {
        let (header, payload) = Header::parse(&UDP_WITH_OPTIONS[ethernet::LEN..]).unwrap();
        assert_eq!(header.options_bytes().len(), 12);
        assert_eq!(payload.len(), usize::from(header.total_len()) - 32);
        assert_eq!(header.protocol(), 17);
    }

    #[test]
    fn padding_of_the_frame_is_not_payload() {
        let (header, payload) = Header::parse(&PADDED[ethernet::LEN..]).unwrap();
        assert_eq!((header.total_len(), payload.len()), (40, 20));
        assert!(PADDED.len() - ethernet::LEN > 40);
    }

    #[test]
    fn impossible_lengths_and_versions_are_refused() {
        let mut bytes: [u8; 24] =
            UDP_WITH_OPTIONS[ethernet::LEN..ethernet::LEN + 24].try_into().unwrap();
        let check = |bytes: &[u8], why| assert_eq!(Header::parse(bytes).unwrap_err(), why);
        check(&bytes, Malformed::Short(Layer::Ipv4, 8));
        check(&bytes[..19], Malformed::Short(Layer::Ipv4, 1));
        bytes[0] = 0x44;
        check(&bytes, Malformed::Length(Layer::Ipv4, 16));
        bytes[0] = 0x65;
        check(&bytes, Malformed::Form(Layer::Ipv4, 6));
        bytes[0] = 0x45;
        bytes[2..4].copy_from_slice(&19_u16.to_be_bytes());
        check(&bytes, Malformed::Length(Layer::Ipv4, 19));
    }

    #[test]
    fn a_packet_cut_by_the_link_is_shown_as_far_as_it_goes() {
        let mut bytes = [0; 30];
        bytes[0] = 0x45;
        bytes[2..4].copy_from_slice(&1_500_u16.to_be_bytes());
        let (header, payload) = Header::parse(&bytes).unwrap();
        assert_eq!((header.total_len(), payload.len()), (1_500, 10));
    }
}
