//! What the threads of a worker share, and what each of them does with messages.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use mrpf_ports::{
    Clock, Handle, Queue, QueueError, Runners, StoreError, WorkerStore, clock::after, store::Lease,
};
use mrpf_records::Timestamp;
use mrpf_tasks::{
    ErrorKind, TaskError,
    message::{Envelope, Message},
};

use crate::{
    held::{Runs, lock},
    settings::Settings,
};

/// How soon it is seen that there is to be an end, or that time has passed.
pub(crate) const LOOK: Duration = Duration::from_millis(50);
/// How long a message that we cannot use is hidden: for others to have a look, and not to spin.
pub(crate) const GIVEN_BACK: Duration = Duration::from_secs(5);
/// How often something that may succeed at the next try is tried.
const TRIES: u32 = 4;
/// Before the second try; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) own: Arc<dyn Queue>,
    pub(crate) task_manager: Arc<dyn Queue>,
    pub(crate) store: Option<Arc<dyn WorkerStore>>,
    pub(crate) runners: Arc<Runners>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) runs: Runs,
    /// Kinds of tasks that cannot be done here, each of which is news once.
    pub(crate) unknown: Arc<Mutex<BTreeSet<String>>>,
}

impl Shared {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// From now on.
    pub(crate) fn lease(&self) -> Lease<'_> {
        let now = self.now();
        Lease { worker: &self.settings.name, now, until: after(now, self.settings.lease) }
    }

    /// Shows a message to others after `delay`.
    pub(crate) fn give_back(&self, handle: &Handle, delay: Duration) {
        match self.own.extend(handle, delay) {
            // It has gone back by itself.
            Ok(()) | Err(QueueError::LeaseLost { .. }) => {}
            Err(error) => {
                tracing::warn!(%error, "a message is not given back, and so stays hidden for a while")
            }
        }
    }

    /// Removes a message that was dealt with.
    pub(crate) fn delete(&self, handle: &Handle) {
        if let Err(error) = again(|| self.own.delete(std::slice::from_ref(handle)), |_| true) {
            tracing::warn!(%error, "a message that was dealt with is not deleted, and so comes again");
        }
    }

    /// Sends messages to the manager.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Input`] for one that is too large, [`ErrorKind::Storage`] when the queue does not take them.
    pub(crate) fn send(&self, messages: Vec<Message>) -> Result<(), TaskError> {
        let now = self.now();
        let body = |message| Envelope::new(message, now).to_json();
        let bodies: Vec<String> = messages
            .into_iter()
            .map(body)
            .collect::<Result<_, _>>()
            .map_err(|error| TaskError::new(ErrorKind::Input, error.to_string()))?;
        let may_succeed = |error: &QueueError| matches!(error, QueueError::Unavailable { .. });
        again(|| self.task_manager.send(&bodies), may_succeed).map_err(|error| {
            let kind = match error {
                QueueError::TooLarge { .. } => ErrorKind::Input,
                _ => ErrorKind::Storage,
            };
            TaskError::new(kind, error.to_string())
        })
    }

    /// Whether this is the first time that a kind of task cannot be done here.
    pub(crate) fn is_news(&self, definition: &str) -> bool {
        // What others send does not grow our memory without end.
        let mut unknown = lock(&self.unknown);
        unknown.len() < 1_000 && unknown.insert(definition.chars().take(80).collect())
    }
}

/// Threads are not waited for: one may be in a call that takes longer than a worker that is to stop has.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(body).map(drop)
}

/// Tries a call of the store a few times while others are in its way.
pub(crate) fn patiently<T>(call: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    again(call, |error| matches!(error, StoreError::Busy(_)))
}

/// Real time, as what it waits for is.
fn again<T, E>(
    mut call: impl FnMut() -> Result<T, E>,
    may_succeed: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..TRIES {
        match call() {
            Err(error) if may_succeed(&error) => thread::sleep(pause),
            done => return done,
        }
        pause *= 2;
    }
    call()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_succeed_is_tried_again_and_nothing_else() {
        let mut calls = 0;
        let busy = patiently(|| {
            calls += 1;
            if calls < 3 { Err(StoreError::Busy("locked".to_owned())) } else { Ok(calls) }
        });
        assert_eq!(busy.unwrap(), 3);
        calls = 0;
        let fenced: Result<(), _> = patiently(|| {
            calls += 1;
            Err(StoreError::Fenced)
        });
        assert!(matches!(fenced, Err(StoreError::Fenced)));
        assert_eq!(calls, 1);
        let never: Result<(), _> = patiently(|| {
            calls += 1;
            Err(StoreError::Busy("locked".to_owned()))
        });
        assert!(never.is_err());
        assert_eq!(calls, 1 + TRIES);
    }
}
