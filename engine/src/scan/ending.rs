//! When a listener has nothing to wait for any more.
//!
//! ```text
//!  all was asked ---- until nothing is owed and nothing comes ----------------------> over
//!       |                  '-- longer than its patience: what is left is given up --> over, once the resets are sent
//!  stopped ---------- what is in flight is waited for a little -------'
//! ```

use super::listener::{LINGER, Listener};
use crate::time::Instant;

/// How far the end of one listener has come.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// Since when nothing more is asked.
    since: Option<Instant>,
    /// Since when what was not done is given up.
    given_up: Option<Instant>,
}

impl Ending {
    /// Whether `listener` is through at `now`. `is_sending` tells whether others ask more, unless the scan was stopped; `is_idle`
    /// whether nothing came and nothing is owed.
    pub(super) fn is_over(
        &mut self,
        listener: &mut impl Listener,
        now: Instant,
        is_sending: bool,
        is_idle: bool,
    ) -> bool {
        let is_stopped = listener.was_stopped();
        if !is_stopped && (is_sending || listener.is_asking()) {
            return false;
        }
        let mut since = *self.since.get_or_insert(now);
        if !is_stopped && listener.is_crowded() {
            // Nobody takes what was found: that is no reason to give up what was not.
            (since, self.since) = (now, Some(now));
        }
        if is_idle && (!is_stopped || now >= since + LINGER) {
            return true;
        }
        match self.given_up {
            // Others may send without end, and the governor may give nothing.
            Some(since) => is_idle || now >= since + LINGER,
            None if now >= since + listener.patience() => {
                listener.abandon();
                self.given_up = Some(now);
                false
            }
            None => false,
        }
    }

    /// When to look again, if nothing else happens before.
    pub(super) fn next(&self, listener: &impl Listener) -> Option<Instant> {
        let since = self.since?;
        Some(match self.given_up {
            Some(since) => since + LINGER,
            None if listener.was_stopped() => since + LINGER,
            None => since + listener.patience(),
        })
    }
}
