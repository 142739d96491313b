//! A worker that is to stop lets go of everything in time.

use mrpf_ports::{Clock as _, Finished, clock::between};
use mrpf_tasks::{ErrorKind, TaskDefinition as _, message::Outcome};
use mrpf_worker::{Ended, Settings};
use serde_json::{Value, json};

use crate::{
    queue::MAX_RECEIVES,
    time::eventually,
    world::{Gate, Reads, Scans, World, does, order, secs, until_told},
};

#[test]
fn what_runs_ends_or_is_handed_back_within_5_s() {
    let (world, gate) = (World::new(), Gate::default());
    for how in ["obeys", "ends well", "hears nothing"] {
        world.give::<Reads>(json!(how));
    }
    let stubborn = gate.clone();
    let runners = does::<Reads>(move |cx, how| match how.as_str().unwrap() {
        "obeys" => until_told(cx),
        "ends well" => {
            cx.sleep(secs(1_000));
            Ok(Finished::default())
        }
        _ => {
            stubborn.pass();
            Ok(Finished::default())
        }
    });
    let settings = Settings { slots: 3, ..Settings::new(Reads::CLASS, "a test") };
    let worker = world.start_with(settings, runners, false);
    eventually("all run", || gate.count() == 1 && world.store.holders() == 3);
    let began = world.time.now();
    world.stop.set();
    let completed = world.wait_for_completed(1);
    assert!(matches!(completed[0].outcome, Outcome::Succeeded { .. }));
    eventually("one is handed back", || {
        world.log.count("released") == 1 && world.own.visible() == 1
    });
    assert!(!worker.is_finished(), "there is time for the third");
    world.time.advance(secs(5));
    assert_eq!(world.join(worker), Ended::Stopped);
    assert!(between(began, world.time.now()) <= secs(5));
    assert_eq!((world.log.count("released"), world.own.visible()), (2, 2));
    assert_eq!(world.own.receives(), [1, 1]);
    // What it finds later nobody hears of.
    gate.open();
    world.time.advance(secs(1));
    assert_eq!((world.completed().len(), world.own.visible()), (1, 2));
}

#[test]
fn a_message_that_comes_into_an_open_poll_is_visible_again_at_once() {
    let world = World::new();
    world.own.deafen();
    let worker = world.start::<Reads>(|_, _| panic!("it was run"));
    eventually("a poll is open", || world.log.count("polled") == 1);
    assert_eq!(world.end(worker), Ended::Stopped);
    world.give::<Reads>(Value::Null);
    eventually("it is given back", || world.own.hidden() == [secs(0)]);
    assert_eq!((world.own.visible(), world.own.receives()), (1, vec![1]));
}

#[test]
fn what_is_given_back_does_not_come_into_a_poll_of_the_same_worker() {
    let world = World::new();
    world.give::<Reads>(Value::Null);
    let settings = Settings { slots: 2, ..Settings::new(Reads::CLASS, "a test") };
    let worker = world.start_with(settings, does::<Reads>(|cx, _| until_told(cx)), false);
    eventually("it runs, and a poll is open", || {
        world.store.holders() == 1 && world.log.count("polled") == 2
    });
    assert_eq!(world.end(worker), Ended::Stopped);
    world.time.advance(secs(1));
    assert_eq!((world.own.visible(), world.own.receives()), (1, vec![1]));
}

#[test]
fn what_was_not_begun_when_the_time_is_over_is_given_back() {
    let (world, gate) = (World::new(), Gate::default());
    world.store.hold_claims(&gate);
    world.give::<Reads>(Value::Null);
    let worker = world.start::<Reads>(|_, _| panic!("it was run"));
    eventually("it is claimed", || gate.count() == 1);
    world.stop.set();
    world.time.advance_until("the worker ends", || worker.is_finished());
    assert_eq!(world.join(worker), Ended::Stopped);
    assert_eq!((world.own.visible(), world.own.receives()), (1, vec![1]));
}

#[test]
fn a_message_in_its_last_delivery_is_not_left_to_the_dead_letters() {
    let world = World::new();
    world.own.put(order("Scans", Value::Null), MAX_RECEIVES - 1);
    let worker = world.start::<Scans>(|cx, _| until_told(cx));
    eventually("it runs", || world.store.holders() == 1);
    assert_eq!(world.end(worker), Ended::Stopped);
    let errors = world.errors();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].kind, ErrorKind::Cancelled, "which the manager gives out again");
    assert_eq!((world.own.count(), world.own.dead()), (0, 0));
}
