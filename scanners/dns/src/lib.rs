//! What names stand for, asked with packets of our own: every name ends in exactly one record.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod lookup;
pub mod message;
pub mod names;
pub mod resolver;
mod row;
pub mod sweep;
pub mod wildcard;

pub use self::sweep::Sweep;
