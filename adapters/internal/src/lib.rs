//! Tasks on stored data.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
