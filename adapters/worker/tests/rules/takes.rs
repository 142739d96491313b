//! What a worker takes, and what it gives back.

use mrpf_ports::{Clock as _, Finished, clock::between, store::Claim};
use mrpf_tasks::{TaskDefinition as _, message::Outcome};
use mrpf_worker::{Ended, Settings};
use serde_json::{Value, json};

use crate::{
    time::eventually,
    world::{Asks, Gate, Reads, World, does, order, secs},
};

#[test]
fn no_message_is_taken_for_which_there_is_no_free_slot() {
    let (world, gate) = (World::new(), Gate::default());
    for number in 0..20 {
        world.give::<Reads>(json!(number));
    }
    let waits = gate.clone();
    let runners = does::<Reads>(move |_, _| {
        waits.pass();
        Ok(Finished::default())
    });
    let settings = Settings { slots: 3, ..Settings::new(Reads::CLASS, "a test") };
    let worker = world.start_with(settings, runners, false);
    eventually("all slots are busy", || gate.count() == 3);
    world.time.advance(secs(10));
    assert_eq!((gate.count(), world.own.visible()), (3, 17));
    gate.open();
    world.wait_for_completed(20);
    eventually("all messages are deleted", || world.own.count() == 0);
    for (most, out, _) in world.own.polls() {
        assert!(most + out <= 3, "{most} asked for while {out} were out");
    }
    assert_eq!(world.end(worker), Ended::Stopped);
}

#[test]
fn what_is_not_for_us_is_given_back_until_it_is_a_dead_letter() {
    let world = World::new();
    let progress = json!({ "v": 1, "type": "RunTask", "id": 7 }).to_string();
    for body in
        ["hello", &progress, &order("NoSuchTask", Value::Null), &order("Reads", Value::Null)]
    {
        world.own.put(body.to_owned(), 0);
    }
    let reads = does::<Reads>(|_, _| panic!("another class's task was run"));
    let worker = world.start_with(Settings::new(Asks::CLASS, "a test"), reads, false);
    eventually("all are given back", || world.own.hidden().len() == 4);
    assert_eq!(world.own.hidden(), [secs(5); 4]);
    world.time.advance_until("all are dead letters", || world.own.dead() == 4);
    world.end(worker);
    assert!(world.manager.sent().is_empty(), "nothing is told of them");
}

#[test]
fn a_task_that_another_run_holds_is_tried_later_and_one_that_is_over_is_removed() {
    let world = World::new();
    world.store.answer_claim(Claim::Busy);
    world.store.answer_claim(Claim::Busy);
    world.give::<Reads>(Value::Null);
    let worker = world.start::<Reads>(|_, _| Ok(Finished::default()));
    eventually("it is given back", || world.own.hidden() == [secs(5)]);
    world.time.advance(secs(5));
    eventually("it is given back for longer", || world.own.hidden() == [secs(5), secs(10)]);
    assert!(world.completed().is_empty());
    world.time.advance(secs(10));
    let completed = world.wait_for_completed(1);
    assert!(matches!(completed[0].outcome, Outcome::Succeeded { .. }));

    world.store.answer_claim(Claim::Stale);
    world.give::<Reads>(Value::Null);
    eventually("it is removed", || world.own.count() == 0 && world.log.count("deleted") == 2);
    world.end(worker);
    assert_eq!(world.completed().len(), 1);
}

#[test]
fn a_queue_that_fails_is_asked_again() {
    let world = World::new();
    world.own.fail(3);
    world.give::<Asks>(Value::Null);
    let worker = world.start::<Asks>(|_, _| Ok(Finished::default()));
    let began = world.time.now();
    world.time.advance_until("the task is done", || !world.completed().is_empty());
    assert!(between(began, world.time.now()) >= secs(1 + 2 + 4), "it did not pause");
    world.end(worker);
}
