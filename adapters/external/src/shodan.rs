//! What Shodan knows of an address, and of the names below a domain.
//!
//! As <https://developer.shodan.io/api> documents it, and its own client
//! (<https://github.com/achillean/shodan-python/blob/master/shodan/client.py>) uses it:
//!
//! - The key is `key` in the address, so no address may be logged. One request a second.
//! - `GET /shodan/host/{ip}`: `ip_str`, `hostnames`, `org`, `asn` (`AS64496`), `data` with a banner for each service:
//!   `port`, `transport`, `timestamp` (UTC, no zone), `product`, `_shodan.module`. A port may have several banners.
//! - `GET /dns/domain/{domain}?page=N`: `domain`, `subdomains`, `data` of `{subdomain, type, value, last_seen}`, where an
//!   empty subdomain is the domain itself, and `more`. Each page costs a query credit, and further pages need a larger plan:
//!   a refusal of one means that there was more.
//! - Errors are `{"error": ".."}`, in 401 a page now and then. 404 with `No information available for that ..` is an
//!   honest nothing, and the only one.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::BufRead,
    net::IpAddr,
};

use mrpf_ports::{Cx, Finished, Runs};
use mrpf_records::Timestamp;
use mrpf_tasks::{
    ErrorKind, Source, TaskDefinition, TaskError,
    catalogue::{
        DomainInput, HostFound, HostInput, NameFound, ServiceFound, ShodanDomain, ShodanHost,
    },
};
use serde::Deserialize;

use crate::{
    Settings,
    body::{self, BadAnswer},
    moment,
    names::each_once,
    service::{Answer, Refusal, Service, go_on, pace},
};

/// Pages of one domain that are asked for, each a credit.
const MOST_PAGES: u32 = 100;

/// Asks Shodan.
#[derive(Debug)]
pub(crate) struct AskShodan(Service);

impl AskShodan {
    pub(crate) fn new(settings: &Settings) -> Self {
        let name = Source::SHODAN.name;
        let service = Service::new(name, "SHODAN_BASE_URL", &settings.shodan, &settings.limits);
        Self(service.with_key("SHODAN_API_KEY", settings.shodan_key.as_ref()))
    }

    fn ask<T: TaskDefinition>(
        &self,
        cx: &Cx<'_, T>,
        path: &str,
        page: Option<u32>,
    ) -> Result<Result<Answer, Refusal>, TaskError> {
        let key = self.0.key()?;
        Ok(self.0.ask(path, cx.now(), |agent, url| {
            let request = agent.get(url).query("key", key);
            let request = match page {
                Some(page) => request.query("page", page.to_string()),
                None => request,
            };
            request.call()
        }))
    }

    fn bad(&self, bad: BadAnswer) -> TaskError {
        self.0.bad(bad)
    }
}

impl Runs<ShodanHost> for AskShodan {
    fn run(&self, cx: &Cx<'_, ShodanHost>, input: HostInput) -> Result<Finished, TaskError> {
        go_on(cx)?;
        let answer = match self.ask(cx, &format!("/shodan/host/{}", input.ip), None)? {
            Ok(answer) => answer,
            Err(refusal) if is_nothing(&refusal) => return Ok(Finished::default()),
            Err(refusal) => return Err(refusal.into()),
        };
        let host = read_host(answer).map_err(|bad| self.bad(bad))?;
        if host.ip != input.ip {
            return Err(self.bad(BadAnswer::malformed(format!("an answer about {}", host.ip))));
        }
        cx.emit(&host)?;
        Ok(Finished::default())
    }
}

impl Runs<ShodanDomain> for AskShodan {
    fn run(&self, cx: &Cx<'_, ShodanDomain>, input: DomainInput) -> Result<Finished, TaskError> {
        go_on(cx)?;
        let domain = input.domain.to_string();
        let (mut names, mut truncated) = (Addresses::new(), true);
        for page in 1..=MOST_PAGES {
            if page > 1 {
                pace(cx)?;
            }
            let answer = match self.ask(cx, &format!("/dns/domain/{domain}"), Some(page))? {
                Ok(answer) => answer,
                Err(refusal) if page == 1 && is_nothing(&refusal) => {
                    return Ok(Finished::default());
                }
                // The same key was good for the first page.
                Err(refusal) if page > 1 && is_of_plan(&refusal) => break,
                Err(refusal) => return Err(refusal.into()),
            };
            let more = read_domain(answer, &domain, &mut names).map_err(|bad| self.bad(bad))?;
            cx.progress(names.len() as u64, None, &format!("page {page}"));
            if !more {
                truncated = false;
                break;
            }
        }
        for name in found(&names) {
            cx.emit(&name)?;
        }
        Ok(Finished { truncated, ..Finished::default() })
    }
}

/// Whether Shodan says that it knows nothing.
fn is_nothing(refusal: &Refusal) -> bool {
    let says = |said: &str| said.to_ascii_lowercase().starts_with("no information available");
    refusal.status == Some(404) && refusal.said.as_deref().is_some_and(says)
}

/// Whether Shodan says in words that the plan of the key does not allow this.
fn is_of_plan(refusal: &Refusal) -> bool {
    refusal.error.kind == ErrorKind::Blocked && refusal.said.is_some()
}

#[derive(Deserialize)]
struct Host {
    ip_str: String,
    hostnames: Vec<String>,
    org: Option<String>,
    asn: Option<String>,
    data: Vec<Banner>,
}

#[derive(Deserialize)]
struct Banner {
    port: u16,
    transport: String,
    timestamp: Option<String>,
    product: Option<String>,
    #[serde(rename = "_shodan")]
    shodan: Option<Module>,
}

#[derive(Deserialize)]
struct Module {
    module: Option<String>,
}

/// Reads what Shodan knows of an address. Of several banners of a port the newest counts.
pub(crate) fn read_host(answer: impl BufRead) -> Result<HostFound, BadAnswer> {
    let host: Host = read(answer)?;
    let ip = host
        .ip_str
        .parse()
        .map_err(|_| BadAnswer::malformed("a host whose ip_str is no address"))?;
    let asn = match host.asn.as_deref() {
        Some(text) => {
            let number = text.strip_prefix("AS").and_then(|number| number.parse().ok());
            Some(number.ok_or_else(|| BadAnswer::malformed("an asn that is not AS and a number"))?)
        }
        None => None,
    };
    let mut services = BTreeMap::<(u16, String), (Option<Timestamp>, Option<String>)>::new();
    for banner in host.data {
        if banner.transport != "tcp" && banner.transport != "udp" {
            return Err(BadAnswer::malformed("a transport that is neither tcp nor udp"));
        }
        let seen_at = banner.timestamp.as_deref().and_then(moment::read);
        let module = banner.shodan.and_then(|shodan| shodan.module);
        let service = module.or(banner.product).filter(|service| !service.is_empty());
        let kept = services.entry((banner.port, banner.transport)).or_default();
        *kept = (seen_at, service).max(std::mem::take(kept));
    }
    let service = |((port, transport), (seen_at, service))| ServiceFound {
        port,
        transport,
        service,
        seen_at,
    };
    Ok(HostFound {
        ip,
        source: Source::SHODAN.name.to_owned(),
        services: services.into_iter().map(service).collect(),
        names: each_once(host.hostnames),
        asn,
        organization: host.org.filter(|org| !org.is_empty()),
    })
}

/// Where each name points.
pub(crate) type Addresses = BTreeMap<String, BTreeSet<IpAddr>>;

#[derive(Deserialize)]
struct Domain {
    domain: String,
    subdomains: Vec<String>,
    data: Vec<Record>,
    more: bool,
}

#[derive(Deserialize)]
struct Record {
    subdomain: String,
    #[serde(rename = "type")]
    kind: String,
    value: String,
}

/// Reads a page about `domain` into `names`; says whether there is another.
pub(crate) fn read_domain(
    answer: impl BufRead,
    domain: &str,
    names: &mut Addresses,
) -> Result<bool, BadAnswer> {
    let page: Domain = read(answer)?;
    if !page.domain.eq_ignore_ascii_case(domain) {
        return Err(BadAnswer::malformed("an answer about another domain"));
    }
    if page.more && page.data.is_empty() {
        return Err(BadAnswer::malformed("a page without records says that there are more"));
    }
    let full = |label: &str| match label.trim().to_ascii_lowercase().as_str() {
        "" => domain.to_ascii_lowercase(),
        label => format!("{label}.{}", domain.to_ascii_lowercase()),
    };
    for label in &page.subdomains {
        names.entry(full(label)).or_default();
    }
    for record in page.data {
        let addresses = names.entry(full(&record.subdomain)).or_default();
        if record.kind == "A" || record.kind == "AAAA" {
            addresses.extend(record.value.parse::<IpAddr>());
        }
    }
    Ok(page.more)
}

/// The names as records.
pub(crate) fn found(names: &Addresses) -> impl Iterator<Item = NameFound> {
    names.iter().map(|(name, addresses)| NameFound {
        addresses: addresses.iter().copied().collect(),
        ..NameFound::new(name, Source::SHODAN.name)
    })
}

/// All of an answer, unless it is an error with status 200, as Shodan's own client expects them.
fn read<T: serde::de::DeserializeOwned>(answer: impl BufRead) -> Result<T, BadAnswer> {
    let answer: serde_json::Value = body::value(answer)?;
    if let Some(error) = answer.get("error") {
        return Err(BadAnswer::malformed(error.as_str().unwrap_or("an error without words")));
    }
    serde_json::from_value(answer).map_err(|error| body::undocumented(&error))
}
