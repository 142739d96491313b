//! Invocations as Lambda makes them, over the embedded queues.

use std::{sync::Arc, time::Duration};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use mrpf_embedded::{QueueSettings, Queues, SqliteQueue};
use mrpf_ports::{
    Clock as _, Cx, Delivery, Finished, Queue as _, QueueName, Runners, Runs,
    clock::{SystemClock, Wake, after},
};
use mrpf_tasks::{
    Scope, TaskDefinition, TaskError, TaskId, Ticket, WorkerClass, WorkflowId,
    message::{Assignment, Envelope, Message, RunTask},
    task,
};
use mrpf_worker::{Batch, Parts, Settings};
use serde_json::{Value, json};

use crate::{AnswerError, answer};

task! {
    /// An external task.
    struct Echo;
    requires: [];
    input: Value;
    output: Value;
}

struct Echoes;

impl Runs<Echo> for Echoes {
    fn run(&self, cx: &Cx<'_, Echo>, input: Value) -> Result<Finished, TaskError> {
        cx.emit(&input)?;
        Ok(Finished::default())
    }
}

struct World {
    own: SqliteQueue,
    manager: SqliteQueue,
    batch: Batch,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        let queues = Queues::open(&path, QueueSettings::default()).unwrap();
        let (own, manager) = (queues.get(QueueName::External), queues.get(QueueName::TaskManager));
        let parts = Parts {
            own: Arc::new(own.clone()),
            task_manager: Arc::new(manager.clone()),
            store: None,
            runners: Runners::new().with::<Echo>(Echoes),
            clock: Arc::new(SystemClock),
            machine: None,
        };
        let batch = Batch::new(Settings::new(WorkerClass::External, "a test"), parts).unwrap();
        Self { own, manager, batch, _folder: folder }
    }

    /// What a mapping receives.
    fn receive(&self) -> Vec<Delivery> {
        self.own.receive(10, Duration::ZERO, Duration::from_secs(600)).unwrap()
    }

    fn answer(&self, event: Value) -> Result<SqsBatchResponse, AnswerError> {
        let event: SqsEvent = serde_json::from_value(event).unwrap();
        let deadline = after(SystemClock.now(), Duration::from_secs(60));
        answer(&self.batch, "external", event, deadline, &Wake::default())
    }

    fn told(&self) -> Vec<&'static str> {
        let got = self.manager.receive(10, Duration::ZERO, Duration::from_secs(60)).unwrap();
        got.iter().map(|it| Envelope::parse(&it.body).unwrap().message.kind()).collect()
    }
}

fn order(definition: &str) -> String {
    let order = RunTask {
        assignment: Assignment { task_id: TaskId::fresh(), attempt: 1, ticket: Ticket::fresh() },
        workflow_id: WorkflowId::fresh(),
        definition: definition.to_owned(),
        input: json!("hello"),
        scope: Scope::default(),
    };
    Envelope::new(Message::RunTask(order), SystemClock.now()).to_json().unwrap()
}

/// A record as SQS mappings have it.
fn record(id: &str, delivery: &Delivery) -> Value {
    json!({
        "messageId": id,
        "receiptHandle": delivery.handle.0,
        "body": delivery.body,
        "attributes": { "ApproximateReceiveCount": delivery.receive_count.to_string() },
        "messageAttributes": {},
        "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:external",
        "awsRegion": "eu-central-1",
    })
}

#[test]
fn exactly_what_was_not_done_is_a_failure() {
    let world = World::new();
    for body in [order(Echo::NAME), order("NoSuchTask"), "hello".to_owned()] {
        world.own.send(&[body]).unwrap();
    }
    let deliveries = world.receive();
    let id = |delivery: &Delivery| match Envelope::parse(&delivery.body) {
        Ok(Envelope { message: Message::RunTask(order), .. }) => order.definition,
        _ => "malformed".to_owned(),
    };
    let records: Vec<Value> = deliveries.iter().map(|it| record(&id(it), it)).collect();
    let response = world.answer(json!({ "Records": records })).unwrap();
    let mut failures: Vec<_> =
        response.batch_item_failures.iter().map(|it| it.item_identifier.as_str()).collect();
    failures.sort_unstable();
    assert_eq!(failures, ["NoSuchTask", "malformed"]);
    assert_eq!(world.told(), ["TaskProgress", "CompleteTask"]);
    assert_eq!(
        world.own.depth().unwrap().in_flight,
        3,
        "the mapping deletes, and not the function"
    );
}

#[test]
fn all_done_is_an_empty_list() {
    let world = World::new();
    world.own.send(&[order(Echo::NAME)]).unwrap();
    let response = world.answer(json!({ "Records": [record("m-1", &world.receive()[0])] }));
    let json = serde_json::to_value(response.unwrap()).unwrap();
    assert_eq!(json, json!({ "batchItemFailures": [] }));
    let none = world.answer(json!({ "Records": [] })).unwrap();
    assert!(none.batch_item_failures.is_empty());
}

#[test]
fn what_no_mapping_of_the_own_queue_sends_comes_to_nothing() {
    let world = World::new();
    world.own.send(&[order(Echo::NAME), order(Echo::NAME)]).unwrap();
    let deliveries = world.receive();
    let good = record("m-1", &deliveries[0]);
    for (name, value, said) in [
        ("messageId", Value::Null, "a record without messageId"),
        ("messageId", json!(""), "a record without messageId"),
        ("receiptHandle", Value::Null, "a record without receiptHandle"),
        ("eventSourceARN", Value::Null, "a record without eventSourceARN"),
        ("eventSourceARN", json!("arn:aws:sqs:eu-central-1:1:internal"), "own queue is external"),
    ] {
        let mut bad = record("m-2", &deliveries[1]);
        bad[name] = value;
        let error = world.answer(json!({ "Records": [good, bad] })).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    assert!(world.told().is_empty(), "of a batch that is refused nothing is done");
}
