//! Machines that are taken away: what they had not begun is visible to others within seconds, what they had begun goes on
//! elsewhere.

use std::time::{Duration, Instant};

use crate::{
    account::Account,
    program::wait,
    world::{COUNT, SOON, World, postgres, scan},
};

/// From the notice until others see the messages. A notice is looked for every 5 s.
const PROMISE: Duration = Duration::from_secs(5);

#[test]
fn a_worker_that_is_told_to_end_gives_its_scan_to_another() {
    let Some((lab, postgres)) = postgres() else { return };
    let world = World::start(lab, &postgres, Account::small(), &[]);
    check(&world, Duration::ZERO, |world, id| world.machines().terminate(id));
}

#[test]
fn a_spot_notice_is_as_good() {
    let Some((lab, postgres)) = postgres() else { return };
    let world = World::start(lab, &postgres, Account::small(), &[]);
    let look = Duration::from_secs(5);
    check(&world, look, |world, id| world.machines().give_spot_notice(id));
}

/// Ends the first machine in the middle of a scan by `notice`, which is seen within `look`.
#[track_caller]
fn check(world: &World<'_>, look: Duration, notice: impl Fn(&World<'_>, &str)) {
    let _manager = world.manager();
    let id = world.submit(&scan(800));
    wait("the scan has not begun", SOON, || (world.seen().syns_open > COUNT / 4).then_some(()));
    let machine = world.machines().at_work().pop().expect("a machine");
    let cloud = world.account.cloud();
    let queue = world.account.queue("bare-metal");
    let begin = Instant::now();
    notice(world, &machine);
    // Whoever is next has it, or it is there for them.
    wait("the message is not visible", PROMISE + look, || {
        let messages = cloud.queues().messages(&queue);
        messages.iter().any(|it| it.is_visible || it.receives > 1).then_some(())
    });
    eprintln!("visible {:.1} s after the notice", begin.elapsed().as_secs_f64());
    world.ends(&id, "succeeded", Duration::from_secs(180));
    let again = world.seen().syns_open - COUNT;
    assert!(again <= 1_000, "{again} SYNs were sent twice: it began anew");
    world.check_found(&id);
    let said = world.machines().said(&machine);
    assert!(said.contains("Stopped"), "{said}");
}
