//! Public services are asked one task at a time, and not too often, by all workers together.

use std::time::Duration;

use mrpf_ports::{Queue as _, QueueName, clock::between};
use mrpf_records::Timestamp;
use mrpf_tasks::{
    ErrorKind, RunId, TaskError, WorkerClass,
    catalogue::{CrtSh, ShodanHost},
    message::Run,
};
use serde_json::json;

use crate::{
    worker::{Does, Output, Worker, order},
    world::{Look, Planner, World, check_books, step},
};

const TICK: Duration = Duration::from_millis(100);

/// Plays `tasks` of both sources until all are over; a task takes as many ticks as `ticks` says. Gives when each was given out.
fn play(tasks: usize, ticks: impl Fn(usize) -> usize) -> (Vec<Timestamp>, Vec<Timestamp>) {
    let world = World::new();
    let mut plan = Planner::new();
    for n in 0..tasks {
        plan.task::<CrtSh>(json!({ "domain": format!("n{n}.example.org") }));
        plan.task::<ShodanHost>(json!({ "ip": format!("198.19.0.{n}") }));
    }
    world.submit(&plan.0);
    let mut managers = [world.manager(1), world.other_manager(2)];
    let worker = Worker::new(&world, WorkerClass::External);
    let (mut crt_sh, mut shodan) = (Vec::new(), Vec::new());
    let mut out: Vec<(usize, Run, &str)> = Vec::new();
    for tick in 0..100_000 {
        for manager in &mut managers {
            step(manager, world.now());
        }
        while let Some(delivery) = worker.receive() {
            let order = order(&delivery);
            world.queues.get(QueueName::External).delete(&[delivery.handle]).unwrap();
            let is_crt_sh = order.definition == "CrtSh";
            let (times, source) =
                if is_crt_sh { (&mut crt_sh, "crt.sh") } else { (&mut shodan, "shodan") };
            assert!(out.iter().all(|(_, _, other)| *other != source), "two of {source} are out");
            let run = Run { assignment: order.assignment, run_id: RunId::fresh() };
            out.push((tick + ticks(times.len()), run, source));
            times.push(world.now());
        }
        out.retain(|(end, run, _)| {
            if *end <= tick {
                worker.work(run, Output::none());
            }
            *end > tick
        });
        if world.workflow(plan.id()).open == 0 {
            check_books(&world, plan.id());
            return (crt_sh, shodan);
        }
        world.clock.pass(TICK);
    }
    panic!("the workflow does not end");
}

#[track_caller]
fn check_gaps(times: &[Timestamp], least: Duration, most: Duration) {
    for pair in times.windows(2) {
        let gap = between(pair[0], pair[1]);
        assert!(gap >= least, "{gap:?} is less than {least:?}");
        assert!(gap <= most, "{gap:?}: nobody was asked for long");
    }
}

/// From one task to the next: crt.sh five a minute, Shodan one a second, at most; and not much less.
#[test]
fn quick_tasks_are_given_out_at_the_pace_of_their_source() {
    let (crt_sh, shodan) = play(15, |_| 0);
    assert_eq!((crt_sh.len(), shodan.len()), (15, 15));
    let seconds = Duration::from_secs;
    check_gaps(&crt_sh, seconds(12), seconds(14));
    check_gaps(&shodan, seconds(1), seconds(2));
    for from in &crt_sh {
        let within = |at: &&Timestamp| *at >= from && between(*from, **at) < seconds(60);
        assert!(crt_sh.iter().filter(within).count() <= 5);
    }
}

/// The interval lies between the end of one and the next as well.
#[test]
fn slow_tasks_are_given_out_one_at_a_time() {
    let ticks = |n| [0, 200, 37, 5][n % 4];
    let (crt_sh, shodan) = play(8, ticks);
    for (times, interval) in [(crt_sh, 12_000), (shodan, 1_000)] {
        for (n, pair) in times.windows(2).enumerate() {
            let least = Duration::from_millis(interval) + TICK * u32::try_from(ticks(n)).unwrap();
            let gap = between(pair[0], pair[1]);
            // Its end was told in the tick after it.
            assert!(gap >= least, "{gap:?} after a task of {} ticks", ticks(n));
            assert!(gap <= least + Duration::from_secs(14), "{gap:?}: nobody was asked for long");
        }
    }
}

#[test]
fn a_source_that_asks_to_be_left_alone_is_left_alone() {
    let world = World::new();
    let mut plan = Planner::new();
    for n in 0..2 {
        plan.task::<ShodanHost>(json!({ "ip": format!("198.19.0.{n}") }));
    }
    world.submit(&plan.0);
    let mut manager = world.manager(1);
    let worker = Worker::new(&world, WorkerClass::External);
    step(&mut manager, world.now());
    let wait = Duration::from_secs(300);
    let limited = || Does::Badly(TaskError::new(ErrorKind::RateLimited, "429").after(wait));
    assert!(worker.step(&mut |_| limited()).is_some());
    let start = world.now();
    loop {
        step(&mut manager, world.now());
        if worker.step(&mut |_| Output::none()).is_some() {
            break;
        }
        assert!(between(start, world.now()) < Duration::from_secs(400), "never asked again");
        world.clock.pass(Duration::from_secs(1));
    }
    assert!(between(start, world.now()) >= wait, "the other task, too, had to wait");
}

/// A thousand that wait for crt.sh are in nobody's way.
#[test]
fn a_long_line_before_one_source_holds_nobody_else_up() {
    let world = World::new();
    let mut plan = Planner::new();
    for n in 0..1_000 {
        plan.task::<CrtSh>(json!({ "domain": format!("n{n}.example.org") }));
    }
    world.submit(&plan.0);
    world.clock.pass(TICK);
    let mut other = Planner::new();
    other.task::<Look>(json!(0));
    world.submit(&other.0);
    let mut manager = world.manager(1);
    let mut steps = 0;
    while Worker::new(&world, WorkerClass::Internal).step(&mut |_| Output::none()).is_none() {
        step(&mut manager, world.now());
        steps += 1;
        assert!(steps <= 6, "a thousand are five batches");
    }
    assert_eq!(manager.counts().given_out, 2);
}
