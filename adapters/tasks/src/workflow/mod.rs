//! What is to be done, in which order: a workflow file, and the checked plan that is made of it.
//!
//! ```text
//!  recon.toml --read--> WorkflowFile --plan(registry)--> Plan: tasks, edges and collections with ids ---> the manager
//!               |                        |
//!               line and field           unknown tasks and names, cycles, missing scope, inputs that do not fit
//! ```
//!
//! # The file
//!
//! TOML, or JSON of the same form.
//!
//! ```
//! # let text = r#"
//! name = "example"
//!
//! [scope]                          # what may be touched; required
//! domains = ["example.org"]        # each with all names below it
//! addresses = ["198.51.100.0/24"]
//! exclude = ["198.51.100.7", "internal.example.org"]
//!
//! [[collection]]                   # tasks that are waited for together
//! name = "scans"
//!
//! [[task]]
//! name = "shards"
//! run = "GenerateTargets"          # the kind of task: `mrpf tasks` lists them
//! feeds = "scans"                  # the tasks that it makes become members of the collection
//! input = { ports = "80,443" }
//!
//! [[task]]
//! name = "count"
//! run = "AggregateCount"
//! max_tries = 5                    # 3 unless said
//! input = { from = { collection = "scans" } }   # whoever reads something waits for it
//!
//! [[task]]
//! name = "any"
//! run = "Conditional"
//! input = { from = { collection = "scans" }, condition = { count_at_least = 1 } }
//!
//! [[task]]
//! name = "report"
//! run = "ListModels"
//! after = [{ task = "any", on = "true" }]       # or "count", or { collection = "scans" }
//! input = { model = "endpoint" }
//! # "#;
//! # use mrpf_tasks::{Registry, workflow::{Syntax, WorkflowFile}};
//! # let plan = WorkflowFile::read("example.toml", text, Syntax::Toml)?.plan(&Registry::shipped())?;
//! # assert_eq!((plan.tasks.len(), plan.edges.len()), (4, 3));
//! # Ok::<(), mrpf_tasks::workflow::WorkflowError>(())
//! ```
//!
//! A task waits until **all** that it names has ended as it says (`on`: `succeeded`, `failed`, `finished`, and `true` or
//! `false` for a `Conditional`). One that names what cannot happen any more is skipped.
//!
//! Input reads stored data with `{ task = ".." }`, the output of a task; `{ collection = ".." }`, that of all its members;
//! `{ rows = ".." }`, what `InsertData` put into a collection. `member_of = ".."` makes a task a member of a collection.
//!
//! `for_each = "scope.domains"` makes a task once for each domain of the scope, which stands for `"{each}"` in its input.
//! Such tasks need a collection (`member_of`), and are waited for by that.

mod cycle;
mod document;
mod error;
mod file;
#[cfg(any(fuzzing, test, feature = "testing"))]
pub mod fuzzing;
mod plan;
mod planner;
mod references;

pub use self::{
    document::Syntax,
    error::WorkflowError,
    file::WorkflowFile,
    plan::{On, Plan, PlannedCollection, PlannedEdge, PlannedTask, Waits},
};
use crate::Scope;

/// The bundled workflow `recon`: names of the scope's domains from certificates, and ports of its addresses.
pub const RECON: &str = include_str!("../../workflows/recon.toml");

/// [`RECON`] over a scope.
///
/// # Errors
///
/// [`WorkflowError`] when the bundled file is broken.
pub fn recon(scope: Scope) -> Result<WorkflowFile, WorkflowError> {
    Ok(WorkflowFile::read("recon.toml", RECON, Syntax::Toml)?.with_scope(scope))
}

#[cfg(test)]
mod tests;
