//! Whatever does not answer for a while: told when it begins and when it is over, and not each time it is tried.
//!
//! ```text
//!  errors of a step --> by what failed: the store, a queue, the fleet
//!                         new      --> Told::Begun, once
//!                         known    --> counted
//!                         calm for a while --> Told::Over: how long it took, how often it was tried
//! ```
//!
//! One success is no sign that an outage is over: a part that has nothing to send does not notice that its queue is away. Calm is
//! longer than the rarest retry.

use std::{collections::BTreeMap, time::Duration};

use mrpf_ports::{
    QueueError, StoreError,
    clock::{after, between},
};
use mrpf_records::Timestamp;

use crate::{Cause, ManagerError};

/// What fails at present.
#[derive(Debug)]
pub(crate) struct Outages {
    calm: Duration,
    open: BTreeMap<String, Outage>,
}

#[derive(Debug)]
struct Outage {
    first: Timestamp,
    last: Timestamp,
    failures: u64,
}

/// What people are to be told.
#[derive(Debug)]
pub(crate) enum Told {
    /// Something fails that did not.
    Begun(ManagerError),
    /// It has not failed for a while.
    Over {
        /// What.
        what: String,
        /// From the first failure to the last.
        lasted: Duration,
        /// How often it was tried in vain.
        failures: u64,
    },
}

impl Outages {
    /// An outage is over when nothing has failed for `calm`.
    pub(crate) fn new(calm: Duration) -> Self {
        Self { calm, open: BTreeMap::new() }
    }

    /// Takes in the errors of a step that ended at `now`.
    pub(crate) fn note(&mut self, errors: &[ManagerError], now: Timestamp) -> Vec<Told> {
        let mut told = Vec::new();
        for error in errors {
            let fresh = || Outage { first: now, last: now, failures: 0 };
            let outage = self.open.entry(what(error)).or_insert_with(fresh);
            if outage.failures == 0 {
                told.push(Told::Begun(error.clone()));
            }
            outage.failures += 1;
            outage.last = now;
        }
        self.open.retain(|what, &mut Outage { first, last, failures }| {
            let fails_still = now < after(last, self.calm);
            if !fails_still {
                let (what, lasted) = (what.clone(), between(first, last));
                told.push(Told::Over { what, lasted, failures });
            }
            fails_still
        });
        told
    }
}

/// Errors with the same cause are one outage, whichever part of the manager meets it.
fn what(error: &ManagerError) -> String {
    match &error.cause {
        Cause::Fleet(_) => "fleet".to_owned(),
        Cause::Queue(
            QueueError::LeaseLost { queue }
            | QueueError::TooLarge { queue, .. }
            | QueueError::Unavailable { queue, .. },
        ) => format!("{queue} queue"),
        // What is stored and what one part makes of it, and not the way to the store.
        Cause::Store(StoreError::Corrupt(_) | StoreError::Fenced | StoreError::Version { .. }) => {
            format!("store ({})", error.part)
        }
        Cause::Store(_) => "store".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use mrpf_ports::FleetError;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_micros(seconds * 1_000_000)
    }

    fn queue(name: &str) -> ManagerError {
        let (queue, why) = (name.to_owned(), "503".to_owned());
        ManagerError::outbox(QueueError::Unavailable { queue, why })
    }

    fn lines(told: Vec<Told>) -> Vec<String> {
        let line = |told| match told {
            Told::Begun(error) => format!("begun: {error}"),
            Told::Over { what, lasted, failures } => {
                format!("over: {what}, {} s, {failures} times", lasted.as_secs())
            }
        };
        told.into_iter().map(line).collect()
    }

    #[test]
    fn an_outage_is_two_lines_however_often_it_is_tried_and_by_whom() {
        let mut outages = Outages::new(Duration::from_secs(45));
        let gone = || StoreError::Unavailable("connection refused".to_owned());
        let mut told = Vec::new();
        for second in 0..=30 {
            let errors = [ManagerError::intake(gone()), ManagerError::dispatch(gone())];
            told.extend(outages.note(&errors, at(second)));
        }
        for second in 31..200 {
            told.extend(outages.note(&[], at(second)));
        }
        let expected = ["begun: intake: store: connection refused", "over: store, 30 s, 62 times"];
        assert_eq!(lines(told), expected);
        assert_eq!(lines(outages.note(&[ManagerError::intake(gone())], at(200))).len(), 1);
    }

    #[test]
    fn a_queue_that_is_tried_now_and_then_is_one_outage() {
        let mut outages = Outages::new(Duration::from_secs(45));
        let mut told = Vec::new();
        for second in 0..180 {
            let errors = if second % 30 == 0 { vec![queue("external")] } else { Vec::new() };
            told.extend(outages.note(&errors, at(second)));
        }
        assert_eq!(lines(told), ["begun: outbox: external queue: 503"]);
        assert_eq!(lines(outages.note(&[], at(195))), ["over: external queue, 150 s, 6 times"]);
    }

    #[test]
    fn what_fails_apart_is_told_apart() {
        let mut outages = Outages::new(Duration::from_secs(45));
        let corrupt = || StoreError::Corrupt("no such state".to_owned());
        let errors = [
            queue("external"),
            queue("internal"),
            ManagerError::slots(FleetError("403".to_owned())),
            ManagerError::slots(corrupt()),
            ManagerError::dispatch(corrupt()),
        ];
        assert_eq!(outages.note(&errors, at(0)).len(), 5);
        assert_eq!(outages.note(&errors, at(1)).len(), 0);
    }
}
