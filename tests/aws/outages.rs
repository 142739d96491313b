//! A database that is gone, queues that fail: nothing is lost, and each outage is a line in the log and not a thousand.

use std::{thread, time::Duration};

use mrpf_cloud::{Answer, Fault};

use crate::{
    account::Account,
    world::{COUNT, SOON, World, postgres, scan},
};

#[test]
fn a_database_that_is_gone_for_half_a_minute_loses_nothing() {
    let Some((lab, postgres)) = postgres() else { return };
    let world = World::start(lab, &postgres, Account::small(), &[]);
    let manager = world.manager();
    let id = world.submit(&scan(400));
    crate::program::wait("the scan has not begun", SOON, || {
        (world.seen().syns_open > COUNT / 8).then_some(())
    });
    postgres.stop();
    thread::sleep(Duration::from_secs(30));
    postgres.start_again();
    world.ends(&id, "succeeded", Duration::from_secs(240));
    world.check_found(&id);
    check_lines(&manager.said());
}

#[test]
fn queues_that_fail_and_throttle_lose_nothing() {
    let Some((lab, postgres)) = postgres() else { return };
    let world = World::start(lab, &postgres, Account::small(), &[]);
    let cloud = world.account.cloud();
    let manager = world.manager();
    for (operation, code) in [
        ("SendMessageBatch", "ServiceUnavailable"),
        ("SendMessageBatch", "RequestThrottled"),
        ("ReceiveMessage", "InternalFailure"),
        ("DeleteMessageBatch", "ServiceUnavailable"),
        ("ChangeMessageVisibility", "RequestThrottled"),
    ] {
        cloud.faults().add(Fault::on(operation, Answer::error(code)).times(12));
    }
    cloud.faults().add(Fault::on("SendMessageBatch", Answer::DropAfter).times(2));
    let id = world.submit(&scan(2_000));
    world.ends(&id, "succeeded", Duration::from_secs(240));
    world.check_found(&id);
    check_lines(&manager.said());
    // Retries are bounded. What has no such id are the calls of the event source mappings.
    let mut attempts = std::collections::HashMap::<String, u32>::new();
    for invocation in cloud.calls().into_iter().filter_map(|call| call.invocation) {
        *attempts.entry(invocation).or_default() += 1;
    }
    assert_eq!(attempts.into_values().max(), Some(3));
}

/// A few lines that say what is away, and not one a try.
#[track_caller]
fn check_lines(said: &str) {
    // What the template could be better at is said at the start; each attempt of the SDK after the first is a line too.
    let is_other =
        |line: &str| line.contains("mrpf_manager::serve") || line.contains("mrpf_aws::retries");
    let is_loud = |line: &str| line.contains("WARN") || line.contains("ERROR");
    let lines: Vec<_> = said.lines().filter(|line| is_loud(line) && !is_other(line)).collect();
    assert!((1..=6).contains(&lines.len()), "{} lines:\n{}", lines.len(), lines.join("\n"));
}
