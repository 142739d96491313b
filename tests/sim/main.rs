//! Scans of simulated networks under virtual time: no privileges, no packets, one seed one run.

mod accounting;
mod exactness;
mod faults;
mod forged;
mod hostile;
mod no_allocation;
mod repeatable;
mod strange;
mod threads;
mod world;
