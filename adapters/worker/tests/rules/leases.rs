//! What is held is kept, and what is lost is thrown away.

use std::sync::atomic::Ordering::SeqCst;

use mrpf_ports::{Finished, store::Renewal};
use mrpf_tasks::{ErrorKind, message::Message};
use serde_json::{Value, json};

use crate::{
    time::eventually,
    world::{Asks, Gate, Reads, Scans, World, secs, until_told},
};

#[test]
fn a_long_task_keeps_its_message_and_says_that_it_lives() {
    let world = World::new();
    world.give::<Asks>(Value::Null);
    let worker = world.start::<Asks>(|cx, _| {
        cx.progress(7, Some(9), "half-way");
        cx.sleep(secs(300));
        Ok(Finished::default())
    });
    eventually("it says that it runs", || !world.manager.sent().is_empty());
    world.time.advance(secs(290));
    assert_eq!(world.own.receives(), [1], "delivered to others while it ran");
    world.time.advance(secs(20));
    world.wait_for_completed(1);
    let progress: Vec<u64> = world
        .manager
        .sent()
        .into_iter()
        .filter_map(|message| match message {
            Message::TaskProgress(progress) => Some(progress.done),
            _ => None,
        })
        .collect();
    assert_eq!(progress[0], 0, "the first says that it has begun");
    assert!((8..=16).contains(&progress.len()), "one a heartbeat: {progress:?}");
    assert_eq!(progress[1..], vec![7; progress.len() - 1]);
    world.end(worker);
}

#[test]
fn a_raw_task_renews_its_lease_every_2_s_with_its_progress() {
    let world = World::new();
    world.give::<Scans>(Value::Null);
    let worker = world.start::<Scans>(|cx, _| {
        for done in 1..=30 {
            cx.progress(done, Some(30), "syn");
            cx.sleep(secs(1));
        }
        Ok(Finished::default())
    });
    eventually("it runs", || world.store.holders() == 1);
    world.time.advance(secs(40));
    world.wait_for_completed(1);
    let told = world.store.renewals();
    assert!((12..=16).contains(&told.len()) && told.is_sorted() && told[2] > 2, "{told:?}");
    world.end(worker);
}

#[test]
fn a_run_whose_message_another_has_is_stopped_and_its_result_thrown_away() {
    let world = World::new();
    world.give::<Reads>(Value::Null);
    let worker = world.start::<Reads>(|cx, _| {
        until_told(cx).unwrap_err();
        let error = cx.emit(&json!("in vain")).unwrap_err();
        assert_eq!(error.kind, ErrorKind::WorkerLost);
        Ok(Finished::default())
    });
    eventually("it runs", || world.store.holders() == 1);
    world.own.steal();
    world.time.advance(secs(21));
    eventually("it lets go of the task", || world.log.count("released") == 1);
    world.end(worker);
    assert!(world.completed().is_empty() && world.store.parts().is_empty());
    assert_eq!(world.log.count("deleted"), 0);
}

#[test]
fn a_run_whose_task_another_has_is_stopped_and_its_result_thrown_away() {
    let (world, gate) = (World::new(), Gate::default());
    let ended = gate.clone();
    world.give::<Scans>(Value::Null);
    let worker = world.start::<Scans>(move |cx, _| {
        until_told(cx).unwrap_err();
        ended.pass();
        Ok(Finished::default())
    });
    gate.open();
    eventually("it runs", || world.store.holders() == 1);
    world.store.fence();
    world.time.advance(secs(3));
    eventually("it was told", || gate.count() == 1);
    eventually("its message is for others", || world.own.hidden().contains(&secs(5)));
    world.end(worker);
    assert!(world.completed().is_empty());
    assert_eq!((world.log.count("deleted"), world.log.count("released")), (0, 0));
}

#[test]
fn a_run_that_is_refused_at_a_write_is_over() {
    let (world, gate) = (World::new(), Gate::default());
    let fenced = gate.clone();
    world.give::<Reads>(Value::Null);
    let worker = world.start::<Reads>(move |cx, _| {
        cx.emit(&json!(1))?;
        fenced.pass();
        // Written at the end alone, so this is the first that the worker hears of it.
        Ok(Finished::default())
    });
    eventually("it runs", || gate.count() == 1);
    world.store.fence();
    gate.open();
    eventually("its message is for others", || world.own.hidden() == [secs(5)]);
    world.end(worker);
    assert!(world.completed().is_empty() && world.store.parts().is_empty());
}

#[test]
fn a_run_that_cannot_be_renewed_for_a_whole_lease_is_taken_for_lost() {
    let world = World::new();
    world.give::<Scans>(Value::Null);
    let worker = world.start::<Scans>(|cx, _| until_told(cx));
    eventually("it runs", || world.store.holders() == 1);
    world.store.is_away.store(true, SeqCst);
    world.time.advance(secs(55));
    assert_eq!(world.own.visible(), 0, "a store that is away for less than a lease loses nothing");
    world.time.advance(secs(15));
    eventually("it is given up", || world.own.hidden().contains(&secs(5)));
    world.end(worker);
    assert!(world.completed().is_empty());
}

#[test]
fn a_run_that_is_to_stop_is_handed_back_at_once() {
    let world = World::new();
    world.give::<Scans>(Value::Null);
    let worker = world.start::<Scans>(|cx, _| until_told(cx));
    eventually("it runs", || world.store.holders() == 1);
    world.store.answer_renewals(Some(Renewal::Stop));
    world.time.advance(secs(3));
    eventually("the task is free", || world.log.count("released") >= 1);
    eventually("so is its message", || world.own.hidden().contains(&secs(0)));
    world.store.answer_renewals(None);
    world.end(worker);
    assert!(world.completed().is_empty());
}
