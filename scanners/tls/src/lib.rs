//! Which certificates, versions and names a TLS port has.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod cache;
mod certificate;
mod service;
mod trust;

pub use self::{
    certificate::{Describer, distinguished_name},
    service::service,
    trust::{Roots, RootsError, Truster},
};
