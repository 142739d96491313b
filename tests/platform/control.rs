//! What people do to a platform while it works.

use std::time::Duration;

use mrpf_manager::control;
use mrpf_ports::{
    Queue as _, QueueName, WorkerStore as _,
    clock::{after, between},
    store::{Claim, Lease, Renewal, TaskState, WorkflowState},
};
use mrpf_tasks::{
    RunId, WorkerClass,
    catalogue::ShodanHost,
    message::{Run, RunTask},
    workflow::On,
};
use serde_json::json;

use crate::{
    worker::{Does, Output, Worker, order},
    world::{Ask, Look, Planner, World, check_books, step},
};

fn lease(world: &World) -> Lease<'static> {
    let now = world.now();
    Lease { worker: "w", now, until: after(now, Duration::from_secs(60)) }
}

/// Takes the one order that is there and begins it.
fn begun(world: &World) -> Run {
    let worker = Worker::new(world, WorkerClass::Internal);
    let order = order(&worker.receive().expect("an order"));
    let run = Run { assignment: order.assignment, run_id: RunId::fresh() };
    assert!(worker.begin(&run));
    run
}

#[test]
fn cancelling_ends_every_task_and_what_comes_later_is_dropped() {
    let world = World::new();
    let mut plan = Planner::new();
    let running = plan.task::<Look>(json!(1));
    let next = plan.task::<Look>(json!(2));
    let queued = plan.task::<Ask>(json!(3));
    plan.after_task(next, running, On::Succeeded);
    world.submit(&plan.0);
    let mut other = Planner::new();
    let bystander = other.task::<Ask>(json!(4));
    world.submit(&other.0);
    let mut manager = world.manager(1);
    step(&mut manager, world.now());
    let run = begun(&world);
    assert_eq!(control::cancel(&*world.store, plan.id(), world.now()).unwrap(), Some(3));
    for id in [running, next, queued] {
        assert_eq!(world.task(id).state, TaskState::Cancelled);
    }
    let workflow = world.workflow(plan.id());
    assert_eq!((workflow.state, workflow.open), (WorkflowState::Cancelled, 0));
    // The worker that runs it is told, and what it says then is too late.
    assert_eq!(world.store.renew_task(&run, &lease(&world), None).unwrap(), Renewal::Stop);
    Worker::new(&world, WorkerClass::Internal).work(&run, Output::none());
    let external = Worker::new(&world, WorkerClass::External);
    while external.step(&mut |_| Output::none()).is_some() {}
    for _ in 0..3 {
        world.clock.pass(Duration::from_secs(100));
        step(&mut manager, world.now());
    }
    assert_eq!(world.task(running).state, TaskState::Cancelled);
    assert_eq!(world.task(bystander).state, TaskState::Succeeded);
    assert_eq!(world.depth(QueueName::Internal), 1, "the order, which its worker deletes as stale");
    check_books(&world, plan.id());
    // Again, and of what is not there.
    assert_eq!(control::cancel(&*world.store, plan.id(), world.now()).unwrap(), Some(0));
    let nowhere = Planner::new().id();
    assert_eq!(control::cancel(&*world.store, nowhere, world.now()).unwrap(), None);
}

/// Workers give messages back while the platform is stopped, so often that they die: no task may fail of that.
#[test]
fn a_stopped_platform_gives_nothing_out_and_goes_on_where_it_was() {
    let world = World::new();
    let mut plan = Planner::new();
    let (first, second) = (plan.task::<Look>(json!(1)), plan.task::<Look>(json!(2)));
    plan.after_task(second, first, On::Succeeded);
    let queued = plan.task::<Look>(json!(3));
    world.submit(&plan.0);
    let mut manager = world.manager(1);
    step(&mut manager, world.now());
    let run = begun(&world);
    let done = run.assignment.task_id;
    control::stop(&*world.store).unwrap();
    assert_eq!(world.store.renew_task(&run, &lease(&world), None).unwrap(), Renewal::Stop);
    // It was almost done, and ends: what follows is not given out.
    Worker::new(&world, WorkerClass::Internal).work(&run, Output::none());
    let queue = world.queues.get(QueueName::Internal);
    // Not as long as a task that was given out is waited for.
    for _ in 0..12 {
        step(&mut manager, world.now());
        for delivery in queue.receive(10, Duration::ZERO, Duration::from_secs(60)).unwrap() {
            let order = order(&delivery);
            if order.assignment.task_id == done {
                queue.delete(&[delivery.handle]).unwrap();
                continue;
            }
            let run = Run { assignment: order.assignment, run_id: RunId::fresh() };
            assert_eq!(world.store.claim_task(&run, &lease(&world)).unwrap(), Claim::Busy);
            queue.extend(&delivery.handle, Duration::from_secs(5)).unwrap();
        }
        world.clock.pass(Duration::from_secs(60));
    }
    assert_eq!(queue.dead_letters().unwrap().depth().unwrap().visible, 1, "given back too often");
    let other = if done == first { queued } else { first };
    assert_eq!(world.task(other).state, TaskState::Dispatched);
    control::resume(&*world.store, world.now()).unwrap();
    let worker = Worker::new(&world, WorkerClass::Internal);
    let mut ran: Vec<RunTask> = Vec::new();
    for _ in 0..5 {
        step(&mut manager, world.now());
        ran.extend(worker.step(&mut |_| Does::Well(Output::default())));
        world.clock.pass(Duration::from_secs(5));
    }
    assert_eq!(ran.len(), 2, "the rest, and each once");
    assert_eq!(world.workflow(plan.id()).state, WorkflowState::Succeeded);
    assert!(world.tasks(plan.id()).iter().all(|task| task.tries == 0));
    check_books(&world, plan.id());
}

/// Its external worker is told by nobody, and may be asking still.
#[test]
fn the_source_of_a_cancelled_task_is_left_alone_for_a_while() {
    let world = World::new();
    let [mut plan, mut other] = [Planner::new(), Planner::new()];
    let input = || json!({ "ip": "198.19.0.1" });
    plan.task::<ShodanHost>(input());
    world.submit(&plan.0);
    let mut manager = world.manager(1);
    step(&mut manager, world.now());
    control::cancel(&*world.store, plan.id(), world.now()).unwrap();
    let next = other.task::<ShodanHost>(input());
    world.submit(&other.0);
    let start = world.now();
    while world.task(next).attempt == 0 {
        world.clock.pass(Duration::from_secs(1));
        step(&mut manager, world.now());
    }
    let waited = between(start, world.now());
    assert!((60..130).contains(&waited.as_secs()), "{waited:?}");
}
