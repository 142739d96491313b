//! What names stand for, asked with packets of our own: every name ends in exactly one record.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod ask;
mod build;
mod line;
pub mod lookup;
pub mod message;
pub mod names;
pub mod resolver;
mod row;
mod scan;
mod show;
pub mod sweep;
pub mod wildcard;

pub use mrpf_records::{DnsRecord, Record};
pub use mrpf_syn::Next;

pub use self::{
    ask::{Ask, Origin},
    build::{Builder, DnsError},
    scan::{NextLine, Scan, Summary},
    show::{Show, ShowError},
    sweep::Sweep,
};
