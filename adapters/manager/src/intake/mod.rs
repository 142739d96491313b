//! What workers tell, believed as far as it goes.
//!
//! ```text
//!  Task Manager queue --up to a batch--> parse --no message of ours--> dead letters, with the reason
//!                                          |
//!        CreateTask    kept with its run   |--- other attempt, other ticket, over ---> counted and dropped
//!        CompleteTask  parts, outcome kept |
//!        TaskProgress  lease               |
//!                                          v
//!        runs that were touched: all parts and children here? --> complete --> settle
//! ```
//!
//! A batch is one transaction, and its messages are deleted after it: few commits a second carry many tasks, and a manager that
//! is killed in between sees the same messages again, which then change nothing.

mod run;

use std::{collections::BTreeSet, time::Duration};

use mrpf_ports::{Delivery, Handle, QueueName, StoreError, store::TaskRow};
use mrpf_records::Timestamp;
use mrpf_tasks::{
    ErrorKind, RunId, TaskError, TaskId, WorkerClass,
    message::{
        Assignment, CompleteTask, CreateTask, Envelope, MOST_BODY, Message, MessageError, Outcome,
        Run, TaskProgress,
    },
};

use crate::{
    Counts,
    desk::{Desk, Outside},
    error::ManagerError,
    settle::Books,
    transition::{Event, Refused, given_out},
};

/// Receives up to a batch of messages; waits up to `wait` for the first.
pub(crate) fn receive(
    outside: &Outside,
    desk: &Desk,
    wait: Duration,
) -> Result<Vec<Delivery>, ManagerError> {
    let queue = outside.queue(QueueName::TaskManager);
    let (most, visibility) = (desk.settings.batch, desk.settings.visibility);
    let mut taken = queue.receive(most, wait, visibility).map_err(ManagerError::intake)?;
    // A queue may give fewer at a time than it is asked for.
    while !taken.is_empty() && taken.len() < most {
        match queue.receive(most - taken.len(), Duration::ZERO, visibility) {
            Ok(more) if !more.is_empty() => taken.extend(more),
            // A queue that fails now is told of at the next look; what it has given is ours to take in.
            _ => break,
        }
    }
    Ok(taken)
}

/// Takes messages in and removes them from their queue; gives whether more may be waiting.
pub(crate) fn take_in(
    outside: &Outside,
    desk: &mut Desk,
    taken: &[Delivery],
    now: Timestamp,
) -> Result<bool, ManagerError> {
    if taken.is_empty() {
        return Ok(false);
    }
    let read: Vec<_> = taken.iter().map(|delivery| read(&delivery.body)).collect();
    let mut first_error = None;
    let done: Vec<Handle> = match process(outside, desk, &read, now) {
        Ok(()) => taken.iter().map(|delivery| delivery.handle.clone()).collect(),
        Err(error @ (StoreError::Busy(_) | StoreError::Unreachable(_))) => {
            return Err(ManagerError::intake(error));
        }
        Err(error) if read.len() == 1 => return Err(ManagerError::intake(error)),
        // One message may be in the way of all others: each alone, then.
        Err(_) => {
            let mut done = Vec::new();
            for (one, delivery) in read.iter().zip(taken) {
                match process(outside, desk, std::slice::from_ref(one), now) {
                    Ok(()) => done.push(delivery.handle.clone()),
                    Err(error) => {
                        let is_gone = matches!(error, StoreError::Unreachable(_));
                        first_error = first_error.or(Some(error));
                        if is_gone {
                            break;
                        }
                    }
                }
            }
            done
        }
    };
    outside.queue(QueueName::TaskManager).delete(&done).map_err(ManagerError::intake)?;
    match first_error {
        None => Ok(taken.len() >= desk.settings.batch),
        Some(error) => Err(ManagerError::intake(error)),
    }
}

/// A message as it came, and what it says.
pub(crate) struct Read<'a> {
    body: &'a str,
    said: Result<Envelope, MessageError>,
}

pub(crate) fn read(body: &str) -> Read<'_> {
    let said = if body.len() > MOST_BODY {
        Err(MessageError::TooLarge { kind: "a message", octets: body.len() })
    } else {
        Envelope::parse(body)
    };
    Read { body, said }
}

/// Takes in some messages in one transaction.
pub(crate) fn process(
    outside: &Outside,
    desk: &mut Desk,
    batch: &[Read<'_>],
    now: Timestamp,
) -> Result<(), StoreError> {
    let before = desk.counts;
    outside.store.transaction(&mut |tx| {
        desk.counts = before;
        let mut intake = Intake { books: Books::open(tx, desk, now), touched: BTreeSet::new() };
        batch.iter().try_for_each(|message| intake.take(message))?;
        intake.finish()
    })
}

struct Intake<'a> {
    books: Books<'a>,
    /// Runs that may be complete now.
    touched: BTreeSet<(TaskId, RunId)>,
}

impl Intake<'_> {
    fn counts(&mut self) -> &mut Counts {
        &mut self.books.desk().counts
    }

    fn take(&mut self, message: &Read<'_>) -> Result<(), StoreError> {
        self.counts().taken += 1;
        let envelope = match &message.said {
            Ok(envelope) => envelope,
            Err(error) => return self.bury(message, &error.to_string()),
        };
        match &envelope.message {
            Message::CreateTask(body) => self.create(message, body),
            Message::CompleteTask(body) => self.complete(message, body),
            Message::TaskProgress(body) => self.progress(message, body),
            Message::RunTask(_) => self.bury(message, "RunTask: a message for workers"),
        }
    }

    /// Keeps a message that is of no use for people to look at.
    fn bury(&mut self, message: &Read<'_>, why: &str) -> Result<(), StoreError> {
        self.counts().buried += 1;
        tracing::warn!(why, "a message that nobody can use");
        let id = message.said.as_ref().ok().map(|envelope| envelope.id);
        let (name, now) = (QueueName::TaskManager.as_str(), self.books.now());
        self.books.tx().put_dead_letter(name, id, message.body, why, now)
    }

    /// The task of a message, if it was given out so and is not over.
    fn task_of(&mut self, assignment: &Assignment) -> Result<Option<TaskRow>, StoreError> {
        let refused = match self.books.task(assignment.task_id)? {
            None => Refused::OtherAttempt,
            Some(task) => match given_out(&task, assignment) {
                Ok(()) => return Ok(Some(task)),
                Err(refused) => refused,
            },
        };
        self.refuse(assignment.task_id, refused);
        Ok(None)
    }

    /// What is said of a task by somebody who does not have it (any more) changes nothing. It is common: messages come twice.
    fn refuse(&mut self, task: TaskId, refused: Refused) {
        self.counts().refused += 1;
        tracing::debug!(%task, why = %refused, "a message that changes nothing");
    }

    fn create(&mut self, message: &Read<'_>, body: &CreateTask) -> Result<(), StoreError> {
        let Some(task) = self.task_of(&body.run.assignment)? else { return Ok(()) };
        let desk = self.books.desk();
        let may_create =
            desk.registry.find(&task.definition).is_some_and(|declared| declared.may_create());
        if !may_create {
            let why =
                format!("{} does not declare QueueAccess and makes no tasks", task.definition);
            return self.bury(message, &why);
        }
        let checked = match desk.registry.find(&body.task.definition) {
            _ if body.index >= desk.settings.most_children => {
                Err(format!("a run makes {} tasks at most", desk.settings.most_children))
            }
            None => Err(format!("no task is called {:?}", body.task.definition)),
            Some(declared) => declared.check(&body.task.input).map(drop).map_err(|error| error.0),
        };
        if let Err(why) = checked {
            let why = format!("task {} that it makes: {why}", body.index);
            self.bury(message, &why)?;
            // The run would wait for this child for ever, and the next would make it again.
            return self.fail(&task, &body.run, TaskError::new(ErrorKind::Input, why));
        }
        let Run { run_id, assignment } = body.run;
        self.books.tx().put_child(assignment.task_id, run_id, body.index, &body.task)?;
        self.touched.insert((assignment.task_id, run_id));
        Ok(())
    }

    fn complete(&mut self, message: &Read<'_>, body: &CompleteTask) -> Result<(), StoreError> {
        let Some(task) = self.task_of(&body.run.assignment)? else { return Ok(()) };
        let run = body.run;
        let parts = match &body.outcome {
            Outcome::Failed { error } => return self.fail(&task, &run, error.clone()),
            Outcome::Succeeded { parts, .. } => *parts,
        };
        if let Some(part) = &body.part {
            if task.class != WorkerClass::External {
                return self.bury(message, "a part in a message of a worker that has a store");
            }
            let most = self.books.desk().settings.most_parts;
            if part.index >= parts || parts > most {
                let why = format!("part {} of {parts}; at most {most} are taken", part.index);
                self.bury(message, &why)?;
                return self.fail(&task, &run, TaskError::new(ErrorKind::Input, why));
            }
            self.books.tx().put_part(task.id, run.run_id, part.index, &part.chunk)?;
        }
        self.books.tx().put_outcome(task.id, run.run_id, &body.outcome)?;
        self.touched.insert((task.id, run.run_id));
        // Whoever says how it ended lives until the rest of what it has sent is here.
        self.alive(&task, &run, None)
    }

    fn progress(&mut self, message: &Read<'_>, body: &TaskProgress) -> Result<(), StoreError> {
        let Some(task) = self.task_of(&body.run.assignment)? else { return Ok(()) };
        if task.class != WorkerClass::External {
            return self.bury(message, "TaskProgress of a worker that has a store");
        }
        self.alive(&task, &body.run, Some((body.done, body.total, &body.note)))
    }

    fn alive(
        &mut self,
        task: &TaskRow,
        run: &Run,
        progress: Option<(u64, Option<u64>, &str)>,
    ) -> Result<(), StoreError> {
        match self.books.apply(task, Event::Alive(run, progress))? {
            // Two runs of one message: the first complete one wins, so the other is no error.
            Ok(_) | Err(Refused::OtherRun) => Ok(()),
            Err(refused) => {
                self.refuse(task.id, refused);
                Ok(())
            }
        }
    }

    fn fail(&mut self, task: &TaskRow, run: &Run, error: TaskError) -> Result<(), StoreError> {
        match self.books.apply(task, Event::Fail(run, &error))? {
            Ok(row) => tracing::info!(
                task = %row.id, definition = row.definition, %error, tries = row.tries,
                state = row.state.as_str(), "failed"
            ),
            Err(refused) => self.refuse(task.id, refused),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), StoreError> {
        for (task, run) in std::mem::take(&mut self.touched) {
            run::complete(&mut self.books, task, run)?;
        }
        self.books.close()
    }
}
