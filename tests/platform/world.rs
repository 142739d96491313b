//! What the tests of this folder share: a platform in a folder, its clock, and plans for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use mrpf_embedded::{Faults, QueueSettings, Queues, SqliteStore};
use mrpf_manager::{Dice, Manager, Outside, Settings, submit};
use mrpf_ports::{
    Clock, Fleet, ManagerStore, Queue, QueueName, StoreError,
    clock::Wake,
    store::{TaskFilter, TaskRow, TaskState, Tx, WorkflowRow},
};
use mrpf_records::Timestamp;
use mrpf_tasks::{
    CollectionId, Registry, Scope, TaskDefinition, TaskId, WorkflowId, task,
    workflow::{On, Plan, PlannedCollection, PlannedEdge, PlannedTask, Waits},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fleet::Machines;

task! {
    /// Does what the test says, outside.
    pub(crate) struct Ask;
    requires: [];
    input: Value;
    output: Value;
}

task! {
    /// Does what the test says, beside the store.
    pub(crate) struct Look;
    requires: [TaskDataAccess];
    input: Value;
    output: Value;
}

task! {
    /// Makes tasks as the test says.
    pub(crate) struct Make;
    requires: [TaskDataAccess, QueueAccess];
    input: Value;
    output: Value;
}

task! {
    /// Does what the test says, on a machine of its own.
    pub(crate) struct Scan;
    requires: [TaskDataAccess, ReconDataAccess, RawSocketAccess];
    input: Value;
    output: Value;
}

/// Time that passes when a test says so.
#[derive(Debug)]
pub(crate) struct Moments(AtomicU64);

impl Clock for Moments {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.0.load(Ordering::SeqCst))
    }

    fn sleep(&self, duration: Duration, _: &Wake) {
        self.pass(duration);
    }
}

impl Moments {
    pub(crate) fn pass(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap();
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

/// A platform without its processes.
pub(crate) struct World {
    folder: TempDir,
    pub(crate) clock: Arc<Moments>,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) queues: Queues,
    pub(crate) machines: Arc<Machines>,
    pub(crate) settings: Settings,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Faults::default(), 10)
    }

    /// With queues that misbehave. It commits to memory where there is such a place: these tests are about what is decided.
    pub(crate) fn with(faults: Faults, max_receives: u32) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self::in_folder(folder.unwrap(), faults, max_receives)
    }

    /// Where commits wait for the disk.
    pub(crate) fn on_disk() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), Faults::default(), 10)
    }

    fn in_folder(folder: TempDir, faults: Faults, max_receives: u32) -> Self {
        let clock = Arc::new(Moments(AtomicU64::new(1_795_507_200_000_000)));
        let settings = QueueSettings { max_receives, faults, clock: Arc::clone(&clock) as _ };
        let queues = Queues::open(folder.path().join("queue.db"), settings).unwrap();
        let store = Arc::new(SqliteStore::open(folder.path().join("store.db")).unwrap());
        let (machines, settings) = (Arc::default(), Settings::default());
        Self { folder, clock, store, queues, machines, settings }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn registry() -> Registry {
        Registry::shipped().with::<Ask>().with::<Look>().with::<Make>().with::<Scan>()
    }

    pub(crate) fn outside(&self) -> Outside {
        let queue = |name| Arc::new(self.queues.get(name)) as Arc<dyn Queue>;
        Outside {
            store: Arc::clone(&self.store) as _,
            external: queue(QueueName::External),
            internal: queue(QueueName::Internal),
            bare_metal: queue(QueueName::BareMetal),
            task_manager: queue(QueueName::TaskManager),
            fleet: Arc::clone(&self.machines) as Arc<dyn Fleet>,
        }
    }

    pub(crate) fn manager(&self, seed: u64) -> Manager {
        self.manager_of(self.outside(), seed)
    }

    /// A manager with a store of its own on the same file, as in another process.
    pub(crate) fn other_manager(&self, seed: u64) -> Manager {
        let store = SqliteStore::open(self.folder.path().join("store.db")).unwrap();
        self.manager_of(Outside { store: Arc::new(store), ..self.outside() }, seed)
    }

    pub(crate) fn manager_of(&self, outside: Outside, seed: u64) -> Manager {
        Manager::new(outside, Self::registry(), self.settings.clone(), Dice::Seeded(seed))
    }

    pub(crate) fn submit(&self, plan: &Plan) {
        assert!(submit(&*self.store, &Self::registry(), plan, self.now()).unwrap());
    }

    /// Reads or changes rows in one transaction.
    pub(crate) fn within<T>(
        &self,
        mut work: impl FnMut(&mut dyn Tx) -> Result<T, StoreError>,
    ) -> T {
        let mut given = None;
        self.store
            .transaction(&mut |tx| {
                given = Some(work(tx)?);
                Ok(())
            })
            .unwrap();
        given.unwrap()
    }

    pub(crate) fn task(&self, id: TaskId) -> TaskRow {
        self.within(|tx| tx.task(id)).expect("the task is there")
    }

    pub(crate) fn tasks(&self, workflow: WorkflowId) -> Vec<TaskRow> {
        self.within(|tx| tx.tasks(TaskFilter::Of(workflow), usize::MAX))
    }

    pub(crate) fn workflow(&self, id: WorkflowId) -> WorkflowRow {
        self.within(|tx| tx.workflow(id)).expect("the workflow is there")
    }

    pub(crate) fn send(&self, name: QueueName, body: &str) {
        self.queues.get(name).send(&[body.to_owned()]).unwrap();
    }

    /// Messages in a queue, those that somebody has received included.
    pub(crate) fn depth(&self, name: QueueName) -> u64 {
        let depth = self.queues.get(name).depth().unwrap();
        depth.visible + depth.in_flight
    }
}

/// One step that nothing must go wrong in.
#[track_caller]
pub(crate) fn step(manager: &mut Manager, now: Timestamp) -> Timestamp {
    let step = manager.step(now);
    assert!(step.errors.is_empty(), "{:?}", step.errors);
    step.again
}

/// How a workflow's numbers must stand when it is over, whatever happened on the way.
#[track_caller]
pub(crate) fn check_books(world: &World, id: WorkflowId) {
    let (workflow, tasks) = (world.workflow(id), world.tasks(id));
    let count = |is: &dyn Fn(&TaskRow) -> bool| {
        u32::try_from(tasks.iter().filter(|task| is(task)).count()).unwrap()
    };
    assert_eq!(workflow.open, count(&|task| !task.state.is_final()));
    assert_eq!(workflow.failed, count(&|task| task.state == TaskState::Failed));
    for collection in world.within(|tx| tx.collections(id)) {
        let is_member = |task: &TaskRow| task.member_of == Some(collection.id);
        let feeds = |task: &TaskRow| task.feeds == Some(collection.id) && !task.state.is_final();
        let is_done = |task: &TaskRow| is_member(task) && task.state.is_final();
        let has_failed = |task: &TaskRow| is_done(task) && task.state != TaskState::Succeeded;
        assert_eq!(collection.total, count(&is_member), "{}", collection.name);
        assert_eq!(collection.feeders, count(&feeds), "{}", collection.name);
        assert_eq!(collection.done, count(&is_done), "{}", collection.name);
        assert_eq!(collection.failed, count(&has_failed), "{}", collection.name);
        let is_over = collection.feeders == 0 && collection.done == collection.total;
        assert_eq!(collection.completed_at.is_some(), is_over, "{}", collection.name);
    }
}

/// Writes plans.
pub(crate) struct Planner(pub(crate) Plan);

impl Planner {
    pub(crate) fn new() -> Self {
        let scope = json!({ "domains": ["example.org"], "addresses": ["198.19.0.0/24"] });
        Self(Plan {
            id: WorkflowId::fresh(),
            name: "a workflow".to_owned(),
            scope: serde_json::from_value::<Scope>(scope).unwrap(),
            tasks: Vec::new(),
            edges: Vec::new(),
            collections: Vec::new(),
        })
    }

    pub(crate) fn id(&self) -> WorkflowId {
        self.0.id
    }

    pub(crate) fn task<T: TaskDefinition>(&mut self, input: Value) -> TaskId {
        let id = TaskId::fresh();
        self.0.tasks.push(PlannedTask {
            id,
            name: format!("task {}", self.0.tasks.len()),
            definition: T::NAME.to_owned(),
            class: T::CLASS,
            input,
            dedupe_key: None,
            member_of: None,
            feeds: None,
            max_tries: 3,
        });
        id
    }

    pub(crate) fn collection(&mut self) -> CollectionId {
        let (id, name) =
            (CollectionId::fresh(), format!("collection {}", self.0.collections.len()));
        self.0.collections.push(PlannedCollection { id, name, feeders: 0, members: 0 });
        id
    }

    pub(crate) fn member(&mut self, task: TaskId, of: CollectionId) {
        self.find(task).member_of = Some(of);
        self.find_collection(of).members += 1;
    }

    pub(crate) fn feeder(&mut self, task: TaskId, of: CollectionId) {
        self.find(task).feeds = Some(of);
        self.find_collection(of).feeders += 1;
    }

    pub(crate) fn after_task(&mut self, task: TaskId, other: TaskId, on: On) {
        self.0.edges.push(PlannedEdge { task, waits: Waits::Task(other, on) });
    }

    pub(crate) fn after_all(&mut self, task: TaskId, of: CollectionId) {
        self.0.edges.push(PlannedEdge { task, waits: Waits::Collection(of) });
    }

    fn find(&mut self, id: TaskId) -> &mut PlannedTask {
        self.0.tasks.iter_mut().find(|task| task.id == id).expect("a task of the plan")
    }

    fn find_collection(&mut self, id: CollectionId) -> &mut PlannedCollection {
        self.0.collections.iter_mut().find(|it| it.id == id).expect("a collection of the plan")
    }
}

/// Numbers drawn from a seed: SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Clone, Debug)]
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % n
    }

    /// Whether something happens that does `percent` times in a hundred.
    pub(crate) fn is(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
