//! What goes wrong at the service, and what becomes of it: nothing lost, no more attempts than three, a line in the log.

use std::time::{Duration, Instant};

use mrpf_cloud::{Answer, Fault, Outcome};
use mrpf_ports::{Queue, QueueError};

use crate::world::{LONG, SECOND, World, keep_log, log};

/// Of one call.
const ATTEMPTS: usize = 3;

fn world() -> World {
    keep_log();
    World::new()
}

fn error(status: u16, code: &str) -> Answer {
    let message = format!("{code}, as the test asked");
    Answer::Error { status, code: code.to_owned(), message }
}

/// Lines of the log with all of these in them.
fn lines(with: &[&str]) -> usize {
    log().lines().filter(|line| with.iter().all(|part| line.contains(part))).count()
}

#[test]
fn a_burst_of_errors_of_the_service_is_outlived_and_told() {
    let world = world();
    for operation in [
        "SendMessageBatch",
        "ReceiveMessage",
        "ChangeMessageVisibility",
        "DeleteMessageBatch",
        "GetQueueAttributes",
    ] {
        world
            .cloud
            .faults()
            .add(Fault::on(operation, error(500, "InternalFailureOfBursts")).times(2));
    }
    let delivery = world.one();
    world.queue.extend(&delivery.handle, LONG).unwrap();
    assert_eq!(world.queue.depth().unwrap().in_flight, 1);
    world.queue.delete(&[delivery.handle]).unwrap();
    assert_eq!(world.cloud.faults().left(), []);
    for operation in ["SendMessageBatch", "ChangeMessageVisibility", "DeleteMessageBatch"] {
        assert_eq!(world.calls(operation).len(), ATTEMPTS, "{operation}");
        for attempt in ["attempt=2", "attempt=3"] {
            let told = ["InternalFailureOfBursts", "500", operation, attempt];
            assert_eq!(lines(&told), 1, "{told:?}:\n{}", log());
        }
    }
}

#[test]
fn attempts_are_three_and_then_it_is_an_error() {
    let world = world();
    let delivery = world.one();
    world.cloud.faults().add(Fault::on("sqs:*", error(503, "ServiceUnavailable")).times(u32::MAX));
    let (taken, sent) =
        (world.calls("ReceiveMessage").len(), world.calls("SendMessageBatch").len());
    let start = Instant::now();
    let failures = [
        world.queue.send(&["b".to_owned()]).unwrap_err(),
        world.queue.receive(1, SECOND, LONG).unwrap_err(),
        world.queue.extend(&delivery.handle, LONG).unwrap_err(),
        world.queue.delete(std::slice::from_ref(&delivery.handle)).unwrap_err(),
        world.queue.depth().unwrap_err(),
    ];
    println!("five calls of three attempts each: {:?}", start.elapsed());
    for failure in failures {
        let why = failure.to_string();
        assert!(why.contains("ServiceUnavailable (503)"), "{why}");
        assert!(why.contains("the service has trouble of its own"), "{why}");
    }
    assert_eq!(world.calls("SendMessageBatch").len() - sent, ATTEMPTS);
    assert_eq!(world.calls("ReceiveMessage").len() - taken, ATTEMPTS);
    assert_eq!(world.calls("ChangeMessageVisibility").len(), ATTEMPTS);
    assert_eq!(world.calls("DeleteMessageBatch").len(), ATTEMPTS);
    // And when it is over, it is over.
    world.cloud.faults().clear();
    world.queue.extend(&delivery.handle, LONG).unwrap();
    world.queue.delete(&[delivery.handle]).unwrap();
    assert_eq!(world.cloud.queues().messages(&world.url), []);
}

#[test]
fn a_service_that_is_asked_too_often_is_given_time() {
    let world = world();
    for (code, status) in [("ThrottlingException", 400), ("RequestThrottled", 403)] {
        let before = world.calls("SendMessageBatch");
        world.cloud.faults().add(Fault::on("SendMessageBatch", error(status, code)).times(2));
        world.queue.send(&["a".to_owned()]).unwrap();
        let calls = world.calls("SendMessageBatch").split_off(before.len());
        assert_eq!(calls.len(), ATTEMPTS, "{code}");
        // One call of ours: the SDK's own attempts.
        assert!(calls.iter().all(|call| call.invocation == calls[0].invocation), "{code}");
        assert_eq!(lines(&[code, "SendMessageBatch", "attempt=3"]), 1, "{code}:\n{}", log());
    }
    world
        .cloud
        .faults()
        .add(Fault::on("SendMessageBatch", error(400, "ThrottlingException")).times(3));
    let why = world.queue.send(&["a".to_owned()]).unwrap_err().to_string();
    assert!(
        why.contains("ThrottlingException (400)") && why.contains("more often than AWS lets us"),
        "{why}"
    );
}

/// The service has done it, and nobody knows.
#[test]
fn an_answer_that_is_lost_loses_no_message() {
    let world = world();
    world.cloud.faults().add(Fault::on("SendMessageBatch", Answer::DropAfter));
    world.queue.send(&["a".to_owned(), "b".to_owned()]).unwrap();
    let mut bodies: Vec<_> =
        world.cloud.queues().messages(&world.url).into_iter().map(|message| message.body).collect();
    bodies.sort();
    // At least once.
    assert_eq!(bodies, ["a", "a", "b", "b"]);
    assert_eq!(world.calls("SendMessageBatch")[0].outcome, Outcome::Dropped);
    // What the receive had taken comes again when its time is over; the second attempt has taken others.
    world.cloud.faults().add(Fault::on("ReceiveMessage", Answer::DropAfter));
    let taken = world.queue.receive(2, SECOND, 2 * SECOND).unwrap();
    assert_eq!(taken.len(), 2);
    let depth = world.cloud.queues().depth(&world.url);
    assert_eq!((depth.visible, depth.in_flight), (0, 4));
    // To extend and to delete twice is to do it once.
    for operation in ["ChangeMessageVisibility", "DeleteMessageBatch"] {
        world.cloud.faults().add(Fault::on(operation, Answer::DropAfter));
    }
    world.queue.extend(&taken[0].handle, LONG).unwrap();
    world.queue.delete(&[taken[0].handle.clone(), taken[1].handle.clone()]).unwrap();
    let rest = world.queue.receive(2, 5 * SECOND, LONG).unwrap();
    assert!(!rest.is_empty());
    assert_eq!(world.cloud.queues().messages(&world.url).len(), 2);
    assert_eq!(world.cloud.faults().left(), []);
}

/// The service takes seven of ten, and then the rest.
#[test]
fn what_is_left_of_a_batch_is_sent_again() {
    let world = world();
    let bodies: Vec<String> = (0..10).map(|n| format!("left {n}")).collect();
    world.cloud.faults().add(Fault::on("SendMessageBatch", Answer::RefuseEntries(3)));
    world.queue.send(&bodies).unwrap();
    let sizes = |operation| -> Vec<usize> {
        let calls = world.calls(operation).into_iter();
        calls.map(|call| call.params["Entries"].as_array().unwrap().len()).collect()
    };
    assert_eq!(sizes("SendMessageBatch"), [10, 3]);
    let told = ["left of a batch", "SQS SendMessageBatch", "left=3", "of=10", "InternalError"];
    assert_eq!(lines(&told), 1, "{}", log());
    let mut taken = Vec::new();
    while taken.len() < bodies.len() {
        taken.extend(world.queue.receive(10, SECOND, LONG).unwrap());
    }
    let mut got: Vec<&String> = taken.iter().map(|delivery| &delivery.body).collect();
    got.sort();
    assert_eq!(got, bodies.iter().collect::<Vec<_>>(), "each once");
    // Deleting too; a stale handle among them stays out of it.
    world.cloud.faults().add(Fault::on("DeleteMessageBatch", Answer::RefuseEntries(2)));
    let mut handles: Vec<_> = taken.into_iter().map(|delivery| delivery.handle).collect();
    handles[9] = mrpf_ports::Handle("nonsense".to_owned());
    world.queue.delete(&handles).unwrap();
    assert_eq!(sizes("DeleteMessageBatch"), [10, 2]);
    assert_eq!(world.cloud.queues().depth(&world.url).in_flight, 1);
}

#[test]
fn what_is_left_of_a_batch_is_sent_again_four_times_and_then_it_is_an_error() {
    let world = world();
    let bodies: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    world
        .cloud
        .faults()
        .add(Fault::on("SendMessageBatch", Answer::RefuseEntries(3)).times(u32::MAX));
    let why = world.queue.send(&bodies).unwrap_err().to_string();
    assert!(why.contains("SQS SendMessageBatch: 3 of 10 were refused: InternalError"), "{why}");
    assert_eq!(world.calls("SendMessageBatch").len(), 5);
    assert_eq!(world.cloud.queues().depth(&world.url).visible, 7);
}

#[test]
fn a_character_that_the_service_takes_from_nobody_is_an_error_at_once() {
    let world = world();
    let start = Instant::now();
    let bodies = ["good".to_owned(), "a\u{0}b".to_owned(), "good too".to_owned()];
    let why = world.queue.send(&bodies).unwrap_err().to_string();
    assert!(
        why.contains("SQS SendMessageBatch: 1 of 3 were refused: InvalidMessageContents"),
        "{why}"
    );
    assert_eq!(world.calls("SendMessageBatch").len(), 1);
    assert!(start.elapsed() < 2 * SECOND);
}

#[test]
fn a_lost_lease_is_a_lost_lease_whatever_it_is_called() {
    let world = world();
    let delivery = world.one();
    let invalid = |reason: &str| Answer::Error {
        status: 400,
        code: "InvalidParameterValue".to_owned(),
        message: format!(
            "Value {} for parameter ReceiptHandle is invalid. Reason: {reason}.",
            "AQEB".repeat(100)
        ),
    };
    for answer in [
        error(400, "MessageNotInflight"),
        error(400, "ReceiptHandleIsInvalid"),
        error(404, "ReceiptHandleIsInvalid"),
        invalid("Message does not exist or is not available for visibility timeout change"),
        invalid("The receipt handle has expired"),
    ] {
        world.cloud.faults().add(Fault::on("ChangeMessageVisibility", answer.clone()));
        let lost = world.queue.extend(&delivery.handle, LONG);
        assert!(matches!(lost, Err(QueueError::LeaseLost { .. })), "{answer:?}: {lost:?}");
    }
    let beyond = Answer::Error {
        status: 400,
        code: "InvalidParameterValue".to_owned(),
        message: "Value 43200 for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit".to_owned(),
    };
    world.cloud.faults().add(Fault::on("ChangeMessageVisibility", beyond));
    let refused = world.queue.extend(&delivery.handle, Duration::from_secs(43_200)).unwrap_err();
    assert!(refused.to_string().contains("beyond the limit"), "{refused}");
}
