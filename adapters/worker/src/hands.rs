//! What a worker does for the task that it runs: output in parts, children, checkpoints.
//!
//! ```text
//!            items --> Chunker --> parts --.--> put_part, at once            internal, bare metal
//!                                          '--> kept, a CompleteTask each    external
//!            children ------------> CreateTask, some at a time, all before the CompleteTask
//! ```

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use mrpf_ports::{Hands, StoreError, WorkerStore, store::Checkpoint};
use mrpf_records::Timestamp;
use mrpf_tasks::{
    Chunk, ErrorKind, TaskError,
    chunk::Chunker,
    message::{CreateTask, Message, NewTask, Run},
};
use serde_json::Value;

use crate::{
    held::{Held, Orders, lock},
    shared::{Shared, patiently},
};

/// How many children are sent together. A queue that takes ten at a time takes these in ten calls.
const TOGETHER: usize = 100;

/// The hands of one run.
#[derive(Debug)]
pub(crate) struct TaskHands {
    shared: Arc<Shared>,
    held: Arc<Held>,
    checkpoint: Option<Checkpoint>,
    output: Mutex<Output>,
}

#[derive(Debug, Default)]
struct Output {
    chunker: Chunker,
    parts: u32,
    /// Parts that travel with the end of the task.
    kept: Vec<Chunk>,
    created: u32,
    children: Vec<Message>,
}

/// What a run that has ended gives.
#[derive(Debug)]
pub(crate) struct Yield {
    pub(crate) parts: u32,
    pub(crate) kept: Vec<Chunk>,
    pub(crate) created: u32,
}

impl TaskHands {
    /// The first part of a run that goes on is the one after those of its checkpoint.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        held: &Arc<Held>,
        checkpoint: Option<Checkpoint>,
    ) -> Self {
        let parts = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.parts);
        Self {
            shared: Arc::clone(shared),
            held: Arc::clone(held),
            checkpoint,
            output: Mutex::new(Output { parts, ..Output::default() }),
        }
    }

    /// Stores or sends what is left of the output.
    pub(crate) fn finish(self) -> Result<Yield, TaskError> {
        let mut output = lock(&self.output);
        self.flush(&mut output)?;
        self.send_children(&mut output)?;
        let Output { parts, created, .. } = *output;
        Ok(Yield { parts, kept: std::mem::take(&mut output.kept), created })
    }

    fn flush(&self, output: &mut Output) -> Result<(), TaskError> {
        match output.chunker.rest() {
            Some(chunk) => self.put(output, chunk),
            None => Ok(()),
        }
    }

    fn put(&self, output: &mut Output, chunk: Chunk) -> Result<(), TaskError> {
        match &self.shared.store {
            Some(store) => {
                self.checked(patiently(|| store.put_part(&self.held.run, output.parts, &chunk)))?
            }
            None => output.kept.push(chunk),
        }
        output.parts += 1;
        Ok(())
    }

    fn send_children(&self, output: &mut Output) -> Result<(), TaskError> {
        if output.children.is_empty() {
            return Ok(());
        }
        let children = std::mem::take(&mut output.children);
        self.shared.send(children)
    }

    /// A run that does not hold its task any more is over.
    fn checked<T>(&self, result: Result<T, StoreError>) -> Result<T, TaskError> {
        result.map_err(|error| match error {
            StoreError::Fenced => {
                self.held.order(Orders::Abandon);
                lost()
            }
            error => TaskError::new(ErrorKind::Storage, error.to_string()),
        })
    }

    fn check_held(&self) -> Result<(), TaskError> {
        if self.held.is_lost() { Err(lost()) } else { Ok(()) }
    }
}

fn lost() -> TaskError {
    TaskError::new(ErrorKind::WorkerLost, "this run does not hold its task any more")
}

impl Hands for TaskHands {
    fn emit(&self, item: Value) -> Result<(), TaskError> {
        self.check_held()?;
        let mut output = lock(&self.output);
        output.chunker.push(item).into_iter().try_for_each(|chunk| self.put(&mut output, chunk))
    }

    fn create(&self, child: NewTask) -> Result<(), TaskError> {
        self.check_held()?;
        let mut output = lock(&self.output);
        let index = output.created;
        let create = CreateTask { run: self.held.run, index, task: child };
        output.children.push(Message::CreateTask(create));
        output.created += 1;
        if output.children.len() >= TOGETHER { self.send_children(&mut output) } else { Ok(()) }
    }

    fn save(&self, position: Value) -> Result<(), TaskError> {
        self.check_held()?;
        let Some(store) = &self.shared.store else {
            let why =
                "an external worker keeps no checkpoints; its class should not have got the task";
            return Err(TaskError::new(ErrorKind::NotConfigured, why));
        };
        let mut output = lock(&self.output);
        if output.created > 0 {
            // They are children of this run, and the one that goes on is another.
            let why = "a task that has made tasks cannot go on from a checkpoint";
            return Err(TaskError::new(ErrorKind::Input, why));
        }
        self.flush(&mut output)?;
        let checkpoint = Checkpoint { position, parts: output.parts };
        let now = self.shared.now();
        self.checked(patiently(|| store.put_checkpoint(&self.held.run, &checkpoint, now)))
    }

    fn run(&self) -> &Run {
        &self.held.run
    }

    fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    fn progress(&self, done: u64, total: Option<u64>, note: &str) {
        // The keeper tells it with the next heartbeat, so a task may say it as often as it likes.
        let mut progress = lock(&self.held.progress);
        progress.done = done;
        progress.total = total;
        if progress.note != note {
            note.clone_into(&mut progress.note);
        }
    }

    fn is_stopping(&self) -> bool {
        self.held.orders() != Orders::Run
    }

    fn sleep(&self, duration: Duration) {
        self.shared.clock.sleep(duration, &self.held.wake);
    }

    fn now(&self) -> Timestamp {
        self.shared.now()
    }

    fn store(&self) -> Option<&dyn WorkerStore> {
        self.shared.store.as_deref()
    }

    fn class(&self) -> &'static str {
        self.shared.settings.class.as_str()
    }
}
