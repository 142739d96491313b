//! What names stand for, asked with packets of our own: every name ends in exactly one record.
//!
//! ```text
//!  Ask: lines, words x domains, addresses ---> names/ --questions--> lookup/ --ends--> row, line --> Scan: Iterator<Item = Record>
//!                                                                     |    ^
//!                           whom, how fast: resolver/  <--------------'    '--- wildcard/: does the parent answer for any name?
//!
//!  Sweep: one question to many addresses, without memory of them ----------------> Iterator<Item = Record>
//! ```
//!
//! No kernel socket is used: queries are frames of the [engine](mrpf_engine), from source ports on which the kernel is silent, and
//! what is truncated is asked again over the engine's [small TCP](mrpf_engine::tcp). NXDOMAIN and NODATA are answers; SERVFAIL,
//! REFUSED and silence are asked elsewhere, and are the last word only when nothing better came.
//!
//! Not here: iteration from the root, zone transfers, cookies, client subnets, and whether a resolver lies; packets (the
//! engine's), files and terminals (the command's).

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
