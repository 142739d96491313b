//! What a task needs, and the kind of worker that has it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that not every worker has.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum WorkerRequirement {
    /// Direct access to `task_manager.task_data` and `task_manager.task_collection_data`.
    TaskDataAccess,
    /// Access to the Task Manager queue, for tasks that create tasks.
    QueueAccess,
    /// Access to the tables of `recon`.
    ReconDataAccess,
    /// Sends and receives raw packets.
    RawSocketAccess,
}

impl WorkerRequirement {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::TaskDataAccess, Self::QueueAccess, Self::ReconDataAccess, Self::RawSocketAccess];

    /// The word that tables use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TaskDataAccess => "TaskDataAccess",
            Self::QueueAccess => "QueueAccess",
            Self::ReconDataAccess => "ReconDataAccess",
            Self::RawSocketAccess => "RawSocketAccess",
        }
    }
}

/// A kind of worker: where it runs, and so what it can reach. Each has a queue of its own.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerClass {
    /// Outside the network of the database: calls public services.
    External,
    /// Beside the database: reads and changes what is stored.
    Internal,
    /// A machine with raw sockets, launched on demand.
    BareMetal,
}

impl WorkerClass {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::External, Self::Internal, Self::BareMetal];

    /// The word that messages and tables use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::External => "external",
            Self::Internal => "internal",
            Self::BareMetal => "bare_metal",
        }
    }
}

impl fmt::Display for WorkerClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for WorkerClass {
    type Err = UnknownClass;

    fn from_str(word: &str) -> Result<Self, UnknownClass> {
        let class = Self::ALL.into_iter().find(|class| class.as_str() == word);
        class.ok_or_else(|| UnknownClass(word.to_owned()))
    }
}

/// A word that names no class of workers.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no class of workers: external, internal or bare_metal")]
pub struct UnknownClass(String);

const fn has(requirements: &[WorkerRequirement], wanted: WorkerRequirement) -> bool {
    let mut at = 0;
    while at < requirements.len() {
        // `==` of a derived PartialEq is no const fn.
        if requirements[at] as u8 == wanted as u8 {
            return true;
        }
        at += 1;
    }
    false
}

/// Whether only a bare-metal worker will do.
pub const fn requires_raw_sockets(requirements: &[WorkerRequirement]) -> bool {
    has(requirements, WorkerRequirement::RawSocketAccess)
}

/// Whether an internal worker is needed: for stored data, and no raw sockets.
pub const fn requires_internal_worker(requirements: &[WorkerRequirement]) -> bool {
    !requires_raw_sockets(requirements)
        && (has(requirements, WorkerRequirement::TaskDataAccess)
            || has(requirements, WorkerRequirement::ReconDataAccess))
}

/// Where a task with these requirements runs. Every kind of worker can reach the Task Manager queue, so
/// [`WorkerRequirement::QueueAccess`] decides nothing.
pub const fn route(requirements: &[WorkerRequirement]) -> WorkerClass {
    if requires_raw_sockets(requirements) {
        WorkerClass::BareMetal
    } else if requires_internal_worker(requirements) {
        WorkerClass::Internal
    } else {
        WorkerClass::External
    }
}

/// A type for each [`WorkerRequirement`], so that the compiler can hold a task to what it declares: see [`crate::Requires`].
pub mod access {
    /// See [`WorkerRequirement::TaskDataAccess`](crate::WorkerRequirement::TaskDataAccess).
    #[derive(Debug)]
    pub enum TaskDataAccess {}
    /// See [`WorkerRequirement::QueueAccess`](crate::WorkerRequirement::QueueAccess).
    #[derive(Debug)]
    pub enum QueueAccess {}
    /// See [`WorkerRequirement::ReconDataAccess`](crate::WorkerRequirement::ReconDataAccess).
    #[derive(Debug)]
    pub enum ReconDataAccess {}
    /// See [`WorkerRequirement::RawSocketAccess`](crate::WorkerRequirement::RawSocketAccess).
    #[derive(Debug)]
    pub enum RawSocketAccess {}
}

#[cfg(test)]
mod tests {
    use super::{
        WorkerClass::{BareMetal, External, Internal},
        WorkerRequirement as R, *,
    };

    /// Every subset of the requirements, by hand, from the owner's text: raw sockets, else stored data, else neither.
    #[test]
    fn all_sixteen_subsets_are_routed() {
        let table: [(&[R], WorkerClass); 16] = [
            (&[], External),
            (&[R::QueueAccess], External),
            (&[R::TaskDataAccess], Internal),
            (&[R::ReconDataAccess], Internal),
            (&[R::TaskDataAccess, R::QueueAccess], Internal),
            (&[R::TaskDataAccess, R::ReconDataAccess], Internal),
            (&[R::QueueAccess, R::ReconDataAccess], Internal),
            (&[R::TaskDataAccess, R::QueueAccess, R::ReconDataAccess], Internal),
            (&[R::RawSocketAccess], BareMetal),
            (&[R::TaskDataAccess, R::RawSocketAccess], BareMetal),
            (&[R::QueueAccess, R::RawSocketAccess], BareMetal),
            (&[R::ReconDataAccess, R::RawSocketAccess], BareMetal),
            (&[R::TaskDataAccess, R::QueueAccess, R::RawSocketAccess], BareMetal),
            (&[R::TaskDataAccess, R::ReconDataAccess, R::RawSocketAccess], BareMetal),
            (&[R::QueueAccess, R::ReconDataAccess, R::RawSocketAccess], BareMetal),
            (&R::ALL, BareMetal),
        ];
        let mut subsets = std::collections::BTreeSet::new();
        for (subset, class) in table {
            assert_eq!(route(subset), class, "{subset:?}");
            assert_eq!(requires_raw_sockets(subset), class == BareMetal, "{subset:?}");
            assert_eq!(requires_internal_worker(subset), class == Internal, "{subset:?}");
            let reversed: Vec<R> = subset.iter().rev().copied().collect();
            assert_eq!(route(&reversed), class, "order decides nothing: {subset:?}");
            subsets.insert(subset.iter().map(|r| 1 << *r as u8).sum::<u32>());
        }
        assert_eq!(subsets.len(), 16, "a subset is missing");
    }

    #[test]
    fn words_come_back() {
        for class in WorkerClass::ALL {
            assert_eq!(class.as_str().parse(), Ok(class));
            assert_eq!(serde_json::to_string(&class).unwrap(), format!("\"{class}\""));
        }
        assert!("lambda".parse::<WorkerClass>().is_err());
    }
}
