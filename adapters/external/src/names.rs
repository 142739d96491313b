//! Names in certificates, each once.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use mrpf_records::Timestamp;
use mrpf_tasks::catalogue::NameFound;

/// What is kept of a certificate. Later ones are greater, by when they begin and then by whatever else differs, so that
/// the order in which a source gives them decides nothing.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Certificate {
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) not_after: Option<Timestamp>,
    pub(crate) serial: Option<String>,
    pub(crate) issuer: Option<String>,
}

/// Names, each with the newest certificate that has it. Many names share a certificate, which is kept once.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<String, Rc<Certificate>>);

impl Names {
    /// Adds the names of a certificate: in small letters, since the same name is written in both, and without blanks around
    /// them. Empty ones are dropped.
    pub(crate) fn add<'a>(
        &mut self,
        certificate: Certificate,
        names: impl IntoIterator<Item = &'a str>,
    ) {
        let certificate = Rc::new(certificate);
        for name in names.into_iter().map(str::trim).filter(|name| !name.is_empty()) {
            let kept =
                self.0.entry(name.to_ascii_lowercase()).or_insert_with(|| certificate.clone());
            if certificate.cmp(kept) == Ordering::Greater {
                *kept = certificate.clone();
            }
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them, by name.
    pub(crate) fn found(&self, source: &'static str) -> impl Iterator<Item = NameFound> {
        self.0.iter().map(move |(name, certificate)| NameFound {
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            issuer: certificate.issuer.clone(),
            serial: certificate.serial.clone(),
            ..NameFound::new(name, source)
        })
    }
}

/// Sorted, in small letters, without what is empty.
pub(crate) fn each_once(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let names = names.into_iter().map(|name| name.trim().to_ascii_lowercase());
    names.filter(|name| !name.is_empty()).collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment;

    fn certificate(year: u16, serial: &str) -> Certificate {
        let not_before = moment::read(&format!("{year}-01-01T00:00:00"));
        Certificate { not_before, serial: Some(serial.to_owned()), ..Certificate::default() }
    }

    #[test]
    fn the_newest_certificate_is_kept_in_any_order() {
        let rows = [
            (certificate(2024, "01"), ["www.example.org", "example.org"]),
            (certificate(2026, "03"), ["WWW.example.org", " "]),
            (certificate(2026, "02"), [" www.Example.org ", "old.example.org"]),
            (Certificate::default(), ["www.example.org", "bare.example.org"]),
        ];
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
            let mut names = Names::default();
            for row in order {
                names.add(rows[row].0.clone(), rows[row].1);
            }
            let found: Vec<_> = names
                .found("x")
                .map(|found| (found.name, found.serial.unwrap_or_default()))
                .collect();
            let expected = [("bare", ""), ("example.org", "01"), ("old", "02"), ("www", "03")].map(
                |(name, serial)| {
                    let name = if name.contains('.') {
                        name.to_owned()
                    } else {
                        format!("{name}.example.org")
                    };
                    (name, serial.to_owned())
                },
            );
            assert_eq!(found, expected, "{order:?}");
            assert_eq!(names.len(), 4);
        }
    }
}
