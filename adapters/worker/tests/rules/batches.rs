//! Messages that somebody else receives and deletes, and a time by which all is over.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use mrpf_ports::{
    Clock as _, Delivery, Finished, InstanceId, Queue as _, Runners, clock::after, store::Claim,
};
use mrpf_tasks::{ErrorKind, TaskDefinition, WorkerClass, message::Outcome};
use mrpf_worker::{
    Batch, Machine, Parts, Settings, SettingsError,
    Verdict::{self, Again, Done},
};
use serde_json::{Value, json};

use crate::{
    queue::MAX_RECEIVES,
    time::eventually,
    world::{Asks, Gate, Reads, Scans, Switch, World, does, order, secs, until_told},
};

/// How long the function may take in most of these tests.
const TIME: Duration = secs(900);
/// What the queue hides messages for, as a mapping receives them: longer than the function may take.
const MAPPED: Duration = secs(5_400);

/// Lets a function have all that is visible, as a mapping does; gives what it says of each.
fn start(
    world: &World,
    settings: Settings,
    runners: Runners,
    time: Duration,
) -> JoinHandle<Vec<Verdict>> {
    let batch = Batch::new(settings.clone(), parts(world, settings.class, runners)).unwrap();
    let deliveries = world.own.receive(10, Duration::ZERO, MAPPED).unwrap();
    run(world, batch, deliveries, time)
}

fn run(
    world: &World,
    batch: Batch,
    deliveries: Vec<Delivery>,
    time: Duration,
) -> JoinHandle<Vec<Verdict>> {
    let (deadline, stop) = (after(world.time.now(), time), world.stop.clone());
    thread::spawn(move || {
        let handles: Vec<_> = deliveries.iter().map(|it| it.handle.clone()).collect();
        let verdicts = batch.run(deliveries, deadline, &stop).unwrap();
        assert!(verdicts.iter().map(|(handle, _)| handle).eq(&handles), "one each, in order");
        verdicts.into_iter().map(|(_, verdict)| verdict).collect()
    })
}

fn parts(world: &World, class: WorkerClass, runners: Runners) -> Parts {
    Parts {
        own: Arc::clone(&world.own) as _,
        task_manager: Arc::clone(&world.manager) as _,
        store: (class != WorkerClass::External).then(|| Arc::clone(&world.store) as _),
        runners,
        clock: Arc::clone(&world.time) as _,
        machine: None,
    }
}

fn slots<T: TaskDefinition>(slots: usize) -> Settings {
    Settings { slots, ..Settings::new(T::CLASS, "a test") }
}

#[track_caller]
fn end(batch: JoinHandle<Vec<Verdict>>) -> Vec<Verdict> {
    eventually("the batch ends", || batch.is_finished());
    batch.join().unwrap()
}

#[test]
fn what_was_done_may_be_deleted_and_nothing_else() {
    let world = World::new();
    world.give::<Asks>(json!("good"));
    world.own.put("hello".to_owned(), 0);
    world.own.put(order("NoSuchTask", Value::Null), 0);
    world.give::<Asks>(json!("bad"));
    let runners = does::<Asks>(|_, input| {
        assert_ne!(input, json!("bad"), "no such luck");
        Ok(Finished::default())
    });
    let batch = start(&world, slots::<Asks>(2), runners, TIME);
    assert_eq!(end(batch), [Done, Again, Again, Done], "a failure that was told is dealt with");
    assert_eq!((world.completed().len(), world.errors().len()), (2, 1));
    assert_eq!(world.log.count("deleted"), 0, "that is the mapping's to do");
    world.time.advance(secs(5));
    assert_eq!(world.own.visible(), 2, "what was not dealt with comes again soon");
    world.time.advance(TIME);
    assert_eq!(
        world.own.visible(),
        2,
        "what was is hidden until the mapping has certainly deleted it"
    );
    world.time.advance(secs(61));
    assert_eq!(world.own.visible(), 4, "and comes again if it has not");
}

#[test]
fn messages_wait_for_a_slot_and_stay_hidden() {
    let (world, gate) = (World::new(), Gate::default());
    for number in 0..5 {
        world.give::<Reads>(json!(number));
    }
    let waits = gate.clone();
    let runners = does::<Reads>(move |_, _| {
        waits.pass();
        Ok(Finished::default())
    });
    let batch = Batch::new(slots::<Reads>(2), parts(&world, Reads::CLASS, runners)).unwrap();
    // A queue that hides for less than the function may take.
    let deliveries = world.own.receive(10, Duration::ZERO, secs(60)).unwrap();
    let batch = run(&world, batch, deliveries, TIME);
    eventually("all slots are busy", || gate.count() == 2);
    world.time.advance(secs(200));
    assert_eq!((gate.count(), world.own.visible()), (2, 0));
    assert!(world.own.hidden().len() >= 5 * 8, "all of them, with every heartbeat");
    gate.open();
    assert_eq!(end(batch), [Done; 5]);
    assert_eq!((gate.count(), world.completed().len()), (5, 5));
}

#[test]
fn a_message_that_another_got_while_it_waited_is_left_to_the_other() {
    let (world, gate) = (World::new(), Gate::default());
    world.give::<Reads>(json!(0));
    world.give::<Reads>(json!(1));
    let waits = gate.clone();
    let runners = does::<Reads>(move |_, _| {
        waits.pass();
        Ok(Finished::default())
    });
    let batch = start(&world, slots::<Reads>(1), runners, TIME);
    eventually("the slot is busy", || gate.count() == 1);
    world.own.steal_last();
    world.time.advance(secs(30));
    gate.open();
    assert_eq!(end(batch), [Done, Again]);
    assert_eq!((gate.count(), world.completed().len()), (1, 1));
}

#[test]
fn before_the_time_is_over_everything_is_done_or_visible_to_others() {
    let (world, gate) = (World::new(), Gate::default());
    for how in ["obeys", "ends well", "hears nothing", "waits"] {
        world.give::<Reads>(json!(how));
    }
    let stubborn = gate.clone();
    let runners = does::<Reads>(move |cx, how| match how.as_str().unwrap() {
        "obeys" => until_told(cx),
        "ends well" => {
            cx.sleep(secs(1_000_000));
            Ok(Finished::default())
        }
        _ => {
            stubborn.pass();
            Ok(Finished::default())
        }
    });
    let batch = start(&world, slots::<Reads>(3), runners, TIME);
    eventually("three run", || gate.count() == 1 && world.store.holders() == 3);
    world.time.advance(secs(893));
    assert_eq!((world.own.visible(), world.completed().len()), (0, 0), "it stops too early");
    world.time.advance(secs(1));
    eventually("what obeys and what waits is visible", || world.own.visible() == 2);
    world.wait_for_completed(1);
    assert!(!batch.is_finished(), "there is time for the third");
    world.time.advance(secs(4));
    // 2 s before the process is ended, and no time passes any more.
    assert_eq!(end(batch), [Again, Done, Again, Again]);
    assert_eq!((world.log.count("released"), world.own.visible()), (2, 3));
    // What it finds later nobody hears of.
    gate.open();
    world.time.advance(secs(1));
    assert_eq!((world.completed().len(), world.own.visible()), (1, 3));
}

#[test]
fn a_batch_that_is_told_to_stop_lets_go_of_everything() {
    let world = World::new();
    for _ in 0..3 {
        world.give::<Reads>(Value::Null);
    }
    let batch = start(&world, slots::<Reads>(2), does::<Reads>(|cx, _| until_told(cx)), TIME);
    eventually("two run", || world.store.holders() == 2);
    world.stop.set();
    assert_eq!(end(batch), [Again; 3]);
    assert_eq!((world.log.count("released"), world.own.visible()), (2, 3));
}

#[test]
fn nothing_is_begun_for_which_there_is_no_time() {
    let world = World::new();
    world.give::<Reads>(Value::Null);
    let runners = does::<Reads>(|_, _| panic!("it was run"));
    assert_eq!(end(start(&world, slots::<Reads>(1), runners, secs(6))), [Again]);
    assert_eq!((world.own.visible(), world.completed().len()), (1, 0));
}

#[test]
fn a_task_that_needs_more_time_than_there_is_fails_in_the_end() {
    let world = World::new();
    world.own.put(order("Reads", Value::Null), MAX_RECEIVES - 1);
    let batch = start(&world, slots::<Reads>(1), does::<Reads>(|cx, _| until_told(cx)), secs(30));
    eventually("it runs", || world.store.holders() == 1);
    world.time.advance_until("the batch ends", || batch.is_finished());
    assert_eq!(end(batch), [Done]);
    let errors = world.errors();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].kind, ErrorKind::Resource, "a try that counts");
    assert!(errors[0].message.contains("longer timeout"), "{errors:?}");
}

#[test]
fn a_message_whose_end_is_not_told_is_delivered_again() {
    let world = World::new();
    world.give::<Reads>(Value::Null);
    world.manager.fail(4);
    let batch =
        start(&world, slots::<Reads>(1), does::<Reads>(|_, _| Ok(Finished::default())), TIME);
    assert_eq!(end(batch), [Again]);
    assert_eq!(
        (world.log.told(), world.own.hidden()),
        (vec!["released".to_owned()], vec![secs(5)])
    );
}

#[test]
fn what_another_run_holds_comes_again_and_what_is_over_does_not() {
    let world = World::new();
    world.store.answer_claim(Claim::Busy);
    world.store.answer_claim(Claim::Stale);
    for _ in 0..3 {
        world.give::<Reads>(Value::Null);
    }
    let batch =
        start(&world, slots::<Reads>(1), does::<Reads>(|_, _| Ok(Finished::default())), TIME);
    assert_eq!(end(batch), [Again, Done, Done]);
    assert_eq!(world.own.hidden()[0], secs(5));
    let completed = world.completed();
    assert_eq!(completed.len(), 1);
    assert!(matches!(completed[0].outcome, Outcome::Succeeded { .. }));
}

#[test]
fn the_same_message_twice_in_a_batch_is_one_run() {
    let (world, gate) = (World::new(), Gate::default());
    let body = order("Reads", Value::Null);
    world.own.put(body.clone(), 0);
    world.own.put(body, 0);
    let waits = gate.clone();
    let runners = does::<Reads>(move |_, _| {
        waits.pass();
        Ok(Finished::default())
    });
    let batch = start(&world, slots::<Reads>(2), runners, TIME);
    eventually("one runs, and the other was given back", || {
        gate.count() == 1 && world.own.hidden() == [secs(5)]
    });
    gate.open();
    let mut verdicts = end(batch);
    verdicts.sort_by_key(|verdict| *verdict == Again);
    assert_eq!(verdicts, [Done, Again]);
    assert_eq!(world.completed().len(), 1);
}

#[test]
fn workers_with_a_machine_have_no_batches() {
    let world = World::new();
    let none = || does::<Scans>(|_, _| panic!("work"));
    let raw = Batch::new(slots::<Scans>(1), parts(&world, Scans::CLASS, none()));
    assert_eq!(raw.unwrap_err(), SettingsError::Batch(WorkerClass::BareMetal));
    let power = Arc::new(Switch(world.log.clone()));
    let machine = Some(Machine { instance: InstanceId("i-1".to_owned()), power });
    let with = Parts { machine, ..parts(&world, Reads::CLASS, none()) };
    assert_eq!(
        Batch::new(slots::<Reads>(1), with).unwrap_err(),
        SettingsError::Batch(WorkerClass::Internal)
    );
    let without = Parts { store: None, ..parts(&world, Reads::CLASS, none()) };
    assert_eq!(
        Batch::new(slots::<Reads>(1), without).unwrap_err(),
        SettingsError::Store(WorkerClass::Internal)
    );
}
