//! A ClientHello from a file.
//!
//! ```text
//!  16 03 01 ..       records, sent as they are
//!  01 00 01 fc ..    the handshake message; one record is put around it
//!  "16 03 01 .."     either, as hex digits with white space or colons between
//! ```
//!
//! Name, random, session id and key shares are the file's. So a TLS 1.3 host's answer can be opened only when the share
//! is a base point ([`super::KeyShares::identity`]), or when the host asks for another share, which is then ours.

use std::{ops::Range, sync::Arc};

use super::{
    reader::Reader,
    template::{LONGEST_MESSAGE, RECORD_HEADER, Template, extension},
};

const HANDSHAKE: u8 = 0x16;
const CLIENT_HELLO: u8 = 0x01;

/// A ClientHello that somebody else made, found to be whole.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CustomHello {
    records: Arc<[u8]>,
    message: Arc<[u8]>,
    /// Where in the message the extensions stand, behind their length.
    extensions: Range<usize>,
    /// Whether not even their length is there (RFC 5246 section 7.4.1.2).
    bare: bool,
}

/// What is wrong with a file that should have a ClientHello. Offsets are of octets, those of hex text decoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadHello {
    /// There is nothing in it.
    #[error("the file is empty: a ClientHello is wanted, raw or as hex digits")]
    Empty,
    /// It is neither raw nor hex.
    #[error(
        "character {at} is no hex digit, and the file does not begin with the octets 16 or 01 of a raw ClientHello"
    )]
    NotHex {
        /// Where in the file, from 0.
        at: usize,
    },
    /// Half an octet is left over.
    #[error("the file has an odd number of hex digits")]
    HalfOctet,
    /// It begins with neither a record nor a message.
    #[error(
        "it begins with the octet {0:#04x}: a handshake record begins with 0x16, a ClientHello without one with 0x01"
    )]
    NotHello(u8),
    /// There is a record of another kind among them.
    #[error("the record at octet {at} is not of the handshake")]
    OtherRecord {
        /// Where it begins.
        at: usize,
    },
    /// A record is empty, longer than TLS allows, or cut off.
    #[error("the record at octet {at} is empty, cut off, or longer than 16,384 octets")]
    BadRecord {
        /// Where it begins.
        at: usize,
    },
    /// A field does not fit.
    #[error("the ClientHello is not well-formed: {field} at octet {at} of the message")]
    BadField {
        /// Which.
        field: &'static str,
        /// Where in the handshake message, its header included.
        at: usize,
    },
    /// Something stands behind the ClientHello.
    #[error("{0} octets stand behind the ClientHello")]
    Trailing(usize),
    /// It is longer than a record may be.
    #[error("the ClientHello has {0} octets; 16,384 are the most")]
    TooLong(usize),
}

impl CustomHello {
    /// Reads what a file holds.
    ///
    /// # Errors
    ///
    /// When that is not one well-formed ClientHello, raw or in hex; the error says why.
    pub fn read(file: &[u8]) -> Result<Self, BadHello> {
        match file.first() {
            None => Err(BadHello::Empty),
            Some(&(HANDSHAKE | CLIENT_HELLO)) => Self::of(file),
            Some(_) => Self::of(&decode(file)?),
        }
    }

    fn of(octets: &[u8]) -> Result<Self, BadHello> {
        let (records, message): (Arc<[u8]>, Arc<[u8]>) = match octets.first() {
            None => return Err(BadHello::Empty),
            Some(&HANDSHAKE) => (octets.into(), joined(octets)?.into()),
            Some(&CLIENT_HELLO) => {
                if octets.len() > LONGEST_MESSAGE {
                    return Err(BadHello::TooLong(octets.len()));
                }
                (record([0x03, 0x01], octets).into(), octets.into())
            }
            Some(&other) => return Err(BadHello::NotHello(other)),
        };
        let (extensions, bare) = check(&message)?;
        Ok(Self { records, message, extensions, bare })
    }

    /// The records as they are sent.
    pub fn records(&self) -> &[u8] {
        &self.records
    }

    /// What the second hello is made of: without what RFC 8446 section 4.1.2 takes away, or lets us.
    pub(super) fn template(&self) -> Template {
        let mut message = self.message[..self.extensions.start].to_vec();
        if self.bare {
            message.extend_from_slice(&[0, 0]);
        }
        let extensions_at = message.len() - 2;
        let mut key_share = None;
        let mut rest = Reader::new(&self.message[self.extensions.clone()]);
        while let (Some(kind), Some(body)) = (rest.u16(), rest.vec16()) {
            let start = RECORD_HEADER + message.len();
            match kind {
                // Binders of a PSK would have to be made anew with a key that the file does not have.
                extension::PRE_SHARED_KEY | extension::EARLY_DATA | extension::COOKIE => continue,
                extension::PADDING => continue,
                extension::KEY_SHARE => key_share = Some(start..start + 4 + body.len()),
                _ => {}
            }
            message.extend_from_slice(&kind.to_be_bytes());
            message.extend_from_slice(&(body.len() as u16).to_be_bytes()); // it was read from as many bits
            message.extend_from_slice(body);
        }
        let bytes = record([0x03, 0x03], &message);
        let end = bytes.len();
        Template::given(bytes, RECORD_HEADER + extensions_at, key_share.unwrap_or(end..end))
    }
}

/// One record around `message`, which is no longer than a record may be.
fn record(version: [u8; 2], message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u16).to_be_bytes();
    [&[HANDSHAKE], &version[..], &length, message].concat()
}

/// The octets of hex digits with white space or colons between them.
fn decode(text: &[u8]) -> Result<Vec<u8>, BadHello> {
    let mut octets = Vec::with_capacity(text.len() / 2);
    let mut high = None;
    for (at, character) in text.iter().enumerate() {
        if character.is_ascii_whitespace() || *character == b':' {
            continue;
        }
        let digit = char::from(*character).to_digit(16).ok_or(BadHello::NotHex { at })? as u8;
        match high.take() {
            None => high = Some(digit),
            Some(high) => octets.push(high << 4 | digit),
        }
    }
    if high.is_some() { Err(BadHello::HalfOctet) } else { Ok(octets) }
}

/// What the records in `octets` carry.
fn joined(octets: &[u8]) -> Result<Vec<u8>, BadHello> {
    let mut message = Vec::new();
    let mut rest = Reader::new(octets);
    while rest.left() > 0 {
        let at = octets.len() - rest.left();
        if rest.u8() != Some(HANDSHAKE) {
            return Err(BadHello::OtherRecord { at });
        }
        let payload = rest
            .u16()
            .and_then(|_version| rest.vec16())
            .filter(|payload| (1..=LONGEST_MESSAGE).contains(&payload.len()))
            .ok_or(BadHello::BadRecord { at })?;
        message.extend_from_slice(payload);
    }
    if message.len() > LONGEST_MESSAGE {
        return Err(BadHello::TooLong(message.len()));
    }
    Ok(message)
}

/// Where in `message` its extensions stand and whether it has no place for any, if it is one ClientHello (RFC 8446 section 4.1.2).
fn check(message: &[u8]) -> Result<(Range<usize>, bool), BadHello> {
    let mut rest = Fields { of: message.len(), rest: Reader::new(message) };
    rest.read("type", |rest| rest.u8().filter(|kind| *kind == CLIENT_HELLO))?;
    let trailing = rest.read("length", |rest| {
        let length = rest.u24()?;
        rest.left().checked_sub(length)
    })?;
    if trailing > 0 {
        return Err(BadHello::Trailing(trailing));
    }
    rest.read("version", Reader::u16)?;
    rest.read("random", |rest| rest.take(32))?;
    rest.read("session id", |rest| rest.vec8().filter(|id| id.len() <= 32))?;
    rest.read("suites", |rest| {
        rest.vec16().filter(|suites| !suites.is_empty() && suites.len() % 2 == 0)
    })?;
    rest.read("compression methods", |rest| rest.vec8().filter(|methods| !methods.is_empty()))?;
    if rest.rest.left() == 0 {
        return Ok((message.len()..message.len(), true));
    }
    rest.read("length of extensions", |rest| {
        rest.u16().filter(|length| rest.left() == usize::from(*length))
    })?;
    let start = message.len() - rest.rest.left();
    while rest.rest.left() > 0 {
        rest.read("extension", |rest| rest.u16().and_then(|_kind| rest.vec16()))?;
    }
    Ok((start..message.len(), false))
}

/// A message read field by field, so that an error names the one that is wrong.
struct Fields<'a> {
    of: usize,
    rest: Reader<'a>,
}

impl<'a> Fields<'a> {
    fn read<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Reader<'a>) -> Option<T>,
    ) -> Result<T, BadHello> {
        let at = self.of - self.rest.left();
        read(&mut self.rest).ok_or(BadHello::BadField { field, at })
    }
}
