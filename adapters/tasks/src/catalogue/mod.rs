//! The tasks that ship with mrpf: what each needs, takes and gives. `mrpf tasks` lists them.

mod bare_metal;
mod data;
mod dns;
mod external;
mod internal;

pub use self::{
    bare_metal::{SynScanInput, TcpSynScan, TlsHost, TlsScan, TlsScanInput, count_ports},
    data::{DataRef, HostFound, Model, NameFound, ServiceFound},
    dns::{DnsScan, DnsScanInput},
    external::{
        CensysCertificates, CensysHosts, CensysQuery, CrtSh, CrtShInput, DomainInput, HostInput,
        ShodanDomain, ShodanHost,
    },
    internal::{
        AggregateCollect, AggregateCount, AggregateInput, AggregateUnion, Condition, Conditional,
        ConditionalInput, Counted, FilterDedupe, FilterEquals, FilterEqualsInput, FilterInScope,
        FilterInput, FilterNew, FilterNewInput, FilterRegex, FilterRegexInput, GenerateInput,
        GenerateTargets, Generated, InsertData, InsertInput, IntoCollection, ListInput, ListModels,
        ScanKind, UnionInput, UpsertInput, UpsertModels, Upserted,
    },
};
use crate::Registry;

/// All of them.
pub(crate) fn all() -> Registry {
    Registry::new()
        .with::<AggregateCollect>()
        .with::<AggregateCount>()
        .with::<AggregateUnion>()
        .with::<CensysCertificates>()
        .with::<CensysHosts>()
        .with::<Conditional>()
        .with::<CrtSh>()
        .with::<DnsScan>()
        .with::<FilterDedupe>()
        .with::<FilterEquals>()
        .with::<FilterInScope>()
        .with::<FilterNew>()
        .with::<FilterRegex>()
        .with::<GenerateTargets>()
        .with::<InsertData>()
        .with::<ListModels>()
        .with::<ShodanDomain>()
        .with::<ShodanHost>()
        .with::<TcpSynScan>()
        .with::<TlsScan>()
        .with::<UpsertModels>()
}
