//! Managers that are lost at any moment, and queues that fail: whatever was to be done is done, and once.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use mrpf_embedded::Faults;
use mrpf_manager::{Manager, Outside};
use mrpf_ports::{
    Delivery, Handle, Queue, QueueError, QueueName, WorkerStore as _,
    clock::Wake,
    queue::Depth,
    store::{TaskState, WorkflowState},
};
use mrpf_tasks::{
    Chunk, RunId, TaskDefinition as _, WorkerClass,
    catalogue::DataRef,
    message::{NewTask, Run, RunTask},
};
use serde_json::json;

use crate::{
    worker::{Does, Output, Worker, order},
    world::{Ask, Draw, Look, Make, Planner, Scan, World, check_books, step},
};

/// A queue that fails now and then, before it has done what it was asked, or after.
struct Broken {
    queue: Arc<dyn Queue>,
    draw: Arc<Mutex<Draw>>,
    /// How often in a hundred, before and after each.
    percent: u64,
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Broken")
    }
}

impl Broken {
    fn perhaps<T>(&self, work: impl FnOnce() -> Result<T, QueueError>) -> Result<T, QueueError> {
        let failed =
            || QueueError::Unavailable { queue: "broken".to_owned(), why: "so".to_owned() };
        let (before, after) = {
            let mut draw = self.draw.lock().unwrap();
            (draw.is(self.percent), draw.is(self.percent))
        };
        if before {
            return Err(failed());
        }
        let done = work()?;
        if after { Err(failed()) } else { Ok(done) }
    }
}

impl Queue for Broken {
    fn send(&self, bodies: &[String]) -> Result<(), QueueError> {
        self.perhaps(|| self.queue.send(bodies))
    }

    fn receive_unless(
        &self,
        stop: &Wake,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        self.perhaps(|| self.queue.receive_unless(stop, max, wait, visibility))
    }

    fn extend(&self, handle: &Handle, visibility: Duration) -> Result<(), QueueError> {
        self.perhaps(|| self.queue.extend(handle, visibility))
    }

    fn delete(&self, handles: &[Handle]) -> Result<(), QueueError> {
        self.perhaps(|| self.queue.delete(handles))
    }

    fn depth(&self) -> Result<Depth, QueueError> {
        self.perhaps(|| self.queue.depth())
    }

    fn dead_letters(&self) -> Option<&dyn Queue> {
        self.queue.dead_letters()
    }
}

/// Managers of which one is dropped, and another made, again and again.
struct Managers<'a> {
    world: &'a World,
    draw: Arc<Mutex<Draw>>,
    living: Vec<Manager>,
    made: u64,
}

impl<'a> Managers<'a> {
    fn new(world: &'a World, seed: u64) -> Self {
        Self { world, draw: Arc::new(Mutex::new(Draw(seed))), living: Vec::new(), made: 0 }
    }

    fn fresh(&mut self) -> Manager {
        self.made += 1;
        let broken =
            |queue| Arc::new(Broken { queue, draw: Arc::clone(&self.draw), percent: 5 }) as _;
        let outside = self.world.outside();
        let outside = Outside {
            external: broken(outside.external),
            internal: broken(outside.internal),
            bare_metal: broken(outside.bare_metal),
            task_manager: broken(outside.task_manager),
            ..outside
        };
        self.world.manager_of(outside, self.made)
    }

    /// A step of one of up to three, which may be its last.
    fn step(&mut self) {
        let (which, is_lost) = {
            let mut draw = self.draw.lock().unwrap();
            (usize::try_from(draw.below(3)).unwrap(), draw.is(30))
        };
        while self.living.len() <= which {
            let manager = self.fresh();
            self.living.push(manager);
        }
        self.living[which].step(self.world.now());
        if is_lost {
            self.living.remove(which);
        }
    }
}

/// What a task makes; each run's parts carry its number.
fn output(order: &RunTask, run: &Run) -> Output {
    let child = |definition: &str, n: u64| NewTask {
        definition: definition.to_owned(),
        input: json!({ "n": n, "of": order.assignment.task_id }),
    };
    let (count, every) = match (order.input.as_str(), order.definition.as_str()) {
        (Some("root"), _) => (8, 2),
        (_, Make::NAME) => (12, 3),
        _ => (0, 1),
    };
    let deeper = if every == 2 { Make::NAME } else { Look::NAME };
    let children = (0..count).map(|n| child(if n % every == 0 { deeper } else { Ask::NAME }, n));
    let parts = (0..3).map(|n| json!([run.run_id, n])).collect();
    Output { children: children.collect(), parts, branch: None }
}

#[test]
fn managers_lost_at_any_moment_lose_nothing_and_do_nothing_twice() {
    for seed in 0..20 {
        let faults = Faults { duplicates: 20, stale: 10, is_disordered: true, seed };
        let world = World::with(faults, 10_000);
        let mut plan = Planner::new();
        let all = plan.collection();
        let root = plan.task::<Make>(json!("root"));
        plan.feeder(root, all);
        let last = plan.task::<Look>(json!("last"));
        plan.after_all(last, all);
        for task in &mut plan.0.tasks {
            task.max_tries = 1_000;
        }
        world.submit(&plan.0);
        let mut managers = Managers::new(&world, seed);
        let workers =
            [WorkerClass::External, WorkerClass::Internal].map(|it| Worker::new(&world, it));
        let mut draw = Draw(seed ^ 0xabcd);
        let mut ends: BTreeMap<String, u32> = BTreeMap::new();
        for round in 0.. {
            assert!(round < 20_000, "seed {seed}: it does not end");
            managers.step();
            for worker in &workers {
                for _ in 0..draw.below(20) {
                    let Some(delivery) = worker.receive() else { break };
                    let order = order(&delivery);
                    let run = Run { assignment: order.assignment, run_id: RunId::fresh() };
                    if !worker.begin(&run) {
                        continue;
                    }
                    let output = output(&order, &run);
                    let is_killed = draw.is(15);
                    let most = usize::try_from(draw.below(6)).unwrap();
                    let does =
                        if is_killed { Does::Dies(output, most) } else { Does::Well(output) };
                    if worker.work(&run, does) {
                        *ends.entry(order.input.to_string()).or_default() += 1;
                        world.queues.get(worker.class.into()).delete(&[delivery.handle]).unwrap();
                    }
                }
            }
            if world.workflow(plan.id()).open == 0 {
                break;
            }
            world.clock.pass(Duration::from_millis(draw.below(4_000)));
        }
        check(&world, &plan, root);
        assert!(managers.made > 5, "seed {seed}: hardly anything went wrong");
        assert!(ends.len() > 50);
    }
}

/// Every task is over, each child is there once, and the output of each is that of one run.
#[track_caller]
fn check(world: &World, plan: &Planner, root: mrpf_tasks::TaskId) {
    assert_eq!(world.workflow(plan.id()).state, WorkflowState::Succeeded);
    let tasks = world.tasks(plan.id());
    assert_eq!(tasks.len(), 2 + 8 + 4 * 12);
    check_books(world, plan.id());
    for n in 0..8 {
        assert_eq!(world.task(root.child(n)).parent_id, Some(root));
    }
    for task in &tasks {
        assert_eq!((task.state, task.parts), (TaskState::Succeeded, 3));
        let stored = world.store.read(DataRef::Task(task.id), None, 100).unwrap();
        let items: Vec<_> = stored
            .into_iter()
            .flat_map(|(_, chunk)| match chunk {
                Chunk::Items { items } => items,
                Chunk::Slice { .. } => panic!("no slice was sent"),
            })
            .collect();
        let run = task.run_id.expect("a run ended it");
        assert_eq!(items, [0, 1, 2].map(|n| json!([run, n])), "{}", task.id);
        assert_eq!(world.within(|tx| tx.children(task.id, run)).len(), 0);
    }
}

/// What could not be sent is still to be sent, after a moment, by whoever looks then.
#[test]
fn a_message_that_could_not_be_sent_is_sent_a_moment_later() {
    let world = World::new();
    let mut plan = Planner::new();
    let id = plan.task::<Ask>(json!(1));
    world.submit(&plan.0);
    let outside = world.outside();
    let draw = Arc::new(Mutex::new(Draw(0)));
    let external = Arc::new(Broken { queue: Arc::clone(&outside.external), draw, percent: 100 });
    let mut manager = world.manager_of(Outside { external, ..outside }, 1);
    let errors = manager.step(world.now()).errors;
    assert!(errors.iter().any(|error| error.part == "outbox"), "{errors:?}");
    assert_eq!((world.depth(QueueName::External), world.task(id).attempt), (0, 1));
    world.clock.pass(Duration::from_secs(3));
    step(&mut world.manager(2), world.now());
    assert_eq!((world.depth(QueueName::External), world.task(id).attempt), (1, 1));
}

/// However many messages it has.
#[test]
fn a_queue_that_takes_nothing_is_in_no_other_queues_way() {
    let world = World::new();
    let mut plan = Planner::new();
    for n in 0..450 {
        plan.task::<Ask>(json!(n));
    }
    let id = plan.task::<Look>(json!(1));
    world.submit(&plan.0);
    let outside = world.outside();
    let draw = Arc::new(Mutex::new(Draw(0)));
    let external = Arc::new(Broken { queue: Arc::clone(&outside.external), draw, percent: 100 });
    let mut manager = world.manager_of(Outside { external, ..outside }, 1);
    for _ in 0..30 {
        manager.step(world.now());
        world.clock.pass(Duration::from_secs(1));
    }
    assert_eq!((world.depth(QueueName::Internal), world.task(id).attempt), (1, 1));
}

/// It would idle until it goes, and another would come.
#[test]
fn no_machine_is_launched_for_a_message_that_cannot_be_sent() {
    let world = World::new();
    let mut plan = Planner::new();
    plan.task::<Scan>(json!(1));
    world.submit(&plan.0);
    let outside = world.outside();
    let draw = Arc::new(Mutex::new(Draw(0)));
    let bare_metal =
        Arc::new(Broken { queue: Arc::clone(&outside.bare_metal), draw, percent: 100 });
    let mut manager = world.manager_of(Outside { bare_metal, ..outside }, 1);
    let failed = (0..120).filter(|_| {
        world.clock.pass(Duration::from_secs(1));
        !manager.step(world.now()).errors.is_empty()
    });
    assert!(failed.count() >= 30);
    assert_eq!(manager.counts().launched, 0);
    let mut manager = world.manager(2);
    world.clock.pass(Duration::from_secs(3));
    step(&mut manager, world.now());
    assert_eq!((world.depth(QueueName::BareMetal), manager.counts().launched), (1, 1));
}
