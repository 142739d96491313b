//! DNS messages: what is sent, and what comes back, without an allocation until somebody wants text.
//!
//! ```text
//!  Query --write--> octets ~~~~> octets --Message::parse--> Message
//!    '--------------------answers-------------------------->  | | |
//!                        Same?                                | | '- outcome: Answer, NoData, NxDomain ...
//!                                                             | '--- digest: Answers, to compare
//!                                                             '----- records: Record -> owner, data: text
//! ```
//!
//! A [`Message`] is a view of octets; nothing is checked before it is looked at, and one bad record costs that record. Records
//! that cannot be told apart from what follows them end the reading, and [`Records::is_cut`] says so; those before stay.
//!
//! Text is the presentation form (RFC 1035, section 5.1) of types that are known here or to the `domain` crate, and that of
//! unknown types (RFC 3597) for all others and for data that do not have the form of their type: nothing is lost.
//!
//! Not here: when and whom to ask, what to believe, the form of the records that a scan gives.

mod answers;
mod flags;
#[cfg(any(test, feature = "testing"))]
pub mod fuzzing;
mod labels;
mod name;
mod numbers;
mod opt;
mod outcome;
mod query;
mod rdata;
mod records;
mod render;
mod svcb;
#[cfg(test)]
pub(crate) mod tests;

pub use self::{
    answers::Answers,
    flags::Flags,
    labels::{Labels, MAX_LABEL, MAX_NAME, is_within, labels, parent},
    name::{Name, NameError},
    numbers::{Qclass, Qtype, Rcode, UnknownNumber},
    opt::{Opt, Options},
    outcome::Kind,
    query::{Edns, Matched, Query},
    records::{Record, Records, Section},
};
pub(crate) use self::{name::text_of, render::write_hex};

/// The octets of a message: at least a header (RFC 1035, section 4.1.1).
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    octets: &'a [u8],
    header: &'a [u8; HEADER],
}

const HEADER: usize = 12;

/// What a message repeats of what was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Question<'a> {
    message: &'a [u8],
    /// Which records were asked for.
    pub qtype: Qtype,
    /// Of which class.
    pub qclass: Qclass,
}

impl Question<'_> {
    /// The name that was asked for.
    pub fn name(&self) -> Option<Name> {
        Name::read(self.message, HEADER).map(|(name, _)| name)
    }
}

impl<'a> Message<'a> {
    /// A view of octets that have a header.
    pub fn parse(octets: &'a [u8]) -> Option<Self> {
        Some(Self { octets, header: octets.first_chunk()? })
    }

    /// All octets.
    pub fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// The number of the query.
    pub fn id(&self) -> u16 {
        let [high, low, ..] = *self.header;
        u16::from_be_bytes([high, low])
    }

    /// It answers something: QR.
    pub fn is_response(&self) -> bool {
        self.bits() & 0x8000 != 0
    }

    /// What kind of query it is, or answers: 0 for questions.
    pub fn opcode(&self) -> u8 {
        (self.bits() >> 11) as u8 & 0xf
    }

    /// AA, TC and the like.
    pub fn flags(&self) -> Flags {
        Flags(self.bits())
    }

    /// It is cut, and TCP has the whole: TC.
    pub fn tc(&self) -> bool {
        self.flags().tc()
    }

    /// The response code, with the bits of its OPT record.
    pub fn rcode(&self) -> Rcode {
        let upper = self.opt().map_or(0, |opt| opt.extended_rcode());
        Rcode(u16::from(upper) << 4 | self.bits() & 0xf)
    }

    /// The first question, which should be the only one.
    pub fn question(&self) -> Option<Question<'a>> {
        if self.questions() == 0 {
            return None;
        }
        let at = labels::skip(self.octets, HEADER)?;
        let &[t0, t1, c0, c1] = self.octets.get(at..)?.first_chunk()?;
        Some(Question {
            message: self.octets,
            qtype: Qtype(u16::from_be_bytes([t0, t1])),
            qclass: Qclass(u16::from_be_bytes([c0, c1])),
        })
    }

    /// Its records, in order.
    pub fn records(&self) -> Records<'a> {
        Records::new(self)
    }

    /// The OPT record: the first of the additional section, where alone it means anything (RFC 6891, section 6.1.1).
    pub fn opt(&self) -> Option<Opt<'a>> {
        self.opt_record().map(|record| Opt::new(&record))
    }

    fn opt_record(&self) -> Option<Record<'a>> {
        if self.counts() == [0; 3] {
            return None;
        }
        let mut additional = self.records().filter(|record| record.section == Section::Additional);
        additional.find(|record| record.rtype == Qtype::OPT)
    }

    /// QR, opcode, flags and the lower bits of the response code.
    fn bits(&self) -> u16 {
        let [_, _, high, low, ..] = *self.header;
        u16::from_be_bytes([high, low])
    }

    /// How many questions the header counts.
    fn questions(&self) -> u16 {
        let [_, _, _, _, high, low, ..] = *self.header;
        u16::from_be_bytes([high, low])
    }

    /// How many answers the header counts.
    fn answers(&self) -> u16 {
        self.counts()[0]
    }

    /// How many records of each section the header counts.
    fn counts(&self) -> [u16; 3] {
        let [.., a0, a1, n0, n1, r0, r1] = *self.header;
        [[a0, a1], [n0, n1], [r0, r1]].map(u16::from_be_bytes)
    }

    /// Where the records begin, if the questions are whole.
    fn behind_questions(&self) -> Option<usize> {
        (0..self.questions()).try_fold(HEADER, |at, _| {
            let behind = labels::skip(self.octets, at)? + 4;
            (behind <= self.octets.len()).then_some(behind)
        })
    }
}
