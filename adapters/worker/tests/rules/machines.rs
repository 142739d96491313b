//! Bare-metal workers: their slots, and when they go.

use std::sync::atomic::Ordering::SeqCst;

use mrpf_ports::{Clock as _, Finished, clock::between};
use mrpf_tasks::{TaskDefinition as _, TaskError, message::Outcome};
use mrpf_worker::{Ended, IdleTimeout, Settings};
use serde_json::{Value, json};

use crate::{
    time::eventually,
    world::{Gate, Scans, World, does, secs, until_told},
};

/// A worker that goes after 30 s without work.
fn settings() -> Settings {
    let idle = Some(IdleTimeout::from_secs(30).unwrap());
    Settings { idle, ..Settings::new(Scans::CLASS, "a test") }
}

#[test]
fn a_machine_without_work_drains_polls_once_more_and_goes() {
    let world = World::new();
    let began = world.time.now();
    let worker = world.start_with(settings(), does::<Scans>(|_, _| panic!("work")), true);
    eventually("it polls", || world.log.count("polled") == 1);
    world.time.advance(secs(20));
    eventually("it polls for what is left", || world.log.count("polled") == 2);
    world.time.advance(secs(9));
    assert!(world.log.count("slot draining") == 0, "too early");
    world.time.advance(secs(1));
    eventually("it polls a last time", || world.log.count("polled") == 3);
    assert_eq!(world.log.count("off"), 0);
    world.time.advance(secs(2));
    assert_eq!(world.join(worker), Ended::Idle);
    assert!(between(began, world.time.now()) < secs(34));
    assert_eq!(world.log.told(), ["slot live", "slot draining", "off"]);
    let log = world.log.all();
    let at = |what: &str| log.iter().position(|noted| noted == what).unwrap();
    let last_poll = log.iter().rposition(|noted| noted == "polled").unwrap();
    assert!(at("slot draining") < last_poll && last_poll < at("off"), "{log:?}");
    let waits: Vec<_> = world.own.polls().into_iter().map(|(.., wait)| wait).collect();
    assert!(waits[2] >= secs(1), "{waits:?}");
}

#[test]
fn a_message_in_the_last_poll_is_done_by_a_live_worker() {
    let world = World::new();
    let log = world.log.clone();
    let runners = does::<Scans>(move |_, _| {
        log.note("run");
        Ok(Finished::default())
    });
    let worker = world.start_with(settings(), runners, true);
    eventually("it polls", || world.log.count("polled") == 1);
    world.time.advance(secs(20));
    eventually("it polls for what is left", || world.log.count("polled") == 2);
    world.time.advance(secs(10));
    eventually("it polls a last time", || world.log.count("polled") == 3);
    world.give::<Scans>(Value::Null);
    world.wait_for_completed(1);
    let told = world.log.told();
    assert_eq!(told[..4], ["slot live", "slot draining", "slot live", "run"], "{told:?}");
    world.time.advance_until("it goes again", || worker.is_finished());
    assert_eq!(world.join(worker), Ended::Idle);
    assert!(world.log.told().ends_with(&["slot draining".into(), "off".into()]));
}

#[test]
fn a_machine_does_not_go_while_a_task_runs() {
    let world = World::new();
    world.give::<Scans>(Value::Null);
    let runners = does::<Scans>(|cx, _| {
        cx.sleep(secs(200));
        Ok(Finished::default())
    });
    let worker = world.start_with(settings(), runners, true);
    eventually("it runs", || world.store.holders() == 1);
    world.time.advance(secs(195));
    assert_eq!((world.log.count("slot draining"), world.own.receives()), (0, vec![1]));
    assert!(world.log.count("slot live") > 80, "the slot is renewed all the while");
    world.time.advance(secs(5));
    world.wait_for_completed(1);
    world.time.advance(secs(25));
    assert_eq!(world.log.count("slot draining"), 0, "the timer starts when the task ends");
    world.time.advance_until("it goes", || worker.is_finished());
    assert_eq!(world.join(worker), Ended::Idle);
}

#[test]
fn a_machine_waits_a_minute_for_its_slot() {
    let world = World::new();
    world.store.has_slot.store(false, SeqCst);
    let worker = world.start_with(settings(), does::<Scans>(|_, _| Ok(Finished::default())), true);
    eventually("it asks", || world.log.count("no slot") == 1);
    world.time.advance(secs(30));
    world.give::<Scans>(Value::Null);
    world.time.advance(secs(25));
    assert_eq!(world.log.count("polled"), 0, "nothing is taken before");
    world.store.has_slot.store(true, SeqCst);
    world.time.advance(secs(1));
    world.wait_for_completed(1);
    world.end(worker);

    let world = World::new();
    world.store.has_slot.store(false, SeqCst);
    let worker = world.start_with(settings(), does::<Scans>(|_, _| Ok(Finished::default())), true);
    eventually("it asks", || world.log.count("no slot") == 1);
    world.time.advance(secs(61));
    assert_eq!(world.join(worker), Ended::NoSlot);
    assert_eq!(world.log.told(), ["no slot", "off"]);
}

#[test]
fn a_machine_that_loses_its_slot_ends_its_task_and_goes() {
    let (world, gate) = (World::new(), Gate::default());
    world.give::<Scans>(json!(1));
    let runs = gate.clone();
    let runners = does::<Scans>(move |_, _| {
        runs.pass();
        Ok::<_, TaskError>(Finished::default())
    });
    let worker = world.start_with(settings(), runners, true);
    eventually("it runs", || gate.count() == 1);
    world.store.has_slot.store(false, SeqCst);
    world.time.advance(secs(3));
    world.give::<Scans>(json!(2));
    gate.open();
    let completed = world.wait_for_completed(1);
    assert!(matches!(completed[0].outcome, Outcome::Succeeded { .. }));
    assert_eq!(world.join(worker), Ended::NoSlot);
    assert_eq!((gate.count(), world.own.visible(), world.log.count("off")), (1, 1, 1));
}

#[test]
fn a_machine_that_is_told_to_stop_leaves_its_slot_draining_and_stays_on() {
    let world = World::new();
    world.give::<Scans>(Value::Null);
    let worker = world.start_with(settings(), does::<Scans>(|cx, _| until_told(cx)), true);
    eventually("it runs", || world.store.holders() == 1);
    assert_eq!(world.end(worker), Ended::Stopped);
    assert_eq!((world.log.count("released"), world.own.visible()), (1, 1));
    let told = world.log.told();
    let last = told.iter().rfind(|what| what.starts_with("slot"));
    assert_eq!(last.map(String::as_str), Some("slot draining"), "{told:?}");
    assert_eq!(world.log.count("off"), 0);
}
