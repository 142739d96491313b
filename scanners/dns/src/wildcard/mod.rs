//! Is an answer the name's own, or a wildcard's (RFC 4592)?
//!
//! ```text
//!  judge(b.a.example.com, root example.com)        answers of names that nobody has made
//!                                                            v
//!   example.com      <- x7f3....example.com     { }  or  { 198.18.0.1 }  or  { .1 .2 .3 ... growing }
//!   a.example.com    <- k90q....a.example.com        top-down, only as far as the name's answers are not yet
//!                                                    explained
//! ```
//!
//! A level is tested once for all names below it. A name whose records are all in the pool of a level is wild, whatever
//! lies between; so in a zone with a wildcard no level below the first is tested for the names that it makes up. What
//! differs from the pool is the name's own only once it is known that the pool has been seen whole: a pool that takes
//! turns is drawn from until nothing new has come for long, and one that never ends leaves the names below it undecided.
//!
//! # What holds
//!
//! - Nothing is called wild that was not seen among the answers to names that cannot exist.
//! - A test that fails says nothing: it is asked again under another label, and a level without an answer at all leaves names
//!   undecided.
//! - The state is bounded; what was not used for longest is forgotten, and tested again when it is needed.
//!
//! A record that is there by hand and by wildcard in the same form is called wild: no answer tells the two apart.

mod level;
mod levels;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    hash::{Hash, Hasher},
};

use siphasher::sip::SipHasher24;

use self::{
    level::{Match, Next},
    levels::Levels,
};
use crate::message::{Answers, Name, Qtype, labels, parent};

/// What [`Wildcards::judge`] says of a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Its answers are its own.
    Real,
    /// They are a wildcard's.
    Wild,
    /// It cannot be said.
    Unknown,
    /// It is not known yet: [`Wildcards::released`] will give the ticket.
    Hold,
}

/// Which test a question is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Tag {
    level: u32,
    /// Levels are used again; an answer to a test of an earlier one says nothing of the present one.
    generation: u32,
}

impl From<Tag> for u64 {
    fn from(tag: Tag) -> Self {
        Self::from(tag.generation) << 32 | Self::from(tag.level)
    }
}

impl From<u64> for Tag {
    fn from(number: u64) -> Self {
        Self { level: number as u32, generation: (number >> 32) as u32 }
    }
}

/// Whose answers are whose.
#[derive(Debug)]
pub struct Wildcards {
    levels: Levels,
    key: [u8; 16],
    /// Numbers the labels that were made up.
    drawn: u64,
    /// Tests to be asked: a level, its name, and how many.
    tests: VecDeque<Test>,
    released: VecDeque<(u32, Verdict)>,
    held: usize,
}

#[derive(Debug)]
struct Test {
    tag: Tag,
    parent: Box<[u8]>,
    qtype: Qtype,
    count: u32,
}

/// A name that waits for a level.
#[derive(Debug)]
struct Held {
    ticket: u32,
    name: Box<[u8]>,
    root: u8,
    qtype: Qtype,
    answers: Answers,
}

impl Wildcards {
    /// Remembers about `levels` levels of names. The key draws labels that nobody can foresee.
    pub fn new(levels: usize, key: [u8; 16]) -> Self {
        Self {
            levels: Levels::new(levels.max(1)),
            key,
            drawn: 0,
            tests: VecDeque::new(),
            released: VecDeque::new(),
            held: 0,
        }
    }

    /// Judges a name in wire form by its answers. `root_labels` says how many of its last labels are the domain below
    /// which it was looked for; where none was given, those of its parent.
    ///
    /// [`Verdict::Hold`] keeps `ticket`, which [`Self::released`] gives back with one of the other verdicts.
    #[inline]
    pub fn judge(
        &mut self,
        name: &[u8],
        root_labels: u8,
        qtype: Qtype,
        answers: &Answers,
        ticket: u32,
    ) -> Verdict {
        match self.descend(name, root_labels, qtype, answers) {
            Ok(verdict) => verdict,
            Err(level) => {
                let held =
                    Held { ticket, name: name.into(), root: root_labels, qtype, answers: *answers };
                self.hold(level, held);
                Verdict::Hold
            }
        }
    }

    /// Follows a name from its root; the error is the level that has to be waited for.
    fn descend(
        &mut self,
        name: &[u8],
        root_labels: u8,
        qtype: Qtype,
        answers: &Answers,
    ) -> Result<Verdict, u32> {
        // An alias or data that a wildcard has made are there; of nothing there is nothing to say.
        if answers.is_empty() {
            return Ok(Verdict::Real);
        }
        let depth = labels(name).count();
        let mut is_doubtful = false;
        for above in usize::from(root_labels).min(depth)..depth {
            let Some(ancestor) = suffix(name, depth - above) else { break };
            let key = self.level_key(ancestor, qtype);
            let is_root = above == usize::from(root_labels);
            let Some(number) = self.levels.find_or_add(key, is_root) else {
                return Ok(Verdict::Unknown);
            };
            let level = self.levels.get(number);
            let matched = level.matches(answers);
            let next = level.next(matched);
            match next {
                Next::Known if matched == Match::Wild => return Ok(Verdict::Wild),
                Next::Known => {}
                Next::Doubt => is_doubtful = true,
                Next::Wait => return Err(number),
                Next::Ask(count) => {
                    level.asked(count);
                    let tag = Tag { level: number, generation: level.generation };
                    self.tests.push_back(Test { tag, parent: ancestor.into(), qtype, count });
                    return Err(number);
                }
            }
        }
        Ok(if is_doubtful { Verdict::Unknown } else { Verdict::Real })
    }

    fn hold(&mut self, level: u32, held: Held) {
        self.held += 1;
        self.levels.hold(level, held);
    }

    /// The next test to be asked. [`Self::learnt`] or [`Self::failed`] follows.
    pub fn next_question(&mut self) -> Option<(Name, Qtype, Tag)> {
        loop {
            let test = self.tests.front_mut()?;
            test.count -= 1;
            let (tag, qtype, is_last) = (test.tag, test.qtype, test.count == 0);
            let label = draw(&self.key, self.drawn);
            self.drawn += 1;
            let mut wire = Vec::with_capacity(1 + label.len() + test.parent.len());
            wire.push(label.len() as u8);
            wire.extend_from_slice(&label);
            wire.extend_from_slice(&test.parent);
            let name = Name::from_wire(&wire);
            if is_last {
                self.tests.pop_front();
            }
            match name {
                Ok(name) => return Some((name, qtype, tag)),
                // Below a name of 255 octets there is none, and so no wildcard.
                Err(_) => self.learnt(tag, None),
            }
        }
    }

    /// Whether there are tests to be asked.
    pub fn has_questions(&self) -> bool {
        !self.tests.is_empty()
    }

    /// What a test has shown: `None` where the name does not exist or has no records of the type.
    pub fn learnt(&mut self, tag: Tag, answers: Option<Answers>) {
        self.ended(tag, |level| level.learnt(answers.filter(|answers| !answers.is_empty())));
    }

    /// A test has ended without an answer.
    pub fn failed(&mut self, tag: Tag) {
        self.ended(tag, level::Level::failed);
    }

    fn ended(&mut self, tag: Tag, change: impl FnOnce(&mut level::Level)) {
        let Some(level) = self.levels.current(tag) else { return };
        change(level);
        if level.is_busy() {
            return;
        }
        for held in self.levels.take_held(tag.level) {
            self.held -= 1;
            match self.descend(&held.name, held.root, held.qtype, &held.answers) {
                Ok(verdict) => self.released.push_back((held.ticket, verdict)),
                Err(level) => self.hold(level, held),
            }
        }
    }

    /// The next ticket whose name is judged.
    pub fn released(&mut self) -> Option<(u32, Verdict)> {
        self.released.pop_front()
    }

    /// How many tickets are held.
    pub fn held(&self) -> usize {
        self.held
    }

    /// A number for a level and a type; letters count in either case.
    fn level_key(&self, ancestor: &[u8], qtype: Qtype) -> u64 {
        let mut folded = [0; crate::message::MAX_NAME];
        let len = ancestor.len().min(folded.len());
        let (folded, _) = folded.split_at_mut(len);
        folded.copy_from_slice(ancestor.get(..len).unwrap_or_default());
        folded.make_ascii_lowercase();
        let mut hasher = SipHasher24::new_with_key(&self.key);
        qtype.0.hash(&mut hasher);
        hasher.write(folded);
        hasher.finish()
    }
}

/// A name without its first labels.
fn suffix(name: &[u8], without: usize) -> Option<&[u8]> {
    (0..without).try_fold(name, |name, _| parent(name))
}

/// A label of 16 letters and digits that nobody has made: 80 bits of a keyed hash.
fn draw(key: &[u8; 16], number: u64) -> [u8; 16] {
    let hash = |half: u8| {
        let mut hasher = SipHasher24::new_with_key(key);
        hasher.write_u64(number);
        hasher.write_u8(half);
        hasher.finish()
    };
    let (first, second) = (hash(0), hash(1));
    std::array::from_fn(|at| {
        let bits = if at < 8 { first } else { second };
        b"abcdefghijklmnopqrstuvwxyz234567"[(bits >> (5 * (at % 8)) & 31) as usize]
    })
}
