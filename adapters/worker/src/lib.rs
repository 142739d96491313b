//! The loop that all workers share.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
