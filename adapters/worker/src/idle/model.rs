//! Every order of steps of workers, manager and reconciler, second by second.
//!
//! ```text
//!  manager     send, then count live + launching and launch while there are too few       (one message after the other, any time)
//!  worker      boot, poll, drain, poll a last time, run, go: what `Idle` says; then its machine takes a while to go off
//!  reconciler  once a period, and when a machine is gone: frees its slot, counts and launches as the manager does
//! ```
//!
//! Each step is atomic, as a transaction or a call to the queue is, and may be taken at once or up to [`SLACK`] or [`PAUSE`]
//! later; all orders and delays are explored, layer by layer, so this is a proof for the sizes below. Workers are driven by [`Idle`]
//! itself. [`Rules`] can break the protocol, and then a message waits for nobody.

use std::collections::HashSet;

use super::*;

/// Longest that a worker or the reconciler takes for a step that it could take at once.
const SLACK: u64 = 1;
/// Longest that the manager takes from one of its steps to the next: longer than a worker takes to go.
const PAUSE: u64 = 4;
/// From the decision to launch to a worker that polls.
const LAUNCH: u64 = 3;
/// Longer than the idle timeout.
const TASK: u64 = 5;
const TIMEOUT: u32 = 3;
const PERIOD: u64 = 30;
/// From the end of a worker to that of its machine.
const OFF: u64 = 2;
/// Longest until the manager sees that.
const LOOK: u64 = 2;
/// No message is sent later.
const LAST_SEND: u64 = 14;
/// By then every worker has gone.
const HORIZON: u64 = 80;

#[derive(Clone, Copy, Debug)]
struct Rules {
    slots: usize,
    messages: usize,
    /// Whether a draining worker polls once more.
    polls_again: bool,
    /// Whether the manager counts before it sends.
    counts_first: bool,
    /// Whether draining workers count as capacity.
    counts_draining: bool,
    /// Whether there is a reconciler. Without one slots fall free all the same.
    reconciles: bool,
    /// Whether a worker that goes frees its slot itself.
    frees_early: bool,
    /// For how long after it was sent a message may be hidden from polls.
    late: u64,
}

/// As it should be, on a queue that shows each message at once.
const PROTOCOL: Rules = Rules {
    slots: 3,
    messages: 2,
    polls_again: true,
    counts_first: false,
    counts_draining: false,
    reconciles: false,
    frees_early: false,
    late: 0,
};

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Message {
    Unsent,
    Waiting { sent: u64, shows: u64 },
    Held,
    Done,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Slot {
    Free,
    Launching,
    Live,
    Draining,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Worker {
    slot: usize,
    idle: Idle,
    does: Does,
}

/// `by` is when a step is taken at the latest.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Does {
    Boots {
        until: u64,
    },
    Decides {
        by: u64,
    },
    Drains {
        by: u64,
    },
    Polls {
        until: u64,
    },
    Starts {
        message: usize,
        revives: bool,
        by: u64,
    },
    Runs {
        message: usize,
        until: u64,
    },
    Goes {
        by: u64,
    },
    /// The worker has ended, and its machine has not.
    GoesOff {
        until: u64,
    },
    /// Its machine is gone, and the manager has not seen that.
    IsOff {
        by: u64,
    },
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Manager {
    Rests,
    /// Has sent, and is to count.
    Counts {
        by: u64,
    },
    /// The other way round.
    Sends {
        message: usize,
        by: u64,
    },
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct World {
    now: u64,
    messages: Vec<Message>,
    slots: Vec<Slot>,
    /// Those whose machines are seen to be gone are removed.
    workers: Vec<Worker>,
    manager: Manager,
    reconciles_at: u64,
}

/// What must not be, and how it came about.
#[derive(Debug)]
enum Wrong {
    /// A message that nobody has taken.
    Late(#[expect(dead_code, reason = "shown when a test fails")] Box<World>),
    /// More machines than there may be.
    TooMany(#[expect(dead_code, reason = "shown when a test fails")] Box<World>),
}

impl World {
    /// One live worker that has just ended a task.
    fn new(rules: &Rules) -> Self {
        let mut slots = vec![Slot::Free; rules.slots];
        slots[0] = Slot::Live;
        let mut world = Self {
            now: 0,
            messages: vec![Message::Unsent; rules.messages],
            slots,
            workers: Vec::new(),
            manager: Manager::Rests,
            reconciles_at: PERIOD,
        };
        let idle = world.idle();
        world.workers.push(Worker { slot: 0, idle, does: Does::Decides { by: SLACK } });
        world
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.now * 1_000_000)
    }

    fn idle(&self) -> Idle {
        Idle::new(IdleTimeout::from_secs(TIMEOUT).unwrap(), self.time())
    }

    fn by(&self) -> u64 {
        self.now + SLACK
    }

    fn is_over(&self) -> bool {
        self.workers.is_empty() && self.messages.iter().all(|message| *message == Message::Done)
    }

    /// Whether something cannot wait until the next second.
    fn is_pressed(&self, rules: &Rules) -> bool {
        let now = self.now;
        let unsent = self.messages.contains(&Message::Unsent);
        let manager = match self.manager {
            Manager::Rests => unsent && now >= LAST_SEND,
            Manager::Counts { by } | Manager::Sends { by, .. } => by <= now,
        };
        let shown = self.messages.iter().any(|message| self.shows(message));
        manager
            || (rules.reconciles && self.reconciles_at <= now)
            || self.workers.iter().any(|worker| match worker.does {
                Does::Boots { until } | Does::Runs { until, .. } | Does::GoesOff { until } => {
                    until <= now
                }
                Does::Polls { until } => until <= now || shown,
                Does::Decides { by }
                | Does::Drains { by }
                | Does::Starts { by, .. }
                | Does::Goes { by }
                | Does::IsOff { by } => by <= now,
            })
    }

    fn shows(&self, message: &Message) -> bool {
        matches!(message, Message::Waiting { shows, .. } if *shows <= self.now)
    }

    /// Every world that one step makes of this.
    fn steps(&self, rules: &Rules) -> Vec<Self> {
        let mut next = Vec::new();
        self.manager_steps(rules, &mut next);
        if rules.reconciles && self.reconciles_at <= self.now {
            let mut world = self.clone();
            world.reconciles_at += PERIOD;
            world.launch(rules, 0);
            next.push(world);
        }
        for at in 0..self.workers.len() {
            self.worker_steps(at, rules, &mut next);
        }
        next
    }

    fn manager_steps(&self, rules: &Rules, next: &mut Vec<Self>) {
        match self.manager {
            Manager::Rests => {
                // All messages are alike, so the first that is unsent stands for all.
                let Some(message) = self.messages.iter().position(|m| *m == Message::Unsent) else {
                    return;
                };
                if rules.counts_first {
                    let mut world = self.clone();
                    world.launch(rules, 1);
                    world.manager = Manager::Sends { message, by: self.now + PAUSE };
                    next.push(world);
                } else {
                    self.send(message, Manager::Counts { by: self.now + PAUSE }, rules, next);
                }
            }
            Manager::Counts { .. } => {
                let mut world = self.clone();
                world.launch(rules, 0);
                world.manager = Manager::Rests;
                next.push(world);
            }
            Manager::Sends { message, .. } => self.send(message, Manager::Rests, rules, next),
        }
    }

    fn send(&self, message: usize, manager: Manager, rules: &Rules, next: &mut Vec<Self>) {
        let mut delays = vec![0, rules.late];
        delays.dedup();
        for delay in delays {
            let mut world = self.clone();
            world.messages[message] = Message::Waiting { sent: self.now, shows: self.now + delay };
            world.manager = manager.clone();
            next.push(world);
        }
    }

    /// The manager's rule, in one transaction: launch while there are fewer workers than unfinished tasks and a slot is free.
    /// `more` tasks are about to be sent.
    fn launch(&mut self, rules: &Rules, more: usize) {
        let open = |message: &&Message| matches!(message, Message::Waiting { .. } | Message::Held);
        let unfinished = self.messages.iter().filter(open).count() + more;
        let is_capacity = |slot: &&Slot| match slot {
            Slot::Live | Slot::Launching => true,
            Slot::Draining => rules.counts_draining,
            Slot::Free => false,
        };
        while self.slots.iter().filter(is_capacity).count() < unfinished {
            let Some(slot) = self.slots.iter().position(|slot| *slot == Slot::Free) else { return };
            self.slots[slot] = Slot::Launching;
            let does = Does::Boots { until: self.now + LAUNCH };
            self.workers.push(Worker { slot, idle: self.idle(), does });
        }
    }

    fn worker_steps(&self, at: usize, rules: &Rules, next: &mut Vec<Self>) {
        let (now, worker) = (self.now, &self.workers[at]);
        let mut change = |change: &dyn Fn(&mut Self, &mut Worker)| {
            let (mut world, mut worker) = (self.clone(), worker.clone());
            change(&mut world, &mut worker);
            world.workers[at] = worker;
            next.push(world);
        };
        match worker.does {
            Does::Boots { until } if until <= now => change(&|world, worker| {
                world.slots[worker.slot] = Slot::Live;
                worker.idle = world.idle();
                worker.does = Does::Decides { by: world.by() };
            }),
            Does::Decides { .. } => change(&|world, worker| {
                worker.does = match worker.idle.step(world.time(), Duration::from_secs(20)) {
                    Step::Poll(wait) => Does::Polls { until: now + wait.as_secs() },
                    Step::Drain => Does::Drains { by: world.by() },
                    Step::LastPoll => Does::Polls { until: now + LAST_POLL.as_secs() },
                    Step::Off => Does::Goes { by: world.by() },
                };
            }),
            Does::Drains { .. } => change(&|world, worker| {
                world.slots[worker.slot] = Slot::Draining;
                worker.idle.drained(world.time());
                if !rules.polls_again {
                    worker.idle.found_nothing();
                }
                worker.does = Does::Decides { by: world.by() };
            }),
            Does::Polls { until } => match self.messages.iter().position(|m| self.shows(m)) {
                Some(message) => change(&|world, worker| {
                    world.messages[message] = Message::Held;
                    let revives = worker.idle.took(1);
                    worker.does = Does::Starts { message, revives, by: world.by() };
                }),
                None if until <= now => change(&|world, worker| {
                    worker.idle.found_nothing();
                    worker.does = Does::Decides { by: world.by() };
                }),
                None => {}
            },
            Does::Starts { message, revives, .. } => change(&|world, worker| {
                if revives {
                    world.slots[worker.slot] = Slot::Live;
                }
                worker.does = Does::Runs { message, until: now + TASK };
            }),
            Does::Runs { message, until } if until <= now => change(&|world, worker| {
                world.messages[message] = Message::Done;
                worker.idle.let_go(true, world.time());
                worker.does = Does::Decides { by: world.by() };
            }),
            Does::Goes { .. } => change(&|world, worker| {
                if rules.frees_early {
                    world.slots[worker.slot] = Slot::Free;
                }
                worker.does = Does::GoesOff { until: now + OFF };
            }),
            Does::GoesOff { until } if until <= now => change(&|_, worker| {
                worker.does = Does::IsOff { by: now + LOOK };
            }),
            Does::IsOff { .. } => {
                let mut world = self.clone();
                if !rules.frees_early {
                    world.slots[worker.slot] = Slot::Free;
                }
                world.workers.remove(at);
                if rules.reconciles {
                    world.launch(rules, 0);
                }
                next.push(world);
            }
            Does::Boots { .. } | Does::Runs { .. } | Does::GoesOff { .. } => {}
        }
    }

    /// How long the message that waits longest does.
    fn longest_wait(&self) -> u64 {
        let wait = |message: &Message| match message {
            Message::Waiting { sent, .. } => self.now - sent,
            _ => 0,
        };
        self.messages.iter().map(wait).max().unwrap_or(0)
    }

    /// How many machines there are.
    fn machines(&self) -> usize {
        let is_there = |worker: &&Worker| !matches!(worker.does, Does::IsOff { .. });
        self.workers.iter().filter(is_there).count()
    }

    /// Whether the timer has fired on a worker that has a message.
    fn fires_in_a_task(&self) -> bool {
        self.workers.iter().any(|worker| {
            let has_message = matches!(worker.does, Does::Starts { .. } | Does::Runs { .. });
            let step = worker.idle.step(self.time(), Duration::from_secs(20));
            has_message && !matches!(step, Step::Poll(_))
        })
    }
}

/// The longest that a message waits in any order of steps, and how many worlds there are; or the first in which one waits
/// longer than `most`, or there are too many machines.
fn explore(rules: &Rules, most: u64) -> Result<(u64, usize), Wrong> {
    let mut layer = HashSet::from([World::new(rules)]);
    let (mut longest, mut count) = (0, 0);
    for now in 0..=HORIZON {
        let mut todo: Vec<World> = layer.iter().cloned().collect();
        while let Some(world) = todo.pop() {
            assert!(!world.fires_in_a_task(), "the timer runs during a task: {world:?}");
            longest = longest.max(world.longest_wait());
            if world.longest_wait() > most {
                return Err(Wrong::Late(Box::new(world)));
            }
            if world.machines() > rules.slots {
                return Err(Wrong::TooMany(Box::new(world)));
            }
            for next in world.steps(rules) {
                if !layer.contains(&next) {
                    layer.insert(next.clone());
                    todo.push(next);
                }
            }
        }
        count += layer.len();
        layer = layer
            .into_iter()
            .filter(|world| !world.is_pressed(rules) && !world.is_over())
            .map(|world| World { now: now + 1, ..world })
            .collect();
        if layer.is_empty() {
            return Ok((longest, count));
        }
    }
    panic!("workers do not go: {} worlds are left, such as {:?}", layer.len(), layer.iter().next());
}

/// From the moment a message is sent to a worker that was launched for it: the count, the launch, the first poll.
const LAUNCHED: u64 = PAUSE + LAUNCH + SLACK;
/// A worker that goes, from the first step of that to its free slot.
const GOES: u64 = 3 * SLACK + LAST_POLL.as_secs() + OFF + LOOK;

#[test]
fn no_message_waits_longer_than_a_launch_takes() {
    let (longest, worlds) = explore(&PROTOCOL, LAUNCHED).unwrap();
    assert_eq!(longest, LAUNCHED, "some message was sent to nobody");
    assert!(worlds > 10_000, "{worlds} worlds");
}

#[test]
fn without_the_last_poll_a_message_waits_for_nobody() {
    let wrong = explore(&Rules { polls_again: false, ..PROTOCOL }, HORIZON / 2).unwrap_err();
    assert!(matches!(wrong, Wrong::Late(_)), "{wrong:?}");
}

#[test]
fn a_manager_that_counts_before_it_sends_sends_to_nobody() {
    let wrong = explore(&Rules { counts_first: true, ..PROTOCOL }, HORIZON / 2).unwrap_err();
    assert!(matches!(wrong, Wrong::Late(_)), "{wrong:?}");
}

#[test]
fn a_manager_that_counts_on_draining_workers_sends_to_nobody() {
    let wrong = explore(&Rules { counts_draining: true, ..PROTOCOL }, HORIZON / 2).unwrap_err();
    assert!(matches!(wrong, Wrong::Late(_)), "{wrong:?}");
}

/// A queue may show a message late, and there may be no free slot while a worker goes: when it has gone the manager finds what was
/// missed.
#[test]
fn no_message_waits_longer_than_a_worker_takes_to_go_and_a_launch() {
    for (slots, messages) in [(1, 1), (2, 2)] {
        let rules =
            Rules { slots, messages, reconciles: true, late: LAST_POLL.as_secs() + 2, ..PROTOCOL };
        let (longest, worlds) = explore(&rules, GOES + LAUNCHED).unwrap();
        assert!(longest > LAUNCHED, "{longest} s: nothing was ever missed in {worlds} worlds");
        let wrong = explore(&Rules { reconciles: false, ..rules }, HORIZON / 2).unwrap_err();
        assert!(matches!(wrong, Wrong::Late(_)), "{wrong:?}");
    }
}

#[test]
fn a_worker_that_frees_its_slot_itself_makes_one_machine_too_many() {
    let rules = Rules { slots: 1, frees_early: true, ..PROTOCOL };
    let wrong = explore(&rules, HORIZON).unwrap_err();
    assert!(matches!(wrong, Wrong::TooMany(_)), "{wrong:?}");
}
