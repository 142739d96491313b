//! What each login may do, as the server says it and as it turns out when it is tried.

use std::time::{Duration, SystemTime};

use mrpf_cloud::{Database, Postgres};
use mrpf_ports::{
    ManagerStore, StoreError, WorkerStore,
    clock::after,
    store::{
        Checkpoint, Claim, CollectionRow, Lease, Renewal, SlotRow, SlotState, TaskRow, TaskState,
        WorkflowRow, WorkflowState,
    },
};
use mrpf_postgres::{Finding, Login, PgStore};
use mrpf_records::Timestamp;
use mrpf_tasks::{
    Chunk, CollectionId, RunId, Scope, TaskId, Ticket, WorkerClass, WorkflowId,
    catalogue::{DataRef, Model},
    message::{Assignment, Run},
};
use postgres::{Client, NoTls, error::SqlState};
use serde_json::json;
use uuid::Uuid;

/// A store with tasks, and a login of each kind.
struct World {
    database: Database<'static>,
    manager: PgStore,
    internal: String,
    bare_metal: String,
    stranger: String,
    workflow: WorkflowRow,
    collection: CollectionRow,
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

fn soon() -> Timestamp {
    after(now(), Duration::from_secs(60))
}

impl World {
    fn make() -> Option<Self> {
        let database = Postgres::shared()?.database();
        PgStore::migrate(&database.url()).unwrap();
        let manager = PgStore::open(&database.url()).unwrap();
        let [internal, bare_metal] =
            ["mrpf_internal", "mrpf_bare_metal"].map(|role| database.login(&[role]));
        let stranger = database.login(&[]);
        let workflow = WorkflowRow {
            id: WorkflowId::fresh(),
            name: "a workflow".to_owned(),
            state: WorkflowState::Running,
            scope: Scope::default(),
            open: 1,
            failed: 0,
            created_at: now(),
            finished_at: None,
        };
        let collection = CollectionRow {
            id: CollectionId::fresh(),
            workflow_id: workflow.id,
            name: "names".to_owned(),
            feeders: 0,
            total: 0,
            done: 0,
            failed: 0,
            completed_at: None,
        };
        let slot = |slot, instance: &str| SlotRow {
            slot,
            generation: 3,
            state: SlotState::Launching,
            instance_id: Some(instance.to_owned()),
            lease_until: None,
            is_surplus: false,
        };
        manager
            .transaction(&mut |tx| {
                tx.put_workflow(&workflow)?;
                tx.put_collection(&collection)?;
                tx.put_slot(&slot(1, "i-1"))?;
                tx.put_slot(&slot(2, "i-2"))
            })
            .unwrap();
        Some(Self { database, manager, internal, bare_metal, stranger, workflow, collection })
    }

    /// What its message says to the worker that a task is given to.
    fn given_out(&self) -> Assignment {
        let (id, ticket) = (TaskId::fresh(), Ticket(Uuid::new_v4()));
        let row = TaskRow {
            id,
            workflow_id: self.workflow.id,
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
            lease_until: Some(soon()),
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
        self.manager.transaction(&mut |tx| tx.put_task(&row)).unwrap();
        Assignment { task_id: id, attempt: 1, ticket }
    }
}

fn fresh(assignment: Assignment) -> Run {
    Run { assignment, run_id: RunId::fresh() }
}

fn lease() -> Lease<'static> {
    Lease { worker: "worker", now: now(), until: soon() }
}

fn chunk(text: &str) -> Chunk {
    Chunk::Items { items: vec![json!(text)] }
}

fn client(url: &str) -> Client {
    Client::connect(url, NoTls).unwrap()
}

/// What the server says to a statement, in a word.
#[track_caller]
fn refused(client: &mut Client, sql: &str) {
    let done = client.batch_execute(sql);
    let code = done.as_ref().err().and_then(|error| error.code());
    assert_eq!(code, Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{sql}: {done:?}");
}

/// As the design has it, to the letter: `has_table_privilege` and `has_function_privilege` of everything that there is.
#[test]
fn the_rights_of_each_role_are_those_of_the_design() {
    let Some(world) = World::make() else { return };
    let tables = |role: &str, privilege: &str| {
        world.database.sql(&format!(
            "SELECT string_agg(nspname || '.' || relname, ' ' ORDER BY nspname, relname)
             FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
             WHERE nspname IN ('task_manager', 'recon') AND relkind IN ('r', 'v', 'p', 'm', 'f')
                 AND has_table_privilege('{role}', pg_class.oid, '{privilege}')"
        ))
    };
    let functions = |role: &str| {
        world.database.sql(&format!(
            "SELECT string_agg(proname, ' ' ORDER BY proname) FROM pg_proc
             WHERE pronamespace IN ('task_manager'::regnamespace, 'recon'::regnamespace)
                 AND has_function_privilege('{role}', oid, 'EXECUTE')"
        ))
    };
    const WRITTEN: &str = "recon.blocklist recon.certificate recon.domain recon.domain_endpoint recon.domain_record \
                           recon.endpoint recon.endpoint_certificate recon.refusal recon.target task_manager.task_checkpoint task_manager.task_collection_data task_manager.task_data";
    const READ: &str = "recon.blocklist recon.certificate recon.domain recon.domain_endpoint recon.domain_record \
                        recon.endpoint recon.endpoint_certificate recon.refusal recon.target task_manager.schema_version \
                        task_manager.stored_output task_manager.task_checkpoint task_manager.task_collection_data \
                        task_manager.task_data";
    const OF_RUNS: &str = "claim_task digest holds is_ours release_task renew_task";
    for role in ["mrpf_internal", "mrpf_bare_metal"] {
        assert_eq!(tables(role, "SELECT"), READ, "{role}");
        for privilege in ["INSERT", "UPDATE", "DELETE"] {
            assert_eq!(tables(role, privilege), WRITTEN, "{role} {privilege}");
        }
        for privilege in ["TRUNCATE", "REFERENCES", "TRIGGER"] {
            assert_eq!(tables(role, privilege), "", "{role} {privilege}");
        }
        let may = format!(
            "SELECT has_schema_privilege('{role}', 'task_manager', 'CREATE') OR has_schema_privilege('{role}', 'recon', 'CREATE'),
                 rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls FROM pg_roles WHERE rolname = '{role}'"
        );
        assert_eq!(world.database.sql(&may), "f|f", "{role}");
    }
    assert_eq!(functions("mrpf_internal"), OF_RUNS);
    assert_eq!(
        functions("mrpf_bare_metal"),
        "claim_task digest drain_slot holds is_ours live_slot release_task renew_task"
    );
    // Each runs as its owner, and finds nothing of its caller's.
    let guarded = "SELECT bool_and(prosecdef AND proconfig = '{\"search_path=task_manager, pg_temp\"}') FROM pg_proc
                   WHERE pronamespace = 'task_manager'::regnamespace AND proname <> 'digest'";
    assert_eq!(world.database.sql(guarded), "t");
    assert_eq!(tables("public", "SELECT"), "");
}

#[test]
fn a_worker_sees_no_tickets_slots_or_messages_and_decides_nothing() {
    let Some(world) = World::make() else { return };
    for url in [&world.internal, &world.bare_metal] {
        let mut client = client(url);
        for table in [
            "task",
            "workflow",
            "task_collection",
            "task_edge",
            "task_child",
            "task_outcome",
            "outbox",
            "source_pace",
            "bare_metal_slot",
            "control",
            "dead_letter",
            "platform",
        ] {
            refused(&mut client, &format!("SELECT FROM task_manager.{table}"));
        }
        for sql in [
            "UPDATE task_manager.task SET state = 'succeeded'",
            "UPDATE task_manager.control SET is_stopped = false",
            "DELETE FROM task_manager.schema_version",
            "INSERT INTO task_manager.outbox (class, body) VALUES ('external', '{}')",
            "CREATE TABLE task_manager.mine ()",
            "ALTER TABLE task_manager.task_data DISABLE ROW LEVEL SECURITY",
            "SELECT task_manager.claim_task(NULL, NULL, NULL, NULL, NULL, NULL, NULL); SET ROLE owner",
        ] {
            refused(&mut client, sql);
        }
        assert!(matches!(
            PgStore::open(url).unwrap().platform_id(),
            Err(StoreError::Unavailable(_))
        ));
    }
}

/// Neither with the rights on tables nor with the functions, whose ticket it does not have.
#[test]
fn a_worker_changes_nothing_of_a_run_that_is_not_its() {
    let Some(world) = World::make() else { return };
    let [mine, others] = [(); 2].map(|()| fresh(world.given_out()));
    let store = PgStore::open(&world.bare_metal).unwrap();
    let collection = world.collection.id;
    for (run, text) in [(&mine, "mine"), (&others, "others")] {
        assert_eq!(store.claim_task(run, &lease()).unwrap(), Claim::Held { checkpoint: None });
        store.put_part(run, 0, &chunk(text)).unwrap();
        store.put_checkpoint(run, &Checkpoint { position: json!(text), parts: 1 }, now()).unwrap();
        store.insert_rows(run, collection, &[(text.to_owned(), json!(text))]).unwrap();
    }
    // It knows all ids, which it can read; and its own ticket.
    let mut client = client(&world.bare_metal);
    let said = format!("SET mrpf.ticket = '{}'", mine.assignment.ticket.0);
    let (task, run) = (others.assignment.task_id, others.run_id);
    for ticket in ["RESET mrpf.ticket", said.as_str()] {
        client.batch_execute(ticket).unwrap();
        for table in ["task_data", "task_checkpoint", "task_collection_data"] {
            for sql in [
                format!(
                    "UPDATE task_manager.{table} SET task_id = task_id WHERE task_id = '{task}'"
                ),
                format!("DELETE FROM task_manager.{table} WHERE task_id = '{task}'"),
            ] {
                assert_eq!(client.execute(&sql, &[]).unwrap(), 0, "{sql}");
            }
        }
        for sql in [
            format!("INSERT INTO task_manager.task_data (task_id, run_id, seq, data) VALUES ('{task}', '{run}', 1, '[]')"),
            format!(
                "INSERT INTO task_manager.task_collection_data (collection_id, item_key, data, task_id)
                 VALUES ('{collection}', 'key', '0', '{task}')"
            ),
        ] {
            refused(&mut client, &sql);
        }
    }
    // What is its own it may change, and may not give away.
    let own =
        format!("UPDATE task_manager.task_data SET data = data WHERE run_id = '{}'", mine.run_id);
    assert_eq!(client.execute(&own, &[]).unwrap(), 1);
    let mine_run = mine.run_id;
    refused(
        &mut client,
        &format!(
            "UPDATE task_manager.task_data SET task_id = '{task}', run_id = '{run}', seq = 9 WHERE run_id = '{mine_run}'"
        ),
    );
    // With the functions: another ticket is none.
    let forged = Run {
        assignment: Assignment { ticket: mine.assignment.ticket, ..others.assignment },
        ..others
    };
    assert_eq!(store.claim_task(&forged, &lease()).unwrap(), Claim::Stale);
    assert_eq!(store.renew_task(&forged, &lease(), None).unwrap(), Renewal::Lost);
    assert!(matches!(store.release_task(&forged), Err(StoreError::Fenced)));
    assert!(matches!(store.put_part(&forged, 1, &chunk("forged")), Err(StoreError::Fenced)));
    let parts = "SELECT count(*), count(DISTINCT run_id) FROM task_manager.task_data";
    assert_eq!(world.database.sql(parts), "2|2");
    // Once it is over, nothing may be changed at all.
    store.release_task(&mine).unwrap();
    assert_eq!(client.execute(&own, &[]).unwrap(), 0);
}

#[test]
fn a_worker_drains_its_own_slot_and_an_internal_one_none() {
    let Some(world) = World::make() else { return };
    let (one, other) =
        (PgStore::open(&world.bare_metal).unwrap(), PgStore::open(&world.bare_metal).unwrap());
    let states = || {
        world
            .database
            .sql("SELECT string_agg(state, ' ' ORDER BY slot) FROM task_manager.bare_metal_slot")
    };
    assert!(one.live_slot("i-1", soon()).unwrap());
    assert!(other.live_slot("i-2", soon()).unwrap());
    // Who was never told that a slot is its has none, whatever machine it names; and the names of machines it cannot read.
    assert!(!one.drain_slot("i-2").unwrap());
    assert_eq!(states(), "live live");
    let mut client = client(&world.bare_metal);
    refused(&mut client, "SELECT instance_id FROM task_manager.bare_metal_slot");
    refused(&mut client, "UPDATE task_manager.bare_metal_slot SET state = 'draining'");
    // Of an earlier generation of the slot.
    let late: bool =
        client.query_one("SELECT task_manager.drain_slot('i-1', 2)", &[]).unwrap().get(0);
    assert!(!late);
    assert!(one.drain_slot("i-1").unwrap());
    assert_eq!(states(), "draining live");
    let internal = PgStore::open(&world.internal).unwrap();
    assert!(matches!(internal.live_slot("i-2", soon()), Err(StoreError::Unavailable(_))));
    let mut client = self::client(&world.internal);
    for call in ["live_slot('i-2', now())", "drain_slot('i-2', 3)"] {
        refused(&mut client, &format!("SELECT task_manager.{call}"));
    }
    assert_eq!(states(), "draining live");
}

/// And so an external worker, should it ever get a URL.
#[test]
fn a_login_without_a_role_can_do_nothing() {
    let Some(world) = World::make() else { return };
    let error = PgStore::open(&world.stranger).unwrap_err();
    assert!(
        matches!(&error, StoreError::Unavailable(why) if why.contains("mrpf_internal")),
        "{error}"
    );
    let mut client = client(&world.stranger);
    for sql in [
        "SELECT FROM task_manager.task_data",
        "SELECT FROM recon.domain",
        "INSERT INTO recon.blocklist VALUES ('198.19.0.1', now())",
        "SELECT task_manager.drain_slot('i-1', 3)",
        "SELECT FROM task_manager.schema_version",
        "SELECT FROM task_manager.stored_output",
    ] {
        refused(&mut client, sql);
    }
}

/// Everything that a worker's port has, with a worker's login.
#[test]
fn a_workers_login_is_enough_for_all_of_its_work() {
    let Some(world) = World::make() else { return };
    for url in [&world.internal, &world.bare_metal] {
        let store = PgStore::open(url).unwrap();
        let run = fresh(world.given_out());
        assert_eq!(store.claim_task(&run, &lease()).unwrap(), Claim::Held { checkpoint: None });
        assert_eq!(
            store.renew_task(&run, &lease(), Some((1, None, "half"))).unwrap(),
            Renewal::Held
        );
        for seq in 0..2 {
            store.put_part(&run, seq, &chunk("found")).unwrap();
        }
        let checkpoint = Checkpoint { position: json!(1), parts: 1 };
        store.put_checkpoint(&run, &Checkpoint { parts: 0, ..checkpoint.clone() }, now()).unwrap();
        store.put_checkpoint(&run, &checkpoint, now()).unwrap();
        let key = run.run_id.to_string();
        assert_eq!(
            store
                .insert_rows(&run, world.collection.id, &[(key.clone(), json!(0)), (key, json!(1))])
                .unwrap(),
            1
        );
        store.release_task(&run).unwrap();
        let next = fresh(run.assignment);
        assert_eq!(
            store.claim_task(&next, &lease()).unwrap(),
            Claim::Held { checkpoint: Some(checkpoint) }
        );
        world
            .manager
            .transaction(&mut |tx| {
                let row = tx.task(run.assignment.task_id)?.expect("the task");
                assert_eq!(
                    (row.run_id, row.done, row.note.as_str()),
                    (Some(next.run_id), 1, "half")
                );
                tx.put_task(&TaskRow { state: TaskState::Succeeded, parts: 1, ..row })
            })
            .unwrap();
        let task = DataRef::Task(run.assignment.task_id);
        assert_eq!(store.read(task, None, 9).unwrap().len(), 1);
        assert!(!store.read(DataRef::Rows(world.collection.id), None, 9).unwrap().is_empty());
        assert!(store.read(DataRef::Collection(world.collection.id), None, 9).unwrap().is_empty());
        let target =
            serde_json::from_value(json!({ "kind": "domain", "value": "example.org" })).unwrap();
        store.upsert(&[target], now()).unwrap();
        assert_eq!(store.list(Model::Target, None, 9).unwrap().len(), 1);
        assert_eq!(store.known(Model::Target, &["domain example.org".to_owned()]).unwrap(), [true]);
        assert!(store.blocklist().unwrap().is_empty());
        let refusal = serde_json::from_value(json!({
            "workflow_id": world.workflow.id, "task_id": run.assignment.task_id, "what": "198.19.0.1",
            "why": "out-of-scope", "by": "bare_metal", "at": now(),
        }));
        store.refuse(&[refusal.unwrap()]).unwrap();
        assert!(!store.refusals(world.workflow.id).unwrap().is_empty());
    }
}

#[test]
fn a_check_says_what_is_wrong_and_what_mends_it() {
    let Some(world) = World::make() else { return };
    let bad = |url: &str, login| -> Vec<Finding> {
        PgStore::check(url, login).into_iter().filter(|finding| !finding.is_good()).collect()
    };
    for (url, login) in [
        (&world.database.url(), Login::Manager),
        (&world.internal, Login::Internal),
        (&world.bare_metal, Login::BareMetal),
    ] {
        assert_eq!(bad(url, login), [], "{login:?}");
        assert!(PgStore::check(url, login).len() >= 3);
    }
    #[track_caller]
    fn only(findings: &[Finding], what: &str, mend: &str) {
        let [Finding { what: found, mend: Some(mended) }] = findings else {
            panic!("{findings:?}")
        };
        assert!(found.contains(what) && mended.contains(mend), "{findings:?}");
    }
    only(&bad(&world.stranger, Login::BareMetal), "may not use", "GRANT mrpf_bare_metal TO test_");
    only(&bad(&world.internal, Login::BareMetal), "drain_slot", "GRANT mrpf_bare_metal TO test_");
    only(
        &bad(&world.bare_metal, Login::Internal),
        "live_slot, which it need not",
        "a user of their own",
    );
    only(&bad(&world.database.url(), Login::Internal), "task_manager.task", "a user of their own");
    only(&bad(&world.bare_metal, Login::Manager), "does not own", "the user who owns the tables");
    let (url, port) = (world.database.url(), Postgres::shared().unwrap().port());
    only(
        &bad(
            &url.replace("127.0.0.1", "localhost").replace(&port.to_string(), "1"),
            Login::Manager,
        ),
        "refused",
        "correct host and port",
    );
    only(
        &bad(&url.replace("owner:", "owner:no"), Login::Manager),
        "password authentication failed",
        "correct user",
    );
    only(&bad("mysql://owner@127.0.0.1/x", Login::Manager), "no URL", "correct DATABASE_URL");
    let empty = Postgres::shared().unwrap().database();
    assert_eq!(bad(&empty.url(), Login::Manager), []);
    only(
        &bad(&empty.login(&["mrpf_internal"]), Login::Internal),
        "version 0",
        "start mrpf-manager",
    );
    world.database.sql("INSERT INTO task_manager.schema_version (version) VALUES (9)");
    only(&bad(&url, Login::Manager), "version 9", "use a later mrpf");
}
