//! Hosts and certificates that match a query, from the Censys Platform.
//!
//! Global search of API version 3, as the models of Censys' own client describe it
//! (<https://github.com/censys/censys-sdk-python>, 0.16.7) and <https://docs.censys.com/reference/get-started>:
//!
//! - `POST /v3/global/search/query` with `{"query", "page_size", "page_token"}`; a page has at most 100 hits. `Bearer` and a
//!   personal access token; `organization_id` in the address says whose credits are used, else the token owner's own.
//! - `{"result": {"hits": [..], "next_page_token", "total_hits", ..}}`. `hits` may be `null` where there are none. The last
//!   page has an empty token.
//! - A hit is one of `host_v1`, `certificate_v1`, `webproperty_v1`, each with the thing itself as `resource`. A query
//!   may match several kinds; only what it asks for makes them differ.
//! - Errors are `application/problem+json` (RFC 9457); 401 and 403 are documented, and the client tries again after 429 and
//!   5xx. Free plans have no search: that is 403.
//!
//! Every page costs credits, so a task has a number of pages, and says that there was more where they do not reach.

use std::{io::BufRead, net::IpAddr};

use mrpf_ports::{Cx, Finished, Runs};
use mrpf_tasks::{
    ErrorKind, Source, TaskDefinition, TaskError,
    catalogue::{CensysCertificates, CensysHosts, CensysQuery, HostFound, ServiceFound},
};
use serde::{Deserialize, Serialize};

use crate::{
    Settings,
    body::{self, BadAnswer},
    moment,
    names::{Certificate, Names, each_once},
    service::{Service, go_on, pace},
};

/// The most that a page may have.
const PAGE: u32 = 100;

/// Asks Censys.
#[derive(Debug)]
pub(crate) struct AskCensys {
    service: Service,
    organization: Option<String>,
}

#[derive(Serialize)]
struct Question<'a> {
    query: &'a str,
    page_size: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    page_token: Option<&'a str>,
}

impl AskCensys {
    pub(crate) fn new(settings: &Settings) -> Self {
        let service = Service::new(
            Source::CENSYS.name,
            "CENSYS_BASE_URL",
            &settings.censys,
            &settings.limits,
        )
        .with_key("CENSYS_TOKEN", settings.censys_token.as_ref());
        Self { service, organization: settings.censys_organization.clone() }
    }

    /// Gives the hits of each page to `take`, which says how many of them are of the kind that is looked for.
    fn search<T: TaskDefinition>(
        &self,
        cx: &Cx<'_, T>,
        input: &CensysQuery,
        wanted: &str,
        mut take: impl FnMut(Vec<Hit>) -> Result<u64, TaskError>,
    ) -> Result<Finished, TaskError> {
        go_on(cx)?;
        let (mut token, mut hits, mut taken) = (None::<String>, 0, 0);
        for page_number in 1..=input.max_pages {
            if page_number > 1 {
                pace(cx)?;
            }
            let page = self.page(cx, &input.query, token.as_deref())?;
            hits += page.hits.len() as u64;
            taken += take(page.hits)?;
            cx.progress(hits, Some(page.total.max(hits)), &format!("page {page_number}"));
            if page.next.is_empty() {
                if hits == 0 && page.total > 0 {
                    let bad = BadAnswer::malformed(format!("no hit of {} is there", page.total));
                    return Err(self.service.bad(bad));
                }
                if hits > 0 && taken == 0 {
                    let why = format!("query: matched {hits} assets, none of them a {wanted}");
                    return Err(TaskError::new(ErrorKind::Input, why));
                }
                return Ok(Finished::default());
            }
            if token.as_ref() == Some(&page.next) {
                let bad = BadAnswer::malformed("the next page is the same page again");
                return Err(self.service.bad(bad));
            }
            token = Some(page.next);
        }
        Ok(Finished { truncated: true, ..Finished::default() })
    }

    fn page<T: TaskDefinition>(
        &self,
        cx: &Cx<'_, T>,
        query: &str,
        page_token: Option<&str>,
    ) -> Result<Page, TaskError> {
        let bearer = format!("Bearer {}", self.service.key()?);
        let question = Question { query, page_size: PAGE, page_token };
        let answer = self.service.ask("/v3/global/search/query", cx.now(), |agent, url| {
            let request = agent.post(url).header("authorization", bearer);
            let request = match &self.organization {
                Some(id) => request.query("organization_id", id),
                None => request,
            };
            request.send_json(question)
        })?;
        read(answer).map_err(|bad| self.service.bad(bad))
    }
}

impl Runs<CensysHosts> for AskCensys {
    fn run(&self, cx: &Cx<'_, CensysHosts>, input: CensysQuery) -> Result<Finished, TaskError> {
        self.search(cx, &input, "host", |hits| {
            let mut taken = 0;
            for hit in hits {
                if let Some(host) = hit.host().map_err(|bad| self.service.bad(bad))? {
                    cx.emit(&host)?;
                    taken += 1;
                }
            }
            Ok(taken)
        })
    }
}

impl Runs<CensysCertificates> for AskCensys {
    fn run(
        &self,
        cx: &Cx<'_, CensysCertificates>,
        input: CensysQuery,
    ) -> Result<Finished, TaskError> {
        let mut names = Names::default();
        let finished = self.search(cx, &input, "certificate", |hits| {
            let added = hits.into_iter().filter(|hit| hit.add_to(&mut names));
            Ok(added.count() as u64)
        })?;
        for name in names.found(Source::CENSYS.name) {
            cx.emit(&name)?;
        }
        Ok(finished)
    }
}

/// One page of a search.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) hits: Vec<Hit>,
    /// Of all pages.
    total: u64,
    /// Empty at the end.
    next: String,
}

/// Reads a page.
pub(crate) fn read(answer: impl BufRead) -> Result<Page, BadAnswer> {
    #[derive(Deserialize)]
    struct Envelope {
        result: SearchResult,
    }
    #[derive(Deserialize)]
    struct SearchResult {
        hits: Option<Vec<Hit>>,
        next_page_token: String,
        total_hits: f64,
    }
    let Envelope { result } = body::value(answer)?;
    let hits = result.hits.unwrap_or_default();
    if !hits.iter().all(Hit::is_known) {
        return Err(BadAnswer::malformed("a hit of no known kind"));
    }
    Ok(Page { hits, total: result.total_hits.max(0.0) as u64, next: result.next_page_token })
}

/// Something that matches a query.
#[derive(Debug, Deserialize)]
pub(crate) struct Hit {
    host_v1: Option<Asset<Host>>,
    certificate_v1: Option<Asset<CensysCertificate>>,
    webproperty_v1: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Asset<T> {
    resource: T,
}

#[derive(Debug, Deserialize)]
struct Host {
    ip: String,
    services: Option<Vec<Offered>>,
    dns: Option<Dns>,
    autonomous_system: Option<AutonomousSystem>,
    whois: Option<Whois>,
}

#[derive(Debug, Deserialize)]
struct Offered {
    port: Option<u16>,
    transport_protocol: Option<String>,
    protocol: Option<String>,
    scan_time: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Dns {
    names: Option<Vec<String>>,
    reverse_dns: Option<ReverseDns>,
}

#[derive(Debug, Deserialize)]
struct ReverseDns {
    names: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct AutonomousSystem {
    asn: Option<u32>,
    organization: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Whois {
    organization: Option<Organization>,
}

#[derive(Debug, Deserialize)]
struct Organization {
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct CensysCertificate {
    names: Option<Vec<String>>,
    parsed: Option<Parsed>,
}

#[derive(Debug, Default, Deserialize)]
struct Parsed {
    issuer_dn: Option<String>,
    serial_number_hex: Option<String>,
    validity_period: Option<Validity>,
}

#[derive(Debug, Deserialize)]
struct Validity {
    not_before: Option<String>,
    not_after: Option<String>,
}

impl Hit {
    fn is_known(&self) -> bool {
        self.host_v1.is_some() || self.certificate_v1.is_some() || self.webproperty_v1.is_some()
    }

    /// The host, where it is one.
    pub(crate) fn host(self) -> Result<Option<HostFound>, BadAnswer> {
        let Some(Asset { resource: host }) = self.host_v1 else { return Ok(None) };
        let ip: IpAddr =
            host.ip.parse().map_err(|_| BadAnswer::malformed("a host whose ip is no address"))?;
        let (names, reverse) = host.dns.map_or((None, None), |dns| (dns.names, dns.reverse_dns));
        let names = names.into_iter().chain(reverse.and_then(|reverse| reverse.names)).flatten();
        let (asn, owner) =
            host.autonomous_system.map_or((None, None), |system| (system.asn, system.organization));
        let registered = host.whois.and_then(|whois| whois.organization?.name);
        let services = host.services.unwrap_or_default().into_iter().filter_map(Offered::found);
        Ok(Some(HostFound {
            ip,
            source: Source::CENSYS.name.to_owned(),
            services: services.collect(),
            names: each_once(names),
            asn,
            organization: registered.or(owner).filter(|name| !name.is_empty()),
        }))
    }

    /// Adds the names of the certificate, where it is one.
    pub(crate) fn add_to(&self, names: &mut Names) -> bool {
        let Some(Asset { resource: certificate }) = &self.certificate_v1 else { return false };
        let nothing = Parsed::default();
        let parsed = certificate.parsed.as_ref().unwrap_or(&nothing);
        let time = |at: fn(&Validity) -> &Option<String>| {
            at(parsed.validity_period.as_ref()?).as_deref().and_then(moment::read)
        };
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let kept = Certificate {
            not_before: time(|validity| &validity.not_before),
            not_after: time(|validity| &validity.not_after),
            serial: text(&parsed.serial_number_hex),
            issuer: text(&parsed.issuer_dn),
        };
        names.add(kept, certificate.names.iter().flatten().map(String::as_str));
        true
    }
}

impl Offered {
    /// What has no port, as ICMP, is no service here.
    fn found(self) -> Option<ServiceFound> {
        let transport = match self.transport_protocol.as_deref()? {
            "tcp" => "tcp",
            // QUIC is UDP below (RFC 9000).
            "udp" | "quic" => "udp",
            _ => return None,
        };
        Some(ServiceFound {
            port: self.port?,
            transport: transport.to_owned(),
            service: self.protocol.filter(|protocol| !protocol.is_empty()),
            seen_at: self.scan_time.as_deref().and_then(moment::read),
        })
    }
}
