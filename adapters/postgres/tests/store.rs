//! The store's suite on PostgreSQL, and what PostgreSQL alone could do otherwise: conflicts, locks, keys and characters.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use mrpf_cloud::{Database, Postgres};
use mrpf_ports::{
    ManagerStore, StoreError, WorkerStore,
    clock::after,
    conformance::store::Bench,
    store::{
        CollectionRow, DomainRow, EndpointRow, Lease, ModelRow, SeenCount, SlotRow, SlotState,
        TargetKind, TargetRow, TaskRow, TaskState, WorkflowRow, WorkflowState,
    },
};
use mrpf_postgres::PgStore;
use mrpf_records::Timestamp;
use mrpf_tasks::{
    Bytes, Chunk, CollectionId, ErrorKind, RunId, Scope, TaskError, TaskId, Ticket, WorkerClass,
    WorkflowId,
    catalogue::{DataRef, Model},
    message::{Assignment, Run},
};
use serde_json::json;
use uuid::Uuid;

struct InADatabase {
    database: Database<'static>,
    store: PgStore,
}

impl InADatabase {
    fn make() -> Self {
        Self::find().expect("a server that was there a moment ago")
    }

    fn find() -> Option<Self> {
        let database = Postgres::shared()?.database();
        PgStore::migrate(&database.url()).unwrap();
        let store = PgStore::open(&database.url()).unwrap();
        Some(Self { database, store })
    }
}

impl Bench for InADatabase {
    fn store(&self) -> &dyn ManagerStore {
        &self.store
    }

    fn other(&self) -> Box<dyn ManagerStore> {
        Box::new(PgStore::open(&self.database.url()).unwrap())
    }
}

mrpf_ports::store_conformance!({
    if Postgres::shared().is_none() {
        return;
    }
    InADatabase::make
});

fn now() -> Timestamp {
    SystemTime::now().into()
}

fn a_workflow() -> WorkflowRow {
    WorkflowRow {
        id: WorkflowId::fresh(),
        name: "a workflow".to_owned(),
        state: WorkflowState::Running,
        scope: Scope::default(),
        open: 1,
        failed: 0,
        created_at: now(),
        finished_at: None,
    }
}

fn a_task(workflow: WorkflowId) -> TaskRow {
    TaskRow {
        id: TaskId::fresh(),
        workflow_id: workflow,
        name: None,
        parent_id: None,
        member_of: None,
        feeds: None,
        definition: "Nothing".to_owned(),
        class: WorkerClass::Internal,
        source: None,
        input: json!({}),
        dedupe_key: None,
        state: TaskState::Dispatched,
        waits_for: 0,
        attempt: 1,
        ticket: Some(Ticket(Uuid::new_v4())),
        tries: 0,
        max_tries: 3,
        not_before: now(),
        lease_until: Some(after(now(), Duration::from_secs(900))),
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
    }
}

fn a_collection(workflow: WorkflowId) -> CollectionRow {
    CollectionRow {
        id: CollectionId::fresh(),
        workflow_id: workflow,
        name: "names".to_owned(),
        feeders: 0,
        total: 0,
        done: 0,
        failed: 0,
        completed_at: None,
    }
}

/// A run that holds its task.
fn a_run(store: &PgStore, task: &TaskRow) -> Run {
    let assignment =
        Assignment { task_id: task.id, attempt: task.attempt, ticket: task.ticket.unwrap() };
    let run = Run { assignment, run_id: RunId::fresh() };
    let lease =
        Lease { worker: "worker", now: now(), until: after(now(), Duration::from_secs(60)) };
    store.claim_task(&run, &lease).unwrap();
    run
}

fn domains(n: u32, source: &str) -> Vec<ModelRow> {
    (0..n)
        .map(|n| {
            let name = format!("host-{n}.example.org").parse().unwrap();
            ModelRow::Domain(DomainRow { name, sources: vec![source.to_owned()], seen: None })
        })
        .collect()
}

/// Once, by whichever of sixteen managers is the last, however they get into each other's way.
#[test]
fn of_all_who_complete_a_collection_one_sees_it_complete() {
    const MEMBERS: u32 = 2_000;
    const MANAGERS: u32 = 16;
    let Some(InADatabase { database, store }) = InADatabase::find() else { return };
    let workflow = a_workflow();
    let collection = CollectionRow { total: MEMBERS, ..a_collection(workflow.id) };
    let tasks: Vec<TaskId> = (0..MEMBERS).map(|_| TaskId::fresh()).collect();
    store
        .transaction(&mut |tx| {
            tx.put_workflow(&workflow)?;
            tx.put_collection(&collection)?;
            tasks.iter().try_for_each(|id| {
                let member_of = Some(collection.id);
                tx.put_task(&TaskRow { id: *id, member_of, ..a_task(workflow.id) })
            })
        })
        .unwrap();
    let (next, completions, began) = (AtomicU32::new(0), AtomicU32::new(0), Instant::now());
    let others: Vec<PgStore> = (0..2).map(|_| PgStore::open(&database.url()).unwrap()).collect();
    thread::scope(|scope| {
        for n in 0..MANAGERS {
            let (store, next, completions) = (&others[n as usize % 2], &next, &completions);
            let (tasks, collection) = (&tasks, collection.id);
            scope.spawn(move || {
                loop {
                    // Each task is completed by two managers, as of a message that came twice.
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(id) = tasks.get((at / 2) as usize) else { return };
                    let mut has_completed = false;
                    let done = store.transaction(&mut |tx| {
                        has_completed = false;
                        let mut task = tx.task(*id)?.expect("the task");
                        if task.state.is_final() {
                            return Ok(());
                        }
                        task.state = TaskState::Succeeded;
                        tx.put_task(&task)?;
                        let mut row = tx.collection(collection)?.expect("the collection");
                        row.done += 1;
                        if row.done == row.total && row.completed_at.is_none() {
                            row.completed_at = Some(now());
                            has_completed = true;
                        }
                        tx.put_collection(&row)
                    });
                    done.unwrap();
                    completions.fetch_add(u32::from(has_completed), Ordering::Relaxed);
                }
            });
        }
    });
    let took = began.elapsed();
    let rate = f64::from(2 * MEMBERS) / took.as_secs_f64();
    println!("{} completions by {MANAGERS} managers: {took:.1?}, {rate:.0} a second", 2 * MEMBERS);
    assert_eq!(completions.into_inner(), 1);
    let counts = "SELECT done, total, completed_at IS NOT NULL FROM task_manager.task_collection";
    assert_eq!(database.sql(counts), format!("{MEMBERS}|{MEMBERS}|t"));
}

#[test]
fn eight_managers_make_the_same_tables_at_once() {
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.database();
    let start = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                PgStore::migrate(&database.url()).unwrap();
                PgStore::open(&database.url()).unwrap();
            });
        }
    });
    let versions =
        "SELECT string_agg(version::text, ' ' ORDER BY version) FROM task_manager.schema_version";
    assert_eq!(database.sql(versions), "1 2 3 4 5");
}

/// In databases of one server, which share their roles.
#[test]
fn two_stores_of_one_server_are_two_platforms() {
    let (Some(a), Some(b)) = (InADatabase::find(), InADatabase::find()) else { return };
    let id = |made: &InADatabase| made.store.platform_id().unwrap();
    assert_ne!(id(&a), id(&b));
    PgStore::migrate(&a.database.url()).unwrap();
    assert_eq!(id(&a), PgStore::open(&a.database.url()).unwrap().platform_id().unwrap());
}

#[test]
fn a_store_of_another_version_is_refused() {
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.database();
    let error = PgStore::open(&database.url()).unwrap_err();
    assert!(
        matches!(&error, StoreError::Unavailable(why) if why.contains("start mrpf-manager")),
        "{error}"
    );
    PgStore::migrate(&database.url()).unwrap();
    database.sql("INSERT INTO task_manager.schema_version (version) VALUES (6)");
    for error in [
        PgStore::open(&database.url()).unwrap_err(),
        PgStore::migrate(&database.url()).unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Version { found: 6, known: 5 }), "{error}");
    }
}

/// Who hides a failure from its transaction keeps nothing: the server has given it up already.
#[test]
fn a_failure_that_is_hidden_is_told_all_the_same() {
    let Some(InADatabase { store, .. }) = InADatabase::find() else { return };
    let workflow = a_workflow();
    let slot = |slot| SlotRow {
        slot,
        generation: 1,
        state: SlotState::Live,
        instance_id: Some("i-1".to_owned()),
        lease_until: None,
        is_surplus: false,
    };
    let done = store.transaction(&mut |tx| {
        tx.put_workflow(&workflow)?;
        tx.put_slot(&slot(1))?;
        // Two slots with one machine.
        let _ = tx.put_slot(&slot(2));
        Ok(())
    });
    assert!(
        matches!(&done, Err(StoreError::Unavailable(why)) if why.contains("23505")),
        "{done:?}"
    );
    store
        .transaction(&mut |tx| {
            assert_eq!(tx.workflow(workflow.id)?, None);
            Ok(())
        })
        .unwrap();
}

/// Whatever others send: NUL, what looks like an escape, half of a pair.
#[test]
fn characters_that_postgresql_has_not_come_back() {
    let Some(InADatabase { store, database }) = InADatabase::find() else { return };
    let strange = "a\0b\u{1}\u{7f}\\u0000 \\ud800 \u{fffe} \u{10ffff}";
    let value = json!({ "banner": strange, strange: [strange] });
    let workflow = a_workflow();
    let task = TaskRow {
        input: value.clone(),
        error: Some(TaskError::new(ErrorKind::Input, strange)),
        note: strange.to_owned(),
        worker: Some(strange.to_owned()),
        dedupe_key: Some(strange.to_owned()),
        ..a_task(workflow.id)
    };
    let collection = a_collection(workflow.id);
    store
        .transaction(&mut |tx| {
            tx.put_workflow(&workflow)?;
            tx.put_collection(&collection)?;
            tx.put_task(&task)?;
            tx.put_outbox(WorkerClass::External, strange)?;
            tx.put_dead_letter("external", None, strange, strange, now())
        })
        .unwrap();
    let run = a_run(&store, &task);
    let chunks = [
        Chunk::Items { items: vec![value.clone()] },
        // Half of a pair is no character of Rust's, but it is in the JSON text of some.
        Chunk::Slice {
            slice: Bytes(b"[\"\\ud800\", \"\\u0000\", \"\xff\0\"]".to_vec()),
            more: false,
        },
    ];
    store.put_part(&run, 0, &chunks[0]).unwrap();
    store.transaction(&mut |tx| tx.put_part(task.id, run.run_id, 1, &chunks[1])).unwrap();
    assert_eq!(
        store.insert_rows(&run, collection.id, &[(strange.to_owned(), value.clone())]).unwrap(),
        1
    );
    store
        .transaction(&mut |tx| {
            let row = tx.task(task.id)?.expect("the task");
            assert_eq!((&row.input, &row.error), (&value, &task.error));
            // Text for people has the symbol of what it cannot have.
            assert_eq!(row.note, strange.replace('\0', "\u{2400}"));
            assert_eq!(tx.deduped(workflow.id, strange)?, Some(task.id));
            tx.put_task(&TaskRow { state: TaskState::Succeeded, parts: 2, ..row })
        })
        .unwrap();
    let read = store.read(DataRef::Task(task.id), None, 9).unwrap();
    assert!(read.iter().map(|(_, chunk)| chunk).eq(&chunks), "{read:?}");
    let rows = store.read(DataRef::Rows(collection.id), None, 9).unwrap();
    assert_eq!(rows[0].1, chunks[0]);
    assert_eq!(database.sql("SELECT count(*) FROM task_manager.dead_letter"), "1");
}

/// An index has room for 2,700 octets.
#[test]
fn keys_may_be_long() {
    let Some(InADatabase { store, .. }) = InADatabase::find() else { return };
    let (workflow, key) = (a_workflow(), "k".repeat(100_000));
    let task = TaskRow { dedupe_key: Some(key.clone()), ..a_task(workflow.id) };
    let collection = a_collection(workflow.id);
    store
        .transaction(&mut |tx| {
            tx.put_workflow(&workflow)?;
            tx.put_collection(&collection)?;
            tx.put_task(&task)?;
            assert_eq!(tx.deduped(workflow.id, &key)?, Some(task.id));
            Ok(())
        })
        .unwrap();
    let run = a_run(&store, &task);
    for new in [1, 0] {
        let row = (key.clone(), json!(new));
        assert_eq!(store.insert_rows(&run, collection.id, &[row]).unwrap(), new);
    }
}

/// Figures are printed, not judged: the machine may have other things to do.
#[test]
fn fifty_thousand_rows_are_one_call() {
    const ROWS: u32 = 50_000;
    let Some(InADatabase { store, database }) = InADatabase::find() else { return };
    let rows = u64::from(ROWS);
    let names = domains(ROWS, "crt.sh");
    let endpoints: Vec<ModelRow> = (0..ROWS)
        .map(|n| {
            let ip = std::net::Ipv4Addr::from(0xc613_0000 + n).into();
            let service = Some("https".to_owned());
            ModelRow::Endpoint(EndpointRow {
                ip,
                port: 443,
                transport: "tcp".to_owned(),
                service,
                seen: None,
            })
        })
        .collect();
    let upsert = |what: &str, rows: &[ModelRow]| -> SeenCount {
        let began = Instant::now();
        let seen = store.upsert(rows, now()).unwrap();
        println!("{what}: {ROWS} rows in {:.2?}", began.elapsed());
        seen
    };
    let (new, known) = (SeenCount { new: rows, known: 0 }, SeenCount { new: 0, known: rows });
    assert_eq!(upsert("new domains", &names), new);
    assert_eq!(upsert("known domains", &names), known);
    assert_eq!(upsert("domains of another source", &domains(ROWS, "censys")), known);
    assert_eq!(upsert("new endpoints", &endpoints), new);
    assert_eq!(upsert("known endpoints", &endpoints), known);
    let keys: Vec<String> = names.iter().map(ModelRow::key).collect();
    let began = Instant::now();
    assert!(store.known(Model::Domain, &keys).unwrap().iter().all(|is_known| *is_known));
    println!("asked for: {ROWS} keys in {:.2?}", began.elapsed());
    let sources = "SELECT DISTINCT sources FROM recon.domain";
    assert_eq!(database.sql(sources), "{censys,crt.sh}");
}

/// Eight write the same names, in whatever order they have them, and none is told that others were in its way.
#[test]
fn those_who_write_the_same_names_wait_for_each_other() {
    const ROWS: u32 = 4_000;
    let Some(InADatabase { store, database }) = InADatabase::find() else { return };
    let counts: Vec<SeenCount> = thread::scope(|scope| {
        let store = &store;
        let threads: Vec<_> = (0..8)
            .map(|n| {
                scope.spawn(move || {
                    let mut rows = domains(ROWS, &format!("source {n}"));
                    let target = TargetRow {
                        kind: TargetKind::Org,
                        value: "Example".to_owned(),
                        seen: None,
                    };
                    rows.push(ModelRow::Target(target));
                    rows.rotate_left(500 * n);
                    store.upsert(&rows, now()).unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(counts.iter().map(|count| count.new).sum::<u64>(), u64::from(ROWS) + 1);
    assert_eq!(counts.iter().map(|count| count.known).sum::<u64>(), 7 * (u64::from(ROWS) + 1));
    let sources = "SELECT DISTINCT cardinality(sources) FROM recon.domain";
    assert_eq!(database.sql(sources), "8");
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(database.sql(deadlocks), "0");
}
