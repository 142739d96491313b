//! Messages that are wrong, late, of somebody else, or in no order.

use std::time::Duration;

use mrpf_ports::{
    Queue as _, QueueName, WorkerStore as _,
    store::{Claim, Lease, TaskState},
};
use mrpf_tasks::{
    Chunk, ErrorKind, RunId, TaskDefinition as _, Ticket, WorkerClass,
    catalogue::{CrtSh, DataRef},
    message::{CompleteTask, CreateTask, Message, NewTask, Outcome, Part, Run, RunTask},
};
use serde_json::{Value, json};

use crate::{
    worker::{Does, Output, Worker, order},
    world::{Ask, Look, Make, Planner, World, check_books, step},
};

fn succeeded(parts: u32, created: u32) -> Outcome {
    Outcome::Succeeded { parts, created, branch: None, truncated: false }
}

fn end(run: Run, parts: u32, created: u32) -> Message {
    Message::CompleteTask(CompleteTask { run, outcome: succeeded(parts, created), part: None })
}

fn part(run: Run, index: u32, of: u32, item: Value) -> Message {
    let part = Some(Part { index, chunk: Chunk::Items { items: vec![item] } });
    Message::CompleteTask(CompleteTask { run, outcome: succeeded(of, 0), part })
}

fn child(run: Run, index: u32, definition: &str, input: Value) -> Message {
    let task = NewTask { definition: definition.to_owned(), input };
    Message::CreateTask(CreateTask { run, index, task })
}

/// A world with one task of a kind, given out.
fn given_out<T: mrpf_tasks::TaskDefinition>() -> (World, mrpf_manager::Manager, RunTask) {
    let world = World::new();
    let mut plan = Planner::new();
    plan.task::<T>(json!("input"));
    world.submit(&plan.0);
    let mut manager = world.manager(1);
    step(&mut manager, world.now());
    let delivery =
        world.queues.get(T::CLASS.into()).receive(1, Duration::ZERO, Duration::from_secs(60));
    let order = order(&delivery.unwrap()[0]);
    (world, manager, order)
}

fn run_of(order: &RunTask) -> Run {
    Run { assignment: order.assignment, run_id: RunId::fresh() }
}

#[test]
fn what_is_no_message_of_ours_is_kept_with_a_reason_and_in_nobodys_way() {
    let (world, mut manager, order) = given_out::<Ask>();
    let worker = Worker::new(&world, WorkerClass::External);
    for body in ["", "{", "[1]", &json!({ "v": 9 }).to_string(), &"x".repeat(1_000_000)] {
        world.send(QueueName::TaskManager, body);
    }
    worker.tell(Message::RunTask(order.clone()));
    worker.tell(end(run_of(&order), 0, 0));
    step(&mut manager, world.now());
    assert_eq!(world.depth(QueueName::TaskManager), 0);
    assert_eq!(manager.counts().buried, 6);
    assert_eq!(world.task(order.assignment.task_id).state, TaskState::Succeeded);
}

#[test]
fn who_was_not_given_a_task_cannot_speak_for_it() {
    let (world, mut manager, order) = given_out::<Make>();
    let worker = Worker::new(&world, WorkerClass::Internal);
    let run = run_of(&order);
    let mut ticket = run;
    ticket.assignment.ticket = Ticket(uuid::Uuid::new_v4());
    let mut attempt = run;
    attempt.assignment.attempt = 2;
    let mut task = run;
    task.assignment.task_id = mrpf_tasks::TaskId::fresh();
    for run in [ticket, attempt, task] {
        worker.tell(child(run, 0, Look::NAME, json!(1)));
        worker.tell(end(run, 0, 0));
    }
    step(&mut manager, world.now());
    assert_eq!((manager.counts().refused, manager.counts().buried), (6, 0));
    let task = world.task(order.assignment.task_id);
    assert_eq!((task.state, task.run_id), (TaskState::Dispatched, None));
    assert_eq!(world.within(|tx| tx.children(task.id, run.run_id)).len(), 0);
}

#[test]
fn a_task_that_declares_no_queue_access_makes_no_tasks() {
    let (world, mut manager, order) = given_out::<Look>();
    let worker = Worker::new(&world, WorkerClass::Internal);
    let run = run_of(&order);
    worker.tell(child(run, 0, Look::NAME, json!(1)));
    step(&mut manager, world.now());
    assert_eq!(manager.counts().buried, 1);
    let id = order.assignment.task_id;
    assert_eq!(world.within(|tx| tx.children(id, run.run_id)).len(), 0);
}

/// The next run would make the same child: it fails at once, and says which and why.
#[test]
fn a_child_that_nobody_can_do_fails_its_maker() {
    for (definition, input, why) in [
        ("Nothing", json!(1), "task 1 that it makes: no task is called \"Nothing\""),
        (CrtSh::NAME, json!({ "domain": "a b" }), "task 1 that it makes: domain: "),
    ] {
        let (world, mut manager, order) = given_out::<Make>();
        let worker = Worker::new(&world, WorkerClass::Internal);
        let run = run_of(&order);
        assert!(worker.begin(&run));
        worker.tell(child(run, 0, Look::NAME, json!(1)));
        worker.tell(child(run, 1, definition, input));
        worker.tell(end(run, 0, 2));
        step(&mut manager, world.now());
        let task = world.task(order.assignment.task_id);
        let error = task.error.expect("an error");
        assert_eq!((task.state, error.kind), (TaskState::Failed, ErrorKind::Input));
        assert!(error.message.starts_with(why), "{error}");
        assert_eq!(world.tasks(order.workflow_id).len(), 1);
        check_books(&world, order.workflow_id);
    }
}

/// Queues keep no order: the end may come first, and a manager be another by the time the rest does.
#[test]
fn a_run_is_complete_when_the_last_of_its_children_is_here() {
    let (world, _, order) = given_out::<Make>();
    let worker = Worker::new(&world, WorkerClass::Internal);
    let run = run_of(&order);
    assert!(worker.begin(&run));
    // Shortly before the end of its lease; it gives no sign of life after that.
    world.clock.pass(Duration::from_secs(50));
    worker.tell(end(run, 0, 3));
    for index in [2, 0, 1] {
        step(&mut world.manager(1), world.now());
        assert_eq!(world.task(order.assignment.task_id).state, TaskState::Running);
        worker.tell(child(run, index, Look::NAME, json!(index)));
        world.clock.pass(Duration::from_secs(30));
    }
    step(&mut world.manager(1), world.now());
    assert_eq!(world.task(order.assignment.task_id).state, TaskState::Succeeded);
    assert_eq!(world.tasks(order.workflow_id).len(), 4);
    check_books(&world, order.workflow_id);
}

/// What two runs of one message sent never becomes one output.
#[test]
fn the_first_complete_run_of_a_message_wins_and_no_part_of_another_stays() {
    let (world, mut manager, order) = given_out::<Ask>();
    let worker = Worker::new(&world, WorkerClass::External);
    let (one, two) = (run_of(&order), run_of(&order));
    assert!(worker.begin(&one));
    worker.tell(part(one, 0, 2, json!("one, 0")));
    step(&mut manager, world.now());
    worker.tell(part(two, 1, 2, json!("two, 1")));
    step(&mut manager, world.now());
    let id = order.assignment.task_id;
    assert_eq!(world.task(id).run_id, Some(one.run_id), "the other's lease lives");
    worker.tell(part(two, 0, 2, json!("two, 0")));
    worker.tell(part(one, 1, 2, json!("one, 1")));
    step(&mut manager, world.now());
    let task = world.task(id);
    assert_eq!((task.state, task.parts), (TaskState::Succeeded, 2));
    let stored = world.store.read(DataRef::Task(id), None, 10).unwrap();
    let texts: Vec<String> = stored
        .into_iter()
        .map(|(_, chunk)| match chunk {
            Chunk::Items { items } => items[0].as_str().unwrap().to_owned(),
            Chunk::Slice { .. } => panic!("no slice was sent"),
        })
        .collect();
    let whose = if task.run_id == Some(one.run_id) { "one" } else { "two" };
    assert_eq!(texts, [format!("{whose}, 0"), format!("{whose}, 1")]);
}

#[test]
fn a_worker_with_a_store_sends_no_parts() {
    let (world, mut manager, order) = given_out::<Look>();
    let worker = Worker::new(&world, WorkerClass::Internal);
    worker.tell(part(run_of(&order), 0, 1, json!(1)));
    step(&mut manager, world.now());
    assert_eq!(manager.counts().buried, 1);
    assert_eq!(world.task(order.assignment.task_id).state, TaskState::Dispatched);
}

/// The run of an attempt that was given up for lost.
#[test]
fn a_late_result_changes_nothing_and_the_task_is_done_again() {
    let (world, mut manager, order) = given_out::<Look>();
    let worker = Worker::new(&world, WorkerClass::Internal);
    let late = run_of(&order);
    assert!(worker.begin(&late));
    world.clock.pass(Duration::from_secs(90));
    step(&mut manager, world.now());
    let task = world.task(order.assignment.task_id);
    assert_eq!((task.state, task.tries), (TaskState::Ready, 1));
    assert_eq!(task.error.unwrap().kind, ErrorKind::WorkerLost);
    worker.tell(end(late, 0, 0));
    world.clock.pass(Duration::from_secs(5));
    step(&mut manager, world.now());
    assert_eq!(manager.counts().refused, 1);
    // The first message is still in the queue; it is stale now.
    let now = world.now();
    let lease = Lease { worker: "w", now, until: now };
    assert_eq!(world.store.claim_task(&late, &lease).unwrap(), Claim::Stale);
    while worker.step(&mut |_| Output::none()).is_none() {}
    step(&mut manager, world.now());
    let task = world.task(order.assignment.task_id);
    assert_eq!((task.state, task.attempt), (TaskState::Succeeded, 2));
}

/// A message that waits in a long queue is not lost; one that is in no queue is.
#[test]
fn a_task_that_nobody_takes_is_given_out_anew_once_its_message_is_gone() {
    let world = World::new();
    let mut plan = Planner::new();
    let id = plan.task::<Look>(json!(1));
    world.submit(&plan.0);
    let mut manager = world.manager(1);
    step(&mut manager, world.now());
    let patience = Duration::from_secs(16 * 60);
    world.clock.pass(patience);
    step(&mut manager, world.now());
    assert_eq!((world.task(id).attempt, world.depth(QueueName::Internal)), (1, 1));
    let worker = Worker::new(&world, WorkerClass::Internal);
    let lost = worker.receive().unwrap();
    world.queues.get(QueueName::Internal).delete(&[lost.handle]).unwrap();
    world.clock.pass(patience);
    step(&mut manager, world.now());
    assert_eq!((world.task(id).attempt, world.task(id).tries), (2, 0));
    assert!(worker.step(&mut |_| Does::Well(Output::default())).is_some());
}

/// Makers that make the same task make one.
#[test]
fn a_task_that_its_workflow_has_already_is_not_made_again() {
    let (world, mut manager, order) = given_out::<Make>();
    let worker = Worker::new(&world, WorkerClass::Internal);
    let run = run_of(&order);
    assert!(worker.begin(&run));
    for (index, domain) in ["a.example.org", "b.example.org", "A.example.org."].iter().enumerate() {
        let index = u32::try_from(index).unwrap();
        worker.tell(child(run, index, CrtSh::NAME, json!({ "domain": domain })));
    }
    worker.tell(end(run, 0, 3));
    step(&mut manager, world.now());
    assert_eq!(world.tasks(order.workflow_id).len(), 1 + 2);
    assert_eq!(manager.counts().deduped, 1);
    check_books(&world, order.workflow_id);
}

/// A manager that is behind does not take the silence of its own queue for that of the workers.
#[test]
fn a_sign_of_life_that_waits_in_the_queue_counts() {
    let (world, mut manager, order) = given_out::<Ask>();
    let worker = Worker::new(&world, WorkerClass::External);
    let run = run_of(&order);
    assert!(worker.begin(&run));
    step(&mut manager, world.now());
    world.clock.pass(Duration::from_secs(40));
    for _ in 0..200 {
        world.send(QueueName::TaskManager, "in the way");
    }
    assert!(worker.begin(&run));
    world.clock.pass(Duration::from_secs(40));
    for _ in 0..2 {
        step(&mut manager, world.now());
        world.clock.pass(Duration::from_secs(10));
    }
    let task = world.task(order.assignment.task_id);
    assert_eq!((task.state, task.tries), (TaskState::Running, 0));
}
