//! Which certificates, versions and names TLS ports have.
//!
//! ```text
//!  Builder::new(targets) -> hello, names, roots ... -> build() -> Scan: Iterator<Item = Record>
//!
//!  SYN --> SYN-ACK --> [ hello ] --> ServerHello, certificates --> [ Handshake ] --> Capture --> row
//!   mrpf_syn            hello/         engine/src/tcp                handshake/                  row.rs
//! ```
//!
//! SYN and TLS are one pass. No kernel socket is used: connections are the engine's own [small TCP](mrpf_engine::tcp), and a host
//! that never answers costs no memory. One hello gets the certificates of TLS 1.0 to 1.3 alike; those of TLS 1.3 are
//! encrypted, and are opened with the keys that follow from key shares whose private half is one, so that no curve is
//! computed on this side: see [`hello::KeyShares`]. No signature of a host is verified and no handshake is finished: what can
//! be learnt is learnt before.
//!
//! Asked for [JARM](Builder::jarm), hosts that spoke TLS are asked ten times more, in passes of their own after that one.
//!
//! Each target has one [`TlsRecord`], whatever happens: how it ended, how far it came, and all that was seen until then.
//!
//! Not here: packets and TCP (the engine's), files and terminals (the command's).

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod build;
mod cache;
mod capture;
pub mod certificate;
mod dialogue;
pub mod fingerprint;
mod follow;
pub mod handshake;
pub mod hello;
mod names;
mod passes;
mod probe;
mod record;
mod row;
mod salts;
mod scan;
mod schedule;
mod service;
mod show;
pub mod trust;
mod words;

pub use mrpf_records::{CertificateRecord, Record, TlsOutcome, TlsRecord, TlsStage, Trust};
pub use mrpf_syn::Next;

pub use self::{
    build::{Builder, KeyShare, TlsError, UnknownKeyShare},
    capture::{Alert, Capture, FIRST_BYTES},
    names::ServerNames,
    scan::{Scan, Summary},
    service::service,
    show::{Show, ShowError},
};
