//! The data of records whose form is a row of plain fields.
//!
//! ```text
//!  SOA = Name Name U32 U32 U32 U32 U32        MX = U16 Name        TXT = Texts
//! ```
//!
//! All types are here whose data may hold compressed names, in the wild as well (RFC 3597, section 4, names more than may):
//! in the form of an unknown type they would be of no use outside their message.

use std::ops::Range;

use super::{Qclass, Qtype, Record, labels::Walk};

/// One field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Field {
    U8,
    U16,
    U32,
    V4,
    V6,
    /// A name, maybe compressed.
    Name,
    /// A string behind its length (RFC 1035, section 3.3).
    Text,
    /// One such string or more, to the end.
    Texts,
    /// A string behind its length that is a plain word (RFC 8659, section 4.1).
    Word,
    /// What is left, as a string.
    Rest,
    /// What is left, which is not nothing, in hex.
    Hex,
    /// The same in base64.
    Base64,
    /// A type of records.
    Type,
    /// What is left, as a set of types (RFC 4034, section 4.1.2).
    Types,
}

/// The fields of a type, if it is a row of them.
fn layout(rtype: Qtype, class: Qclass) -> Option<&'static [Field]> {
    use Field::{Base64, Hex, Name, Rest, Text, Texts, Type, Types, U8, U16, U32, V4, V6, Word};

    Some(match rtype {
        // What an address is, depends on the class: that of Chaosnet is something else (RFC 1035, section 3.4.1).
        Qtype::A if class == Qclass::CH => return None,
        Qtype::A => &[V4],
        Qtype::AAAA => &[V6],
        Qtype::NS | Qtype::CNAME | Qtype::PTR | Qtype::DNAME => &[Name],
        Qtype::MD | Qtype::MF | Qtype::MB | Qtype::MG | Qtype::MR | Qtype::NSAP_PTR => &[Name],
        Qtype::SOA => &[Name, Name, U32, U32, U32, U32, U32],
        Qtype::MX | Qtype::AFSDB | Qtype::RT | Qtype::KX | Qtype::LP => &[U16, Name],
        Qtype::TXT | Qtype::SPF | Qtype::NINFO | Qtype::AVC | Qtype::RESINFO => &[Texts],
        Qtype::WALLET | Qtype::ISDN => &[Texts],
        Qtype::SRV => &[U16, U16, U16, Name],
        Qtype::NAPTR => &[U16, U16, Text, Text, Text, Name],
        Qtype::CAA => &[U8, Word, Rest],
        Qtype::URI => &[U16, U16, Rest],
        Qtype::HINFO => &[Text, Text],
        Qtype::X25 => &[Text],
        Qtype::GPOS => &[Text, Text, Text],
        Qtype::MINFO | Qtype::RP | Qtype::TALINK => &[Name, Name],
        Qtype::PX => &[U16, Name, Name],
        Qtype::RRSIG => &[Type, U8, U8, U32, U32, U32, U16, Name, Base64],
        Qtype::NSEC => &[Name, Types],
        Qtype::L32 => &[U16, V4],
        Qtype::SMIMEA => &[U8, U8, U8, Hex],
        Qtype::TA | Qtype::DLV => &[U16, U8, U8, Hex],
        _ => return None,
    })
}

/// Whether a record's data may hold names.
pub(super) fn has_names(record: &Record<'_>) -> bool {
    layout(record.rtype, record.class).is_some_and(|layout| layout.contains(&Field::Name))
}

/// The fields of a record, and which octets of its message they are; `None` when its type is no row of fields, or its data
/// do not have that form to the last octet.
pub(super) fn fields<'a>(record: &Record<'a>) -> Option<Fields<'a>> {
    let fields = Fields::unchecked(record)?;
    let mut check = fields.clone();
    check.by_ref().for_each(drop);
    check.is_whole().then_some(fields)
}

/// The fields of a record in their order.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    message: &'a [u8],
    layout: std::slice::Iter<'static, Field>,
    at: usize,
    end: usize,
}

impl<'a> Fields<'a> {
    /// The fields of a record as far as its data have their form: see [`Self::is_whole`].
    pub(super) fn unchecked(record: &Record<'a>) -> Option<Self> {
        Some(Self {
            message: record.message(),
            layout: layout(record.rtype, record.class)?.iter(),
            at: record.rdata_at,
            end: record.rdata_at + record.rdata.len(),
        })
    }

    /// Whether all data had their form; known at the end.
    pub(super) fn is_whole(&self) -> bool {
        self.layout.len() == 0 && self.at == self.end
    }

    /// Where the field that begins here ends.
    fn end_of(&self, field: Field) -> Option<usize> {
        let text = || Some(self.at + 1 + usize::from(*self.message.get(self.at)?));
        let end = match field {
            Field::U8 => self.at + 1,
            Field::U16 | Field::Type => self.at + 2,
            Field::U32 | Field::V4 => self.at + 4,
            Field::V6 => self.at + 16,
            Field::Name => Walk::new(self.message, self.at).end()?,
            Field::Text | Field::Texts | Field::Word => text()?,
            Field::Rest | Field::Types => self.end,
            Field::Hex | Field::Base64 => self.end.max(self.at + 1),
        };
        let octets = self.message.get(self.at..end)?;
        let has_form = match field {
            Field::Word => {
                let word = octets.get(1..).filter(|word| !word.is_empty());
                word.is_some_and(|word| word.iter().all(u8::is_ascii_alphanumeric))
            }
            Field::Types => types(octets).all(|types| types.is_some()),
            _ => true,
        };
        if !has_form {
            return None;
        }
        (end <= self.end).then_some(end)
    }
}

impl Iterator for Fields<'_> {
    type Item = (Field, Range<usize>);

    fn next(&mut self) -> Option<(Field, Range<usize>)> {
        let field = *self.layout.as_slice().first()?;
        let end = self.end_of(field)?;
        let range = self.at..end;
        self.at = end;
        if field != Field::Texts || end == self.end {
            self.layout.next();
        }
        Some((field, range))
    }
}

/// The types of a set, block by block; `None` and the end for a block that is not as it must be: in order, of 1 to 32
/// octets, the last of them not zero.
pub(super) fn types(octets: &[u8]) -> impl Iterator<Item = Option<impl Iterator<Item = Qtype>>> {
    let (mut rest, mut last) = (octets, None);
    std::iter::from_fn(move || {
        let (&window, behind) = rest.split_first()?;
        let block = behind.split_first().and_then(|(len, behind)| {
            let (block, behind) = behind.split_at_checked((*len).into())?;
            let is_whole = block.len() <= 32 && block.last().is_some_and(|octet| *octet != 0);
            rest = behind;
            (is_whole && last.replace(window) < Some(window)).then_some(block)
        });
        if block.is_none() {
            rest = &[];
        }
        Some(block.map(|block| {
            let bits = (0..8 * block.len() as u16).zip(
                block.iter().flat_map(|octet| (0..8).map(move |bit| octet & (0x80 >> bit) != 0)),
            );
            let on = bits.filter(|(_, is_on)| *is_on);
            on.map(move |(bit, _)| Qtype(u16::from(window) << 8 | bit))
        }))
    })
}
