//! What a TLS connection and an answer of DNS tell recon.
//!
//! ```text
//!  TlsRecord --> endpoint                 something answers there, and what it speaks
//!           |--> certificate              each that was shown, once
//!           |--> endpoint_certificate     where, and in which place
//!           |--> domain                   names that the host's own certificate is for
//!           '--> domain_endpoint          those of them that are no wildcards, and the name that was asked for
//!
//!  DnsRecord --> domain                   the name, when it is there by itself
//!           '--> domain_record            what it stands for, aliases on the way
//! ```

use mrpf_records::{DnsRecord, TlsOutcome, TlsRecord, TlsStage};
use mrpf_tasks::{DomainName, catalogue::Model};

use super::{
    CertificateRow, DomainEndpointRow, DomainRecordRow, DomainRow, EndpointCertificateRow,
    EndpointRow, ModelRow,
};

/// What names of certificates are said to come from.
const SOURCE: &str = "tls";
/// What names that DNS has are said to come from.
const DNS: &str = "dns";
/// What TLS runs on.
const TRANSPORT: &str = "tcp";

/// The rows of a table that a TLS connection tells; none of targets, which people make.
pub fn told_by_tls(record: &TlsRecord, model: Model) -> Vec<ModelRow> {
    let TlsRecord { ip, port, .. } = *record;
    let transport = TRANSPORT.to_owned();
    match model {
        Model::Certificate => {
            let row = |certificate| CertificateRow { certificate, seen: None };
            let rows = record.certificates.iter().map(|it| row((**it).clone()));
            rows.map(|row| ModelRow::Certificate(Box::new(row))).collect()
        }
        Model::EndpointCertificate => (0..)
            .zip(&record.certificates)
            .map(|(position, certificate)| {
                ModelRow::EndpointCertificate(EndpointCertificateRow {
                    ip,
                    port,
                    transport: transport.clone(),
                    sha256: certificate.sha256.clone(),
                    position,
                    seen: None,
                })
            })
            .collect(),
        Model::Domain => {
            let names = own_names(record).filter_map(|name| {
                // Of a wildcard the name below which it stands.
                name.strip_prefix("*.").unwrap_or(name).parse::<DomainName>().ok()
            });
            let row = |name| DomainRow { name, sources: vec![SOURCE.to_owned()], seen: None };
            names.map(|name| ModelRow::Domain(row(name))).collect()
        }
        Model::DomainEndpoint => {
            let is_asked_for = record.trust.is_some_and(|trust| trust.name_match == Some(true));
            let asked = record.sni.as_deref().filter(|_| is_asked_for);
            let names = own_names(record).chain(asked).filter_map(|name| name.parse().ok());
            names
                .map(|domain| {
                    ModelRow::DomainEndpoint(DomainEndpointRow {
                        domain,
                        ip,
                        port,
                        transport: transport.clone(),
                        sources: vec![SOURCE.to_owned()],
                        seen: None,
                    })
                })
                .collect()
        }
        Model::Endpoint if record.stage > TlsStage::Syn => {
            let service = service(record);
            vec![ModelRow::Endpoint(EndpointRow { ip, port, transport, service, seen: None })]
        }
        Model::DomainRecord | Model::Endpoint | Model::Target => Vec::new(),
    }
}

/// The rows of a table that an answer of DNS tells: of a name that is there, and not because its parent answers for any.
pub fn told_by_dns(record: &DnsRecord, model: Model) -> Vec<ModelRow> {
    let is_there = record.status == "NOERROR" && record.wildcard != Some(true);
    let answers = if is_there { record.answers.as_slice() } else { &[] };
    // What is asked for may be no host's name, as that of an address.
    let Ok(domain) = record.name.parse::<DomainName>() else { return Vec::new() };
    match model {
        Model::Domain if !answers.is_empty() => {
            let sources = vec![DNS.to_owned()];
            vec![ModelRow::Domain(DomainRow { name: domain, sources, seen: None })]
        }
        Model::DomainRecord => answers
            .iter()
            .filter(|answer| answer.data.len() <= DomainRecordRow::MOST_DATA)
            .map(|answer| {
                ModelRow::DomainRecord(DomainRecordRow {
                    domain: domain.clone(),
                    rtype: answer.rtype.to_string(),
                    data: answer.data.clone(),
                    seen: None,
                })
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// What the host's own certificate is for, of which not all are names.
fn own_names(record: &TlsRecord) -> impl Iterator<Item = &str> {
    let own = record.certificates.first().map(|own| own.sans.as_slice()).unwrap_or_default();
    own.iter().map(String::as_str)
}

fn service(record: &TlsRecord) -> Option<String> {
    match record.outcome {
        TlsOutcome::NotTls => record.service.as_deref().map(str::to_owned),
        TlsOutcome::Alert => Some(SOURCE.to_owned()),
        _ if record.stage >= TlsStage::ServerHello => Some(SOURCE.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mrpf_records::{CertificateRecord, DnsData, Timestamp, Trust};

    use super::*;

    fn record(outcome: TlsOutcome, stage: TlsStage) -> TlsRecord {
        let ts = Timestamp::from_unix_micros(0);
        TlsRecord::new(ts, "198.19.0.7".parse().unwrap(), 443, outcome, stage)
    }

    fn certificate(hash: &str, sans: &[&str]) -> Arc<CertificateRecord> {
        Arc::new(CertificateRecord {
            sha256: hash.repeat(32),
            sans: sans.iter().map(|san| (*san).to_owned()).collect(),
            ..CertificateRecord::default()
        })
    }

    fn keys(record: &TlsRecord, model: Model) -> Vec<String> {
        let rows = told_by_tls(record, model);
        assert!(rows.iter().all(|row| row.model() == model));
        rows.iter().map(ModelRow::key).collect()
    }

    #[test]
    fn a_connection_tells_certificates_where_they_are_and_names() {
        let mut record = record(TlsOutcome::Ok, TlsStage::Done);
        let own = ["www.Example.org", "*.example.org", "198.19.0.7", "email:me@example.org"];
        record.certificates = vec![certificate("a4", &own), certificate("5b", &["ca.example"])];
        let (own, ca) = ("a4".repeat(32), "5b".repeat(32));
        assert_eq!(keys(&record, Model::Certificate), [own.as_str(), &ca]);
        assert_eq!(
            keys(&record, Model::EndpointCertificate),
            [format!("198.19.0.7:443/tcp {own}"), format!("198.19.0.7:443/tcp {ca}")]
        );
        assert_eq!(keys(&record, Model::Domain), ["www.example.org", "example.org"]);
        let www = "www.example.org 198.19.0.7:443/tcp";
        assert_eq!(keys(&record, Model::DomainEndpoint), [www]);
        assert_eq!(keys(&record, Model::Target), <[&str; 0]>::default());
        record.sni = Some("a.example.org".to_owned());
        assert_eq!(keys(&record, Model::DomainEndpoint), [www], "nobody says that it has the name");
        record.trust = Some(Trust { name_match: Some(true), valid_now: None, chain: None });
        assert_eq!(keys(&record, Model::DomainEndpoint), [www, "a.example.org 198.19.0.7:443/tcp"]);
    }

    #[test]
    fn a_name_tells_what_it_stands_for_unless_its_parent_answers_for_any() {
        let data = |name: &str, rtype: &'static str, data: &str| DnsData {
            name: name.to_owned(),
            rtype: rtype.into(),
            class: None,
            ttl: 60,
            data: data.to_owned(),
        };
        let ts = Timestamp::from_unix_micros(0);
        let mut record =
            DnsRecord::new(ts, "WWW.example.org".to_owned(), "A".into(), "NOERROR".into());
        record.answers = vec![
            data("www.example.org", "CNAME", "web.example."),
            data("web.example", "A", "198.19.0.7"),
            data("web.example", "TXT", &"x".repeat(DomainRecordRow::MOST_DATA + 1)),
        ];
        let keys = |record: &DnsRecord, model| -> Vec<String> {
            told_by_dns(record, model).iter().map(ModelRow::key).collect()
        };
        assert_eq!(keys(&record, Model::Domain), ["www.example.org"]);
        assert_eq!(
            keys(&record, Model::DomainRecord),
            ["www.example.org CNAME web.example.", "www.example.org A 198.19.0.7"]
        );
        assert_eq!(keys(&record, Model::Endpoint), <[&str; 0]>::default());
        for nothing in [
            DnsRecord { wildcard: Some(true), ..record.clone() },
            DnsRecord { status: "NXDOMAIN".into(), ..record.clone() },
            DnsRecord { answers: Vec::new(), ..record.clone() },
            DnsRecord { name: "a b.example.org".to_owned(), ..record.clone() },
        ] {
            assert_eq!(told_by_dns(&nothing, Model::Domain), [], "{nothing:?}");
            assert_eq!(told_by_dns(&nothing, Model::DomainRecord), [], "{nothing:?}");
        }
    }

    #[test]
    fn an_endpoint_speaks_what_it_answered() {
        let service = |outcome, stage, service: Option<&'static str>| {
            let record = TlsRecord { service: service.map(Into::into), ..record(outcome, stage) };
            match told_by_tls(&record, Model::Endpoint).as_slice() {
                [ModelRow::Endpoint(row)] => Some(row.service.clone()),
                rows => {
                    assert_eq!(rows, []);
                    None
                }
            }
        };
        use TlsOutcome::{Alert, NotTls, Ok, Refused, Reset, Timeout};
        use TlsStage::{Certificate, Connected, Done, Hello, Syn};
        let tls = Some(Some("tls".to_owned()));
        assert_eq!(service(Ok, Done, None), tls);
        assert_eq!(service(Reset, Certificate, None), tls);
        assert_eq!(service(Alert, Hello, None), tls);
        assert_eq!(service(NotTls, Hello, Some("ssh")), Some(Some("ssh".to_owned())));
        assert_eq!(service(NotTls, Hello, None), Some(None));
        assert_eq!(service(Timeout, Connected, None), Some(None));
        assert_eq!(service(Timeout, Syn, None), None);
        assert_eq!(service(Refused, Syn, None), None);
    }
}
