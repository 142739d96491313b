//! Tasks that ask public services: crt.sh, Censys, Shodan. No database, no queue, no packets of our own.
//!
//! ```text
//! Settings --> runners --> crt_sh  censys  shodan      what each service is asked, and what its answers mean
//!                             '------+-------'
//!                                 service              HTTP: status, Retry-After, limits, the key kept to ourselves
//!                                  body                octets --> JSON, or why not
//! ```
//!
//! # What holds
//!
//! - Nothing found is an answer only where the service says so in the form that it documents. An empty body, a page, half an
//!   answer and everything else is a typed error: see [`mrpf_tasks::ErrorKind`].
//! - What a service caps is marked as truncated ([`mrpf_ports::Finished`]).
//! - No key is in an error, a `Debug` text, a header of another host or a connection that is not encrypted, loopback apart.
//! - A task that asks more than once keeps the pace of its [`mrpf_tasks::Source`] itself. The manager keeps it between
//!   tasks.
//! - A task that is told to stop does so before its next call; a call takes [`Limits::call`] at most.
//!
//! What was checked about each service stands at the top of its file. None of them is asked by any test.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod base_url;
mod body;
mod censys;
mod crt_sh;
#[cfg(any(test, fuzzing, feature = "testing"))]
pub mod fuzzing;
mod moment;
mod names;
mod secret;
mod service;
mod settings;
mod shodan;
#[cfg(test)]
mod tests;

use mrpf_ports::Runners;
use mrpf_tasks::catalogue::{CensysCertificates, CensysHosts, CrtSh, ShodanDomain, ShodanHost};

pub use self::{
    base_url::{BaseUrl, BaseUrlError},
    secret::Secret,
    settings::{Limits, Settings, SettingsError},
};

/// Who does the tasks that ask public services.
pub fn runners(settings: &Settings) -> Runners {
    Runners::new()
        .with::<CrtSh>(crt_sh::AskCrtSh::new(settings))
        .with::<CensysHosts>(censys::AskCensys::new(settings))
        .with::<CensysCertificates>(censys::AskCensys::new(settings))
        .with::<ShodanHost>(shodan::AskShodan::new(settings))
        .with::<ShodanDomain>(shodan::AskShodan::new(settings))
}
