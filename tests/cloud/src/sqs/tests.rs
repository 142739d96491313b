//! The rules of queues, through the operations, with the clock put forward.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

struct Bench {
    sqs: Sqs,
    queues: Queues,
    clock: Clock,
}

impl Bench {
    fn new() -> Self {
        let clock = Clock::start();
        let sqs = Sqs::new("http://here".to_owned(), clock.clone());
        Self { queues: Queues::new(sqs.clone()), sqs, clock }
    }

    fn call(&self, operation: &str, params: Value) -> Result<Value, String> {
        self.sqs.call(operation, &params, &|| false).map_err(|failure| failure.code)
    }

    fn pass(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
    }

    /// Bodies with handles and receive counts.
    fn receive(&self, url: &str, extra: Value) -> Vec<(String, String, String)> {
        let mut params = json!({ "QueueUrl": url, "MaxNumberOfMessages": 10, "MessageSystemAttributeNames": ["All"] });
        for (name, value) in extra.as_object().unwrap() {
            params[name] = value.clone();
        }
        let output = self.call("ReceiveMessage", params).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        output["Messages"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|m| {
                let count = &m["Attributes"]["ApproximateReceiveCount"];
                (text(&m["Body"]), text(&m["ReceiptHandle"]), text(count))
            })
            .collect()
    }

    /// The one message there is.
    fn receive_one(&self, url: &str) -> (String, String, String) {
        let mut all = self.receive(url, json!({}));
        assert_eq!(all.len(), 1);
        all.remove(0)
    }
}

fn of_30_secs() -> QueueSettings {
    QueueSettings::default().visibility(Duration::from_secs(30))
}

#[test]
fn a_received_message_is_hidden_until_its_timeout_and_gone_when_deleted() {
    let bench = Bench::new();
    let url = bench.queues.create("q", &of_30_secs());
    bench.queues.send(&url, "m");
    let (body, _, count) = bench.receive_one(&url);
    assert_eq!((&*body, &*count), ("m", "1"));
    bench.pass(29);
    assert!(bench.receive(&url, json!({})).is_empty());
    bench.pass(1);
    let (_, handle, count) = bench.receive_one(&url);
    assert_eq!(count, "2");
    bench.call("DeleteMessage", json!({ "QueueUrl": url, "ReceiptHandle": handle })).unwrap();
    bench.pass(31);
    assert!(bench.receive(&url, json!({})).is_empty());
}

#[test]
fn each_change_of_visibility_counts_from_itself() {
    let bench = Bench::new();
    let url = bench.queues.create("q", &of_30_secs());
    bench.queues.send(&url, "m");
    let (_, handle, _) = bench.receive_one(&url);
    let change = |secs: u64| {
        bench.call(
            "ChangeMessageVisibility",
            json!({ "QueueUrl": url, "ReceiptHandle": handle, "VisibilityTimeout": secs }),
        )
    };
    bench.pass(20);
    change(30).unwrap();
    bench.pass(29);
    assert!(bench.receive(&url, json!({})).is_empty());
    assert_eq!(
        change(43_200),
        Err("InvalidParameterValue".to_owned()),
        "12 h are from the receive"
    );
    change(0).unwrap();
    assert_eq!(change(30), Err("AWS.SimpleQueueService.MessageNotInflight".to_owned()));
    bench.receive_one(&url);
    assert_eq!(change(30), Err("ReceiptHandleIsInvalid".to_owned()));
}

#[test]
fn an_old_handle_deletes_nothing_and_nobody_is_told() {
    let bench = Bench::new();
    let url = bench.queues.create("q", &of_30_secs());
    bench.queues.send(&url, "m");
    let (_, old, _) = bench.receive_one(&url);
    bench.pass(30);
    let (_, new, _) = bench.receive_one(&url);
    let delete = |handle: &str| {
        bench.call("DeleteMessage", json!({ "QueueUrl": url, "ReceiptHandle": handle }))
    };
    delete(&old).unwrap();
    assert_eq!(bench.queues.depth(&url).in_flight, 1);
    // One that ran out, and is still the last, does.
    bench.pass(30);
    delete(&new).unwrap();
    assert_eq!(bench.queues.depth(&url), Depth::default());
    delete(&new).unwrap();
    assert_eq!(delete("nonsense"), Err("ReceiptHandleIsInvalid".to_owned()));
}

#[test]
fn a_message_received_too_often_is_a_dead_letter() {
    let bench = Bench::new();
    let url = bench.queues.create("q", &of_30_secs().max_receives(2));
    let dead = bench.queues.url("q-dead");
    let id = bench.queues.send(&url, "m");
    for _ in 0..2 {
        bench.receive_one(&url);
        bench.pass(30);
    }
    assert!(bench.receive(&url, json!({})).is_empty());
    let buried = bench.queues.messages(&dead);
    assert_eq!((buried.len(), &buried[0].id, buried[0].receives), (1, &id, 2));
    let output = bench
        .call("ReceiveMessage", json!({ "QueueUrl": dead, "AttributeNames": ["All"] }))
        .unwrap();
    let attributes = &output["Messages"][0]["Attributes"];
    assert_eq!(attributes["DeadLetterQueueSourceArn"], bench.queues.arn(&url));
    assert_eq!(attributes["ApproximateReceiveCount"], "3", "of all queues");
}

#[test]
fn a_delay_and_a_lag_hide_what_was_sent() {
    let bench = Bench::new();
    let url = bench.queues.create("q", &of_30_secs());
    bench
        .call("SendMessage", json!({ "QueueUrl": url, "MessageBody": "late", "DelaySeconds": 5 }))
        .unwrap();
    assert_eq!(bench.queues.depth(&url).delayed, 1);
    assert!(bench.receive(&url, json!({ "WaitTimeSeconds": 0 })).is_empty());
    bench.pass(5);
    bench.receive_one(&url);
    let appears_after = Duration::from_secs(2);
    bench.queues.set_faults(QueueFaults { appears_after, ..QueueFaults::default() });
    bench.queues.send(&url, "slow");
    assert!(bench.receive(&url, json!({})).is_empty());
    bench.pass(2);
    bench.receive_one(&url);
}

#[test]
fn a_long_poll_ends_with_a_message_or_its_time() {
    let bench = Bench::new();
    let url = bench.queues.create("q", &of_30_secs());
    let started = std::time::Instant::now();
    assert!(bench.receive(&url, json!({ "WaitTimeSeconds": 1 })).is_empty());
    assert!(started.elapsed() >= Duration::from_secs(1));
    std::thread::scope(|scope| {
        let poll = scope.spawn(|| bench.receive(&url, json!({ "WaitTimeSeconds": 20 })));
        std::thread::sleep(Duration::from_millis(50));
        bench.queues.send(&url, "m");
        assert_eq!(poll.join().unwrap().len(), 1);
    });
    assert!(started.elapsed() < Duration::from_secs(15), "and not with its time");
}

#[test]
fn one_who_hung_up_gets_nothing() {
    let bench = Bench::new();
    let url = bench.queues.create("q", &of_30_secs());
    bench.queues.send(&url, "m");
    let params = json!({ "QueueUrl": url, "WaitTimeSeconds": 20 });
    let output = bench.sqs.call("ReceiveMessage", &params, &|| true).unwrap();
    assert_eq!(output, json!({}));
    assert_eq!(bench.queues.depth(&url).visible, 1);
}

#[test]
fn faults_duplicate_forget_and_miss() {
    let bench = Bench::new();
    let all = |faults| {
        let url = bench.queues.create(&format!("q{}", bench.clock.now().as_nanos()), &of_30_secs());
        bench.queues.set_faults(faults);
        (0..4).for_each(|number| drop(bench.queues.send(&url, &number.to_string())));
        url
    };
    let url = all(QueueFaults { duplicates: 100, ..QueueFaults::default() });
    let first = bench.receive(&url, json!({}));
    assert_eq!(first.len(), 4);
    assert_eq!(bench.receive(&url, json!({})).len(), 4, "the copies");

    let url = all(QueueFaults { stale: 100, ..QueueFaults::default() });
    let (first, second) = (bench.receive(&url, json!({})), bench.receive(&url, json!({})));
    assert_eq!((first.len(), second.len()), (4, 4));
    bench.call("DeleteMessage", json!({ "QueueUrl": url, "ReceiptHandle": first[0].1 })).unwrap();
    assert_eq!(bench.queues.depth(&url).visible, 4);

    let url = all(QueueFaults { missed_by_short_polls: 100, ..QueueFaults::default() });
    assert!(bench.receive(&url, json!({})).is_empty());
    assert_eq!(bench.receive(&url, json!({ "WaitTimeSeconds": 1 })).len(), 4);

    let url = all(QueueFaults { is_disordered: true, ..QueueFaults::default() });
    let bodies: Vec<_> = bench.receive(&url, json!({})).into_iter().map(|m| m.0).collect();
    assert_ne!(bodies, ["0", "1", "2", "3"]);
}

#[test]
fn batches_are_right_as_a_whole_and_then_one_by_one() {
    let bench = Bench::new();
    let url = bench.queues.create("q", &of_30_secs().max_octets(262_144));
    let send = |bodies: &[(&str, &str)]| {
        let entries: Vec<_> =
            bodies.iter().map(|(id, body)| json!({ "Id": id, "MessageBody": body })).collect();
        bench.call("SendMessageBatch", json!({ "QueueUrl": url, "Entries": entries }))
    };
    let old = |code: &str| Err(format!("AWS.SimpleQueueService.{code}"));
    assert_eq!(send(&[]), old("EmptyBatchRequest"));
    assert_eq!(send(&[("a", "1"), ("a", "2")]), old("BatchEntryIdsNotDistinct"));
    assert_eq!(send(&[("a b", "1")]), old("InvalidBatchEntryId"));
    let ids: Vec<_> = (0..11).map(|number| number.to_string()).collect();
    let eleven: Vec<_> = ids.iter().map(|id| (&**id, "m")).collect();
    assert_eq!(send(&eleven), old("TooManyEntriesInBatchRequest"));
    let long = "x".repeat(200_000);
    let six: Vec<_> = ids.iter().take(6).map(|id| (&**id, &*long)).collect();
    assert_eq!(send(&six), old("BatchRequestTooLong"));
    assert_eq!(bench.queues.messages(&url).len(), 0);

    let too_long = "x".repeat(262_145);
    let output = send(&[("good", "m"), ("long", &too_long), ("bad", "\u{8}")]).unwrap();
    assert_eq!(output["Successful"][0]["Id"], "good");
    let codes: Vec<_> =
        output["Failed"].as_array().unwrap().iter().map(|failed| &failed["Code"]).collect();
    assert_eq!(codes, ["InvalidParameterValue", "InvalidMessageContents"]);

    let (_, handle, _) = bench.receive_one(&url);
    let output = bench
        .call(
            "DeleteMessageBatch",
            json!({ "QueueUrl": url, "Entries": [
                { "Id": "0", "ReceiptHandle": handle }, { "Id": "1", "ReceiptHandle": "nonsense" }] }),
        )
        .unwrap();
    assert_eq!(output["Successful"], json!([{ "Id": "0" }]));
    assert_eq!(output["Failed"][0]["Code"], "ReceiptHandleIsInvalid");
}

#[test]
fn wrong_calls_are_refused_with_the_errors_of_aws() {
    let bench = Bench::new();
    let url = bench.queues.create("q", &of_30_secs());
    let code = |operation: &str, params: Value| {
        let failure = bench.sqs.call(operation, &params, &|| false).unwrap_err();
        assert!(failure.is_misuse || failure.code.ends_with("NonExistentQueue"), "{failure:?}");
        failure.code
    };
    let none = json!({ "QueueUrl": "http://here/1/none" });
    assert_eq!(code("GetQueueAttributes", none), "AWS.SimpleQueueService.NonExistentQueue");
    assert_eq!(code("ReceiveMessage", json!({})), "MissingParameter");
    assert_eq!(code("DeleteQueue", json!({})), "UnknownOperationException");
    for (name, value, expected) in [
        ("MaxNumberOfMessages", json!(11), "InvalidParameterValue"),
        ("MaxNumberOfMessages", json!("1"), "SerializationException"),
        ("WaitTimeSeconds", json!(21), "InvalidParameterValue"),
        ("VisibilityTimeout", json!(-1), "InvalidParameterValue"),
        ("AttributeNames", json!(["Age"]), "InvalidAttributeName"),
        ("AttributeNames", json!("All"), "SerializationException"),
        ("Wait", json!(1), "UnknownParameter"),
    ] {
        let params = json!({ "QueueUrl": url, name: value });
        assert_eq!(code("ReceiveMessage", params), expected, "{name}");
    }
    for (body, expected) in [
        (json!(""), "MissingParameter"),
        (json!("\u{0}"), "InvalidMessageContents"),
        (json!("x".repeat(1_048_577)), "InvalidParameterValue"),
    ] {
        let params = json!({ "QueueUrl": url, "MessageBody": body });
        assert_eq!(code("SendMessage", params), expected);
    }
    let attributes = json!({ "VisibilityTimeout": "31" });
    let again = json!({ "QueueName": "q", "Attributes": attributes });
    assert_eq!(code("CreateQueue", again), "QueueAlreadyExists");
    for (name, value, expected) in [
        ("VisibilityTimeout", "43201", "InvalidAttributeValue"),
        ("QueueArn", "arn", "InvalidAttributeName"),
        ("RedrivePolicy", "{}", "InvalidParameterValue"),
        (
            "RedrivePolicy",
            r#"{"deadLetterTargetArn":"arn:aws:sqs:x:1:none","maxReceiveCount":2}"#,
            "InvalidParameterValue",
        ),
    ] {
        let params = json!({ "QueueUrl": url, "Attributes": { name: value } });
        assert_eq!(code("SetQueueAttributes", params), expected, "{value}");
    }
}

#[test]
fn attributes_are_read_as_they_were_set() {
    let bench = Bench::new();
    let url = bench.queues.create("q", &of_30_secs().max_receives(3).max_octets(2_048));
    bench.queues.send(&url, "m");
    let names =
        json!(["MaximumMessageSize", "RedrivePolicy", "QueueArn", "ApproximateNumberOfMessages"]);
    let params = json!({ "QueueUrl": url, "AttributeNames": names });
    let output = bench.call("GetQueueAttributes", params).unwrap();
    let policy = output["Attributes"]["RedrivePolicy"].as_str().unwrap();
    let policy: Value = serde_json::from_str(policy).unwrap();
    assert_eq!(policy["deadLetterTargetArn"], bench.queues.arn(&bench.queues.url("q-dead")));
    assert_eq!(output["Attributes"]["MaximumMessageSize"], "2048");
    assert_eq!(output["Attributes"]["ApproximateNumberOfMessages"], "1");
    assert_eq!(output["Attributes"].as_object().unwrap().len(), 4);
    let set = json!({ "QueueUrl": url, "Attributes": { "RedrivePolicy": "" } });
    bench.call("SetQueueAttributes", set).unwrap();
    let all = json!({ "QueueUrl": url, "AttributeNames": ["All"] });
    let output = bench.call("GetQueueAttributes", all).unwrap();
    assert_eq!(output["Attributes"].get("RedrivePolicy"), None);
}

#[test]
fn a_queue_has_only_so_many_messages_in_flight() {
    let bench = Bench::new();
    let url = bench.queues.create("q", &of_30_secs());
    bench.queues.limit_in_flight(2);
    (0..3).for_each(|_| drop(bench.queues.send(&url, "m")));
    assert_eq!(bench.receive(&url, json!({ "MaxNumberOfMessages": 2 })).len(), 2);
    assert_eq!(
        bench.call("ReceiveMessage", json!({ "QueueUrl": url })),
        Err("OverLimit".to_owned())
    );
    bench.pass(30);
    assert_eq!(bench.receive(&url, json!({ "MaxNumberOfMessages": 1 })).len(), 1);
}
