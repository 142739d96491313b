//! A server that goes away in the middle of work, and comes back.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::{Duration, Instant, SystemTime},
};

use mrpf_cloud::Postgres;
use mrpf_ports::{
    ManagerStore, StoreError, WorkerStore,
    clock::after,
    store::{Claim, DomainRow, Lease, ModelRow, Renewal, TaskRow, TaskState, WorkflowRow, WorkflowState},
};
use mrpf_postgres::PgStore;
use mrpf_records::Timestamp;
use mrpf_tasks::{
    Chunk, RunId, Scope, TaskId, Ticket, WorkerClass, WorkflowId,
    message::{Assignment, Run},
};
use serde_json::json;
use uuid::Uuid;

fn now() -> Timestamp {
    SystemTime::now().into()
}

fn lease() -> Lease<'static> {
    Lease { worker: "worker", now: now(), until: after(now(), Duration::from_secs(60)) }
}

fn a_workflow() -> WorkflowRow {
    WorkflowRow {
        id: WorkflowId::fresh(),
        name: "a workflow".to_owned(),
        state: WorkflowState::Running,
        scope: Scope::default(),
        open: 0,
        failed: 0,
        created_at: now(),
        finished_at: None,
    }
}

fn given_out(store: &PgStore) -> Run {
    let (id, ticket, workflow) = (TaskId::fresh(), Ticket(Uuid::new_v4()), a_workflow());
    let row = TaskRow {
        id,
        workflow_id: workflow.id,
        name: None,
        parent_id: None,
        member_of: None,
        feeds: None,
        definition: "Nothing".to_owned(),
        class: WorkerClass::BareMetal,
        source: None,
        input: json!({}),
        dedupe_key: None,
        state: TaskState::Dispatched,
        waits_for: 0,
        attempt: 1,
        ticket: Some(ticket),
        tries: 0,
        max_tries: 3,
        not_before: now(),
        lease_until: None,
        run_id: None,
        worker: None,
        parts: 0,
        branch: None,
        truncated: false,
        error: None,
        done: 0,
        total: None,
        note: String::new(),
        created_at: now(),
        finished_at: None,
    };
    store
        .transaction(&mut |tx| {
            tx.put_workflow(&workflow)?;
            tx.put_task(&row)
        })
        .unwrap();
    Run { assignment: Assignment { task_id: id, attempt: 1, ticket }, run_id: RunId::fresh() }
}

/// A task in its middle waits, as long as its lease may last. A manager's loop is told soon, goes on, and nothing that it was told
/// is done is lost.
#[test]
fn a_server_that_is_away_for_some_seconds_costs_nothing_but_time() {
    const AWAY: Duration = Duration::from_secs(7);
    let Some(server) = Postgres::start() else { return };
    let database = server.database();
    PgStore::migrate(&database.url()).unwrap();
    let worker_url = database.login(&["mrpf_bare_metal"]);
    let manager = PgStore::open(&database.url()).unwrap();
    let worker = PgStore::open(&worker_url).unwrap();
    let run = given_out(&manager);
    assert_eq!(worker.claim_task(&run, &lease()).unwrap(), Claim::Held { checkpoint: None });
    let stop = AtomicBool::new(false);
    let (kept, unknown) = (AtomicU32::new(0), AtomicU32::new(0));
    let (mut parts, mut longest, mut failures) = (0, Duration::ZERO, 0);
    thread::scope(|scope| {
        let outage = scope.spawn(|| {
            thread::sleep(Duration::from_millis(700));
            server.stop();
            thread::sleep(AWAY);
            server.start_again();
            thread::sleep(Duration::from_millis(1_500));
            stop.store(true, Ordering::Release);
        });
        // A task writes its output.
        let task = scope.spawn(|| {
            let mut seq = 0;
            while !stop.load(Ordering::Acquire) {
                let chunk = Chunk::Items { items: vec![json!(seq)] };
                worker.put_part(&run, seq, &chunk).unwrap();
                let name = format!("host-{seq}.example.org").parse().unwrap();
                let found = DomainRow { name, sources: Vec::new(), seen: None };
                worker.upsert(&[ModelRow::Domain(found)], now()).unwrap();
                seq += 1;
            }
            seq
        });
        // Its heartbeat.
        let heartbeat = scope.spawn(|| {
            let mut failures = 0;
            while !stop.load(Ordering::Acquire) {
                match worker.renew_task(&run, &lease(), None) {
                    Ok(renewal) => assert_eq!(renewal, Renewal::Held),
                    Err(StoreError::Unreachable(_)) => failures += 1,
                    Err(error) => panic!("{error}"),
                }
                thread::sleep(Duration::from_millis(100));
            }
            failures
        });
        // A manager.
        let calls = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            while !stop.load(Ordering::Acquire) {
                let (workflow, began) = (a_workflow(), Instant::now());
                match manager.transaction(&mut |tx| tx.put_workflow(&workflow)) {
                    Ok(()) => kept.fetch_add(1, Ordering::Relaxed),
                    Err(StoreError::Unreachable(why)) if why.contains("is not known") => {
                        unknown.fetch_add(1, Ordering::Relaxed)
                    }
                    Err(StoreError::Unreachable(_)) => 0,
                    Err(error) => panic!("{error}"),
                };
                longest = longest.max(began.elapsed());
                thread::sleep(Duration::from_millis(5));
            }
            longest
        });
        outage.join().unwrap();
        parts = task.join().unwrap();
        failures = heartbeat.join().unwrap();
        longest = calls.join().unwrap();
    });
    println!("away for {AWAY:?}: {parts} parts, {failures} heartbeats failed, the longest call of the manager {longest:.1?}");
    assert!(longest < AWAY, "the manager's loop stood still for {longest:?}");
    assert!(failures > 0, "the heartbeat was not told that the server is away");
    let stored = format!("SELECT count(*), max(seq) + 1 FROM task_manager.task_data WHERE run_id = '{}'", run.run_id);
    assert_eq!(database.sql(&stored), format!("{parts}|{parts}"));
    let workflows: u32 = database.sql("SELECT count(*) - 1 FROM task_manager.workflow").parse().unwrap();
    let (kept, unknown) = (kept.into_inner(), unknown.into_inner());
    assert!((kept..=kept + unknown).contains(&workflows), "{kept} kept, {unknown} not known, {workflows} there");
    // After it each call is at once again.
    let began = Instant::now();
    manager.platform_id().unwrap();
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_server_that_is_not_there_is_said_to_be_away() {
    let Some(server) = Postgres::start() else { return };
    let database = server.database();
    PgStore::migrate(&database.url()).unwrap();
    let store = PgStore::open(&database.url()).unwrap();
    server.stop();
    for open in [PgStore::open(&database.url()).map(drop), PgStore::migrate(&database.url())] {
        assert!(matches!(open, Err(StoreError::Unreachable(_))), "{open:?}");
    }
    let mut took = Vec::new();
    for _ in 0..3 {
        let began = Instant::now();
        let done = store.transaction(&mut |tx| tx.control().map(drop));
        assert!(matches!(&done, Err(StoreError::Unreachable(why)) if why.contains("127.0.0.1")), "{done:?}");
        took.push(began.elapsed());
    }
    // Once it is known, nobody waits for it in vain.
    assert!(took[0] < Duration::from_secs(6), "{took:?}");
    assert!(took[1].max(took[2]) < Duration::from_secs(1), "{took:?}");
}
