//! Which certificates, versions and names a TLS port has.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod capture;
pub mod handshake;
mod record;
mod schedule;
