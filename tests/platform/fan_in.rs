//! Many tasks, and one that waits for all of them: it runs exactly once, however often anybody says that they are done.

use std::cell::RefCell;

use mrpf_embedded::Faults;
use mrpf_ports::{Queue as _, QueueName, store::TaskState};
use mrpf_tasks::{
    ErrorKind, RunId, TaskDefinition as _, TaskError, WorkerClass,
    message::{NewTask, Run, RunTask},
};
use serde_json::json;

use crate::{
    worker::{Does, Output, Worker, order},
    world::{Ask, Look, Make, Planner, World, check_books, step},
};

const CHILDREN: u32 = 1_000;
const COPIES: usize = 32;

/// Two feeders, of which one makes a thousand tasks and one ends when all those are long over; every seventh of the tasks
/// fails; every end is told 32 times, in no order. And collections that nothing is ever put into.
#[test]
fn a_thousand_children_times_32_completions_make_one_aggregator() {
    let world = World::with(Faults { is_disordered: true, ..Faults::default() }, 1_000);
    let mut plan = Planner::new();
    let (full, empty, unfed) = (plan.collection(), plan.collection(), plan.collection());
    let [early, late, barren] =
        ["early", "late", "barren"].map(|name| plan.task::<Make>(json!(name)));
    plan.feeder(early, full);
    plan.feeder(late, full);
    plan.feeder(barren, empty);
    let [of_full, of_empty, of_unfed] =
        ["of full", "of empty", "of unfed"].map(|name| plan.task::<Look>(json!(name)));
    plan.after_all(of_full, full);
    plan.after_all(of_empty, empty);
    plan.after_all(of_unfed, unfed);
    world.submit(&plan.0);
    assert_eq!(world.task(of_unfed).state, TaskState::Ready, "nothing would ever tell it");

    let mut manager = world.manager(1);
    let internal = Worker { copies: COPIES, ..Worker::new(&world, WorkerClass::Internal) };
    let external = Worker { copies: COPIES, ..Worker::new(&world, WorkerClass::External) };
    let child = |n: u32| NewTask { definition: Ask::NAME.to_owned(), input: json!(n) };
    let (late_run, ran) = (RefCell::new(None), RefCell::new(Vec::new()));
    let work = || {
        while let Some(delivery) = internal.receive() {
            let order = order(&delivery);
            let run = Run { assignment: order.assignment, run_id: RunId::fresh() };
            assert!(internal.begin(&run));
            world.queues.get(QueueName::Internal).delete(&[delivery.handle]).unwrap();
            let name = order.input.as_str().unwrap().to_owned();
            let mut output = Output::default();
            match name.as_str() {
                "early" => output.children = (0..CHILDREN).map(child).collect(),
                "late" => {
                    *late_run.borrow_mut() = Some(run);
                    continue;
                }
                _ => ran.borrow_mut().push(name),
            }
            internal.work(&run, Does::Well(output));
        }
        let mut how = |order: &RunTask| match order.input.as_u64().unwrap() % 7 {
            3 => Does::Badly(TaskError::new(ErrorKind::Input, "the seventh")),
            _ => Output::none(),
        };
        while external.step(&mut how).is_some() {}
    };
    let settle = |manager: &mut _| {
        let mut quiet = 0;
        while quiet < 3 {
            step(manager, world.now());
            work();
            quiet = if world.depth(QueueName::TaskManager) == 0 { quiet + 1 } else { 0 };
        }
    };
    settle(&mut manager);
    let collection = || world.within(|tx| tx.collection(full)).unwrap();
    let (total, done, failed) = (collection().total, collection().done, collection().failed);
    assert_eq!((total, done, failed), (CHILDREN, CHILDREN, 143));
    assert_eq!((collection().feeders, collection().completed_at), (1, None), "the late one works");
    assert_eq!(world.task(of_full).state, TaskState::Blocked);

    let run = late_run.take().expect("the late one works");
    internal.work(&run, Output::none());
    settle(&mut manager);
    let mut ran = ran.take();
    ran.sort();
    assert_eq!(ran, ["barren", "of empty", "of full", "of unfed"]);
    for id in [of_full, of_empty, of_unfed] {
        assert_eq!((world.task(id).state, world.task(id).attempt), (TaskState::Succeeded, 1));
    }
    check_books(&world, plan.id());
    assert_eq!(world.workflow(plan.id()).open, 0);
    assert!(manager.counts().taken > u64::from(CHILDREN) * 32);
    assert_eq!(manager.counts().completed, 1_000 - 143 + 3 + 3);
}
