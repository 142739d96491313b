//! A platform in a folder, and its processes.

use std::{
    fs::{self, OpenOptions},
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use mrpf_embedded::{PARENT, QueueSettings, Queues, SqliteStore};
use mrpf_manager::submit;
use mrpf_ports::{WorkerStore as _, store::Cursor};
use mrpf_tasks::{
    Registry, TaskId, WorkerClass, WorkflowId, catalogue::DataRef, chunk::Joiner, workflow::Plan,
};
use mrpf_tests::{
    deeds,
    order::{Numbers, Order, Role},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const MANAGER: Role = Role::Manager;
pub(crate) const EXTERNAL: Role = Role::Worker(WorkerClass::External);
pub(crate) const INTERNAL: Role = Role::Worker(WorkerClass::Internal);

/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// A platform.
pub(crate) struct World {
    folder: TempDir,
    numbers: Numbers,
    store: SqliteStore,
    /// Without faults: those are for the processes.
    pub(crate) queues: Queues,
}

impl World {
    pub(crate) fn new(numbers: Numbers) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("store.db")).unwrap();
        let queues =
            Queues::open(folder.path().join("queue.db"), QueueSettings::default()).unwrap();
        Self { folder, numbers, store, queues }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn start(&self, role: Role) -> Process {
        self.start_without(role, &[])
    }

    /// A worker that does not know some kinds of task.
    pub(crate) fn start_without(&self, role: Role, without: &[&str]) -> Process {
        let store = self.path("store.db");
        let order = Order {
            role,
            queue: self.path("queue.db"),
            store: (role != EXTERNAL).then_some(store),
            journal: self.path("journal"),
            numbers: self.numbers,
            without: without.iter().map(|&name| name.to_owned()).collect(),
        };
        let file = OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_mrpf-test-platform"))
            .arg(serde_json::to_string(&order).unwrap())
            .env(PARENT, std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        Process { role, child }
    }

    pub(crate) fn submit(&self, plan: &Plan) {
        let registry = Registry::shipped()
            .with::<deeds::Outside>()
            .with::<deeds::Inside>()
            .with::<deeds::MakesOutside>()
            .with::<deeds::MakesInside>();
        assert!(submit(&self.store, &registry, plan, SystemTime::now().into()).unwrap());
    }

    /// What all processes have logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The runs that have begun: process, task, token.
    pub(crate) fn journal(&self) -> Vec<(u32, TaskId, String)> {
        let text = fs::read_to_string(self.path("journal")).unwrap_or_default();
        let read = |line: &str| {
            let mut words = line.split(' ');
            let mut word = || words.next().expect("three words a line");
            (word().parse().unwrap(), word().parse().unwrap(), word().to_owned())
        };
        text.lines().map(read).collect()
    }

    /// A file of the platform for reading in SQL, beside those who write it.
    pub(crate) fn sql(&self, name: &str) -> Connection {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let connection = Connection::open_with_flags(self.path(name), flags).unwrap();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        connection
    }

    pub(crate) fn is_over(&self, workflow: WorkflowId) -> bool {
        let sql = "SELECT state <> 'running' FROM workflow WHERE id = ?1";
        self.sql("store.db").query_row(sql, [workflow.to_string()], |row| row.get(0)).unwrap()
    }

    /// The items of a task that has succeeded.
    pub(crate) fn items(&self, task: TaskId) -> Vec<Value> {
        let (mut joiner, mut items, mut after) = (Joiner::default(), Vec::new(), None::<Cursor>);
        loop {
            let chunks = self.store.read(DataRef::Task(task), after, 16).unwrap();
            let Some((last, _)) = chunks.last() else { break };
            after = Some(*last);
            for (_, chunk) in chunks {
                items.extend(joiner.push(chunk).unwrap());
            }
        }
        joiner.finish().unwrap();
        items
    }

    /// Waits until something is so.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
        let end = Instant::now() + limit;
        while !is_so() {
            assert!(Instant::now() < end, "after {limit:?} not yet: {what}");
            thread::sleep(LOOK);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            println!("the end of the log:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

/// A process of a platform, which ends when this is dropped, or its test is.
pub(crate) struct Process {
    pub(crate) role: Role,
    child: Child,
}

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// As it is: SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        // One that ended before by itself has a defect.
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "{:?}: {status}", self.role);
    }

    /// Asks it to end: SIGTERM.
    pub(crate) fn ask_to_end(&self) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGTERM).unwrap();
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
