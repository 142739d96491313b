//! A store that nobody reaches for a while: the manager asks it now and then, does no harm, and goes on where it was.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use mrpf_embedded::SqliteStore;
use mrpf_manager::{Manager, Outside};
use mrpf_ports::{
    ManagerStore, Queue as _, QueueName, StoreError, WorkerStore,
    clock::after,
    store::{
        Checkpoint, Claim, Cursor, Lease, ModelRow, RefusalRow, Renewal, SeenCount, TaskState, Tx,
    },
};
use mrpf_records::Timestamp;
use mrpf_tasks::{
    AddressRange, Chunk, CollectionId, RunId, WorkerClass, WorkflowId,
    catalogue::{DataRef, Model},
    message::{Message, Run, TaskProgress},
};
use serde_json::{Value, json};

use crate::{
    worker::{Does, Output, Worker, order},
    world::{Ask, Look, Planner, Scan, World, check_books, step},
};

/// A store at the end of a line that can be cut.
#[derive(Debug)]
struct Far {
    store: Arc<SqliteStore>,
    is_cut: AtomicBool,
    /// How often anything was asked of it.
    asked: AtomicUsize,
}

impl Far {
    fn of(world: &World) -> Arc<Self> {
        let (is_cut, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
        Arc::new(Self { store: Arc::clone(&world.store), is_cut, asked })
    }

    fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
    }

    /// How often it was asked since this was asked last.
    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }

    fn reach(&self) -> Result<(), StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.is_cut.load(Ordering::SeqCst) {
            true => Err(StoreError::Unreachable("connection refused".to_owned())),
            false => Ok(()),
        }
    }
}

macro_rules! over_the_line {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $gives:ty;)*) => {
        impl WorkerStore for Far {$(
            fn $name(&self, $($arg: $type),*) -> Result<$gives, StoreError> {
                self.reach()?;
                self.store.$name($($arg),*)
            }
        )*}
    };
}

over_the_line! {
    fn claim_task(run: &Run, lease: &Lease<'_>) -> Claim;
    fn renew_task(run: &Run, lease: &Lease<'_>, progress: Option<(u64, Option<u64>, &str)>) -> Renewal;
    fn release_task(run: &Run) -> ();
    fn put_part(run: &Run, seq: u32, chunk: &Chunk) -> ();
    fn put_checkpoint(run: &Run, checkpoint: &Checkpoint, now: Timestamp) -> ();
    fn read(from: DataRef, after: Option<Cursor>, limit: usize) -> Vec<(Cursor, Chunk)>;
    fn insert_rows(run: &Run, collection: CollectionId, rows: &[(String, Value)]) -> u64;
    fn upsert(rows: &[ModelRow], now: Timestamp) -> SeenCount;
    fn list(model: Model, after: Option<&str>, limit: usize) -> Vec<ModelRow>;
    fn known(model: Model, keys: &[String]) -> Vec<bool>;
    fn blocklist() -> Vec<AddressRange>;
    fn refuse(rows: &[RefusalRow]) -> ();
    fn refusals(workflow: WorkflowId) -> Vec<RefusalRow>;
    fn live_slot(instance: &str, until: Timestamp) -> bool;
    fn drain_slot(instance: &str) -> bool;
}

impl ManagerStore for Far {
    fn transaction(
        &self,
        work: &mut dyn FnMut(&mut dyn Tx) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.reach()?;
        self.store.transaction(work)
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn manager(world: &World, far: &Arc<Far>) -> Manager {
    world.manager_of(Outside { store: Arc::clone(far) as _, ..world.outside() }, 1)
}

/// Steps through `seconds` of an outage, in which nothing but a single question a second is asked.
#[track_caller]
fn endure(world: &World, far: &Far, manager: &mut Manager, seconds: u64) {
    far.cut(true);
    far.asked();
    for _ in 0..seconds {
        let step = manager.step(world.now());
        assert_eq!(step.errors.len(), 1, "{:?}", step.errors);
        assert_eq!(far.asked(), 1);
        world.clock.pass(SECOND);
    }
    far.cut(false);
}

#[test]
fn what_workers_tell_during_an_outage_is_taken_in_after_it() {
    let world = World::new();
    let far = Far::of(&world);
    let mut manager = manager(&world, &far);
    let mut plan = Planner::new();
    let first = plan.task::<Ask>(json!(1));
    let second = plan.task::<Ask>(json!(2));
    let after = plan.task::<Look>(json!(3));
    plan.after_task(after, first, mrpf_tasks::workflow::On::Succeeded);
    world.submit(&plan.0);
    step(&mut manager, world.now());
    let worker = Worker::new(&world, WorkerClass::External);
    let well = &mut |_: &_| Does::Well(Output { parts: vec![json!("x")], ..Output::default() });
    assert!(worker.step(well).is_some());
    // The first message is received before anybody knows; all others stay where they are.
    endure(&world, &far, &mut manager, 15);
    assert!(worker.step(well).is_some());
    endure(&world, &far, &mut manager, 15);
    for _ in 0..90 {
        step(&mut manager, world.now());
        world.clock.pass(SECOND);
    }
    for id in [first, second] {
        let task = world.task(id);
        assert_eq!((task.state, task.attempt, task.tries), (TaskState::Succeeded, 1, 0));
    }
    assert_eq!(world.task(after).state, TaskState::Dispatched);
    assert_eq!(world.depth(QueueName::TaskManager), 0);
    check_books(&world, plan.id());
}

/// Each delivery brings a message nearer to the dead letters.
#[test]
fn no_message_is_received_in_vain_while_it_lasts() {
    let world = World::with(mrpf_embedded::Faults::default(), 3);
    let far = Far::of(&world);
    let mut manager = manager(&world, &far);
    step(&mut manager, world.now());
    world.send(QueueName::TaskManager, "whatever");
    // Ten times as long as a message stays hidden.
    endure(&world, &far, &mut manager, 600);
    let queue = world.queues.get(QueueName::TaskManager);
    let received = queue.receive(1, Duration::ZERO, SECOND).unwrap();
    assert_eq!(received[0].receive_count, 2, "once by the manager, once by us");
}

/// While the store was away workers could not say that they live.
#[test]
fn nobody_is_given_up_for_lost_before_they_could_say_that_they_live() {
    let world = World::new();
    let far = Far::of(&world);
    let mut manager = manager(&world, &far);
    let mut plan = Planner::new();
    let (told, silent) = (plan.task::<Ask>(json!(1)), plan.task::<Ask>(json!(2)));
    world.submit(&plan.0);
    step(&mut manager, world.now());
    let worker = Worker::new(&world, WorkerClass::External);
    let mut runs = Vec::new();
    while let Some(delivery) = worker.receive() {
        let run = Run { assignment: order(&delivery).assignment, run_id: RunId::fresh() };
        worker.begin(&run);
        runs.push(run);
    }
    step(&mut manager, world.now());
    endure(&world, &far, &mut manager, 120);
    step(&mut manager, world.now());
    let states = |state| [told, silent].map(|id| world.task(id).state == state);
    assert_eq!(states(TaskState::Running), [true, true]);
    // At the next of its signs of life.
    world.clock.pass(SECOND * 20);
    let run = *runs.iter().find(|run| run.assignment.task_id == told).unwrap();
    let note = String::new();
    worker.tell(Message::TaskProgress(TaskProgress { run, done: 0, total: None, note }));
    for _ in 0..50 {
        step(&mut manager, world.now());
        world.clock.pass(SECOND);
    }
    assert_eq!(states(TaskState::Running), [true, false]);
    assert_eq!(world.task(silent).tries, 1);
}

#[test]
fn no_machine_is_ended_before_its_worker_could_say_that_it_is_up() {
    let world = World::new();
    let far = Far::of(&world);
    let mut manager = manager(&world, &far);
    let mut plan = Planner::new();
    plan.task::<Scan>(json!(1));
    world.submit(&plan.0);
    step(&mut manager, world.now());
    let machine = world.machines.live().pop().expect("a machine for the scan");
    let is_up = || world.store.live_slot(&machine.0, after(world.now(), SECOND * 60)).unwrap();
    assert!(is_up());
    endure(&world, &far, &mut manager, 120);
    step(&mut manager, world.now());
    world.clock.pass(SECOND * 20);
    assert!(is_up());
    world.clock.pass(SECOND * 41);
    step(&mut manager, world.now());
    assert_eq!(world.machines.ended(), []);
}
