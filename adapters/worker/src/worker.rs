//! The loop: polls while there is a free slot, starts what comes, and winds down.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, SendError, Sender, unbounded};
use mrpf_ports::{
    Clock, Delivery, Handle, InstanceId, Power, Queue, QueueError, Runners, WorkerStore,
    clock::{Wake, after},
};
use mrpf_records::Timestamp;

use crate::{
    held::{Runs, Stopping},
    idle::{Idle, LAST_POLL, Step},
    keeper::keep_all,
    settings::{Settings, SettingsError},
    settle::let_go_of_all,
    shared::{GIVEN_BACK, LOOK, Shared, spawn},
    slot::Slot,
    task::handle,
};

/// After a poll that failed; it doubles up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_secs(1);
/// How long, in real time, a poll that is to end is waited for: those of services take up to a second.
const POLL_ENDS: Duration = Duration::from_millis(1_500);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

/// What a worker works with.
#[derive(Debug)]
pub struct Parts {
    /// The queue of its class.
    pub own: Arc<dyn Queue>,
    /// Where it tells the manager.
    pub task_manager: Arc<dyn Queue>,
    /// The store; external workers have none.
    pub store: Option<Arc<dyn WorkerStore>>,
    /// Who does which tasks.
    pub runners: Runners,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The machine, where it was launched for a slot of the manager's and goes when it is idle.
    pub machine: Option<Machine>,
}

/// The machine of a bare-metal worker.
#[derive(Debug)]
pub struct Machine {
    /// What its fleet calls it.
    pub instance: InstanceId,
    /// Ends it.
    pub power: Arc<dyn Power>,
}

/// Why a worker has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// There was nothing to do; its machine was switched off.
    Idle,
    /// No slot is its: the manager does not count on it. Its machine was switched off.
    NoSlot,
}

/// A worker of any class.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    slot: Option<Arc<Slot>>,
    power: Option<Arc<dyn Power>>,
}

impl Worker {
    /// A worker that has not begun.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] when the settings contradict each other or the parts.
    pub fn new(settings: Settings, parts: Parts) -> Result<Self, SettingsError> {
        let Parts { own, task_manager, store, runners, clock, machine } = parts;
        settings.check(store.is_some(), machine.is_some())?;
        let slot = store.as_ref().zip(machine.as_ref()).map(|(store, machine)| {
            let instance = machine.instance.0.clone();
            Arc::new(Slot::new(Arc::clone(store), instance, settings.lease))
        });
        let (runs, unknown) = (Runs::default(), Default::default());
        let runners = Arc::new(runners);
        let shared = Shared { settings, own, task_manager, store, runners, clock, runs, unknown };
        let power = machine.map(|machine| machine.power);
        Ok(Self { shared: Arc::new(shared), slot, power })
    }

    /// Works until `stop` is set, or until its machine is to go.
    ///
    /// A poll that does not end although it is to, and is still open when this returns, gives back what it gets, for as long as
    /// the process lives.
    ///
    /// # Errors
    ///
    /// When the system gives no thread; nothing was taken then.
    pub fn run(self, stop: &Wake) -> io::Result<Ended> {
        let Self { shared, slot, power } = self;
        let (class, name) = (shared.settings.class, shared.settings.name.as_str());
        tracing::info!(%class, name, "works");
        let has_slot = slot.as_ref().is_none_or(|slot| slot.arrive(shared.clock.as_ref(), stop));
        let ended = match (has_slot, stop.is_set()) {
            (true, _) => work(&shared, slot.as_ref(), stop)?,
            (false, true) => Ended::Stopped,
            (false, false) => Ended::NoSlot,
        };
        tracing::info!(%class, name, ?ended, "ends");
        match power {
            Some(power) if ended != Ended::Stopped => power.off(),
            _ => {}
        }
        Ok(ended)
    }
}

fn work(shared: &Arc<Shared>, slot: Option<&Arc<Slot>>, stop: &Wake) -> io::Result<Ended> {
    let (done, no_more) = (Wake::default(), Wake::default());
    let (polls, asked) = unbounded();
    let (tell, events) = unbounded();
    let poller = {
        let (shared, no_more, tell) = (Arc::clone(shared), no_more.clone(), tell.clone());
        move || poll(&shared, &no_more, &asked, &tell)
    };
    spawn("mrpf-poller", poller)?;
    let keeper = {
        let (shared, slot, done) = (Arc::clone(shared), slot.cloned(), done.clone());
        move || {
            let renew = || {
                if let Some(slot) = &slot {
                    slot.renew(shared.now());
                }
            };
            keep_all(&shared, renew, &done);
        }
    };
    spawn("mrpf-keeper", keeper)?;
    let now = shared.now();
    let mut working = Loop {
        shared,
        slot: slot.map(Arc::as_ref),
        idle: shared.settings.idle.map(|timeout| Idle::new(timeout, now)),
        polls,
        no_more,
        tell,
        events,
        taken: Vec::new(),
        is_polling: false,
        failures: 0,
        not_before: now,
    };
    let ended = working.until_end(stop);
    working.wind_down();
    done.set();
    Ok(ended)
}

/// One poll: how many messages at most, and how long.
struct Poll(usize, Duration);

enum Event {
    Polled(Result<Vec<Delivery>, QueueError>),
    /// A message was dealt with, and its slot is free again; whether a task was run in it.
    Free(Handle, bool),
}

fn poll(shared: &Shared, no_more: &Wake, asked: &Receiver<Poll>, tell: &Sender<Event>) {
    for Poll(most, wait) in asked {
        let got = shared.own.receive_unless(no_more, most, wait, shared.settings.lease);
        if let Err(SendError(Event::Polled(Ok(deliveries)))) = tell.send(Event::Polled(got)) {
            // The loop has ended.
            give_back(shared, &deliveries);
        }
    }
}

fn give_back(shared: &Shared, deliveries: &[Delivery]) {
    for delivery in deliveries {
        shared.give_back(&delivery.handle, Duration::ZERO);
    }
}

struct Loop<'a> {
    shared: &'a Arc<Shared>,
    slot: Option<&'a Slot>,
    idle: Option<Idle>,
    polls: Sender<Poll>,
    /// Ends a poll that is open.
    no_more: Wake,
    tell: Sender<Event>,
    events: Receiver<Event>,
    /// Messages that are dealt with, each in a slot.
    taken: Vec<Handle>,
    is_polling: bool,
    /// Polls that failed one after the other.
    failures: u32,
    /// No poll begins before.
    not_before: Timestamp,
}

impl Loop<'_> {
    fn until_end(&mut self, stop: &Wake) -> Ended {
        loop {
            if stop.is_set() {
                return Ended::Stopped;
            }
            let is_lost = self.slot.is_some_and(Slot::is_lost);
            if !self.is_polling && !is_lost {
                if let Some(ended) = self.next_step() {
                    return ended;
                }
            } else if is_lost && self.taken.is_empty() {
                return Ended::NoSlot;
            }
            if let Ok(event) = self.events.recv_timeout(LOOK) {
                self.note(event, is_lost);
            }
        }
    }

    /// No poll is open: begins one where there is a free slot, or goes.
    fn next_step(&mut self) -> Option<Ended> {
        let now = self.shared.now();
        let free = self.shared.settings.slots - self.taken.len();
        if free == 0 || now < self.not_before {
            return None;
        }
        let poll_wait = self.shared.settings.poll_wait;
        let step =
            self.idle.as_ref().map_or(Step::Poll(poll_wait), |idle| idle.step(now, poll_wait));
        match step {
            Step::Poll(wait) => self.ask(free, wait),
            Step::LastPoll => self.ask(free, LAST_POLL),
            Step::Drain => self.drain(now),
            Step::Off => return Some(Ended::Idle),
        }
        None
    }

    fn ask(&mut self, most: usize, wait: Duration) {
        self.is_polling = self.polls.send(Poll(most, wait)).is_ok();
    }

    fn drain(&mut self, now: Timestamp) {
        match self.slot.map_or(Ok(true), Slot::drain) {
            Ok(true) => {
                if let Some(idle) = &mut self.idle {
                    idle.drained(now);
                }
            }
            // Lost: the loop ends.
            Ok(false) => {}
            // The manager counts on us until it can be told.
            Err(error) => {
                tracing::warn!(%error, "the slot of this machine is not marked as draining");
                self.not_before = after(now, PAUSE);
            }
        }
    }

    fn note(&mut self, event: Event, is_lost: bool) {
        let now = self.shared.now();
        match event {
            Event::Free(message, was_run) => {
                self.forget(&message);
                if let Some(idle) = &mut self.idle {
                    idle.let_go(was_run, now);
                }
            }
            Event::Polled(got) => {
                self.is_polling = false;
                match got {
                    Ok(deliveries) => {
                        self.failures = 0;
                        self.take(deliveries, is_lost, now);
                    }
                    Err(error) => {
                        let pause =
                            PAUSE.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE);
                        tracing::warn!(%error, ?pause, "no messages can be had");
                        self.failures += 1;
                        self.not_before = after(now, pause);
                    }
                }
            }
        }
    }

    fn take(&mut self, deliveries: Vec<Delivery>, is_lost: bool, now: Timestamp) {
        if deliveries.is_empty() {
            if let Some(idle) = &mut self.idle {
                idle.found_nothing();
            }
            return;
        }
        let was_draining = self.idle.as_mut().is_some_and(|idle| idle.took(deliveries.len()));
        let may_take = match self.slot {
            Some(slot) if was_draining => slot.revive(now),
            _ => !is_lost,
        };
        self.taken.extend(deliveries.iter().map(|delivery| delivery.handle.clone()));
        for delivery in deliveries {
            if may_take {
                self.start(delivery);
            } else {
                self.shared.give_back(&delivery.handle, Duration::ZERO);
                self.free(delivery.handle);
            }
        }
    }

    fn start(&self, delivery: Delivery) {
        let (shared, tell) = (Arc::clone(self.shared), self.tell.clone());
        let message = delivery.handle.clone();
        let body = move || {
            let was_run = handle(&shared, &delivery);
            // The loop may have ended.
            let _ = tell.send(Event::Free(delivery.handle, was_run));
        };
        if let Err(error) = spawn("mrpf-task", body) {
            tracing::error!(%error, "the system gives no thread for a task");
            self.shared.give_back(&message, GIVEN_BACK);
            self.free(message);
        }
    }

    fn free(&self, message: Handle) {
        // We hold the other end ourselves.
        let _ = self.tell.send(Event::Free(message, false));
    }

    fn forget(&mut self, message: &Handle) {
        self.taken.retain(|other| other != message);
    }

    /// Everything that is held is done, or visible to others, when this returns.
    fn wind_down(&mut self) {
        let shared = self.shared;
        let deadline = after(shared.now(), shared.settings.grace);
        self.end_poll();
        shared.runs.stop(Stopping::Told);
        if let Some(Err(error)) = self.slot.map(Slot::drain) {
            tracing::warn!(%error, "the slot of this machine is not marked as draining");
        }
        while !self.taken.is_empty() && shared.now() < deadline {
            if let Ok(event) = self.events.recv_timeout(LOOK) {
                self.end(event);
            }
        }
        let_go_of_all(shared, &self.taken);
        while let Ok(event) = self.events.try_recv() {
            self.end(event);
        }
    }

    /// Waits a moment for the poll that is open: it would take again what is given back.
    fn end_poll(&mut self) {
        self.no_more.set();
        let end = Instant::now() + POLL_ENDS;
        while self.is_polling && Instant::now() < end {
            if let Ok(event) = self.events.recv_timeout(LOOK) {
                self.end(event);
            }
        }
    }

    fn end(&mut self, event: Event) {
        match event {
            Event::Free(message, _) => self.forget(&message),
            Event::Polled(got) => {
                self.is_polling = false;
                give_back(self.shared, &got.unwrap_or_default());
            }
        }
    }
}
