//! Names in logged certificates, from crt.sh.
//!
//! crt.sh documents no API; what it does follows from the SQL that makes its pages
//! (<https://github.com/crtsh/certwatch_db/blob/master/fnc/web_apis.fnc>, read as of April 2026):
//!
//! - `q=NAME` is looked up among the identities of a certificate, which hold every parent domain of each of its names: so
//!   `q=example.org` finds the certificates of all names below it too, and needs no `%.`.
//! - Of those certificates the names with the text in them are given. `match=ILIKE` must be said: a domain with a `-` is
//!   else compared as a whole word, and the names below it are left out.
//! - `q` is tried as a certificate's number, hash or serial number first. A text without a dot may be one of those
//!   (`q=cafe`), so it goes as `Identity`.
//! - The answer is an array with a row for each certificate: `issuer_name`, `name_value` (names with line feeds between
//!   them, wildcards and e-mail addresses among them), `not_before`, `not_after` (UTC, no zone), `serial_number`
//!   (hexadecimal), `result_count` and more. No match is `[]`.
//! - **At most 10,000 identities are looked at**, which is not 10,000 rows: `result_count` says how many of them a row
//!   stands for, and their sum reaches 10,000 where there was more.
//! - When the database gives up, what there is goes out as `text/html` with status 200. Under load there is 429, 502 or an
//!   empty body, and to user agents that it does not like 403 (as users of subfinder found:
//!   <https://github.com/projectdiscovery/subfinder/issues/666>).
//!
//! About five requests a minute from one address are tolerated; a task makes one.

use std::io::BufRead;

use mrpf_ports::{Cx, Finished, Runs};
use mrpf_tasks::{
    Source, TaskError,
    catalogue::{CrtSh, CrtShInput},
};
use serde::Deserialize;

use crate::{
    Settings,
    body::{self, BadAnswer},
    moment,
    names::{Certificate, Names},
    service::{Service, go_on},
};

/// Identities that crt.sh looks at: `c_resultLimit` in its SQL.
const MOST_IDENTITIES: u64 = 10_000;

/// Asks crt.sh.
#[derive(Debug)]
pub(crate) struct AskCrtSh(Service);

impl AskCrtSh {
    pub(crate) fn new(settings: &Settings) -> Self {
        let name = Source::CRT_SH.name;
        Self(Service::new(name, "CRTSH_BASE_URL", &settings.crt_sh, &settings.limits))
    }
}

impl Runs<CrtSh> for AskCrtSh {
    fn run(&self, cx: &Cx<'_, CrtSh>, input: CrtShInput) -> Result<Finished, TaskError> {
        go_on(cx)?;
        let domain = input.domain.to_string();
        cx.progress(0, None, "waits for crt.sh");
        let answer = self.0.ask("/", cx.now(), |agent, url| {
            let parameter = if domain.contains('.') { "q" } else { "Identity" };
            let request = agent
                .get(url)
                .query(parameter, &domain)
                .query("match", "ILIKE")
                .query("output", "json");
            let request =
                if input.include_expired { request } else { request.query("exclude", "expired") };
            request.call()
        })?;
        let read = read(answer).map_err(|bad| self.0.bad(bad))?;
        cx.progress(read.names.len() as u64, Some(read.names.len() as u64), "names read");
        for name in read.names.found(Source::CRT_SH.name) {
            cx.emit(&name)?;
        }
        Ok(Finished { truncated: read.truncated, ..Finished::default() })
    }
}

/// What an answer of crt.sh says.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) names: Names,
    pub(crate) truncated: bool,
}

#[derive(Deserialize)]
struct Row {
    issuer_name: String,
    name_value: String,
    not_before: Option<String>,
    not_after: Option<String>,
    serial_number: Option<String>,
    result_count: Option<u64>,
}

/// Reads an answer a row at a time: what stays is each name once.
pub(crate) fn read(answer: impl BufRead) -> Result<Read, BadAnswer> {
    let (mut names, mut identities) = (Names::default(), 0_u64);
    body::rows(answer, |row: Row| {
        identities = identities.saturating_add(row.result_count.unwrap_or(1).max(1));
        let certificate = Certificate {
            not_before: row.not_before.as_deref().and_then(moment::read),
            not_after: row.not_after.as_deref().and_then(moment::read),
            serial: row.serial_number.filter(|serial| !serial.is_empty()),
            issuer: Some(row.issuer_name).filter(|issuer| !issuer.is_empty()),
        };
        names.add(certificate, row.name_value.lines());
    })?;
    Ok(Read { names, truncated: identities >= MOST_IDENTITIES })
}
