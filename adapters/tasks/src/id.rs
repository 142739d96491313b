//! What things of the platform are called by. Ids are UUIDs; those made here grow with time (version 7), which keeps
//! indexes of them compact.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A fresh one.
            #[must_use]
            pub fn fresh() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    };
}

id! {
    /// A workflow: a plan that was submitted.
    WorkflowId
}
id! {
    /// A task of a workflow.
    TaskId
}
id! {
    /// Tasks that are waited for together.
    CollectionId
}
id! {
    /// One worker's try at one task, named by the worker when it starts.
    RunId
}
id! {
    /// What the manager gives out with an attempt: who does not know it was not given the task.
    Ticket
}
id! {
    /// A message; the same one again has the same.
    MessageId
}

impl TaskId {
    /// The child number `index` of this task: the same at every run, so that a repeated generator makes no second child.
    #[must_use]
    pub fn child(self, index: u32) -> Self {
        Self(Uuid::new_v5(&self.0, &index.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_the_same_at_every_run_and_differ_from_each_other() {
        let parent = TaskId::fresh();
        assert_eq!(parent.child(3), parent.child(3));
        assert_ne!(parent.child(3), parent.child(4));
        assert_ne!(parent.child(3), TaskId::fresh().child(3));
    }

    #[test]
    fn ids_are_words_in_json() {
        let id = TaskId::fresh();
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{id}\""));
        assert_eq!(id.to_string().parse(), Ok(id));
    }
}
