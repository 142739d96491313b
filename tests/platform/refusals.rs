//! What lies outside the scope is cut away before a worker hears of it, and written down.

use mrpf_ports::{
    Queue as _, QueueName, WorkerStore as _,
    store::{TaskState, WorkflowState},
};
use mrpf_tasks::{
    ErrorKind, WorkerClass,
    catalogue::{SynScanInput, TcpSynScan, TlsScan, TlsScanInput},
    scope::Refusal,
};
use serde_json::{Value, json};

use crate::{
    worker::{Worker, order},
    world::{Planner, World, check_books, step},
};

fn scan(targets: &[&str]) -> Value {
    json!({ "targets": targets, "ports": "80", "rate": 100, "retries": 0, "cooldown_secs": 1, "seed": 1 })
}

#[test]
fn targets_outside_the_scope_and_on_the_blocklist_do_not_leave_the_manager() {
    let world = World::new();
    let now = world.now();
    world.within(|tx| tx.put_blocked("198.19.0.200".parse().unwrap(), now));
    let mut plan = Planner::new();
    let targets = ["198.19.0.8/31", "198.19.0.200", "203.0.113.7"];
    let task = plan.task::<TcpSynScan>(scan(&targets));
    world.submit(&plan.0);
    let mut manager = world.manager(1);
    step(&mut manager, now);
    let delivery = Worker::new(&world, WorkerClass::BareMetal).receive().expect("an order");
    let input: SynScanInput = serde_json::from_value(order(&delivery).input).unwrap();
    assert_eq!(input.targets, ["198.19.0.8/31".parse().unwrap()]);
    let stored: SynScanInput = serde_json::from_value(world.task(task).input).unwrap();
    assert_eq!(stored.targets.len(), 3, "what was asked stays as it was asked");
    let mut refusals: Vec<_> = world
        .store
        .refusals(plan.id())
        .unwrap()
        .into_iter()
        .map(|row| (row.what, row.why, row.by, row.task_id))
        .collect();
    refusals.sort_by(|one, other| one.0.cmp(&other.0));
    let by = || "manager".to_owned();
    assert_eq!(
        refusals,
        [
            ("198.19.0.200".to_owned(), Refusal::Blocklisted, by(), task),
            ("203.0.113.7".to_owned(), Refusal::OutOfScope, by(), task),
        ]
    );
}

#[test]
fn hosts_outside_the_scope_and_on_the_blocklist_do_not_leave_the_manager() {
    let world = World::new();
    let now = world.now();
    world.within(|tx| tx.put_blocked("198.19.0.200".parse().unwrap(), now));
    let mut plan = Planner::new();
    let host = |ip: &str| json!({ "ip": ip, "ports": [443], "server_name": "a.example.org" });
    let hosts = ["198.19.0.8", "198.19.0.200", "203.0.113.7"].map(host);
    let task = plan.task::<TlsScan>(json!({
        "hosts": hosts, "targets": ["203.0.113.0/24"], "ports": "443",
        "rate": 100, "retries": 0, "cooldown_secs": 1, "seed": 1,
    }));
    let nothing = plan.task::<TlsScan>(json!({
        "hosts": [hosts[2]], "rate": 100, "retries": 0, "cooldown_secs": 1, "seed": 1,
    }));
    world.submit(&plan.0);
    let mut manager = world.manager(1);
    step(&mut manager, now);
    let delivery = Worker::new(&world, WorkerClass::BareMetal).receive().expect("an order");
    let input: TlsScanInput = serde_json::from_value(order(&delivery).input).unwrap();
    assert_eq!(serde_json::to_value(&input.hosts).unwrap(), json!([hosts[0]]));
    assert_eq!((input.targets.len(), input.ports.as_str()), (0, ""));
    let refusals = world.store.refusals(plan.id()).unwrap();
    let of = |id| {
        let rows = refusals.iter().filter(|row| row.task_id == id);
        rows.map(|row| row.what.as_str()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(of(task), ["198.19.0.200", "203.0.113.0/24", "203.0.113.7"].into());
    assert_eq!(of(nothing), ["203.0.113.7"].into());
    assert_eq!(world.task(nothing).error.unwrap().kind, ErrorKind::OutOfScope);
}

#[test]
fn a_scan_of_nothing_in_scope_fails_before_it_is_given_out() {
    let world = World::new();
    let mut plan = Planner::new();
    let task = plan.task::<TcpSynScan>(scan(&["203.0.113.0/24"]));
    world.submit(&plan.0);
    let mut manager = world.manager(1);
    step(&mut manager, world.now());
    let task = world.task(task);
    assert_eq!((task.state, task.attempt), (TaskState::Failed, 0));
    assert_eq!(task.error.unwrap().kind, ErrorKind::OutOfScope);
    assert_eq!(world.store.refusals(plan.id()).unwrap().len(), 1);
    assert_eq!(world.workflow(plan.id()).state, WorkflowState::Failed);
    assert_eq!(world.queues.get(QueueName::BareMetal).depth().unwrap().visible, 0);
    assert_eq!(world.machines.launches(), 0, "for nothing");
    check_books(&world, plan.id());
}
