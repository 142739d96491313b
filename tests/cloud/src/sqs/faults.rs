//! What an at-least-once queue may do to its clients, on purpose.

use std::time::Duration;

use crate::draw::{draw, happens};

/// What goes wrong, and how often. Drawn from the seed and the delivery, so it does not depend on who receives when.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct QueueFaults {
    /// Deliveries in a hundred after which the message is in the queue a second time: deleting the one leaves the other.
    pub duplicates: u8,
    /// Deliveries in a hundred that hide the message from nobody, so that the next delivery makes their handles stale.
    pub stale: u8,
    /// Messages in a hundred that a short poll does not see: it asks a sample of the servers.
    pub missed_by_short_polls: u8,
    /// Messages come in no order.
    pub is_disordered: bool,
    /// How long a message that was sent is in the queue before anyone can receive it.
    pub appears_after: Duration,
    /// Another seed is another course of events.
    pub seed: u64,
}

impl QueueFaults {
    pub(super) fn is_duplicate(&self, message: u64, receives: u32) -> bool {
        happens(self.duplicates, draw(self.seed, 1, message, receives.into()))
    }

    pub(super) fn is_stale(&self, message: u64, receives: u32) -> bool {
        happens(self.stale, draw(self.seed, 2, message, receives.into()))
    }

    /// Where a message stands among those that are due.
    pub(super) fn place(&self, message: u64, receives: u32) -> u64 {
        if self.is_disordered { draw(self.seed, 3, message, receives.into()) } else { 0 }
    }

    /// Whether the short poll of this number misses a message.
    pub(super) fn is_missed(&self, message: u64, poll: u64) -> bool {
        happens(self.missed_by_short_polls, draw(self.seed, 4, message, poll))
    }
}
