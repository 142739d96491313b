//! What names stand for, asked with packets of our own: every name ends in exactly one record.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod message;
pub mod lookup;
pub mod names;
pub mod resolver;
pub mod wildcard;
#[cfg_attr(not(test), expect(dead_code, reason = "read by the scan, which comes with it"))]
mod row;
