//! Which certificates, versions and names a TLS port has.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod capture;
pub mod fingerprint;
pub mod handshake;
pub mod hello;
mod record;
mod schedule;
