//! What a kind of task is: its name, what it needs, what goes in and what comes out. Who does it stands elsewhere.

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Source, WorkerClass, WorkerRequirement, route};

/// A kind of task. Written with [`task!`](crate::task), which keeps [`WORKER_REQUIREMENTS`](Self::WORKER_REQUIREMENTS) and
/// the bounds of [`Requires`] the same.
pub trait TaskDefinition: Sized + Send + Sync + 'static {
    /// What workflow files and messages call it.
    const NAME: &'static str;
    /// One line for people.
    const ABOUT: &'static str;
    /// What its worker must have.
    const WORKER_REQUIREMENTS: &'static [WorkerRequirement];
    /// Where it runs, decided when this is compiled.
    const CLASS: WorkerClass = route(Self::WORKER_REQUIREMENTS);
    /// The public service it asks, whose pace the manager keeps.
    const SOURCE: Option<Source> = None;
    /// What it is asked.
    type Input: DeserializeOwned + Serialize + JsonSchema + Check;
    /// One item of what it answers; a task may give any number.
    type Output: DeserializeOwned + Serialize + JsonSchema;
}

/// What types cannot say about an input.
pub trait Check {
    /// Why the input is refused, naming the field.
    ///
    /// # Errors
    ///
    /// A line for people.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Two tasks of one workflow with the same key are one.
    fn dedupe_key(&self) -> Option<String> {
        None
    }
}

impl Check for serde_json::Value {}

/// A task that declares `R`, one of [`access`](crate::access). What a worker lends to a running task is bounded by this, so
/// a task that uses what it did not declare does not pass `cargo check`.
#[diagnostic::on_unimplemented(
    message = "task `{Self}` uses `{R}` without declaring it",
    label = "not among its requirements",
    note = "add `{R}` to `requires: [..]` in its `task!`"
)]
pub trait Requires<R>: TaskDefinition {}

/// Declares a kind of task: the type, its [`TaskDefinition`], and a [`Requires`] for each requirement.
///
/// ```
/// use mrpf_tasks::{TaskDefinition, WorkerClass, task};
///
/// task! {
///     /// Says how many items another task gave.
///     pub struct Tally;
///     requires: [TaskDataAccess];
///     input: serde_json::Value;
///     output: u64;
/// }
///
/// assert_eq!(Tally::NAME, "Tally");
/// assert_eq!(Tally::ABOUT, "Says how many items another task gave.");
/// assert_eq!(Tally::CLASS, WorkerClass::Internal);
/// ```
#[macro_export]
macro_rules! task {
    (
        #[doc = $about:literal]
        $(#[$meta:meta])*
        $vis:vis struct $name:ident;
        requires: [$($requirement:ident),* $(,)?];
        input: $input:ty;
        output: $output:ty;
        $(source: $source:expr;)?
    ) => {
        #[doc = $about]
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        $vis struct $name;

        impl $crate::TaskDefinition for $name {
            const NAME: &'static str = stringify!($name);
            const ABOUT: &'static str = $about.trim_ascii_start();
            const WORKER_REQUIREMENTS: &'static [$crate::WorkerRequirement] =
                &[$($crate::WorkerRequirement::$requirement),*];
            $(const SOURCE: Option<$crate::Source> = Some($source);)?
            type Input = $input;
            type Output = $output;
        }

        $(impl $crate::Requires<$crate::access::$requirement> for $name {})*
    };
}
