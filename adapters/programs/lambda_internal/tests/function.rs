//! The program itself, started as Lambda starts it, over queues on loopback and a PostgreSQL of its own.

#![forbid(unsafe_code)]

use std::{
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use mrpf_cloud::{
    Cloud, EventSource, Function, Invocation, LambdaOutcome, LambdaRuntime, Postgres, QueueSettings,
};
use mrpf_ports::{
    ManagerStore as _, WorkerStore as _,
    clock::after,
    store::{DomainRow, ModelRow, TaskRow, TaskState, Tx, WorkflowRow, WorkflowState},
};
use mrpf_postgres::PgStore;
use mrpf_records::Timestamp;
use mrpf_tasks::{
    Scope, TaskDefinition as _, TaskId, Ticket, WorkerClass, WorkflowId,
    catalogue::{DataRef, ListModels},
    message::{Assignment, CompleteTask, Envelope, Message, Outcome, RunTask},
};
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mrpf-lambda-internal");
/// Of the function; its queue hides messages for six times as long.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Longest that anything in these tests takes.
const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    cloud: Cloud,
    runtime: LambdaRuntime,
    own: String,
    manager: String,
    program: Option<Child>,
}

impl World {
    fn new() -> Self {
        let cloud = Cloud::start();
        let settings = QueueSettings::default().visibility(TIMEOUT * 6).max_receives(10);
        let own = cloud.queues().create("internal", &settings);
        let manager = cloud.queues().create("task-manager", &QueueSettings::default());
        let function = Function { name: "mrpf-internal".to_owned(), timeout: TIMEOUT };
        let runtime = LambdaRuntime::start(function).unwrap();
        Self { cloud, runtime, own, manager, program: None }
    }

    fn start(&mut self, database: &str) {
        let program = Command::new(PROGRAM)
            .env_clear()
            .envs(self.cloud.environment())
            .envs(self.runtime.environment())
            .env("INTERNAL_QUEUE_URL", &self.own)
            .env("TASK_MANAGER_QUEUE_URL", &self.manager)
            .env("DATABASE_URL", database)
            .stdin(Stdio::null())
            .spawn();
        self.program = Some(program.unwrap());
    }

    /// The first invocation that has ended.
    #[track_caller]
    fn first(&self) -> Invocation {
        let mut first = None;
        eventually("an invocation ends", || {
            let mut all = self.runtime.invocations().into_iter();
            first = all.find(|invocation| invocation.outcome.is_some());
            first.is_some()
        });
        first.unwrap()
    }

    fn completed(&self) -> Vec<CompleteTask> {
        let complete = |message| match message {
            Message::CompleteTask(complete) => Some(complete),
            _ => None,
        };
        let messages = self.cloud.queues().messages(&self.manager).into_iter();
        let told = messages.map(|it| Envelope::parse(&it.body).unwrap().message);
        told.filter_map(complete).collect()
    }

    /// Waits until the program has ended by itself.
    #[track_caller]
    fn ended(&mut self) -> ExitStatus {
        let program = self.program.as_mut().unwrap();
        let mut status = None;
        eventually("the program ends", || {
            status = program.try_wait().unwrap();
            status.is_some()
        });
        self.program = None;
        status.unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut program) = self.program.take() {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

#[track_caller]
fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_true() {
        assert!(begin.elapsed() < PATIENCE, "never came true: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

/// A task that was just given out, and its message.
fn given_out(store: &PgStore) -> (TaskRow, String) {
    let at = now();
    let workflow = WorkflowRow {
        id: WorkflowId::fresh(),
        name: "a workflow".to_owned(),
        state: WorkflowState::Running,
        scope: Scope::default(),
        open: 1,
        failed: 0,
        created_at: at,
        finished_at: None,
    };
    let task = TaskRow {
        input: json!({ "model": "domain", "out_of_scope": true }),
        state: TaskState::Dispatched,
        attempt: 1,
        ticket: Some(Ticket::fresh()),
        lease_until: Some(after(at, Duration::from_secs(900))),
        ..TaskRow::new(TaskId::fresh(), workflow.id, ListModels::NAME, WorkerClass::Internal, at)
    };
    within(store, |tx| {
        tx.put_workflow(&workflow).unwrap();
        tx.put_task(&task).unwrap();
    });
    let body = order(task.id, task.ticket.unwrap(), &task.definition, task.input.clone());
    (task, body)
}

fn within(store: &PgStore, mut work: impl FnMut(&mut dyn Tx)) {
    store
        .transaction(&mut |tx| {
            work(tx);
            Ok(())
        })
        .unwrap();
}

fn order(task_id: TaskId, ticket: Ticket, definition: &str, input: Value) -> String {
    let order = RunTask {
        assignment: Assignment { task_id, attempt: 1, ticket },
        workflow_id: WorkflowId::fresh(),
        definition: definition.to_owned(),
        input,
        scope: Scope::default(),
    };
    Envelope::new(Message::RunTask(order), now()).to_json().unwrap()
}

#[track_caller]
fn failures(invocation: &Invocation) -> Vec<String> {
    let Some(LambdaOutcome::Returned(json)) = &invocation.outcome else { panic!("{invocation:?}") };
    let response: Value = serde_json::from_str(json).unwrap();
    let failures = response["batchItemFailures"].as_array().unwrap().iter();
    failures.map(|it| it["itemIdentifier"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn good_twice_unknown_and_bad_are_one_effect_and_the_right_failures() {
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.database();
    PgStore::migrate(&database.url()).unwrap();
    let store = PgStore::open(&database.url()).unwrap();
    let name = "example.org".parse().unwrap();
    let domain = ModelRow::Domain(DomainRow { name, sources: Vec::new(), seen: None });
    store.upsert(&[domain], now()).unwrap();
    let (task, message) = given_out(&store);

    let mut world = World::new();
    let queues = world.cloud.queues();
    let twice = [queues.send(&world.own, &message), queues.send(&world.own, &message)];
    let unknown = order(TaskId::fresh(), Ticket::fresh(), "NoSuchTask", json!({}));
    let bad = [queues.send(&world.own, &unknown), queues.send(&world.own, "this is no message")];
    world.start(&database.login(&["mrpf_internal"]));
    world.runtime.map(EventSource::new(&world.cloud.endpoint(), &world.own)).unwrap();
    let first = world.first();
    assert_eq!(first.event["Records"].as_array().unwrap().len(), 4, "{first:?}");
    let failures = failures(&first);
    assert!(bad.iter().all(|id| failures.contains(id)), "{failures:?}");
    let again = twice.iter().filter(|id| failures.contains(*id)).count();
    assert_eq!((again, failures.len()), (1, 3), "one of the two is done: {failures:?}");

    let completed = world.completed();
    assert_eq!(completed.len(), 1);
    let CompleteTask { run, outcome, part } = &completed[0];
    assert!(
        matches!(outcome, Outcome::Succeeded { parts: 1, .. }) && part.is_none(),
        "{outcome:?}"
    );
    // As the manager does when it hears of it.
    within(&store, |tx| {
        let mut row = tx.task(task.id).unwrap().unwrap();
        assert_eq!((row.state, row.run_id), (TaskState::Running, Some(run.run_id)));
        row.parts = tx.parts(task.id, run.run_id).unwrap();
        row.state = TaskState::Succeeded;
        tx.put_task(&row).unwrap();
        tx.keep_run(task.id, Some(run.run_id)).unwrap();
    });
    let found = store.read(DataRef::Task(task.id), None, 10).unwrap();
    assert!(serde_json::to_string(&found[0].1).unwrap().contains("example.org"), "{found:?}");
    eventually("what comes a second time is deleted, and the bad ones come again", || {
        let left = queues.messages(&world.own);
        let is_bad = |id| bad.contains(id);
        left.len() == 2 && left.iter().all(|message| is_bad(&message.id) && message.receives >= 2)
    });
    assert_eq!((world.completed().len(), found.len()), (1, 1));
    assert!(world.runtime.misuses().is_empty() && world.cloud.misuses().is_empty());
}

#[test]
fn a_database_that_is_not_there_is_an_init_error_without_the_password() {
    let mut world = World::new();
    world.start("postgres://internal:s3cret@127.0.0.1:1/mrpf");
    assert_eq!(world.ended().code(), Some(1));
    let told = world.runtime.init_errors().concat();
    assert!(told.contains("127.0.0.1:1") && !told.contains("s3cret"), "{told}");
}

#[test]
fn all_settings_that_are_wrong_are_told_together() {
    let mut world = World::new();
    world.own = "nonsense".to_owned();
    world.start("mysql://internal:s3cret@db/mrpf");
    assert_eq!(world.ended().code(), Some(1));
    let told = world.runtime.init_errors().concat();
    assert!(
        told.contains("INTERNAL_QUEUE_URL=nonsense") && told.contains("DATABASE_URL"),
        "{told}"
    );
    assert!(!told.contains("s3cret"), "{told}");
}
