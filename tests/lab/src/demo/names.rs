//! What the names of the demo's organisation stand for, and who says so.

use std::net::Ipv4Addr;

use super::Prefix;
use crate::{
    Lab, LabError, certificate_log,
    certificate_log::{DOMAIN, NUMBERED, numbered},
    dns_responder::{Data, DnsResponder, Knobs, Zone},
};

/// Answers queries about the organisation's names, and NXDOMAIN or REFUSED to all others.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 53);

/// An alias of the organisation's own name.
const ALIAS: &str = "www.mrpf-lab.example";
/// Where its hosts are.
const HOSTS: Prefix = Prefix::new([198, 19, 128, 0], 19);
/// Far enough apart that hosts are not neighbours, and coprime to their number, so that no two names share one.
const STRIDE: u32 = 37;

/// Of the hosts with a number, one of so many is gone, and the log knows it still.
const GONE: u32 = 4;

/// The address that `name` has, number `at` among [`certificate_log::in_scope`].
fn address(at: u32) -> Ipv4Addr {
    let count = HOSTS.last().to_bits() - HOSTS.first().to_bits() + 1;
    Ipv4Addr::from_bits(HOSTS.first().to_bits() + at * STRIDE % count)
}

fn is_gone(name: &str) -> bool {
    (0..NUMBERED).step_by(GONE as usize).any(|n| numbered(n) == name)
}

/// What is true of the names that certificates have: name, type and data of each record.
pub fn records() -> Vec<(String, &'static str, String)> {
    let names = certificate_log::in_scope();
    let own = names.iter().position(|name| name == DOMAIN).unwrap_or_default();
    let mut records = Vec::new();
    for (at, name) in (0..).zip(names).filter(|(_, name)| !is_gone(name)) {
        if name == ALIAS {
            records.push((name.clone(), "CNAME", format!("{DOMAIN}.")));
            records.push((name, "A", address(own as u32).to_string()));
        } else {
            records.push((name, "A", address(at).to_string()));
        }
    }
    records
}

/// Starts [`RESOLVER`] in the world of the demo.
///
/// # Errors
///
/// As [`DnsResponder::start`].
pub fn start_resolver(lab: &Lab) -> Result<DnsResponder, LabError> {
    let mut zone = Zone::new(DOMAIN).with(ALIAS, &Data::Cname(DOMAIN));
    for (name, rtype, data) in records() {
        if let (Ok(addr), "A") = (data.parse(), rtype)
            && name != ALIAS
        {
            zone.add(&name, &Data::A(addr));
        }
    }
    DnsResponder::start(lab.world(), Knobs::default(), move |asked, reply| {
        zone.answer(asked, reply);
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_have_addresses_of_their_own_but_for_the_alias_and_some_are_gone() {
        let records = records();
        let names: HashSet<_> = records.iter().map(|(name, ..)| name).collect();
        let known = certificate_log::in_scope().len();
        assert_eq!(names.len(), known - (NUMBERED / GONE) as usize);
        let addresses = records.iter().filter(|(_, rtype, _)| *rtype == "A");
        let addresses: Vec<_> = addresses.map(|(.., data)| data).collect();
        let distinct: HashSet<_> = addresses.iter().collect();
        assert_eq!((addresses.len(), distinct.len()), (names.len(), names.len() - 1));
        assert!(addresses.iter().all(|addr| HOSTS.contains(addr.parse().unwrap())));
    }
}
