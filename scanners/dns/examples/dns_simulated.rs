//! The smallest whole DNS scan: no privileges, no packets, a network in memory with two resolvers.
//!
//! `cargo run -p mrpf_dns --example dns_simulated`

use std::{error::Error, net::Ipv4Addr, time::Duration};

use mrpf_dns::{Ask, Origin, Record, Scan};
use mrpf_engine::link::sim::{
    Faults, Network,
    hosts::{Behaviour, Heard, Hosts, Said, Service},
};

const RESOLVERS: (Ipv4Addr, Ipv4Addr) =
    (Ipv4Addr::new(198, 19, 0, 1), Ipv4Addr::new(198, 19, 0, 2));

fn main() -> Result<(), Box<dyn Error>> {
    let answering = Behaviour::Serves(Service::new(answer));
    let hosts = Hosts::new(1).rule(RESOLVERS, 53..=53, answering);
    let resolvers = mrpf_syn::Scan::builder()
        .target("198.19.0.1-198.19.0.2")
        .simulated(Network::new(1, hosts, Faults::default()));
    let names = "www.example\nmail.example\nnobody.example\nnot..a.name\n";
    let ask = Ask::Lines { origins: vec![Origin::Text(names.to_owned())], servers: false };
    let mut scan = Scan::builder(resolvers, ask).build()?;
    let mut rows = Vec::new();
    for record in &mut scan {
        let Record::Dns(row) = record else { continue };
        let data = row.answers.first().map_or("", |answer| &*answer.data);
        rows.push(format!("{} {} {data}", row.name, row.status));
    }
    let summary = scan.finish()?;
    rows.sort();
    println!("{}", rows.join("\n"));
    assert_eq!(
        rows,
        [
            "mail.example NOERROR 198.51.100.2",
            "nobody.example NXDOMAIN ",
            "not..a.name INVALID ",
            "www.example NOERROR 198.51.100.1",
        ]
    );
    println!(
        "{} names resolved, complete: {}",
        summary.lookups.resolved(),
        summary.base.is_complete()
    );
    Ok(())
}

/// A resolver that knows two names: header and question as they came, with flags of a response, and an address behind them.
fn answer(heard: &Heard<'_>) -> Vec<Said> {
    let query = heard.payload;
    let Some(end) = query.get(12..).and_then(|name| name.iter().position(|octet| *octet == 0))
    else {
        return Vec::new();
    };
    let name = query[13..12 + end].to_ascii_lowercase();
    let address = match name.as_slice() {
        b"www\x07example" => Some([198, 51, 100, 1]),
        b"mail\x07example" => Some([198, 51, 100, 2]),
        _ => None,
    };
    let mut message = query[..12 + end + 5].to_vec();
    message[2] |= 0x80;
    message[3] = if address.is_some() { 0x80 } else { 0x83 };
    message[7] = u8::from(address.is_some());
    message[8..12].fill(0);
    if let Some(address) = address {
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        message.extend(address);
    }
    vec![Said::datagram(message).after(Duration::from_millis(3))]
}
