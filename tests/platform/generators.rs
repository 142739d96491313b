//! Tasks that make tasks that make tasks.

use mrpf_ports::store::{TaskState, WorkflowState};
use mrpf_tasks::{
    TaskDefinition as _, WorkerClass,
    message::{NewTask, RunTask},
};
use serde_json::{Value, json};

use crate::{
    worker::{Does, Output, Worker},
    world::{Look, Make, Planner, World, check_books, step},
};

/// What a generator of a level makes: a tree of three levels with 4 x 5 leaves.
fn does(order: &RunTask) -> Does {
    let child =
        |definition: &str, input: Value| NewTask { definition: definition.to_owned(), input };
    let children = match order.input.as_str().unwrap_or("leaf") {
        "root" => (0..4).map(|_| child(Make::NAME, json!("branch"))).collect(),
        "branch" => (0..5).map(|n| child(Look::NAME, json!(n))).collect(),
        _ => Vec::new(),
    };
    Does::Well(Output { children, ..Output::default() })
}

/// No parent waits for its children, so one worker is enough for any tree.
#[test]
fn a_tree_of_three_levels_is_done_by_one_worker() {
    let world = World::new();
    let mut plan = Planner::new();
    let all = plan.collection();
    let root = plan.task::<Make>(json!("root"));
    plan.feeder(root, all);
    let last = plan.task::<Look>(json!("last"));
    plan.after_all(last, all);
    world.submit(&plan.0);
    let mut manager = world.manager(1);
    let worker = Worker::new(&world, WorkerClass::Internal);
    let mut order = Vec::new();
    // Each time around one task at most is worked on.
    for _ in 0..100 {
        step(&mut manager, world.now());
        order.extend(worker.step(&mut does).map(|order| order.input));
        if world.workflow(plan.id()).open == 0 {
            break;
        }
    }
    assert_eq!(world.workflow(plan.id()).state, WorkflowState::Succeeded);
    assert_eq!(order.len(), 1 + 4 + 20 + 1);
    assert_eq!(order.last(), Some(&json!("last")), "who waits for all comes last");
    let branches = world.tasks(plan.id()).into_iter().filter(|task| task.parent_id == Some(root));
    for branch in branches {
        assert_eq!((branch.member_of, branch.feeds), (Some(all), Some(all)));
    }
    check_books(&world, plan.id());
}

/// A generator whose first run dies half-way, and a second one that is quicker: the children of one run come to life, and once.
#[test]
fn a_repeated_generator_makes_no_second_child() {
    let world = World::new();
    let mut plan = Planner::new();
    let root = plan.task::<Make>(json!("root"));
    world.submit(&plan.0);
    let mut manager = world.manager(1);
    step(&mut manager, world.now());
    let worker = Worker::new(&world, WorkerClass::Internal);
    let whole = |order: &RunTask| match does(order) {
        Does::Well(output) => output,
        other => panic!("{other:?}"),
    };
    worker.step(&mut |order| Does::Dies(whole(order), 3)).expect("a first run");
    step(&mut manager, world.now());
    assert_eq!(world.tasks(plan.id()).len(), 1, "children of a run that is not complete");
    world.clock.pass(std::time::Duration::from_secs(61));
    let twice = Worker { copies: 2, ..Worker::new(&world, WorkerClass::Internal) };
    twice.step(&mut |order| Does::Well(whole(order))).expect("a second run");
    for _ in 0..3 {
        step(&mut manager, world.now());
    }
    let mut children: Vec<_> = world.tasks(plan.id()).iter().map(|task| task.id).collect();
    children.retain(|id| *id != root);
    children.sort();
    let mut expected: Vec<_> = (0..4).map(|n| root.child(n)).collect();
    expected.sort();
    assert_eq!(children, expected);
    assert_eq!(world.task(root).state, TaskState::Succeeded);
    check_books(&world, plan.id());
}
