//! Results of any size and of any octets, through queues, rows and chunks.

use std::time::Duration;

use mrpf_tasks::{Bytes, TaskId};
use mrpf_tests::{
    deeds::{Deed, Inside, Outside, octets},
    order::Numbers,
    planner::Planner,
};

use crate::world::{EXTERNAL, INTERNAL, MANAGER, World};

const MIB: usize = 1_024 * 1_024;
/// Around the sizes at which an item needs slices, and far beyond.
const SIZES: [usize; 8] = [0, 1, 1_000, MIB / 2 - 40, MIB / 2, 700_000, 5 * MIB, 20 * MIB];

#[test]
fn results_arrive_octet_for_octet() {
    let world = World::new(Numbers { lease: 20_000, ..Numbers::default() });
    let mut planner = Planner::new();
    let tasks: Vec<(TaskId, u64, usize)> = (0..)
        .zip(SIZES)
        .flat_map(|(seed, len)| {
            let (one, other) = (Deed::Give { seed, len }, Deed::Give { seed: seed + 100, len });
            let (outside, inside) = (planner.task::<Outside>(&one), planner.task::<Inside>(&other));
            [(outside, seed, len), (inside, seed + 100, len)]
        })
        .collect();
    world.submit(&planner.0);
    let _staff = [MANAGER, EXTERNAL, INTERNAL].map(|role| world.start(role));
    world.until("all have given", Duration::from_secs(180), || world.is_over(planner.0.id));
    for (task, seed, len) in tasks {
        let items = world.items(task);
        assert_eq!(items.len(), 1, "{len} octets");
        let Bytes(given) = serde_json::from_value(items[0].clone()).unwrap();
        // Not assert_eq: nobody wants to read 20 MB twice.
        assert!(given == octets(seed, len), "{len} octets came as {} others", given.len());
    }
}
