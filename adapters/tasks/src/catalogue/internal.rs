//! Tasks on stored data.
//!
//! A `field` is a JSON pointer (RFC 6901) into an item, `/name`; the empty one is the item itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    DataRef, Model,
    bare_metal::{check_ports, check_rate},
};
use crate::{AddressRange, Check, CollectionId, task};

pub(super) fn check_field(field: &str) -> Result<(), String> {
    if field.is_empty() || field.starts_with('/') {
        return Ok(());
    }
    Err(format!("field: {field:?} is no JSON pointer; write \"/{field}\""))
}

task! {
    /// Passes items whose field equals a value.
    pub struct FilterEquals;
    requires: [TaskDataAccess];
    input: FilterEqualsInput;
    output: Value;
}

/// See [`FilterEquals`].
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FilterEqualsInput {
    /// The items.
    pub from: DataRef,
    /// Which field.
    pub field: String,
    /// Its value.
    pub equals: Value,
    /// Passes those that differ instead.
    #[serde(default)]
    pub negate: bool,
}

impl Check for FilterEqualsInput {
    fn check(&self) -> Result<(), String> {
        check_field(&self.field)
    }
}

task! {
    /// Passes items whose field matches a regular expression.
    pub struct FilterRegex;
    requires: [TaskDataAccess];
    input: FilterRegexInput;
    output: Value;
}

/// See [`FilterRegex`].
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FilterRegexInput {
    /// The items.
    pub from: DataRef,
    /// Which field; one that is no text does not match.
    pub field: String,
    /// In the syntax of the `regex` crate; matches anywhere unless anchored.
    pub pattern: String,
    /// Passes those that do not match instead.
    #[serde(default)]
    pub negate: bool,
}

impl Check for FilterRegexInput {
    fn check(&self) -> Result<(), String> {
        check_field(&self.field)
    }
}

task! {
    /// Passes items whose name or address lies in the workflow's scope, and records those that do not.
    pub struct FilterInScope;
    requires: [TaskDataAccess, ReconDataAccess];
    input: FilterInput;
    output: Value;
}

task! {
    /// Passes the first item with each value of a field.
    pub struct FilterDedupe;
    requires: [TaskDataAccess];
    input: FilterInput;
    output: Value;
}

/// See [`FilterInScope`] and [`FilterDedupe`].
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FilterInput {
    /// The items.
    pub from: DataRef,
    /// Which field. For names, a leading `*.` is taken off.
    pub field: String,
}

impl Check for FilterInput {
    fn check(&self) -> Result<(), String> {
        check_field(&self.field)
    }
}

task! {
    /// Passes items whose field is no key of a recon table yet.
    pub struct FilterNew;
    requires: [TaskDataAccess, ReconDataAccess];
    input: FilterNewInput;
    output: Value;
}

/// See [`FilterNew`].
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FilterNewInput {
    /// The items.
    pub from: DataRef,
    /// Which field: a target's value, a domain's name, an endpoint's `ip:port`, a certificate.
    pub field: String,
    /// The table.
    pub model: Model,
}

impl Check for FilterNewInput {
    fn check(&self) -> Result<(), String> {
        check_field(&self.field)
    }
}

task! {
    /// Gives the rows of a recon table.
    pub struct ListModels;
    requires: [TaskDataAccess, ReconDataAccess];
    input: ListInput;
    output: Value;
}

/// See [`ListModels`].
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ListInput {
    /// The table.
    pub model: Model,
    /// Whether rows outside the workflow's scope are given too.
    #[serde(default)]
    pub out_of_scope: bool,
    /// Most rows.
    #[serde(default = "many")]
    pub limit: u64,
}

fn many() -> u64 {
    1_000_000
}

impl Check for ListInput {}

task! {
    /// Writes items to a recon table: new ones are added, known ones seen again.
    pub struct UpsertModels;
    requires: [TaskDataAccess, ReconDataAccess];
    input: UpsertInput;
    output: Upserted;
}

/// See [`UpsertModels`].
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UpsertInput {
    /// The table. Items are names (`NameFound`), TLS or DNS records for `domain`, records of scans or hosts for `endpoint`
    /// (`SynRecord`, `TlsRecord`, `HostFound`), TLS records for `certificate`, `endpoint_certificate` and `domain_endpoint`, DNS
    /// records for `domain_record`, `{kind, value}` for `target`.
    pub model: Model,
    /// The items.
    pub from: DataRef,
}

impl Check for UpsertInput {}

/// What [`UpsertModels`] did.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Upserted {
    /// Rows that were not there.
    pub new: u64,
    /// Rows that were.
    pub known: u64,
    /// Items that are none of the model's.
    pub malformed: u64,
    /// Items outside the scope, each of which is recorded.
    pub refused: u64,
}

task! {
    /// Puts items into a collection, one for each key.
    pub struct InsertData;
    requires: [TaskDataAccess];
    input: InsertInput;
    output: Counted;
}

/// See [`InsertData`].
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct InsertInput {
    /// The items.
    pub from: DataRef,
    /// Where they go: `{ collection = "name" }` in a workflow file.
    pub into: IntoCollection,
    /// The field that is the key: a second item with the same is dropped.
    pub key: String,
}

/// A collection as a place for data.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct IntoCollection {
    /// Which.
    pub collection: CollectionId,
}

impl Check for InsertInput {
    fn check(&self) -> Result<(), String> {
        check_field(&self.key)
    }
}

/// A number of items.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Counted {
    /// How many.
    pub count: u64,
}

task! {
    /// Gives the items of all tasks of a collection.
    pub struct AggregateCollect;
    requires: [TaskDataAccess];
    input: AggregateInput;
    output: Value;
}

task! {
    /// Counts the items of all tasks of a collection.
    pub struct AggregateCount;
    requires: [TaskDataAccess];
    input: AggregateInput;
    output: Counted;
}

/// See [`AggregateCollect`] and [`AggregateCount`].
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AggregateInput {
    /// The items.
    pub from: DataRef,
}

impl Check for AggregateInput {}

task! {
    /// Gives each value of a field that any task of a collection gave, once and in order.
    pub struct AggregateUnion;
    requires: [TaskDataAccess];
    input: UnionInput;
    output: Value;
}

/// See [`AggregateUnion`].
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UnionInput {
    /// The items.
    pub from: DataRef,
    /// Which field.
    pub field: String,
}

impl Check for UnionInput {
    fn check(&self) -> Result<(), String> {
        check_field(&self.field)
    }
}

task! {
    /// Decides which way a workflow goes on: edges on `true` or on `false`.
    pub struct Conditional;
    requires: [TaskDataAccess];
    input: ConditionalInput;
    output: Counted;
}

/// See [`Conditional`].
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ConditionalInput {
    /// The items that are looked at.
    pub from: DataRef,
    /// What must hold of them.
    pub condition: Condition,
}

impl Check for ConditionalInput {
    fn check(&self) -> Result<(), String> {
        match &self.condition {
            Condition::Any { field, .. } | Condition::All { field, .. } => check_field(field),
            Condition::CountAtLeast(_) | Condition::CountAtMost(_) => Ok(()),
        }
    }
}

/// What must hold of items.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// There are so many or more.
    CountAtLeast(u64),
    /// There are so many or fewer.
    CountAtMost(u64),
    /// One has this value in this field.
    Any {
        /// Which field.
        field: String,
        /// Its value.
        equals: Value,
    },
    /// Each has this value in this field.
    All {
        /// Which field.
        field: String,
        /// Its value.
        equals: Value,
    },
}

task! {
    /// Cuts addresses and ports into scans of ten minutes at most, each a TcpSynScan or TlsScan of its collection.
    pub struct GenerateTargets;
    requires: [TaskDataAccess, QueueAccess, ReconDataAccess];
    input: GenerateInput;
    output: Generated;
}

/// See [`GenerateTargets`].
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GenerateInput {
    /// What scans.
    #[serde(default)]
    pub scan: ScanKind,
    /// What is scanned; the address ranges of the workflow's scope where neither this nor `from` is given.
    #[serde(default)]
    pub addresses: Vec<AddressRange>,
    /// Items with addresses, to be scanned as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<DataRef>,
    /// Where an item has its address, or a list of them.
    #[serde(default = "ip_field")]
    pub field: String,
    /// Ports: `80,443`, `1-1024`, `-` for all. A TLS scan without has the endpoints that `from` names: of each item the address, its
    /// `/port`, and its `/server_name` if it has one.
    #[serde(default)]
    pub ports: String,
    /// Frames a second for the whole scan, all its workers together.
    #[serde(default = "ten_thousand")]
    pub rate: u64,
    /// Attempts after the first.
    #[serde(default = "two")]
    pub retries: u8,
    /// Seconds in which answers are taken after the last attempt.
    #[serde(default = "eight")]
    pub cooldown_secs: u8,
}

/// What kind of scan [`GenerateTargets`] makes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ScanKind {
    /// `TcpSynScan`.
    #[default]
    Syn,
    /// `TlsScan`.
    Tls,
}

fn ip_field() -> String {
    "/ip".to_owned()
}

fn ten_thousand() -> u64 {
    10_000
}

fn two() -> u8 {
    2
}

fn eight() -> u8 {
    8
}

impl Check for GenerateInput {
    fn check(&self) -> Result<(), String> {
        check_field(&self.field)?;
        check_rate(self.rate)?;
        let has_endpoints = self.scan == ScanKind::Tls && self.ports.is_empty();
        if !has_endpoints {
            return check_ports(&self.ports);
        }
        if self.from.is_none() || !self.addresses.is_empty() {
            return Err("ports: without them, the endpoints are those of `from` and nothing else"
                .to_owned());
        }
        Ok(())
    }
}

/// What [`GenerateTargets`] made.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Generated {
    /// Scans.
    pub shards: u32,
    /// Addresses in all; of endpoints, how many.
    pub addresses: u64,
    /// Ports of each.
    pub ports: u32,
    /// Frames a second of each scan.
    pub rate: u64,
}
