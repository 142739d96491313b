//! Lookups on the simulated network: every question ends once and truly, whatever resolvers, forgers and the wire do.

mod capacity;
mod faults;
mod forged;
mod no_allocation;
mod stopped;
mod strange;
mod tcp;
mod wild;
mod world;
