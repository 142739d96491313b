//! Lookups on the simulated network: every question ends once and truly, whatever resolvers and the wire do.

mod faults;
mod world;
