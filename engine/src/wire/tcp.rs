//! TCP segments (RFC 9293, section 3.1).

use std::{fmt, ops::BitOr};

use super::error::{Layer, Malformed, split};

/// Octets of a header without options.
pub const MIN_LEN: usize = 20;
/// The number of TCP in an IP header.
pub const PROTOCOL: u8 = 6;

/// A TCP segment where it lies in the frame.
///
/// `parse` checks the lengths once and nothing after it can fail: `fixed` is an array, so a constant offset into it needs
/// no bounds check.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    fixed: &'a [u8; MIN_LEN],
    options: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Segment<'a> {
    /// Reads the lengths of the segment in `bytes`, and nothing else of it.
    ///
    /// # Errors
    ///
    /// [`Malformed`] when the header, options included, is not all there.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (fixed, rest): (&[u8; MIN_LEN], _) = split(Layer::Tcp, bytes)?;
        let header_len = usize::from(fixed[12] >> 4) * 4; // the field counts 32-bit words
        let options_len =
            header_len.checked_sub(MIN_LEN).ok_or(Malformed::Length(Layer::Tcp, header_len))?;
        let (options, payload) = rest
            .split_at_checked(options_len)
            .ok_or_else(|| Malformed::Short(Layer::Tcp, options_len - rest.len()))?;
        Ok(Self { fixed, options, payload })
    }

    /// The port it came from.
    #[inline]
    pub fn source_port(&self) -> u16 {
        u16::from_be_bytes([self.fixed[0], self.fixed[1]])
    }

    /// The port it is for.
    #[inline]
    pub fn destination_port(&self) -> u16 {
        u16::from_be_bytes([self.fixed[2], self.fixed[3]])
    }

    /// The number of its first octet, a SYN counted as one.
    #[inline]
    pub fn seq(&self) -> u32 {
        u32::from_be_bytes([self.fixed[4], self.fixed[5], self.fixed[6], self.fixed[7]])
    }

    /// The number that the sender expects next; means something with [`Flags::ACK`] alone.
    #[inline]
    pub fn ack(&self) -> u32 {
        u32::from_be_bytes([self.fixed[8], self.fixed[9], self.fixed[10], self.fixed[11]])
    }

    /// The control bits.
    #[inline]
    pub fn flags(&self) -> Flags {
        Flags(self.fixed[13])
    }

    /// The receive window, unscaled.
    pub fn window(&self) -> u16 {
        u16::from_be_bytes([self.fixed[14], self.fixed[15]])
    }

    /// The options as they lie, at most 40 octets: see [`super::tcp_options::iter`].
    pub fn options_bytes(&self) -> &'a [u8] {
        self.options
    }

    /// What it carries, as far as it was captured.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// The control bits of a segment.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Flags(pub u8);

impl Flags {
    /// The sender has no more to send.
    pub const FIN: Self = Self(0x01);
    /// The sequence number is the first.
    pub const SYN: Self = Self(0x02);
    /// There is no such connection any more.
    pub const RST: Self = Self(0x04);
    /// Give the data to the program now.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement number means something.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer means something.
    pub const URG: Self = Self(0x20);
    /// RFC 3168: congestion was seen.
    pub const ECE: Self = Self(0x40);
    /// RFC 3168: the window was reduced.
    pub const CWR: Self = Self(0x80);

    /// Whether all of `other` are set.
    #[inline]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Flags {
    /// `SYN|ACK`, or `-` for none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
        let mut set = NAMES.iter().enumerate().filter(|(bit, _)| self.0 >> bit & 1 != 0);
        f.write_str(set.next().map_or("-", |(_, name)| name))?;
        set.try_for_each(|(_, name)| write!(f, "|{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{ethernet, ipv4},
        *,
    };

    const SYN_ACK: &[u8] = include_bytes!("../../testdata/syn_ack.bin");
    const DATA: &[u8] = include_bytes!("../../testdata/data.bin");
    const BAD_OFFSET: &[u8] = include_bytes!("../../testdata/syn_ack_bad_offset.bin");

    fn payload(frame: &[u8]) -> &[u8] {
        ipv4::Header::parse(&frame[ethernet::LEN..]).unwrap().1
    }

    #[test]
    fn a_syn_ack_of_the_kernel_reads_as_it_was_sent() {
        let segment = Segment::parse(payload(SYN_ACK)).unwrap();
        assert_eq!((segment.source_port(), segment.destination_port()), (80, 0xe1ba));
        assert_eq!((segment.seq(), segment.ack()), (0xa246_033c, 0x5748_ad39));
        assert_eq!(segment.flags(), Flags::SYN | Flags::ACK);
        assert_eq!(segment.window(), 0xfe88);
        assert_eq!((segment.options_bytes().len(), segment.payload().len()), (20, 0));
    }

    #[test]
    fn data_follows_the_options() {
        let segment = Segment::parse(payload(DATA)).unwrap();
        assert_eq!(segment.flags(), Flags::PSH | Flags::ACK);
        assert_eq!(segment.payload().len(), 56);
    }

    #[test]
    fn each_shorter_header_says_how_much_is_missing() {
        let bytes = payload(SYN_ACK);
        for len in 0..bytes.len() {
            let header_len = if len < MIN_LEN { MIN_LEN } else { bytes.len() };
            assert_eq!(
                Segment::parse(&bytes[..len]).unwrap_err(),
                Malformed::Short(Layer::Tcp, header_len - len)
            );
        }
    }

    #[test]
    fn impossible_offsets_are_refused() {
        assert_eq!(
            Segment::parse(payload(BAD_OFFSET)).unwrap_err(),
            Malformed::Short(Layer::Tcp, 20)
        );
        let mut bytes: [u8; 40] = payload(SYN_ACK).try_into().unwrap();
        bytes[12] = 0x40;
        assert_eq!(Segment::parse(&bytes).unwrap_err(), Malformed::Length(Layer::Tcp, 16));
    }

    #[test]
    fn flags_read_as_people_write_them() {
        assert_eq!((Flags::SYN | Flags::ACK).to_string(), "SYN|ACK");
        assert_eq!(Flags::default().to_string(), "-");
        assert!((Flags::SYN | Flags::ACK).contains(Flags::SYN));
        assert!(!Flags::SYN.contains(Flags::SYN | Flags::ACK));
    }
}
