//! One level of names for one type: what a wildcard there answers, as far as it is known.
//!
//! ```text
//!  tests so far      all empty          answers, always the same         answers that take turns
//!  verdict           no wildcard        the same: wild                   all in the pool: wild
//!                                       others: real, after 12 tests     others: real, once nothing new has come for
//!                                                                        four draws a member, else undecided
//! ```

use crate::message::Answers;

use super::Held;

/// Tests below the domain that was given, at once: one that is wrongly empty must not decide over a million names.
const ROOT_TESTS: u32 = 3;
/// Tests of any level whose first answers.
const LEAST_TESTS: u32 = 3;
/// Before anything that differs from the pool is called real, so many tests in a row have added nothing: of two records that
/// take turns, one is missed by a chance of 1 in 2,048.
const LEAST_QUIET: u32 = 11;
/// Tests at once.
const BATCH: u32 = 16;
/// Tests of one level, at most; a pool that is not whole by then is endless.
const MOST_TESTS: u32 = 240;
/// Records of one pool, at most.
const MOST_POOL: usize = 96;
/// Failed tests of one level, at most.
const MOST_FAILURES: u32 = 3;
/// How many names pass before a level whose tests all failed is tested again.
const PAUSE: u32 = 256;

/// What is known of one level.
#[derive(Debug, Default)]
pub(super) struct Level {
    pub(super) generation: u32,
    pub(super) held: Vec<Held>,
    /// Hashes of the records that were seen, in order.
    pool: Vec<u32>,
    /// The largest of the answers, in records.
    shown: u32,
    is_root: bool,
    outstanding: u32,
    /// Tests that ended with an answer, whatever it was.
    done: u32,
    /// Those that had records.
    hits: u32,
    /// Those in a row that added nothing.
    quiet: u32,
    /// Something was added after the first that had records.
    takes_turns: bool,
    /// Tests in a row that failed.
    failures: u32,
    /// Names that passed since the tests failed.
    passed: u32,
}

/// How the answers of a name compare to a pool.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Match {
    /// They are the wildcard's.
    Wild,
    /// They may be those of a pool that has not been seen whole.
    Perhaps,
    /// Nothing is in common, and there is nothing to have in common.
    No,
}

/// What follows for the name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// The level has said all that it can, and it is certain.
    Known,
    /// It has said all that it can, and that is not enough.
    Doubt,
    /// Tests are on their way.
    Wait,
    /// So many tests are needed.
    Ask(u32),
}

impl Level {
    /// Forgets all and becomes another level.
    pub(super) fn reset(&mut self, is_root: bool) {
        let generation = self.generation.wrapping_add(1);
        let mut pool = std::mem::take(&mut self.pool);
        pool.clear();
        *self = Self { generation, pool, is_root, ..Self::default() };
    }

    /// Whether it has tests on their way, or names that wait.
    pub(super) fn is_busy(&self) -> bool {
        self.outstanding > 0
    }

    /// Whether nothing can be forgotten with it.
    pub(super) fn is_idle(&self) -> bool {
        self.outstanding == 0 && self.held.is_empty()
    }

    pub(super) fn asked(&mut self, count: u32) {
        self.outstanding += count;
    }

    pub(super) fn learnt(&mut self, answers: Option<Answers>) {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.done += 1;
        self.failures = 0;
        let Some(answers) = answers else {
            self.quiet += 1;
            return;
        };
        self.hits += 1;
        self.shown = self.shown.max(answers.hashes().len() as u32);
        let mut has_new = false;
        for hash in answers.hashes() {
            if let Err(place) = self.pool.binary_search(hash) {
                has_new = true;
                if self.pool.len() < MOST_POOL {
                    self.pool.insert(place, *hash);
                }
            }
        }
        self.takes_turns |= has_new && self.hits > 1;
        self.quiet = if has_new { 0 } else { self.quiet + 1 };
    }

    pub(super) fn failed(&mut self) {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.failures += 1;
    }

    pub(super) fn matches(&self, answers: &Answers) -> Match {
        let hashes = answers.hashes();
        let has = |hash: &u32| self.pool.binary_search(hash).is_ok();
        match hashes.iter().filter(|hash| has(hash)).count() {
            _ if self.hits == 0 => Match::No,
            0 => Match::Perhaps,
            common if common == hashes.len() => Match::Wild,
            // Of a pool that takes turns, the rest is what has not been seen yet.
            _ if self.takes_turns => Match::Wild,
            _ => Match::Perhaps,
        }
    }

    /// What a name that matches like this waits for.
    pub(super) fn next(&mut self, matched: Match) -> Next {
        if self.outstanding > 0 {
            return Next::Wait;
        }
        if matched == Match::Wild {
            return Next::Known;
        }
        let least = match self.hits {
            0 if self.is_root => ROOT_TESTS,
            0 => 1,
            _ => LEAST_TESTS,
        };
        let has_failed = self.failures >= MOST_FAILURES;
        if self.done < least && !has_failed {
            return Next::Ask(least - self.done);
        }
        if self.done == 0 {
            return self.rest();
        }
        if matched == Match::No || self.is_whole() {
            return Next::Known;
        }
        if has_failed || self.done >= MOST_TESTS {
            return Next::Doubt;
        }
        Next::Ask((self.needed() - self.quiet).clamp(1, BATCH.min(MOST_TESTS - self.done)))
    }

    /// All tests failed: names pass undecided, and after some of them it is tried again.
    fn rest(&mut self) -> Next {
        self.passed += 1;
        if self.passed >= PAUSE {
            (self.passed, self.failures) = (0, 0);
        }
        Next::Doubt
    }

    /// So many tests in a row that add nothing make a pool whole.
    fn needed(&self) -> u32 {
        if !self.takes_turns {
            return LEAST_QUIET;
        }
        // With one more record, as often shown as the others, so many draws would miss it by a chance of 1 in 50.
        let members = self.pool.len() as u32 + 1;
        (4 * members).div_ceil(self.shown.max(1)).max(LEAST_QUIET)
    }

    /// Whether all of the pool has been seen.
    fn is_whole(&self) -> bool {
        self.pool.len() < MOST_POOL && self.quiet >= self.needed()
    }
}
