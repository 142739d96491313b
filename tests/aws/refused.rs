//! Who may say what: a worker speaks for the task that it was given, and `--check` says what is wrong.

use mrpf_ports::{Clock as _, clock::SystemClock};
use mrpf_tasks::{
    RunId, Ticket,
    message::{Assignment, CompleteTask, Envelope, Message, Outcome, Run},
};

use crate::{
    account::Account,
    program::{run, wait},
    world::{SOON, World, postgres},
};

#[test]
fn a_result_for_a_task_that_was_not_given_is_refused() {
    let Some((lab, postgres)) = postgres() else { return };
    let log = ("MRPF_LOG", "info,mrpf_manager=debug");
    let world = World::start(lab, &postgres, Account::small(), &[log]);
    let mut manager = world.manager();
    // Nobody takes it: capacity there is none.
    let cloud = world.account.cloud();
    cloud.ec2().deny("RunInstances");
    let id = world.submit(&crate::world::scan(800));
    wait("the task is not given out", SOON, || {
        let row =
            world.database().sql("SELECT id FROM task_manager.task WHERE state = 'dispatched'");
        (!row.trim().is_empty()).then_some(())
    });
    let task = world.database().sql("SELECT id FROM task_manager.task").trim().to_owned();
    let run = Run {
        assignment: Assignment {
            task_id: task.parse().unwrap(),
            attempt: 1,
            ticket: Ticket::fresh(),
        },
        run_id: RunId::fresh(),
    };
    let outcome = Outcome::Succeeded { parts: 0, created: 0, branch: None, truncated: false };
    let forged = CompleteTask { run, outcome, part: None };
    let body = Envelope::new(Message::CompleteTask(forged), SystemClock.now()).to_json().unwrap();
    cloud.queues().send(&world.account.queue("task-manager"), &body);
    manager.says("a message that changes nothing", SOON);
    let state = world.database().sql("SELECT state FROM task_manager.task");
    assert_eq!(state.trim(), "dispatched");
    assert_eq!(world.rows(&format!("status {id} --json"))[0]["state"], "running");
}

#[test]
fn a_check_says_what_is_wrong_and_what_mends_it() {
    let Some((lab, postgres)) = postgres() else { return };
    let world = World::start(lab, &postgres, Account::small(), &[]);
    let check = |change: &[(&str, &str)]| {
        let mut variables = world.variables().clone();
        for (name, value) in change {
            variables.retain(|(known, _)| known != name);
            variables.push(((*name).to_owned(), (*value).to_owned()));
        }
        let output = run("mrpf-manager", "--check", &variables);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, said) = check(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("WRONG") && said.matches("OK ").count() >= 6, "{said}");
    let gone = world.account.queue("external").replace("external", "elsewhere");
    for (name, value, expected, words) in [
        ("MAX_BARE_METAL_WORKERS", "0", 2, "MAX_BARE_METAL_WORKERS"),
        ("EXTERNAL_QUEUE_URL", gone.as_str(), 1, "EXTERNAL_QUEUE_URL"),
        ("BARE_METAL_LAUNCH_TEMPLATE", "another", 1, "another"),
        ("BARE_METAL_WORKER_SUBNETS", "subnet-0fffffffffffffffff", 1, "subnet-0fffffffffffffffff"),
        ("DATABASE_URL", "postgres://nobody:secret@127.0.0.1:9/none", 1, "127.0.0.1"),
    ] {
        let (code, said) = check(&[(name, value)]);
        assert_eq!(code, Some(expected), "{name}: {said}");
        let wrong: Vec<_> = said.lines().filter(|line| line.starts_with("WRONG")).collect();
        assert!(wrong.iter().any(|line| line.contains(words)), "{name}: {said}");
        assert!(!said.contains("secret"), "{said}");
    }
    world.account.cloud().ec2().deny("RunInstances");
    let (code, said) = check(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("RunInstances"), "{said}");
}
