//! How many tasks a second the platform does on this machine, and how fast it stores names: printed, not judged.
//!
//! ```text
//! cargo run --release -p mrpf_benches --bin platform                # about a minute
//!
//!  platform ---starts itself---> platform manager DIR, two of platform external|internal DIR
//!     |                               queue.db (NORMAL), store.db (FULL): each durable commit waits for the disk
//!     '--submit 5,000 tasks that do nothing --> ... --> the workflow has succeeded: tasks a second
//! ```
//!
//! Processes have the settings that they ship with. What it prints depends on the disk as much as on the processor, so it prints
//! how long a durable commit takes here too.

#![forbid(unsafe_code)]

use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use mrpf_embedded::{LocalFleet, PARENT, QueueSettings, Queues, SqliteStore, die_with_parent};
use mrpf_manager::{Dice, Manager, Outside, Settings, submit};
use mrpf_ports::{
    Cx, Finished, ManagerStore as _, Queue, QueueName, Runners, Runs, WorkerStore,
    clock::{SystemClock, Wake, after},
    store::{DomainRow, ModelRow, WorkflowState},
};
use mrpf_records::Timestamp;
use mrpf_tasks::{
    Registry, TaskDefinition, TaskError, TaskId, WorkerClass, WorkflowId, task,
    workflow::{Plan, PlannedTask},
};
use mrpf_worker::{Parts, Worker};
use serde_json::Value;

/// Tasks of one run.
const TASKS: u32 = 5_000;
/// Runs of each measurement; the median is printed.
const RUNS: usize = 3;
/// Names that are stored at once.
const DOMAINS: u32 = 50_000;
/// How often it is looked whether a workflow is over.
const LOOK: Duration = Duration::from_millis(20);
/// A run that takes longer than this will not end.
const LIMIT: Duration = Duration::from_secs(300);

task! {
    /// Does nothing, outside.
    struct NothingOutside;
    requires: [];
    input: Value;
    output: Value;
}

task! {
    /// Does nothing, beside the store.
    struct NothingInside;
    requires: [TaskDataAccess];
    input: Value;
    output: Value;
}

struct Nothing;

impl<T: TaskDefinition> Runs<T> for Nothing {
    fn run(&self, _: &Cx<'_, T>, _: T::Input) -> Result<Finished, TaskError> {
        Ok(Finished::default())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] => measure(),
        ["manager", folder] => manage(Path::new(folder)),
        [class, folder] => work(class.parse()?, Path::new(folder)),
        _ => Err("this program takes no arguments".into()),
    }
}

fn measure() -> Result<(), Box<dyn Error>> {
    println!("{:<34} {:>10}  of {RUNS} runs", "", "median");
    let commits = repeat(commit)?;
    line("a durable commit of the store", &commits, "ms");
    let (new, again): (Vec<_>, Vec<_>) = repeat(upsert)?.into_iter().unzip();
    line("50,000 names that are new", &new, "s");
    line("the same names again", &again, "s");
    line("external tasks that do nothing", &repeat(tasks::<NothingOutside>)?, "a second");
    line("internal tasks that do nothing", &repeat(tasks::<NothingInside>)?, "a second");
    Ok(())
}

fn repeat<T>(run: impl Fn() -> Result<T, Box<dyn Error>>) -> Result<Vec<T>, Box<dyn Error>> {
    (0..RUNS).map(|_| run()).collect()
}

fn line(what: &str, figures: &[f64], unit: &str) {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let shown = |figure: &f64| match figure {
        figure if *figure >= 100.0 => format!("{figure:.0}"),
        figure => format!("{figure:.3}"),
    };
    let all: Vec<String> = figures.iter().map(shown).collect();
    println!("{what:<34} {:>10}  {unit} ({})", shown(&sorted[sorted.len() / 2]), all.join(", "));
}

fn open_queues(folder: &Path) -> Result<Queues, Box<dyn Error>> {
    Ok(Queues::open(folder.join("queue.db"), QueueSettings::default())?)
}

fn open_store(folder: &Path) -> Result<Arc<SqliteStore>, Box<dyn Error>> {
    Ok(Arc::new(SqliteStore::open(folder.join("store.db"))?))
}

fn registry() -> Registry {
    Registry::new().with::<NothingOutside>().with::<NothingInside>()
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

/// Milliseconds.
fn commit() -> Result<f64, Box<dyn Error>> {
    const COMMITS: u32 = 200;
    let folder = tempfile::tempdir()?;
    let store = open_store(folder.path())?;
    let start = Instant::now();
    for n in 0..COMMITS {
        store.transaction(&mut |tx| tx.put_pace(&n.to_string(), now()))?;
    }
    Ok(start.elapsed().as_secs_f64() * 1e3 / f64::from(COMMITS))
}

/// Seconds for names that are new, and for the same again.
fn upsert() -> Result<(f64, f64), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let store = open_store(folder.path())?;
    let row = |n: u32| {
        let name = format!("host-{:x}.example.org", n.wrapping_mul(0x9e37_79b9)).parse()?;
        Ok(ModelRow::Domain(DomainRow { name, sources: vec!["crt.sh".to_owned()], seen: None }))
    };
    let rows = (0..DOMAINS).map(row).collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    let timed = |at| -> Result<f64, Box<dyn Error>> {
        let start = Instant::now();
        store.upsert(&rows, at)?;
        Ok(start.elapsed().as_secs_f64())
    };
    let at = now();
    Ok((timed(at)?, timed(after(at, Duration::from_secs(1)))?))
}

/// Tasks a second, from the call that submits them to the end of the last.
fn tasks<T: TaskDefinition>() -> Result<f64, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let store = open_store(folder.path())?;
    let class = T::CLASS.as_str();
    let _staff = ["manager", class, class]
        .map(|role| Process::start(role, folder.path()))
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    // Until all have opened their files and wait.
    thread::sleep(Duration::from_secs(1));
    let plan = plan::<T>()?;
    let start = Instant::now();
    submit(&*store, &registry(), &plan, now())?;
    loop {
        let mut state = None;
        store.transaction(&mut |tx| {
            state = tx.workflow(plan.id)?.map(|row| row.state);
            Ok(())
        })?;
        match state {
            Some(WorkflowState::Succeeded) => break,
            Some(WorkflowState::Running) if start.elapsed() < LIMIT => thread::sleep(LOOK),
            other => return Err(format!("the workflow is {other:?}").into()),
        }
    }
    Ok(f64::from(TASKS) / start.elapsed().as_secs_f64())
}

fn plan<T: TaskDefinition>() -> Result<Plan, Box<dyn Error>> {
    let task = |n| PlannedTask {
        id: TaskId::fresh(),
        name: format!("task {n}"),
        definition: T::NAME.to_owned(),
        class: T::CLASS,
        input: Value::Null,
        dedupe_key: None,
        member_of: None,
        feeds: None,
        max_tries: 3,
    };
    Ok(Plan {
        id: WorkflowId::fresh(),
        name: "nothing".to_owned(),
        scope: serde_json::from_value(serde_json::json!({ "domains": ["example.org"] }))?,
        tasks: (0..TASKS).map(task).collect(),
        edges: Vec::new(),
        collections: Vec::new(),
    })
}

/// A process of this program in another role, which ends when this is dropped.
struct Process(Child);

impl Process {
    fn start(role: &str, folder: &Path) -> Result<Self, Box<dyn Error>> {
        let program: PathBuf = env::current_exe()?;
        let mut command = Command::new(program);
        command.arg(role).arg(folder).env(PARENT, std::process::id().to_string());
        Ok(Self(command.spawn()?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn manage(folder: &Path) -> Result<(), Box<dyn Error>> {
    die_with_parent()?;
    let (queues, store) = (open_queues(folder)?, open_store(folder)?);
    let queue = |name| Arc::new(queues.get(name)) as Arc<dyn Queue>;
    let outside = Outside {
        store,
        external: queue(QueueName::External),
        internal: queue(QueueName::Internal),
        bare_metal: queue(QueueName::BareMetal),
        task_manager: queue(QueueName::TaskManager),
        // There are no tasks for machines.
        fleet: Arc::new(LocalFleet::new(|| Command::new("true"), Duration::ZERO)?),
    };
    let mut manager = Manager::new(outside, registry(), Settings::default(), Dice::System);
    manager.run(&SystemClock, &Wake::default());
    Ok(())
}

fn work(class: WorkerClass, folder: &Path) -> Result<(), Box<dyn Error>> {
    die_with_parent()?;
    let queues = open_queues(folder)?;
    let store = match class {
        WorkerClass::External => None,
        _ => Some(open_store(folder)? as Arc<dyn WorkerStore>),
    };
    let parts = Parts {
        own: Arc::new(queues.get(class.into())),
        task_manager: Arc::new(queues.get(QueueName::TaskManager)),
        store,
        runners: Runners::new().with::<NothingOutside>(Nothing).with::<NothingInside>(Nothing),
        clock: Arc::new(SystemClock),
        machine: None,
    };
    let name = format!("{class}-{}", std::process::id());
    Worker::new(mrpf_worker::Settings::new(class, name), parts)?.run(&Wake::default())?;
    Ok(())
}
