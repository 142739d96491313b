//! How the end of a task is told.

use mrpf_ports::{Finished, store::Renewal};
use mrpf_tasks::{
    Chunk, ErrorKind, TaskError,
    message::{Message, Outcome},
};
use mrpf_worker::Ended;
use serde_json::{Value, json};

use crate::{
    time::eventually,
    world::{Asks, Reads, Scans, World, secs, until_told},
};

fn succeeded(parts: u32, created: u32) -> Outcome {
    Outcome::Succeeded { parts, created, branch: None, truncated: false }
}

#[test]
fn a_task_that_panics_fails_and_the_worker_goes_on() {
    let world = World::new();
    world.give::<Reads>(json!("bad"));
    let worker = world.start::<Reads>(|_, input| {
        assert_ne!(input, json!("bad"), "no such luck");
        Ok(Finished::default())
    });
    let failed = world.wait_for_completed(1);
    let Outcome::Failed { error } = &failed[0].outcome else { panic!("{failed:?}") };
    assert_eq!(error.kind, ErrorKind::WorkerLost);
    assert!(error.message.contains("no such luck"), "{error}");
    world.give::<Reads>(json!("good"));
    assert_eq!(world.wait_for_completed(2)[1].outcome, succeeded(0, 0));
    eventually("both messages are deleted", || world.own.count() == 0);
    assert_eq!(world.end(worker), Ended::Stopped);
}

#[test]
fn a_failure_is_told_as_it_is_but_not_at_any_length() {
    let world = World::new();
    world.give::<Asks>(json!(1));
    let worker = world.start::<Asks>(|cx, _| {
        cx.emit(&json!("half"))?;
        let error = TaskError::new(ErrorKind::RateLimited, "é".repeat(2_000_000));
        Err(error.after(secs(60)))
    });
    let failed = world.wait_for_completed(1);
    assert_eq!(failed[0].part, None, "what a run that failed has found is no output");
    let error = &world.errors()[0];
    assert_eq!((error.kind, error.retry_after_ms), (ErrorKind::RateLimited, Some(60_000)));
    assert_eq!(error.message.chars().count(), 4_000);
    eventually("its message is deleted", || world.own.count() == 0);
    world.end(worker);
}

#[test]
fn an_external_task_sends_its_children_and_then_its_output() {
    let world = World::new();
    world.give::<Asks>(Value::Null);
    let worker = world.start::<Asks>(|cx, _| {
        for number in 0..5_001 {
            cx.emit(&json!(number))?;
            if number < 250 {
                cx.queue().create::<Reads>(&json!(number))?;
            }
        }
        Ok(Finished { branch: None, truncated: true })
    });
    world.wait_for_completed(2);
    eventually("its message is deleted", || world.own.count() == 0);
    world.end(worker);
    let sent = world.manager.sent();
    let kinds: Vec<&str> = sent.iter().map(Message::kind).collect();
    let expected = [vec!["TaskProgress"], vec!["CreateTask"; 250], vec!["CompleteTask"; 2]];
    assert_eq!(kinds, expected.concat());
    let children = sent.iter().filter_map(|message| match message {
        Message::CreateTask(create) => Some((create.index, create.task.input.clone())),
        _ => None,
    });
    assert!(children.eq((0..250).map(|number| (number, json!(number)))));
    let outcome = Outcome::Succeeded { parts: 2, created: 250, branch: None, truncated: true };
    let mut items = Vec::new();
    for (index, complete) in (0..).zip(world.completed()) {
        assert_eq!(complete.outcome, outcome, "the same in every part");
        let part = complete.part.unwrap();
        assert_eq!(part.index, index);
        let Chunk::Items { items: more } = part.chunk else { panic!("small items were cut") };
        items.extend(more);
    }
    assert_eq!(items, (0..5_001).map(|number| json!(number)).collect::<Vec<_>>());
    let runs: std::collections::BTreeSet<_> =
        world.completed().iter().map(|complete| complete.run.run_id).collect();
    assert_eq!(runs.len(), 1);
}

#[test]
fn an_external_task_without_output_completes_without_a_part() {
    let world = World::new();
    world.give::<Asks>(Value::Null);
    let worker = world.start::<Asks>(|_, _| Ok(Finished { branch: Some(true), truncated: false }));
    let completed = world.wait_for_completed(1);
    world.end(worker);
    assert_eq!(completed[0].part, None);
    let outcome = Outcome::Succeeded { parts: 0, created: 0, branch: Some(true), truncated: false };
    assert_eq!(completed[0].outcome, outcome);
}

#[test]
fn a_task_with_a_store_writes_its_output_there_and_completes_without_it() {
    let world = World::new();
    world.give::<Reads>(Value::Null);
    let worker = world.start::<Reads>(|cx, _| {
        cx.queue().create::<Reads>(&Value::Null)?;
        (0..5_001).try_for_each(|number| cx.emit(&json!(number)))?;
        Ok(Finished::default())
    });
    let completed = world.wait_for_completed(1);
    eventually("its message is deleted", || world.own.count() == 0);
    world.end(worker);
    assert_eq!((completed[0].outcome.clone(), &completed[0].part), (succeeded(2, 1), &None));
    let count = |chunk: &Chunk| match chunk {
        Chunk::Items { items } => items.len(),
        Chunk::Slice { .. } => 0,
    };
    let parts: Vec<_> =
        world.store.parts().iter().map(|(seq, chunk)| (*seq, count(chunk))).collect();
    assert_eq!(parts, [(0, 5_000), (1, 1)]);
    assert_eq!(world.log.told(), ["sent CreateTask", "sent CompleteTask", "deleted"]);
}

#[test]
fn a_message_outlives_an_end_that_cannot_be_told() {
    let world = World::new();
    world.give::<Reads>(Value::Null);
    world.manager.fail(4);
    let worker = world.start::<Reads>(|_, _| Ok(Finished::default()));
    eventually("it is given back", || world.own.hidden() == [secs(5)]);
    assert_eq!(world.log.told(), ["released"]);
    world.time.advance(secs(6));
    world.wait_for_completed(1);
    eventually("its message is deleted", || world.own.count() == 0);
    assert_eq!(world.log.told(), ["released", "sent CompleteTask", "deleted"]);
    world.end(worker);
}

#[test]
fn a_run_that_goes_on_adds_to_what_its_checkpoint_covers() {
    let world = World::new();
    world.store.answer_renewals(Some(Renewal::Stop));
    world.give::<Scans>(Value::Null);
    let worker = world.start::<Scans>(|cx, _| {
        let from = cx.task_data().checkpoint().map_or(0, |it| it.position.as_u64().unwrap());
        cx.emit(&json!(from))?;
        cx.task_data().save(json!(from + 1))?;
        if from == 2 {
            return Ok(Finished::default());
        }
        cx.emit(&json!("what the next run finds again"))?;
        until_told(cx)
    });
    for run in 1..=2 {
        eventually("it has saved", || world.store.parts().len() == run);
        world.time.advance(secs(3));
    }
    let completed = world.wait_for_completed(1);
    world.end(worker);
    assert_eq!(completed[0].outcome, succeeded(3, 0));
    let items: Vec<_> = world.store.parts().into_values().collect();
    assert_eq!(items, [0, 1, 2].map(|item| Chunk::Items { items: vec![json!(item)] }));
}

#[test]
fn what_cannot_be_saved_is_refused() {
    let world = World::new();
    world.give::<Reads>(Value::Null);
    let worker = world.start::<Reads>(|cx, _| {
        cx.task_data().save(json!(1))?;
        cx.queue().create::<Reads>(&Value::Null)?;
        let error = cx.task_data().save(json!(2)).unwrap_err();
        assert!(error.message.contains("made tasks"), "{error}");
        Ok(Finished::default())
    });
    assert_eq!(world.wait_for_completed(1)[0].outcome, succeeded(0, 1));
    world.end(worker);
}
