//! JARM (github.com/salesforce/jarm): how a server answers ten hellos.
//!
//! ```text
//!  JarmProbe::ALL -> ten connections -> Answer each -> hash
//!                                       "c02f|0303|h2|0000-ff01" or "|||"
//!  hash  29d 29d 000 ..  8c9dac4e..    index of the cipher and letter of the version, ten times;
//!                                      then half a SHA-256 of the protocols and extensions
//! ```
//!
//! An [`Answer`] is exact where the published program is odd, for a fingerprint is worth what others computed before. Where
//! that program would fail (a protocol with `|` in its name, a version beyond 3.5), an answer counts for what it is.
//!
//! A host that was silent on one connection has no fingerprint: all zeros. What failed otherwise counts as no answer.

use std::fmt::{self, Write};

use aws_lc_rs::digest;

pub use crate::hello::JarmProbe;

/// How much of an answer is looked at.
pub const MOST: usize = 1_484;

const ALERT: u8 = 0x15;
const HANDSHAKE: u8 = 0x16;
const SERVER_HELLO: u8 = 0x02;

/// The ciphers that have a number, from 1 on.
const CIPHERS: [u16; 69] = [
    0x0004, 0x0005, 0x0007, 0x000a, 0x0016, 0x002f, 0x0033, 0x0035, 0x0039, 0x003c, 0x003d, 0x0041,
    0x0045, 0x0067, 0x006b, 0x0084, 0x0088, 0x009a, 0x009c, 0x009d, 0x009e, 0x009f, 0x00ba, 0x00be,
    0x00c0, 0x00c4, 0xc007, 0xc008, 0xc009, 0xc00a, 0xc011, 0xc012, 0xc013, 0xc014, 0xc023, 0xc024,
    0xc027, 0xc028, 0xc02b, 0xc02c, 0xc02f, 0xc030, 0xc060, 0xc061, 0xc072, 0xc073, 0xc076, 0xc077,
    0xc09c, 0xc09d, 0xc09e, 0xc09f, 0xc0a0, 0xc0a1, 0xc0a2, 0xc0a3, 0xc0ac, 0xc0ad, 0xc0ae, 0xc0af,
    0xcc13, 0xcc14, 0xcca8, 0xcca9, 0x1301, 0x1302, 0x1303, 0x1304, 0x1305,
];

/// What one connection gave. Its text is that of the published program.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Answer(Given);

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Given {
    Hello(Told),
    Nothing,
    Silence,
}

/// What a ServerHello tells, as far as it came.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
struct Told {
    /// 2 octets, or fewer where the answer ends.
    cipher: Vec<u8>,
    version: [u8; 2],
    alpn: String,
    /// `0000-ff01-...`
    extensions: String,
}

impl Answer {
    /// Refused, reset, closed, an alert: no answer on this connection.
    pub const FAILED: Self = Self(Given::Nothing);
    /// Not one octet came in time: no fingerprint of this host. What came before a silence is for [`Answer::read`].
    pub const TIMED_OUT: Self = Self(Given::Silence);

    /// Reads the first octets that came, of which [`MOST`] are looked at.
    pub fn read(octets: &[u8]) -> Self {
        let octets = octets.get(..MOST).unwrap_or(octets);
        Self(told(octets).map_or(Given::Nothing, Given::Hello))
    }

    /// Whether `octets` are all that [`Answer::read`] wants to know: the first record, or what cannot be a ServerHello.
    pub fn is_whole(octets: &[u8]) -> bool {
        match octets {
            [] => false,
            [HANDSHAKE, _, _, high, low, ..] => {
                octets.len() >= MOST.min(5 + usize::from(u16::from_be_bytes([*high, *low])))
            }
            [HANDSHAKE, ..] => false,
            _ => true,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Given::Hello(told) = &self.0 else {
            return f.write_str("|||");
        };
        told.cipher.iter().try_for_each(|octet| write!(f, "{octet:02x}"))?;
        f.write_char('|')?;
        told.version.iter().try_for_each(|octet| write!(f, "{octet:02x}"))?;
        write!(f, "|{}|{}", told.alpn, told.extensions)
    }
}

/// The JARM of a host, by its answers in the order of [`JarmProbe::ALL`].
pub fn hash(answers: &[Answer; JarmProbe::COUNT]) -> String {
    let is_silent = answers.iter().any(|answer| answer.0 == Given::Silence);
    if is_silent || answers.iter().all(|answer| answer.0 == Given::Nothing) {
        return "0".repeat(62);
    }
    let mut hash = String::with_capacity(62);
    let mut rest = digest::Context::new(&digest::SHA256);
    for answer in answers {
        match &answer.0 {
            Given::Hello(told) => {
                let _ = write!(hash, "{:02x}", number(&told.cipher)); // a String takes all
                hash.push(letter(told.version));
                rest.update(told.alpn.as_bytes());
                rest.update(told.extensions.as_bytes());
            }
            Given::Nothing | Given::Silence => hash.push_str("000"),
        }
    }
    for octet in rest.finish().as_ref().iter().take(16) {
        let _ = write!(hash, "{octet:02x}");
    }
    hash
}

/// The place of a cipher in the list, 0 for none, one past the end for one that is not there.
fn number(cipher: &[u8]) -> usize {
    if cipher.is_empty() {
        return 0;
    }
    let place = CIPHERS.iter().position(|known| known.to_be_bytes() == *cipher);
    place.unwrap_or(CIPHERS.len()) + 1
}

/// The letter of a version: its last hex digit, of 0 to 5.
fn letter([_, minor]: [u8; 2]) -> char {
    match minor & 0x0f {
        digit @ 0..=5 => char::from(b'a' + digit),
        _ => '0',
    }
}

/// `None` where the published program gives up on the answer.
fn told(octets: &[u8]) -> Option<Told> {
    if octets.first() == Some(&ALERT)
        || octets.first() != Some(&HANDSHAKE)
        || octets.get(5) != Some(&SERVER_HELLO)
    {
        return None;
    }
    let session_id = usize::from(*octets.get(43)?);
    let told = Told {
        cipher: cut(octets, session_id + 44, 2).to_vec(),
        version: [*octets.get(9)?, *octets.get(10)?],
        ..Told::default()
    };
    if is_odd(octets, session_id) {
        return Some(told);
    }
    let (alpn, extensions) = extensions(octets, session_id)?;
    Some(Told { alpn, extensions, ..told })
}

/// Where the published program does not look at extensions: there are none, or what follows looks like a certificate.
fn is_odd(octets: &[u8], session_id: usize) -> bool {
    let record_length = number_of(cut(octets, 3, 2));
    match octets.get(session_id + 47) {
        None | Some(0x0b) => true,
        _ => {
            cut(octets, session_id + 50, 3) == [0x0e, 0xac, 0x0b]
                || cut(octets, 82, 3) == [0x0f, 0xf0, 0x0b]
                || session_id + 42 >= record_length.unwrap_or(0)
        }
    }
}

/// The protocol chosen, and the kinds of extensions.
///
/// The length of all extensions is one short of where they end, as in the published program, which no whole list notices.
fn extensions(octets: &[u8], session_id: usize) -> Option<(String, String)> {
    let mut at = session_id + 49;
    let end = number_of(cut(octets, session_id + 47, 2))? + at - 1;
    let mut alpn = None;
    let mut kinds = String::new();
    while at < end {
        let kind = cut(octets, at, 2);
        let length = number_of(cut(octets, at + 2, 2))?;
        if alpn.is_none() && kind == [0x00, 0x10] {
            // Without a body the published program gives up, and so it does on what is no UTF-8.
            let body = cut(octets, at + 4, length);
            let name = (length > 0).then(|| body.get(3..).unwrap_or_default())?;
            alpn = Some(std::str::from_utf8(name).ok()?.to_owned());
        }
        if !kinds.is_empty() {
            kinds.push('-');
        }
        kind.iter().try_for_each(|octet| write!(kinds, "{octet:02x}")).ok()?;
        at += 4 + length;
    }
    Some((alpn.unwrap_or_default(), kinds))
}

/// `count` octets from `at` on, or what there is of them.
fn cut(octets: &[u8], at: usize, count: usize) -> &[u8] {
    let rest = octets.get(at..).unwrap_or_default();
    rest.get(..count).unwrap_or(rest)
}

/// The number that one or two octets are; `None` without any.
fn number_of(octets: &[u8]) -> Option<usize> {
    (!octets.is_empty())
        .then(|| octets.iter().fold(0, |number, octet| number << 8 | usize::from(*octet)))
}
