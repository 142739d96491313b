//! What the test worlds share. Each folder beside this file is one test binary.

#![forbid(unsafe_code)]

pub mod deeds;
pub mod order;
pub mod planner;
