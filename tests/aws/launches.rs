//! One machine a slot, whatever is lost on the way, and never more than there may be.

use std::time::Duration;

use mrpf_cloud::{Answer, Fault};

use crate::{
    account::Account,
    program::wait,
    world::{HOSTS, SOON, World, postgres, scan},
};

/// A reconciler looks every 30 s.
const AFTER_A_LOOK: Duration = Duration::from_secs(150);

#[test]
fn a_launch_whose_answer_was_lost_with_its_manager_is_one_machine() {
    let Some((lab, postgres)) = postgres() else { return };
    let world = World::start(lab, &postgres, Account::small(), &[]);
    let cloud = world.account.cloud();
    let mut manager = world.manager();
    cloud.faults().add(Fault::on("RunInstances", Answer::DropAfter).times(u32::MAX));
    let id = world.submit(&scan(4_000));
    wait("nothing is launched", SOON, || (!cloud.ec2().instances().is_empty()).then_some(()));
    manager.kill();
    cloud.faults().clear();
    let _manager = world.manager();
    world.ends(&id, "succeeded", AFTER_A_LOOK);
    world.check_found(&id);
    let instances = cloud.ec2().instances();
    assert_eq!(instances.len(), 1, "{instances:?}");
    assert_eq!(instances[0].shutdown_behavior, "terminate");
    assert!(cloud.misuses().is_empty(), "{:?}", cloud.misuses());
}

#[test]
fn without_capacity_the_task_waits_and_is_done_when_there_is_some() {
    let Some((lab, postgres)) = postgres() else { return };
    let world = World::start(lab, &postgres, Account::small(), &[]);
    let cloud = world.account.cloud();
    let mut manager = world.manager();
    cloud.faults().add(
        Fault::on("RunInstances", Answer::error("InsufficientInstanceCapacity")).times(u32::MAX),
    );
    let id = world.submit(&scan(4_000));
    manager.says("no machine for now", SOON);
    let asked = |cloud: &mrpf_cloud::Cloud| {
        let calls = cloud.calls();
        // `serve` has looked by dry runs whether it may.
        let is_launch = |call: &&mrpf_cloud::Call| {
            call.operation == "RunInstances" && call.param("DryRun") != Some("true")
        };
        calls.iter().filter(is_launch).count()
    };
    // Five types in two subnets, one attempt of HTTP each.
    let asked_first = asked(cloud);
    assert_eq!(asked_first, 10);
    assert_eq!(world.rows(&format!("status {id} --json"))[0]["state"], "running");
    cloud.faults().clear();
    world.ends(&id, "succeeded", AFTER_A_LOOK);
    world.check_found(&id);
    assert_eq!(asked(cloud), asked_first + 1);
}

#[test]
fn three_managers_with_a_late_describe_never_have_more_than_five_machines() {
    const MOST: usize = 5;
    const SCANS: u32 = 12;
    let Some((lab, postgres)) = postgres() else { return };
    let world = World::start(lab, &postgres, Account::small(), &[("MAX_BARE_METAL_WORKERS", "5")]);
    let cloud = world.account.cloud();
    cloud.ec2().set_lag(Duration::from_secs(30));
    let managers = [world.manager(), world.manager(), world.manager()];
    let scan = |n: u32| {
        format!(
            "[[task]]\nname = \"scan-{n}\"\nrun = \"TcpSynScan\"\ninput = {{ targets = [\"198.19.{n}.0/24\"], ports = \"80\", \
             rate = 400, retries = 0, cooldown_secs = 1, seed = 7 }}\n"
        )
    };
    let scans: String = (0..SCANS).map(scan).collect();
    let many = format!("name = \"many\"\nscope = {{ addresses = [\"{HOSTS}\"] }}\n{scans}");
    for _ in 0..2 {
        let id = world.submit(&many);
        world.ends(&id, "succeeded", Duration::from_secs(240));
        let rows = world.rows(&format!("results {id}"));
        let open = rows.iter().filter(|row| row["item"]["state"] == "open").count();
        assert_eq!(open as u32, SCANS * 256);
        // What comes next comes when workers have gone and their machines have not.
        wait("workers do not go", SOON, || world.machines().at_work().is_empty().then_some(()));
    }
    // As EC2 itself sees it, at every moment.
    let most = cloud.ec2().most_at_a_time();
    assert!((2..=MOST).contains(&most), "{most} at a time");
    // Each slot and generation had one machine.
    let mut names: Vec<_> = cloud
        .ec2()
        .instances()
        .iter()
        .map(|it| (it.tags.get("mrpf:slot").cloned(), it.tags.get("mrpf:generation").cloned()))
        .collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all, "{names:?}");
    drop(managers);
}
