//! From the flags of `mrpf dns` to what is asked, and of whom.
//!
//! ```text
//!  names, -f, --words, --direct --> Ask ----.
//!  --ptr: networks, less what is excluded --> Ask --> Scan, by the resolvers of -r or those that lines name
//!  --sweep: networks --> targets, as for every scan --> Sweep, of each the same question
//! ```

use std::{path::PathBuf, sync::Arc};

use mrpf_dns::{
    Ask, Builder, DnsError, Origin, Show, Sweep,
    message::{Edns, Name, Qtype},
    sweep,
};
use mrpf_engine::target::{Targets, TargetsBuilder};

use crate::{
    args::{DnsArgs, ScanArgs},
    error::CliError,
    kind::Scan,
    report, resolvers,
    values::Wildcards,
};

/// Where name servers listen.
pub(crate) const PORT: &str = "53";

/// What is looked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    /// What names stand for.
    Names,
    /// Which names addresses have.
    Pointers,
    /// Which hosts answer.
    Sweep,
}

impl Form {
    pub(crate) fn of(args: &DnsArgs) -> Self {
        match (args.ptr, args.sweep) {
            (true, _) => Self::Pointers,
            (_, true) => Self::Sweep,
            _ => Self::Names,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Names => "names",
            Self::Pointers => "ptr",
            Self::Sweep => "sweep",
        }
    }
}

/// The types that are asked for.
pub(crate) fn types(args: &DnsArgs) -> Vec<Qtype> {
    match Form::of(args) {
        _ if !args.types.is_empty() => args.types.clone(),
        Form::Pointers => vec![Qtype::PTR],
        Form::Names | Form::Sweep => vec![Qtype::A],
    }
}

fn finds_wildcards(args: &DnsArgs) -> bool {
    match args.wildcards {
        Wildcards::Auto => args.words.is_some(),
        Wildcards::On => true,
        Wildcards::Off => false,
    }
}

fn edns(args: &DnsArgs) -> Option<Edns> {
    (!args.no_edns).then_some(Edns { dnssec_ok: args.dnssec_ok, ..Edns::USUAL })
}

/// What is asked about; not in a sweep, whose targets those are.
pub(crate) fn ask(args: &DnsArgs) -> Result<Ask, CliError> {
    let ScanArgs { targets, file, seed, .. } = &args.scan;
    if Form::of(args) == Form::Pointers {
        let addresses = Arc::new(addresses(&args.scan).build()?);
        return Ok(Ask::Pointers { addresses, seed: *seed });
    }
    let given = (!targets.is_empty()).then(|| Origin::Text(targets.join("\n")));
    let origins: Vec<_> = given.into_iter().chain(file.iter().cloned().map(Origin::File)).collect();
    if origins.is_empty() {
        return Err(CliError::NoNames);
    }
    Ok(match &args.words {
        Some(words) => Ask::Product { words: Origin::File(words.clone()), domains: origins },
        None => Ask::Lines { origins, servers: args.direct },
    })
}

/// The addresses whose names are asked for. Their ports say nothing, but targets have some.
pub(crate) fn addresses(args: &ScanArgs) -> TargetsBuilder {
    let mut targets = Targets::builder().allow_reserved(args.allow_reserved).ports(PORT);
    targets = args.targets.iter().fold(targets, |all, spec| all.spec(spec));
    targets = args.file.iter().fold(targets, |all, path| all.file(path));
    targets = args.exclude.iter().fold(targets, |all, spec| all.exclude(spec));
    targets = args.exclude_file.iter().fold(targets, |all, path| all.exclude_file(path));
    args.scope.iter().fold(targets, |all, path| all.scope_file(path))
}

/// Where a scan begins that goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Going {
    pub(crate) fingerprint: u64,
    pub(crate) mark: u64,
}

/// Starts it; `pace` says how fast, from where and by which link, and in a sweep at whom.
pub(crate) fn build(
    args: &DnsArgs,
    pace: mrpf_syn::Builder,
    going: Option<Going>,
) -> Result<Scan, CliError> {
    if Form::of(args) == Form::Sweep {
        let scan = describe_sweep(args, pace)?.build().map_err(DnsError::Scan)?;
        return Ok(Scan::Sweep(Box::new(scan)));
    }
    let resolvers = resolvers::read(&args.resolvers)?;
    let mut pace = resolvers.iter().fold(pace, |pace, addr| pace.target(addr.to_string()));
    if Form::of(args) == Form::Names {
        // Of names there are none: these are of the servers that lines name.
        let list = &args.scan;
        pace = list.exclude.iter().fold(pace, mrpf_syn::Builder::exclude);
        pace = list.exclude_file.iter().fold(pace, mrpf_syn::Builder::exclude_file);
        pace = list.scope.iter().fold(pace, mrpf_syn::Builder::scope_file);
    }
    let mut scan = Builder::new(pace, ask(args)?)
        .types(types(args))
        .class(args.class)
        .shard(args.scan.shard.unwrap_or_default())
        .timeout(args.timeout)
        .recursion(!args.direct)
        .edns(edns(args))
        .random_case(!args.no_0x20)
        .wildcards(finds_wildcards(args))
        .wire(args.wire)
        .show(show(args)?);
    if let Some(most) = args.in_flight {
        scan = scan.in_flight(most);
    }
    if let Some(Going { fingerprint, mark }) = going {
        scan = scan.expect_fingerprint(fingerprint).start_at(mark);
    }
    Ok(Scan::Dns(Box::new(scan.build()?)))
}

fn describe_sweep(args: &DnsArgs, targets: mrpf_syn::Builder) -> Result<sweep::Builder, CliError> {
    let query = args.query.as_deref().unwrap_or_default();
    let name = Name::parse(query.as_bytes())
        .map_err(|error| CliError::Query { name: query.to_owned(), why: error.to_string() })?;
    let [qtype] = types(args)[..] else { return Err(CliError::OneType) };
    let show = args.show.as_deref().unwrap_or("answered").parse::<sweep::Show>();
    let show = show.map_err(|error| CliError::Show(error.to_string()))?;
    Ok(Sweep::builder(targets)
        .question(name, qtype, args.class)
        // There are servers that refuse it, so only who wants signatures says something of it.
        .edns(edns(args).filter(|edns| edns.dnssec_ok))
        .mixed_case(!args.no_0x20)
        .show(show)
        .wire(args.wire))
}

fn show(args: &DnsArgs) -> Result<Show, CliError> {
    let Some(words) = &args.show else { return Ok(Show::ALL) };
    words.parse().map_err(|error: mrpf_dns::ShowError| CliError::Show(error.to_string()))
}

/// The settings as the summary tells them.
pub(crate) fn told(args: &DnsArgs) -> report::DnsSettings {
    let path = |path: &PathBuf| path.display().to_string();
    report::DnsSettings {
        form: Form::of(args).as_str(),
        resolvers: args.resolvers.clone(),
        types: types(args).iter().map(ToString::to_string).collect(),
        class: args.class.to_string(),
        query: args.query.clone(),
        words: args.words.as_ref().map(path),
        direct: args.direct,
        wildcards: finds_wildcards(args),
        dnssec_ok: args.dnssec_ok,
        edns: !args.no_edns,
        random_case: !args.no_0x20,
        in_flight: args.in_flight.map(std::num::NonZeroU32::get),
        timeout_s: args.timeout.as_secs_f64(),
        wire: args.wire,
    }
}

/// Which records are wanted, in words.
pub(crate) fn told_show(args: &DnsArgs) -> String {
    let usual = if args.sweep { "answered" } else { "all" };
    args.show.clone().unwrap_or_else(|| usual.to_owned())
}
