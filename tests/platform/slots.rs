//! Machines for bare-metal workers: never more than there may be, and one wherever there is something to do.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use mrpf_embedded::SqliteStore;
use mrpf_manager::{Manager, Outside, control, free_all_slots, status};
use mrpf_ports::{
    Fleet, FleetError, Instance, InstanceId, LaunchError, ManagerStore as _, WorkerStore as _,
    clock::after,
    store::{SlotRow, SlotState, Tx, WorkflowState},
};
use mrpf_tasks::WorkerClass;
use serde_json::json;

use crate::{
    fleet::Machines,
    worker::{Output, Worker},
    world::{Draw, Planner, Scan, World, check_books, step},
};

fn scans(world: &World, count: usize) -> Planner {
    let mut plan = Planner::new();
    for n in 0..count {
        plan.task::<Scan>(json!(n));
    }
    for task in &mut plan.0.tasks {
        task.max_tries = 1_000;
    }
    world.submit(&plan.0);
    plan
}

fn slots(world: &World) -> Vec<SlotRow> {
    world.within(|tx| tx.slots())
}

fn states(world: &World) -> Vec<SlotState> {
    slots(world).iter().map(|slot| slot.state).collect()
}

/// Steps once after `seconds`.
fn later(world: &World, manager: &mut Manager, seconds: u64) {
    world.clock.pass(Duration::from_secs(seconds));
    step(manager, world.now());
}

/// Says for a machine that its worker is up, for a minute.
fn live(world: &World, id: &InstanceId) -> bool {
    world.store.live_slot(&id.0, after(world.now(), Duration::from_secs(60))).unwrap()
}

/// Threads for managers, as if each were a process; this one plays all machines, of which one in some dies with its task.
#[test]
fn three_managers_that_race_never_have_more_machines_than_there_may_be() {
    let world = World::new();
    let plan = scans(&world, 60);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 0..3 {
            let (world, is_over) = (&world, &is_over);
            scope.spawn(move || {
                let mut manager = world.other_manager(seed);
                while !is_over.load(Ordering::Relaxed) {
                    step(&mut manager, world.now());
                }
            });
        }
        let mut draw = Draw(7);
        let worker = Worker::new(&world, WorkerClass::BareMetal);
        let mut idle: BTreeMap<InstanceId, u32> = BTreeMap::new();
        let mut going: Vec<InstanceId> = Vec::new();
        for _ in 0..20_000 {
            going.retain(|id| {
                let is_off = draw.is(30);
                if is_off {
                    world.machines.off(id);
                }
                !is_off
            });
            for id in world.machines.live() {
                if !live(&world, &id) {
                    continue;
                }
                if draw.is(3) {
                    world.machines.off(&id);
                } else if worker.step(&mut |_| Output::none()).is_some() {
                    idle.remove(&id);
                } else {
                    let idle = idle.entry(id.clone()).or_default();
                    *idle += 1;
                    if *idle > 3 {
                        // Off a while after its worker has ended.
                        assert!(world.store.drain_slot(&id.0).unwrap());
                        world.machines.goes(&id);
                        going.push(id);
                    }
                }
            }
            if world.workflow(plan.id()).open == 0 {
                break;
            }
            world.clock.pass(Duration::from_millis(draw.below(3_000)));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(world.workflow(plan.id()).state, WorkflowState::Succeeded);
    let most = world.machines.most();
    assert!((2..=5).contains(&most), "{most} at a time");
    check_books(&world, plan.id());
}

#[test]
fn as_many_machines_are_launched_as_there_are_tasks_and_each_finds_its_slot() {
    let world = World::new();
    scans(&world, 2);
    let mut manager = world.manager(1);
    step(&mut manager, world.now());
    later(&world, &mut manager, 5);
    assert_eq!(world.machines.launches(), 2);
    for id in world.machines.live() {
        assert!(live(&world, &id));
    }
    assert!(!live(&world, &InstanceId("i-elsewhere".to_owned())));
    use SlotState::{Free, Live};
    assert_eq!(states(&world), [Live, Live, Free, Free, Free]);
}

#[test]
fn a_platform_that_is_stopped_launches_nothing() {
    let world = World::new();
    control::stop(&*world.store).unwrap();
    scans(&world, 2);
    let mut manager = world.manager(1);
    for _ in 0..3 {
        later(&world, &mut manager, 30);
    }
    assert_eq!(world.machines.launches(), 0);
}

/// The task stays, and a machine is asked for again when there may be one.
#[test]
fn without_capacity_it_is_tried_again_later() {
    for (error, wait) in [
        (LaunchError::Exhausted("nothing in any zone".to_owned()), 60),
        (LaunchError::Refused("no such template".to_owned()), 600),
    ] {
        let world = World::new();
        let plan = scans(&world, 3);
        world.machines.next_launch(error);
        let mut manager = world.manager(1);
        step(&mut manager, world.now());
        // What it asked for in the same breath has come; no more is asked for.
        assert_eq!((world.machines.launches(), world.machines.live().len()), (3, 2));
        for _ in 0..wait / 30 {
            assert!(world.machines.live().iter().all(|id| live(&world, id)));
            assert_eq!(world.machines.launches(), 3);
            later(&world, &mut manager, 30);
        }
        later(&world, &mut manager, 1);
        assert_eq!((world.machines.launches(), world.machines.live().len()), (4, 3));
        assert_eq!(world.workflow(plan.id()).open, 3);
    }
}

/// A lost answer: the same machine, by the same slot and generation, and no second one.
#[test]
fn a_launch_in_doubt_is_asked_for_again_and_makes_one_machine() {
    let world = World::new();
    scans(&world, 1);
    world.machines.next_answer_is_lost();
    step(&mut world.manager(1), world.now());
    assert_eq!(slots(&world)[0].instance_id, None);
    let id = world.machines.live().pop().expect("it was launched");
    assert!(!live(&world, &id), "its slot is not written yet");
    // By another manager: this one was lost as well.
    later(&world, &mut world.manager(2), 31);
    assert_eq!(slots(&world)[0].instance_id.as_ref(), Some(&id.0));
    assert!(live(&world, &id));
    assert_eq!((world.machines.live().len(), slots(&world)[0].generation), (1, 1));
}

/// The manager was lost between taking the slot and asking for the machine, or nobody ever hears of it.
#[test]
fn a_launch_that_came_to_nothing_is_given_up_after_its_lease() {
    let world = World::new();
    scans(&world, 1);
    let mut manager = world.manager(1);
    world.machines.next_launch(LaunchError::Unknown("timeout".to_owned()));
    step(&mut manager, world.now());
    assert_eq!((states(&world)[0], world.machines.live().len()), (SlotState::Launching, 0));
    world.machines.next_launch(LaunchError::Unknown("timeout".to_owned()));
    later(&world, &mut manager, 31);
    assert_eq!(slots(&world)[0].generation, 1, "asked again for the same");
    later(&world, &mut manager, 300);
    assert_eq!((slots(&world)[0].generation, world.machines.live().len()), (2, 1));
}

#[test]
fn the_slot_of_a_machine_that_is_gone_is_free_and_its_task_gets_another() {
    let world = World::new();
    let plan = scans(&world, 1);
    let mut manager = world.manager(1);
    step(&mut manager, world.now());
    let first = world.machines.live().pop().unwrap();
    assert!(live(&world, &first));
    world.machines.off(&first);
    later(&world, &mut manager, 31);
    let second = world.machines.live().pop().expect("another");
    assert_ne!(first, second);
    assert!(!live(&world, &first) && live(&world, &second));
    assert!(Worker::new(&world, WorkerClass::BareMetal).step(&mut |_| Output::none()).is_some());
    step(&mut manager, world.now());
    assert_eq!(world.workflow(plan.id()).state, WorkflowState::Succeeded);
}

/// A worker that goes has its place until its machine is gone, and a task that waits for it gets it at once then.
#[test]
fn a_place_is_free_when_the_machine_in_it_is_gone_and_not_before() {
    let mut world = World::new();
    world.settings.max_bare_metal_workers = 1;
    let first = scans(&world, 1);
    let mut manager = world.manager(1);
    step(&mut manager, world.now());
    let going = world.machines.live().pop().unwrap();
    assert!(live(&world, &going));
    assert!(Worker::new(&world, WorkerClass::BareMetal).step(&mut |_| Output::none()).is_some());
    step(&mut manager, world.now());
    assert_eq!(world.workflow(first.id()).state, WorkflowState::Succeeded);
    assert!(world.store.drain_slot(&going.0).unwrap());
    scans(&world, 1);
    let asked = world.machines.lists();
    for second in 0..20 {
        if second == 10 {
            world.machines.goes(&going);
        }
        later(&world, &mut manager, 1);
        assert_eq!((states(&world)[0], world.machines.launches()), (SlotState::Draining, 1));
    }
    let asked = world.machines.lists() - asked;
    assert!((7..=11).contains(&asked), "{asked} times in 20 s");
    world.machines.off(&going);
    for _ in 0..3 {
        later(&world, &mut manager, 1);
    }
    assert_eq!((states(&world)[0], world.machines.launches()), (SlotState::Launching, 2));
    assert!(live(&world, &world.machines.live()[0]));
    // Nothing is about to go any more.
    let asked = world.machines.lists();
    for _ in 0..20 {
        later(&world, &mut manager, 1);
    }
    assert!(world.machines.lists() - asked <= 1);
}

/// Somebody ends it from outside: its worker is no capacity from then on, and another place is taken for the task.
#[test]
fn a_machine_that_is_about_to_go_keeps_its_place_and_is_no_capacity() {
    let world = World::new();
    scans(&world, 1);
    let mut manager = world.manager(1);
    step(&mut manager, world.now());
    let going = world.machines.live().pop().unwrap();
    assert!(live(&world, &going));
    world.machines.goes(&going);
    later(&world, &mut manager, 31);
    use SlotState::{Draining, Free, Launching};
    assert_eq!(states(&world), [Draining, Launching, Free, Free, Free]);
    assert_eq!((world.machines.live().len(), world.machines.ended().len()), (1, 0));
    world.machines.off(&going);
    later(&world, &mut manager, 3);
    assert_eq!(states(&world), [Free, Launching, Free, Free, Free]);
}

/// One machine for all: whoever runs the platform there knows that its workers ended with it.
#[test]
fn whoever_knows_that_no_machine_is_left_waits_for_none() {
    let world = World::new();
    scans(&world, 3);
    step(&mut world.manager(1), world.now());
    assert!(live(&world, &world.machines.live()[0]));
    free_all_slots(&*world.store).unwrap();
    let left = slots(&world);
    assert!(left.iter().all(|slot| slot.state == SlotState::Free && slot.instance_id.is_none()));
    assert_eq!(left[0].generation, 1, "the next machine has another name");
}

#[test]
fn a_machine_whose_worker_is_silent_is_ended() {
    let world = World::new();
    scans(&world, 1);
    let mut manager = world.manager(1);
    step(&mut manager, world.now());
    let silent = world.machines.live().pop().unwrap();
    assert!(live(&world, &silent));
    later(&world, &mut manager, 59);
    assert_eq!(world.machines.ended(), []);
    later(&world, &mut manager, 32);
    assert_eq!(world.machines.ended(), std::slice::from_ref(&silent));
    later(&world, &mut manager, 31);
    assert!(!live(&world, &silent));
    assert_eq!(world.machines.live().len(), 1, "the task is still to be done");
}

/// Were their slots free, there would be as many again each time.
#[test]
fn machines_that_cannot_be_ended_keep_their_slots_and_are_in_nobodys_way() {
    let world = World::new();
    scans(&world, 20);
    let mut manager = world.manager(1);
    step(&mut manager, world.now());
    let machines = world.machines.live();
    let most = machines.len();
    assert_eq!(most, 5);
    for id in &machines {
        assert!(live(&world, id));
    }
    for id in &machines[..4] {
        world.machines.stays(id, true);
    }
    for _ in 0..10 {
        world.clock.pass(Duration::from_secs(31));
        manager.step(world.now());
    }
    assert_eq!((world.machines.most(), world.machines.live().len()), (most, most));
    assert!(world.machines.ended().contains(&machines[4]), "the last was ended all the same");
    world.machines.stays(&machines[0], false);
    for _ in 0..2 {
        world.clock.pass(Duration::from_secs(31));
        manager.step(world.now());
    }
    assert!(!live(&world, &machines[0]));
    assert_eq!(world.machines.most(), most);
}

/// A machine that holds no slot would be one more than there may be.
#[test]
fn a_machine_without_a_slot_is_ended() {
    let world = World::new();
    scans(&world, 1);
    let mut manager = world.manager(1);
    step(&mut manager, world.now());
    let machine = world.machines.live().pop().unwrap();
    assert!(live(&world, &machine));
    let mut slot = slots(&world).remove(0);
    slot.state = SlotState::Free;
    slot.instance_id = None;
    slot.lease_until = None;
    world.within(|tx| tx.put_slot(&slot));
    later(&world, &mut manager, 31);
    assert_eq!(world.machines.ended(), [machine]);
}

#[test]
fn slots_follow_their_number_and_those_too_many_retire_when_they_are_free() {
    let mut world = World::new();
    scans(&world, 3);
    step(&mut world.manager(1), world.now());
    let machines = world.machines.live();
    assert_eq!(machines.len(), 3);
    for id in &machines {
        assert!(live(&world, id));
    }
    world.settings.max_bare_metal_workers = 2;
    let mut manager = world.manager(2);
    step(&mut manager, world.now());
    let surplus = |world: &World| -> Vec<u32> {
        slots(world).iter().filter(|slot| slot.is_surplus).map(|slot| slot.slot).collect()
    };
    use SlotState::{Free, Live};
    assert_eq!(surplus(&world), [3, 4, 5]);
    assert_eq!(states(&world), [Live, Live, Live, Free, Free], "its worker may finish");
    assert!(world.store.drain_slot(&machines[2].0).unwrap());
    world.machines.off(&machines[2]);
    for _ in 0..3 {
        for id in &machines[..2] {
            assert!(live(&world, id));
        }
        later(&world, &mut manager, 31);
    }
    assert_eq!(states(&world), [Live, Live, Free, Free, Free], "nobody takes the third again");
    assert_eq!(status::platform(&*world.store).unwrap().slots.len(), 2);
    // Not even when no other is free and a task needs one.
    for id in &machines[..2] {
        assert!(world.store.drain_slot(&id.0).unwrap());
    }
    later(&world, &mut manager, 1);
    assert_eq!(states(&world)[2], Free);
    for id in &machines[..2] {
        assert!(live(&world, id));
    }
    world.settings.max_bare_metal_workers = 4;
    later(&world, &mut world.manager(3), 1);
    assert_eq!(surplus(&world), [5]);
    assert_eq!(slots(&world)[2].generation, 2, "another machine than before");
    assert_eq!(world.machines.live().len(), 3, "three tasks");
}

/// A fleet that takes its time: meanwhile somebody gives the slot up.
#[derive(Debug)]
struct Slow(Arc<SqliteStore>, Arc<Machines>);

impl Fleet for Slow {
    fn launch(&self, slot: u32, generation: u32) -> Result<InstanceId, LaunchError> {
        let given_up = |row: SlotRow| SlotRow { state: SlotState::Free, ..row };
        let work = &mut |tx: &mut dyn Tx| {
            let row = tx.slots()?.into_iter().find(|row| row.slot == slot).expect("the slot");
            tx.put_slot(&given_up(row))
        };
        self.0.transaction(work).unwrap();
        self.1.launch(slot, generation)
    }

    fn list(&self) -> Result<Vec<Instance>, FleetError> {
        self.1.list()
    }

    fn terminate(&self, id: &InstanceId) -> Result<(), FleetError> {
        self.1.terminate(id)
    }
}

#[test]
fn a_machine_that_comes_when_its_slot_was_given_up_is_ended() {
    let world = World::new();
    scans(&world, 1);
    let fleet = Arc::new(Slow(Arc::clone(&world.store), Arc::clone(&world.machines)));
    let mut manager = world.manager_of(Outside { fleet, ..world.outside() }, 1);
    step(&mut manager, world.now());
    assert_eq!((world.machines.live().len(), world.machines.ended().len()), (0, 1));
    assert_eq!(slots(&world)[0].instance_id, None);
}
