//! How a worker works.

use std::time::Duration;

use mrpf_tasks::WorkerClass;

use crate::idle::IdleTimeout;

/// See the fields; [`Settings::new`] has the values that suit most.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which tasks it takes.
    pub class: WorkerClass,
    /// Who it is, for people.
    pub name: String,
    /// How many tasks it runs at a time.
    pub slots: usize,
    /// How long a message stays hidden and a task held without a word from us.
    pub lease: Duration,
    /// How often messages are hidden anew, and an external worker says that it lives.
    pub heartbeat: Duration,
    /// How often the store is told that a run lives, and asked whether it is to stop.
    pub renewal: Duration,
    /// How long one poll waits for a message.
    pub poll_wait: Duration,
    /// How long running tasks may take once the worker is to stop.
    pub grace: Duration,
    /// How often a message is delivered before it goes to the dead letters.
    pub max_receives: u32,
    /// After how much time without a task the machine goes; `None` is never.
    pub idle: Option<IdleTimeout>,
}

impl Settings {
    /// A lease of a minute renewed every 20 s, polls of 20 s, stopped within 4 s. A bare-metal worker runs one task at a time and
    /// asks every 2 s whether it is to stop, so that no probe leaves 5 s after somebody wants none.
    pub fn new(class: WorkerClass, name: impl Into<String>) -> Self {
        let heartbeat = Duration::from_secs(20);
        let (slots, renewal) = match class {
            WorkerClass::External => (8, heartbeat),
            WorkerClass::Internal => (4, heartbeat),
            WorkerClass::BareMetal => (1, Duration::from_secs(2)),
        };
        Self {
            class,
            name: name.into(),
            slots,
            lease: Duration::from_secs(60),
            heartbeat,
            renewal,
            poll_wait: Duration::from_secs(20),
            grace: Duration::from_secs(4),
            max_receives: 10,
            idle: None,
        }
    }

    pub(crate) fn check(&self, has_store: bool, has_machine: bool) -> Result<(), SettingsError> {
        let class = self.class;
        if self.slots == 0 || (class == WorkerClass::BareMetal && self.slots > 1) {
            return Err(SettingsError::Slots { class, slots: self.slots });
        }
        let (beat, lease) = (self.heartbeat.max(self.renewal), self.lease);
        if self.heartbeat.is_zero() || self.renewal.is_zero() || beat.saturating_mul(3) > lease {
            return Err(SettingsError::Heartbeat { beat, lease });
        }
        if has_store == (class == WorkerClass::External) {
            return Err(SettingsError::Store(class));
        }
        if self.idle.is_some() && !has_machine {
            return Err(SettingsError::Machine);
        }
        if has_machine && !has_store {
            return Err(SettingsError::Store(class));
        }
        Ok(())
    }

    /// How often the keeper looks after what is held.
    pub(crate) fn tick(&self) -> Duration {
        self.heartbeat.min(self.renewal)
    }
}

/// Settings that contradict each other.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// A batch for a worker that has a machine of its own.
    #[error(
        "a worker of class {0} with batches: they are for external and internal workers, which have no machine"
    )]
    Batch(WorkerClass),
    /// A lease that one late heartbeat would lose.
    #[error(
        "a heartbeat every {beat:?} does not keep a lease of {lease:?}: make the lease three times as long, or more"
    )]
    Heartbeat {
        /// The slower of the heartbeats.
        beat: Duration,
        /// What it is to keep.
        lease: Duration,
    },
    /// An idle timeout without a machine to end.
    #[error(
        "an idle timeout needs a machine that can be switched off: give the worker its Machine"
    )]
    Machine,
    /// Too many tasks at a time, or none.
    #[error(
        "{slots} slots for a worker of class {class}: give 1 to a bare_metal worker, and 1 or more to others"
    )]
    Slots {
        /// Which class.
        class: WorkerClass,
        /// How many.
        slots: usize,
    },
    /// A store where there is to be none, or the other way round.
    #[error(
        "a worker of class {0}: external workers have no store and no machine, all others have a store"
    )]
    Store(WorkerClass),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_suits_most_is_in_order() {
        assert_eq!(Settings::new(WorkerClass::External, "e").check(false, false), Ok(()));
        assert_eq!(Settings::new(WorkerClass::Internal, "i").check(true, false), Ok(()));
        assert_eq!(Settings::new(WorkerClass::BareMetal, "b").check(true, true), Ok(()));
    }

    #[test]
    fn contradictions_are_refused() {
        let external = Settings::new(WorkerClass::External, "e");
        let raw = Settings::new(WorkerClass::BareMetal, "b");
        let idle = Some(IdleTimeout::default());
        let refused = |settings: Settings, has_store, has_machine| {
            settings.check(has_store, has_machine).unwrap_err().to_string()
        };
        assert!(refused(Settings { slots: 0, ..external.clone() }, false, false).contains("slots"));
        assert!(refused(Settings { slots: 2, ..raw.clone() }, true, false).contains("slots"));
        assert!(refused(external.clone(), true, false).contains("no store"));
        assert!(refused(raw.clone(), false, false).contains("have a store"));
        assert!(refused(external.clone(), false, true).contains("no machine"));
        assert!(refused(Settings { idle, ..raw.clone() }, true, false).contains("idle"));
        let lease = Duration::from_secs(59);
        assert!(refused(Settings { lease, ..raw.clone() }, true, false).contains("heartbeat"));
        assert!(
            refused(Settings { renewal: Duration::ZERO, ..raw }, true, false).contains("heartbeat")
        );
    }
}
