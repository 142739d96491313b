//! Any plan, any order of messages, any losses on the way: it ends as it must, which a few lines can say beforehand.

use std::time::Duration;

use mrpf_embedded::Faults;
use mrpf_ports::store::{TaskState, WorkflowState};
use mrpf_tasks::{
    ErrorKind, TaskDefinition as _, TaskError, TaskId, WorkerClass,
    message::{NewTask, RunTask},
    workflow::On,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    worker::{Does, Output, Worker},
    world::{Ask, Draw, Look, Make, Planner, World, check_books, step},
};

/// A task of a plan to be.
#[derive(Clone, Debug)]
struct Sketch {
    kind: u8,
    /// How it ends: badly, or well with a verdict or none.
    ends: Option<Option<bool>>,
    /// Tasks before it that it waits for, as it finds them.
    waits: Vec<(prop::sample::Index, usize)>,
    /// Of two collections.
    member_of: Option<bool>,
    feeds: Option<bool>,
    children: u8,
    /// It waits for a collection instead, if none of the tasks from here on is in it.
    waits_for_all_of: Option<bool>,
}

fn sketch() -> impl Strategy<Value = Sketch> {
    let ends = prop_oneof![1 => Just(None), 4 => any::<Option<bool>>().prop_map(Some)];
    let waits = prop::collection::vec((any::<prop::sample::Index>(), 0..5_usize), 0..3);
    (
        0..3_u8,
        ends,
        waits,
        any::<Option<bool>>(),
        any::<Option<bool>>(),
        0..4_u8,
        any::<Option<bool>>(),
    )
        .prop_map(|(kind, ends, waits, member_of, feeds, children, waits_for_all_of)| Sketch {
            kind,
            ends,
            waits,
            member_of,
            feeds,
            children,
            waits_for_all_of,
        })
}

/// The plan, and how its tasks must end.
fn plan(sketches: &[Sketch]) -> (Planner, Vec<(TaskId, TaskState)>) {
    let mut plan = Planner::new();
    let collections = [plan.collection(), plan.collection()];
    let mut ends: Vec<(TaskId, TaskState)> = Vec::new();
    for (at, sketch) in sketches.iter().enumerate() {
        let word = match sketch.ends {
            None => "badly",
            Some(None) => "well",
            Some(Some(true)) => "true",
            Some(Some(false)) => "false",
        };
        let input = json!({ "ends": word, "children": sketch.children });
        let id = match sketch.kind {
            0 => plan.task::<Ask>(input),
            1 => plan.task::<Look>(input),
            _ => plan.task::<Make>(input),
        };
        let mut is_skipped = false;
        let mut waited = Vec::new();
        for (index, on) in &sketch.waits {
            let on = On::ALL[*on];
            let Some(other) = (at > 0).then(|| index.index(at)) else { continue };
            if waited.contains(&(other, on)) {
                continue;
            }
            waited.push((other, on));
            let (other_id, state) = ends[other];
            plan.after_task(id, other_id, on);
            let verdict = sketches[other].ends.flatten();
            let is_met = match on {
                On::Succeeded => state == TaskState::Succeeded,
                On::Failed => state == TaskState::Failed,
                On::Finished => true,
                On::True => state == TaskState::Succeeded && verdict == Some(true),
                On::False => state == TaskState::Succeeded && verdict == Some(false),
            };
            is_skipped |= !is_met;
        }
        if let Some(which) = sketch.waits_for_all_of {
            let is_in = |it: &Sketch| {
                it.member_of == Some(which) || it.kind == 2 && it.feeds == Some(which)
            };
            // It must not wait for itself, through others either: all who are in it stand before all who wait for it.
            if !sketches[at..].iter().any(is_in) {
                plan.after_all(id, collections[usize::from(which)]);
            }
        }
        if let Some(which) = sketch.member_of {
            plan.member(id, collections[usize::from(which)]);
        }
        if let Some(which) = sketch.feeds.filter(|_| sketch.kind == 2) {
            plan.feeder(id, collections[usize::from(which)]);
        }
        let state = match sketch.ends {
            _ if is_skipped => TaskState::Skipped,
            None => TaskState::Failed,
            Some(_) => TaskState::Succeeded,
        };
        ends.push((id, state));
    }
    for task in &mut plan.0.tasks {
        task.max_tries = 1_000;
    }
    (plan, ends)
}

/// What the input says.
fn does(order: &RunTask, draw: &mut Draw) -> Does {
    // What a task of the plan made says nothing.
    let Value::Object(input) = &order.input else { return Output::none() };
    let branch = match input["ends"].as_str() {
        Some("badly") => return Does::Badly(TaskError::new(ErrorKind::Input, "as planned")),
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => None,
    };
    let is_maker = order.definition == Make::NAME;
    let children = if is_maker { input["children"].as_u64().unwrap() } else { 0 };
    let children = (0..children)
        .map(|n| NewTask {
            definition: if n % 2 == 0 { Ask::NAME } else { Look::NAME }.to_owned(),
            input: json!(n),
        })
        .collect();
    let output = Output { parts: vec![json!(1)], children, branch };
    if draw.is(10) {
        return Does::Dies(output, usize::try_from(draw.below(3)).unwrap());
    }
    Does::Well(output)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_ends_as_it_must(
        sketches in prop::collection::vec(sketch(), 1..9),
        seed in any::<u64>(),
    ) {
        let faults = Faults { duplicates: 20, stale: 10, is_disordered: true, seed };
        let world = World::with(faults, 10_000);
        let (plan, ends) = plan(&sketches);
        world.submit(&plan.0);
        let mut managers = [world.manager(seed), world.other_manager(!seed)];
        let workers = [WorkerClass::External, WorkerClass::Internal].map(|it| Worker::new(&world, it));
        let mut draw = Draw(seed);
        for round in 0.. {
            prop_assert!(round < 5_000, "it does not end");
            let which = usize::try_from(draw.below(2)).unwrap();
            step(&mut managers[which], world.now());
            for worker in &workers {
                if draw.is(70) {
                    worker.step(&mut |order| does(order, &mut draw));
                }
            }
            if world.workflow(plan.id()).open == 0 {
                break;
            }
            world.clock.pass(Duration::from_millis(draw.below(5_000)));
        }
        let mut made = 0;
        for ((id, state), sketch) in ends.iter().zip(&sketches) {
            prop_assert_eq!(world.task(*id).state, *state);
            if *state == TaskState::Succeeded && sketch.kind == 2 {
                made += usize::from(sketch.children);
                for n in 0..u32::from(sketch.children) {
                    prop_assert_eq!(world.task(id.child(n)).parent_id, Some(*id));
                }
            }
        }
        prop_assert_eq!(world.tasks(plan.id()).len(), sketches.len() + made);
        let has_failed = ends.iter().any(|(_, state)| *state == TaskState::Failed);
        let state = if has_failed { WorkflowState::Failed } else { WorkflowState::Succeeded };
        prop_assert_eq!(world.workflow(plan.id()).state, state);
        check_books(&world, plan.id());
    }
}
