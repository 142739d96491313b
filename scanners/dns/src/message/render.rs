//! The data of records as text.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::{
    base::{
        ParsedName, Rtype,
        rdata::ParseRecordData as _,
        zonefile_fmt::{DisplayKind, ZonefileFmt as _},
    },
    dep::octseq::Parser,
    rdata::ZoneRecordData,
};

use super::{
    Name, Qtype, Record,
    name::push_decimal,
    rdata::{Field, Fields, fields, types},
    svcb,
};

impl Record<'_> {
    /// Its data in presentation form, on one line and in ASCII; names have their final dot.
    ///
    /// A reader of zone files that knows the type gets the same data back, names decompressed: see the module's words on
    /// types that have no such form.
    pub fn data(&self) -> String {
        let mut out = String::new();
        self.write_data(&mut out);
        out
    }

    /// Appends [`Self::data`].
    pub fn write_data(&self, out: &mut String) {
        let start = out.len();
        let done = match fields(self) {
            Some(fields) => write_fields(self.message(), fields, out),
            None => match self.rtype {
                Qtype::SVCB | Qtype::HTTPS => svcb::write(self, out),
                Qtype::IPSECKEY => write_ipseckey(self, out),
                _ => write_structured(self, out),
            },
        };
        if done.is_none() {
            out.truncate(start);
            write_unknown(self.rdata, out);
        }
    }
}

/// Appends fields, spaces between them.
fn write_fields(message: &[u8], fields: Fields<'_>, out: &mut String) -> Option<()> {
    for (number, (field, range)) in fields.enumerate() {
        if number > 0 {
            out.push(' ');
        }
        let octets = message.get(range.clone())?;
        match field {
            Field::U8 => write!(out, "{}", octets.first()?).ok()?,
            Field::U16 => write!(out, "{}", u16::from_be_bytes(*octets.first_chunk()?)).ok()?,
            Field::U32 => write!(out, "{}", u32::from_be_bytes(*octets.first_chunk()?)).ok()?,
            Field::V4 => write!(out, "{}", Ipv4Addr::from(*octets.first_chunk::<4>()?)).ok()?,
            Field::V6 => write!(out, "{}", Ipv6Addr::from(*octets.first_chunk::<16>()?)).ok()?,
            Field::Name => Name::read(message, range.start)?.0.write_absolute(out),
            Field::Text | Field::Texts => write_quoted(octets.get(1..)?, out),
            Field::Rest => write_quoted(octets, out),
            Field::Word => out.push_str(str::from_utf8(octets.get(1..)?).ok()?),
            Field::Hex => write_hex(octets, out),
            Field::Base64 => BASE64_STANDARD.encode_string(octets, out),
            Field::Type => {
                write!(out, "{}", Qtype(u16::from_be_bytes(*octets.first_chunk()?))).ok()?;
            }
            Field::Types => {
                for (number, rtype) in types(octets).flatten().flatten().enumerate() {
                    let space = if number > 0 { " " } else { "" };
                    write!(out, "{space}{rtype}").ok()?;
                }
            }
        }
    }
    Some(())
}

/// Appends a key, and the gateway that has it, which its second octet tells the kind of (RFC 4025, section 3.1).
fn write_ipseckey(record: &Record<'_>, out: &mut String) -> Option<()> {
    let (&[precedence, kind, algorithm], rest) = record.rdata.split_first_chunk()?;
    // Writing to a String cannot fail.
    let _ = write!(out, "{precedence} {kind} {algorithm} ");
    let key = match kind {
        0 => {
            out.push('.');
            rest
        }
        1 => {
            let (address, key) = rest.split_first_chunk::<4>()?;
            let _ = write!(out, "{}", Ipv4Addr::from(*address));
            key
        }
        2 => {
            let (address, key) = rest.split_first_chunk::<16>()?;
            let _ = write!(out, "{}", Ipv6Addr::from(*address));
            key
        }
        3 => {
            let (name, end) = Name::read(record.message(), record.rdata_at + 3)?;
            name.write_absolute(out);
            record.rdata.get(end - record.rdata_at..)?
        }
        _ => return None,
    };
    // A key is left out by algorithm 0 and by no other (RFC 4025, section 2.4).
    match (algorithm, key) {
        (0, []) => Some(()),
        (0, _) | (_, []) => None,
        _ => {
            out.push(' ');
            BASE64_STANDARD.encode_string(key, out);
            Some(())
        }
    }
}

/// The set of types of NSEC3 data: what stands behind salt and hash (RFC 5155, section 3.2).
fn nsec3_types(rdata: &[u8]) -> Option<&[u8]> {
    let (_, rest) = rdata.split_at_checked(4)?;
    let (&salt, rest) = rest.split_first()?;
    let (_, rest) = rest.split_at_checked(salt.into())?;
    let (&hash, rest) = rest.split_first()?;
    rest.get(hash.into()..)
}

/// Appends data that the `domain` crate reads to their end; of types without names, which it does not escape as zone files
/// need it.
fn write_structured(record: &Record<'_>, out: &mut String) -> Option<()> {
    if record.rtype == Qtype::NSEC3 {
        // A set of types that is not as it must be has no text that it would read back from.
        types(nsec3_types(record.rdata)?).try_for_each(|block| block.map(drop))?;
    }
    if !matches!(
        record.rtype,
        Qtype::DS
            | Qtype::CDS
            | Qtype::DNSKEY
            | Qtype::CDNSKEY
            | Qtype::NSEC3
            | Qtype::NSEC3PARAM
            | Qtype::TLSA
            | Qtype::SSHFP
            | Qtype::OPENPGPKEY
            | Qtype::ZONEMD
    ) {
        return None;
    }
    let mut parser = Parser::from_ref(record.message());
    parser.advance(record.rdata_at).ok()?;
    let mut parser = parser.parse_parser(record.rdata.len()).ok()?;
    let rtype = Rtype::from_int(record.rtype.0);
    let data =
        ZoneRecordData::<&[u8], ParsedName<&[u8]>>::parse_rdata(rtype, &mut parser).ok()??;
    if parser.remaining() > 0 {
        return None;
    }
    let start = out.len();
    write!(out, "{}", data.display_zonefile(DisplayKind::Simple)).ok()?;
    // A field without octets has no text, and a line with one too few does not read back.
    let text = out.get(start..)?;
    (!text.is_empty() && !text.ends_with(' ') && !text.contains("  ")).then_some(())
}

/// Appends the form of unknown types (RFC 3597, section 5).
fn write_unknown(rdata: &[u8], out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\\# {}", rdata.len());
    if !rdata.is_empty() {
        out.push(' ');
        write_hex(rdata, out);
    }
}

/// Appends a string in quotes.
fn write_quoted(octets: &[u8], out: &mut String) {
    out.push('"');
    for &octet in octets {
        match octet {
            b'"' | b'\\' => out.extend(['\\', octet.into()]),
            b' '..=b'~' => out.push(octet.into()),
            _ => push_decimal(octet, out),
        }
    }
    out.push('"');
}

/// Appends octets in hex.
pub(crate) fn write_hex(octets: &[u8], out: &mut String) {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('0');
    for octet in octets {
        out.extend([digit(octet >> 4), digit(octet & 0xf)]);
    }
}
