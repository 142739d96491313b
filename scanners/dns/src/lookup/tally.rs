//! What lookups have counted, beside the frames that the engine counts.
//!
//! ```text
//! ends    = answers + no_data + no_name + failures + timeouts + unreachable + truncated + malformed + invalid
//! queries = ends' first attempts + retries + again (without EDNS, in another case) + tests, and what is under way
//! ```
//!
//! One thread adds, anyone reads.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! tally {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// What the lookups of a thread have counted so far. See the [module](self).
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        pub struct Counted { $($(#[$doc])* pub $field: u64,)* }

        /// The shared form of [`Counted`].
        #[derive(Debug, Default)]
        pub struct Tally { $(pub(super) $field: Count,)* }

        impl Tally {
            /// A copy of all numbers.
            pub fn counted(&self) -> Counted {
                Counted { $($field: self.$field.0.load(Relaxed),)* }
            }
        }

        impl Counted {
            /// Each number with its name, in order: for a summary that cannot forget one.
            pub fn fields(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field),)*]
            }

            /// What two threads have counted together.
            #[must_use]
            pub fn plus(&self, other: &Self) -> Self {
                Self { $($field: self.$field + other.$field,)* }
            }
        }
    };
}

tally! {
    /// Questions that were taken and can be asked.
    questions,
    /// Ends that say what is there.
    answers,
    /// Ends that say that there is nothing of this type.
    no_data,
    /// Ends that say that there is no such name.
    no_name,
    /// Ends with a failure that a resolver told: SERVFAIL, REFUSED and the like.
    failures,
    /// Ends without an answer in time.
    timeouts,
    /// Ends without a way to a resolver.
    unreachable,
    /// Ends without the rest of an answer that is longer than a datagram.
    truncated,
    /// Ends with something that is no message.
    malformed,
    /// Ends of input that is no name.
    invalid,
    /// Of the answers, those that a wildcard made.
    wild,
    /// Questions that were under way when the scan was stopped: they have no end.
    cut_off,
    /// Ends that nobody had taken when the scan was over.
    untold,
    /// Queries over UDP that left.
    queries,
    /// Of the queries, those for a lookup that was asked before.
    retries,
    /// Of the queries, those that asked the same once more, without EDNS or in another case.
    again,
    /// Lookups of names made up to learn whether a parent is a wildcard.
    tests,
    /// Attempts that nothing came of in time.
    lost,
    /// Answers that say SERVFAIL.
    servfail,
    /// Answers that say REFUSED.
    refused,
    /// Answers that say that the rest takes TCP.
    cut_short,
    /// SYNs that left.
    syns,
    /// Connections that were opened.
    connections,
    /// Answers over TCP.
    over_tcp,
    /// Connections, or tries to open one, that brought no answer.
    tcp_failed,
    /// Near misses: answers to a query under way, from another address or port than that query was for.
    other_source,
    /// Near misses: they repeat the question in another case than it was sent.
    other_case,
    /// Near misses: they answer another question than the one that has their port and id.
    other_question,
    /// Near misses: datagrams to a port of ours with an id that no query under way has. Most forgeries end here.
    unasked,
    /// Answers to a query of a lookup that is over, or was asked some times since.
    late,
    /// Datagrams that are no responses.
    no_response,
}

/// One number that one thread adds to and anyone reads.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// Adds `n`: no other thread does.
    #[inline]
    pub(super) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed) + n, Relaxed);
    }
}

impl Counted {
    /// How many lookups have ended with a record.
    pub fn ends(&self) -> u64 {
        self.resolved()
            + self.failures
            + self.timeouts
            + self.unreachable
            + self.truncated
            + self.malformed
            + self.invalid
    }

    /// How many of them know what is there, nothing included.
    pub fn resolved(&self) -> u64 {
        self.answers + self.no_data + self.no_name
    }

    /// Datagrams that were almost an answer.
    pub fn near_misses(&self) -> u64 {
        self.other_source + self.other_case + self.other_question + self.unasked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_add_up_field_by_field() {
        let tally = Tally::default();
        tally.answers.add(3);
        tally.timeouts.add(2);
        tally.timeouts.add(2);
        let once = tally.counted();
        assert_eq!((once.ends(), once.resolved(), once.near_misses()), (7, 3, 0));
        let doubled = once.fields().into_iter().map(|(name, value)| (name, 2 * value));
        assert_eq!(once.plus(&once).fields(), doubled.collect::<Vec<_>>());
        assert_eq!(size_of::<Counted>() / 8, once.fields().len());
    }
}
