use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::{Chunk, ErrorKind, Scope, TaskError, TaskId, WorkflowId};

const GOLDEN: &str = include_str!("../../testdata/messages-v1.jsonl");

fn uuid(last: u8) -> Uuid {
    Uuid::from_u128(0x0193_5d6e_0000_7000_8000_0000_0000_0000 | u128::from(last))
}

fn run() -> Run {
    let assignment = Assignment { task_id: TaskId(uuid(1)), attempt: 2, ticket: Ticket(uuid(2)) };
    Run { assignment, run_id: RunId(uuid(3)) }
}

/// One message of each kind that version 1 can write, with and without what is optional.
fn all() -> Vec<Envelope> {
    let succeeded = |parts, created, branch, truncated| Outcome::Succeeded {
        parts,
        created,
        branch,
        truncated,
    };
    let part =
        Part { index: 1, chunk: Chunk::Items { items: vec![json!({ "name": "a.example.org" })] } };
    let error = TaskError::new(ErrorKind::RateLimited, "crt.sh: 429");
    let messages = [
        Message::RunTask(RunTask {
            assignment: run().assignment,
            workflow_id: WorkflowId(uuid(4)),
            definition: "CrtSh".to_owned(),
            input: json!({ "domain": "example.org" }),
            scope: Scope { domains: vec!["example.org".parse().unwrap()], ..Scope::default() },
        }),
        Message::CreateTask(CreateTask {
            run: run(),
            index: 7,
            task: NewTask { definition: "TcpSynScan".to_owned(), input: json!({ "ports": "80" }) },
        }),
        Message::CompleteTask(CompleteTask {
            run: run(),
            outcome: succeeded(3, 0, None, false),
            part: Some(part),
        }),
        Message::CompleteTask(CompleteTask {
            run: run(),
            outcome: succeeded(0, 16, Some(true), true),
            part: None,
        }),
        Message::CompleteTask(CompleteTask {
            run: run(),
            outcome: Outcome::Failed { error: error.after(std::time::Duration::from_secs(60)) },
            part: None,
        }),
        Message::TaskProgress(TaskProgress {
            run: run(),
            done: 65_536,
            total: Some(1_048_576),
            note: "syn".to_owned(),
        }),
        Message::TaskProgress(TaskProgress {
            run: run(),
            done: 0,
            total: None,
            note: String::new(),
        }),
    ];
    let sent_at = Timestamp::from_unix_micros(1_795_507_200_000_000);
    let envelope =
        |(at, message): (u8, Message)| Envelope { id: MessageId(uuid(16 + at)), sent_at, message };
    (0..).zip(messages).map(envelope).collect()
}

#[test]
fn the_golden_file_is_what_we_write_and_read() {
    let written: Vec<String> = all().iter().map(|message| message.to_json().unwrap()).collect();
    assert_eq!(written, GOLDEN.lines().collect::<Vec<_>>());
    let read: Vec<Envelope> = GOLDEN.lines().map(|line| Envelope::parse(line).unwrap()).collect();
    assert_eq!(read, all());
}

#[track_caller]
fn check_refused(change: impl FnOnce(&mut serde_json::Value), error: &str) {
    let mut json = serde_json::from_str(GOLDEN.lines().next().unwrap()).unwrap();
    change(&mut json);
    assert_eq!(Envelope::parse(&json.to_string()).unwrap_err().to_string(), error);
}

#[test]
fn what_is_no_message_is_refused_with_a_reason() {
    check_refused(|json| json["v"] = json!(2), "version 2, and this program reads 1");
    check_refused(|json| json["type"] = json!("Run"), "unknown type \"Run\"");
    check_refused(
        |json| json["body"]["definition"] = json!(1),
        "RunTask: invalid type: integer `1`, expected a string at line 1 column 27",
    );
    assert!(matches!(Envelope::parse("{"), Err(MessageError::NoMessage(_))));
    assert!(matches!(Envelope::parse("[]"), Err(MessageError::NoMessage(_))));
}

#[test]
fn fields_of_later_versions_do_not_break_us() {
    let mut json: serde_json::Value = serde_json::from_str(GOLDEN.lines().next().unwrap()).unwrap();
    json["later"] = json!([1]);
    json["body"]["later"] = json!({});
    assert_eq!(Envelope::parse(&json.to_string()), Ok(all()[0].clone()));
}

#[test]
fn a_message_that_no_queue_takes_is_refused() {
    let mut large = all().remove(1);
    let Message::CreateTask(create) = &mut large.message else { panic!("{large:?}") };
    create.task.input = json!("a".repeat(MOST_BODY));
    assert!(matches!(large.to_json(), Err(MessageError::TooLarge { kind: "CreateTask", .. })));
}
