//! Machines for bare-metal workers: as many as there are tasks, and never more than there may be.
//!
//! ```text
//!            launch: generation + 1               live_slot                 drain_slot
//!   free ----------------------------> launching -----------------> live <-----------> draining
//!    ^    a task needs one, room is       |  instance id, written     |                    |
//!    |                                    |  after the launch         |                    |
//!    '------------------------------------'---------------------------'--------------------'
//!      its machine is gone, by itself or since nothing was heard of its worker for a lease and it was ended
//! ```
//!
//! There are as many rows to take as there may be workers, so no count can be wrong: whoever takes a row in a transaction has it. The
//! row is taken before the machine is asked for, and the fleet gives the same machine for the same slot and generation, so a
//! manager may be killed between any two steps.
//!
//! A slot is free when the fleet shows that its machine is gone, and not when its worker says that it goes: until then there is a
//! machine. So while one is about to go the fleet is asked often, for the sake of tasks that wait for its place.
//!
//! An idle worker says that it drains before it looks for a message a last time, and this module counts after the message was
//! sent, without those that drain: one of the two always sees the other. What is missed all the same (queues give no such
//! promise) is found at the next look, since what counts is what is stored, and not what happened.

use mrpf_ports::{
    Instance, InstanceId, InstanceState, LaunchError, ManagerStore, StoreError,
    clock::{after, between},
    store::{SlotRow, SlotState, TaskFilter, Tx},
};
use mrpf_records::Timestamp;

use crate::{
    desk::{Desk, Outside},
    error::ManagerError,
};

/// Whether a machine is about to go, and its slot soon free.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Going {
    None,
    Some,
}

impl Going {
    fn of(is_any: bool) -> Self {
        if is_any { Self::Some } else { Self::None }
    }
}

/// Launches machines while there are fewer than tasks, and room.
pub(crate) fn launch(
    outside: &Outside,
    desk: &mut Desk,
    now: Timestamp,
) -> Result<Going, ManagerError> {
    let settings = &desk.settings;
    let most = settings.max_bare_metal_workers as usize;
    let until = after(now, settings.launch_lease);
    let mut taken: Vec<SlotRow> = Vec::new();
    let mut going = Going::None;
    let take = &mut |tx: &mut dyn Tx| {
        taken.clear();
        let slots = tx.slots()?;
        going = Going::of(slots.iter().any(|slot| is_draining(slot, now)));
        if tx.control()?.is_stopped {
            return Ok(());
        }
        let wanted = tx.tasks(TaskFilter::RawUnfinished(now), most)?.len();
        if wanted == 0 {
            return Ok(());
        }
        // No capacity, or a setting in the way: that is so for every slot.
        let is_held_off = slots.iter().any(|slot| {
            slot.state == SlotState::Free && slot.lease_until.is_some_and(|until| until > now)
        });
        if is_held_off {
            return Ok(());
        }
        let has_worker =
            |slot: &&SlotRow| matches!(slot.state, SlotState::Launching | SlotState::Live);
        let missing = wanted.saturating_sub(slots.iter().filter(has_worker).count());
        let free = |slot: &SlotRow| slot.state == SlotState::Free && !slot.is_surplus;
        for mut slot in slots.into_iter().filter(free).take(missing) {
            slot.state = SlotState::Launching;
            slot.generation = slot.generation.saturating_add(1);
            slot.instance_id = None;
            slot.lease_until = Some(until);
            tx.put_slot(&slot)?;
            taken.push(slot);
        }
        Ok(())
    };
    outside.store.transaction(take).map_err(ManagerError::slots)?;
    ask_all(outside, desk, &taken, now)?;
    Ok(going)
}

/// Whether its worker has said that it goes, a moment ago.
fn is_draining(slot: &SlotRow, now: Timestamp) -> bool {
    slot.state == SlotState::Draining && !is_over(slot, now)
}

/// Whether its worker is silent for too long.
fn is_over(slot: &SlotRow, now: Timestamp) -> bool {
    slot.lease_until.is_none_or(|until| until < now)
}

/// Asks for one machine after the other; no further when the fleet does not answer, since each of these calls may take its time, and
/// a slot that was taken and not asked for is asked for later.
fn ask_all(
    outside: &Outside,
    desk: &mut Desk,
    slots: &[SlotRow],
    now: Timestamp,
) -> Result<(), ManagerError> {
    for slot in slots {
        if ask(outside, desk, slot, now)? == Answered::No {
            break;
        }
    }
    Ok(())
}

/// Whether the fleet has said yes or no.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answered {
    Yes,
    No,
}

/// Asks the fleet for the machine of a slot that is launching, and writes down what it says.
fn ask(
    outside: &Outside,
    desk: &mut Desk,
    slot: &SlotRow,
    now: Timestamp,
) -> Result<Answered, ManagerError> {
    let SlotRow { slot: number, generation, .. } = *slot;
    match outside.fleet.launch(number, generation) {
        Ok(id) => {
            desk.counts.launched += 1;
            tracing::info!(slot = number, generation, instance = %id, "launched");
            let mut is_ours = false;
            change(outside, slot, |row| {
                is_ours = row.instance_id.as_ref().is_none_or(|known| *known == id.0);
                if is_ours {
                    row.instance_id = Some(id.0.clone());
                }
            })?;
            // The slot was given up while the fleet took its time, or another manager has a machine for it: nobody counts this one.
            if !is_ours {
                outside.fleet.terminate(&id).map_err(ManagerError::slots)?;
            }
            Ok(Answered::Yes)
        }
        Err(LaunchError::Unknown(why)) => {
            tracing::warn!(slot = number, generation, why, "launch in doubt; asking again");
            Ok(Answered::No)
        }
        Err(error @ LaunchError::Exhausted(_)) => {
            tracing::warn!(slot = number, %error, "no machine for now");
            hold_off(outside, slot, after(now, desk.settings.exhausted_wait))?;
            Ok(Answered::Yes)
        }
        Err(error @ LaunchError::Refused(_)) => {
            tracing::error!(slot = number, %error, "no machine until somebody changes a setting");
            hold_off(outside, slot, after(now, desk.settings.refused_wait))?;
            Ok(Answered::Yes)
        }
    }
}

fn hold_off(outside: &Outside, slot: &SlotRow, until: Timestamp) -> Result<(), ManagerError> {
    change(outside, slot, |row| {
        release(row);
        row.lease_until = Some(until);
    })
}

/// Changes a slot if its machine is still the one that is being asked for.
fn change(
    outside: &Outside,
    slot: &SlotRow,
    mut change: impl FnMut(&mut SlotRow),
) -> Result<(), ManagerError> {
    let work = &mut |tx: &mut dyn Tx| {
        let mut rows = tx.slots()?.into_iter();
        let is_it = |row: &SlotRow| {
            row.slot == slot.slot
                && row.generation == slot.generation
                && row.state == SlotState::Launching
        };
        match rows.find(is_it) {
            Some(mut row) => {
                change(&mut row);
                tx.put_slot(&row)
            }
            None => Ok(()),
        }
    };
    outside.store.transaction(work).map_err(ManagerError::slots)
}

fn release(row: &mut SlotRow) {
    row.state = SlotState::Free;
    row.instance_id = None;
    row.lease_until = None;
}

/// Makes slots and machines agree.
pub(crate) fn reconcile(
    outside: &Outside,
    desk: &mut Desk,
    now: Timestamp,
) -> Result<Going, ManagerError> {
    let most = desk.settings.max_bare_metal_workers;
    outside.store.transaction(&mut |tx| fit(tx, most)).map_err(ManagerError::slots)?;
    let machines = outside.fleet.list().map_err(ManagerError::slots)?;
    let mut plan = Plan::default();
    let work = &mut |tx: &mut dyn Tx| {
        plan = Plan::default();
        plan.compare(tx, &machines, desk, now)
    };
    outside.store.transaction(work).map_err(ManagerError::slots)?;
    let mut failed = None;
    for id in &plan.end {
        tracing::warn!(instance = %id, "a machine that nobody hears of, or counts, is ended");
        // One that cannot be ended is in nobody else's way.
        if let Err(error) = outside.fleet.terminate(id) {
            failed.get_or_insert_with(|| ManagerError::slots(error));
        }
    }
    ask_all(outside, desk, &plan.ask, now)?;
    failed.map_or_else(|| Ok(Going::of(plan.is_any_going)), Err)
}

/// Frees all slots. For whoever knows that no machine that was ever launched for them is left: one whose machines end with it, before
/// it launches the first.
///
/// # Errors
///
/// [`StoreError`]; nothing has changed then.
pub fn free_all_slots(store: &dyn ManagerStore) -> Result<(), StoreError> {
    store.transaction(&mut |tx| {
        for mut slot in tx.slots()?.into_iter().filter(|slot| slot.state != SlotState::Free) {
            release(&mut slot);
            tx.put_slot(&slot)?;
        }
        Ok(())
    })
}

/// As many slots as there may be workers. Those that are too many retire when they are free: nobody takes them, and they stay
/// for their generation, since one that came a second time would name a machine of the past.
fn fit(tx: &mut dyn Tx, most: u32) -> Result<(), StoreError> {
    let slots = tx.slots()?;
    for number in (1..=most).filter(|number| slots.iter().all(|slot| slot.slot != *number)) {
        tx.put_slot(&SlotRow {
            slot: number,
            generation: 0,
            state: SlotState::Free,
            instance_id: None,
            lease_until: None,
            is_surplus: false,
        })?;
    }
    for mut slot in slots {
        let is_surplus = slot.slot > most;
        if slot.is_surplus != is_surplus {
            slot.is_surplus = is_surplus;
            tx.put_slot(&slot)?;
        }
    }
    Ok(())
}

/// What the fleet is to be told after a comparison.
#[derive(Default)]
struct Plan {
    /// Machines that nobody counts.
    end: Vec<InstanceId>,
    /// Slots whose launch nobody has heard the end of.
    ask: Vec<SlotRow>,
    /// Whether a machine that holds a slot is about to go.
    is_any_going: bool,
}

impl Plan {
    fn compare(
        &mut self,
        tx: &mut dyn Tx,
        machines: &[Instance],
        desk: &Desk,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut slots = tx.slots()?;
        for slot in slots.iter_mut().filter(|slot| slot.state != SlotState::Free) {
            let before = slot.clone();
            self.compare_one(slot, machines, desk, now);
            if *slot != before {
                tx.put_slot(slot)?;
            }
        }
        let is_counted = |machine: &Instance| {
            slots.iter().any(|slot| slot.instance_id.as_deref() == Some(&machine.id.0))
        };
        for machine in machines.iter().filter(|it| it.state == InstanceState::Live) {
            let Some((number, generation)) = machine.slot else { continue };
            // A launch of a moment ago may not have been written down.
            let is_being_launched = slots.iter().any(|slot| {
                (slot.slot, slot.generation) == (number, generation)
                    && slot.state == SlotState::Launching
            });
            if !is_counted(machine) && !is_being_launched && !self.end.contains(&machine.id) {
                self.end.push(machine.id.clone());
            }
        }
        Ok(())
    }

    fn compare_one(
        &mut self,
        slot: &mut SlotRow,
        machines: &[Instance],
        desk: &Desk,
        now: Timestamp,
    ) {
        let is_its = |machine: &&Instance| match &slot.instance_id {
            Some(id) => machine.id.0 == *id,
            None => machine.slot == Some((slot.slot, slot.generation)),
        };
        // Of several that were launched for it, since nobody knew of the first, one that lives.
        let machine = machines.iter().filter(is_its).min_by_key(|machine| machine.state);
        let is_over = is_over(slot, now);
        match machine {
            Some(machine) if machine.state == InstanceState::Gone => {
                let reason = machine.reason.as_deref().unwrap_or("no reason given");
                tracing::info!(slot = slot.slot, instance = %machine.id, reason, "its machine is gone");
                release(slot);
            }
            // It holds its slot to the end, and is no capacity: a task may have another meanwhile.
            Some(machine) if machine.state == InstanceState::Ending => {
                slot.instance_id = Some(machine.id.0.clone());
                slot.state = SlotState::Draining;
                self.is_any_going = true;
            }
            Some(machine) if is_over => {
                tracing::warn!(slot = slot.slot, instance = %machine.id, "nothing is heard of its worker");
                // It has its slot until it is gone: were it free, and ending the machine failed, there would be one too many.
                self.end.push(machine.id.clone());
            }
            Some(machine) => {
                self.is_any_going |= slot.state == SlotState::Draining;
                if slot.instance_id.is_none() {
                    slot.instance_id = Some(machine.id.0.clone());
                }
            }
            None if is_over => {
                tracing::warn!(
                    slot = slot.slot,
                    generation = slot.generation,
                    "its machine is not there"
                );
                release(slot);
            }
            // A fresh machine may be missing from the list. A launch whose end nobody has heard of for a while is asked for again.
            None => {
                let settings = &desk.settings;
                let left =
                    slot.lease_until.map_or(settings.launch_lease, |until| between(now, until));
                let is_late = left + settings.reconcile_every <= settings.launch_lease;
                if slot.instance_id.is_none() && is_late {
                    self.ask.push(slot.clone());
                }
                self.is_any_going |= slot.state == SlotState::Draining;
            }
        }
    }
}
