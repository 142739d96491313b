//! Machines of bare-metal workers of the mrpf platform on Amazon EC2.
//!
//! ```text
//!  manager --launch(slot, generation)--> Ec2Fleet --walk--> RunInstances: template $Latest, type, subnet, token, tags
//!          --list----------------------> census   <-------- DescribeInstances by tag, all pages
//!          --terminate-----------------------------------> TerminateInstances
//!                                          |
//!                                       Ec2Api: sdk.rs, the only file that names the SDK
//! ```
//!
//! # What holds
//!
//! - Types in the order: the template's own, t4g.micro, t4g.small, c8gd.medium, c7g.medium; for each of them the subnets in the order given. No
//!   room for one combination leads to the next, with one HTTP request; `verdict.rs` has the table of all other errors.
//! - One instance for a slot and generation: the client token is made of them, of type and subnet and of the platform's id, so it is the
//!   same in every manager and after a restart. What may have been launched is asked for again before anything else is.
//! - An instance that powers off is gone: `terminate` is said with each launch, whatever the template says.
//! - EC2 is eventually consistent: what was launched a moment ago counts although it is not shown.
//! - An instance that is given and then taken back for want of capacity counts as no room for its combination.
//! - Types that cannot run the template's image are left out from the start, and it is said which.
//!
//! Who may launch how many is the store's affair, not this crate's.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod api;
mod census;
mod check;
mod exhausted;
mod fleet;
mod kinds;
mod launched;
mod sdk;
mod token;
mod verdict;
mod walk;

pub use self::{
    check::Finding,
    fleet::{Ec2Fleet, Settings},
};
