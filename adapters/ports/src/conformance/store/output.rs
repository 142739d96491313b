//! Output as it is read again.

use mrpf_tasks::{
    Bytes, Chunk, CollectionId, RunId,
    catalogue::DataRef,
    chunk::{Joiner, MOST_OCTETS},
    message::{NewTask, Outcome, Run},
};
use serde_json::{Value, json};

use super::{
    Bench, a_run, a_task, a_workflow, given_out, lease, now, parts, seconds, succeed, within,
};
use crate::{
    ManagerStore, StoreError,
    clock::after,
    store::{Checkpoint, CollectionRow, Cursor, TaskRow},
};

fn chunk(items: &[Value]) -> Chunk {
    Chunk::Items { items: items.to_vec() }
}

/// All items, read in pages of `limit` chunks.
fn items(store: &dyn ManagerStore, from: DataRef, limit: usize) -> Vec<Value> {
    let (mut joiner, mut items, mut after) = (Joiner::default(), Vec::new(), None::<Cursor>);
    loop {
        let page = store.read(from, after, limit).unwrap();
        assert!(page.len() <= limit);
        let Some((last, _)) = page.last() else { break };
        for (cursor, chunk) in &page {
            assert!(after.is_none_or(|after| after < *cursor), "{after:?} before {cursor:?}");
            after = Some(*cursor);
            items.extend(joiner.push(chunk.clone()).unwrap());
        }
        assert_eq!(after, Some(*last));
    }
    joiner.finish().unwrap();
    items
}

/// A task that is claimed, with these chunks.
fn with_output(store: &dyn ManagerStore, task: &TaskRow, chunks: &[Chunk]) -> Run {
    let run = a_run(task);
    store.claim_task(&run, &lease(now())).unwrap();
    // In no order, as a second try may write them.
    for (seq, chunk) in chunks.iter().enumerate().rev() {
        store.put_part(&run, u32::try_from(seq).unwrap(), chunk).unwrap();
    }
    run
}

/// A part of a run that came late, which nobody is to read.
fn stray(store: &dyn ManagerStore, task: &TaskRow) {
    within(store, |tx| tx.put_part(task.id, RunId::fresh(), 0, &chunk(&[json!("stray")])));
}

/// In pages of any size; before that there is none.
pub fn a_tasks_output_is_read_in_order_once_it_has_succeeded(bench: &dyn Bench) {
    let store = bench.store();
    let task = given_out(store, now());
    let chunks: Vec<Chunk> = (0..7).map(|n| chunk(&[json!(2 * n), json!(2 * n + 1)])).collect();
    let run = with_output(store, &task, &chunks);
    assert_eq!(items(store, DataRef::Task(task.id), 3), [] as [Value; 0]);
    succeed(store, &run);
    stray(store, &task);
    let all: Vec<Value> = (0..14).map(|n| json!(n)).collect();
    for limit in [1, 3, 7, 100] {
        assert_eq!(items(&*bench.other(), DataRef::Task(task.id), limit), all);
    }
}

/// Task by task.
pub fn a_collections_output_is_that_of_its_members_that_succeeded(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let (workflow, collection) = (a_workflow(at), CollectionId::fresh());
    let mut tasks: Vec<TaskRow> = (0..5).map(|_| a_task(workflow.id, at)).collect();
    tasks.sort_by_key(|task| task.id);
    for task in &mut tasks[..4] {
        task.member_of = Some(collection);
    }
    within(store, |tx| {
        tx.put_workflow(&workflow)?;
        tx.put_collection(&a_collection(&workflow, collection))?;
        tasks.iter().try_for_each(|task| tx.put_task(task))
    });
    let mut expected = Vec::new();
    for (n, task) in tasks.iter().enumerate().rev() {
        let chunks: Vec<Chunk> = (0..3).map(|seq| chunk(&[json!([n, seq])])).collect();
        let run = with_output(store, task, &chunks);
        // The third member is not done, the last task no member.
        if n != 2 {
            succeed(store, &run);
        }
        stray(store, task);
        if n != 2 && n != 4 {
            expected.extend((0..3).map(|seq| json!([n, seq])));
        }
    }
    expected.sort_by_key(Value::to_string);
    for limit in [1, 2, 4, 100] {
        assert_eq!(items(store, DataRef::Collection(collection), limit), expected);
    }
    assert_eq!(items(store, DataRef::Rows(collection), 100), [] as [Value; 0]);
}

fn a_collection(workflow: &crate::store::WorkflowRow, id: CollectionId) -> CollectionRow {
    CollectionRow {
        id,
        workflow_id: workflow.id,
        name: "a collection".to_owned(),
        feeders: 0,
        total: 0,
        done: 0,
        failed: 0,
        completed_at: None,
    }
}

/// From a worker, and from the manager on a worker's behalf.
pub fn a_part_that_is_there_stays(bench: &dyn Bench) {
    let store = bench.store();
    let task = given_out(store, now());
    let run = with_output(store, &task, &[chunk(&[json!("first")])]);
    store.put_part(&run, 0, &chunk(&[json!("second")])).unwrap();
    let [third, fourth] = ["third", "fourth"].map(|item| chunk(&[json!(item)]));
    within(store, |tx| {
        tx.put_part(task.id, run.run_id, 0, &third)?;
        tx.put_part(task.id, run.run_id, 1, &third)?;
        tx.put_part(task.id, run.run_id, 1, &fourth)
    });
    assert_eq!(parts(store, &run), 2);
    succeed(store, &run);
    assert_eq!(items(store, DataRef::Task(task.id), 9), [json!("first"), json!("third")]);
}

/// However large, and whatever is in it.
pub fn a_chunk_comes_back_as_it_was(bench: &dyn Bench) {
    let store = bench.store();
    let task = given_out(store, now());
    let strange = json!({ "b": [null, true, -1, 1.5e-7, u64::MAX], "a": "\u{7f}\u{fffd}\u{1f980}\"\\\r\n", "": {} });
    let octets = (0..MOST_OCTETS / 2).map(|n| (n ^ n >> 8) as u8).collect();
    let chunks = [
        chunk(&[strange]),
        chunk(&[json!("x".repeat(MOST_OCTETS - 64))]),
        Chunk::Slice { slice: Bytes(octets), more: false },
        chunk(&vec![json!(0); 5_000]),
    ];
    let run = with_output(store, &task, &chunks);
    succeed(store, &run);
    let read = store.read(DataRef::Task(task.id), None, 9).unwrap();
    assert!(read.iter().map(|(_, chunk)| chunk).eq(&chunks));
    let places: Vec<_> = read.iter().map(|(cursor, _)| (cursor.task, cursor.seq)).collect();
    assert_eq!(places, [0, 1, 2, 3].map(|seq| (task.id, seq)));
}

/// And of a task that failed none.
pub fn of_a_complete_run_the_parts_alone_are_kept(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let task = given_out(store, at);
    let bystander = given_out(store, at);
    let run = with_output(store, &task, &[chunk(&[json!(1)])]);
    let beside = with_output(store, &bystander, &[chunk(&[json!(2)])]);
    let other = RunId::fresh();
    let child = NewTask { definition: "Nothing".to_owned(), input: json!(1) };
    store.put_checkpoint(&run, &Checkpoint { position: json!(1), parts: 1 }, at).unwrap();
    let counts = |keep: Option<Option<RunId>>| {
        within(store, |tx| {
            if let Some(keep) = keep {
                tx.keep_run(task.id, keep)?;
            }
            Ok([
                tx.parts(task.id, run.run_id)?,
                tx.parts(task.id, other)?,
                u32::try_from(tx.children(task.id, run.run_id)?.len()).unwrap(),
                u32::try_from(tx.children(task.id, other)?.len()).unwrap(),
                tx.parts(bystander.id, beside.run_id)?,
            ])
        })
    };
    within(store, |tx| {
        tx.put_part(task.id, other, 0, &chunk(&[json!(3)]))?;
        tx.put_child(task.id, run.run_id, 0, &child)?;
        tx.put_child(task.id, other, 0, &child)
    });
    assert_eq!(counts(None), [1, 1, 1, 1, 1]);
    assert_eq!(counts(Some(Some(run.run_id))), [1, 0, 0, 0, 1]);
    assert_eq!(counts(Some(None)), [0, 0, 0, 0, 1]);
    // The checkpoint has gone too.
    let next = store.claim_task(&a_run(&task), &lease(after(at, seconds(600)))).unwrap();
    assert_eq!(next, crate::store::Claim::Held { checkpoint: None });
}

/// The first of two with the same number stays.
pub fn children_are_kept_by_run_and_in_order(bench: &dyn Bench) {
    let store = bench.store();
    let task = given_out(store, now());
    let [run, other] = [(); 2].map(|()| RunId::fresh());
    let child =
        |n: u32, what: &str| NewTask { definition: what.to_owned(), input: json!({ "n": n }) };
    within(store, |tx| {
        for n in [11, 2, 0, 1, 11] {
            tx.put_child(task.id, run, n, &child(n, "Right"))?;
            tx.put_child(task.id, run, n, &child(n, "Second"))?;
        }
        tx.put_child(task.id, other, 0, &child(0, "Other"))
    });
    let children = within(store, |tx| tx.children(task.id, run));
    assert_eq!(children, [0, 1, 2, 11].map(|n| (n, child(n, "Right"))));
}

/// What a run said first stays until a run is kept.
pub fn how_runs_ended_is_kept_by_run(bench: &dyn Bench) {
    let store = bench.store();
    let task = given_out(store, now());
    let [run, other] = [(); 2].map(|()| RunId::fresh());
    let ended = |created| Outcome::Succeeded { parts: 1, created, branch: None, truncated: true };
    let kept = || {
        within(
            store,
            |tx| Ok([run, other].map(|run| tx.outcome(task.id, run).expect("an outcome"))),
        )
    };
    within(store, |tx| {
        tx.put_outcome(task.id, run, &ended(3))?;
        tx.put_outcome(task.id, run, &ended(4))
    });
    assert_eq!(kept(), [Some(ended(3)), None]);
    within(store, |tx| tx.put_outcome(task.id, other, &ended(5)));
    assert_eq!(kept(), [Some(ended(3)), Some(ended(5))]);
    within(store, |tx| tx.keep_run(task.id, Some(run)));
    assert_eq!(kept(), [None, None]);
}

/// Once, whatever the run, and by a run that holds its task.
pub fn rows_are_inserted_once_by_key_and_read_in_order(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let task = given_out(store, at);
    let workflow = within(store, |tx| tx.workflow(task.workflow_id)).expect("the workflow");
    let collection = CollectionId::fresh();
    within(store, |tx| tx.put_collection(&a_collection(&workflow, collection)));
    let (run, next) = (a_run(&task), a_run(&task));
    let rows = |keys: std::ops::Range<u32>, what: &str| -> Vec<(String, Value)> {
        keys.map(|n| (format!("key {n}"), json!([n, what]))).collect()
    };
    let insert = |run: &Run, rows: &[(String, Value)]| store.insert_rows(run, collection, rows);
    assert!(matches!(insert(&run, &rows(0..1, "early")), Err(StoreError::Fenced)));
    store.claim_task(&run, &lease(at)).unwrap();
    assert_eq!(insert(&run, &rows(0..6_000, "first")).unwrap(), 6_000);
    assert_eq!(insert(&run, &rows(5_990..6_010, "second")).unwrap(), 10);
    store.claim_task(&next, &lease(after(at, seconds(61)))).unwrap();
    assert!(matches!(insert(&run, &rows(7_000..7_001, "late")), Err(StoreError::Fenced)));
    assert_eq!(insert(&next, &rows(0..6_010, "third")).unwrap(), 0);
    let expected: Vec<Value> = rows(0..6_000, "first")
        .into_iter()
        .chain(rows(6_000..6_010, "second"))
        .map(|(_, row)| row)
        .collect();
    for limit in [1, 16] {
        assert!(items(store, DataRef::Rows(collection), limit) == expected);
    }
}
