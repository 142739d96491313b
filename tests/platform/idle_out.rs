//! A worker that has nothing to do goes, and a task comes at that very moment. No message waits for longer than a look for
//! machines takes to come around, whatever the order of what either of them does.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use mrpf_manager::Outside;
use mrpf_ports::{
    Delivery, Handle, InstanceId, Queue, QueueError, QueueName, WorkerStore as _,
    clock::{Wake, after, between},
    queue::Depth,
};
use mrpf_records::Timestamp;
use mrpf_tasks::{RunId, TaskId, WorkerClass, message::Run};
use serde_json::json;

use crate::{
    worker::{Output, Worker, order},
    world::{Draw, Planner, Scan, World, step},
};

/// Where a worker is.
#[derive(Clone, Debug)]
enum At {
    /// It looks for its slot.
    Boot,
    /// It has looked for a message so often in vain.
    Idle(u32),
    /// It has a message.
    Working(Run, Handle, u32),
    /// It has said that it drains.
    LastLook,
    /// It has a message of its last look, and says that it lives.
    Again(Delivery),
    /// It has found none.
    Leaving,
    /// It has ended, and its machine goes off.
    Off,
}

/// All workers, each a machine.
struct Workers {
    world: Arc<World>,
    at: BTreeMap<InstanceId, At>,
    /// When a worker took a task.
    taken: BTreeMap<TaskId, Timestamp>,
    draw: Draw,
}

/// Looks in vain before a worker goes.
const PATIENCE: u32 = 4;

impl Workers {
    /// One of them does the next thing it does; perhaps some do.
    fn perhaps(&mut self) {
        for _ in 0..self.draw.below(4) {
            for id in self.world.machines.live() {
                self.at.entry(id).or_insert(At::Boot);
            }
            let n = u64::try_from(self.at.len()).unwrap();
            if n == 0 {
                return;
            }
            let which = usize::try_from(self.draw.below(n)).unwrap();
            let (id, at) =
                self.at.iter().nth(which).map(|(id, at)| (id.clone(), at.clone())).unwrap();
            match self.next(&id, at) {
                Some(at) => drop(self.at.insert(id, at)),
                None => drop(self.at.remove(&id)),
            }
        }
    }

    fn next(&mut self, id: &InstanceId, at: At) -> Option<At> {
        let world = Arc::clone(&self.world);
        let store = &*world.store;
        let worker = Worker::new(&world, WorkerClass::BareMetal);
        let until = after(world.now(), Duration::from_secs(60));
        let live = || store.live_slot(&id.0, until).unwrap();
        Some(match at {
            At::Boot => {
                if live() {
                    At::Idle(0)
                } else {
                    At::Boot
                }
            }
            At::Idle(looks) if looks >= PATIENCE => {
                if store.drain_slot(&id.0).unwrap() {
                    At::LastLook
                } else {
                    At::Off
                }
            }
            At::Idle(looks) => match worker.receive() {
                Some(delivery) => self.begin(&worker, delivery),
                None if live() => At::Idle(looks + 1),
                None => At::Off,
            },
            At::Working(run, handle, 0) => {
                worker.work(&run, Output::none());
                world.queues.get(QueueName::BareMetal).delete(&[handle]).unwrap();
                At::Idle(0)
            }
            At::Working(run, handle, left) => {
                live();
                At::Working(run, handle, left - 1)
            }
            At::LastLook => match worker.receive() {
                Some(delivery) => At::Again(delivery),
                None => At::Leaving,
            },
            At::Again(delivery) => {
                assert!(live(), "a slot is taken from nobody who drains");
                self.begin(&worker, delivery)
            }
            At::Leaving => {
                world.machines.goes(id);
                At::Off
            }
            At::Off => {
                world.machines.off(id);
                return None;
            }
        })
    }

    fn begin(&mut self, worker: &Worker<'_>, delivery: Delivery) -> At {
        let order = order(&delivery);
        let run = Run { assignment: order.assignment, run_id: RunId::fresh() };
        assert!(worker.begin(&run));
        self.taken.insert(order.assignment.task_id, self.world.now());
        let steps = u32::try_from(self.draw.below(4)).unwrap();
        At::Working(run, delivery.handle, steps)
    }
}

/// A queue that lets workers act before and after a message is in it.
struct Watched {
    queue: Arc<dyn Queue>,
    workers: Arc<Mutex<Workers>>,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watched")
    }
}

impl Queue for Watched {
    fn send(&self, bodies: &[String]) -> Result<(), QueueError> {
        self.workers.lock().unwrap().perhaps();
        self.queue.send(bodies)?;
        self.workers.lock().unwrap().perhaps();
        Ok(())
    }

    fn receive_unless(
        &self,
        stop: &Wake,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        self.queue.receive_unless(stop, max, wait, visibility)
    }

    fn extend(&self, handle: &Handle, visibility: Duration) -> Result<(), QueueError> {
        self.queue.extend(handle, visibility)
    }

    fn delete(&self, handles: &[Handle]) -> Result<(), QueueError> {
        self.queue.delete(handles)
    }

    fn depth(&self) -> Result<Depth, QueueError> {
        self.queue.depth()
    }

    fn dead_letters(&self) -> Option<&dyn Queue> {
        self.queue.dead_letters()
    }
}

/// How many tasks come, each at a moment of its own.
const SCHEDULES: u64 = 10_000;

#[test]
fn no_task_waits_longer_than_a_look_for_machines_takes_to_come_around() {
    let mut world = World::new();
    world.settings.max_bare_metal_workers = 2;
    let world = Arc::new(world);
    let workers = Arc::new(Mutex::new(Workers {
        world: Arc::clone(&world),
        at: BTreeMap::new(),
        taken: BTreeMap::new(),
        draw: Draw(1),
    }));
    let outside = world.outside();
    let watched = Watched { queue: Arc::clone(&outside.bare_metal), workers: Arc::clone(&workers) };
    let outside = Outside { bare_metal: Arc::new(watched), ..outside };
    let mut manager = world.manager_of(outside, 1);
    let mut draw = Draw(2);
    let (second, manager_period) = (Duration::from_secs(1), world.settings.reconcile_every);
    let (mut longest, mut launches) = (Duration::ZERO, 0);
    for _ in 0..SCHEDULES {
        let mut plan = Planner::new();
        let id = plan.task::<Scan>(json!(0));
        world.submit(&plan.0);
        let start = world.now();
        // A second in which the manager and the workers do as they come, until somebody has it.
        while !workers.lock().unwrap().taken.contains_key(&id) {
            step(&mut manager, world.now());
            workers.lock().unwrap().perhaps();
            workers.lock().unwrap().perhaps();
            world.clock.pass(second);
            let waited = between(start, world.now());
            assert!(waited < manager_period, "{waited:?}: nobody takes it");
        }
        longest = longest.max(between(start, workers.lock().unwrap().taken[&id]));
        // Around as long as a worker looks in vain: it is anywhere between at work and off when the next task comes.
        for _ in 0..draw.below(12) {
            if draw.is(40) {
                step(&mut manager, world.now());
            }
            workers.lock().unwrap().perhaps();
            world.clock.pass(second / 2);
        }
        launches = world.machines.launches();
    }
    assert!(launches > 1_000, "{launches}: workers hardly ever went");
    eprintln!("{launches} launches for {SCHEDULES} tasks; the longest wait was {longest:?}");
}
