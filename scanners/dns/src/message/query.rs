//! What is asked, and whether a message answers it.

use super::{Message, Qclass, Qtype, Rcode, labels::MAX_NAME};

/// A question to one server (RFC 1035, section 4.1).
///
/// ```text
///  id  RD  1 0 0 1 | 3 w W w 7 e X A m p l e 3 C o m 0 | A IN | OPT 1232 DO
///                      ^ the case of letters: bits that an answer has to bring back
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The number that an answer has to bring back.
    pub id: u16,
    /// The name, in wire form.
    pub name: &'a [u8],
    /// Bit i flips the case of letter i of the name, modulo 64 ("0x20"); zero leaves the name as it is.
    pub case: u64,
    /// Which records are asked for.
    pub qtype: Qtype,
    /// Of which class.
    pub qclass: Qclass,
    /// A resolver is asked to find out: RD.
    pub recursion: bool,
    /// With an OPT record, or as before 1999.
    pub edns: Option<Edns>,
}

/// What a query says in its OPT record (RFC 6891, section 6.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Edns {
    /// The largest answer that is taken over UDP.
    pub udp_size: u16,
    /// DNSSEC records are wanted with the answer: DO (RFC 3225).
    pub dnssec_ok: bool,
}

impl Edns {
    /// What passes nearly every path without fragments, and does not ask for signatures.
    pub const USUAL: Self = Self { udp_size: 1232, dnssec_ok: false };
}

/// Whether a message answers a query.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Matched {
    /// It does: id, QR, opcode and the question to the last bit.
    Same,
    /// It does but for the case of letters: a forgery, or a server that does not keep case.
    CaseDiffers,
    /// An error of a server that does not repeat questions, with the right id. This says so little that it must never be
    /// taken for an answer.
    NoQuestion,
    /// It does not.
    Other,
}

const HEADER: usize = 12;
const QR: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const RD: u16 = 0x0100;
const DO: u8 = 0x80;

impl Query<'_> {
    /// No query is longer.
    pub const MAX_LEN: usize = HEADER + MAX_NAME + 4 + OPT;

    /// Writes the query to the head of `out`, and tells how long it is.
    ///
    /// # Panics
    ///
    /// When `out` has less than [`Self::MAX_LEN`] octets, or the name more than 255.
    pub fn write(&self, out: &mut [u8]) -> usize {
        let (id, flags) =
            (self.id.to_be_bytes(), if self.recursion { RD } else { 0 }.to_be_bytes());
        let additional = u8::from(self.edns.is_some());
        let header = [id[0], id[1], flags[0], flags[1], 0, 1, 0, 0, 0, 0, 0, additional];
        out[..HEADER].copy_from_slice(&header);

        let (name, rest) = out[HEADER..].split_at_mut(self.name.len());
        for (octet, cased) in name.iter_mut().zip(Cased::new(self)) {
            *octet = cased;
        }
        rest[..2].copy_from_slice(&self.qtype.0.to_be_bytes());
        rest[2..4].copy_from_slice(&self.qclass.0.to_be_bytes());
        let mut len = HEADER + self.name.len() + 4;
        if let Some(edns) = self.edns {
            let size = edns.udp_size.to_be_bytes();
            let dnssec_ok = if edns.dnssec_ok { DO } else { 0 };
            let opt = [0, 0, 41, size[0], size[1], 0, 0, dnssec_ok, 0, 0, 0];
            rest[4..4 + OPT].copy_from_slice(&opt);
            len += OPT;
        }
        len
    }

    /// Whether a message answers this query, as far as it can tell itself: from whom it came is for the caller to know.
    pub fn answers(&self, message: &Message<'_>) -> Matched {
        if message.id() != self.id || message.bits() & (QR | OPCODE) != QR {
            return Matched::Other;
        }
        match message.questions() {
            1 => {}
            0 if is_refusal(message) => return Matched::NoQuestion,
            _ => return Matched::Other,
        }
        let question = message.octets().get(HEADER..).unwrap_or_default();
        let Some((name, rest)) = question.split_at_checked(self.name.len()) else {
            return Matched::Other;
        };
        let mut kind = [0; 4];
        kind[..2].copy_from_slice(&self.qtype.0.to_be_bytes());
        kind[2..].copy_from_slice(&self.qclass.0.to_be_bytes());
        if rest.get(..4) != Some(&kind) {
            return Matched::Other;
        }
        // Every octet is looked at, so that how long this takes tells a forger nothing.
        let (mut differs, mut differs_folded) = (0, 0);
        for (octet, cased) in name.iter().zip(Cased::new(self)) {
            let difference = octet ^ cased;
            differs |= difference;
            differs_folded |= difference & if cased.is_ascii_alphabetic() { !0x20 } else { 0xff };
        }
        match (differs, differs_folded) {
            (0, _) => Matched::Same,
            (_, 0) => Matched::CaseDiffers,
            _ => Matched::Other,
        }
    }
}

/// The octets of an OPT record without options.
const OPT: usize = 11;

/// An error without records: the servers that leave the question out do so with FORMERR, NOTIMP, REFUSED and SERVFAIL.
fn is_refusal(message: &Message<'_>) -> bool {
    let rcode = Rcode(message.bits() & 0xf);
    matches!(rcode, Rcode::FORMERR | Rcode::SERVFAIL | Rcode::NOTIMP | Rcode::REFUSED)
        && message.answers() == 0
}

/// The octets of a name with the case of a query.
struct Cased<'a> {
    octets: std::slice::Iter<'a, u8>,
    case: u64,
}

impl<'a> Cased<'a> {
    fn new(query: &Query<'a>) -> Self {
        Self { octets: query.name.iter(), case: query.case }
    }
}

impl Iterator for Cased<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let octet = *self.octets.next()?;
        // Length octets are at most 63, which is no letter.
        let letter = octet.is_ascii_alphabetic();
        let flip = (self.case & u64::from(letter)) as u8;
        self.case = self.case.rotate_right(letter.into());
        Some(octet ^ flip << 5)
    }
}
