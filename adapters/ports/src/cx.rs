//! What a running task is lent, bounded by what it declares.
//!
//! ```text
//!  worker: Hands (store, queue, chunks, heartbeat) ---> Cx<T> ---> Runs<T>::run(cx, input)
//!                                                         |
//!             cx.recon() only where T: Requires<ReconDataAccess>, and so on: else `cargo check` says no
//! ```

use std::{collections::HashMap, fmt, marker::PhantomData, time::Duration};

use mrpf_records::Timestamp;
use mrpf_tasks::{
    AddressRange, CollectionId, Declared, ErrorKind, Requires, Scope, TaskDefinition, TaskError,
    access::{QueueAccess, RawSocketAccess, ReconDataAccess, TaskDataAccess},
    catalogue::{DataRef, Model},
    chunk::Joiner,
    message::{NewTask, Run, RunTask},
    read_input,
    scope::Refused,
};
use serde_json::Value;

use crate::store::{Checkpoint, Cursor, ModelRow, RefusalRow, SeenCount, StoreError, WorkerStore};

/// Does the tasks of one kind.
pub trait Runs<T: TaskDefinition>: Send + Sync + 'static {
    /// Does one. Output goes to [`Cx::emit`] as it comes. It is done again, from the start or from its checkpoint, whenever
    /// a worker was lost, so whatever it changes elsewhere it must be able to change twice.
    ///
    /// # Errors
    ///
    /// [`TaskError`], whose kind says whether another try may help.
    fn run(&self, cx: &Cx<'_, T>, input: T::Input) -> Result<Finished, TaskError>;
}

/// How a task ended well.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Finished {
    /// The verdict of a condition.
    pub branch: Option<bool>,
    /// There was more than the source gives.
    pub truncated: bool,
}

/// What a worker does for the task that it runs.
pub trait Hands: Send + Sync {
    /// Takes an item of the output.
    ///
    /// # Errors
    ///
    /// [`TaskError`] when it cannot be kept, or the run does not hold its task any more.
    fn emit(&self, item: Value) -> Result<(), TaskError>;
    /// Takes a task that this one makes.
    ///
    /// # Errors
    ///
    /// As [`Self::emit`].
    fn create(&self, child: NewTask) -> Result<(), TaskError>;
    /// Takes a checkpoint: everything emitted until now lies before `position`.
    ///
    /// # Errors
    ///
    /// As [`Self::emit`].
    fn save(&self, position: Value) -> Result<(), TaskError>;
    /// The run that this is.
    fn run(&self) -> &Run;
    /// Where an earlier run was.
    fn checkpoint(&self) -> Option<&Checkpoint>;
    /// Says how far it is.
    fn progress(&self, done: u64, total: Option<u64>, note: &str);
    /// Whether the task is to save what it has and return [`ErrorKind::Cancelled`].
    fn is_stopping(&self) -> bool;
    /// Waits, unless the task is to stop.
    fn sleep(&self, duration: Duration);
    /// Now.
    fn now(&self) -> Timestamp;
    /// The store, where this kind of worker has one.
    fn store(&self) -> Option<&dyn WorkerStore>;
    /// What this worker is: the name of its class.
    fn class(&self) -> &'static str;
}

/// What a task of kind `T` is lent while it runs.
pub struct Cx<'a, T> {
    hands: &'a dyn Hands,
    order: &'a RunTask,
    kind: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for Cx<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx").field("task", &self.order.assignment.task_id).finish_non_exhaustive()
    }
}

impl<'a, T: TaskDefinition> Cx<'a, T> {
    /// What `order` gives to do, with the hands to do it.
    pub fn new(hands: &'a dyn Hands, order: &'a RunTask) -> Self {
        Self { hands, order, kind: PhantomData }
    }

    /// What was asked.
    pub fn order(&self) -> &'a RunTask {
        self.order
    }

    /// What the workflow may touch.
    pub fn scope(&self) -> &'a Scope {
        &self.order.scope
    }

    /// Gives an item of the output.
    ///
    /// # Errors
    ///
    /// See [`Hands::emit`].
    pub fn emit(&self, item: &T::Output) -> Result<(), TaskError> {
        let item = serde_json::to_value(item)
            .map_err(|error| TaskError::new(ErrorKind::Malformed, format!("output: {error}")))?;
        self.hands.emit(item)
    }

    /// Says how far it is: `done` of `total`, and what it does.
    pub fn progress(&self, done: u64, total: Option<u64>, note: &str) {
        self.hands.progress(done, total, note);
    }

    /// Whether to save what there is and return [`Self::stopped`].
    pub fn is_stopping(&self) -> bool {
        self.hands.is_stopping()
    }

    /// What a task returns that was told to stop.
    pub fn stopped(&self) -> TaskError {
        TaskError::new(ErrorKind::Cancelled, "told to stop")
    }

    /// Waits, unless told to stop.
    pub fn sleep(&self, duration: Duration) {
        self.hands.sleep(duration);
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.hands.now()
    }

    /// Reads and writes stored output.
    pub fn task_data(&self) -> TaskData<'a>
    where
        T: Requires<TaskDataAccess>,
    {
        TaskData { hands: self.hands }
    }

    /// Makes tasks.
    pub fn queue(&self) -> Children<'a>
    where
        T: Requires<QueueAccess>,
    {
        Children { hands: self.hands }
    }

    /// Reads and writes what was found.
    pub fn recon(&self) -> Recon<'a>
    where
        T: Requires<ReconDataAccess>,
    {
        Recon { hands: self.hands, order: self.order }
    }

    /// Lets packets be sent.
    pub fn raw(&self) -> Raw
    where
        T: Requires<RawSocketAccess>,
    {
        Raw(())
    }
}

fn no_store() -> TaskError {
    TaskError::new(
        ErrorKind::NotConfigured,
        "this worker has no store; its class should not have got the task",
    )
}

fn failed(error: StoreError) -> TaskError {
    let kind = match error {
        StoreError::Fenced => ErrorKind::WorkerLost,
        _ => ErrorKind::Storage,
    };
    TaskError::new(kind, error.to_string())
}

/// Stored output: see [`Cx::task_data`].
#[derive(Clone, Copy)]
pub struct TaskData<'a> {
    hands: &'a dyn Hands,
}

impl fmt::Debug for TaskData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TaskData")
    }
}

/// Chunks read at a time.
const AT_A_TIME: usize = 16;

impl<'a> TaskData<'a> {
    /// Gives every item of `from` to `take`, in order.
    ///
    /// # Errors
    ///
    /// What `take` gives, and [`ErrorKind::Storage`].
    pub fn each(
        &self,
        from: DataRef,
        mut take: impl FnMut(Value) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        self.each_while(from, |item| take(item).map(|()| true))
    }

    /// As [`Self::each`], until `take` gives `false`.
    ///
    /// # Errors
    ///
    /// As [`Self::each`].
    pub fn each_while(
        &self,
        from: DataRef,
        mut take: impl FnMut(Value) -> Result<bool, TaskError>,
    ) -> Result<(), TaskError> {
        let store = self.hands.store().ok_or_else(no_store)?;
        let broken = |error: mrpf_tasks::chunk::ChunkError| {
            TaskError::new(ErrorKind::Storage, error.to_string())
        };
        let (mut joiner, mut after): (Joiner, Option<Cursor>) = (Joiner::default(), None);
        loop {
            let chunks = store.read(from, after, AT_A_TIME).map_err(failed)?;
            let Some((last, _)) = chunks.last() else { break };
            after = Some(*last);
            for (_, chunk) in chunks {
                for item in joiner.push(chunk).map_err(broken)? {
                    if !take(item)? {
                        return Ok(());
                    }
                }
            }
        }
        joiner.finish().map_err(broken)
    }

    /// Puts items into a collection by key; gives how many were new.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Storage`], and [`ErrorKind::WorkerLost`] when the run does not hold its task any more.
    pub fn insert(
        &self,
        collection: CollectionId,
        rows: &[(String, Value)],
    ) -> Result<u64, TaskError> {
        let store = self.hands.store().ok_or_else(no_store)?;
        store.insert_rows(self.hands.run(), collection, rows).map_err(failed)
    }

    /// Where an earlier run of this task was.
    pub fn checkpoint(&self) -> Option<&'a Checkpoint> {
        self.hands.checkpoint()
    }

    /// Keeps where this run is: everything emitted until now lies before `position`.
    ///
    /// # Errors
    ///
    /// See [`Hands::save`].
    pub fn save(&self, position: Value) -> Result<(), TaskError> {
        self.hands.save(position)
    }
}

/// Makes tasks: see [`Cx::queue`].
#[derive(Clone, Copy)]
pub struct Children<'a> {
    hands: &'a dyn Hands,
}

impl fmt::Debug for Children<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Children")
    }
}

impl Children<'_> {
    /// Makes a task, which comes to life when this one has ended well.
    ///
    /// # Errors
    ///
    /// See [`Hands::create`].
    pub fn create<C: TaskDefinition>(&self, input: &C::Input) -> Result<(), TaskError> {
        let input = serde_json::to_value(input)
            .map_err(|error| TaskError::new(ErrorKind::Input, format!("{}: {error}", C::NAME)))?;
        self.hands.create(NewTask { definition: C::NAME.to_owned(), input })
    }
}

/// What was found: see [`Cx::recon`].
#[derive(Clone, Copy)]
pub struct Recon<'a> {
    hands: &'a dyn Hands,
    order: &'a RunTask,
}

impl fmt::Debug for Recon<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recon")
    }
}

impl Recon<'_> {
    /// Adds rows, or says that they were seen again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Storage`].
    pub fn upsert(&self, rows: &[ModelRow]) -> Result<SeenCount, TaskError> {
        self.store()?.upsert(rows, self.hands.now()).map_err(failed)
    }

    /// Gives the rows of a table to `take`, in the order of their keys, until it gives `false`.
    ///
    /// # Errors
    ///
    /// What `take` gives, and [`ErrorKind::Storage`].
    pub fn each_while(
        &self,
        model: Model,
        mut take: impl FnMut(ModelRow) -> Result<bool, TaskError>,
    ) -> Result<(), TaskError> {
        let mut after: Option<String> = None;
        loop {
            let rows = self.store()?.list(model, after.as_deref(), 1_000).map_err(failed)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.key());
            for row in rows {
                if !take(row)? {
                    return Ok(());
                }
            }
        }
    }

    /// Which of `keys` a table has.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Storage`].
    pub fn known(&self, model: Model, keys: &[String]) -> Result<Vec<bool>, TaskError> {
        self.store()?.known(model, keys).map_err(failed)
    }

    /// What nobody is to touch.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Storage`].
    pub fn blocklist(&self) -> Result<Vec<AddressRange>, TaskError> {
        self.store()?.blocklist().map_err(failed)
    }

    /// Notes what this task does not touch.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Storage`].
    pub fn refuse(&self, refused: &[Refused]) -> Result<(), TaskError> {
        let row = |refused: &Refused| RefusalRow {
            workflow_id: self.order.workflow_id,
            task_id: self.order.assignment.task_id,
            what: refused.what.clone(),
            why: refused.why,
            by: self.hands.class().to_owned(),
            at: self.hands.now(),
        };
        let rows: Vec<_> = refused.iter().map(row).collect();
        if rows.is_empty() { Ok(()) } else { self.store()?.refuse(&rows).map_err(failed) }
    }

    fn store(&self) -> Result<&dyn WorkerStore, TaskError> {
        self.hands.store().ok_or_else(no_store)
    }
}

/// May send packets: see [`Cx::raw`].
#[derive(Debug)]
pub struct Raw(());

/// Who does which kind of task.
#[derive(Default)]
pub struct Runners(HashMap<&'static str, (Declared, Box<dyn AnyRunner>)>);

impl fmt::Debug for Runners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

trait AnyRunner: Send + Sync {
    fn run(&self, hands: &dyn Hands, order: &RunTask) -> Result<Finished, TaskError>;
}

struct Of<T, R>(R, PhantomData<fn() -> T>);

impl<T: TaskDefinition, R: Runs<T>> AnyRunner for Of<T, R> {
    fn run(&self, hands: &dyn Hands, order: &RunTask) -> Result<Finished, TaskError> {
        let refused = |why: String| TaskError::new(ErrorKind::Input, why);
        let input: T::Input = read_input(&order.input).map_err(|error| refused(error.0))?;
        mrpf_tasks::Check::check(&input).map_err(refused)?;
        self.0.run(&Cx::new(hands, order), input)
    }
}

impl Runners {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// These, and `runner` for the tasks of kind `T`.
    #[must_use]
    pub fn with<T: TaskDefinition>(mut self, runner: impl Runs<T>) -> Self {
        self.0
            .insert(T::NAME, (Declared::of::<T>(), Box::new(Of(runner, PhantomData::<fn() -> T>))));
        self
    }

    /// What is known of the tasks called `definition`; `None` where nobody does them.
    pub fn find(&self, definition: &str) -> Option<&Declared> {
        self.0.get(definition).map(|(declared, _)| declared)
    }

    /// Does what `order` says.
    ///
    /// # Errors
    ///
    /// What the task gives; [`ErrorKind::Input`] when its input is not its definition's, or nobody does such tasks.
    pub fn run(&self, hands: &dyn Hands, order: &RunTask) -> Result<Finished, TaskError> {
        let Some((_, runner)) = self.0.get(order.definition.as_str()) else {
            let why = format!("{}: nobody here does such tasks", order.definition);
            return Err(TaskError::new(ErrorKind::Input, why));
        };
        runner.run(hands, order)
    }
}
