//! From the end of a lookup to its row.
//!
//! ```text
//!  End { name, message, ... } -> the case of the input put back into the message -> sections, flags, EDNS as text
//! ```
//!
//! Queries go out with letters in a case that is a secret, and servers repeat it in the owners of their answers, most as a
//! pointer to the question. Nobody who reads rows wants to see that, so rows show names as they were given. The octets on
//! request are those that came.

use std::borrow::Cow;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use mrpf_records::{DnsData, DnsEdns, DnsOption, DnsProtocol, DnsRecord, Timestamp};

use crate::{
    lookup::{End, Outcome, Protocol},
    message::{Message, Opt, Qclass, Qtype, Rcode, Record, Section, text_of, write_hex},
};

/// Where the name of the question stands in a message.
pub(crate) const QUESTION_AT: usize = 12;

/// Writes rows.
#[derive(Debug)]
pub(crate) struct Rows {
    wants_wire: bool,
    /// A message with the case of the input.
    message: Vec<u8>,
}

impl Rows {
    /// Rows with the octets of their messages, or without.
    pub(crate) fn new(wants_wire: bool) -> Self {
        Self { wants_wire, message: Vec::new() }
    }

    /// The row of a lookup that ended at `ts`.
    pub(crate) fn row(&mut self, end: &End<'_>, ts: Timestamp) -> Box<DnsRecord> {
        let status = match end.outcome {
            Outcome::Message => DnsRecord::MALFORMED, // until it is read
            Outcome::Timeout => DnsRecord::TIMEOUT,
            Outcome::Unreachable => DnsRecord::UNREACHABLE,
            Outcome::Truncated => DnsRecord::TRUNCATED,
            Outcome::Malformed => DnsRecord::MALFORMED,
            Outcome::Invalid => DnsRecord::INVALID,
        };
        let name = Some(end.name).filter(|_| end.outcome != Outcome::Invalid).and_then(text_of);
        let name = name.unwrap_or_else(|| String::from_utf8_lossy(end.name).into_owned());
        let qtype = text(end.qtype.name(), end.qtype);
        let mut row = Box::new(DnsRecord::new(ts, name, qtype, status.into()));
        row.qclass = class(end.qclass);
        row.resolver = end.resolver;
        row.rtt_us = end.rtt.map(|rtt| rtt.as_micros() as u64);
        row.attempts = Some(end.attempts).filter(|attempts| *attempts > 0);
        row.wildcard = end.wildcard;
        if end.message.is_empty() {
            return row;
        }
        row.protocol = Some(match end.protocol {
            Protocol::Udp => DnsProtocol::Udp,
            Protocol::Tcp => DnsProtocol::Tcp,
        });
        row.wire = self.wants_wire.then(|| BASE64_STANDARD.encode(end.message));
        let has_question = restore_case(end, &mut self.message);
        match Message::parse(&self.message) {
            Some(message) => tell(&mut row, &message, end, has_question),
            None => row.cut = Some(true),
        }
        row
    }
}

/// Takes the message of an end into `message`, with the question in the case of the input; gives whether it has the question.
pub(crate) fn restore_case(end: &End<'_>, message: &mut Vec<u8>) -> bool {
    message.clear();
    message.extend_from_slice(end.message);
    let question = message.get_mut(QUESTION_AT..).and_then(|rest| rest.get_mut(..end.name.len()));
    match question.filter(|name| name.eq_ignore_ascii_case(end.name)) {
        Some(question) => {
            question.copy_from_slice(end.name);
            true
        }
        None => false,
    }
}

/// Fills in what a message tells. With the question, most owners are pointers to it and need not be read.
fn tell(row: &mut DnsRecord, message: &Message<'_>, end: &End<'_>, has_question: bool) {
    if end.outcome == Outcome::Message {
        let rcode: Rcode = message.rcode();
        row.status = text(rcode.name(), rcode);
    }
    row.flags = message.flags().names().map(Cow::from).collect();
    let (mut edns, mut cut) = (None, false);
    let mut records = message.records();
    for record in records.by_ref() {
        let sections = (record.section, record.rtype, edns.is_some());
        let section = match sections {
            (Section::Additional, Qtype::OPT, false) => {
                let (told, is_cut) = opt(&Opt::new(&record));
                (edns, cut) = (Some(told), cut | is_cut);
                continue;
            }
            (Section::Answer, ..) => &mut row.answers,
            (Section::Authority, ..) => &mut row.authorities,
            (Section::Additional, ..) => &mut row.additionals,
        };
        if has_question && record.is_of(QUESTION_AT) {
            section.push(data(row.name.clone(), &record));
            continue;
        }
        // Without its owner a record says nothing; those behind it can still be read.
        match record.owner() {
            Some(owner) => section.push(data(owner.to_string(), &record)),
            None => cut = true,
        }
    }
    row.edns = edns;
    row.cut = (cut || records.is_cut()).then_some(true);
}

/// A record of a message.
fn data(name: String, record: &Record<'_>) -> DnsData {
    let rtype = text(record.rtype.name(), record.rtype);
    DnsData { name, rtype, class: class(record.class), ttl: record.ttl, data: record.data() }
}

/// What an OPT record says, and whether some of its options are cut.
fn opt(opt: &Opt<'_>) -> (DnsEdns, bool) {
    let mut options = opt.options();
    let told = DnsEdns {
        version: opt.version(),
        udp_size: opt.udp_size(),
        dnssec_ok: opt.dnssec_ok(),
        options: options.by_ref().map(|(code, data)| DnsOption { code, data: hex(data) }).collect(),
    };
    (told, options.is_cut())
}

/// The name of a number, which costs no memory, or the text of one without.
fn text(name: Option<&'static str>, number: impl ToString) -> Cow<'static, str> {
    name.map_or_else(|| number.to_string().into(), Cow::from)
}

/// A class, unless it is the usual one.
fn class(class: Qclass) -> Option<Cow<'static, str>> {
    (class != Qclass::IN).then(|| text(class.name(), class))
}

fn hex(octets: &[u8]) -> String {
    let mut text = String::with_capacity(2 * octets.len());
    write_hex(octets, &mut text);
    text
}

#[cfg(test)]
mod tests;
