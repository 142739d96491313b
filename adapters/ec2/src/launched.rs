//! What this process has launched, for the minutes in which EC2 may not show it.
//!
//! DescribeInstances is eventually consistent: an instance that RunInstances has given may be missing from it for a while, and an
//! instance just ended may still be shown as live. Whoever believed that would launch a second one, or leave the first alone.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How long EC2 is not believed when it shows nothing. By then it is long settled.
pub(crate) const UNSEEN: Duration = Duration::from_secs(5 * 60);

/// An instance that this process was given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Given {
    pub(crate) id: String,
    pub(crate) at: Instant,
    /// It was ended since.
    pub(crate) is_ended: bool,
}

/// What was given for which slot and generation.
#[derive(Debug, Default)]
pub(crate) struct Launched(BTreeMap<(u32, u32), Given>);

impl Launched {
    /// An instance was given for a slot.
    pub(crate) fn note(&mut self, slot: (u32, u32), given: Given) {
        self.0.insert(slot, given);
    }

    /// An instance was ended.
    pub(crate) fn end(&mut self, id: &str) {
        for given in self.0.values_mut().filter(|given| given.id == id) {
            given.is_ended = true;
        }
    }

    /// What was given for a slot.
    pub(crate) fn of(&self, slot: (u32, u32)) -> Option<&Given> {
        self.0.get(&slot)
    }

    /// Whether an instance was given a moment ago, and not ended.
    pub(crate) fn is_fresh(&self, id: &str) -> bool {
        self.0.values().any(|given| given.id == id && !given.is_ended)
    }

    /// All, with their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = ((u32, u32), &Given)> {
        self.0.iter().map(|(slot, given)| (*slot, given))
    }

    /// Forgets what EC2 must know by now.
    pub(crate) fn settle(&mut self, now: Instant) {
        self.0.retain(|_, given| now.saturating_duration_since(given.at) < UNSEEN);
    }
}
