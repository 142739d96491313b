//! What two answers have in common.

use super::{
    HEADER, MAX_LABEL, Message, Qtype, Record, Section,
    labels::Walk,
    rdata::{Field, Fields, has_names},
};

/// A digest of the records of an answer: their types and data, not their owners, times or order.
///
/// Two names that one wildcard answers have the same digest, or digests that overlap where the wildcard takes turns. Names in
/// the data are decompressed and folded. Signatures are left out: they say when, not what.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Answers {
    /// The smallest hashes, in order.
    hashes: [u32; Self::KEPT],
    kept: u8,
    /// There were more than are kept.
    has_more: bool,
}

impl Answers {
    /// So many records are told apart; of more, those with the smallest hashes, which are the same ones in every answer.
    pub const KEPT: usize = 8;

    /// The hashes that are kept, in order, each once.
    pub fn hashes(&self) -> &[u32] {
        self.hashes.get(..self.kept.into()).unwrap_or(&self.hashes)
    }

    /// Whether no record was there.
    pub fn is_empty(&self) -> bool {
        self.kept == 0
    }

    /// Whether a record is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.hashes().iter().any(|hash| other.hashes().contains(hash))
    }

    /// Whether all records are in `other`, as far as the digests tell.
    pub fn is_subset(&self, other: &Self) -> bool {
        // What is above the last that was kept may be there all the same.
        let beyond = |hash: u32| other.has_more && other.hashes().last() < Some(&hash);
        self.hashes().iter().all(|&hash| other.hashes().contains(&hash) || beyond(hash))
    }

    /// Adds the records of `other`.
    pub fn absorb(&mut self, other: &Self) {
        other.hashes().iter().for_each(|hash| self.insert(*hash));
        self.has_more |= other.has_more;
    }

    fn insert(&mut self, hash: u32) {
        let Err(place) = self.hashes().binary_search(&hash) else { return };
        if place == Self::KEPT {
            self.has_more = true;
            return;
        }
        if usize::from(self.kept) == Self::KEPT {
            self.has_more = true;
        } else {
            self.kept += 1;
        }
        if let Some(tail) = self.hashes.get_mut(place..self.kept.into()) {
            tail.rotate_right(1);
            tail.iter_mut().take(1).for_each(|first| *first = hash);
        }
    }
}

impl Message<'_> {
    /// The digest of the answer section's records of the name that was asked for. What stands behind an alias is its target's,
    /// and the same for whoever points there; a DNAME (RFC 6672), which stands for all names below its own, counts.
    pub fn digest(&self) -> Answers {
        let mut answers = Answers::default();
        for record in self.records().take_while(|record| record.section == Section::Answer) {
            let is_signature = matches!(record.rtype, Qtype::RRSIG | Qtype::SIG);
            if is_signature || !(record.rtype == Qtype::DNAME || record.is_of(HEADER)) {
                continue;
            }
            let named = has_names(&record).then(|| Mixed::of_fields(&record)).flatten();
            answers.insert(named.unwrap_or_else(|| Mixed::of_octets(&record)).hash());
        }
        answers
    }
}

/// A hash of data that nobody gains from forging: who answers for two names can make the answers equal as it is.
struct Mixed(u64);

impl Mixed {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// Octets, and how many.
    fn octets(&mut self, octets: &[u8]) {
        let (words, rest) = octets.as_chunks::<8>();
        words.iter().for_each(|word| self.add(u64::from_le_bytes(*word)));
        let last = rest.iter().fold(0, |last, octet| last << 8 | u64::from(*octet));
        self.add(last << 8 | octets.len() as u64 & 0xff);
    }

    /// A record by the octets of its data.
    fn of_octets(record: &Record<'_>) -> Self {
        let mut mixed = Self(record.rtype.0.into());
        mixed.octets(record.rdata);
        mixed
    }

    /// A record by the fields of its data, names as they are without pointers and in lower case; `None` if its data do not
    /// have the form of its type.
    fn of_fields(record: &Record<'_>) -> Option<Self> {
        let mut mixed = Self(record.rtype.0.into());
        let mut fields = Fields::unchecked(record)?;
        for (field, range) in fields.by_ref() {
            if field != Field::Name {
                mixed.octets(record.message().get(range)?);
                continue;
            }
            for label in Walk::new(record.message(), range.start) {
                let mut folded = [0; MAX_LABEL];
                let folded = folded.get_mut(..label.len())?;
                folded.copy_from_slice(label);
                folded.make_ascii_lowercase();
                mixed.octets(folded);
            }
            mixed.add(0);
        }
        fields.is_whole().then_some(mixed)
    }

    fn hash(self) -> u32 {
        let mixed = (self.0 ^ self.0 >> 32).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 32) as u32
    }
}
