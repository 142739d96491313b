//! Launches whose end nobody has heard, instances that are not shown yet, and several managers at once: one instance for each
//! slot and generation all the same.

use std::{collections::BTreeSet, thread, time::Duration};

use mrpf_cloud::{Answer, Fault};
use mrpf_ports::{Fleet as _, InstanceState, LaunchError};

use crate::region::{Region, SUBNETS};

/// Longer than any test.
const LAG: Duration = Duration::from_secs(30);

#[test]
fn an_answer_that_is_lost_and_a_manager_that_is_killed_leave_one_instance() {
    for lag in [Duration::ZERO, LAG] {
        let region = Region::new();
        region.lag(lag);
        region.cloud.faults().add(Fault::on("RunInstances", Answer::DropAfter).times(u32::MAX));
        let launched = region.fleet().launch(1, 1);
        assert!(matches!(launched, Err(LaunchError::Unknown(_))), "{launched:?}");
        assert_eq!(region.instances(), 1);
        let tokens: BTreeSet<_> = region
            .launches()
            .iter()
            .map(|it| it.param("ClientToken").unwrap().to_owned())
            .collect();
        assert_eq!(tokens.len(), 1, "the same again, and nothing else");

        region.cloud.faults().clear();
        // A manager that knows nothing of the first one.
        let fleet = region.fleet();
        let id = fleet.launch(1, 1).unwrap();
        assert_eq!(fleet.launch(1, 1).unwrap(), id);
        let listed = fleet.list().unwrap();
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!((&listed[0].id, listed[0].slot), (&id, Some((1, 1))));
        assert_eq!(region.instances(), 1, "with a lag of {lag:?}");
    }
}

#[test]
fn a_lost_answer_is_asked_for_again_within_the_same_launch() {
    let region = Region::new();
    // As many as the SDK tries: the launch itself asks again.
    region.cloud.faults().add(Fault::on("RunInstances", Answer::DropAfter).times(3));
    region.fleet().launch(1, 1).unwrap();
    assert_eq!(region.launches().len(), 4);
    assert_eq!(region.instances(), 1);
}

#[test]
fn trouble_of_ec2s_own_that_lasts_is_a_doubt_and_no_reason_for_another_combination() {
    let region = Region::new();
    region
        .cloud
        .faults()
        .add(Fault::on("RunInstances", Answer::error("InternalError")).times(u32::MAX));
    let launched = region.fleet().launch(1, 1);
    let Err(LaunchError::Unknown(why)) = launched else { panic!("{launched:?}") };
    assert!(why.contains("InternalError"), "{why}");
    let subnets: BTreeSet<_> =
        region.launches().iter().map(|it| it.param("SubnetId").map(str::to_owned)).collect();
    assert_eq!((region.launches().len(), subnets.len()), (6, 1), "twice, of three attempts each");
}

#[test]
fn three_managers_that_see_nothing_for_30_s_have_one_instance_a_slot() {
    let region = Region::new();
    region.lag(LAG);
    let fleets = [(); 3].map(|()| region.fleet());
    let ids: Vec<_> = thread::scope(|scope| {
        let threads = fleets.each_ref().map(|fleet| {
            scope.spawn(move || {
                (1..=5).map(|slot| fleet.launch(slot, 1).unwrap()).collect::<Vec<_>>()
            })
        });
        threads.map(|thread| thread.join().unwrap()).into()
    });
    assert_eq!(ids[0], ids[1]);
    assert_eq!(ids[0], ids[2]);
    assert_eq!(ids[0].iter().collect::<BTreeSet<_>>().len(), 5);
    assert_eq!(region.instances(), 5);
    for fleet in &fleets {
        let listed = fleet.list().unwrap();
        assert_eq!(listed.len(), 5, "what EC2 does not show yet counts: {listed:?}");
        assert!(listed.iter().all(|it| it.state == InstanceState::Live));
    }
    assert_eq!(region.cloud.misuses().len(), 0);
}

#[test]
fn a_burst_of_throttling_is_waited_out() {
    let region = Region::new();
    let throttled = Fault::on("RunInstances", Answer::error("RequestLimitExceeded")).times(4);
    region.cloud.faults().add(throttled);
    region.fleet().launch(1, 1).unwrap();
    let launches = region.launches();
    assert_eq!(launches.len(), 5);
    assert!(launches.iter().all(|it| it.param("SubnetId") == launches[0].param("SubnetId")));
    assert_eq!(region.instances(), 1);
    // Looking is throttled too, now and then.
    let throttled = Fault::on("DescribeInstances", Answer::error("RequestLimitExceeded")).times(2);
    region.cloud.faults().add(throttled);
    assert_eq!(region.fleet().list().unwrap().len(), 1);
}

#[test]
fn an_instance_that_is_taken_back_for_want_of_capacity_is_no_room() {
    let region = Region::new();
    let fleet = region.fleet();
    let id = fleet.launch(1, 1).unwrap();
    let why = "There was insufficient capacity available to satisfy the launch request";
    region.cloud.ec2().reclaim(&id.0, "Server.InsufficientInstanceCapacity", why);
    let listed = fleet.list().unwrap();
    assert_eq!((&listed[0].id, listed[0].state), (&id, InstanceState::Gone));
    assert!(listed[0].reason.as_deref().is_some_and(|it| it.contains("capacity")), "{listed:?}");
    assert_ne!(fleet.launch(1, 2).unwrap(), id);
    let subnets: Vec<_> =
        region.launches().iter().map(|it| it.param("SubnetId").unwrap().to_owned()).collect();
    assert_eq!(subnets, SUBNETS[..2]);
}

#[test]
fn a_stopped_instance_is_a_leak_and_is_ended() {
    let region = Region::new();
    let fleet = region.fleet();
    let id = region.stopped((1, 1));
    assert_eq!(fleet.list().unwrap()[0].state, InstanceState::Gone);
    let ended: Vec<_> = region
        .cloud
        .calls()
        .into_iter()
        .filter(|it| it.operation == "TerminateInstances")
        .collect();
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].param("InstanceId.1"), Some(id.0.as_str()));
}

#[test]
fn a_list_of_several_pages_is_read_to_its_end() {
    let region = Region::new();
    region.cloud.ec2().set_longest_page(3);
    let fleet = region.fleet();
    let ids: BTreeSet<_> = (1..=8).map(|slot| fleet.launch(slot, 1).unwrap()).collect();
    // One that has launched nothing knows only what it is shown.
    let listed: BTreeSet<_> = region.fleet().list().unwrap().into_iter().map(|it| it.id).collect();
    assert_eq!(listed, ids);
}
