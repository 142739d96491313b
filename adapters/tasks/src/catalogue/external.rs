//! Tasks that ask public services.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{HostFound, NameFound};
use crate::{Check, DomainName, Source, task};

task! {
    /// Names of a domain in logged certificates, from crt.sh.
    pub struct CrtSh;
    requires: [];
    input: CrtShInput;
    output: NameFound;
    source: Source::CRT_SH;
}

/// See [`CrtSh`].
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CrtShInput {
    /// The domain; certificates of names below it are asked for too.
    pub domain: DomainName,
    /// Whether certificates that have expired count.
    #[serde(default)]
    pub include_expired: bool,
}

impl Check for CrtShInput {
    fn dedupe_key(&self) -> Option<String> {
        Some(format!("crt.sh:{}:{}", self.domain, self.include_expired))
    }
}

task! {
    /// Hosts that match a query, from Censys (needs a plan with search).
    pub struct CensysHosts;
    requires: [];
    input: CensysQuery;
    output: HostFound;
    source: Source::CENSYS;
}

task! {
    /// Names in certificates that match a query, from Censys (needs a plan with search).
    pub struct CensysCertificates;
    requires: [];
    input: CensysQuery;
    output: NameFound;
    source: Source::CENSYS;
}

/// See [`CensysHosts`] and [`CensysCertificates`].
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CensysQuery {
    /// In the Censys Query Language: `host.ip: 203.0.113.0/24`.
    pub query: String,
    /// Most pages of 100 hits; each costs credits. What lies beyond is reported as truncated.
    #[serde(default = "ten")]
    pub max_pages: u16,
}

fn ten() -> u16 {
    10
}

impl Check for CensysQuery {
    fn check(&self) -> Result<(), String> {
        match (self.query.trim().is_empty(), self.max_pages) {
            (true, _) => Err("query: is empty".to_owned()),
            (_, 0) => Err("max_pages: must be 1 or more".to_owned()),
            _ => Ok(()),
        }
    }
}

task! {
    /// What Shodan knows of one address.
    pub struct ShodanHost;
    requires: [];
    input: HostInput;
    output: HostFound;
    source: Source::SHODAN;
}

/// See [`ShodanHost`].
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HostInput {
    /// The address.
    pub ip: IpAddr,
}

impl Check for HostInput {
    fn dedupe_key(&self) -> Option<String> {
        Some(format!("shodan:host:{}", self.ip))
    }
}

task! {
    /// Names below a domain and where they point, from Shodan.
    pub struct ShodanDomain;
    requires: [];
    input: DomainInput;
    output: NameFound;
    source: Source::SHODAN;
}

/// See [`ShodanDomain`].
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DomainInput {
    /// The domain.
    pub domain: DomainName,
}

impl Check for DomainInput {
    fn dedupe_key(&self) -> Option<String> {
        Some(format!("shodan:domain:{}", self.domain))
    }
}
