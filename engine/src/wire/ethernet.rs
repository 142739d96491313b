//! Ethernet II frames (IEEE 802.3) and VLAN tags (IEEE 802.1Q).

use std::{fmt, str::FromStr};

use super::error::{Layer, Malformed, split};

/// Octets of the header: two addresses and the EtherType.
pub const LEN: usize = 14;
/// Octets of one VLAN tag.
pub const TAG_LEN: usize = 4;
/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// EtherType of a customer VLAN tag.
pub const VLAN: u16 = 0x8100;
/// EtherType of a service VLAN tag, which stands before a customer one.
pub const SERVICE_VLAN: u16 = 0x88a8;

/// Most tags that are read: a service tag and a customer tag.
const MAX_TAGS: usize = 2;

/// An IEEE 802 hardware address.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// No address: loopback has it, and links without hardware addresses.
    pub const ZERO: Self = Self([0; 6]);
    /// All stations.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether it names a group of stations, broadcast among them.
    pub fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Text that is no hardware address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no hardware address: give six octets in hexadecimal, as in 02:00:5e:00:53:01")]
pub struct MacAddrError(String);

impl FromStr for MacAddr {
    type Err = MacAddrError;

    /// Six octets in hexadecimal between colons or hyphens.
    fn from_str(text: &str) -> Result<Self, MacAddrError> {
        let wrong = || MacAddrError(text.to_owned());
        let mut octets = [0; 6];
        let mut words = text.split([':', '-']);
        for octet in &mut octets {
            let word = words.next().filter(|word| matches!(word.len(), 1 | 2)).ok_or_else(wrong)?;
            if !word.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            *octet = u8::from_str_radix(word, 16).map_err(|_| wrong())?;
        }
        match words.next() {
            None => Ok(Self(octets)),
            Some(_) => Err(wrong()),
        }
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    fixed: &'a [u8; LEN],
}

impl<'a> Header<'a> {
    /// The header, and what follows it.
    ///
    /// # Errors
    ///
    /// [`Malformed::Short`].
    #[inline]
    pub fn parse(frame: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (fixed, rest) = split(Layer::Ethernet, frame)?;
        Ok((Self { fixed }, rest))
    }

    /// Who should take it.
    #[inline]
    pub fn destination(&self) -> MacAddr {
        let [a, b, c, d, e, f, ..] = *self.fixed;
        MacAddr([a, b, c, d, e, f])
    }

    /// Who sent it.
    #[inline]
    pub fn source(&self) -> MacAddr {
        let [_, _, _, _, _, _, a, b, c, d, e, f, ..] = *self.fixed;
        MacAddr([a, b, c, d, e, f])
    }

    /// What follows: an EtherType, or a length below 1,536 in frames of the older form.
    #[inline]
    pub fn ether_type(&self) -> u16 {
        u16::from_be_bytes([self.fixed[12], self.fixed[13]])
    }
}

/// Reads VLAN tags: the EtherType behind them, the VLAN of the innermost, and what follows.
#[inline]
pub(super) fn tags(
    mut ether_type: u16,
    mut rest: &[u8],
) -> Result<(u16, Option<u16>, &[u8]), Malformed> {
    let mut vlan = None;
    for _ in 0..MAX_TAGS {
        if ether_type != VLAN && ether_type != SERVICE_VLAN {
            break;
        }
        let (tag, behind): (&[u8; TAG_LEN], _) = split(Layer::Vlan, rest)?;
        vlan = Some(u16::from_be_bytes([tag[0], tag[1]]) & 0x0fff);
        ether_type = u16::from_be_bytes([tag[2], tag[3]]);
        rest = behind;
    }
    Ok((ether_type, vlan, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_are_read_as_people_write_them() {
        let mac = MacAddr([2, 0, 0x5e, 0, 0x53, 0xff]);
        assert_eq!("02:00:5e:00:53:ff".parse(), Ok(mac));
        assert_eq!("2-0-5E-0-53-FF".parse(), Ok(mac));
        assert_eq!(mac.to_string(), "02:00:5e:00:53:ff");
        for text in [
            "",
            "02:00:5e:00:53",
            "02:00:5e:00:53:01:02",
            "02:00:5e:00:53:+1",
            "0200.5e00.5301",
            "02:00:5e:00:53:001",
        ] {
            assert_eq!(text.parse::<MacAddr>(), Err(MacAddrError(text.to_owned())));
        }
    }

    #[test]
    fn two_tags_are_read_and_a_third_is_someone_elses() {
        let tag = |id: u8, next: u16| [0xe0, id, (next >> 8) as u8, next as u8];
        let one = tag(7, IPV4);
        assert_eq!(tags(VLAN, &one), Ok((IPV4, Some(7), &[][..])));
        let two = [tag(7, VLAN), tag(8, ARP)].concat();
        assert_eq!(tags(SERVICE_VLAN, &two), Ok((ARP, Some(8), &[][..])));
        let three = [tag(7, VLAN), tag(8, VLAN), tag(9, IPV4)].concat();
        assert_eq!(tags(SERVICE_VLAN, &three), Ok((VLAN, Some(8), &three[8..])));
        assert_eq!(tags(VLAN, &one[..3]), Err(Malformed::Short(Layer::Vlan, 1)));
        assert_eq!(tags(IPV4, &one), Ok((IPV4, None, &one[..])));
    }
}
