//! What a ClientHello says that the flight depends on (RFC 8446, section 4.1.2).

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;

const TLS_AES_128_GCM_SHA256: [u8; 2] = [0x13, 0x01];
const TLS_1_3: [u8; 2] = [3, 4];
const X25519: u16 = 29;

/// What the first octets of a client are.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum First<'a> {
    /// The beginning of a ClientHello.
    Part,
    /// A ClientHello that can be answered.
    Hello(Hello<'a>),
    /// One that offers nothing of what is spoken here.
    Foreign,
    /// Anything else.
    Malformed,
}

#[derive(Debug, Eq, PartialEq)]
pub(super) struct Hello<'a> {
    /// The handshake message, its header included: what the transcript begins with.
    pub(super) message: &'a [u8],
    pub(super) session_id: &'a [u8],
    pub(super) x25519: &'a [u8; 32],
    pub(super) offers_h2: bool,
}

/// Reads a ClientHello that lies in one record, alone.
pub(super) fn read(octets: &[u8]) -> First<'_> {
    let begins = octets.starts_with(&[HANDSHAKE]) && octets.get(1).is_none_or(|major| *major == 3);
    if !begins {
        return First::Malformed;
    }
    let Some((header, rest)) = octets.split_first_chunk::<RECORD_HEADER>() else {
        return First::Part;
    };
    let len = usize::from(u16::from_be_bytes([header[3], header[4]]));
    if rest.len() < len {
        return First::Part;
    }
    let message = &rest[..len];
    let Some(body) = body(message) else { return First::Malformed };
    match hello(message, body) {
        Some(Some(hello)) => First::Hello(hello),
        Some(None) => First::Foreign,
        None => First::Malformed,
    }
}

fn body(message: &[u8]) -> Option<&[u8]> {
    let (header, body) = message.split_first_chunk::<MESSAGE_HEADER>()?;
    let len = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
    (header[0] == CLIENT_HELLO && len == body.len()).then_some(body)
}

/// `None` for octets that are no ClientHello, `Some(None)` for one that cannot be answered.
fn hello<'a>(message: &'a [u8], body: &'a [u8]) -> Option<Option<Hello<'a>>> {
    let mut rest = body.get(2 + 32..)?; // legacy_version, random
    let session_id = vector::<1>(&mut rest)?;
    let suites = vector::<2>(&mut rest)?;
    let _compression = vector::<1>(&mut rest)?;
    let mut extensions = vector::<2>(&mut rest)?;
    let (mut is_1_3, mut x25519, mut offers_h2) = (false, None, false);
    while !extensions.is_empty() {
        let kind = number(&mut extensions)?;
        let mut content = vector::<2>(&mut extensions)?;
        match kind {
            16 => {
                let mut names = vector::<2>(&mut content)?;
                while !names.is_empty() {
                    offers_h2 |= vector::<1>(&mut names)? == b"h2";
                }
            }
            43 => is_1_3 = pairs(vector::<1>(&mut content)?).any(|version| version == TLS_1_3),
            51 => {
                let mut shares = vector::<2>(&mut content)?;
                while !shares.is_empty() {
                    let group = number(&mut shares)?;
                    let share = vector::<2>(&mut shares)?;
                    if group == X25519 {
                        x25519 = share.try_into().ok();
                    }
                }
            }
            _ => {}
        }
    }
    let has_suite = pairs(suites).any(|suite| suite == TLS_AES_128_GCM_SHA256);
    let x25519 = x25519.filter(|_| is_1_3 && has_suite);
    Some(x25519.map(|x25519| Hello { message, session_id, x25519, offers_h2 }))
}

fn number(rest: &mut &[u8]) -> Option<u16> {
    let (number, after) = rest.split_first_chunk::<2>()?;
    *rest = after;
    Some(u16::from_be_bytes(*number))
}

/// A vector whose length takes `N` octets.
fn vector<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, after) = rest.split_first_chunk::<N>()?;
    let len = len.iter().fold(0, |len, octet| len << 8 | usize::from(*octet));
    let (content, after) = after.split_at_checked(len)?;
    *rest = after;
    Some(content)
}

fn pairs(octets: &[u8]) -> impl Iterator<Item = [u8; 2]> + '_ {
    octets.as_chunks::<2>().0.iter().copied()
}
