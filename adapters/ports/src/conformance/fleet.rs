//! What a [`Fleet`] must do.

use std::{collections::BTreeSet, thread};

use super::eventually;
use crate::{Fleet, Instance, InstanceId, InstanceState};

/// A fleet to be tried.
pub trait Bench: Sync {
    /// The fleet: without instances, and with room for six. Its workers stay until they are ended.
    fn fleet(&self) -> &dyn Fleet;
    /// Ends an instance from outside, as a worker that idles out or a machine that fails.
    fn lose(&self, id: &InstanceId);
}

/// Makes a `#[test]` of each case; the argument makes a [`Bench`](crate::conformance::fleet::Bench).
#[macro_export]
macro_rules! fleet_conformance {
    ($make:expr) => {
        $crate::conformance_tests! { $make, fleet:
            a_launched_instance_is_listed_with_its_slot
            the_same_launch_again_is_the_same_instance
            eight_threads_that_launch_the_same_get_one_instance
            a_slot_taken_again_has_another_instance
            a_terminated_instance_is_gone_and_the_others_live
            an_instance_that_ends_by_itself_is_gone
            what_is_no_instance_is_gone_already
        }
    };
}

fn find(fleet: &dyn Fleet, id: &InstanceId) -> Option<Instance> {
    fleet.list().unwrap().into_iter().find(|instance| instance.id == *id)
}

fn lives(fleet: &dyn Fleet, id: &InstanceId) -> bool {
    find(fleet, id).is_some_and(|instance| instance.state == InstanceState::Live)
}

fn is_gone(fleet: &dyn Fleet, id: &InstanceId) -> bool {
    find(fleet, id).is_none_or(|instance| instance.state == InstanceState::Gone)
}

/// After a while.
pub fn a_launched_instance_is_listed_with_its_slot(bench: &dyn Bench) {
    let fleet = bench.fleet();
    assert_eq!(fleet.list().unwrap(), []);
    let ids = [fleet.launch(1, 1).unwrap(), fleet.launch(2, 7).unwrap()];
    assert_ne!(ids[0], ids[1]);
    for (id, slot) in ids.iter().zip([(1, 1), (2, 7)]) {
        eventually("a live instance", || lives(fleet, id));
        assert_eq!(find(fleet, id).unwrap().slot, Some(slot));
    }
}

/// A manager that was killed in between asks again.
pub fn the_same_launch_again_is_the_same_instance(bench: &dyn Bench) {
    let fleet = bench.fleet();
    let id = fleet.launch(3, 2).unwrap();
    assert_eq!(fleet.launch(3, 2).unwrap(), id);
    eventually("a live instance", || lives(fleet, &id));
    assert_eq!(fleet.list().unwrap().len(), 1);
    fleet.terminate(&id).unwrap();
    // It is over, and no reason for another.
    assert_eq!(fleet.launch(3, 2).unwrap(), id);
    eventually("a gone instance", || is_gone(fleet, &id));
}

/// However many managers there are.
pub fn eight_threads_that_launch_the_same_get_one_instance(bench: &dyn Bench) {
    let fleet = bench.fleet();
    let ids: BTreeSet<InstanceId> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| fleet.launch(1, 1).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(ids.len(), 1, "{ids:?}");
    eventually("one instance", || fleet.list().unwrap().len() == 1);
}

/// The next generation.
pub fn a_slot_taken_again_has_another_instance(bench: &dyn Bench) {
    let fleet = bench.fleet();
    let first = fleet.launch(1, 1).unwrap();
    fleet.terminate(&first).unwrap();
    let second = fleet.launch(1, 2).unwrap();
    assert_ne!(first, second);
    eventually("the second alone", || is_gone(fleet, &first) && lives(fleet, &second));
}

/// And stays so.
pub fn a_terminated_instance_is_gone_and_the_others_live(bench: &dyn Bench) {
    let fleet = bench.fleet();
    let (one, other) = (fleet.launch(1, 1).unwrap(), fleet.launch(2, 1).unwrap());
    eventually("two live instances", || lives(fleet, &one) && lives(fleet, &other));
    fleet.terminate(&one).unwrap();
    eventually("a gone instance", || is_gone(fleet, &one));
    fleet.terminate(&one).unwrap();
    assert!(is_gone(fleet, &one) && lives(fleet, &other));
}

/// The reconciler frees its slot.
pub fn an_instance_that_ends_by_itself_is_gone(bench: &dyn Bench) {
    let fleet = bench.fleet();
    let id = fleet.launch(1, 1).unwrap();
    eventually("a live instance", || lives(fleet, &id));
    bench.lose(&id);
    eventually("a gone instance", || is_gone(fleet, &id));
}

/// No error: somebody else was faster, or it was another manager's.
pub fn what_is_no_instance_is_gone_already(bench: &dyn Bench) {
    bench.fleet().terminate(&InstanceId("i-00000000000000000".to_owned())).unwrap();
    assert_eq!(bench.fleet().list().unwrap(), []);
}
