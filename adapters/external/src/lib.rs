//! Tasks that ask public services.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
