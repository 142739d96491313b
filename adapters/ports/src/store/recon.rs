//! What was found: the rows of `recon`.

use std::net::{IpAddr, SocketAddr};

use mrpf_records::Timestamp;
use mrpf_tasks::{DomainName, TaskId, WorkflowId, catalogue::Model, scope::Refusal};
use serde::{Deserialize, Serialize};

/// A row of a table of recon.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ModelRow {
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
            Self::Domain(_) => Model::Domain,
            Self::Endpoint(_) => Model::Endpoint,
            Self::Target(_) => Model::Target,
        }
    }

    /// What names it in its table, and sorts it: a name; `203.0.113.7:443/tcp`; `domain example.org`.
    pub fn key(&self) -> String {
        match self {
            Self::Domain(row) => row.name.to_string(),
            Self::Endpoint(row) => {
                format!("{}/{}", SocketAddr::new(row.ip, row.port), row.transport)
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
