//! What was found: the rows of `recon`.

use std::net::{IpAddr, SocketAddr};

use mrpf_records::{CertificateRecord, Timestamp};
use mrpf_tasks::{DomainName, TaskId, WorkflowId, catalogue::Model, scope::Refusal};
use serde::{Deserialize, Serialize};

/// A row of a table of recon. Read by its fields: those that have the fields of others come first.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ModelRow {
    /// Of `recon.endpoint_certificate`.
    EndpointCertificate(EndpointCertificateRow),
    /// Of `recon.certificate`.
    Certificate(Box<CertificateRow>),
    /// Of `recon.domain_endpoint`.
    DomainEndpoint(DomainEndpointRow),
    /// Of `recon.domain_record`.
    DomainRecord(DomainRecordRow),
    /// Of `recon.endpoint`.
    Endpoint(EndpointRow),
    /// Of `recon.domain`.
    Domain(DomainRow),
    /// Of `recon.target`.
    Target(TargetRow),
}

impl ModelRow {
    /// Its table.
    pub fn model(&self) -> Model {
        match self {
            Self::Certificate(_) => Model::Certificate,
            Self::Domain(_) => Model::Domain,
            Self::DomainEndpoint(_) => Model::DomainEndpoint,
            Self::DomainRecord(_) => Model::DomainRecord,
            Self::Endpoint(_) => Model::Endpoint,
            Self::EndpointCertificate(_) => Model::EndpointCertificate,
            Self::Target(_) => Model::Target,
        }
    }

    /// Takes in what `other`, a row with the same key that comes later, says beyond this one.
    pub fn absorb(&mut self, other: &Self) {
        let add = |known: &mut Vec<String>, sources: &[String]| {
            for source in sources {
                if !known.contains(source) {
                    known.push(source.clone());
                }
            }
        };
        match (self, other) {
            (Self::Certificate(known), Self::Certificate(row))
                if known.certificate.der.is_none() =>
            {
                known.certificate.der.clone_from(&row.certificate.der);
            }
            (Self::Domain(known), Self::Domain(row)) => add(&mut known.sources, &row.sources),
            (Self::DomainEndpoint(known), Self::DomainEndpoint(row)) => {
                add(&mut known.sources, &row.sources);
            }
            (Self::Endpoint(known), Self::Endpoint(row)) => {
                known.service = row.service.clone().or_else(|| known.service.take());
            }
            (Self::EndpointCertificate(known), Self::EndpointCertificate(row)) => {
                known.position = known.position.min(row.position);
            }
            // Targets and DNS records have nothing but their key, and a certificate that is here whole nothing more to say.
            _ => {}
        }
    }

    /// When it was seen.
    pub fn seen_mut(&mut self) -> &mut Option<Seen> {
        match self {
            Self::Certificate(row) => &mut row.seen,
            Self::Domain(row) => &mut row.seen,
            Self::DomainEndpoint(row) => &mut row.seen,
            Self::DomainRecord(row) => &mut row.seen,
            Self::Endpoint(row) => &mut row.seen,
            Self::EndpointCertificate(row) => &mut row.seen,
            Self::Target(row) => &mut row.seen,
        }
    }

    /// What names it in its table, and sorts it: a name; `203.0.113.7:443/tcp`; `domain example.org`; the hash of a certificate;
    /// an endpoint and a hash; a name and an endpoint; a name, a type and what DNS says, as `example.org MX 10 mail.example.org.`.
    pub fn key(&self) -> String {
        let endpoint =
            |ip, port, transport: &str| format!("{}/{transport}", SocketAddr::new(ip, port));
        match self {
            Self::Certificate(row) => row.certificate.sha256.clone(),
            Self::Domain(row) => row.name.to_string(),
            Self::DomainEndpoint(row) => {
                format!("{} {}", row.domain, endpoint(row.ip, row.port, &row.transport))
            }
            Self::DomainRecord(row) => format!("{} {} {}", row.domain, row.rtype, row.data),
            Self::Endpoint(row) => endpoint(row.ip, row.port, &row.transport),
            Self::EndpointCertificate(row) => {
                format!("{} {}", endpoint(row.ip, row.port, &row.transport), row.sha256)
            }
            Self::Target(row) => format!("{} {}", row.kind.as_str(), row.value),
        }
    }
}

/// What somebody asked to watch.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TargetRow {
    /// What it is.
    pub kind: TargetKind,
    /// The domain, network, address or name.
    pub value: String,
    /// When it was seen; not known of a row that is to be written.
    #[serde(flatten)]
    pub seen: Option<Seen>,
}

/// What a target is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// A domain.
    Domain,
    /// A network.
    Cidr,
    /// An address.
    Ip,
    /// An organisation.
    Org,
}

impl TargetKind {
    /// The word that tables use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Cidr => "cidr",
            Self::Ip => "ip",
            Self::Org => "org",
        }
    }
}

/// A name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DomainRow {
    /// The name.
    pub name: DomainName,
    /// Which sources know it; sources of a row that is written are added to those that are known.
    #[serde(default)]
    pub sources: Vec<String>,
    /// When it was seen; not known of a row that is to be written.
    #[serde(flatten)]
    pub seen: Option<Seen>,
}

/// A port of an address that answers.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EndpointRow {
    /// The address.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
    /// `tcp` or `udp`.
    pub transport: String,
    /// What speaks there, as a source calls it; `None` leaves what is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// When it was seen; not known of a row that is to be written.
    #[serde(flatten)]
    pub seen: Option<Seen>,
}

/// A certificate, which is one row wherever it is shown.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CertificateRow {
    /// What stands in it; [`CertificateRecord::der`] where that was kept, and a row without leaves the one that is known.
    #[serde(flatten)]
    pub certificate: CertificateRecord,
    /// When it was seen; not known of a row that is to be written.
    #[serde(flatten)]
    pub seen: Option<Seen>,
}

/// A certificate that an endpoint shows.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EndpointCertificateRow {
    /// The address.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
    /// `tcp` or `udp`.
    pub transport: String,
    /// The certificate's hash.
    pub sha256: String,
    /// Where it stands among those that the endpoint shows: 0 is its own. Seen in several places, the first.
    pub position: u16,
    /// When it was seen; not known of a row that is to be written.
    #[serde(flatten)]
    pub seen: Option<Seen>,
}

/// A name of an endpoint.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DomainEndpointRow {
    /// The name.
    pub domain: DomainName,
    /// The address.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
    /// `tcp` or `udp`.
    pub transport: String,
    /// Which sources say so; sources of a row that is written are added to those that are known.
    #[serde(default)]
    pub sources: Vec<String>,
    /// When it was seen; not known of a row that is to be written.
    #[serde(flatten)]
    pub seen: Option<Seen>,
}

/// What DNS says of a name, through its aliases: an alias and what it leads to are rows of the name that was asked for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DomainRecordRow {
    /// The name.
    pub domain: DomainName,
    /// The type: `A`, `CNAME`, `TYPE65280`.
    pub rtype: String,
    /// The data, as a zone file has them.
    pub data: String,
    /// When it was seen; not known of a row that is to be written.
    #[serde(flatten)]
    pub seen: Option<Seen>,
}

impl DomainRecordRow {
    /// Octets of data that a table keeps: they are part of a key, and indexes have no more room. What is longer, as texts can
    /// be, stands in the output of its task alone.
    pub const MOST_DATA: usize = 2_000;
}

/// When a row was seen.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Seen {
    /// The first time.
    pub first_seen: Timestamp,
    /// The last time.
    pub last_seen: Timestamp,
}

/// What an upsert did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SeenCount {
    /// Rows that were not there.
    pub new: u64,
    /// Rows that were.
    pub known: u64,
}

/// Something that was not touched, and why.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RefusalRow {
    /// For which workflow.
    pub workflow_id: WorkflowId,
    /// Which task would have.
    pub task_id: TaskId,
    /// A range of addresses or a name.
    pub what: String,
    /// Why not.
    pub why: Refusal,
    /// Who said no: `manager`, or the class of the worker.
    pub by: String,
    /// When.
    pub at: Timestamp,
}
