//! The manager's rows, and the transactions that hold them together.

use std::{collections::BTreeSet, net::IpAddr, sync::Mutex, thread};

use mrpf_tasks::{
    CollectionId, ErrorKind, MessageId, RunId, Scope, TaskError, TaskId, WorkerClass, WorkflowId,
    scope::Refusal,
};
use serde_json::json;

use super::{Bench, a_task, a_workflow, given_out, now, seconds, stored, within};
use crate::{
    StoreError,
    clock::after,
    store::{
        CollectionRow, Dependency, EdgeRow, On, RefusalRow, TaskFilter, TaskRow, TaskState,
        WorkflowRow, WorkflowState,
    },
};

fn a_collection(workflow: WorkflowId) -> CollectionRow {
    CollectionRow {
        id: CollectionId::fresh(),
        workflow_id: workflow,
        name: "names".to_owned(),
        feeders: 1,
        total: 0,
        done: 0,
        failed: 0,
        completed_at: None,
    }
}

/// All of it, and the error is the one that was given.
pub fn a_transaction_that_fails_changes_nothing(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let (task, workflow) = (given_out(store, at), a_workflow(at));
    let done = store.transaction(&mut |tx| {
        let mut row = tx.task(task.id)?.expect("the task");
        row.note = "changed".to_owned();
        tx.put_task(&row)?;
        tx.put_workflow(&workflow)?;
        tx.put_outbox(WorkerClass::External, "{}")?;
        // It sees what it wrote.
        assert_eq!(tx.task(task.id)?.expect("the task").note, "changed");
        assert_eq!(tx.workflow(workflow.id)?, Some(workflow.clone()));
        Err(StoreError::Corrupt("on purpose".to_owned()))
    });
    assert!(matches!(done, Err(StoreError::Corrupt(ref why)) if why == "on purpose"), "{done:?}");
    assert_eq!(stored(store, task.id), task);
    within(store, |tx| {
        assert_eq!(tx.workflow(workflow.id)?, None);
        assert_eq!(tx.take_outbox(at, after(at, seconds(1)), 9)?, []);
        Ok(())
    });
}

/// None is lost, whoever reads and writes the same row at once.
pub fn transactions_of_many_add_up(bench: &dyn Bench) {
    let workflow = a_workflow(now());
    let collection = a_collection(workflow.id);
    within(bench.store(), |tx| {
        tx.put_workflow(&workflow)?;
        tx.put_collection(&collection)
    });
    let others = [bench.other(), bench.other()];
    thread::scope(|scope| {
        for n in 0..8 {
            let store = if n < 4 { bench.store() } else { &*others[n % 2] };
            scope.spawn(move || {
                for _ in 0..20 {
                    within(store, |tx| {
                        let mut row = tx.collection(collection.id)?.expect("the collection");
                        row.total += 1;
                        tx.put_collection(&row)
                    });
                }
            });
        }
    });
    let total = within(bench.store(), |tx| tx.collection(collection.id)).map(|row| row.total);
    assert_eq!(total, Some(160));
}

/// And the newest is the first.
pub fn a_workflow_comes_back(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let scope: Scope = serde_json::from_value(json!({
        "domains": ["example.org"], "addresses": ["198.19.0.0/24", "2001:db8::1-2001:db8::9"],
        "exclude": ["old.example.org", "198.19.0.1"],
    }))
    .unwrap();
    let mut rows: Vec<WorkflowRow> = (0..3)
        .map(|n| WorkflowRow { scope: scope.clone(), ..a_workflow(after(at, seconds(n))) })
        .collect();
    within(store, |tx| rows.iter().try_for_each(|row| tx.put_workflow(row)));
    for (row, state) in rows.iter_mut().zip([
        WorkflowState::Succeeded,
        WorkflowState::Failed,
        WorkflowState::Cancelled,
    ]) {
        (row.state, row.open, row.failed) = (state, 0, 4);
        row.finished_at = Some(after(at, seconds(9)));
        within(store, |tx| tx.put_workflow(row));
        assert_eq!(within(store, |tx| tx.workflow(row.id)).as_ref(), Some(&*row));
    }
    rows.reverse();
    assert_eq!(within(store, |tx| tx.workflows()), rows);
    assert_eq!(within(store, |tx| tx.workflow(WorkflowId::fresh())), None);
}

/// With everything that it can have, in every state.
pub fn a_task_comes_back(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let workflow = a_workflow(at);
    let (member_of, feeds) = (a_collection(workflow.id), a_collection(workflow.id));
    within(store, |tx| {
        tx.put_workflow(&workflow)?;
        tx.put_collection(&member_of)?;
        tx.put_collection(&feeds)
    });
    let bare = a_task(workflow.id, at);
    let full = TaskRow {
        name: Some("names \u{1f980}".to_owned()),
        parent_id: Some(bare.id),
        member_of: Some(member_of.id),
        feeds: Some(feeds.id),
        class: WorkerClass::BareMetal,
        source: Some("crt.sh".to_owned()),
        input: json!({ "targets": ["198.19.0.0/24"], "rate": 1.5, "deep": { "none": null } }),
        dedupe_key: Some("key".to_owned()),
        attempt: 7,
        tries: 2,
        max_tries: 5,
        waits_for: 3,
        lease_until: Some(after(at, seconds(60))),
        run_id: Some(RunId::fresh()),
        worker: Some("worker 1".to_owned()),
        parts: 9,
        branch: Some(false),
        truncated: true,
        error: Some(TaskError::new(ErrorKind::RateLimited, "429").after(seconds(3))),
        done: 11,
        total: Some(12),
        note: "probing".to_owned(),
        finished_at: Some(after(at, seconds(99))),
        ..a_task(workflow.id, at)
    };
    for row in [&bare, &full] {
        within(store, |tx| tx.put_task(row));
        assert_eq!(stored(store, row.id), *row);
    }
    let emptied = TaskRow {
        error: None,
        branch: None,
        run_id: None,
        worker: None,
        lease_until: None,
        ticket: None,
        total: None,
        finished_at: None,
        feeds: None,
        ..full
    };
    for state in TaskState::ALL {
        let row = TaskRow { state, ..emptied.clone() };
        within(store, |tx| tx.put_task(&row));
        assert_eq!(stored(&*bench.other(), row.id), row);
    }
    assert_eq!(within(store, |tx| tx.task(TaskId::fresh())), None);
}

/// Those, all of those up to the limit, and no others.
pub fn filters_give_the_tasks_they_name(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let (workflow, other) = (a_workflow(at), a_workflow(at));
    let tasks: Vec<TaskRow> = TaskState::ALL
        .iter()
        .flat_map(|state| WorkerClass::ALL.map(|class| (*state, class)))
        .flat_map(|of| [5, 0, 10].map(|later| (of, later)))
        .map(|((state, class), later)| TaskRow {
            state,
            class,
            not_before: after(at, seconds(later)),
            lease_until: state.is_out().then(|| after(at, seconds(later))),
            ..a_task(if later == 10 { other.id } else { workflow.id }, at)
        })
        .collect();
    within(store, |tx| {
        tx.put_workflow(&workflow)?;
        tx.put_workflow(&other)?;
        tasks.iter().try_for_each(|task| tx.put_task(task))
    });
    let find = |filter, limit| -> Vec<TaskRow> { within(store, |tx| tx.tasks(filter, limit)) };
    let check = |filter, is_meant: &dyn Fn(&TaskRow) -> bool| {
        let ids =
            |rows: &[&TaskRow]| -> BTreeSet<TaskId> { rows.iter().map(|row| row.id).collect() };
        let found = find(filter, 1_000);
        let meant: Vec<&TaskRow> = tasks.iter().filter(|task| is_meant(task)).collect();
        assert!(!meant.is_empty());
        assert_eq!(found.len(), meant.len(), "{filter:?}");
        assert_eq!(ids(&found.iter().collect::<Vec<_>>()), ids(&meant), "{filter:?}");
        assert_eq!(find(filter, 2), found[..2], "{filter:?}");
    };
    let due = after(at, seconds(5));
    check(TaskFilter::Due(due), &|task| task.state == TaskState::Ready && task.not_before <= due);
    check(TaskFilter::Expired(due), &|task| task.lease_until.is_some_and(|until| until < due));
    check(TaskFilter::RawUnfinished(due), &|task| {
        let is_ready = task.state == TaskState::Ready && task.not_before <= due;
        task.class == WorkerClass::BareMetal && (is_ready || task.state.is_out())
    });
    check(TaskFilter::Open(other.id), &|task| {
        task.workflow_id == other.id && !task.state.is_final()
    });
    check(TaskFilter::Of(workflow.id), &|task| task.workflow_id == workflow.id);
    let order: Vec<_> = find(TaskFilter::Due(due), 9).iter().map(|row| row.not_before).collect();
    assert_eq!(order, [at, at, at, due, due, due], "the oldest first");
}

/// And a key of another workflow is another.
pub fn a_key_names_one_task_of_a_workflow(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let (workflow, other) = (a_workflow(at), a_workflow(at));
    let keyed = |workflow: &WorkflowRow, key: &str| TaskRow {
        dedupe_key: Some(key.to_owned()),
        ..a_task(workflow.id, at)
    };
    let tasks = [keyed(&workflow, "a"), keyed(&workflow, "b"), keyed(&other, "a")];
    within(store, |tx| {
        tx.put_workflow(&workflow)?;
        tx.put_workflow(&other)?;
        // Tasks without a key are never the same.
        tx.put_task(&a_task(workflow.id, at))?;
        tx.put_task(&a_task(workflow.id, at))?;
        tasks.iter().try_for_each(|task| tx.put_task(task))
    });
    let find = |workflow: &WorkflowRow, key| within(store, |tx| tx.deduped(workflow.id, key));
    assert_eq!(find(&workflow, "a"), Some(tasks[0].id));
    assert_eq!(find(&workflow, "b"), Some(tasks[1].id));
    assert_eq!(find(&other, "a"), Some(tasks[2].id));
    assert_eq!(find(&other, "b"), None);
}

/// Tasks and collections apart.
pub fn edges_are_found_by_what_they_wait_for(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let workflow = a_workflow(at);
    let collection = a_collection(workflow.id);
    let mut tasks: Vec<TaskRow> = (0..7).map(|_| a_task(workflow.id, at)).collect();
    tasks.sort_by_key(|task| task.id);
    let first = tasks[0].id;
    let mut edges: Vec<EdgeRow> = (1..)
        .zip(On::ALL)
        .map(|(n, on)| EdgeRow { task_id: tasks[n].id, dependency: Dependency::Task(first, on) })
        .collect();
    let joined =
        EdgeRow { task_id: tasks[6].id, dependency: Dependency::Collection(collection.id) };
    let beside =
        EdgeRow { task_id: tasks[6].id, dependency: Dependency::Task(tasks[1].id, On::Failed) };
    within(store, |tx| {
        tx.put_workflow(&workflow)?;
        tx.put_collection(&collection)?;
        tasks.iter().try_for_each(|task| tx.put_task(task))?;
        // Twice is once.
        edges.iter().chain(&edges).try_for_each(|edge| tx.put_edge(*edge))?;
        tx.put_edge(joined)?;
        tx.put_edge(beside)
    });
    within(store, |tx| {
        let mut found = tx.waiting_for_task(first)?;
        found.sort_by_key(|edge| edge.task_id);
        edges.sort_by_key(|edge| edge.task_id);
        assert_eq!(found, edges);
        assert_eq!(tx.waiting_for_task(tasks[1].id)?, [beside]);
        assert_eq!(tx.waiting_for_task(tasks[6].id)?, []);
        assert_eq!(tx.waiting_for_collection(collection.id)?, [joined]);
        Ok(())
    });
}

/// Alone, and with their workflow.
pub fn collections_come_back(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let (workflow, other) = (a_workflow(at), a_workflow(at));
    let mut rows = [a_collection(workflow.id), a_collection(workflow.id), a_collection(other.id)];
    within(store, |tx| {
        tx.put_workflow(&workflow)?;
        tx.put_workflow(&other)?;
        rows.iter().try_for_each(|row| tx.put_collection(row))
    });
    for row in &mut rows {
        (row.feeders, row.total, row.done, row.failed) = (0, 5, 5, 2);
        row.completed_at = Some(after(at, seconds(1)));
        within(store, |tx| tx.put_collection(row));
        assert_eq!(within(store, |tx| tx.collection(row.id)).as_ref(), Some(&*row));
    }
    let mut found = within(store, |tx| tx.collections(workflow.id));
    found.sort_by_key(|row| row.id);
    rows[..2].sort_by_key(|row| row.id);
    assert_eq!(found, rows[..2]);
}

/// And by another once its time is over, or it could not be sent; then it is gone.
pub fn a_message_of_the_outbox_is_taken_by_one(bench: &dyn Bench) {
    const MESSAGES: usize = 60;
    let (store, at) = (bench.store(), now());
    within(store, |tx| {
        (0..MESSAGES)
            .try_for_each(|n| tx.put_outbox(WorkerClass::ALL[n % 3], &format!("message {n}")))
    });
    let taken = Mutex::new(Vec::new());
    let others = [bench.other(), bench.other()];
    thread::scope(|scope| {
        for n in 0..6 {
            let (store, taken) = (if n < 3 { store } else { &*others[n % 2] }, &taken);
            scope.spawn(move || {
                loop {
                    let rows = within(store, |tx| tx.take_outbox(at, after(at, seconds(60)), 4));
                    assert!(rows.len() <= 4);
                    if rows.is_empty() {
                        return;
                    }
                    let mut taken = taken.lock().unwrap();
                    taken.extend(rows);
                    assert!(taken.len() <= MESSAGES, "taken twice");
                }
            });
        }
    });
    let taken = taken.into_inner().unwrap();
    let ids: BTreeSet<i64> = taken.iter().map(|row| row.id).collect();
    assert_eq!((taken.len(), ids.len()), (MESSAGES, MESSAGES));
    for row in &taken {
        let n: usize = row.body.strip_prefix("message ").unwrap().parse().unwrap();
        assert_eq!(row.class, WorkerClass::ALL[n % 3]);
    }
    let sent: Vec<i64> = ids.iter().copied().take(MESSAGES - 5).collect();
    within(store, |tx| tx.remove_outbox(&sent));
    let again = |later| {
        let at = after(at, seconds(later));
        within(store, |tx| tx.take_outbox(at, after(at, seconds(60)), 100)).len()
    };
    assert_eq!((again(59), again(60), again(61)), (0, 5, 0));
    let unsent: Vec<i64> = ids.iter().copied().skip(MESSAGES - 2).collect();
    within(store, |tx| tx.put_off_outbox(&unsent, after(at, seconds(63))));
    assert_eq!((again(62), again(63), again(64)), (0, 2, 0));
}

/// Of that source alone.
pub fn the_pace_of_a_source_counts_its_tasks_that_are_out(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let workflow = a_workflow(at);
    let of = |source: &str, state| TaskRow {
        source: Some(source.to_owned()),
        state,
        ..a_task(workflow.id, at)
    };
    let pace = |source: &str| within(store, |tx| tx.pace(source));
    assert_eq!((pace("crt.sh").0.as_unix_micros(), pace("crt.sh").1), (0, 0));
    within(store, |tx| {
        tx.put_workflow(&workflow)?;
        tx.put_task(&of("shodan", TaskState::Running))?;
        tx.put_task(&a_task(workflow.id, at))?;
        TaskState::ALL.iter().try_for_each(|state| tx.put_task(&of("crt.sh", *state)))?;
        tx.put_pace("crt.sh", at)?;
        tx.put_pace("crt.sh", after(at, seconds(12)))
    });
    assert_eq!(pace("crt.sh"), (after(at, seconds(12)), 2));
    assert_eq!(pace("shodan").1, 1);
}

/// Refusals by what they say; messages that nobody can use are all kept.
pub fn what_is_noted_twice_is_noted_once(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let row = |n: u8, workflow_id| RefusalRow {
        workflow_id,
        task_id: TaskId::fresh(),
        what: IpAddr::from([198, 19, 0, n]).to_string(),
        why: Refusal::OutOfScope,
        by: "bare_metal".to_owned(),
        at,
    };
    let workflow = WorkflowId::fresh();
    let rows = [row(1, workflow), row(2, workflow), row(3, WorkflowId::fresh())];
    let later = RefusalRow { at: after(at, seconds(9)), ..rows[0].clone() };
    let manager =
        RefusalRow { by: "manager".to_owned(), why: Refusal::Blocklisted, ..rows[0].clone() };
    store.refuse(&rows).unwrap();
    store.refuse(std::slice::from_ref(&later)).unwrap();
    within(store, |tx| {
        tx.put_refusal(&later)?;
        tx.put_refusal(&manager)?;
        tx.put_dead_letter("task_manager", None, "{", "no JSON", at)?;
        tx.put_dead_letter("task_manager", Some(MessageId::fresh()), "{}", "no message", at)
    });
    let mut found = store.refusals(workflow).unwrap();
    let mut meant = vec![rows[0].clone(), rows[1].clone(), manager];
    for rows in [&mut found, &mut meant] {
        rows.sort_by_key(|row| (row.what.clone(), row.by.clone()));
    }
    assert_eq!(found, meant);
}
