//! The data of SVCB and HTTPS records as text (RFC 9460, section 2.1).
//!
//! Parameters whose values do not have the form of their key, or need the second level of escapes that lists have, leave the
//! record without text of its own: then it is shown as its octets, and nothing is lost.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{Name, Record, name::push_decimal};

const MANDATORY: u16 = 0;

/// The names of keys (IANA, "Service Parameter Keys"), from 0.
const KEYS: [&str; 13] = [
    "mandatory",
    "alpn",
    "no-default-alpn",
    "port",
    "ipv4hint",
    "ech",
    "ipv6hint",
    "dohpath",
    "ohttp",
    "tls-supported-groups",
    "docpath",
    "pvd",
    "oots",
];

/// Appends priority, target and parameters.
pub(super) fn write(record: &Record<'_>, out: &mut String) -> Option<()> {
    let (priority, _) = record.rdata.split_first_chunk()?;
    let (target, end) = Name::read(record.message(), record.rdata_at + 2)?;
    let parameters = record.rdata.get(end - record.rdata_at..)?;
    // Writing to a String cannot fail.
    let _ = write!(out, "{} ", u16::from_be_bytes(*priority));
    target.write_absolute(out);
    let (mut rest, mut last) = (parameters, None);
    while !rest.is_empty() {
        let (key, value, behind) = parameter(rest)?;
        // Each once, and in order (section 2.2).
        if last.replace(key) >= Some(key) {
            return None;
        }
        out.push(' ');
        write_key(key, out);
        if !value.is_empty() {
            out.push('=');
        }
        match key {
            MANDATORY => write_mandatory(value, parameters, out)?,
            _ => write_value(key, value, out)?,
        }
        rest = behind;
    }
    Some(())
}

/// The key and the value at the head of parameters, and what follows them.
fn parameter(octets: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (&[k0, k1, l0, l1], rest) = octets.split_first_chunk()?;
    let (value, rest) = rest.split_at_checked(u16::from_be_bytes([l0, l1]).into())?;
    Some((u16::from_be_bytes([k0, k1]), value, rest))
}

/// Appends the keys that a client has to know: in order, and of parameters that are there (section 8).
fn write_mandatory(value: &[u8], parameters: &[u8], out: &mut String) -> Option<()> {
    let (keys, rest) = value.as_chunks::<2>();
    let keys: Vec<u16> = keys.iter().map(|key| u16::from_be_bytes(*key)).collect();
    let there = |key: &u16| {
        let mut rest = parameters;
        std::iter::from_fn(|| {
            let (key, _, behind) = parameter(rest)?;
            rest = behind;
            Some(key)
        })
        .any(|this| this == *key)
    };
    let ordered = keys.is_sorted_by(|one, next| one < next) && keys.first() > Some(&MANDATORY);
    list(&keys, out, |key, out| write_key(*key, out));
    (rest.is_empty() && ordered && keys.iter().all(there)).then_some(())
}

fn write_key(key: u16, out: &mut String) {
    let _ = match KEYS.get(usize::from(key)) {
        Some(name) => write!(out, "{name}"),
        None => write!(out, "key{key}"),
    };
}

/// Appends a value in the form of its key.
fn write_value(key: u16, value: &[u8], out: &mut String) -> Option<()> {
    match key {
        // no-default-alpn, ohttp
        2 | 8 => value.is_empty().then_some(()),
        0..=10 if value.is_empty() => None,
        1 => write_words(value, out),
        3 => {
            let port = u16::from_be_bytes(value.try_into().ok()?);
            write!(out, "{port}").ok()
        }
        4 => {
            let (addresses, rest) = value.as_chunks::<4>();
            list(addresses, out, |address, out| {
                let _ = write!(out, "{}", Ipv4Addr::from(*address));
            });
            rest.is_empty().then_some(())
        }
        5 => {
            BASE64_STANDARD.encode_string(value, out);
            Some(())
        }
        6 => {
            let (addresses, rest) = value.as_chunks::<16>();
            list(addresses, out, |address, out| {
                let _ = write!(out, "{}", Ipv6Addr::from(*address));
            });
            rest.is_empty().then_some(())
        }
        // Forms of their own that are not known here.
        9..=12 => None,
        // dohpath
        7 if str::from_utf8(value).is_err() => None,
        _ => {
            value.iter().for_each(|octet| push_plain(*octet, out));
            Some(())
        }
    }
}

/// Appends items with commas between them.
fn list<T>(items: &[T], out: &mut String, write: impl Fn(&T, &mut String)) {
    for (number, item) in items.iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        write(item, out);
    }
}

/// Appends strings behind their lengths, where all of them are plain words.
fn write_words(mut value: &[u8], out: &mut String) -> Option<()> {
    while let Some((&len, rest)) = value.split_first() {
        let (word, rest) = rest.split_at_checked(len.into())?;
        let is_plain = |octet: &u8| octet.is_ascii_alphanumeric() || b"-._/+".contains(octet);
        if word.is_empty() || !word.iter().all(is_plain) {
            return None;
        }
        out.extend(word.iter().map(|octet| char::from(*octet)));
        if !rest.is_empty() {
            out.push(',');
        }
        value = rest;
    }
    Some(())
}

/// Appends an octet of a string without quotes.
fn push_plain(octet: u8, out: &mut String) {
    match octet {
        b'"' | b'\\' | b';' | b'(' | b')' => out.extend(['\\', octet.into()]),
        0x21..=0x7e => out.push(octet.into()),
        _ => push_decimal(octet, out),
    }
}
