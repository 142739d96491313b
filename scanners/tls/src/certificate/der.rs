use thiserror::Error;

/// Why octets are no DER.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum DerError {
    #[error("ends in the middle of a field")]
    Short,
    #[error("has a tag of several octets, or a length without end")]
    Form,
    #[error("has 0x{found:02x} where 0x{wanted:02x} belongs")]
    Tag { wanted: u8, found: u8 },
    #[error("has octets behind its end")]
    Rest,
}

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;

/// One value with its tag and length.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Item<'a> {
    pub(crate) tag: u8,
    /// Its content.
    pub(crate) value: &'a [u8],
    /// Tag and length included.
    pub(crate) whole: &'a [u8],
}

/// Reads values one after the other (X.690, section 8.1), and their lengths in any definite form: what writes certificates
/// does not always write them shortest.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tag that comes next.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    pub(crate) fn next(&mut self) -> Result<Item<'a>, DerError> {
        let (&tag, rest) = self.0.split_first().ok_or(DerError::Short)?;
        let (&first, rest) = rest.split_first().ok_or(DerError::Short)?;
        let is_long_tag = tag & 0x1f == 0x1f;
        let (len, rest) = match first {
            _ if is_long_tag => return Err(DerError::Form),
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let octets = usize::from(first & 0x7f);
                let (len, rest) = rest.split_at_checked(octets).ok_or(DerError::Short)?;
                let len = len.iter().fold(0_u32, |len, octet| len << 8 | u32::from(*octet));
                (usize::try_from(len).map_err(|_| DerError::Short)?, rest)
            }
            _ => return Err(DerError::Form),
        };
        let (value, rest) = rest.split_at_checked(len).ok_or(DerError::Short)?;
        let (whole, _) =
            self.0.split_at_checked(self.0.len() - rest.len()).ok_or(DerError::Short)?;
        self.0 = rest;
        Ok(Item { tag, value, whole })
    }

    pub(crate) fn expect(&mut self, wanted: u8) -> Result<Item<'a>, DerError> {
        let mut ahead = self.clone();
        let item = ahead.next()?;
        if item.tag != wanted {
            return Err(DerError::Tag { wanted, found: item.tag });
        }
        *self = ahead;
        Ok(item)
    }

    /// The next value if it has this tag.
    pub(crate) fn optional(&mut self, wanted: u8) -> Result<Option<Item<'a>>, DerError> {
        if self.peek() == Some(wanted) { self.next().map(Some) } else { Ok(None) }
    }
}

/// The one value that `bytes` are.
pub(crate) fn only(bytes: &[u8], wanted: u8) -> Result<Item<'_>, DerError> {
    let mut reader = Reader::new(bytes);
    let item = reader.expect(wanted)?;
    if reader.is_empty() { Ok(item) } else { Err(DerError::Rest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_in_all_definite_forms() {
        for bytes in [&[4, 1, 7][..], &[4, 0x81, 1, 7], &[4, 0x84, 0, 0, 0, 1, 7]] {
            let item = only(bytes, OCTET_STRING).unwrap();
            assert_eq!((item.value, item.whole), (&[7][..], bytes));
        }
        let long = [&[4, 0x82, 1, 0][..], &[9; 256]].concat();
        assert_eq!(only(&long, OCTET_STRING).unwrap().value, [9; 256]);
    }

    #[test]
    fn what_is_no_der_is_said() {
        let read = |bytes: &'static [u8]| only(bytes, SEQUENCE).unwrap_err();
        assert_eq!(read(&[]), DerError::Short);
        assert_eq!(read(&[0x30]), DerError::Short);
        assert_eq!(read(&[0x30, 2, 0]), DerError::Short);
        assert_eq!(read(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), DerError::Short);
        assert_eq!(read(&[0x30, 0x80, 0, 0]), DerError::Form);
        assert_eq!(read(&[0x30, 0x85, 0, 0, 0, 0, 0]), DerError::Form);
        assert_eq!(read(&[0x3f, 0x81, 0]), DerError::Form);
        assert_eq!(read(&[0x31, 0]), DerError::Tag { wanted: SEQUENCE, found: 0x31 });
        assert_eq!(read(&[0x30, 0, 0]), DerError::Rest);
    }
}
