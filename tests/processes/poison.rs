//! Tasks that end the process of their worker, every time.

use std::time::Duration;

use mrpf_tasks::catalogue::{AggregateCount, AggregateInput, DataRef};
use mrpf_tests::{
    deeds::{Deed, Inside, Outside, Variety},
    order::Numbers,
    planner::Planner,
};

use crate::world::{EXTERNAL, INTERNAL, MANAGER, World};

const MAX_RECEIVES: u32 = 3;
/// Tasks of each class that mean no harm.
const OTHERS: u32 = 5;

#[test]
fn what_kills_its_workers_becomes_a_dead_letter_and_its_collection_goes_on() {
    let world = World::new(Numbers {
        max_receives: MAX_RECEIVES,
        // Who shares a worker with such a task is lost with it: none does.
        slots: 1,
        // A worker is back before the manager takes its task for lost, which would make a message more.
        grace: 60_000,
        ..Numbers::default()
    });
    let mut planner = Planner::new();
    let all = planner.collection();
    let poison = [planner.task::<Outside>(&Deed::Abort), planner.task::<Inside>(&Deed::Abort)];
    poison.iter().for_each(|task| planner.member(*task, all));
    let harmless = Deed::Vary(Variety { items: 1, rows: Some(all), ..Variety::default() });
    for _ in 0..OTHERS {
        let tasks = [planner.task::<Outside>(&harmless), planner.task::<Inside>(&harmless)];
        tasks.iter().for_each(|task| planner.member(*task, all));
    }
    let count = planner.task::<AggregateCount>(&AggregateInput { from: DataRef::Collection(all) });
    planner.after_all(count, all);
    world.submit(&planner.0);

    let mut staff = [MANAGER, EXTERNAL, INTERNAL].map(|role| world.start(role));
    let mut ended = 0;
    world.until("the workflow is over", Duration::from_secs(120), || {
        for process in &mut staff {
            if let Some(status) = process.ended() {
                assert_ne!(process.role, MANAGER, "{status}");
                ended += 1;
                *process = world.start(process.role);
            }
        }
        world.is_over(planner.0.id)
    });
    // A delivery may find the lease of the run before it alive still, and kills nobody then.
    assert!((4..=2 * MAX_RECEIVES).contains(&ended), "{ended} workers were killed by a task");

    let store = world.sql("store.db");
    let ask = |sql: &str| -> Vec<String> {
        let mut find = store.prepare(sql).unwrap();
        find.query_map((), |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let failed = "SELECT id || ' ' || json_extract(error, '$.kind') FROM task WHERE state <> 'succeeded' ORDER BY id";
    assert_eq!(ask(failed), poison.map(|task| format!("{task} dead-lettered")));
    assert_eq!(ask("SELECT queue FROM dead_letter ORDER BY queue"), ["external", "internal"]);
    let members = 2 + 2 * OTHERS;
    let collection = "SELECT done || ' of ' || total || ', failed ' || failed FROM task_collection
                      WHERE completed_at IS NOT NULL";
    assert_eq!(ask(collection), [format!("{members} of {members}, failed 2")]);
    assert_eq!(world.items(count)[0]["count"], 2 * OTHERS);
}
