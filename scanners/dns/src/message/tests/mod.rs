//! Messages as they come, and as they should not.

mod answers;
pub(crate) mod build;
mod cost;
mod malformed;
mod names;
mod numbers;
mod oracles;
mod outcomes;
mod queries;
pub(crate) mod types;
