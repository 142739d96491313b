//! Several processes at one file, killed at any moment: this program starts itself as the processes, and kills them.
//!
//! ```text
//!  crash ---spawn--> crash send DIR / receive DIR / work DIR / manage DIR ...     pipes: what each has said it did
//!        ---kill -9 at random moments, spawn again--->
//!        ---in the end--> everything that was said has happened, once where it counts
//! ```
//!
//! It has a `main` of its own, since a child must not be a test.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant, SystemTime},
};

use mrpf_embedded::{LocalFleet, PARENT, QueueSettings, Queues, SqliteStore, die_with_parent};
use mrpf_ports::{
    Fleet as _, ManagerStore, Queue as _, QueueName, StoreError, WorkerStore as _,
    clock::after,
    store::{
        Claim, CollectionRow, Lease, TaskFilter, TaskRow, TaskState, WorkflowRow, WorkflowState,
    },
};
use mrpf_records::Timestamp;
use mrpf_tasks::{
    Chunk, CollectionId, RunId, Scope, TaskId, Ticket, WorkerClass, WorkflowId,
    catalogue::DataRef,
    message::{Assignment, Run},
};
use serde_json::{Value, json};

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let folder = PathBuf::from(arguments.get(2).cloned().unwrap_or_default());
    match arguments.get(1).map(String::as_str) {
        Some("open") => drop((queues(&folder), store(&folder))),
        Some("send") => send(&folder, arguments[3].parse().unwrap()),
        Some("receive") => receive(&folder),
        Some("work") => work(&folder),
        Some("manage") => manage(&folder),
        Some("live") => live(),
        // cargo's own arguments, or none.
        _ => {
            for (name, case) in [
                ("files_are_made_by_many_at_once", files_are_made_by_many_at_once as fn()),
                ("no_message_is_lost", no_message_is_lost),
                ("no_effect_is_lost_or_doubled", no_effect_is_lost_or_doubled),
                ("workers_die_with_their_manager", workers_die_with_their_manager),
            ] {
                let start = Instant::now();
                case();
                println!("crash: {name} ... ok ({:.1} s)", start.elapsed().as_secs_f64());
            }
        }
    }
}

fn queues(folder: &Path) -> Queues {
    let settings = QueueSettings { max_receives: 1_000, ..Default::default() };
    Queues::open(folder.join("queue.db"), settings).unwrap()
}

fn store(folder: &Path) -> SqliteStore {
    SqliteStore::open(folder.join("store.db")).unwrap()
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

/// Says one line, whole or not at all.
fn say(line: &str) {
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Children of this program, and the lines that they have said.
struct Crowd {
    folder: tempfile::TempDir,
    children: Vec<(String, Child)>,
    said: Arc<Mutex<Vec<String>>>,
    readers: Vec<thread::JoinHandle<()>>,
    born: usize,
    dice: u64,
}

impl Crowd {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            children: Vec::new(),
            said: Arc::default(),
            readers: Vec::new(),
            born: 0,
            dice: now().as_unix_micros() | 1,
        }
    }

    fn spawn(&mut self, role: &str) {
        self.born += 1;
        let mut child = Command::new(env::current_exe().unwrap())
            .args([role, self.folder.path().to_str().unwrap(), &self.born.to_string()])
            .env(PARENT, std::process::id().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, said) = (BufReader::new(child.stdout.take().unwrap()), Arc::clone(&self.said));
        self.readers.push(thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                said.lock().unwrap().push(line);
            }
        }));
        self.children.push((role.to_owned(), child));
    }

    fn dice(&mut self, below: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % below
    }

    /// Kills one after the other for so long, each replaced by one of its kind.
    fn kill_for(&mut self, how_long: Duration) {
        let end = Instant::now() + how_long;
        let mut killed = 0;
        while Instant::now() < end {
            thread::sleep(Duration::from_millis(20 + self.dice(80)));
            let at = usize::try_from(self.dice(self.children.len() as u64)).unwrap();
            let (role, mut child) = self.children.swap_remove(at);
            child.kill().unwrap();
            child.wait().unwrap();
            killed += 1;
            self.spawn(&role);
        }
        println!("crash: {killed} processes killed");
    }

    /// Kills all of a kind for good.
    fn end(&mut self, role: &str) {
        let (ended, rest): (Vec<_>, Vec<_>) =
            self.children.drain(..).partition(|(other, _)| other == role);
        self.children = rest;
        for (_, mut child) in ended {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Waits until all have ended by themselves.
    #[track_caller]
    fn finish(&mut self) {
        for (role, mut child) in self.children.drain(..) {
            let end = Instant::now() + Duration::from_secs(30);
            let status = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break status;
                }
                assert!(Instant::now() < end, "{role} does not end");
                thread::sleep(Duration::from_millis(10));
            };
            assert!(status.success(), "{role}: {status}");
        }
    }

    /// What follows `word` in all lines.
    fn said(&mut self, word: &str) -> Vec<String> {
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let said = self.said.lock().unwrap();
        let lines = said.iter().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
        lines.map(str::to_owned).collect()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for (_, child) in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn check_file(file: &Path) {
    let connection = rusqlite::Connection::open(file).unwrap();
    let integrity: String =
        connection.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
    assert!(!connection.prepare("PRAGMA foreign_key_check").unwrap().exists(()).unwrap());
}

fn files_are_made_by_many_at_once() {
    let mut crowd = Crowd::new();
    for _ in 0..8 {
        crowd.spawn("open");
    }
    crowd.finish();
    check_file(&crowd.folder.path().join("queue.db"));
    check_file(&crowd.folder.path().join("store.db"));
}

/// Sends three at a time, and says which once they are sent.
fn send(folder: &Path, born: u64) {
    die_with_parent().unwrap();
    let queue = queues(folder).get(QueueName::Internal);
    for n in (born * 1_000_000..).step_by(3) {
        let bodies: Vec<String> = (n..n + 3).map(|n| n.to_string()).collect();
        queue.send(&bodies).unwrap();
        say(&format!("sent {}", bodies.join(" ")));
        thread::sleep(Duration::from_millis(1));
    }
}

/// Says what it handled before it deletes it.
fn receive(folder: &Path) {
    die_with_parent().unwrap();
    let queue = queues(folder).get(QueueName::Internal);
    loop {
        let visibility = Duration::from_millis(300);
        let taken = queue.receive(5, Duration::from_secs(1), visibility).unwrap();
        for delivery in taken {
            say(&format!("handled {}", delivery.body));
            queue.delete(&[delivery.handle]).unwrap();
        }
    }
}

fn no_message_is_lost() {
    let mut crowd = Crowd::new();
    for role in ["send", "send", "receive", "receive", "receive"] {
        crowd.spawn(role);
    }
    crowd.kill_for(Duration::from_millis(2_500));
    crowd.end("send");
    let queue = queues(crowd.folder.path()).get(QueueName::Internal);
    let end = Instant::now() + Duration::from_secs(20);
    while queue.depth().unwrap() != mrpf_ports::queue::Depth::default() {
        assert!(Instant::now() < end, "messages stay: {:?}", queue.depth());
        thread::sleep(Duration::from_millis(20));
    }
    crowd.end("receive");
    let sent = crowd.said("sent");
    let deliveries = crowd.said("handled");
    let handled: BTreeSet<u64> = deliveries.iter().map(|n| n.parse().unwrap()).collect();
    let lost: Vec<_> = sent
        .iter()
        .flat_map(|batch| batch.split(' '))
        .filter(|n| !handled.contains(&n.parse().unwrap()))
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(sent.len() > 100, "{} batches", sent.len());
    // A batch is whole, also one whose sender was killed before it could say so.
    for n in &handled {
        let first = n - n % 1_000_000 % 3;
        assert!((first..first + 3).all(|n| handled.contains(&n)), "{first} is not whole");
    }
    println!("crash: {} messages, {} deliveries", handled.len(), deliveries.len());
    check_file(&crowd.folder.path().join("queue.db"));
}

const TASKS: u32 = 200;
const PARTS: u32 = 4;
const LEASE: Duration = Duration::from_millis(250);

/// Manager and worker in one: gives a task out, runs it, and counts it once it is complete; until all are.
fn work(folder: &Path) {
    die_with_parent().unwrap();
    let store = store(folder);
    let lease = || Lease { worker: "crowd", now: now(), until: after(now(), LEASE) };
    while let Some(task) = give_out(&store) {
        let Some(task) = task else {
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        let ticket = task.ticket.unwrap();
        let assignment = Assignment { task_id: task.id, attempt: task.attempt, ticket };
        let run = Run { assignment, run_id: RunId::fresh() };
        if !matches!(store.claim_task(&run, &lease()).unwrap(), Claim::Held { .. }) {
            continue;
        }
        let part = Chunk::Items { items: vec![json!([task.id, run.run_id])] };
        match (0..PARTS).try_for_each(|seq| store.put_part(&run, seq, &part)) {
            Ok(()) => complete(&store, &run),
            Err(StoreError::Fenced) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// A task that was given out anew; `Some(None)` while others are at what is left, `None` when nothing is.
fn give_out(store: &SqliteStore) -> Option<Option<TaskRow>> {
    let mut given = None;
    let work = &mut |tx: &mut dyn mrpf_ports::store::Tx| {
        let mut tasks = tx.tasks(TaskFilter::Due(now()), 1)?;
        tasks.extend(tx.tasks(TaskFilter::Expired(now()), 1)?);
        let is_over = tx.workflows()?[0].state == WorkflowState::Succeeded;
        given = if is_over { None } else { Some(None) };
        if let Some(mut task) = tasks.into_iter().next() {
            task.state = TaskState::Dispatched;
            task.attempt += 1;
            task.ticket = Some(Ticket(RunId::fresh().0));
            task.lease_until = Some(after(now(), LEASE));
            tx.put_task(&task)?;
            given = Some(Some(task));
        }
        Ok(())
    };
    store.transaction(work).unwrap();
    given
}

fn complete(store: &SqliteStore, run: &Run) {
    let id = run.assignment.task_id;
    let work = &mut |tx: &mut dyn mrpf_ports::store::Tx| {
        let mut task = tx.task(id)?.unwrap();
        if task.state != TaskState::Running || task.run_id != Some(run.run_id) {
            return Ok(());
        }
        assert_eq!(tx.parts(id, run.run_id)?, PARTS);
        (task.state, task.parts) = (TaskState::Succeeded, PARTS);
        tx.put_task(&task)?;
        tx.keep_run(id, Some(run.run_id))?;
        let mut collection = tx.collection(task.member_of.unwrap())?.unwrap();
        collection.done += 1;
        tx.put_collection(&collection)?;
        let mut workflow = tx.workflow(task.workflow_id)?.unwrap();
        workflow.open -= 1;
        if workflow.open == 0 {
            workflow.state = WorkflowState::Succeeded;
        }
        tx.put_workflow(&workflow)
    };
    store.transaction(work).unwrap();
}

fn no_effect_is_lost_or_doubled() {
    let mut crowd = Crowd::new();
    let store = store(crowd.folder.path());
    let (collection, at) = (CollectionId::fresh(), now());
    let workflow = WorkflowRow {
        id: WorkflowId::fresh(),
        name: "crash".to_owned(),
        state: WorkflowState::Running,
        scope: Scope::default(),
        open: TASKS,
        failed: 0,
        created_at: at,
        finished_at: None,
    };
    let make = &mut |tx: &mut dyn mrpf_ports::store::Tx| {
        tx.put_workflow(&workflow)?;
        tx.put_collection(&CollectionRow {
            id: collection,
            workflow_id: workflow.id,
            name: "all".to_owned(),
            feeders: 0,
            total: TASKS,
            done: 0,
            failed: 0,
            completed_at: None,
        })?;
        (0..TASKS).try_for_each(|_| tx.put_task(&a_task(workflow.id, collection, at)))
    };
    store.transaction(make).unwrap();
    for _ in 0..4 {
        crowd.spawn("work");
    }
    crowd.kill_for(Duration::from_millis(1_500));
    crowd.finish();
    let look = &mut |tx: &mut dyn mrpf_ports::store::Tx| {
        assert_eq!(tx.collection(collection)?.unwrap().done, TASKS);
        let tasks = tx.tasks(TaskFilter::Of(workflow.id), 1_000)?;
        assert!(tasks.iter().all(|task| task.state == TaskState::Succeeded));
        let attempts: u32 = tasks.iter().map(|task| task.attempt).sum();
        println!("crash: {TASKS} tasks in {attempts} attempts");
        Ok(())
    };
    store.transaction(look).unwrap();
    let mut runs: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (_, chunk) in store.read(DataRef::Collection(collection), None, 10_000).unwrap() {
        let Chunk::Items { items } = chunk else { panic!("a slice") };
        runs.entry(items[0][0].to_string()).or_default().push(items[0][1].clone());
    }
    assert_eq!(runs.len(), TASKS as usize);
    for (task, runs) in runs {
        let is_of_one_run = runs.iter().all(|run| *run == runs[0]);
        assert!(is_of_one_run && runs.len() == PARTS as usize, "{task}: {runs:?}");
    }
    let file = crowd.folder.path().join("store.db");
    check_file(&file);
    let connection = rusqlite::Connection::open(&file).unwrap();
    let rows = "SELECT count(*) FROM task_data";
    let rows: u32 = connection.query_row(rows, (), |row| row.get(0)).unwrap();
    assert_eq!(rows, TASKS * PARTS, "nothing is left of other runs");
}

fn a_task(workflow: WorkflowId, collection: CollectionId, at: Timestamp) -> TaskRow {
    TaskRow {
        member_of: Some(collection),
        input: json!({}),
        max_tries: 3,
        ..TaskRow::new(TaskId::fresh(), workflow, "Nothing", WorkerClass::Internal, at)
    }
}

/// A manager with two workers, launched by a thread that does not stay.
fn manage(folder: &Path) {
    die_with_parent().unwrap();
    let folder = folder.to_owned();
    let command = move || {
        let mut command = Command::new(env::current_exe().unwrap());
        command.arg("live").arg(&folder);
        command
    };
    let fleet = Arc::new(LocalFleet::new(command, Duration::from_secs(1)).unwrap());
    let launcher = Arc::clone(&fleet);
    thread::spawn(move || [1, 2].map(|slot| launcher.launch(slot, 1).unwrap())).join().unwrap();
    thread::sleep(Duration::from_millis(300));
    let lives = |instance: &mrpf_ports::Instance| instance.state == mrpf_ports::InstanceState::Live;
    assert!(fleet.list().unwrap().iter().all(lives), "{:?}", fleet.list());
    say("managing");
    thread::sleep(Duration::from_secs(60));
}

/// A worker that stays, and says so to nobody but its folder.
fn live() {
    die_with_parent().unwrap();
    let folder = PathBuf::from(env::args().nth(2).unwrap());
    fs::write(folder.join(format!("{}.pid", std::process::id())), "").unwrap();
    thread::sleep(Duration::from_secs(60));
}

fn workers_die_with_their_manager() {
    let mut crowd = Crowd::new();
    crowd.spawn("manage");
    let end = Instant::now() + Duration::from_secs(10);
    while crowd.said.lock().unwrap().is_empty() {
        assert!(Instant::now() < end, "the manager does not come up");
        thread::sleep(Duration::from_millis(10));
    }
    let pids: Vec<String> = fs::read_dir(crowd.folder.path())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".pid").map(str::to_owned))
        .collect();
    assert_eq!(pids.len(), 2);
    let is_there = |pid: &String| {
        // A zombie that nobody has waited for yet is dead enough.
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        state.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
    };
    assert!(pids.iter().all(is_there));
    crowd.end("manage");
    let end = Instant::now() + Duration::from_secs(5);
    while pids.iter().any(is_there) {
        assert!(Instant::now() < end, "workers outlive their manager");
        thread::sleep(Duration::from_millis(5));
    }
    // One that is started when its parent has gone already does not stay.
    let orphan = Command::new(env::current_exe().unwrap())
        .arg("live")
        .arg(crowd.folder.path())
        .env(PARENT, "1")
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(!orphan.success());
}
