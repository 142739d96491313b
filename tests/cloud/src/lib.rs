//! AWS in small, for tests.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod postgres;

pub use self::postgres::{Database, Postgres};
