//! A queue in memory, with visibility in virtual time, that notes what is asked of it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mrpf_ports::{
    Clock, Delivery, Handle, Queue, QueueError,
    clock::{Wake, after, between},
    queue::Depth,
};
use mrpf_records::Timestamp;
use mrpf_tasks::message::{Envelope, Message};

use crate::{time::Time, world::Log};

/// Deliveries before a message is a dead letter.
pub(crate) const MAX_RECEIVES: u32 = 10;

#[derive(Debug)]
pub(crate) struct FakeQueue {
    time: Arc<Time>,
    log: Log,
    name: &'static str,
    state: Mutex<State>,
    /// Whether a poll goes on when it is to stop: it had its message already.
    is_deaf: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    messages: Vec<Stored>,
    dead: Vec<String>,
    handles: u64,
    sent: Vec<String>,
    /// Of each poll: how many it asked for, while how many were out, and how long it waits.
    polls: Vec<(usize, usize, Duration)>,
    hidden: Vec<Duration>,
    failures: usize,
}

#[derive(Debug)]
struct Stored {
    body: String,
    handle: String,
    receives: u32,
    visible_at: Timestamp,
}

impl FakeQueue {
    pub(crate) fn new(time: &Arc<Time>, log: &Log, name: &'static str) -> Self {
        let (state, is_deaf) = Default::default();
        Self { time: Arc::clone(time), log: log.clone(), name, state, is_deaf }
    }

    /// Lets polls go on that are to stop.
    pub(crate) fn deafen(&self) {
        self.is_deaf.store(true, Ordering::Relaxed);
    }

    /// Puts a message in that was delivered `receives` times before.
    pub(crate) fn put(&self, body: String, receives: u32) {
        let visible_at = self.time.now();
        let stored = Stored { body, handle: String::new(), receives, visible_at };
        self.state.lock().unwrap().messages.push(stored);
    }

    /// Lets the next calls to `send` and `receive` fail.
    pub(crate) fn fail(&self, calls: usize) {
        self.state.lock().unwrap().failures = calls;
    }

    /// Somebody else receives everything that is out.
    pub(crate) fn steal(&self) {
        let mut state = self.state.lock().unwrap();
        for stored in &mut state.messages {
            stored.handle = "stolen".to_owned();
        }
    }

    /// Somebody else receives the last message.
    pub(crate) fn steal_last(&self) {
        if let Some(stored) = self.state.lock().unwrap().messages.last_mut() {
            stored.handle = "stolen".to_owned();
        }
    }

    /// How many messages there are that nobody has.
    pub(crate) fn visible(&self) -> usize {
        let now = self.time.now();
        let state = self.state.lock().unwrap();
        state.messages.iter().filter(|stored| stored.visible_at <= now).count()
    }

    pub(crate) fn count(&self) -> usize {
        self.state.lock().unwrap().messages.len()
    }

    pub(crate) fn dead(&self) -> usize {
        self.state.lock().unwrap().dead.len()
    }

    /// How often the messages that are left were received.
    pub(crate) fn receives(&self) -> Vec<u32> {
        self.state.lock().unwrap().messages.iter().map(|stored| stored.receives).collect()
    }

    /// For how long messages were hidden, in the order of the calls.
    pub(crate) fn hidden(&self) -> Vec<Duration> {
        self.state.lock().unwrap().hidden.clone()
    }

    pub(crate) fn polls(&self) -> Vec<(usize, usize, Duration)> {
        self.state.lock().unwrap().polls.clone()
    }

    /// What was sent, ever.
    pub(crate) fn sent(&self) -> Vec<Message> {
        let state = self.state.lock().unwrap();
        state.sent.iter().map(|body| Envelope::parse(body).unwrap().message).collect()
    }

    fn fails(&self) -> Result<(), QueueError> {
        let mut state = self.state.lock().unwrap();
        match state.failures.checked_sub(1) {
            Some(left) => {
                state.failures = left;
                let why = "the test says so".to_owned();
                Err(QueueError::Unavailable { queue: self.name.to_owned(), why })
            }
            None => Ok(()),
        }
    }

    fn take(&self, max: usize, visibility: Duration) -> Vec<Delivery> {
        let now = self.time.now();
        let mut state = self.state.lock().unwrap();
        let State { messages, dead, handles, .. } = &mut *state;
        messages.retain(|stored| {
            let is_dead = stored.visible_at <= now && stored.receives >= MAX_RECEIVES;
            if is_dead {
                dead.push(stored.body.clone());
            }
            !is_dead
        });
        let visible = messages.iter_mut().filter(|stored| stored.visible_at <= now).take(max);
        visible
            .map(|stored| {
                *handles += 1;
                stored.handle = handles.to_string();
                stored.receives += 1;
                stored.visible_at = after(now, visibility);
                Delivery {
                    handle: Handle(stored.handle.clone()),
                    body: stored.body.clone(),
                    receive_count: stored.receives,
                }
            })
            .collect()
    }
}

impl Queue for FakeQueue {
    fn send(&self, bodies: &[String]) -> Result<(), QueueError> {
        self.fails()?;
        for body in bodies {
            self.log.note(format!("sent {}", Envelope::parse(body).unwrap().message.kind()));
            self.state.lock().unwrap().sent.push(body.clone());
        }
        Ok(())
    }

    fn receive_unless(
        &self,
        stop: &Wake,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        self.fails()?;
        let now = self.time.now();
        let mut state = self.state.lock().unwrap();
        let out = state.messages.iter().filter(|stored| stored.visible_at > now).count();
        state.polls.push((max, out, wait));
        drop(state);
        self.log.note("polled");
        let end = after(now, wait);
        loop {
            let is_over = || stop.is_set() && !self.is_deaf.load(Ordering::Relaxed);
            if is_over() {
                return Ok(Vec::new());
            }
            let taken = self.take(max, visibility);
            if !taken.is_empty() || self.time.now() >= end {
                return Ok(taken);
            }
            let left = between(self.time.now(), end);
            self.time.wait(left, || self.visible() > 0 || is_over());
        }
    }

    fn extend(&self, handle: &Handle, visibility: Duration) -> Result<(), QueueError> {
        let now = self.time.now();
        let mut state = self.state.lock().unwrap();
        let mut messages = state.messages.iter_mut();
        let Some(stored) = messages.find(|it| it.handle == handle.0 && it.visible_at > now) else {
            return Err(QueueError::LeaseLost { queue: self.name.to_owned() });
        };
        stored.visible_at = after(now, visibility);
        state.hidden.push(visibility);
        Ok(())
    }

    fn delete(&self, handles: &[Handle]) -> Result<(), QueueError> {
        self.log.note("deleted");
        let is_theirs = |stored: &Stored| handles.iter().any(|handle| handle.0 == stored.handle);
        self.state.lock().unwrap().messages.retain(|stored| !is_theirs(stored));
        Ok(())
    }

    fn depth(&self) -> Result<Depth, QueueError> {
        Ok(Depth::default())
    }

    fn dead_letters(&self) -> Option<&dyn Queue> {
        None
    }
}
