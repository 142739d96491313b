//! Messages by the octet.

use super::super::{Name, Qclass, Qtype, Section};

/// A message that is being put together; records go in the order of their sections.
#[derive(Clone)]
pub(crate) struct Built(pub(crate) Vec<u8>);

/// A pointer to the question.
pub(crate) const QUESTION: &[u8] = &[0xc0, 12];
pub(crate) const QR: u16 = 0x8000;
pub(crate) const AA: u16 = 0x0400;
pub(crate) const ID: u16 = 0x1234;

pub(crate) fn wire(name: &str) -> Vec<u8> {
    name.parse::<Name>().unwrap().as_wire().to_vec()
}

impl Built {
    /// A response without a question.
    pub(crate) fn bare(flags: u16) -> Self {
        Self([ID.to_be_bytes(), (QR | flags).to_be_bytes()].concat()).with(&[0; 8])
    }

    /// A response to a question.
    pub(crate) fn new(flags: u16, name: &str, qtype: Qtype) -> Self {
        Self::bare(flags).question(&wire(name), qtype)
    }

    pub(crate) fn question(mut self, name: &[u8], qtype: Qtype) -> Self {
        self.0[5] += 1;
        self.with(name).with(&qtype.0.to_be_bytes()).with(&Qclass::IN.0.to_be_bytes())
    }

    pub(crate) fn answer(self, owner: &[u8], rtype: Qtype, rdata: &[u8]) -> Self {
        self.record(Section::Answer, owner, rtype, rdata)
    }

    pub(crate) fn record(self, section: Section, owner: &[u8], rtype: Qtype, rdata: &[u8]) -> Self {
        self.class(section, owner, rtype, Qclass::IN.0, 300, rdata)
    }

    /// An OPT record with these upper bits, version and options.
    pub(crate) fn opt(self, upper: u8, version: u8, options: &[u8]) -> Self {
        let ttl = u32::from_be_bytes([upper, version, 0x80, 0]);
        self.class(Section::Additional, &[0], Qtype::OPT, 1232, ttl, options)
    }

    pub(crate) fn class(
        mut self,
        section: Section,
        owner: &[u8],
        rtype: Qtype,
        class: u16,
        ttl: u32,
        rdata: &[u8],
    ) -> Self {
        let at = match section {
            Section::Answer => 6,
            Section::Authority => 8,
            Section::Additional => 10,
        };
        let count = u16::from_be_bytes([self.0[at], self.0[at + 1]]) + 1;
        self.0[at..at + 2].copy_from_slice(&count.to_be_bytes());
        self.with(owner)
            .with(&rtype.0.to_be_bytes())
            .with(&class.to_be_bytes())
            .with(&ttl.to_be_bytes())
            .with(&(rdata.len() as u16).to_be_bytes())
            .with(rdata)
    }

    pub(crate) fn with(mut self, octets: &[u8]) -> Self {
        self.0.extend_from_slice(octets);
        self
    }

    /// Where the next octet will stand.
    pub(crate) fn at(&self) -> usize {
        self.0.len()
    }
}
