//! Scans of simulated networks under virtual time: no privileges, no packets, one seed one run.

mod accounting;
mod dns;
mod exactness;
mod faults;
mod forged;
mod hostile;
mod ipv6;
mod late_losses;
mod no_allocation;
mod repeatable;
mod resume;
mod strange;
mod sweep;
mod talker;
mod threads;
mod tls;
mod world;
