//! Who does what, when, how often, and what follows.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
