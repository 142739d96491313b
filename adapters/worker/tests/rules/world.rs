//! A worker with everything around it in memory, and tasks that do what a test says.

use std::{
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use mrpf_ports::{Cx, Finished, InstanceId, Power, Runners, Runs, clock::Wake};
use mrpf_tasks::{
    Scope, TaskDefinition, TaskError, TaskId, Ticket, WorkerClass, WorkflowId,
    message::{Assignment, CompleteTask, Envelope, Message, Outcome, RunTask},
    task,
};
use mrpf_worker::{Ended, Machine, Parts, Settings, Worker};
use serde_json::Value;

use crate::{
    queue::FakeQueue,
    store::FakeStore,
    time::{Time, eventually},
};

task! {
    /// An external task.
    pub(crate) struct Asks;
    requires: [QueueAccess];
    input: Value;
    output: Value;
}

task! {
    /// An internal task.
    pub(crate) struct Reads;
    requires: [TaskDataAccess, QueueAccess];
    input: Value;
    output: Value;
}

task! {
    /// A bare-metal task.
    pub(crate) struct Scans;
    requires: [TaskDataAccess, RawSocketAccess];
    input: Value;
    output: Value;
}

/// A runner that is a function.
struct Does<F>(F);

impl<T, F> Runs<T> for Does<F>
where
    T: TaskDefinition<Input = Value>,
    F: Fn(&Cx<'_, T>, Value) -> Result<Finished, TaskError> + Send + Sync + 'static,
{
    fn run(&self, cx: &Cx<'_, T>, input: Value) -> Result<Finished, TaskError> {
        (self.0)(cx, input)
    }
}

/// Lets tasks of one kind be done by a function.
pub(crate) fn does<T: TaskDefinition<Input = Value>>(
    work: impl Fn(&Cx<'_, T>, Value) -> Result<Finished, TaskError> + Send + Sync + 'static,
) -> Runners {
    Runners::new().with::<T>(Does(work))
}

/// What happened, in order, over queues, store and machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|noted| *noted == what).count()
    }

    /// All but the polls, and no word twice in a row.
    pub(crate) fn told(&self) -> Vec<String> {
        let mut told = self.all();
        told.retain(|what| what != "polled");
        told.dedup();
        told
    }
}

#[derive(Debug)]
pub(crate) struct Switch(pub(crate) Log);

impl Power for Switch {
    fn off(&self) {
        self.0.note("off");
    }
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) time: Arc<Time>,
    pub(crate) log: Log,
    pub(crate) own: Arc<FakeQueue>,
    pub(crate) manager: Arc<FakeQueue>,
    pub(crate) store: Arc<FakeStore>,
    pub(crate) stop: Wake,
}

impl World {
    pub(crate) fn new() -> Self {
        let (time, log) = (Arc::new(Time::new()), Log::default());
        Self {
            own: Arc::new(FakeQueue::new(&time, &log, "own")),
            manager: Arc::new(FakeQueue::new(&time, &log, "task_manager")),
            store: Arc::new(FakeStore::new(&log)),
            stop: Wake::default(),
            time,
            log,
        }
    }

    /// Starts a worker of the class of `T`, whose tasks `work` does.
    pub(crate) fn start<T: TaskDefinition<Input = Value>>(
        &self,
        work: impl Fn(&Cx<'_, T>, Value) -> Result<Finished, TaskError> + Send + Sync + 'static,
    ) -> JoinHandle<Ended> {
        self.start_with(Settings::new(T::CLASS, "a test"), does::<T>(work), false)
    }

    pub(crate) fn start_with(
        &self,
        settings: Settings,
        runners: Runners,
        has_machine: bool,
    ) -> JoinHandle<Ended> {
        let store = (settings.class != WorkerClass::External).then(|| Arc::clone(&self.store) as _);
        let machine = has_machine.then(|| Machine {
            instance: InstanceId("i-1".to_owned()),
            power: Arc::new(Switch(self.log.clone())),
        });
        let parts = Parts {
            own: Arc::clone(&self.own) as _,
            task_manager: Arc::clone(&self.manager) as _,
            store,
            runners,
            clock: Arc::clone(&self.time) as _,
            machine,
        };
        let worker = Worker::new(settings, parts).unwrap();
        let stop = self.stop.clone();
        thread::spawn(move || worker.run(&stop).unwrap())
    }

    /// Gives out a task of kind `T`.
    pub(crate) fn give<T: TaskDefinition>(&self, input: Value) {
        self.own.put(order(T::NAME, input), 0);
    }

    /// Stops the worker and waits for its end.
    #[track_caller]
    pub(crate) fn end(&self, worker: JoinHandle<Ended>) -> Ended {
        self.stop.set();
        self.join(worker)
    }

    #[track_caller]
    pub(crate) fn join(&self, worker: JoinHandle<Ended>) -> Ended {
        eventually("the worker ends", || worker.is_finished());
        worker.join().unwrap()
    }

    /// How runs ended, as the manager was told.
    pub(crate) fn completed(&self) -> Vec<CompleteTask> {
        let complete = |message| match message {
            Message::CompleteTask(complete) => Some(complete),
            _ => None,
        };
        self.manager.sent().into_iter().filter_map(complete).collect()
    }

    #[track_caller]
    pub(crate) fn wait_for_completed(&self, count: usize) -> Vec<CompleteTask> {
        eventually("tasks complete", || self.completed().len() >= count);
        self.completed()
    }

    /// The errors that runs ended with.
    pub(crate) fn errors(&self) -> Vec<TaskError> {
        let error = |complete: CompleteTask| match complete.outcome {
            Outcome::Failed { error } => Some(error),
            Outcome::Succeeded { .. } => None,
        };
        self.completed().into_iter().filter_map(error).collect()
    }
}

/// The body of a message that gives out a task.
pub(crate) fn order(definition: &str, input: Value) -> String {
    let assignment = Assignment { task_id: TaskId::fresh(), attempt: 1, ticket: Ticket::fresh() };
    let order = RunTask {
        assignment,
        workflow_id: WorkflowId::fresh(),
        definition: definition.to_owned(),
        input,
        scope: Scope::default(),
    };
    let now = mrpf_records::Timestamp::from_unix_micros(0);
    Envelope::new(Message::RunTask(order), now).to_json().unwrap()
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A task that waits until it is told to stop.
pub(crate) fn until_told<T: TaskDefinition>(cx: &Cx<'_, T>) -> Result<Finished, TaskError> {
    cx.sleep(secs(1_000_000));
    assert!(cx.is_stopping());
    Err(cx.stopped())
}

/// A door that tasks wait at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<(Mutex<usize>, Wake)>);

impl Gate {
    /// Waits until it is open, whatever anybody says.
    pub(crate) fn pass(&self) {
        *self.0.0.lock().unwrap() += 1;
        while !self.0.1.is_set() {
            self.0.1.wait(secs(1));
        }
    }

    pub(crate) fn open(&self) {
        self.0.1.set();
    }

    /// How many have come to it.
    pub(crate) fn count(&self) -> usize {
        *self.0.0.lock().unwrap()
    }
}
