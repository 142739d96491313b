//! Forms that several tasks take or give.

use std::net::IpAddr;

use mrpf_records::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{CollectionId, TaskId};

/// Stored items that a task reads. A workflow file names the task or collection; the plan has its id.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DataRef {
    /// The output of a task.
    Task(TaskId),
    /// The output of every task of a collection that succeeded.
    Collection(CollectionId),
    /// What `InsertData` put into a collection.
    Rows(CollectionId),
}

/// A table of `recon` that tasks list and change.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// What somebody asked to watch: a domain, network, address or organisation.
    Target,
    /// A name.
    Domain,
    /// A port of an address.
    Endpoint,
    /// An X.509 certificate.
    Certificate,
    /// A certificate that a port of an address shows.
    EndpointCertificate,
    /// A name of a port of an address.
    DomainEndpoint,
    /// What DNS says of a name.
    DomainRecord,
}

impl Model {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Target,
        Self::Domain,
        Self::Endpoint,
        Self::Certificate,
        Self::EndpointCertificate,
        Self::DomainEndpoint,
        Self::DomainRecord,
    ];
}

/// A host name that a source knows.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct NameFound {
    /// As the source has it: it may be a wildcard (`*.example.org`), out of scope, or no name at all.
    pub name: String,
    /// Which source.
    pub source: String,
    /// From the newest certificate with the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// From the newest certificate with the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// Who signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Its serial number in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Where the name points, for sources of DNS data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
}

impl NameFound {
    /// A name and nothing else.
    pub fn new(name: impl Into<String>, source: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            source: source.into(),
            not_before: None,
            not_after: None,
            issuer: None,
            serial: None,
            addresses: Vec::new(),
        }
    }
}

/// A host that a source knows.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct HostFound {
    /// Its address.
    pub ip: IpAddr,
    /// Which source.
    pub source: String,
    /// What it offers.
    pub services: Vec<ServiceFound>,
    /// Its names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The autonomous system that announces it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// Who runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
}

/// A service that a source has seen.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct ServiceFound {
    /// Its port.
    pub port: u16,
    /// `tcp` or `udp`.
    pub transport: String,
    /// What speaks there, as the source calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// When the source last saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Timestamp>,
}
