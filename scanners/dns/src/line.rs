//! From the end of a lookup to its line, without the row between.
//!
//! What is written is, octet for octet, what serde_json makes of the [row](crate::row): the tests and the fuzzer hold it to
//! that. A row costs a dozen allocations, a line none, and of millions of names most are read by nobody but a file.

use std::{fmt::Write as _, net::SocketAddr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use mrpf_records::{DnsRecord, Timestamp};

use crate::{
    lookup::{End, Outcome, Protocol},
    message::{Message, Opt, Qclass, Qtype, Rcode, Record, Section, text_of, write_hex},
    row::{QUESTION_AT, restore_case},
};

/// Writes lines. What it holds is reused.
#[derive(Debug)]
pub(crate) struct Lines {
    wants_wire: bool,
    /// A message with the case of the input.
    message: Vec<u8>,
    name: String,
    line: String,
    text: String,
}

impl Lines {
    /// Lines with the octets of their messages, or without.
    pub(crate) fn new(wants_wire: bool) -> Self {
        let (name, line, text) = (String::new(), String::new(), String::new());
        Self { wants_wire, message: Vec::new(), name, line, text }
    }

    /// The line of a lookup that ended at `ts`, without its end; `None` for input that is no name.
    pub(crate) fn line(&mut self, end: &End<'_>, ts: Timestamp) -> Option<&str> {
        let status = match end.outcome {
            Outcome::Invalid => return None,
            Outcome::Message => DnsRecord::MALFORMED, // unless it can be read
            Outcome::Timeout => DnsRecord::TIMEOUT,
            Outcome::Unreachable => DnsRecord::UNREACHABLE,
            Outcome::Truncated => DnsRecord::TRUNCATED,
            Outcome::Malformed => DnsRecord::MALFORMED,
        };
        let Self { message, name, line, text, .. } = self;
        name.clear();
        push_escaped(&text_of(end.name)?, name);
        let has_question = restore_case(end, message);
        let message = Message::parse(message).filter(|_| !end.message.is_empty());

        line.clear();
        line.push_str("{\"type\":\"dns\",\"ts\":\"");
        push(line, format_args!("{ts}"));
        line.push_str("\",\"name\":\"");
        line.push_str(name);
        line.push_str("\",\"qtype\":\"");
        push_number(line, end.qtype.name(), end.qtype);
        if end.qclass != Qclass::IN {
            line.push_str("\",\"qclass\":\"");
            push_number(line, end.qclass.name(), end.qclass);
        }
        line.push_str("\",\"status\":\"");
        match &message {
            Some(message) if end.outcome == Outcome::Message => {
                let rcode: Rcode = message.rcode();
                push_number(line, rcode.name(), rcode);
            }
            _ => line.push_str(status),
        }
        line.push('"');
        if let Some(resolver) = end.resolver {
            line.push_str(",\"resolver\":\"");
            push_addr(line, resolver);
            line.push('"');
        }
        if !end.message.is_empty() {
            line.push_str(match end.protocol {
                Protocol::Udp => ",\"protocol\":\"udp\"",
                Protocol::Tcp => ",\"protocol\":\"tcp\"",
            });
        }
        let mut is_cut = message.is_none() && !end.message.is_empty();
        if let Some(message) = &message {
            is_cut = tell(line, text, message, has_question.then_some(&**name));
        }
        if let Some(rtt) = end.rtt {
            push(line, format_args!(",\"rtt_us\":{}", rtt.as_micros() as u64));
        }
        if end.attempts > 0 {
            push(line, format_args!(",\"attempts\":{}", end.attempts));
        }
        if let Some(wildcard) = end.wildcard {
            push(line, format_args!(",\"wildcard\":{wildcard}"));
        }
        if is_cut {
            line.push_str(",\"cut\":true");
        }
        if self.wants_wire && !end.message.is_empty() {
            line.push_str(",\"wire\":\"");
            BASE64_STANDARD.encode_string(end.message, line);
            line.push('"');
        }
        line.push('}');
        Some(line)
    }
}

/// Writes what a message tells, and gives whether some of it cannot be read. `asked` is the name of the question, if it is there.
fn tell(line: &mut String, text: &mut String, message: &Message<'_>, asked: Option<&str>) -> bool {
    let mut names = message.flags().names();
    if let Some(first) = names.next() {
        push(line, format_args!(",\"flags\":[\"{first}\""));
        names.for_each(|name| push(line, format_args!(",\"{name}\"")));
        line.push(']');
    }
    let (mut edns, mut is_cut) = (None, false);
    let mut open = None;
    let mut records = message.records();
    for record in records.by_ref() {
        if (record.section, record.rtype, edns.is_none()) == (Section::Additional, Qtype::OPT, true)
        {
            edns = Some(record);
            continue;
        }
        let owner = match asked.filter(|_| record.is_of(QUESTION_AT)) {
            Some(asked) => asked,
            None => {
                let Some(owner) = record.owner() else {
                    is_cut = true;
                    continue;
                };
                text.clear();
                push(text, format_args!("{owner}"));
                if text.contains(['"', '\\']) {
                    let plain = std::mem::take(text);
                    push_escaped(&plain, text);
                }
                &*text
            }
        };
        if open == Some(record.section) {
            line.push(',');
        } else {
            line.push_str(if open.is_some() { "]," } else { "," });
            line.push_str(match record.section {
                Section::Answer => "\"answers\":[",
                Section::Authority => "\"authorities\":[",
                Section::Additional => "\"additionals\":[",
            });
            open = Some(record.section);
        }
        line.push_str("{\"name\":\"");
        line.push_str(owner);
        push_data(line, text, &record);
    }
    if open.is_some() {
        line.push(']');
    }
    is_cut |= records.is_cut();
    if let Some(record) = edns {
        is_cut |= push_edns(line, &Opt::new(&record));
    }
    is_cut
}

/// Writes a record of a message, behind its owner.
fn push_data(line: &mut String, text: &mut String, record: &Record<'_>) {
    line.push_str("\",\"type\":\"");
    push_number(line, record.rtype.name(), record.rtype);
    if record.class != Qclass::IN {
        line.push_str("\",\"class\":\"");
        push_number(line, record.class.name(), record.class);
    }
    push(line, format_args!("\",\"ttl\":{},\"data\":\"", record.ttl));
    text.clear();
    record.write_data(text);
    push_escaped(text, line);
    line.push_str("\"}");
}

/// Writes what an OPT record says, and gives whether some of its options are cut.
fn push_edns(line: &mut String, opt: &Opt<'_>) -> bool {
    let (version, size, dnssec_ok) = (opt.version(), opt.udp_size(), opt.dnssec_ok());
    push(
        line,
        format_args!(
            ",\"edns\":{{\"version\":{version},\"udp_size\":{size},\"dnssec_ok\":{dnssec_ok}"
        ),
    );
    let mut options = opt.options();
    let mut is_first = true;
    for (code, data) in options.by_ref() {
        line.push_str(if is_first { ",\"options\":[" } else { "," });
        push(line, format_args!("{{\"code\":{code},\"data\":\""));
        write_hex(data, line);
        line.push_str("\"}");
        is_first = false;
    }
    if !is_first {
        line.push(']');
    }
    line.push('}');
    options.is_cut()
}

/// Appends an address and a port.
fn push_addr(line: &mut String, addr: SocketAddr) {
    match addr {
        SocketAddr::V4(addr) => {
            let [a, b, c, d] = addr.ip().octets();
            push(line, format_args!("{a}.{b}.{c}.{d}:{}", addr.port()));
        }
        SocketAddr::V6(_) => push(line, format_args!("{addr}")),
    }
}

/// Appends the name of a number, or the text of one without.
fn push_number(line: &mut String, name: Option<&'static str>, number: impl std::fmt::Display) {
    match name {
        Some(name) => line.push_str(name),
        None => push(line, format_args!("{number}")),
    }
}

/// Appends printable ASCII as JSON has it: what a name or data are is never anything else.
fn push_escaped(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\\']) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        out.push('\\');
        let (first, behind) = special.split_at(1);
        out.push_str(first);
        rest = behind;
    }
    out.push_str(rest);
}

fn push(line: &mut String, what: std::fmt::Arguments<'_>) {
    // A String takes all.
    let _ = line.write_fmt(what);
}
