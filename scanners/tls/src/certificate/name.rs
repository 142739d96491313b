use std::{char, fmt::Write as _};

use x509_parser::{
    asn1_rs::ToDer,
    der_parser::{Oid, oid},
    prelude::FromDer,
    x509::X509Name,
};

use super::hex;

/// The string of a distinguished name (RFC 4514): `CN=www.example.com,O=Example\, Inc.,C=US`.
///
/// Octets that are no name become `#` and their hex, so that nothing is lost. Control characters are escaped, for rows end
/// up on terminals.
pub fn distinguished_name(der: &[u8]) -> String {
    read(der).unwrap_or_else(|| encoded(der))
}

/// As [`distinguished_name`]; `None` for octets that are no name.
pub(crate) fn read(der: &[u8]) -> Option<String> {
    let (rest, name) = X509Name::from_der(der).ok()?;
    if !rest.is_empty() || name.as_raw().len() != der.len() {
        return None;
    }
    let mut text = String::new();
    // The last comes first: RFC 4514, section 2.1.
    let sets: Vec<_> = name.iter_rdn().collect();
    for (n, set) in sets.into_iter().rev().enumerate() {
        for (m, attribute) in set.iter().enumerate() {
            match (n, m) {
                (0, 0) => {}
                (_, 0) => text.push(','),
                _ => text.push('+'),
            }
            let value = attribute.attr_value();
            let kind = short_name(attribute.attr_type());
            let readable = kind.and_then(|_| string(value.tag().0, value.data));
            match kind {
                Some(kind) => text.push_str(kind),
                None => text.push_str(&attribute.attr_type().to_id_string()),
            }
            text.push('=');
            match readable {
                Some(value) => escape(&mut text, &value),
                None => {
                    text.push_str(&encoded(&value.to_der_vec().unwrap_or_default()));
                }
            }
        }
    }
    Some(text)
}

/// RFC 4514, section 2.4: what has no string is the hex of its encoding.
pub(crate) fn encoded(der: &[u8]) -> String {
    format!("#{}", hex(der).to_uppercase())
}

/// The nine of RFC 4514, section 3, and others by the names that OpenSSL prints for them.
fn short_name(kind: &Oid<'_>) -> Option<&'static str> {
    static NAMES: [(Oid<'static>, &str); 28] = [
        (oid!(2.5.4.3), "CN"),
        (oid!(2.5.4.10), "O"),
        (oid!(2.5.4.6), "C"),
        (oid!(2.5.4.11), "OU"),
        (oid!(2.5.4.7), "L"),
        (oid!(2.5.4.8), "ST"),
        (oid!(2.5.4.9), "street"),
        (oid!(0.9.2342.19200300.100.1.25), "DC"),
        (oid!(0.9.2342.19200300.100.1.1), "UID"),
        (oid!(1.2.840.113549.1.9.1), "emailAddress"),
        (oid!(1.2.840.113549.1.9.2), "unstructuredName"),
        (oid!(2.5.4.4), "SN"),
        (oid!(2.5.4.5), "serialNumber"),
        (oid!(2.5.4.12), "title"),
        (oid!(2.5.4.13), "description"),
        (oid!(2.5.4.15), "businessCategory"),
        (oid!(2.5.4.17), "postalCode"),
        (oid!(2.5.4.20), "telephoneNumber"),
        (oid!(2.5.4.41), "name"),
        (oid!(2.5.4.42), "GN"),
        (oid!(2.5.4.43), "initials"),
        (oid!(2.5.4.44), "generationQualifier"),
        (oid!(2.5.4.46), "dnQualifier"),
        (oid!(2.5.4.65), "pseudonym"),
        (oid!(2.5.4.97), "organizationIdentifier"),
        (oid!(1.3.6.1.4.1.311.60.2.1.1), "jurisdictionL"),
        (oid!(1.3.6.1.4.1.311.60.2.1.2), "jurisdictionST"),
        (oid!(1.3.6.1.4.1.311.60.2.1.3), "jurisdictionC"),
    ];
    NAMES.iter().find(|(known, _)| known == kind).map(|(_, name)| *name)
}

/// The text of an ASN.1 string type; `None` for other types, and for octets that fit no reading of theirs.
fn string(tag: u32, value: &[u8]) -> Option<String> {
    const UTF8: u32 = 12;
    const NUMERIC: u32 = 18;
    const PRINTABLE: u32 = 19;
    const T61: u32 = 20;
    const IA5: u32 = 22;
    const VISIBLE: u32 = 26;
    const GENERAL: u32 = 27;
    const UNIVERSAL: u32 = 28;
    const BMP: u32 = 30;
    match tag {
        // Writers put UTF-8 in all of these, and Latin-1 where they know no UTF-8; nobody writes the real T.61.
        UTF8 | NUMERIC | PRINTABLE | T61 | IA5 | VISIBLE | GENERAL => Some(text(value)),
        BMP => {
            let (pairs, []) = value.as_chunks::<2>() else { return None };
            let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
            Some(
                char::decode_utf16(units)
                    .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
                    .collect(),
            )
        }
        UNIVERSAL => {
            let (fours, []) = value.as_chunks::<4>() else { return None };
            let points = fours.iter().map(|four| u32::from_be_bytes(*four));
            Some(points.map(|p| char::from_u32(p).unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
        }
        _ => None,
    }
}

/// UTF-8, or Latin-1 when it is none.
pub(crate) fn text(value: &[u8]) -> String {
    match str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => value.iter().copied().map(char::from).collect(),
    }
}

/// Appends `value` with the escapes of RFC 4514, section 2.4.
fn escape(text: &mut String, value: &str) {
    let last = value.len().saturating_sub(1);
    for (at, c) in value.char_indices() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', c]),
            '#' if at == 0 => text.push_str("\\#"),
            ' ' if at == 0 || at == last => text.push_str("\\ "),
            _ if c.is_control() => push_escaped(text, c),
            _ => text.push(c),
        }
    }
}

/// The text of octets that a stranger wrote, its control characters and those of `others` as the hex of their octets, each
/// behind a backslash.
pub(crate) fn escaped(value: &[u8], others: &[char]) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in text(value).chars() {
        if c.is_control() || others.contains(&c) {
            push_escaped(&mut escaped, c);
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Appends a character as the hex of its octets, each behind a backslash.
fn push_escaped(text: &mut String, c: char) {
    let mut octets = [0; 4];
    for octet in c.encode_utf8(&mut octets).bytes() {
        // A string takes every write.
        let _ = write!(text, "\\{octet:02X}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name of one attribute, its type by the last arc of 2.5.4.
    fn name(arc: u8, tag: u8, value: &[u8]) -> Vec<u8> {
        fn wrap(tag: u8, value: &[u8]) -> Vec<u8> {
            [&[tag, u8::try_from(value.len()).unwrap()], value].concat()
        }
        let pair = [wrap(6, &[0x55, 4, arc]), wrap(tag, value)].concat();
        wrap(0x30, &wrap(0x31, &wrap(0x30, &pair)))
    }

    #[track_caller]
    fn check(arc: u8, tag: u8, value: &[u8], expected: &str) {
        assert_eq!(distinguished_name(&name(arc, tag, value)), expected);
    }

    #[test]
    fn values_are_escaped() {
        check(3, 12, b"James \"Jim\" Smith, III", "CN=James \\\"Jim\\\" Smith\\, III"); // RFC 4514, section 4
        check(3, 12, b"Before\rAfter", "CN=Before\\0DAfter"); // the same
        check(3, 12, b" # ", "CN=\\ #\\ ");
        check(3, 12, b"#1", "CN=\\#1");
        check(3, 12, b" ", "CN=\\ ");
        check(3, 12, "\u{9b}31m".as_bytes(), "CN=\\C2\\9B31m");
        check(3, 12, b"", "CN=");
    }

    #[test]
    fn all_string_types_are_read() {
        check(10, 20, b"Telef\xf3nica", "O=Telefónica");
        check(10, 20, "Telefónica".as_bytes(), "O=Telefónica");
        check(10, 30, b"\0A\0\xe9\xd8\x3d\xde\x00\xd8\x3d", "O=Aé😀\u{fffd}");
        check(10, 28, b"\0\0\0A\0\x01\xf6\x00\x7f\0\0\0", "O=A😀\u{fffd}");
        check(10, 19, b"a*b\xff", "O=a*bÿ");
        check(10, 12, b"\xc3\x28", "O=Ã(");
    }

    #[test]
    fn what_has_no_string_is_hex() {
        check(10, 30, b"odd", "O=#1E036F6464");
        check(10, 4, b"\x01\x02", "O=#04020102");
        check(99, 12, b"x", "2.5.4.99=#0C0178");
        assert_eq!(distinguished_name(&[0x30, 0]), "");
        assert_eq!(distinguished_name(&[0x30, 5, 0]), "#300500");
        assert_eq!(distinguished_name(&[0x30, 2, 0x05, 0]), "#30020500");
    }
}
