//! Tasks that send packets of their own.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
