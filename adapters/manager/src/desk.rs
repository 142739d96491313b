//! What every part of the manager has at hand.

use std::{fmt, sync::Arc};

use mrpf_ports::{Fleet, ManagerStore, Queue, QueueName, StoreError};
use mrpf_tasks::{Registry, WorkerClass};

use crate::{Counts, Dice, Settings, transition::Policy};

/// The outside of a manager.
#[derive(Clone)]
pub struct Outside {
    /// What is kept.
    pub store: Arc<dyn ManagerStore>,
    /// Tasks for external workers.
    pub external: Arc<dyn Queue>,
    /// Tasks for internal workers.
    pub internal: Arc<dyn Queue>,
    /// Tasks for bare-metal workers.
    pub bare_metal: Arc<dyn Queue>,
    /// What workers tell.
    pub task_manager: Arc<dyn Queue>,
    /// Machines for bare-metal workers.
    pub fleet: Arc<dyn Fleet>,
}

impl Outside {
    /// Whether the store answers at all.
    pub(crate) fn reach_store(&self) -> Result<(), StoreError> {
        self.store.transaction(&mut |tx| tx.control().map(drop))
    }

    pub(crate) fn queue(&self, name: QueueName) -> &dyn Queue {
        match name {
            QueueName::External => &*self.external,
            QueueName::Internal => &*self.internal,
            QueueName::BareMetal => &*self.bare_metal,
            QueueName::TaskManager => &*self.task_manager,
        }
    }
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside").field("store", &self.store).finish_non_exhaustive()
    }
}

/// What a manager knows besides what is stored.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) registry: Registry,
    pub(crate) settings: Settings,
    pub(crate) dice: Dice,
    pub(crate) counts: Counts,
    /// Classes whose queue did not take what was sent last.
    pub(crate) trouble: Vec<WorkerClass>,
}

impl Desk {
    pub(crate) fn has_trouble(&self, class: WorkerClass) -> bool {
        self.trouble.contains(&class)
    }

    pub(crate) fn set_trouble(&mut self, class: WorkerClass, has: bool) {
        self.trouble.retain(|other| *other != class);
        if has {
            self.trouble.push(class);
        }
    }

    /// The times that decide, with a number drawn.
    pub(crate) fn policy(&mut self) -> Policy {
        let Settings { lease, grace, patience, .. } = self.settings;
        Policy { lease, grace, patience, dice: self.dice.roll() }
    }
}
