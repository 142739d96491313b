//! The IPv6 header (RFC 8200, section 3) and the extension headers behind it (section 4).
//!
//! Hop-by-hop options, routing, fragment and destination options are walked; anything else ends the walk and is the protocol
//! of the packet. A fragment that is not the first ends it too: what follows is the middle of something.

use std::net::Ipv6Addr;

use super::error::{Layer, Malformed, split};

/// Octets of the header without extensions.
pub const LEN: usize = 40;
/// The most extension headers that are walked. RFC 8200, section 4.1, has each at most once and destination options twice, so
/// a packet with more is made to be slow to read.
pub const MAX_EXTENSIONS: usize = 8;
/// "No next header" (RFC 8200, section 4.7): nothing follows.
pub const NO_NEXT_HEADER: u8 = 59;

/// Extension headers by their number in the header before.
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// Every extension header is a multiple of this.
const UNIT: usize = 8;
/// The option that holds the length of a packet of more than 65,535 octets (RFC 2675, section 2).
const JUMBO: u8 = 0xc2;

/// An IPv6 header where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    fixed: &'a [u8; LEN],
    extensions: &'a [u8],
    protocol: u8,
    /// The last two octets of the fragment header that matter; zero is a whole packet, or a fragment that is all of one.
    fragment: u16,
}

impl<'a> Header<'a> {
    /// The header, and the packet's payload behind the last extension header: without what follows the packet in its frame,
    /// and as far as it was captured.
    ///
    /// # Errors
    ///
    /// [`Malformed`] when the version is not 6, the header or an extension header is not all there, hop-by-hop options are
    /// not the first (RFC 8200, section 4.1), or there are more than [`MAX_EXTENSIONS`].
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (fixed, rest): (&[u8; LEN], _) = split(Layer::Ipv6, bytes)?;
        if fixed[0] >> 4 != 6 {
            return Err(Malformed::Form(Layer::Ipv6, u16::from(fixed[0] >> 4)));
        }
        let first = fixed[6];
        let payload_len = match usize::from(u16::from_be_bytes([fixed[4], fixed[5]])) {
            // A kernel shows segments that it joined (GRO) in this form.
            0 if first == HOP_BY_HOP => jumbo_len(rest).unwrap_or(0),
            len => len,
        };
        let rest = &rest[..payload_len.min(rest.len())];
        if !is_extension(first) {
            let header = Self { fixed, extensions: &[], protocol: first, fragment: 0 };
            return Ok((header, rest));
        }
        let walked = walk(first, rest)?;
        let (extensions, payload) = rest.split_at(walked.len);
        let Walked { protocol, fragment, .. } = walked;
        Ok((Self { fixed, extensions, protocol, fragment }, payload))
    }

    /// Octets behind the fixed header, by its own word; 0 for a jumbogram (RFC 2675).
    pub fn payload_len(&self) -> u16 {
        u16::from_be_bytes([self.fixed[4], self.fixed[5]])
    }

    /// The traffic class (RFC 2474, RFC 3168).
    pub fn traffic_class(&self) -> u8 {
        self.fixed[0] << 4 | self.fixed[1] >> 4
    }

    /// The flow label (RFC 6437), 20 bits.
    pub fn flow_label(&self) -> u32 {
        u32::from_be_bytes([0, self.fixed[1] & 0xf, self.fixed[2], self.fixed[3]])
    }

    /// What stands behind the fixed header: an extension header or the protocol.
    pub fn next_header(&self) -> u8 {
        self.fixed[6]
    }

    /// How many more routers may pass it on.
    #[inline]
    pub fn hop_limit(&self) -> u8 {
        self.fixed[7]
    }

    /// What stands behind the last extension header that was walked.
    #[inline]
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// Where this fragment stands in the packet, in units of 8 octets; 0 without a fragment header.
    #[inline]
    pub fn fragment_offset(&self) -> u16 {
        self.fragment >> 3
    }

    /// Whether more fragments follow.
    pub fn has_more_fragments(&self) -> bool {
        self.fragment & 1 != 0
    }

    /// Who sent it, by its own word.
    #[inline]
    pub fn source(&self) -> Ipv6Addr {
        self.addr::<8>()
    }

    /// Who should take it.
    #[inline]
    pub fn destination(&self) -> Ipv6Addr {
        self.addr::<24>()
    }

    /// The extension headers as they lie.
    pub fn extension_bytes(&self) -> &'a [u8] {
        self.extensions
    }

    #[inline]
    fn addr<const AT: usize>(&self) -> Ipv6Addr {
        let mut octets = [0; 16];
        octets.copy_from_slice(&self.fixed[AT..AT + 16]);
        octets.into()
    }
}

/// Where a walk over the extension headers ended.
struct Walked {
    /// Octets of all of them.
    len: usize,
    protocol: u8,
    fragment: u16,
}

#[inline]
fn is_extension(number: u8) -> bool {
    matches!(number, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS)
}

/// Apart from [`Header::parse`], since hardly any answer has one.
fn walk(first: u8, bytes: &[u8]) -> Result<Walked, Malformed> {
    const LAYER: Layer = Layer::Ipv6Extension;
    let mut walked = Walked { len: 0, protocol: first, fragment: 0 };
    for count in 0..=MAX_EXTENSIONS {
        let number = walked.protocol;
        if !is_extension(number) {
            return Ok(walked);
        }
        if count == MAX_EXTENSIONS || (number == HOP_BY_HOP && count > 0) {
            return Err(Malformed::Form(LAYER, number.into()));
        }
        let rest = &bytes[walked.len..];
        let (unit, _) = split::<UNIT>(LAYER, rest)?;
        let len = match number {
            FRAGMENT => UNIT, // what is the length elsewhere is reserved here
            _ => UNIT + usize::from(unit[1]) * UNIT,
        };
        if len > rest.len() {
            return Err(Malformed::Short(LAYER, len - rest.len()));
        }
        walked.len += len;
        walked.protocol = unit[0];
        if number == FRAGMENT {
            walked.fragment = u16::from_be_bytes([unit[2], unit[3]]) & !0b110; // two bits are reserved
            if walked.fragment >> 3 > 0 {
                return Ok(walked);
            }
        }
    }
    Ok(walked)
}

/// What the jumbo option says in the hop-by-hop options at the start of `bytes`; `None` without one, or when they are cut.
fn jumbo_len(bytes: &[u8]) -> Option<usize> {
    let len = UNIT + usize::from(*bytes.get(1)?) * UNIT;
    let mut options = bytes.get(2..len)?;
    while let [kind, rest @ ..] = options {
        if *kind == 0 {
            options = rest; // one octet of padding has no length
            continue;
        }
        let (len, rest) = rest.split_first()?;
        let (data, rest) = rest.split_at_checked(usize::from(*len))?;
        if *kind == JUMBO {
            let len = u32::from_be_bytes(data.try_into().ok()?);
            return usize::try_from(len).ok();
        }
        options = rest;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header that names `payload` octets, from 2001:db8::1 to 2001:db8::2.
    fn packet(next: u8, len: usize, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x6a, 0xb1, 0x23, 0x45];
        bytes.extend((len as u16).to_be_bytes());
        bytes.extend([next, 61]);
        for last in [1, 2] {
            bytes.extend(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).octets());
        }
        bytes.extend(payload);
        bytes
    }

    #[track_caller]
    fn refused(bytes: &[u8], why: Malformed) {
        assert_eq!(Header::parse(bytes).unwrap_err(), why);
    }

    #[test]
    fn fields_read_as_they_were_written() {
        let bytes = packet(6, 5, b"hello and padding");
        let (header, payload) = Header::parse(&bytes).unwrap();
        assert_eq!(payload, b"hello");
        assert_eq!((header.payload_len(), header.hop_limit(), header.protocol()), (5, 61, 6));
        assert_eq!((header.traffic_class(), header.flow_label()), (0xab, 0x1_2345));
        assert_eq!(header.source().to_string(), "2001:db8::1");
        assert_eq!(header.destination().to_string(), "2001:db8::2");
        assert_eq!((header.fragment_offset(), header.has_more_fragments()), (0, false));
        assert!(header.extension_bytes().is_empty());
    }

    #[test]
    fn each_shorter_header_says_how_much_is_missing() {
        let bytes = packet(6, 0, &[]);
        for len in 0..LEN {
            refused(&bytes[..len], Malformed::Short(Layer::Ipv6, LEN - len));
        }
        refused(&[0x45; 40], Malformed::Form(Layer::Ipv6, 4));
    }

    #[test]
    fn a_packet_cut_by_the_link_is_shown_as_far_as_it_goes() {
        let bytes = packet(6, 1_400, &[7; 20]);
        let (header, payload) = Header::parse(&bytes).unwrap();
        assert_eq!((header.payload_len(), payload.len()), (1_400, 20));
    }

    #[test]
    fn extension_headers_are_walked() {
        let mut chain = vec![60, 0, 1, 4, 0, 0, 0, 0]; // hop-by-hop: one PadN
        chain.extend([43, 1]); // destination options of 16 octets
        chain.extend([0; 14]);
        chain.extend([44, 0, 0, 0, 0, 0, 0, 0]); // routing
        chain.extend([6, 99, 0, 1, 0, 0, 0, 9]); // the first fragment; its second octet is no length
        let whole = [&chain[..], b"segment"].concat();
        let bytes = packet(0, whole.len(), &whole);
        let (header, payload) = Header::parse(&bytes).unwrap();
        assert_eq!(payload, b"segment");
        assert_eq!((header.next_header(), header.protocol()), (0, 6));
        assert_eq!((header.fragment_offset(), header.has_more_fragments()), (0, true));
        assert_eq!(header.extension_bytes(), chain);
        for cut in 0..chain.len() {
            let error = Header::parse(&bytes[..LEN + cut]).unwrap_err();
            assert!(matches!(error, Malformed::Short(Layer::Ipv6Extension, 1..=16)), "{error}");
        }
    }

    #[test]
    fn a_later_fragment_ends_the_walk() {
        // The protocol of the first fragment was destination options, and what follows here is not their header.
        let bytes = packet(44, 12, &[60, 0, 0, 8 | 6, 0, 0, 0, 9, 1, 255, 3, 4]);
        let (header, payload) = Header::parse(&bytes).unwrap();
        assert_eq!((header.fragment_offset(), header.has_more_fragments()), (1, false));
        assert_eq!(payload, [1, 255, 3, 4]);
    }

    #[test]
    fn chains_without_an_end_are_refused() {
        let chain = [60, 0, 0, 0, 0, 0, 0, 0].repeat(MAX_EXTENSIONS + 1);
        let form = |number| Malformed::Form(Layer::Ipv6Extension, number);
        refused(&packet(60, chain.len(), &chain), form(60));
        let mut most = chain[..8 * MAX_EXTENSIONS].to_vec();
        most[8 * (MAX_EXTENSIONS - 1)] = NO_NEXT_HEADER;
        let bytes = packet(60, most.len(), &most);
        assert_eq!(Header::parse(&bytes).unwrap().0.protocol(), NO_NEXT_HEADER);
        refused(&packet(60, 16, &[0; 16]), form(0)); // hop-by-hop options come first or not at all
    }

    #[test]
    fn a_jumbogram_is_as_long_as_its_option_says() {
        let mut whole = vec![6, 0, JUMBO, 4, 0, 0, 0, 12];
        whole.extend(b"TCP!padding");
        let bytes = packet(0, 0, &whole);
        let (header, payload) = Header::parse(&bytes).unwrap();
        assert_eq!((header.payload_len(), payload), (0, &b"TCP!"[..]));
        // Joined by a kernel, and cut by the ring.
        whole[4..8].copy_from_slice(&200_000_u32.to_be_bytes());
        let bytes = packet(0, 0, &whole);
        assert_eq!(Header::parse(&bytes).unwrap().1, b"TCP!padding");
        // Without the option, nothing is as long as it says: the options themselves are missing.
        whole[2] = 1;
        refused(&packet(0, 0, &whole), Malformed::Short(Layer::Ipv6Extension, UNIT));
        // And without hop-by-hop options, what follows is padding.
        let bytes = packet(NO_NEXT_HEADER, 0, b"padding");
        assert!(Header::parse(&bytes).unwrap().1.is_empty());
    }
}
