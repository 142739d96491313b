//! What is to be done, in which order: a workflow file, and the checked plan that is made of it.
//!
//! ```text
//!  recon.toml --read--> WorkflowFile --plan(registry)--> Plan: tasks, edges and collections with ids ---> the manager
//!               |                        |
//!               line and field           unknown tasks and names, cycles, missing scope, inputs that do not fit
//! ```

mod plan;

pub use self::plan::{On, Plan, PlannedCollection, PlannedEdge, PlannedTask, Waits};
