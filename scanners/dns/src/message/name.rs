//! A name of its own, without an allocation.

use std::{
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use thiserror::Error;

use super::labels::{Labels, MAX_LABEL, MAX_NAME, Walk, labels, length, parent};

/// A domain name in wire form, uncompressed, with the case that it was given.
///
/// Names that differ in the case of letters are equal (RFC 4343). The text of a name is its presentation form without the
/// final dot (`.` for the root), and reads back as the same octets:
///
/// ```
/// use mrpf_dns::message::Name;
///
/// let name = Name::parse(b"a\\.b.Example.com.")?;
/// assert_eq!(name.as_wire(), b"\x03a.b\x07Example\x03com\x00");
/// assert_eq!(name.to_string(), "a\\.b.Example.com");
/// # Ok::<_, mrpf_dns::message::NameError>(())
/// ```
#[derive(Clone)]
pub struct Name {
    octets: [u8; MAX_NAME],
    len: u8,
}

/// Why a text or some octets are no name.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing stands there.
    #[error("an empty text is no name; the root is \".\"")]
    Empty,
    /// Two dots in a row, or one at the beginning.
    #[error("a label is empty: two dots in a row, or one at the beginning")]
    EmptyLabel,
    /// A label of more than 63 octets.
    #[error("a label has more than 63 octets")]
    LongLabel,
    /// More than 255 octets in wire form.
    #[error("the name has more than 255 octets")]
    TooLong,
    /// A backslash without a character or three digits up to 255 behind it.
    #[error("a backslash stands before one character, or before three digits up to 255")]
    Escape,
    /// A space, a tab or a control character, which a name has only as `\DDD`.
    #[error("octet {0} stands in a name only as \\{0:03}")]
    Octet(u8),
    /// Characters beyond ASCII that are no UTF-8, or that IDNA does not allow in a name.
    #[error("characters beyond ASCII that no internationalised name has")]
    Idna,
    /// Octets that are no name in wire form.
    #[error("the octets are no name")]
    Wire,
}

impl Name {
    /// The root.
    pub const ROOT: Self = Self { octets: [0; MAX_NAME], len: 1 };

    /// Reads the presentation form (RFC 1035, section 5.1): `\DDD` and `\X` stand for octets, a final dot changes nothing.
    ///
    /// A label that is ASCII stands as it is, `xn--` or not; any other becomes its A-label (UTS 46), so that nothing is
    /// encoded twice.
    pub fn parse(text: &[u8]) -> Result<Self, NameError> {
        match text {
            [] => return Err(NameError::Empty),
            b"." => return Ok(Self::ROOT),
            _ => {}
        }
        let mut writer = Writer::new();
        if text.is_ascii() {
            writer.text(text)?;
            return writer.finish();
        }
        let text = str::from_utf8(text).map_err(|_| NameError::Idna)?;
        // Label by label, so that those in ASCII keep their case and their escapes.
        let mut rest = text;
        while !rest.is_empty() {
            let end = label_end(rest);
            let (label, from_stop) = rest.split_at(end);
            if label.is_ascii() {
                writer.text(label.as_bytes())?;
            } else if label.contains('\\') {
                return Err(NameError::Escape);
            } else {
                let ascii = idna::domain_to_ascii(label).map_err(|_| NameError::Idna)?;
                if ascii.is_empty() || ascii.contains(['.', '\\']) {
                    return Err(NameError::Idna);
                }
                writer.text(ascii.as_bytes())?;
            }
            let mut behind = from_stop.chars();
            if behind.next().is_some() {
                writer.end_label()?;
            }
            rest = behind.as_str();
        }
        writer.finish()
    }

    /// A name from its wire form, uncompressed.
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        if length(wire) != Some(wire.len()) {
            return Err(NameError::Wire);
        }
        let mut name = Self::ROOT;
        // As many octets as a length octet can tell: `length` is at most 255.
        name.octets.get_mut(..wire.len()).ok_or(NameError::TooLong)?.copy_from_slice(wire);
        name.len = wire.len() as u8;
        Ok(name)
    }

    /// The name at `at` in a message, decompressed, and where what follows it begins.
    pub(super) fn read(message: &[u8], at: usize) -> Option<(Self, usize)> {
        let mut walk = Walk::new(message, at);
        let mut writer = Writer::new();
        for label in walk.by_ref() {
            writer.label(label).ok()?;
        }
        let end = walk.is_whole().then(|| walk.end())??;
        Some((writer.finish().ok()?, end))
    }

    /// This name below another, `parent` in wire form: `www` below `example.com` is `www.example.com`.
    pub fn below(&self, parent: &[u8]) -> Result<Self, NameError> {
        if length(parent) != Some(parent.len()) {
            return Err(NameError::Wire);
        }
        let mut name = self.clone();
        let from = usize::from(self.len) - 1;
        let to = from + parent.len();
        name.octets.get_mut(from..to).ok_or(NameError::TooLong)?.copy_from_slice(parent);
        name.len = to as u8;
        Ok(name)
    }

    /// The wire form: labels behind their lengths, the root's last.
    pub fn as_wire(&self) -> &[u8] {
        self.octets.get(..self.len.into()).unwrap_or(&self.octets)
    }

    /// The labels, the root's left out.
    pub fn labels(&self) -> Labels<'_> {
        labels(self.as_wire())
    }

    /// The name that this one stands under, in wire form; the root stands under none.
    pub fn parent(&self) -> Option<&[u8]> {
        parent(self.as_wire())
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.len == 1
    }

    /// Appends the presentation form, with its final dot.
    pub(super) fn write_absolute(&self, out: &mut String) {
        write_text(self.labels(), out);
        out.push('.');
    }
}

impl Default for Name {
    fn default() -> Self {
        Self::ROOT
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(self.as_wire().len());
        write_text(self.labels(), &mut text);
        f.pad(if text.is_empty() { "." } else { &text })
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text.as_bytes())
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_wire().eq_ignore_ascii_case(other.as_wire())
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_wire().iter().for_each(|octet| state.write_u8(octet.to_ascii_lowercase()));
    }
}

/// The text of a name in wire form, as [`Name`] shows it; `None` where the octets are no name.
pub(crate) fn text_of(wire: &[u8]) -> Option<String> {
    if length(wire) != Some(wire.len()) {
        return None;
    }
    let mut text = String::with_capacity(wire.len());
    match wire {
        [0] => text.push('.'),
        _ => write_text(labels(wire), &mut text),
    }
    Some(text)
}

/// Appends labels as text, dots between them.
fn write_text(labels: Labels<'_>, out: &mut String) {
    for (number, label) in labels.enumerate() {
        if number > 0 {
            out.push('.');
        }
        // Nearly all are letters, digits and hyphens, which stand for themselves.
        match std::str::from_utf8(label) {
            Ok(text)
                if label.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'-') =>
            {
                out.push_str(text);
            }
            _ => label.iter().for_each(|octet| push_octet(*octet, out)),
        }
    }
}

/// Appends one octet of a label, escaped where a zone file needs it.
fn push_octet(octet: u8, out: &mut String) {
    match octet {
        b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => out.extend(['\\', octet.into()]),
        0x21..=0x7e => out.push(octet.into()),
        _ => push_decimal(octet, out),
    }
}

/// Appends `\DDD`.
pub(super) fn push_decimal(octet: u8, out: &mut String) {
    let digit = |value: u8| char::from(b'0' + value % 10);
    out.extend(['\\', digit(octet / 100), digit(octet / 10), digit(octet)]);
}

/// Where the first label of a text ends: at the end, or at a stop (UTS 46, section 2.3) that no backslash stands before.
fn label_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '.' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}' => return at,
            _ => {}
        }
    }
    text.len()
}

/// Puts a name together.
struct Writer {
    octets: [u8; MAX_NAME],
    /// Where the length of the label that is being written stands.
    label: usize,
    at: usize,
}

impl Writer {
    fn new() -> Self {
        Self { octets: [0; MAX_NAME], label: 0, at: 1 }
    }

    /// Octets of labels, with dots and escapes.
    fn text(&mut self, text: &[u8]) -> Result<(), NameError> {
        let mut octets = text.iter();
        while let Some(&octet) = octets.next() {
            match octet {
                b'.' => self.end_label()?,
                b'\\' => {
                    let (octet, rest) = unescape(octets.as_slice()).ok_or(NameError::Escape)?;
                    self.push(octet)?;
                    octets = rest.iter();
                }
                0x21..=0x7e => self.push(octet)?,
                other => return Err(NameError::Octet(other)),
            }
        }
        Ok(())
    }

    fn label(&mut self, label: &[u8]) -> Result<(), NameError> {
        let end = self.at + label.len();
        self.octets.get_mut(self.at..end).ok_or(NameError::TooLong)?.copy_from_slice(label);
        self.at = end;
        self.end_label()
    }

    fn push(&mut self, octet: u8) -> Result<(), NameError> {
        *self.octets.get_mut(self.at).ok_or(NameError::TooLong)? = octet;
        self.at += 1;
        Ok(())
    }

    fn end_label(&mut self) -> Result<(), NameError> {
        match self.at - self.label - 1 {
            0 => return Err(NameError::EmptyLabel),
            len if len > MAX_LABEL => return Err(NameError::LongLabel),
            len => *self.octets.get_mut(self.label).ok_or(NameError::TooLong)? = len as u8,
        }
        self.label = self.at;
        self.at += 1;
        Ok(())
    }

    /// The root behind the last label.
    fn finish(mut self) -> Result<Name, NameError> {
        if self.at > self.label + 1 {
            self.end_label()?;
        }
        *self.octets.get_mut(self.label).ok_or(NameError::TooLong)? = 0;
        Ok(Name { octets: self.octets, len: self.label as u8 + 1 })
    }
}

/// The octet that an escape stands for, and what follows it.
fn unescape(text: &[u8]) -> Option<(u8, &[u8])> {
    let (&first, rest) = text.split_first()?;
    if !first.is_ascii_digit() {
        return Some((first, rest));
    }
    let (digits, rest) = text.split_at_checked(3)?;
    let value = digits.iter().try_fold(0_u16, |value, digit| {
        digit.is_ascii_digit().then(|| value * 10 + u16::from(digit - b'0'))
    })?;
    Some((u8::try_from(value).ok()?, rest))
}
