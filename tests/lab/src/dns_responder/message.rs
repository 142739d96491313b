//! Queries read and answers written, octet by octet (RFC 1035 4.1, RFC 6891).

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::rtype;

const HEADER: usize = 12;
/// What a client without EDNS takes (RFC 1035 2.3.4).
const PLAIN_SIZE: usize = 512;
/// What is said of this end's own size in EDNS.
const OWN_SIZE: u16 = 1_232;
/// The owner of a record that is the name asked for: it stands right behind the header.
const ASKED_NAME: [u8; 2] = [0xc0, HEADER as u8];
const MOST_NAME: usize = 255;
/// Octets in front of the data of a record: type, class, TTL, length.
const RECORD_FIXED: usize = 10;
const IN: u16 = 1;

const FORMERR: u16 = 1;
const NOTIMP: u16 = 4;

/// What a query came by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Over {
    /// A datagram.
    Udp,
    /// A connection.
    Tcp,
}

/// What a query says of its sender (RFC 6891 6.1.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Edns {
    /// The largest answer that it takes by UDP.
    pub udp_size: u16,
    /// It wants signatures (RFC 3225).
    pub dnssec_ok: bool,
}

/// A query.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The name, as labels behind their lengths, in lower case.
    pub name: &'a [u8],
    /// The type.
    pub qtype: u16,
    /// The class.
    pub qclass: u16,
    /// It wants the answer found for it.
    pub recursion: bool,
    /// What it says of its sender, if it does.
    pub edns: Option<Edns>,
    /// Who asks.
    pub from: SocketAddr,
    /// Who was asked.
    pub to: IpAddr,
    /// What it came by.
    pub over: Over,
}

/// Where a record of an answer stands.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Section {
    /// What was asked for.
    Answer,
    /// Who would know, or how long it is not so.
    Authority,
    /// What else helps.
    Additional,
}

/// The fixed parts of a query that its answer repeats.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    id: [u8; 2],
    opcode: u8,
    recursion: bool,
    /// Of the question, right behind the header.
    question: usize,
    edns: Option<Edns>,
}

/// Reads the query in `octets`, its name in lower case to `name`; `None` for anything else.
pub(super) fn read<'a>(
    octets: &[u8],
    name: &'a mut Vec<u8>,
    (from, to, over): (SocketAddr, IpAddr, Over),
) -> Option<(Head, Asked<'a>)> {
    let (header, rest) = octets.split_at_checked(HEADER)?;
    let flags = u16::from_be_bytes([header[2], header[3]]);
    let is_response = flags & 0x8000 != 0;
    if is_response || header[4..6] != [0, 1] {
        return None;
    }
    name.clear();
    let mut at = 0;
    loop {
        let len = usize::from(*rest.get(at)?);
        if len > 63 || at + len + 1 > MOST_NAME {
            return None;
        }
        name.push(len as u8);
        name.extend(rest.get(at + 1..at + 1 + len)?.iter().map(u8::to_ascii_lowercase));
        at += 1 + len;
        if len == 0 {
            break;
        }
    }
    let (fixed, additional) = rest.get(at..)?.split_first_chunk::<4>()?;
    let head = Head {
        id: [header[0], header[1]],
        opcode: (flags >> 11 & 0xf) as u8,
        recursion: flags & 0x0100 != 0,
        question: at + fixed.len(),
        edns: edns(header, additional),
    };
    let asked = Asked {
        name,
        qtype: u16::from_be_bytes([fixed[0], fixed[1]]),
        qclass: u16::from_be_bytes([fixed[2], fixed[3]]),
        recursion: head.recursion,
        edns: head.edns,
        from,
        to,
        over,
    };
    Some((head, asked))
}

/// The OPT record, where it is the first one, as it is in queries.
fn edns(header: &[u8], additional: &[u8]) -> Option<Edns> {
    let only_additional = header[6..10] == [0; 4] && header[10..12] != [0, 0];
    let (fixed, _) = additional.split_first_chunk::<7>().filter(|_| only_additional)?;
    let [0, t0, t1, s0, s1, _extended, _version] = *fixed else { return None };
    let dnssec_ok = additional.get(7).is_some_and(|flags| flags & 0x80 != 0);
    (u16::from_be_bytes([t0, t1]) == rtype::OPT)
        .then(|| Edns { udp_size: u16::from_be_bytes([s0, s1]), dnssec_ok })
}

/// An answer that is being written: NOERROR without records, until more is said.
#[derive(Debug)]
pub struct Reply {
    octets: Vec<u8>,
    head: Head,
    rcode: u16,
    is_authoritative: bool,
    is_truncated: bool,
    is_silent: bool,
    section: Section,
    counts: [u16; 3],
    delay: Duration,
}

impl Reply {
    /// Nothing yet; [`begin`](Self::begin) makes an answer of it.
    pub(super) fn new() -> Self {
        let head = Head { id: [0; 2], opcode: 0, recursion: false, question: 0, edns: None };
        Self {
            octets: Vec::with_capacity(OWN_SIZE.into()),
            head,
            rcode: 0,
            is_authoritative: false,
            is_truncated: false,
            is_silent: false,
            section: Section::Answer,
            counts: [0; 3],
            delay: Duration::ZERO,
        }
    }

    /// An empty answer to `query`, which [`read`] took for one.
    pub(super) fn begin(&mut self, head: Head, query: &[u8]) {
        let octets = std::mem::take(&mut self.octets);
        *self = Self { octets, head, ..Self::new() };
        self.octets.clear();
        self.octets.extend(query.iter().take(HEADER + head.question));
    }

    /// How it went, up to 12 bits; FORMERR and NOTIMP say nothing of EDNS, as servers that do not know it.
    pub fn status(&mut self, rcode: u16) {
        self.rcode = rcode;
    }

    /// Who answers has the zone, and finds nothing for others: AA, and no RA.
    pub fn authoritative(&mut self) {
        self.is_authoritative = true;
    }

    /// Nothing is sent.
    pub fn silent(&mut self) {
        self.is_silent = true;
    }

    /// By UDP, nothing but TC is sent.
    pub fn truncated(&mut self) {
        self.is_truncated = true;
    }

    /// By UDP, it is sent so much later.
    pub fn after(&mut self, delay: Duration) {
        self.delay += delay;
    }

    /// A record of class IN whose owner is the name asked for.
    pub fn answer(&mut self, rtype: u16, ttl: u32, data: &[u8]) {
        self.push(Section::Answer, &ASKED_NAME, rtype, ttl, data);
    }

    /// A record of class IN.
    ///
    /// # Panics
    ///
    /// When its section comes before that of an earlier one, or its data are longer than 65,535 octets.
    pub fn record(&mut self, section: Section, owner: &[u8], rtype: u16, ttl: u32, data: &[u8]) {
        self.push(section, owner, rtype, ttl, data);
    }

    fn push(&mut self, section: Section, owner: &[u8], rtype: u16, ttl: u32, data: &[u8]) {
        assert!(section >= self.section, "sections come in their order");
        self.section = section;
        self.counts[section as usize] += 1;
        self.fixed(owner, rtype, IN, ttl, data.len());
        self.octets.extend(data);
    }

    fn fixed(&mut self, owner: &[u8], rtype: u16, class: u16, ttl: u32, len: usize) {
        let len = u16::try_from(len).expect("data of a record have 65,535 octets at most");
        self.octets.reserve(owner.len() + RECORD_FIXED);
        self.octets.extend(owner);
        self.octets.extend(rtype.to_be_bytes());
        self.octets.extend(class.to_be_bytes());
        self.octets.extend(ttl.to_be_bytes());
        self.octets.extend(len.to_be_bytes());
    }

    pub(super) fn is_silent(&self) -> bool {
        self.is_silent
    }

    pub(super) fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    pub(super) fn delay(&self) -> Duration {
        self.delay
    }

    pub(super) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Makes it a whole message, cut to what the asker takes when it goes by UDP.
    pub(super) fn finish(&mut self, over: Over) {
        const OPT_LEN: usize = 1 + RECORD_FIXED;
        let size = self.head.edns.map_or(PLAIN_SIZE, |edns| usize::from(edns.udp_size));
        let opt = self.head.edns.filter(|_| ![FORMERR, NOTIMP].contains(&self.rcode));
        let len = self.octets.len() + opt.map_or(0, |_| OPT_LEN);
        self.is_truncated = over == Over::Udp && (self.is_truncated || len > size.max(PLAIN_SIZE));
        if self.is_truncated {
            self.octets.truncate(HEADER + self.head.question);
            self.counts = [0; 3];
        }
        if let Some(edns) = opt {
            let extended = u32::from(self.rcode >> 4) << 24;
            let flags = if edns.dnssec_ok { 0x8000 } else { 0 };
            self.counts[Section::Additional as usize] += 1;
            self.fixed(&[0], rtype::OPT, OWN_SIZE, extended | flags, 0);
        }
        let flags = 0x8000
            | u16::from(self.head.opcode) << 11
            | u16::from(self.is_authoritative) << 10
            | u16::from(self.is_truncated) << 9
            | u16::from(self.head.recursion) << 8
            | u16::from(!self.is_authoritative) << 7
            | self.rcode & 0xf;
        let [answers, authorities, additionals] = self.counts.map(u16::to_be_bytes);
        let words = [self.head.id, flags.to_be_bytes(), [0, 1], answers, authorities, additionals];
        self.octets[..HEADER].copy_from_slice(words.as_flattened());
    }
}

/// `name` as labels behind their lengths, in lower case; a final dot or none, `.` for the root, no escapes.
///
/// # Panics
///
/// When it is no name: names of a lab are constants of a program, not input.
pub fn wire_name(name: &str) -> Vec<u8> {
    let mut wire = Vec::with_capacity(name.len() + 2);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        assert!(label.len() <= 63, "a label has 63 octets at most: {label}");
        wire.push(label.len() as u8);
        wire.extend(label.bytes().map(|octet| octet.to_ascii_lowercase()));
    }
    wire.push(0);
    assert!(wire.len() <= MOST_NAME, "a name has 255 octets at most: {name}");
    wire
}
