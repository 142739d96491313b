//! What names stand for, asked with packets of our own: every name ends in exactly one record.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod message;
mod show;

pub use self::show::{Show, ShowError};
