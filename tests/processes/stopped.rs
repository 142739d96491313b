//! SIGTERM: what a worker has is others' again at once, whether it had begun or not.

use std::{
    thread,
    time::{Duration, Instant},
};

use mrpf_ports::{Queue as _, QueueName};
use mrpf_tests::{
    deeds::{Deed, Inside, Variety},
    order::Numbers,
    planner::Planner,
};
use rusqlite::{Connection, TransactionBehavior};

use crate::world::{INTERNAL, MANAGER, Process, World};

const LIMIT: Duration = Duration::from_secs(60);
/// From the signal on.
const VISIBLE: Duration = Duration::from_secs(5);
/// What a worker has by default is hidden for much longer than anybody waits here.
const NUMBERS: Numbers = Numbers {
    lease: 60_000,
    grace: 15_000,
    stop_grace: 2_000,
    slots: 4,
    max_receives: 10,
    duplicates: 0,
    stale: 0,
    seed: 0,
};

/// Messages of the internal queue that are hidden, and those that are not.
fn messages(world: &World) -> (u32, u32) {
    let sql = "SELECT count(*) FILTER (WHERE hidden), count(*) FILTER (WHERE NOT hidden) FROM
               (SELECT visible_at > unixepoch('subsec') * 1000000 AS hidden FROM message WHERE queue = 'internal')";
    world.sql("queue.db").query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

/// How often each message of the internal queue has been delivered, this time included, the least first.
fn deliveries(world: &World) -> Vec<u32> {
    let queue = world.queues.get(QueueName::Internal);
    let taken = queue.receive(10, Duration::ZERO, Duration::from_secs(60)).unwrap();
    let mut counts: Vec<u32> = taken.iter().map(|delivery| delivery.receive_count).collect();
    counts.sort_unstable();
    counts
}

/// Gives all tasks of a plan out, and ends the manager.
fn give_out(world: &World, planner: &Planner) {
    world.submit(&planner.0);
    let manager = world.start(MANAGER);
    let all = u32::try_from(planner.0.tasks.len()).unwrap();
    world.until("all are given out", LIMIT, || messages(world) == (0, all));
    manager.kill();
}

/// Ends a worker, and waits until nothing is hidden any more. It must end well by itself.
fn end(world: &World, mut worker: Process, at_once: impl FnOnce()) {
    let start = Instant::now();
    worker.ask_to_end();
    at_once();
    world.until("nothing is hidden", VISIBLE.saturating_sub(start.elapsed()), || {
        messages(world).0 == 0
    });
    let mut status = None;
    world.until("the worker has ended", LIMIT, || {
        status = worker.ended();
        status.is_some()
    });
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
}

#[test]
fn what_runs_is_given_back_whether_it_obeys_or_not() {
    let world = World::new(NUMBERS);
    let mut planner = Planner::new();
    let until = world.path("never");
    for is_obedient in [true, false, true, false] {
        planner.task::<Inside>(&Deed::Sit { until: until.clone(), is_obedient });
    }
    // For these there is no room.
    for _ in 0..3 {
        planner.task::<Inside>(&Deed::Vary(Variety::default()));
    }
    give_out(&world, &planner);
    let worker = world.start(INTERNAL);
    world.until("its slots are full", LIMIT, || world.journal().len() == NUMBERS.slots);
    assert_eq!(messages(&world), (4, 3), "no message is taken for which there is no room");
    end(&world, worker, || {});
    let states =
        "SELECT count(*) FROM task WHERE state = 'dispatched' AND run_id IS NULL AND tries = 0";
    let released: u32 = world.sql("store.db").query_row(states, (), |row| row.get(0)).unwrap();
    assert_eq!(released, 7, "whoever comes next may claim them");
    assert_eq!(deliveries(&world), [1, 1, 1, 2, 2, 2, 2]);
}

#[test]
fn what_was_taken_and_not_begun_is_given_back() {
    taken_and_not_begun(true);
}

#[test]
fn what_cannot_begin_is_given_back() {
    taken_and_not_begun(false);
}

/// Nobody claims a task while somebody else writes, who ends before the worker does, or not.
fn taken_and_not_begun(is_in_time: bool) {
    let world = World::new(NUMBERS);
    let mut planner = Planner::new();
    for _ in 0..3 {
        planner.task::<Inside>(&Deed::Vary(Variety { items: 3, ..Variety::default() }));
    }
    give_out(&world, &planner);
    let mut writer = Connection::open(world.path("store.db")).unwrap();
    let lock = writer.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let worker = world.start(INTERNAL);
    world.until("all are taken", LIMIT, || messages(&world) == (3, 0));
    let mut lock = Some(lock);
    end(&world, worker, || {
        if is_in_time {
            thread::sleep(Duration::from_millis(500));
            lock = None;
        }
    });
    assert_eq!(deliveries(&world), [2, 2, 2]);
}
