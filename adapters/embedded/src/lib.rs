//! The platform on one machine.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
