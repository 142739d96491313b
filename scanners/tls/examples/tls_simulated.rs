//! The smallest whole TLS scan: no privileges, no packets, a network in memory whose hosts are rustls.
//!
//! `cargo run -p mrpf_tls --example tls_simulated`

use std::{error::Error, sync::Arc};

use mrpf_engine::link::sim::{
    Faults, Network,
    hosts::{Behaviour, Hosts, Say, Speaker},
};
use mrpf_tls::{Record, Scan};
use rustls::{ServerConfig, ServerConnection, crypto::aws_lc_rs, pki_types::PrivatePkcs8KeyDer};

fn main() -> Result<(), Box<dyn Error>> {
    let hosts = Hosts::new(1).rule(
        ([198, 19, 0, 7], [198, 19, 0, 9]),
        443..=443,
        Behaviour::Speaks(server("www.example")?),
    );
    let targets = mrpf_syn::Scan::builder()
        .target("198.19.0.0/24")
        .ports("443")
        .allow_reserved(true)
        .simulated(Network::new(1, hosts, Faults::default()));
    let mut scan = Scan::builder(targets).build()?;
    let mut names = Vec::new();
    for record in &mut scan {
        let Record::Tls(row) = record else { continue };
        println!("{} {} {}", row.ip, row.outcome, row.version.as_deref().unwrap_or("no TLS"));
        names.extend(row.certificates.first().map(|leaf| leaf.sans.join(" ")));
    }
    let summary = scan.finish()?;
    assert_eq!(names, ["www.example"; 3]);
    println!("{} certificates, complete: {}", summary.certificates, summary.base.is_complete());
    Ok(())
}

/// Hosts that show a certificate for `name`.
fn server(name: &str) -> Result<Speaker, Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed([name.to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())?;
    let config = Arc::new(config);
    Ok(Speaker::new(move |_| {
        let mut connection = ServerConnection::new(Arc::clone(&config));
        // What was asked is shown whole until it is answered: a hello comes in one segment or two.
        move |mut asked: &[u8]| {
            let mut said = Vec::new();
            let Ok(connection) = &mut connection else { return Say::reset() };
            if asked.is_empty() || connection.read_tls(&mut asked).is_err() {
                return Say::nothing();
            }
            // What it thinks of us it says as an alert.
            let _ = connection.process_new_packets();
            while connection.wants_write() {
                if connection.write_tls(&mut said).is_err() {
                    return Say::reset();
                }
            }
            Say::bytes(said)
        }
    }))
}
