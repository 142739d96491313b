//! The smallest whole scan: no privileges, no packets, a network in memory.
//!
//! `cargo run -p mrpf_syn --example simulated`

use std::error::Error;

use mrpf_engine::link::sim::{
    Faults, Network,
    hosts::{Behaviour, Hosts},
};
use mrpf_syn::Scan;

fn main() -> Result<(), Box<dyn Error>> {
    let hosts = Hosts::new(1).rule(([198, 19, 0, 7], [198, 19, 0, 9]), 80..=80, Behaviour::open());
    let network = Network::new(1, hosts, Faults::default());
    let mut scan = Scan::builder()
        .target("198.19.0.0/24")
        .ports("80,443")
        .allow_reserved(true)
        .simulated(network)
        .build()?;
    for record in &mut scan {
        println!("{record:?}");
    }
    let summary = scan.finish()?;
    println!(
        "{} probes, {} answers, complete: {}",
        summary.counts.probes,
        summary.counts.first,
        summary.is_complete()
    );
    Ok(())
}
