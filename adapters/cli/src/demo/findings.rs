//! What can be found in the lab: as the store has it, and as it is.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

use mrpf_lab::{
    Prefix, certificate_log,
    demo::{self, Certificates, HOSTS, PORTS, Spoken, Truth},
};
use mrpf_ports::{ManagerStore, store::ModelRow};
use mrpf_tasks::{WorkflowId, catalogue::Model};

use crate::platform::PlatformError;

/// Rows read at a time.
const ROWS: usize = 5_000;
/// Who tells of names that certificates of hosts have.
const TLS: &str = "tls";

/// A port of an address.
pub(super) type Port = (Ipv4Addr, u16);

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    /// Ports that are open.
    pub(super) endpoints: BTreeSet<Port>,
    /// What they speak, those of which that is known.
    pub(super) services: BTreeSet<(Port, String)>,
    /// Which certificate each shows, in which place: 0 is its own.
    pub(super) shown: BTreeSet<(Port, u16, String)>,
    /// The hashes of these certificates.
    pub(super) certificates: BTreeSet<String>,
    pub(super) names: BTreeSet<String>,
    /// What DNS says of names.
    pub(super) records: BTreeSet<String>,
    /// Of the names, those that nobody but certificates of hosts told.
    pub(super) shown_names: BTreeSet<String>,
    /// Names that were refused, which lie out of scope.
    pub(super) refused_names: BTreeSet<String>,
}

impl Findings {
    /// What a workflow has found.
    pub(super) fn stored(store: &dyn ManagerStore, id: WorkflowId) -> Result<Self, PlatformError> {
        let mut found = Self::default();
        for model in [
            Model::Domain,
            Model::DomainRecord,
            Model::Endpoint,
            Model::Certificate,
            Model::EndpointCertificate,
        ] {
            each(store, model, |row| found.take(row))?;
        }
        let names = store.refusals(id)?.into_iter().map(|row| row.what);
        found.refused_names = names.filter(|what| what.contains(char::is_alphabetic)).collect();
        Ok(found)
    }

    /// All that is true of the lab, but for `excluded`.
    pub(super) fn truth(excluded: &Prefix, certificates: &Certificates) -> Self {
        let mut truth = Self::default();
        let addrs = (HOSTS.first().to_bits()..=HOSTS.last().to_bits()).map(Ipv4Addr::from_bits);
        let ports = addrs.flat_map(|addr| PORTS.map(|port| (addr, port)));
        for port in ports.filter(|port| !excluded.contains(port.0)) {
            if demo::truth(port.0, port.1) == Truth::Open {
                truth.endpoints.insert(port);
            }
            match demo::spoken(port.0, port.1) {
                Some(Spoken::Certificate(number)) => {
                    truth.services.insert((port, TLS.to_owned()));
                    truth.shown.insert((port, 0, certificates.leaf(number)));
                    truth.shown.insert((port, 1, certificates.intermediate()));
                }
                Some(Spoken::Alert) => drop(truth.services.insert((port, TLS.to_owned()))),
                Some(Spoken::Http) => drop(truth.services.insert((port, "http".to_owned()))),
                Some(Spoken::Nothing) | None => {}
            }
        }
        truth.certificates = truth.shown.iter().map(|(_, _, hash)| hash.clone()).collect();
        truth.shown_names = demo::names_of_certificates().into_iter().collect();
        truth.names = certificate_log::in_scope().into_iter().collect();
        let records = demo::records();
        let record = |(name, rtype, data)| format!("{name} {rtype} {data}");
        truth.records = records.into_iter().map(record).collect();
        truth.names.extend(truth.shown_names.iter().cloned());
        truth.refused_names = certificate_log::out_of_scope().into_iter().collect();
        truth.refused_names.extend(demo::names_of_others());
        truth
    }

    fn take(&mut self, row: ModelRow) {
        match row {
            ModelRow::Endpoint(row) => {
                let IpAddr::V4(ip) = row.ip else { return };
                self.endpoints.insert((ip, row.port));
                self.services.extend(row.service.map(|service| ((ip, row.port), service)));
            }
            ModelRow::EndpointCertificate(row) => {
                let IpAddr::V4(ip) = row.ip else { return };
                self.shown.insert(((ip, row.port), row.position, row.sha256));
            }
            ModelRow::Certificate(row) => {
                self.certificates.insert(row.certificate.sha256);
            }
            ModelRow::Domain(row) => {
                if row.sources == [TLS] {
                    self.shown_names.insert(row.name.to_string());
                }
                self.names.insert(row.name.to_string());
            }
            ModelRow::DomainRecord(_) => drop(self.records.insert(row.key())),
            ModelRow::DomainEndpoint(_) | ModelRow::Target(_) => {}
        }
    }

    /// How many findings there are, without those that were refused.
    pub(super) fn count(&self) -> usize {
        let Self { endpoints, services, shown, certificates, names, records, .. } = self;
        let of_hosts = endpoints.len() + services.len() + shown.len() + certificates.len();
        of_hosts + names.len() + records.len()
    }

    /// Those that `other` does not have, in a few words each.
    pub(super) fn beyond(&self, other: &Self) -> Vec<String> {
        let at = |port: &Port| format!("{}:{}", port.0, port.1);
        let mut beyond = Vec::new();
        beyond.extend(self.endpoints.difference(&other.endpoints).map(at));
        let services = self.services.difference(&other.services);
        beyond.extend(services.map(|(port, service)| format!("{service} at {}", at(port))));
        let shown = self.shown.difference(&other.shown);
        beyond.extend(shown.map(|(port, place, hash)| {
            format!("certificate {hash} at {}, place {place},", at(port))
        }));
        let certificates = self.certificates.difference(&other.certificates);
        beyond.extend(certificates.map(|hash| format!("certificate {hash}")));
        beyond.extend(self.names.difference(&other.names).cloned());
        beyond.extend(self.records.difference(&other.records).cloned());
        let names = self.shown_names.difference(&other.shown_names);
        // A name that nobody has is among the others already.
        let names = names.filter(|name| other.names.contains(*name));
        beyond.extend(names.map(|name| format!("{name}, that only certificates have it,")));
        beyond
    }

    /// How many hosts show a certificate of their own.
    pub(super) fn hosts_with_certificate(&self) -> usize {
        self.shown.iter().filter(|(_, place, _)| *place == 0).count()
    }

    /// How many hosts have `port` open.
    pub(super) fn hosts_with(&self, port: u16) -> usize {
        self.endpoints.iter().filter(|it| it.1 == port).count()
    }

    /// How many ports speak `service`.
    pub(super) fn speaking(&self, service: &str) -> usize {
        self.services.iter().filter(|it| it.1 == service).count()
    }
}

fn each(
    store: &dyn ManagerStore,
    model: Model,
    mut take: impl FnMut(ModelRow),
) -> Result<(), PlatformError> {
    let mut after: Option<String> = None;
    loop {
        let rows = store.list(model, after.as_deref(), ROWS)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some(last.key());
        rows.into_iter().for_each(&mut take);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_truth_leaves_out_what_is_excluded() {
        let certificates = Certificates::make().unwrap();
        let nobody = Findings::truth(&Prefix::new([198, 19, 0, 0], 16), &certificates);
        assert!(nobody.endpoints.is_empty() && nobody.shown.is_empty());
        let all = Findings::truth(&Prefix::new([192, 0, 2, 0], 24), &certificates);
        assert_eq!(all.endpoints.len() as u64, demo::totals()[0]);
        // Three blocks of hosts that show some of 200 leaves, and one that refuses.
        assert_eq!(all.hosts_with_certificate(), 8_192 + 1_024 + 512);
        assert_eq!(all.shown.len(), 2 * all.hosts_with_certificate());
        assert_eq!(all.certificates.len(), 201);
        assert_eq!(all.speaking("tls"), all.hosts_with_certificate() + 2_048);
        assert!(all.names.is_superset(&all.shown_names) && !all.shown_names.is_empty());
        assert!(all.names.is_disjoint(&all.refused_names));
    }

    #[test]
    fn every_kind_of_finding_is_told_apart() {
        let port = (Ipv4Addr::new(198, 19, 0, 1), 443);
        let name = || "a.example".to_owned();
        let one = Findings {
            endpoints: [port].into(),
            services: [(port, TLS.to_owned())].into(),
            shown: [(port, 0, "a4".to_owned())].into(),
            certificates: ["a4".to_owned()].into(),
            names: [name()].into(),
            records: ["a.example A 198.19.0.1".to_owned()].into(),
            shown_names: [name()].into(),
            refused_names: BTreeSet::new(),
        };
        assert_eq!(one.count(), 6);
        assert!(one.beyond(&one).is_empty());
        assert_eq!(one.beyond(&Findings::default()).len(), 6);
        let logged = Findings { shown_names: BTreeSet::new(), ..one.clone() };
        assert_eq!(one.beyond(&logged), ["a.example, that only certificates have it,"]);
    }
}
