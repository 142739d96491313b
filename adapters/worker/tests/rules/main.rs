//! What the loop does, rule by rule, over queues and a store in memory and under virtual time.

#![forbid(unsafe_code)]

mod batches;
mod ends;
mod leases;
mod machines;
mod queue;
mod stops;
mod store;
mod takes;
mod time;
mod world;
