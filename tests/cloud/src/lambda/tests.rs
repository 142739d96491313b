//! A function whose process is a thread, fed from a queue.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::json;

use super::*;
use crate::{Cloud, Moto, QueueSettings, Queues};

/// Asks the runtime API. Gives status, headers and body.
fn ask(
    runtime: &LambdaRuntime,
    method: &str,
    path: &str,
    body: &str,
) -> io::Result<(u16, String, String)> {
    let mut stream = TcpStream::connect(runtime.server.address())?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nLambda-Extension-Name: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let mut body = String::new();
    reader.read_to_string(&mut body)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or(io::ErrorKind::InvalidData)?, head, body))
}

/// The next event with its id.
fn next(runtime: &LambdaRuntime) -> io::Result<(String, Value)> {
    let (status, head, body) = ask(runtime, "GET", "/2018-06-01/runtime/invocation/next", "")?;
    assert_eq!(status, 200);
    let id = head.lines().find_map(|line| line.strip_prefix("Lambda-Runtime-Aws-Request-Id: "));
    assert!(
        head.contains("Lambda-Runtime-Deadline-Ms: ")
            && head.contains("-Invoked-Function-Arn: arn:")
    );
    Ok((id.unwrap().to_owned(), serde_json::from_str(&body)?))
}

fn answer(runtime: &LambdaRuntime, id: &str, verb: &str, body: &str) -> u16 {
    ask(runtime, "POST", &format!("/2018-06-01/runtime/invocation/{id}/{verb}"), body).unwrap().0
}

fn runtime(timeout: Duration) -> LambdaRuntime {
    LambdaRuntime::start(Function { name: "f".to_owned(), timeout }).unwrap()
}

fn queue(cloud: &Cloud, name: &str) -> (Queues, String) {
    let settings = QueueSettings::default().visibility(Duration::from_secs(30)).max_receives(3);
    (cloud.queues(), cloud.queues().create(name, &settings))
}

/// Waits until something is so.
#[track_caller]
fn until(mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(10), "it never was");
        thread::sleep(LOOK);
    }
}

#[test]
fn an_invocation_goes_to_the_process_and_back() {
    let runtime = runtime(Duration::from_secs(10));
    thread::scope(|scope| {
        let invoked = scope.spawn(|| runtime.invoke(json!({ "n": 1 })));
        let (id, event) = next(&runtime).unwrap();
        assert_eq!(event, json!({ "n": 1 }));
        assert_eq!(answer(&runtime, "another", "response", "{}"), 400);
        assert_eq!(answer(&runtime, &id, "response", "[2]"), 202);
        assert_eq!(invoked.join().unwrap(), LambdaOutcome::Returned("[2]".to_owned()));
        let failed = scope.spawn(|| runtime.invoke(json!({})));
        let (id, _) = next(&runtime).unwrap();
        assert_eq!(answer(&runtime, &id, "error", "boom"), 202);
        assert_eq!(failed.join().unwrap(), LambdaOutcome::Failed("boom".to_owned()));
    });
    let register =
        ask(&runtime, "POST", "/2020-01-01/extension/register", r#"{"events":[]}"#).unwrap();
    assert!(register.1.contains("Lambda-Extension-Identifier: "));
    assert_eq!(runtime.extensions(), ["x"]);
    assert_eq!(ask(&runtime, "GET", "/2018-06-01/runtime/invocation", "").unwrap().0, 404);
    assert_eq!(runtime.misuses(), ["GET /2018-06-01/runtime/invocation"]);
    ask(&runtime, "POST", "/2018-06-01/runtime/init/error", "no settings").unwrap();
    assert_eq!(runtime.init_errors(), ["no settings"]);
}

#[test]
fn a_process_that_is_late_or_dies_loses_its_invocation() {
    let runtime = runtime(Duration::from_millis(50));
    thread::scope(|scope| {
        let late = scope.spawn(|| runtime.invoke(json!(1)));
        let (id, _) = next(&runtime).unwrap();
        assert_eq!(late.join().unwrap(), LambdaOutcome::TimedOut);
        assert_eq!(answer(&runtime, &id, "response", "{}"), 400);
    });
    let runtime = self::runtime(Duration::from_secs(10));
    thread::scope(|scope| {
        let died = scope.spawn(|| runtime.invoke(json!(1)));
        next(&runtime).unwrap();
        let after = scope.spawn(|| runtime.invoke(json!(2)));
        // A fresh process asks.
        let (id, event) = next(&runtime).unwrap();
        assert_eq!((died.join().unwrap(), event), (LambdaOutcome::Crashed, json!(2)));
        answer(&runtime, &id, "response", "null");
        after.join().unwrap();
    });
}

#[test]
fn what_is_done_is_deleted_and_the_rest_comes_again() {
    let cloud = Cloud::start();
    let (queues, url) = queue(&cloud, "q");
    let runtime = runtime(Duration::from_secs(10));
    let ids: Vec<_> = ["good", "bad"].iter().map(|body| queues.send(&url, body)).collect();
    runtime.map(EventSource::new(&cloud.endpoint(), &url)).unwrap();
    let (id, event) = next(&runtime).unwrap();
    let record = &event["Records"][1];
    assert_eq!((&record["messageId"], &record["body"]), (&json!(ids[1]), &json!("bad")));
    assert_eq!(record["attributes"]["ApproximateReceiveCount"], "1");
    assert_eq!(record["eventSourceARN"], queues.arn(&url));
    let failures = json!({ "batchItemFailures": [{ "itemIdentifier": ids[1] }] }).to_string();
    answer(&runtime, &id, "response", &failures);
    until(|| queues.messages(&url).len() == 1);
    assert!(!queues.messages(&url)[0].is_visible, "for as long as its timeout");
    for count in ["2", "3"] {
        cloud.clock().advance(Duration::from_secs(30));
        let (id, event) = next(&runtime).unwrap();
        assert_eq!(event["Records"][0]["attributes"]["ApproximateReceiveCount"], count);
        answer(&runtime, &id, "error", "boom");
    }
    until(|| runtime.invocations().iter().all(|invocation| invocation.outcome.is_some()));
    cloud.clock().advance(Duration::from_secs(30));
    until(|| queues.messages(&queues.url("q-dead")).len() == 1);
    assert!(cloud.misuses().is_empty());
}

#[test]
fn a_batch_may_be_larger_than_a_receive() {
    let cloud = Cloud::start();
    let (queues, url) = queue(&cloud, "q");
    (0..25).for_each(|number| drop(queues.send(&url, &number.to_string())));
    let runtime = runtime(Duration::from_secs(10));
    let source = EventSource::new(&cloud.endpoint(), &url);
    runtime.map(EventSource { batch_size: 100, ..source }).unwrap();
    let (id, event) = next(&runtime).unwrap();
    assert_eq!(event["Records"].as_array().unwrap().len(), 25);
    answer(&runtime, &id, "response", "{}");
    until(|| queues.messages(&url).is_empty());
}

#[test]
fn what_lambda_would_not_map_is_refused() {
    let cloud = Cloud::start();
    let (queues, url) = queue(&cloud, "q");
    let runtime = runtime(Duration::from_secs(31));
    let source = EventSource::new(&cloud.endpoint(), &url);
    let refused = |source: EventSource| runtime.map(source).unwrap_err();
    assert!(matches!(refused(source.clone()), MappingError::Visibility { .. }));
    let none = EventSource::new(&cloud.endpoint(), &queues.url("none"));
    assert!(matches!(refused(none), MappingError::Queue { .. }));
    let batch_size = 10_001;
    assert!(matches!(refused(EventSource { batch_size, ..source }), MappingError::BatchSize(_)));
}

#[test]
fn a_queue_may_be_of_another_server() {
    let Some(moto) = Moto::start() else { return };
    let any = EventSource::new(&moto.endpoint(), "");
    let created = mapping::call(&any, "CreateQueue", json!({ "QueueName": "q" })).unwrap();
    let url = created["QueueUrl"].as_str().unwrap();
    let source = EventSource::new(&moto.endpoint(), url);
    mapping::call(&source, "SendMessage", json!({ "MessageBody": "m" })).unwrap();
    let runtime = runtime(Duration::from_secs(10));
    runtime.map(source.clone()).unwrap();
    let (id, event) = next(&runtime).unwrap();
    assert_eq!(event["Records"][0]["body"], "m");
    assert_eq!(event["Records"][0]["attributes"]["ApproximateReceiveCount"], "1");
    answer(&runtime, &id, "response", "{}");
    let names = json!({ "AttributeNames": ["ApproximateNumberOfMessagesNotVisible"] });
    until(|| {
        let output = mapping::call(&source, "GetQueueAttributes", names.clone()).unwrap();
        output["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "0"
    });
}
