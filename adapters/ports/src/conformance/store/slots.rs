//! Never more bare-metal workers than slots.

use std::{sync::Barrier, thread};

use super::{Bench, now, seconds, within};
use crate::{
    ManagerStore,
    clock::after,
    store::{SlotRow, SlotState},
};

fn free(slot: u32) -> SlotRow {
    SlotRow {
        slot,
        generation: 0,
        state: SlotState::Free,
        instance_id: None,
        lease_until: None,
        is_surplus: false,
    }
}

fn slots(store: &dyn ManagerStore) -> Vec<SlotRow> {
    within(store, |tx| tx.slots())
}

/// However many want one.
pub fn sixteen_managers_take_five_slots(bench: &dyn Bench) {
    within(bench.store(), |tx| (1..=5).rev().try_for_each(|slot| tx.put_slot(&free(slot))));
    let others: Vec<_> = (0..4).map(|_| bench.other()).collect();
    let start = Barrier::new(16);
    let take = |n: usize| {
        let store = if n < 8 { bench.store() } else { &*others[n % 4] };
        start.wait();
        within(store, |tx| {
            let Some(mut row) = tx.slots()?.into_iter().find(|row| row.state == SlotState::Free)
            else {
                return Ok(None);
            };
            row.state = SlotState::Launching;
            row.generation += 1;
            tx.put_slot(&row)?;
            Ok(Some(row.slot))
        })
    };
    let mut taken: Vec<u32> = thread::scope(|scope| {
        let take = &take;
        let threads: Vec<_> = (0..16).map(|n| scope.spawn(move || take(n))).collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    taken.sort_unstable();
    assert_eq!(taken, [1, 2, 3, 4, 5]);
    assert!(slots(bench.store()).iter().all(|row| row.generation == 1));
}

/// Once the manager has written it, and until it is free.
pub fn a_worker_finds_its_slot_by_its_instance(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let other = bench.other();
    let launching = SlotRow { state: SlotState::Launching, generation: 1, ..free(2) };
    within(store, |tx| {
        tx.put_slot(&free(1))?;
        tx.put_slot(&launching)
    });
    assert!(!other.live_slot("i-1", after(at, seconds(60))).unwrap());
    assert!(!other.drain_slot("i-1").unwrap());
    let written = SlotRow { instance_id: Some("i-1".to_owned()), ..launching };
    within(store, |tx| tx.put_slot(&written));
    let mut row = SlotRow { state: SlotState::Live, ..written };
    for later in [60, 120] {
        row.lease_until = Some(after(at, seconds(later)));
        assert!(other.live_slot("i-1", after(at, seconds(later))).unwrap());
        assert_eq!(slots(store), [free(1), row.clone()]);
    }
    assert!(other.drain_slot("i-1").unwrap());
    assert_eq!(slots(store)[1].state, SlotState::Draining);
    // It found a message after all.
    assert!(other.live_slot("i-1", after(at, seconds(120))).unwrap());
    assert_eq!(slots(store)[1], row);
    // It has none, and its machine is gone: the manager frees its slot.
    assert!(other.drain_slot("i-1").unwrap());
    row.state = SlotState::Draining;
    assert_eq!(slots(store)[1], row);
    within(store, |tx| tx.put_slot(&SlotRow { generation: 1, ..free(2) }));
    // The slot may be another's by now: whoever comes late takes nothing from it.
    assert!(!other.live_slot("i-1", after(at, seconds(180))).unwrap());
    assert!(!other.drain_slot("i-1").unwrap());
    assert_eq!(slots(store)[1], SlotRow { generation: 1, ..free(2) });
}
