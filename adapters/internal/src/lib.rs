//! Tasks on stored data: filters, models, aggregates, conditions, and the generator of scans.
//!
//! ```text
//!  task_data --each--> filter | aggregate | insert --emit--> task_data, task_collection_data
//!                      upsert | list | new         <------> recon
//!                      generate                    -------> TcpSynScan tasks
//! ```
//!
//! # What holds
//!
//! - Items are read and given on one by one; a task holds a batch of them at most. Those that must remember (dedupe, union)
//!   say how much.
//! - Every task can be done again from its start: what it writes has keys.
//! - An item that is not of the form a task looks for is counted, and ends nothing.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod aggregate;
mod batch;
mod condition;
#[cfg(test)]
mod fake;
mod filter;
mod generate;
mod item;
mod list;
mod rows;
mod scope;
mod upsert;

use mrpf_ports::Runners;
use mrpf_tasks::catalogue::{
    AggregateCollect, AggregateCount, AggregateUnion, Conditional, FilterDedupe, FilterEquals,
    FilterInScope, FilterNew, FilterRegex, GenerateTargets, InsertData, ListModels, UpsertModels,
};

use self::generate::Generator;

/// Does every kind of task that is this crate's and needs no settings.
struct Stored;

/// Who does the tasks on stored data. A scan is cut for `max_bare_metal_workers`, none of which sends more than
/// `bare_metal_max_rate` frames a second.
pub fn runners(max_bare_metal_workers: u32, bare_metal_max_rate: u64) -> Runners {
    Runners::new()
        .with::<AggregateCollect>(Stored)
        .with::<AggregateCount>(Stored)
        .with::<AggregateUnion>(Stored)
        .with::<Conditional>(Stored)
        .with::<FilterDedupe>(Stored)
        .with::<FilterEquals>(Stored)
        .with::<FilterInScope>(Stored)
        .with::<FilterNew>(Stored)
        .with::<FilterRegex>(Stored)
        .with::<GenerateTargets>(Generator { max_bare_metal_workers, bare_metal_max_rate })
        .with::<InsertData>(Stored)
        .with::<ListModels>(Stored)
        .with::<UpsertModels>(Stored)
}

#[cfg(test)]
mod tests {
    use mrpf_tasks::{Registry, WorkerClass};

    #[test]
    fn every_internal_task_that_ships_has_a_runner() {
        let runners = super::runners(5, 10_000);
        for declared in Registry::shipped().iter() {
            let is_ours = declared.class == WorkerClass::Internal;
            assert_eq!(runners.find(declared.name).is_some(), is_ours, "{declared:?}");
        }
    }
}
