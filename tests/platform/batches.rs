//! How much a manager does at once, and that much at once is in nobody's way.

use std::{
    thread,
    time::{Duration, Instant},
};

use mrpf_ports::{
    Queue as _, QueueName,
    clock::{SystemClock, Wake},
    store::WorkflowState,
};
use mrpf_tasks::{
    RunId, WorkerClass,
    message::{CompleteTask, Envelope, Message, Outcome, Run},
};
use serde_json::json;

use crate::{
    worker::{Output, Worker, order},
    world::{Ask, Look, Planner, World, check_books, step},
};

/// A disk is waited for once a transaction, so what a task costs the manager is how many it shares one with: two thousand
/// tasks take some tens of steps, not thousands. (`benches/platform.rs` has the time.)
#[test]
fn thousands_of_tasks_share_their_transactions() {
    const TASKS: usize = 2_000;
    let world = World::on_disk();
    let mut plan = Planner::new();
    for n in 0..TASKS {
        plan.task::<Ask>(json!(n));
    }
    world.submit(&plan.0);
    let mut manager = world.manager(1);
    let queue = world.queues.get(QueueName::External);
    let mut steps = 0;
    while world.workflow(plan.id()).open > 0 {
        step(&mut manager, world.now());
        steps += 1;
        let taken = queue.receive(TASKS, Duration::ZERO, Duration::from_secs(60)).unwrap();
        let ends: Vec<String> = taken
            .iter()
            .map(|delivery| {
                let run = Run { assignment: order(delivery).assignment, run_id: RunId::fresh() };
                let outcome =
                    Outcome::Succeeded { parts: 0, created: 0, branch: None, truncated: false };
                let end = Message::CompleteTask(CompleteTask { run, outcome, part: None });
                Envelope::new(end, world.now()).to_json().unwrap()
            })
            .collect();
        world.queues.get(QueueName::TaskManager).send(&ends).unwrap();
        let handles: Vec<_> = taken.into_iter().map(|delivery| delivery.handle).collect();
        queue.delete(&handles).unwrap();
    }
    assert_eq!(world.workflow(plan.id()).state, WorkflowState::Succeeded);
    assert!(steps <= TASKS / 50, "{steps} steps for {TASKS} tasks");
    check_books(&world, plan.id());
}

/// Five thousand tasks become ready: the message of another workflow that comes then is taken in by the next step, and each
/// step does no more than a batch.
#[test]
fn thousands_that_become_ready_at_once_do_not_hold_up_messages() {
    let world = World::new();
    let mut other = Planner::new();
    let waits = other.task::<Look>(json!("other"));
    world.submit(&other.0);
    let mut manager = world.manager(1);
    step(&mut manager, world.now());
    let mut plan = Planner::new();
    for n in 0..5_000 {
        plan.task::<Ask>(json!(n));
    }
    world.submit(&plan.0);
    assert!(Worker::new(&world, WorkerClass::Internal).step(&mut |_| Output::none()).is_some());
    let again = step(&mut manager, world.now());
    assert!(world.task(waits).state.is_final());
    assert_eq!(again, world.now(), "there is more to do");
    assert_eq!(manager.counts().given_out, 1 + 200);
    assert_eq!(world.depth(QueueName::External), 200);
}

/// The loop itself, by the system's clock.
#[test]
fn a_manager_works_until_it_is_told_to_stop() {
    let world = World::new();
    let mut plan = Planner::new();
    let all = plan.collection();
    for n in 0..20 {
        let member = plan.task::<Ask>(json!(n));
        plan.member(member, all);
    }
    let last = plan.task::<Look>(json!("last"));
    plan.after_all(last, all);
    world.submit(&plan.0);
    let stop = Wake::default();
    let mut manager = world.manager(1);
    thread::scope(|scope| {
        let running = scope.spawn(|| manager.run(&SystemClock, &stop));
        let workers =
            [WorkerClass::External, WorkerClass::Internal].map(|class| Worker::new(&world, class));
        let end = Instant::now() + Duration::from_secs(60);
        while world.workflow(plan.id()).open > 0 {
            assert!(Instant::now() < end, "it does not end");
            for worker in &workers {
                worker.step(&mut |_| Output::none());
            }
        }
        stop.set();
        running.join().unwrap();
    });
    assert_eq!(manager.counts().completed, 21);
    check_books(&world, plan.id());
}
