//! Handshake messages: where in them lies what is kept. All functions take the body of one message, and `None` says that it is
//! not built as the standard says.

use super::Cursor;
use crate::capture::{Capture, Span};

pub(super) const HEADER_LEN: usize = 4;

pub(super) const HELLO_REQUEST: u8 = 0;
pub(super) const SERVER_HELLO: u8 = 2;
pub(super) const NEW_SESSION_TICKET: u8 = 4;
pub(super) const ENCRYPTED_EXTENSIONS: u8 = 8;
pub(super) const CERTIFICATE: u8 = 11;
pub(super) const SERVER_KEY_EXCHANGE: u8 = 12;
pub(super) const CERTIFICATE_REQUEST: u8 = 13;
pub(super) const SERVER_HELLO_DONE: u8 = 14;
pub(super) const FINISHED: u8 = 20;
pub(super) const CERTIFICATE_STATUS: u8 = 22;
pub(super) const SUPPLEMENTAL_DATA: u8 = 23;
/// Not on the wire: stands for the first hello in the hash of all messages (RFC 8446, section 4.4.1).
pub(super) const MESSAGE_HASH: u8 = 254;

const STATUS_REQUEST: u16 = 5;
const ALPN: u16 = 16;
const SCT: u16 = 18;
const SUPPORTED_VERSIONS: u16 = 43;
const COOKIE: u16 = 44;
const CERTIFICATE_AUTHORITIES: u16 = 47;
const KEY_SHARE: u16 = 51;

const OCSP: u8 = 1;
const NAMED_CURVE: u8 = 3;

pub(super) const TLS12: u16 = 0x0303;
pub(super) const TLS13: u16 = 0x0304;

/// The `random` that makes a ServerHello a HelloRetryRequest: SHA-256 of that word (RFC 8446, section 4.1.3).
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// What a ServerHello or a HelloRetryRequest says.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerHello {
    pub(super) version: u16,
    /// It was named by an extension, as TLS 1.3 must be.
    pub(super) is_in_extension: bool,
    pub(super) is_retry: bool,
    pub(super) cipher: u16,
    pub(super) group: Option<u16>,
    /// Of that group; empty in a HelloRetryRequest.
    pub(super) share: Span,
    pub(super) cookie: Span,
    pub(super) alpn: Option<Span>,
    pub(super) scts: Span,
}

/// RFC 8446, sections 4.1.3 and 4.1.4; RFC 5246, section 7.4.1.3. Before extensions there were none.
pub(super) fn server_hello(mut body: Cursor<'_>) -> Option<ServerHello> {
    let mut hello = ServerHello {
        version: body.u16()?,
        is_in_extension: false,
        is_retry: body.array()? == RETRY_RANDOM,
        cipher: 0,
        group: None,
        share: Span::default(),
        cookie: Span::default(),
        alpn: None,
        scts: Span::default(),
    };
    (body.vec8()?.span().len <= 32).then_some(())?;
    hello.cipher = body.u16()?;
    let _compression = body.u8()?;
    if body.is_empty() {
        return (!hello.is_retry).then_some(hello);
    }
    let mut extensions = body.vec16()?;
    body.end()?;
    while !extensions.is_empty() {
        let (kind, mut value) = (extensions.u16()?, extensions.vec16()?);
        match kind {
            SUPPORTED_VERSIONS => {
                hello.version = value.u16()?;
                hello.is_in_extension = true;
            }
            KEY_SHARE if hello.is_retry => hello.group = Some(value.u16()?),
            KEY_SHARE => {
                hello.group = Some(value.u16()?);
                hello.share = value.vec16()?.span();
            }
            COOKIE => hello.cookie = value.vec16()?.span(),
            ALPN => hello.alpn = Some(protocol(&mut value)?),
            SCT => hello.scts = value.vec16()?.span(),
            _ => continue,
        }
        value.end()?;
    }
    // The random means nothing elsewhere.
    (!hello.is_retry || (hello.version == TLS13 && hello.is_in_extension)).then_some(hello)
}

/// The one protocol of RFC 7301, section 3.1.
fn protocol(value: &mut Cursor<'_>) -> Option<Span> {
    let mut list = value.vec16()?;
    let name = list.vec8()?;
    list.end()?;
    Some(name.span())
}

/// RFC 8446, section 4.3.1.
pub(super) fn encrypted_extensions(mut body: Cursor<'_>, capture: &mut Capture) -> Option<()> {
    let mut extensions = body.vec16()?;
    while !extensions.is_empty() {
        let (kind, mut value) = (extensions.u16()?, extensions.vec16()?);
        if kind == ALPN {
            capture.alpn = Some(protocol(&mut value)?);
            value.end()?;
        }
    }
    body.end()
}

/// RFC 8446, section 4.4.2, if the capture says that its certificates have extensions; else RFC 5246, section 7.4.2. The body
/// may be a part of one: then what there is of it is taken.
pub(super) fn certificate(mut body: Cursor<'_>, capture: &mut Capture) -> Option<()> {
    if capture.has_extensions {
        body.vec8()?;
    }
    let (mut list, is_whole) = body.vec24_or_part()?;
    capture.certificates = list.span();
    let mut is_leaf = true;
    while !list.is_empty() {
        // None is empty (RFC 8446, section 4.4.2; RFC 5246, section 7.4.2).
        list.vec24().filter(|certificate| !certificate.is_empty())?;
        if capture.has_extensions {
            let extensions = list.vec16()?;
            if is_leaf {
                leaf_extensions(extensions, capture)?;
            }
        }
        is_leaf = false;
    }
    is_whole.then_some(())?;
    body.end()
}

fn leaf_extensions(mut extensions: Cursor<'_>, capture: &mut Capture) -> Option<()> {
    while !extensions.is_empty() {
        let (kind, mut value) = (extensions.u16()?, extensions.vec16()?);
        match kind {
            STATUS_REQUEST => certificate_status(value, capture)?,
            SCT => {
                capture.scts = value.vec16()?.span();
                value.end()?;
            }
            _ => {}
        }
    }
    Some(())
}

/// RFC 6066, section 8. Lists of responses (RFC 6961) are not asked for.
pub(super) fn certificate_status(mut body: Cursor<'_>, capture: &mut Capture) -> Option<()> {
    if body.u8()? != OCSP {
        return Some(());
    }
    let response = body.vec24()?;
    if !response.is_empty() {
        capture.ocsp = Some(response.span());
    }
    body.end()
}

/// RFC 8446, section 4.3.2, if the capture says that certificates have extensions; else RFC 5246, section 7.4.4, where the
/// list of algorithms is new in TLS 1.2.
pub(super) fn certificate_request(mut body: Cursor<'_>, capture: &mut Capture) -> Option<()> {
    capture.has_client_auth = true;
    body.vec8()?; // the context, or the types of certificates
    if !capture.has_extensions {
        if capture.version == Some(TLS12) {
            body.vec16()?;
        }
        capture.client_cas = body.vec16()?.span();
        return body.end();
    }
    let mut extensions = body.vec16()?;
    while !extensions.is_empty() {
        let (kind, mut value) = (extensions.u16()?, extensions.vec16()?);
        if kind == CERTIFICATE_AUTHORITIES {
            capture.client_cas = value.vec16()?.span();
            value.end()?;
        }
    }
    body.end()
}

/// The group of an ephemeral elliptic curve key (RFC 8422, section 5.4). That a message is of that kind is told by the lengths
/// in it: a prime, which others begin with, fits them by no accident.
pub(super) fn group(mut body: Cursor<'_>, version: Option<u16>) -> Option<u16> {
    if body.u8()? != NAMED_CURVE {
        return None;
    }
    let group = body.u16()?;
    body.vec8()?;
    if body.is_empty() {
        return Some(group); // nobody signs it
    }
    if version == Some(TLS12) {
        body.u16()?;
    }
    body.vec16()?;
    body.end().map(|()| group)
}
