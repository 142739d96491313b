//! Pools against simulated servers, in simulated time.

mod capacity;
mod health;
mod world;
