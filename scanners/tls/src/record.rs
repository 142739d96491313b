//! The record layer (RFC 8446, section 5): what octets on the wire are one record, and how long one may be.
//!
//! ```text
//!  0      1        2        3       5
//!  | type | 3      | minor  | length | fragment ...
//! ```
//!
//! The minor version is never looked at: hosts write whatever their age made them write.

use crate::handshake::Fault;

/// Octets before the fragment.
pub(crate) const HEADER_LEN: usize = 5;
/// What a fragment in clear has at most (section 5.1), and the content of a protected one (section 5.4).
pub(crate) const LONGEST_CLEAR: usize = 1 << 14;
/// What a protected fragment has at most (section 5.2).
pub(crate) const LONGEST_SEALED: usize = LONGEST_CLEAR + 256;

pub(crate) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const APPLICATION_DATA: u8 = 23;
const HEARTBEAT: u8 = 24;

/// The header of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) octets: [u8; HEADER_LEN],
    pub(crate) kind: u8,
    pub(crate) len: usize,
}

impl Header {
    /// The header that `data` begins with, once enough of it is there.
    pub(crate) fn read(data: &[u8], longest: usize) -> Result<Option<Self>, Fault> {
        let Some(&octets) = data.first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let [kind, major, _, high, low] = octets;
        let len = u16::from_be_bytes([high, low]);
        if major != 3 {
            return Err(Fault::RecordType(kind));
        }
        if usize::from(len) > longest {
            return Err(Fault::RecordLength(len));
        }
        Ok(Some(Self { octets, kind, len: len.into() }))
    }
}

/// Whether a stream that begins with `data` can be TLS; what is not there yet can be anything.
pub(crate) fn may_be_tls(data: &[u8]) -> bool {
    let is_type = |kind: &u8| (CHANGE_CIPHER_SPEC..=HEARTBEAT).contains(kind);
    data.first().is_none_or(is_type) && data.get(1).is_none_or(|major| *major == 3)
}

/// The fragments of records of ours, one after the other.
pub(crate) fn fragments(mut records: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (header, rest) = records.split_first_chunk::<HEADER_LEN>()?;
        let len = u16::from_be_bytes([header[3], header[4]]);
        let (fragment, rest) = rest.split_at_checked(len.into())?;
        records = rest;
        Some(fragment)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_five_octets_and_a_limit() {
        let header = |octets: &[u8]| Header::read(octets, LONGEST_CLEAR);
        assert!(header(&[22, 3, 3, 0]).unwrap().is_none());
        let read = header(&[22, 3, 3, 0x40, 0, 9]).unwrap().unwrap();
        assert_eq!((read.kind, read.len, read.octets), (22, 16_384, [22, 3, 3, 0x40, 0]));
        assert_eq!(header(&[22, 3, 3, 0x40, 1]).unwrap_err(), Fault::RecordLength(16_385));
        assert_eq!(header(&[22, 2, 3, 0, 1]).unwrap_err(), Fault::RecordType(22));
        assert!(Header::read(&[23, 3, 3, 0x41, 0], LONGEST_SEALED).is_ok());
        assert!(Header::read(&[23, 3, 3, 0x41, 1], LONGEST_SEALED).is_err());
    }

    #[test]
    fn the_first_two_octets_tell() {
        let tls: [&[u8]; 5] = [&[], &[22], &[21, 3], &[24, 3, 9], &[20, 3, 3, 0, 1]];
        assert!(tls.into_iter().all(may_be_tls));
        let others: [&[u8]; 4] = [b"H", b"SSH-", &[0x80, 0x2e, 4], &[22, 2]];
        assert!(!others.into_iter().any(may_be_tls));
    }

    #[test]
    fn fragments_of_records() {
        let records = [22, 3, 1, 0, 2, 7, 8, 22, 3, 3, 0, 0, 22, 3, 3, 0, 1, 9];
        let found: Vec<_> = fragments(&records).collect();
        assert_eq!(found, [&[7, 8][..], &[], &[9]]);
        assert_eq!(fragments(&records[..6]).count(), 0);
    }
}
