//! What two answers have in common.

use std::hash::{DefaultHasher, Hasher};

use super::{
    HEADER, MAX_NAME, Message, Name, Qtype, Section,
    rdata::{Field, Fields, fields},
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
            let mut hasher = DefaultHasher::new();
            hasher.write_u16(record.rtype.0);
            match fields(&record) {
                Some(fields) => hash_fields(record.message(), fields, &mut hasher),
                None => hasher.write(record.rdata),
            }
            answers.insert(hasher.finish() as u32);
        }
        answers
    }
}

/// Hashes fields, names as they are without pointers and in lower case.
fn hash_fields(message: &[u8], fields: Fields<'_>, hasher: &mut DefaultHasher) {
    for (field, range) in fields {
        match field {
            Field::Name => {
                let Some((name, _)) = Name::read(message, range.start) else { continue };
                let mut folded = [0; MAX_NAME];
                let (folded, _) = folded.split_at_mut(name.as_wire().len());
                folded.copy_from_slice(name.as_wire());
                folded.make_ascii_lowercase();
                hasher.write(folded);
            }
            _ => hasher.write(message.get(range).unwrap_or_default()),
        }
    }
}
