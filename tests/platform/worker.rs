//! Workers that do as the tests say, over the ports alone.

use std::time::Duration;

use mrpf_ports::{
    Delivery, Queue as _, QueueName, WorkerStore as _,
    clock::after,
    store::{Claim, Lease},
};
use mrpf_tasks::{
    Chunk, RunId, TaskError, WorkerClass,
    message::{
        CompleteTask, CreateTask, Envelope, Message, NewTask, Outcome, Part, Run, RunTask,
        TaskProgress,
    },
};
use serde_json::Value;

use crate::world::World;

/// What a worker does with a task.
#[derive(Clone, Debug)]
pub(crate) enum Does {
    /// It ends well.
    Well(Output),
    /// It fails.
    Badly(TaskError),
    /// It is killed when it has sent this many messages and parts of what it would.
    Dies(Output, usize),
}

/// What a run makes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Output {
    /// The items of its parts.
    pub(crate) parts: Vec<Value>,
    pub(crate) children: Vec<NewTask>,
    pub(crate) branch: Option<bool>,
}

impl Output {
    pub(crate) fn none() -> Does {
        Does::Well(Self::default())
    }
}

/// A worker of a class.
pub(crate) struct Worker<'a> {
    pub(crate) world: &'a World,
    pub(crate) class: WorkerClass,
    pub(crate) visibility: Duration,
    /// How often a message that a task is over is sent.
    pub(crate) copies: usize,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(world: &'a World, class: WorkerClass) -> Self {
        Self { world, class, visibility: Duration::from_secs(60), copies: 1 }
    }

    fn queue(&self) -> mrpf_embedded::SqliteQueue {
        self.world.queues.get(self.class.into())
    }

    pub(crate) fn receive(&self) -> Option<Delivery> {
        self.queue().receive(1, Duration::ZERO, self.visibility).unwrap().pop()
    }

    /// Takes a message and does what it says; gives the order if it did.
    pub(crate) fn step(&self, how: &mut dyn FnMut(&RunTask) -> Does) -> Option<RunTask> {
        let delivery = self.receive()?;
        let order = order(&delivery);
        let run = Run { assignment: order.assignment, run_id: RunId::fresh() };
        if !self.begin(&run) {
            self.queue().delete(&[delivery.handle]).unwrap();
            return None;
        }
        if self.work(&run, how(&order)) {
            self.queue().delete(&[delivery.handle]).unwrap();
        }
        Some(order)
    }

    /// Claims the task, or says that it has begun. `false` when somebody else has it or it is over.
    pub(crate) fn begin(&self, run: &Run) -> bool {
        if self.class == WorkerClass::External {
            let note = String::new();
            let progress = TaskProgress { run: *run, done: 0, total: None, note };
            self.tell(Message::TaskProgress(progress));
            return true;
        }
        let now = self.world.now();
        let lease = Lease { worker: "w", now, until: after(now, Duration::from_secs(60)) };
        matches!(self.world.store.claim_task(run, &lease).unwrap(), Claim::Held { .. })
    }

    /// Does it; `false` when it is killed on the way.
    pub(crate) fn work(&self, run: &Run, does: Does) -> bool {
        let (output, most) = match does {
            Does::Well(output) => (output, usize::MAX),
            Does::Dies(output, most) => (output, most),
            Does::Badly(error) => {
                let outcome = Outcome::Failed { error };
                let end = CompleteTask { run: *run, outcome, part: None };
                self.tell(Message::CompleteTask(end));
                return true;
            }
        };
        let count = |n: usize| u32::try_from(n).unwrap();
        let outcome = Outcome::Succeeded {
            parts: count(output.parts.len()),
            created: count(output.children.len()),
            branch: output.branch,
            truncated: false,
        };
        let parts = (0..).zip(&output.parts).map(|(index, item)| {
            let chunk = Chunk::Items { items: vec![item.clone()] };
            (index, chunk)
        });
        let mut deeds: Vec<Box<dyn Fn()>> = Vec::new();
        for (index, task) in (0..).zip(output.children) {
            let child = Message::CreateTask(CreateTask { run: *run, index, task });
            deeds.push(Box::new(move || self.tell(child.clone())));
        }
        let end = |part| {
            Message::CompleteTask(CompleteTask { run: *run, outcome: outcome.clone(), part })
        };
        if self.class == WorkerClass::External && !output.parts.is_empty() {
            for (index, chunk) in parts {
                let part = end(Some(Part { index, chunk }));
                deeds.push(Box::new(move || self.tell(part.clone())));
            }
        } else {
            for (index, chunk) in parts {
                let run = *run;
                deeds.push(Box::new(move || {
                    // Fenced when another run has it: that is its loss.
                    self.world.store.put_part(&run, index, &chunk).ok();
                }));
            }
            let end = end(None);
            deeds.push(Box::new(move || self.tell(end.clone())));
        }
        let is_whole = most >= deeds.len();
        deeds.iter().take(most).for_each(|deed| deed());
        is_whole
    }

    pub(crate) fn tell(&self, message: Message) {
        let is_end = matches!(message, Message::CompleteTask(_));
        let body = Envelope::new(message, self.world.now()).to_json().unwrap();
        let bodies = if is_end { vec![body; self.copies] } else { vec![body] };
        self.world.queues.get(QueueName::TaskManager).send(&bodies).unwrap();
    }
}

/// What a message asks for.
pub(crate) fn order(delivery: &Delivery) -> RunTask {
    match Envelope::parse(&delivery.body).unwrap().message {
        Message::RunTask(order) => order,
        other => panic!("no order: {other:?}"),
    }
}
