//! What workers do not have: external ones the store, and some of them a kind of task.

use std::{fs, path::Path, time::Duration};

use mrpf_tests::{
    deeds::{Deed, Inside, Outside, Variety},
    order::Numbers,
    planner::Planner,
};

use crate::world::{EXTERNAL, INTERNAL, MANAGER, Process, World};

const LIMIT: Duration = Duration::from_secs(60);

/// Everything of a process that may name a file: its arguments, what it has open and what is mapped.
fn files(process: &Process) -> String {
    let folder = Path::new("/proc").join(process.id().to_string());
    let read = |name| {
        let octets = fs::read(folder.join(name)).unwrap();
        String::from_utf8_lossy(&octets).into_owned()
    };
    let mut files = [read("cmdline"), read("environ"), read("maps")].join("\n");
    for entry in fs::read_dir(folder.join("fd")).unwrap() {
        // One that was closed since is gone.
        if let Ok(path) = fs::read_link(entry.unwrap().path()) {
            files += &format!("\n{}", path.display());
        }
    }
    files
}

#[test]
fn an_external_worker_never_has_the_store() {
    let world = World::new(Numbers::default());
    let mut planner = Planner::new();
    let until = world.path("enough");
    let sit = Deed::Sit { until: until.clone(), is_obedient: true };
    let sitting = [planner.task::<Outside>(&sit), planner.task::<Inside>(&sit)];
    // Parts of all sizes are sent while it is looked at.
    for n in 0..200 {
        let pad = if n % 20 == 0 { 700_000 } else { 100 };
        planner.task::<Outside>(&Deed::Vary(Variety {
            items: 2,
            pad,
            pause: 5,
            ..Default::default()
        }));
    }
    world.submit(&planner.0);
    let _manager = world.start(MANAGER);
    let (external, internal) = (world.start(EXTERNAL), world.start(INTERNAL));
    let mut looks = 0;
    world.until("all but those that wait have ended", LIMIT, || {
        let journal = world.journal();
        if journal.iter().any(|(process, ..)| *process == external.id()) {
            let files = files(&external);
            assert!(!files.contains("store.db"), "{files}");
            assert!(files.contains("queue.db"), "where are its queues? {files}");
            looks += 1;
        }
        let open = "SELECT count(*) FROM task WHERE state NOT IN ('succeeded', 'running')";
        let running = "SELECT count(*) FROM task WHERE state = 'running'";
        let ask =
            |sql| world.sql("store.db").query_row(sql, (), |row| row.get::<_, u32>(0)).unwrap();
        ask(open) == 0 && ask(running) == 2
    });
    assert!(looks >= 3, "{looks} looks");
    // What is looked for would be seen.
    assert!(sitting.iter().all(|task| world.journal().iter().any(|(_, other, _)| task == other)));
    assert!(files(&internal).contains("store.db"));
    fs::write(until, "").unwrap();
    world.until("the workflow is over", LIMIT, || world.is_over(planner.0.id));
    assert!(!files(&external).contains("store.db"));
}

#[test]
fn what_a_worker_does_not_know_is_given_back_and_said_once() {
    // The manager has the patience to let messages be hidden for the while for which they are given back.
    let world = World::new(Numbers { lease: 20_000, ..Numbers::default() });
    let mut planner = Planner::new();
    let deed = Deed::Vary(Variety { items: 1, ..Variety::default() });
    let tasks = [(); 3].map(|()| planner.task::<Outside>(&deed));
    world.submit(&planner.0);
    let _manager = world.start(MANAGER);
    let ignorant = world.start_without(EXTERNAL, &["Outside"]);
    let received = || {
        let sql = "SELECT coalesce(sum(receives), 0) FROM message WHERE queue = 'external'";
        world.sql("queue.db").query_row(sql, (), |row| row.get::<_, usize>(0)).unwrap()
    };
    world.until("each message was received", LIMIT, || received() >= tasks.len());
    // Long before they are to be seen again.
    let knowing = world.start(EXTERNAL);
    world.until("the workflow is over", LIMIT, || world.is_over(planner.0.id));

    let log = world.log();
    let said: Vec<&str> =
        log.lines().filter(|line| line.contains("this worker does not know it")).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("definition=\"Outside\"") && said[0].contains("ERROR"), "{said:?}");
    let by: Vec<u32> = world.journal().iter().map(|(process, ..)| *process).collect();
    assert_eq!(by, [knowing.id(); 3], "{} does not know it", ignorant.id());
    for task in tasks {
        let sql = "SELECT state || ' ' || tries FROM task WHERE id = ?1";
        let row: String =
            world.sql("store.db").query_row(sql, [task.to_string()], |row| row.get(0)).unwrap();
        assert_eq!(row, "succeeded 0", "it is no failure");
    }
}
