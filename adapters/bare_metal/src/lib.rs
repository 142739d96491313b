//! Tasks that send packets of their own.
//!
//! ```text
//!  TcpSynScan --> plan: scope, blocklist, estimate --> mrpf_syn::Scan --> drive: records --> task_data
//!  TlsScan    -->   |                                  mrpf_tls::Scan       |       '------> recon: endpoints, certificates
//!  DnsScan    -->   |                                  mrpf_dns::Scan       |                       and what names stand for
//!                   '--> refusals                                           '--> mark, every 5 s --> checkpoint
//! ```
//!
//! # What holds
//!
//! - Before a packet is made, the targets are cut to the workflow's scope less `recon.blocklist`, whatever the manager has cut
//!   already; each refusal is a record.
//! - No scan is faster than [`Settings::max_rate`], and none is begun that would take more than [`LONGEST`].
//! - A scan that was stopped, or lost with its worker, goes on at its checkpoint: nothing is left out, and what comes twice is
//!   what was found beyond the mark.
//!
//! Not here: how scans are made (`mrpf_syn`, `mrpf_tls`, `mrpf_dns`), leases and messages (`mrpf_worker`).

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod dns;
mod drive;
mod error;
mod plan;
mod syn;
#[cfg(test)]
mod tests;
mod tls;

use std::num::NonZeroU64;

use mrpf_engine::link::sim::Network;
use mrpf_ports::Runners;
use mrpf_tasks::catalogue::{DnsScan, TcpSynScan, TlsScan};

pub use self::{dns::NameScan, plan::LONGEST, syn::SynScan, tls::CertificateScan};

/// How a bare-metal worker scans.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Frames a second that no scan exceeds, whatever its task says (`BARE_METAL_MAX_RATE`).
    pub max_rate: NonZeroU64,
    /// Whether special-purpose addresses (private, documentation, benchmarking ...) are scanned where the scope has them.
    pub allow_reserved: bool,
    /// Where packets go.
    pub link: Link,
}

impl Default for Settings {
    /// 10,000 frames a second on a real interface, to public addresses alone.
    fn default() -> Self {
        let max_rate = NonZeroU64::new(10_000).unwrap_or(NonZeroU64::MIN);
        Self { max_rate, allow_reserved: false, link: Link::Packet }
    }
}

/// Where the packets of a scan go.
#[derive(Clone, Debug)]
pub enum Link {
    /// To the interface with the route to the targets.
    Packet,
    /// To a network in memory.
    Simulated(Network),
}

/// Those who do the tasks of bare-metal workers.
pub fn runners(settings: Settings) -> Runners {
    Runners::new()
        .with::<TcpSynScan>(SynScan::new(settings.clone()))
        .with::<DnsScan>(NameScan::new(settings.clone()))
        .with::<TlsScan>(CertificateScan::new(settings))
}
