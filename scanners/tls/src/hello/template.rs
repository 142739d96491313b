//! A ClientHello with its gaps: made once, written for each connection by copies and few patches.
//!
//! ```text
//!  bytes   | record, message, version, random, session id, suites | length | GREASE? | ... | key_share | ... |
//!                                                                           ^ name_at        ^ key_share
//!  written | ................... patched ......................... | patched|  server_name  | .. another share, cookie .. | padding |
//! ```
//!
//! Lengths are patched behind the copies, so nobody has to sum up beforehand.

use std::ops::Range;

use aws_lc_rs::digest;

use super::Salt;

/// Kinds of extensions that the code names.
pub(super) mod extension {
    pub(in crate::hello) const SERVER_NAME: u16 = 0;
    pub(in crate::hello) const SUPPORTED_GROUPS: u16 = 10;
    pub(in crate::hello) const PADDING: u16 = 21;
    pub(in crate::hello) const PRE_SHARED_KEY: u16 = 41;
    pub(in crate::hello) const EARLY_DATA: u16 = 42;
    pub(in crate::hello) const SUPPORTED_VERSIONS: u16 = 43;
    pub(in crate::hello) const COOKIE: u16 = 44;
    pub(in crate::hello) const KEY_SHARE: u16 = 51;
}

/// The longest handshake message of one record (RFC 8446 section 5.1).
pub(super) const LONGEST_MESSAGE: usize = 1 << 14;
/// Type, version and length of a record.
pub(super) const RECORD_HEADER: usize = 5;

const RECORD_LENGTH_AT: usize = 3;
const MESSAGE_LENGTH_AT: usize = 7; // its last two octets of three: no message is as long as that
const RANDOM_AT: usize = 11;
const SESSION_ID_AT: usize = 44;

/// Where a ClientHello hangs some load balancers (RFC 7685 section 1), and what it is filled up to.
const UNLUCKY: Range<usize> = 256..512;

/// A ClientHello with its gaps. See the module.
#[derive(Clone, Debug)]
pub(super) struct Template {
    bytes: Vec<u8>,
    /// Whether random and session id are the connection's.
    salted: bool,
    session_id: usize,
    /// Where the length of all extensions stands.
    extensions_at: usize,
    /// Where the name belongs.
    name_at: usize,
    /// The whole extension; empty where it would be when there is none.
    key_share: Range<usize>,
    /// Where two octets of GREASE (RFC 8701) are drawn.
    greases: Vec<usize>,
    /// Where a key share of 32 octets is drawn that nobody has the key of.
    drawn_share: Option<usize>,
    pads: bool,
}

/// In what the second hello differs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'a> {
    /// The one share instead of those of the first, and its group.
    pub(super) share: Option<(u16, &'a [u8])>,
    /// No extension when empty.
    pub(super) cookie: &'a [u8],
}

impl Change<'_> {
    /// How many octets come to the extensions besides the share.
    fn cookie_length(&self) -> usize {
        if self.cookie.is_empty() { 0 } else { 6 + self.cookie.len() }
    }
}

impl Template {
    /// What somebody else made: nothing in it is drawn or filled up.
    pub(super) fn given(bytes: Vec<u8>, extensions_at: usize, key_share: Range<usize>) -> Self {
        Self {
            salted: false,
            session_id: 0,
            extensions_at,
            name_at: extensions_at + 2,
            key_share,
            greases: Vec::new(),
            drawn_share: None,
            pads: false,
            bytes,
        }
    }

    /// How long the message of the second hello is, padding aside.
    pub(super) fn retry_length(&self, name: Option<&str>, change: &Change<'_>) -> usize {
        let share = match change.share {
            None => self.key_share.len(),
            Some((_, share)) => 10 + share.len(),
        };
        self.bytes.len() - RECORD_HEADER - self.key_share.len()
            + share
            + change.cookie_length()
            + name.map_or(0, name_length)
    }

    /// Writes the hello to `out`, which is emptied first; the second one when there is a `change`.
    #[inline]
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        salt: &Salt,
        name: Option<&str>,
        change: Option<&Change<'_>>,
    ) {
        out.clear();
        out.extend_from_slice(&self.bytes[..self.name_at]);
        if let Some(name) = name {
            push_name(out, name);
        }
        match change {
            None => out.extend_from_slice(&self.bytes[self.name_at..]),
            Some(change) => self.push_changed(out, change),
        }
        if self.pads && UNLUCKY.contains(&(out.len() - RECORD_HEADER)) {
            push_padding(out);
        }
        let end = out.len();
        put_u16(out, RECORD_LENGTH_AT, end - RECORD_HEADER);
        put_u16(out, MESSAGE_LENGTH_AT, end - RECORD_HEADER - 4);
        put_u16(out, self.extensions_at, end - self.extensions_at - 2);
        if self.salted {
            out[RANDOM_AT..RANDOM_AT + 32].copy_from_slice(&salt.random);
            out[SESSION_ID_AT..SESSION_ID_AT + self.session_id]
                .copy_from_slice(&salt.session_id[..self.session_id]);
        }
        if let Some(share) = self.drawn_share {
            self.draw(out, salt, share, name.map_or(0, name_length));
        }
    }

    /// What stands behind the name, as RFC 8446 section 4.1.2 changes it.
    fn push_changed(&self, out: &mut Vec<u8>, change: &Change<'_>) {
        // Section 5.1: only the first record of a connection may say 0301.
        out[1..3].copy_from_slice(&[0x03, 0x03]);
        out.extend_from_slice(&self.bytes[self.name_at..self.key_share.start]);
        match change.share {
            None => out.extend_from_slice(&self.bytes[self.key_share.clone()]),
            Some((group, share)) => {
                let lengths = [share.len() + 6, share.len() + 4];
                push_u16(out, extension::KEY_SHARE.into());
                lengths.into_iter().for_each(|length| push_u16(out, length));
                push_u16(out, group.into());
                push_u16(out, share.len());
                out.extend_from_slice(share);
            }
        }
        if !change.cookie.is_empty() {
            push_u16(out, extension::COOKIE.into());
            push_u16(out, change.cookie.len() + 2);
            push_u16(out, change.cookie.len());
            out.extend_from_slice(change.cookie);
        }
        out.extend_from_slice(&self.bytes[self.key_share.end..]);
    }

    /// Fills in what JARM draws beyond random and session id; `shift` is how long the name is.
    fn draw(&self, out: &mut [u8], salt: &Salt, share: usize, shift: usize) {
        let mut seed = [0; 64];
        seed[..32].copy_from_slice(&salt.random);
        seed[32..].copy_from_slice(&salt.session_id);
        let drawn = digest::digest(&digest::SHA512, &seed);
        let (secretless, greases) = drawn.as_ref().split_at(32); // of 64 octets
        out[share + shift..share + shift + 32].copy_from_slice(secretless);
        for (at, drawn) in self.greases.iter().zip(greases) {
            let at = if *at < self.name_at { *at } else { at + shift };
            out[at..at + 2].fill(drawn & 0xf0 | 0x0a);
        }
    }
}

/// How long the extension with `name` is (RFC 6066 section 3).
fn name_length(name: &str) -> usize {
    9 + name.len()
}

fn push_name(out: &mut Vec<u8>, name: &str) {
    push_u16(out, extension::SERVER_NAME.into());
    push_u16(out, name.len() + 5);
    push_u16(out, name.len() + 3);
    out.push(0); // host_name
    push_u16(out, name.len());
    out.extend_from_slice(name.as_bytes());
}

/// At least one octet of it: some servers trip on a last extension that is empty.
fn push_padding(out: &mut Vec<u8>) {
    let missing = UNLUCKY.end - (out.len() - RECORD_HEADER);
    let length = missing.saturating_sub(4).max(1);
    push_u16(out, extension::PADDING.into());
    push_u16(out, length);
    out.resize(out.len() + length, 0);
}

/// The low 16 bits of `value`; all that is written here is shorter than that.
fn push_u16(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&(value as u16).to_be_bytes());
}

fn put_u16(out: &mut [u8], at: usize, value: usize) {
    out[at..at + 2].copy_from_slice(&(value as u16).to_be_bytes());
}

/// A [`Template`] in the making: extensions in the order in which they are called for.
#[derive(Debug)]
pub(super) struct Draft(Template);

impl Draft {
    /// Begins with what stands before the extensions. `session_id` is how long that is: 0 to 32.
    pub(super) fn new(record: u16, version: u16, session_id: u8) -> Self {
        let mut bytes = vec![0x16];
        bytes.extend_from_slice(&record.to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0x01, 0, 0, 0]);
        bytes.extend_from_slice(&version.to_be_bytes());
        bytes.extend_from_slice(&[0; 32]);
        bytes.push(session_id);
        bytes.resize(bytes.len() + usize::from(session_id), 0);
        Self(Template {
            bytes,
            salted: true,
            session_id: session_id.into(),
            extensions_at: 0,
            name_at: 0,
            key_share: 0..0,
            greases: Vec::new(),
            drawn_share: None,
            pads: false,
        })
    }

    /// Suites, the one compression method, and the place where extensions begin. With `grease`, a drawn suite leads.
    pub(super) fn suites(mut self, grease: bool, suites: impl IntoIterator<Item = u16>) -> Self {
        self = self.list16(|mut list| {
            if grease {
                list = list.grease();
            }
            suites.into_iter().fold(list, Self::u16)
        });
        self.0.bytes.extend_from_slice(&[1, 0]);
        self.0.extensions_at = self.at();
        self = self.u16(0);
        self.name_here()
    }

    /// The server name goes here.
    pub(super) fn name_here(mut self) -> Self {
        self.0.name_at = self.at();
        self
    }

    /// An extension.
    pub(super) fn extension(self, kind: u16, body: impl FnOnce(Self) -> Self) -> Self {
        let start = self.at();
        let mut draft = self.u16(kind).list16(body);
        if kind == extension::KEY_SHARE {
            draft.0.key_share = start..draft.at();
        }
        draft
    }

    /// What two octets tell the length of.
    pub(super) fn list16(self, body: impl FnOnce(Self) -> Self) -> Self {
        let start = self.at();
        let mut draft = body(self.u16(0));
        let length = draft.at() - start - 2;
        put_u16(&mut draft.0.bytes, start, length);
        draft
    }

    /// What one octet tells the length of.
    pub(super) fn list8(self, body: impl FnOnce(Self) -> Self) -> Self {
        let start = self.at();
        let mut draft = body(self.octets(&[0]));
        draft.0.bytes[start] = (draft.at() - start - 1) as u8; // lists of ours, a dozen octets each
        draft
    }

    pub(super) fn u16(self, value: u16) -> Self {
        self.octets(&value.to_be_bytes())
    }

    pub(super) fn u16s(self, values: &[u16]) -> Self {
        values.iter().copied().fold(self, Self::u16)
    }

    pub(super) fn octets(mut self, octets: &[u8]) -> Self {
        self.0.bytes.extend_from_slice(octets);
        self
    }

    /// Two octets of GREASE, drawn for each connection.
    pub(super) fn grease(mut self) -> Self {
        let at = self.at();
        self.0.greases.push(at);
        self.u16(0x0a0a)
    }

    /// A key share of 32 octets, drawn for each connection.
    pub(super) fn drawn_share(mut self) -> Self {
        self.0.drawn_share = Some(self.at());
        self.octets(&[0; 32])
    }

    /// Done. With `pads`, lengths that trip load balancers are filled up.
    pub(super) fn finish(mut self, pads: bool) -> Template {
        if self.0.key_share.is_empty() {
            self.0.key_share = self.at()..self.at();
        }
        Template { pads, ..self.0 }
    }

    fn at(&self) -> usize {
        self.0.bytes.len()
    }
}
