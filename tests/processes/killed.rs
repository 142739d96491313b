//! Thousands of tasks whose output differs at every run, while queues deliver twice, in no order and with stale handles, and
//! every process is killed over and over.
//!
//! ```text
//!  plan: makers --children--> collection <--members-- outside, inside      count: once the collection is complete
//!  kill -9 ---> manager, manager, external, external, internal, internal, internal ---start again--->
//!  in the end: see `books`
//! ```

use std::{
    env, thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use mrpf_tasks::{
    CollectionId,
    catalogue::{AggregateCount, AggregateInput, DataRef},
};
use mrpf_tests::{
    deeds::{Brood, Deed, Inside, MakesInside, MakesOutside, Outside, Variety, draw},
    order::Numbers,
    planner::Planner,
};

use crate::{
    books,
    world::{EXTERNAL, INTERNAL, MANAGER, Process, World},
};

/// Tasks of one plan, with the children that some make and the one that counts.
const PLAN: u32 = 500;
/// Of these, makers.
const MAKERS: u32 = 20;
/// Children of each maker.
pub(crate) const CHILDREN: u32 = 10;
/// Plans, and how long they may take on a machine that has other things to do.
const SOME: (u32, Duration) = (3, Duration::from_secs(120));
/// The same when `MRPF_FULL` is set.
const FULL: (u32, Duration) = (20, Duration::from_secs(600));
/// A process is killed after so many milliseconds at least, and at most so many more.
const PAUSE: (u64, u64) = (50, 250);

#[test]
fn every_effect_happens_once_whoever_is_killed() {
    let (plans, limit) = if env::var_os("MRPF_FULL").is_some() { FULL } else { SOME };
    let seed = env::var("MRPF_SEED").ok().map(|seed| seed.parse().expect("MRPF_SEED is a number"));
    let seed = seed.unwrap_or_else(|| {
        u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos())
    });
    println!("killed: MRPF_SEED={seed}");
    let numbers =
        Numbers { max_receives: 1_000, duplicates: 20, stale: 5, seed, ..Numbers::default() };
    let world = World::new(numbers);
    let plans: Vec<Planner> = (0..plans).map(|_| plan()).collect();
    let start = Instant::now();
    plans.iter().for_each(|plan| world.submit(&plan.0));
    let mut staff: Vec<Process> =
        [MANAGER, MANAGER, EXTERNAL, EXTERNAL, INTERNAL, INTERNAL, INTERNAL]
            .map(|role| world.start(role))
            .into();
    let (mut dice, mut kills) = (seed, 0);
    while !plans.iter().all(|plan| world.is_over(plan.0.id)) {
        assert!(start.elapsed() < limit, "not done after {limit:?} and {kills} kills");
        thread::sleep(Duration::from_millis(PAUSE.0 + draw(&mut dice) % PAUSE.1));
        let victim = draw(&mut dice) as usize % staff.len();
        let role = staff[victim].role;
        staff.swap_remove(victim).kill();
        staff.push(world.start(role));
        kills += 1;
    }
    let took = start.elapsed().as_secs_f64();
    staff.into_iter().for_each(Process::kill);
    let books = books::check(&world, &plans);
    println!("killed: {} tasks in {took:.1} s, {kills} processes killed; {books:?}", books.tasks);
    assert_eq!(books.tasks, u64::from(PLAN) * plans.len() as u64);
    assert!(books.runs > books.tasks, "no task was done twice, so nothing was tested: {books:?}");
}

/// The task that counts is the last of a plan.
fn plan() -> Planner {
    let mut planner = Planner::new();
    let all = planner.collection();
    for n in 0..MAKERS {
        let brood = Brood { children: CHILDREN, rows: all };
        let maker = match n % 2 {
            0 => planner.task::<MakesOutside>(&brood),
            _ => planner.task::<MakesInside>(&brood),
        };
        planner.member(maker, all);
        planner.feeder(maker, all);
    }
    for n in 0..PLAN - MAKERS * (1 + CHILDREN) - 1 {
        let deed = Deed::Vary(variety(n, all));
        let task = match n % 2 {
            0 => planner.task::<Outside>(&deed),
            _ => planner.task::<Inside>(&deed),
        };
        planner.member(task, all);
    }
    let count = planner.task::<AggregateCount>(&AggregateInput { from: DataRef::Collection(all) });
    planner.after_all(count, all);
    // Every loss of a worker is a try.
    planner.0.tasks.iter_mut().for_each(|task| task.max_tries = 100);
    planner
}

/// Some of one part, some of four, a few of an item that needs slices.
fn variety(n: u32, rows: CollectionId) -> Variety {
    let variety = Variety { rows: Some(rows), pause: u64::from(n % 7), ..Variety::default() };
    match n / 2 {
        n if n % 50 == 0 => Variety { items: 1, pad: 700_000, ..variety },
        n if n % 5 == 0 => Variety { items: 4, pad: 100, has_nul: true, ..variety },
        n => Variety { items: n % 4, pad: 50, ..variety },
    }
}
