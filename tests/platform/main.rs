//! The manager over the embedded store and queues, with workers, machines and time that do as the tests say: no privileges, no
//! network, one thread wherever nothing races.

#![forbid(unsafe_code)]

mod batches;
mod control;
mod fan_in;
mod fleet;
mod generators;
mod idle_out;
mod outage;
mod pacing;
mod plans;
mod poison;
mod refusals;
mod restart;
mod slots;
mod strange;
mod worker;
mod world;
