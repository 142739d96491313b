//! JA3S (github.com/salesforce/ja3): the MD5 of what a ServerHello says.

use std::fmt::Write;

use md5::{Digest, Md5};

use crate::hello::reader::Reader;

const SERVER_HELLO: u8 = 0x02;

/// The JA3S of a raw ServerHello, handshake header included; `None` when it is not whole.
///
/// A HelloRetryRequest is a ServerHello too; what a host is known by is the one that follows.
pub fn ja3s(server_hello: &[u8]) -> Option<String> {
    let text = text(server_hello)?;
    Some(Md5::digest(text).iter().fold(String::with_capacity(32), |mut hex, octet| {
        let _ = write!(hex, "{octet:02x}"); // a String takes all
        hex
    }))
}

/// What is hashed: version, cipher and extensions in their order, in decimal.
pub(super) fn text(server_hello: &[u8]) -> Option<String> {
    let mut message = Reader::new(server_hello);
    if message.u8()? != SERVER_HELLO {
        return None;
    }
    let length = message.u24()?;
    let mut body = Reader::new(message.take(length)?);
    let version = body.u16()?;
    body.take(32)?; // random
    body.vec8()?; // session id
    let cipher = body.u16()?;
    body.u8()?; // compression
    let mut text = format!("{version},{cipher},");
    if body.left() == 0 {
        return Some(text); // RFC 5246 section 7.4.1.3: no extensions, and no length of them
    }
    let mut extensions = Reader::new(body.vec16()?);
    let mut separator = "";
    while extensions.left() > 0 {
        let kind = extensions.u16()?;
        extensions.vec16()?;
        write!(text, "{separator}{kind}").ok()?;
        separator = "-";
    }
    Some(text)
}
