//! Which certificates, versions and names a TLS port has.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod cache;
pub mod certificate;
mod service;
pub mod trust;

pub use self::service::service;
