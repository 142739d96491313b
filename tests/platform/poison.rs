//! Tasks that kill whoever takes them.

use std::time::Duration;

use mrpf_embedded::Faults;
use mrpf_ports::store::{TaskState, WorkflowState};
use mrpf_tasks::{ErrorKind, WorkerClass, message::RunTask, workflow::On};
use serde_json::json;

use crate::{
    worker::{Does, Output, Worker},
    world::{Ask, Look, Planner, World, check_books, step},
};

fn does(order: &RunTask) -> Does {
    if order.input == "poison" { Does::Dies(Output::default(), 0) } else { Output::none() }
}

/// Plays a collection with a poison task of a class in it, until the workflow is over; `visibility` decides what is
/// quicker, dead letters or leases.
#[track_caller]
fn check<T: mrpf_tasks::TaskDefinition>(world: &World, visibility: u64, ends: ErrorKind) {
    let mut plan = Planner::new();
    let all = plan.collection();
    let poison = plan.task::<T>(json!("poison"));
    plan.member(poison, all);
    for n in 0..5 {
        let member = plan.task::<T>(json!(n));
        plan.member(member, all);
    }
    let last = plan.task::<Look>(json!("last"));
    plan.after_all(last, all);
    let consoles = plan.task::<Look>(json!("consoles"));
    plan.after_task(consoles, poison, On::Failed);
    world.submit(&plan.0);
    let mut manager = world.manager(1);
    let workers = [WorkerClass::External, WorkerClass::Internal].map(|class| Worker {
        visibility: Duration::from_secs(visibility),
        ..Worker::new(world, class)
    });
    for _ in 0..2_000 {
        step(&mut manager, world.now());
        for worker in &workers {
            while worker.step(&mut does).is_some() {}
        }
        if world.workflow(plan.id()).open == 0 {
            break;
        }
        world.clock.pass(Duration::from_secs(5));
    }
    let task = world.task(poison);
    assert_eq!((task.state, task.error.unwrap().kind), (TaskState::Failed, ends));
    assert_eq!(world.task(last).state, TaskState::Succeeded);
    assert_eq!(world.task(consoles).state, TaskState::Succeeded);
    let workflow = world.workflow(plan.id());
    assert_eq!((workflow.state, workflow.failed), (WorkflowState::Failed, 1));
    let collection = world.within(|tx| tx.collection(all)).unwrap();
    assert_eq!((collection.done, collection.failed), (6, 1));
    check_books(world, plan.id());
    assert_eq!(manager.counts().buried > 0, ends == ErrorKind::DeadLettered);
}

/// Its message becomes a dead letter before a lease is over for good.
#[test]
fn a_poison_task_fails_with_its_dead_letter_and_its_collection_goes_on() {
    let mut world = World::with(Faults::default(), 3);
    world.settings.grace = Duration::from_secs(3_600);
    check::<Look>(&world, 60, ErrorKind::DeadLettered);
    check::<Ask>(&world, 60, ErrorKind::DeadLettered);
    // And when the letter is there while the last run's lease still lives.
    check::<Ask>(&world, 10, ErrorKind::DeadLettered);
}

/// Its message is hidden for longer than its lease goes, so its tries are used up before that.
#[test]
fn a_poison_task_fails_when_it_was_lost_too_often() {
    let world = World::with(Faults::default(), 1_000);
    check::<Look>(&world, 600, ErrorKind::WorkerLost);
    check::<Ask>(&world, 600, ErrorKind::WorkerLost);
}
