//! Messages that somebody else receives and deletes, and a time by which all is over: what a function on AWS Lambda is given.
//!
//! ```text
//!  event source mapping             Batch::run
//!  receives ---- deliveries -----> waiting --> a slot each, as in the worker's loop --> own queue: hidden, given back
//!                                     '------ kept hidden ---------------------------->
//!  deletes what is Done <--------- Done | Again
//!
//!  begin ..................................... deadline - grace - SPARE ........ deadline - SPARE ... deadline
//!  messages are begun, each when a slot is free | all runs are told to stop      | what is left is     | the giver ends
//!                                               | and handed back                | taken away          | the process
//! ```
//!
//! The visibility that a mapping gives messages is that of the queue, which has to exceed what a function may take. Heartbeats put
//! a lease in its place, so a message whose process was killed comes again after that lease.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, unbounded};
use mrpf_ports::{
    Clock, Delivery, Handle, Queue, QueueError, Runners, WorkerStore,
    clock::{Wake, after, between},
};
use mrpf_records::Timestamp;
use mrpf_tasks::WorkerClass;

use crate::{
    held::{Runs, Stopping, lock},
    keeper::keep_all,
    mapped::Mapped,
    settings::{Settings, SettingsError},
    settle::let_go_of_all,
    shared::{GIVEN_BACK, LOOK, Shared, spawn},
    task::handle,
    worker::Parts,
};

/// What is kept of the time for giving back, and for the answer to reach whoever waits for it.
const SPARE: Duration = Duration::from_secs(2);

/// What became of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It was dealt with: delete it.
    Done,
    /// It is to be delivered again, and was given back: leave it.
    Again,
}

/// A worker that is given its messages, and neither receives nor deletes.
#[derive(Debug)]
pub struct Batch {
    settings: Settings,
    own: Arc<dyn Queue>,
    task_manager: Arc<dyn Queue>,
    store: Option<Arc<dyn WorkerStore>>,
    runners: Arc<Runners>,
    clock: Arc<dyn Clock>,
    /// See [`Shared::unknown`]; it lasts from one batch to the next.
    unknown: Arc<Mutex<BTreeSet<String>>>,
}

impl Batch {
    /// A worker for any number of batches. Of the settings it uses neither `poll_wait` nor `idle`.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] when the settings contradict each other or the parts, or are those of a worker with a machine.
    pub fn new(settings: Settings, parts: Parts) -> Result<Self, SettingsError> {
        let Parts { own, task_manager, store, runners, clock, machine } = parts;
        settings.check(store.is_some(), machine.is_some())?;
        if machine.is_some() || settings.class == WorkerClass::BareMetal {
            return Err(SettingsError::Batch(settings.class));
        }
        let (runners, unknown) = (Arc::new(runners), Arc::default());
        Ok(Self { settings, own, task_manager, store, runners, clock, unknown })
    }

    /// Deals with messages, several side by side, and says of each, in their order, what became of it. Ends some time before
    /// `deadline`, and [`Settings::grace`] after `stop` was set at most; what is not done by then is visible to others at once. A
    /// batch that comes when `stop` is set already is visible some seconds later: it would come again at once, and again, until
    /// it were dead letters.
    ///
    /// # Errors
    ///
    /// When the system gives no thread; nothing was begun then.
    pub fn run(
        &self,
        deliveries: Vec<Delivery>,
        deadline: Timestamp,
        stop: &Wake,
    ) -> io::Result<Vec<(Handle, Verdict)>> {
        let handles: Vec<Handle> = deliveries.iter().map(|it| it.handle.clone()).collect();
        let until = after(deadline, self.settings.lease);
        let own = Arc::new(Mapped::new(Arc::clone(&self.own), Arc::clone(&self.clock), until));
        let shared = Arc::new(Shared {
            settings: self.settings.clone(),
            own: Arc::clone(&own) as Arc<dyn Queue>,
            task_manager: Arc::clone(&self.task_manager),
            store: self.store.clone(),
            runners: Arc::clone(&self.runners),
            clock: Arc::clone(&self.clock),
            runs: Runs::default(),
            unknown: Arc::clone(&self.unknown),
        });
        if stop.is_set() {
            handles.iter().for_each(|handle| shared.give_back(handle, GIVEN_BACK));
            return Ok(handles.into_iter().map(|handle| (handle, Verdict::Again)).collect());
        }
        let (done, waiting) = (Wake::default(), Arc::new(Waiting(Mutex::new(deliveries.into()))));
        let keeper = {
            let (shared, waiting, done) = (Arc::clone(&shared), Arc::clone(&waiting), done.clone());
            move || keep_all(&shared, || waiting.keep(&shared), &done)
        };
        spawn("mrpf-keeper", keeper)?;
        let (tell, free) = unbounded();
        Dealing { shared: &shared, waiting: &waiting, taken: Vec::new(), tell, free }
            .deal(deadline, stop);
        done.set();
        let verdict = |handle: Handle| {
            let verdict = if own.is_done(&handle) { Verdict::Done } else { Verdict::Again };
            (handle, verdict)
        };
        Ok(handles.into_iter().map(verdict).collect())
    }
}

/// Messages that have no slot yet. Locked while they are hidden anew, so that nobody hides one after it was given back.
struct Waiting(Mutex<VecDeque<Delivery>>);

impl Waiting {
    fn next(&self) -> Option<Delivery> {
        lock(&self.0).pop_front()
    }

    /// Hides them anew; what others have meanwhile is theirs.
    fn keep(&self, shared: &Shared) {
        let lease = shared.settings.lease;
        lock(&self.0).retain(|delivery| match shared.own.extend(&delivery.handle, lease) {
            Ok(()) => true,
            Err(QueueError::LeaseLost { .. }) => false,
            Err(error) => {
                tracing::warn!(%error, "a message that waits for its turn is not hidden anew");
                true
            }
        });
    }

    fn give_back(&self, shared: &Shared) {
        for delivery in lock(&self.0).drain(..) {
            shared.give_back(&delivery.handle, Duration::ZERO);
        }
    }
}

struct Dealing<'a> {
    shared: &'a Arc<Shared>,
    waiting: &'a Waiting,
    /// Messages that are dealt with, each in a slot.
    taken: Vec<Handle>,
    tell: Sender<Handle>,
    free: Receiver<Handle>,
}

impl Dealing<'_> {
    fn deal(mut self, deadline: Timestamp, stop: &Wake) {
        let shared = self.shared;
        let grace = shared.settings.grace;
        let reserve = grace.saturating_add(SPARE);
        let why = loop {
            if stop.is_set() {
                break Stopping::Told;
            }
            if between(shared.now(), deadline) <= reserve {
                break Stopping::OutOfTime;
            }
            self.begin();
            if self.taken.is_empty() {
                return;
            }
            self.wait();
        };
        shared.runs.stop(why);
        self.waiting.give_back(shared);
        let end = after(shared.now(), grace);
        while !self.taken.is_empty() && shared.now() < end {
            self.wait();
        }
        let_go_of_all(shared, &self.taken);
    }

    /// Gives each free slot a message.
    fn begin(&mut self) {
        while self.taken.len() < self.shared.settings.slots {
            let Some(delivery) = self.waiting.next() else { return };
            let (shared, tell) = (Arc::clone(self.shared), self.tell.clone());
            let message = delivery.handle.clone();
            let body = move || {
                handle(&shared, &delivery);
                // The batch may be over.
                let _ = tell.send(delivery.handle);
            };
            match spawn("mrpf-task", body) {
                Ok(()) => self.taken.push(message),
                Err(error) => {
                    tracing::error!(%error, "the system gives no thread for a task");
                    self.shared.give_back(&message, GIVEN_BACK);
                }
            }
        }
    }

    /// Waits a moment for a slot that becomes free.
    fn wait(&mut self) {
        if let Ok(message) = self.free.recv_timeout(LOOK) {
            self.taken.retain(|other| *other != message);
        }
    }
}
