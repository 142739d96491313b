//! How to add a kind of task: declare it, say who does it, and give both to the programs that need them.
//!
//! ```text
//! task!   what it is called, needs, takes and gives     -> a Registry: workflow files and the manager know it
//! Runs    who does it                                   -> Runners: the workers of its class do it
//! ```
//!
//! `cargo run -p mrpf_ports --example new_task`

#![forbid(unsafe_code)]

use std::{sync::Mutex, time::Duration};

use mrpf_ports::{Cx, Finished, Hands, Runners, Runs, WorkerStore, store::Checkpoint};
use mrpf_records::Timestamp;
use mrpf_tasks::{
    Check, ErrorKind, Registry, RunId, TaskDefinition, TaskError, TaskId, Ticket, WorkerClass,
    message::{Assignment, NewTask, Run, RunTask},
    task,
    workflow::{Syntax, WorkflowFile},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

// 1. What it is. It needs nothing, so it runs on external workers; with `requires: [ReconDataAccess]` it would run on
//    internal ones, and could call `cx.recon()`.
task! {
    /// Guesses names below a domain from words that are often used.
    pub struct GuessNames;
    requires: [];
    input: GuessInput;
    output: String;
}

/// See [`GuessNames`]. Its JSON schema is made from this, comments included.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GuessInput {
    /// The domain.
    domain: mrpf_tasks::DomainName,
    /// The words.
    words: Vec<String>,
}

impl Check for GuessInput {
    // What the types cannot say: found when a workflow is submitted, and again by the worker.
    fn check(&self) -> Result<(), String> {
        if self.words.is_empty() { Err("words: there are none".to_owned()) } else { Ok(()) }
    }
}

// 2. Who does it.
struct Guesser;

impl Runs<GuessNames> for Guesser {
    fn run(&self, cx: &Cx<'_, GuessNames>, input: GuessInput) -> Result<Finished, TaskError> {
        let total = input.words.len() as u64;
        for (done, word) in (1..).zip(&input.words) {
            if cx.is_stopping() {
                return Err(cx.stopped());
            }
            cx.emit(&format!("{word}.{}", input.domain))?;
            cx.progress(done, Some(total), "words");
        }
        Ok(Finished::default())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // 3. Programs that read workflow files, and managers, need the definition ...
    let registry = Registry::shipped().with::<GuessNames>();
    assert_eq!(GuessNames::CLASS, WorkerClass::External);
    let text = r#"
        name = "guess"
        scope = { domains = ["example.org"] }

        [[task]]
        name = "guesses"
        run = "GuessNames"
        input = { domain = "example.org", words = ["www", "mail"] }
    "#;
    let plan = WorkflowFile::read("guess.toml", text, Syntax::Toml)?.plan(&registry)?;

    // 4. ... and the workers of its class need who does it.
    let runners = Runners::new().with::<GuessNames>(Guesser);
    let task = &plan.tasks[0];
    let order = RunTask {
        assignment: Assignment { task_id: task.id, attempt: 1, ticket: Ticket::fresh() },
        workflow_id: plan.id,
        definition: task.definition.clone(),
        input: task.input.clone(),
        scope: plan.scope,
    };
    let worker = Worker::new(order.assignment.task_id);
    runners.run(&worker, &order)?;
    let output = worker.output.into_inner()?;
    assert_eq!(output, [json!("www.example.org"), json!("mail.example.org")]);
    output.iter().for_each(|name| println!("{name}"));

    // A wrong input never reaches the task.
    let order = RunTask { input: json!({ "domain": "example.org", "words": [] }), ..order };
    let refused = runners.run(&Worker::new(TaskId::fresh()), &order);
    assert_eq!(refused, Err(TaskError::new(ErrorKind::Input, "words: there are none")));
    Ok(())
}

/// What `mrpf_worker` does for a task, as far as this one needs it: keeps what it gives.
struct Worker {
    run: Run,
    output: Mutex<Vec<Value>>,
}

impl Worker {
    fn new(task_id: TaskId) -> Self {
        let assignment = Assignment { task_id, attempt: 1, ticket: Ticket::fresh() };
        Self { run: Run { assignment, run_id: RunId::fresh() }, output: Mutex::default() }
    }
}

impl Hands for Worker {
    fn emit(&self, item: Value) -> Result<(), TaskError> {
        let mut output = self.output.lock().map_err(|_| refused("output"))?;
        output.push(item);
        Ok(())
    }

    fn create(&self, child: NewTask) -> Result<(), TaskError> {
        Err(refused(&child.definition))
    }

    fn save(&self, _: Value) -> Result<(), TaskError> {
        Err(refused("a checkpoint"))
    }

    fn run(&self) -> &Run {
        &self.run
    }

    fn checkpoint(&self) -> Option<&Checkpoint> {
        None
    }

    fn progress(&self, done: u64, total: Option<u64>, note: &str) {
        eprintln!("{done} of {total:?} {note}");
    }

    fn is_stopping(&self) -> bool {
        false
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    fn now(&self) -> Timestamp {
        std::time::SystemTime::now().into()
    }

    fn store(&self) -> Option<&dyn WorkerStore> {
        None
    }

    fn class(&self) -> &'static str {
        GuessNames::CLASS.as_str()
    }
}

fn refused(what: &str) -> TaskError {
    TaskError::new(ErrorKind::Resource, format!("{what}: not kept in this example"))
}
