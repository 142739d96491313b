//! The program itself, started as Lambda starts it, over queues on loopback.

#![forbid(unsafe_code)]

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use mrpf_cloud::{
    Cloud, EventSource, Function, Invocation, LambdaOutcome, LambdaRuntime, QueueSettings,
};
use mrpf_tasks::{
    Scope, TaskDefinition as _, TaskId, Ticket, WorkflowId,
    catalogue::CrtSh,
    message::{Assignment, CompleteTask, Envelope, Message, Outcome, RunTask},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mrpf-lambda-external");
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
        let settings = QueueSettings::default().visibility(TIMEOUT * 6).max_receives(5);
        let own = cloud.queues().create("external", &settings);
        let manager = cloud.queues().create("task-manager", &QueueSettings::default());
        let function = Function { name: "mrpf-external".to_owned(), timeout: TIMEOUT };
        let runtime = LambdaRuntime::start(function).unwrap();
        Self { cloud, runtime, own, manager, program: None }
    }

    /// Starts the program; without the variable `but`.
    fn start(&mut self, crt_sh: &str, but: &str) {
        let ours = [
            ("EXTERNAL_QUEUE_URL", self.own.clone()),
            ("TASK_MANAGER_QUEUE_URL", self.manager.clone()),
            ("CRTSH_BASE_URL", crt_sh.to_owned()),
        ];
        let environment =
            self.cloud.environment().into_iter().chain(self.runtime.environment()).chain(ours);
        let program = Command::new(PROGRAM)
            .env_clear()
            .envs(environment.filter(|(name, _)| *name != but))
            .stdin(Stdio::null())
            .spawn();
        self.program = Some(program.unwrap());
    }

    fn map(&self) {
        self.runtime.map(EventSource::new(&self.cloud.endpoint(), &self.own)).unwrap();
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

    /// What the manager was told.
    fn told(&self) -> Vec<Message> {
        let messages = self.cloud.queues().messages(&self.manager);
        messages.iter().map(|it| Envelope::parse(&it.body).unwrap().message).collect()
    }

    fn completed(&self) -> Vec<CompleteTask> {
        let complete = |message| match message {
            Message::CompleteTask(complete) => Some(complete),
            _ => None,
        };
        self.told().into_iter().filter_map(complete).collect()
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

/// A crt.sh that knows one name, after `pause`.
fn crt_sh(pause: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let rows = json!([{
        "issuer_ca_id": 1,
        "issuer_name": "C=XX, O=Test Trust, CN=Test Trust R1",
        "common_name": "example.org",
        "name_value": "example.org",
        "id": 1,
        "entry_timestamp": "2026-10-01T09:08:07.654",
        "not_before": "2026-10-01T00:00:00",
        "not_after": "2027-01-02T03:04:05",
        "serial_number": "0a",
        "result_count": 1,
    }])
    .to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, rows) = (stream.unwrap(), rows.clone());
            thread::spawn(move || {
                let mut head = [0; 4_096];
                let _ = stream.read(&mut head);
                thread::sleep(pause);
                let length = rows.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{rows}"
                );
            });
        }
    });
    address
}

fn order(definition: &str) -> String {
    let order = RunTask {
        assignment: Assignment { task_id: TaskId::fresh(), attempt: 1, ticket: Ticket::fresh() },
        workflow_id: WorkflowId::fresh(),
        definition: definition.to_owned(),
        input: json!({ "domain": "example.org" }),
        scope: Scope::default(),
    };
    Envelope::new(Message::RunTask(order), SystemTime::now().into()).to_json().unwrap()
}

#[track_caller]
fn failures(invocation: &Invocation) -> Vec<String> {
    let Some(LambdaOutcome::Returned(json)) = &invocation.outcome else { panic!("{invocation:?}") };
    let response: Value = serde_json::from_str(json).unwrap();
    let failures = response["batchItemFailures"].as_array().unwrap().iter();
    let mut ids: Vec<_> =
        failures.map(|it| it["itemIdentifier"].as_str().unwrap().to_owned()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn of_three_messages_the_good_one_is_done_and_the_others_come_again() {
    let mut world = World::new();
    let queues = world.cloud.queues();
    queues.send(&world.own, &order(CrtSh::NAME));
    let mut bad = [
        queues.send(&world.own, &order("NoSuchTask")),
        queues.send(&world.own, "this is no message"),
    ];
    bad.sort_unstable();
    world.start(&crt_sh(Duration::ZERO), "");
    world.map();
    let first = world.first();
    assert_eq!(first.event["Records"].as_array().unwrap().len(), 3, "{first:?}");
    assert_eq!(failures(&first), bad);
    let kinds: Vec<&str> = world.told().iter().map(Message::kind).collect();
    assert_eq!(kinds, ["TaskProgress", "CompleteTask"]);
    let outcome = &world.completed()[0].outcome;
    assert!(matches!(outcome, Outcome::Succeeded { parts: 1, .. }), "{outcome:?}");
    // Within seconds, and not when the queue's own timeout of 6 minutes is over.
    eventually("the others are delivered again", || {
        let left = queues.messages(&world.own);
        left.len() == 2 && left.iter().all(|message| message.receives >= 2)
    });
    assert_eq!(world.completed().len(), 1, "what was done is not done again");
    assert!(world.runtime.misuses().is_empty() && world.cloud.misuses().is_empty());
}

#[test]
fn a_message_that_comes_twice_is_one_task_with_two_runs() {
    let mut world = World::new();
    let order = order(CrtSh::NAME);
    for _ in 0..2 {
        world.cloud.queues().send(&world.own, &order);
    }
    world.start(&crt_sh(Duration::ZERO), "");
    world.map();
    assert!(failures(&world.first()).is_empty());
    eventually("both are done", || world.completed().len() == 2);
    let [first, second] = &world.completed()[..] else { unreachable!() };
    // The manager takes the first complete run of an assignment, and drops the other's.
    assert_eq!(first.run.assignment, second.run.assignment);
    assert_ne!(first.run.run_id, second.run.run_id);
    eventually("both are deleted", || world.cloud.queues().messages(&world.own).is_empty());
}

#[test]
fn a_setting_that_is_missing_is_an_init_error_that_names_it() {
    let mut world = World::new();
    world.start(&crt_sh(Duration::ZERO), "EXTERNAL_QUEUE_URL");
    assert_eq!(world.ended().code(), Some(1));
    let told = world.runtime.init_errors();
    assert_eq!(told.len(), 1);
    let told: Value = serde_json::from_str(&told[0]).unwrap();
    let message = told["errorMessage"].as_str().unwrap();
    assert!(message.starts_with("EXTERNAL_QUEUE_URL is not set"), "{message}");
}

#[test]
fn a_queue_that_is_not_there_is_an_init_error_that_names_it() {
    let mut world = World::new();
    world.own = world.cloud.queues().url("nowhere");
    world.start(&crt_sh(Duration::ZERO), "");
    assert_eq!(world.ended().code(), Some(1));
    let told = world.runtime.init_errors().concat();
    assert!(told.contains("external queue") && told.contains("nowhere"), "{told}");
}

#[test]
fn sigterm_gives_back_what_is_being_done() {
    let mut world = World::new();
    world.cloud.queues().send(&world.own, &order(CrtSh::NAME));
    world.start(&crt_sh(Duration::from_secs(600)), "");
    world.map();
    eventually("the task is begun", || !world.told().is_empty());
    let program = Pid::from_raw(i32::try_from(world.program.as_ref().unwrap().id()).unwrap());
    let begin = Instant::now();
    kill(program, Signal::SIGTERM).unwrap();
    assert_eq!(failures(&world.first()).len(), 1);
    assert_eq!(world.ended().code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    eventually("its message is visible", || {
        world.cloud.queues().messages(&world.own).iter().any(|it| it.is_visible || it.receives > 1)
    });
    assert!(world.completed().is_empty());
}

#[test]
fn outside_lambda_it_says_so() {
    let world = World::new();
    let ended = Command::new(PROGRAM)
        .env_clear()
        .envs(world.cloud.environment())
        .env("EXTERNAL_QUEUE_URL", &world.own)
        .env("TASK_MANAGER_QUEUE_URL", &world.manager)
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(
        said.contains("AWS_LAMBDA_RUNTIME_API is not set: this program is started by AWS"),
        "{said}"
    );
}
