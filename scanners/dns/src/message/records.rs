//! The records of a message, one after the other.

use super::{
    Message, Name, Qclass, Qtype,
    labels::{same, skip},
};

/// Where in a message a record stands.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Section {
    /// What was asked for.
    Answer,
    /// Who knows better, or who says that there is nothing.
    Authority,
    /// What may be of use; OPT.
    Additional,
}

/// A record, in the octets of its message.
///
/// Whether owner and rdata can be read is not known yet: one that cannot does not stop those behind it from being read.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    message: &'a [u8],
    /// Where it stands.
    pub section: Section,
    /// The octet of the message at which the name of its owner begins.
    pub owner_at: usize,
    /// Its type.
    pub rtype: Qtype,
    /// Its class; the size that UDP may have, for OPT.
    pub class: Qclass,
    /// For how many seconds it is good.
    pub ttl: u32,
    /// The octet of the message at which its data begin.
    pub rdata_at: usize,
    /// Its data as they are: names in them may be compressed.
    pub rdata: &'a [u8],
}

impl<'a> Record<'a> {
    /// Whose record it is, unless a pointer leads nowhere.
    pub fn owner(&self) -> Option<Name> {
        Name::read(self.message, self.owner_at).map(|(name, _)| name)
    }

    /// Whether its owner is the name at `at` in the message, case apart.
    pub(crate) fn is_of(&self, at: usize) -> bool {
        same(self.message, self.owner_at, at)
    }

    /// The message that it stands in.
    pub(super) fn message(&self) -> &'a [u8] {
        self.message
    }

    /// The record at `at`, and where the next one begins.
    fn read(message: &'a [u8], at: usize, section: Section) -> Option<(Self, usize)> {
        let fixed = skip(message, at)?;
        let rest = message.get(fixed..)?;
        let (&[t0, t1, c0, c1, l0, l1, l2, l3, r0, r1], rest) = rest.split_first_chunk()?;
        let rdata = rest.get(..u16::from_be_bytes([r0, r1]).into())?;
        let rdata_at = fixed + 10;
        let record = Self {
            message,
            section,
            owner_at: at,
            rtype: Qtype(u16::from_be_bytes([t0, t1])),
            class: Qclass(u16::from_be_bytes([c0, c1])),
            ttl: u32::from_be_bytes([l0, l1, l2, l3]),
            rdata_at,
            rdata,
        };
        Some((record, rdata_at + rdata.len()))
    }
}

/// The records of a message in their order: at most as many as the header counts and the octets hold.
///
/// Where a record ends cannot be known once one is cut, so reading stops there: see [`Self::is_cut`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    message: &'a [u8],
    at: usize,
    left: [u16; 3],
    is_cut: bool,
}

impl<'a> Records<'a> {
    pub(super) fn new(message: &Message<'a>) -> Self {
        let (octets, at) = (message.octets(), message.behind_questions());
        let is_cut = at.is_none();
        let left = if is_cut { [0; 3] } else { message.counts() };
        Self { message: octets, at: at.unwrap_or(0), left, is_cut }
    }

    /// Whether reading stopped at octets that are no record; known at the end.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let (left, section) = match &mut self.left {
            [0, 0, 0] => return None,
            [0, 0, left] => (left, Section::Additional),
            [0, left, _] => (left, Section::Authority),
            [left, ..] => (left, Section::Answer),
        };
        *left -= 1;
        let read = Record::read(self.message, self.at, section);
        match read {
            Some((_, next)) => self.at = next,
            None => (self.left, self.is_cut) = ([0; 3], true),
        }
        read.map(|(record, _)| record)
    }
}
