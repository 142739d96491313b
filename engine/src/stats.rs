//! Counters that add up.
//!
//! ```text
//! generated = sent + dropped(by errno)
//! received  = valid + segments + invalid(by reason) + ARP    and beside it: ring drops, which nobody saw
//! valid     = first + duplicate + late + refused + abandoned
//! ```
//!
//! The threads add to relaxed atomics, each on a cache line of its own; anyone may take a [`Counts`], a copy in which each
//! number is exact and the sums hold once the threads have ended.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use crossbeam_utils::CachePadded;

use crate::{
    answered::MAX_RETRIES,
    link::{Screened, Sent},
    probe::{Invalid, KINDS},
    tcp,
    wire::Malformed,
};

macro_rules! counters {
    ($(#[$outer:meta])* $name:ident { $($(#[$doc:meta])* $field:ident,)* }) => {
        $(#[$outer])*
        /// What a scan has counted so far. The groups add up: see the [module](self).
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        pub struct Counts { $($(#[$doc])* pub $field: u64,)*
            /// Probes made, by attempt; what the link dropped of them is not taken off.
            pub made_by_attempt: [u64; MAX_RETRIES as usize + 1],
            /// First answers, by the attempt they answer.
            pub answered_by_attempt: [u64; MAX_RETRIES as usize + 1],
            /// First answers of which nothing else is kept, by kind.
            pub answered_by_kind: [u64; KINDS],
        }

        /// The shared form of [`Counts`].
        #[derive(Debug, Default)]
        pub struct $name { $($(#[$doc])* pub $field: CachePadded<Counter>,)*
            /// See [`Counts::made_by_attempt`].
            pub made_by_attempt: CachePadded<[Counter; MAX_RETRIES as usize + 1]>,
            /// See [`Counts::answered_by_attempt`].
            pub answered_by_attempt: CachePadded<[Counter; MAX_RETRIES as usize + 1]>,
            /// See [`Counts::answered_by_kind`].
            pub answered_by_kind: CachePadded<[Counter; KINDS]>,
        }

        impl $name {
            /// A copy of all numbers.
            pub fn counts(&self) -> Counts {
                Counts { $($field: self.$field.load(),)*
                    made_by_attempt: std::array::from_fn(|i| self.made_by_attempt[i].load()),
                    answered_by_attempt: std::array::from_fn(|i| self.answered_by_attempt[i].load()),
                    answered_by_kind: std::array::from_fn(|i| self.answered_by_kind[i].load()),
                }
            }
        }

        impl Counts {
            /// Each scalar number with its name, in order: for a summary that cannot forget one.
            pub fn fields(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field),)*]
            }

            /// What two scans have counted together.
            #[must_use]
            pub fn plus(&self, other: &Self) -> Self {
                Self { $($field: self.$field + other.$field,)*
                    made_by_attempt: std::array::from_fn(|i| self.made_by_attempt[i] + other.made_by_attempt[i]),
                    answered_by_attempt: std::array::from_fn(|i| self.answered_by_attempt[i] + other.answered_by_attempt[i]),
                    answered_by_kind: std::array::from_fn(|i| self.answered_by_kind[i] + other.answered_by_kind[i]),
                }
            }
        }
    };
}

counters! {
    Counters {
        /// Frames made: probes, resets, segments of connections, and ARP requests before the scan.
        generated,
        /// Frames that the link took.
        sent,
        /// Of them, probes.
        probes,
        /// Of them, resets that closed what a probe had opened.
        resets,
        /// Of them, segments of connections, with their resets.
        segments_sent,
        /// Of them, ARP requests.
        arp_requests,
        /// Frames not sent: the device's queue stayed full (ENOBUFS, EAGAIN).
        dropped_busy,
        /// Frames not sent: longer than the link carries (EMSGSIZE).
        dropped_too_long,
        /// Frames not sent: forbidden by the system (EPERM, EACCES).
        dropped_forbidden,
        /// Frames not sent for any other reason.
        dropped_other,
        /// Frames that left the XDP program and for which the device had no room.
        dropped_redirect,
        /// Resets that were owed and not sent: the list of them was full, or the device had no room for one that the program made.
        resets_skipped,
        /// Frames that the link showed us.
        received,
        /// Of them, answers to our probes.
        valid,
        /// Of the valid, the first answer of its target: these become records.
        first,
        /// Of the valid, a further answer of a target that had answered.
        duplicate,
        /// Of the valid, an answer to a target that was already final.
        late,
        /// Of the valid, first answers that found the record queue full; a retry may bring them again.
        refused,
        /// Of the valid, first answers of which nothing was told, since the scan was stopped while their connection was under way.
        abandoned,
        /// Connections that answers opened.
        connections,
        /// Of the frames received, segments of connections after their SYN-ACK.
        segments,
        /// Of the segments, those for which there was no buffer or too much was missing before them; their hosts say them again.
        segments_refused,
        /// Of the segments, those far from what was expected.
        segments_ignored,
        /// Of the segments, those that only who guesses would send, or a host that has lost its memory.
        segments_suspicious,
        /// Requests sent again because nobody acknowledged them.
        requests_resent,
        /// Frames that are not what they claim to be.
        invalid_malformed,
        /// Frames for our ports whose number no probe of ours carries.
        invalid_cookie,
        /// Frames that answer a target which this scan has not asked.
        invalid_target,
        /// Acknowledgements of connections that are not ours (RFC 5961 challenges among them).
        invalid_challenge,
        /// Frames of a kind that is no answer.
        invalid_kind,
        /// Frames for other addresses or ports.
        invalid_not_for_us,
        /// ARP frames, requests of others and answers to us.
        arp_received,
        /// Frames that arrived and were lost before we could look (the receive ring was full).
        ring_drops,
        /// On-link targets that nobody answers ARP for, and the record queue had no room to say so.
        untold,
        /// Targets that never answered, known once the cooldown of their last attempt is over.
        silent,
        /// On-link targets that were not probed because nobody answered ARP for them.
        no_neighbour,
        /// Times that the sender stopped for a full record queue.
        pauses,
        /// Times that new probes were slowed because first attempts were lost.
        slowdowns,
        /// Times that the rate was halved because an allowance of the network was exceeded.
        throttled,
        /// Times that a sender was called over 5 ms too late, so that the rate could not be kept.
        stalls,
        /// How long it was late then, all together, in microseconds.
        stalled_us,
    }
}

impl Counts {
    /// Frames that were made and not sent, for whatever reason.
    pub fn dropped(&self) -> u64 {
        self.dropped_busy
            + self.dropped_too_long
            + self.dropped_forbidden
            + self.dropped_other
            + self.dropped_redirect
    }

    /// Frames that arrived and were no answer.
    pub fn invalid(&self) -> u64 {
        self.invalid_malformed
            + self.invalid_cookie
            + self.invalid_target
            + self.invalid_challenge
            + self.invalid_kind
            + self.invalid_not_for_us
    }

    /// The share of what was made that is known to be lost on this machine: send drops, ring drops and refused answers.
    pub fn loss(&self) -> f64 {
        if self.generated == 0 {
            return 0.0;
        }
        (self.dropped() + self.ring_drops + self.refused + self.untold) as f64
            / self.generated as f64
    }
}

/// One number that the threads add to and anyone reads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// As [`Self::add`]; whoever loads the sum after it sees what was done before.
    pub(crate) fn add_after(&self, n: u64) {
        self.0.fetch_add(n, Release);
    }

    pub(crate) fn load_before(&self) -> u64 {
        self.0.load(Acquire)
    }

    /// Takes off `n` of what was added.
    fn take_off(&self, n: u64) {
        self.0.fetch_sub(n, Relaxed);
    }

    /// What it is now.
    pub fn load(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Counters {
    /// Counts one batch that the link has dealt with.
    pub fn batch(&self, sent: Sent) {
        self.generated.add(u64::from(sent.sent + sent.dropped));
        self.sent.add(u64::from(sent.sent));
        if sent.dropped > 0 {
            let counter = match sent.errno {
                libc::ENOBUFS | libc::EAGAIN => &self.dropped_busy,
                libc::EMSGSIZE => &self.dropped_too_long,
                libc::EPERM | libc::EACCES => &self.dropped_forbidden,
                _ => &self.dropped_other,
            };
            counter.add(u64::from(sent.dropped));
        }
    }

    /// Takes `probes` off what was sent: the link had taken them, and lost them after.
    pub fn lost(&self, probes: u64) {
        self.dropped_redirect.add(probes);
        self.sent.take_off(probes);
        self.probes.take_off(probes);
    }

    /// Counts what the link judged by itself since it had judged `before`.
    pub fn screened(&self, now: Screened, before: Screened) {
        let Screened { cookie, challenge, kind, resets, resets_lost } = now;
        let mut received = 0;
        for (counter, now, before) in [
            (&self.invalid_cookie, cookie, before.cookie),
            (&self.invalid_challenge, challenge, before.challenge),
            (&self.invalid_kind, kind, before.kind),
        ] {
            counter.add(now.saturating_sub(before));
            received += now.saturating_sub(before);
        }
        self.received.add(received);
        let resets = resets.saturating_sub(before.resets);
        self.generated.add(resets);
        self.sent.add(resets);
        self.resets.add(resets);
        // They were counted as sent before their loss was known.
        let lost = resets_lost.saturating_sub(before.resets_lost);
        self.resets_skipped.add(lost);
        for counter in [&self.generated, &self.sent, &self.resets] {
            counter.take_off(lost);
        }
    }

    /// Counts a frame that did not parse.
    pub fn malformed(&self, _why: Malformed) {
        self.invalid_malformed.add(1);
    }

    /// Counts a packet that is no answer.
    pub fn invalid(&self, why: Invalid) {
        let counter = match why {
            Invalid::Challenge => &self.invalid_challenge,
            Invalid::Cookie => &self.invalid_cookie,
            Invalid::Damaged => &self.invalid_malformed,
            Invalid::Kind => &self.invalid_kind,
            Invalid::NotForUs => &self.invalid_not_for_us,
        };
        counter.add(1);
    }

    /// Counts what connections have counted since they had counted `before`.
    pub fn flows(&self, now: tcp::Counts, before: tcp::Counts) {
        for (counter, now, before) in [
            (&self.requests_resent, now.resent, before.resent),
            (&self.segments_refused, now.no_buffer, before.no_buffer),
            (&self.segments_refused, now.too_many_holes, before.too_many_holes),
            (&self.segments_ignored, now.ignored, before.ignored),
            (&self.segments_suspicious, now.suspicious, before.suspicious),
            (&self.resets_skipped, now.strays_skipped, before.strays_skipped),
        ] {
            counter.add(now - before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_adds_up_whatever_became_of_it() {
        let counters = Counters::default();
        for errno in [0, libc::ENOBUFS, libc::EMSGSIZE, libc::EPERM, libc::EIO] {
            counters.batch(Sent { sent: 60, dropped: 4, errno, ..Sent::default() });
        }
        let counts = counters.counts();
        assert_eq!(counts.generated, counts.sent + counts.dropped());
        assert_eq!((counts.generated, counts.dropped_busy, counts.dropped_other), (320, 4, 8));
    }

    #[test]
    fn what_the_link_lost_afterwards_was_not_sent() {
        let counters = Counters::default();
        counters.batch(Sent { sent: 64, ..Sent::default() });
        counters.probes.add(64);
        counters.lost(3);
        let counts = counters.counts();
        assert_eq!((counts.sent, counts.probes, counts.dropped_redirect), (61, 61, 3));
        assert_eq!(counts.generated, counts.sent + counts.dropped());
    }

    #[test]
    fn what_the_link_judged_is_counted_once() {
        let counters = Counters::default();
        let mut before = Screened::default();
        for factor in 1..=3 {
            let now = Screened {
                cookie: 5,
                challenge: 3,
                kind: 2,
                resets: 7 * factor,
                resets_lost: 2 * (factor - 1),
            };
            counters.screened(now, before);
            before = now;
        }
        let counts = counters.counts();
        assert_eq!((counts.invalid(), counts.received), (10, 10));
        assert_eq!((counts.resets, counts.sent, counts.generated), (17, 17, 17));
        assert_eq!(counts.resets_skipped, 4);
    }

    #[test]
    fn loss_counts_what_this_machine_lost() {
        let counts = Counts {
            generated: 1_000,
            dropped_busy: 1,
            ring_drops: 2,
            refused: 1,
            ..Counts::default()
        };
        assert!((counts.loss() - 0.004).abs() < 1e-9);
        assert!(Counts::default().loss().abs() < 1e-9);
    }

    #[test]
    fn two_scans_add_up_field_by_field() {
        let counters = Counters::default();
        counters.batch(Sent { sent: 60, dropped: 4, errno: libc::EIO, ..Sent::default() });
        counters.made_by_attempt[1].add(5);
        let once = counters.counts();
        let twice = once.plus(&once);
        assert_eq!((twice.sent, twice.dropped(), twice.made_by_attempt[1]), (120, 8, 10));
        let doubled = once.fields().into_iter().map(|(name, value)| (name, 2 * value));
        assert_eq!(twice.fields(), doubled.collect::<Vec<_>>());
    }

    #[test]
    fn no_field_is_missing_from_the_list() {
        let fields = Counts::default().fields();
        assert!(fields.iter().any(|(name, _)| *name == "ring_drops"));
        let arrays = 2 * (MAX_RETRIES as usize + 1) + KINDS;
        assert_eq!(size_of::<Counts>() / 8, fields.len() + arrays);
    }
}
