//! One public service over HTTP: asks it, and sorts what comes back into answers and typed errors.
//!
//! ```text
//! ask --> 200 and a body that begins like data --> a reader
//!    '--> 401 402 403, a page -> Blocked     429 -> RateLimited     5xx, time, connection -> Upstream
//!         400 422 -> Input     3xx and the rest -> Malformed        all with Retry-After where it was sent
//! ```
//!
//! - Redirects are not followed, so nothing is sent anywhere but to the configured host.
//! - `http` (this machine alone) goes past any proxy. `https` takes one from the environment (`ALL_PROXY`, `HTTPS_PROXY`,
//!   `HTTP_PROXY`, less `NO_PROXY`), which sees the host's name and ciphertext.
//! - No error holds the key, not even when the service sends it back; nor does one hold a URL, which for Shodan has the
//!   key in it. ureq logs addresses to the `log` crate at trace level alone: connect no logger to that.

use std::io::{BufReader, Read};

use mrpf_ports::Cx;
use mrpf_records::Timestamp;
use mrpf_tasks::{ErrorKind, TaskDefinition, TaskError};
use serde::Deserialize;
use ureq::{
    Agent, Body, BodyReader,
    http::{HeaderMap, Response, header},
};

use crate::{
    BaseUrl, Limits, Secret,
    body::{self, BadAnswer, Bounded},
    moment,
};

const USER_AGENT: &str =
    concat!("mrpf/", env!("CARGO_PKG_VERSION"), " (packet scanner and reconnaissance platform)");

/// Octets of a refusal that are read for what the service says.
const MOST_SAID: u64 = 64 * 1_024;
/// Letters of it that are kept.
const MOST_SHOWN: usize = 200;

/// The body of an answer.
pub(crate) type Answer = BufReader<Bounded<BodyReader<'static>>>;

/// A public service.
#[derive(Debug)]
pub(crate) struct Service {
    name: &'static str,
    /// The setting that says where it is.
    place: &'static str,
    base: BaseUrl,
    key: Option<Key>,
    agent: Agent,
    most: u64,
}

#[derive(Debug)]
struct Key {
    setting: &'static str,
    secret: Option<Secret>,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// The status, where there was one.
    pub(crate) status: Option<u16>,
    /// What the service said in JSON, without the key.
    pub(crate) said: Option<String>,
    /// What to make of it.
    pub(crate) error: TaskError,
}

impl From<Refusal> for TaskError {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

impl Service {
    /// The service at `base`, which the setting `place` names.
    pub(crate) fn new(
        name: &'static str,
        place: &'static str,
        base: &BaseUrl,
        limits: &Limits,
    ) -> Self {
        let config = Agent::config_builder()
            .user_agent(USER_AGENT)
            .accept("application/json")
            .https_only(base.is_secure())
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(limits.connect))
            .timeout_connect(Some(limits.connect))
            .timeout_global(Some(limits.call))
            // Seconds pass between two calls: a kept connection is often one that the service has just closed.
            .max_idle_connections(0);
        let config = if base.is_secure() { config } else { config.proxy(None) };
        let agent = config.build().into();
        Self { name, place, base: base.clone(), key: None, agent, most: limits.body }
    }

    /// The same, which takes a key that the setting `setting` holds.
    pub(crate) fn with_key(self, setting: &'static str, secret: Option<&Secret>) -> Self {
        Self { key: Some(Key { setting, secret: secret.cloned() }), ..self }
    }

    /// The key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotConfigured`], which names the setting.
    pub(crate) fn key(&self) -> Result<&str, TaskError> {
        let key = self.key.as_ref();
        key.and_then(|key| key.secret.as_ref()).map(Secret::reveal).ok_or_else(|| {
            let setting = key.map_or("a key", |key| key.setting);
            let why = format!("{}: {setting} is not set on this worker", self.name);
            TaskError::new(ErrorKind::NotConfigured, why)
        })
    }

    /// Sends what `send` makes of the address of `path`; gives the body of a good answer.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub(crate) fn ask(
        &self,
        path: &str,
        now: Timestamp,
        send: impl FnOnce(&Agent, String) -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Answer, Refusal> {
        let no_answer = |error| Refusal { status: None, said: None, error };
        let (head, body) = send(&self.agent, self.base.join(path))
            .map_err(|error| no_answer(self.unsent(&error)))?
            .into_parts();
        let body = body.into_reader();
        let is_page = is_page(&head.headers);
        let mut refusal = match head.status.as_u16() {
            200 if !is_page => {
                let opened = body::open(BufReader::new(Bounded::new(body, self.most)));
                return opened.map_err(|bad| no_answer(self.bad(bad)));
            }
            200 => Refusal { status: Some(200), said: None, error: self.bad(body::page()) },
            status => self.refused(status, is_page, &head.headers, body),
        };
        let asked = head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        if let Some(wait) = asked.and_then(|asked| moment::retry_after(asked, now)) {
            refusal.error = refusal.error.after(wait);
        }
        Err(refusal)
    }

    /// What a task that got this answer fails with.
    pub(crate) fn bad(&self, bad: BadAnswer) -> TaskError {
        self.error(bad.kind, &bad.why)
    }

    fn error(&self, kind: ErrorKind, why: &str) -> TaskError {
        TaskError::new(kind, format!("{}: {}", self.name, self.shown(why)))
    }

    /// What others wrote, fit for people: without the key, in one line, not too long. The key goes first, for half of one
    /// is too much.
    fn shown(&self, text: &str) -> String {
        let secret = self.key.as_ref().and_then(|key| key.secret.as_ref());
        let text = secret.map_or_else(|| text.to_owned(), |secret| secret.redact(text));
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let mut shown: String = text.chars().map(plain).take(MOST_SHOWN).collect();
        if shown.len() < text.len() && text.chars().nth(MOST_SHOWN).is_some() {
            shown.push_str("...");
        }
        shown
    }

    fn refused(&self, status: u16, is_page: bool, headers: &HeaderMap, body: impl Read) -> Refusal {
        use ErrorKind::{Blocked, Input, Malformed, RateLimited, Upstream};
        let said = said(body).map(|said| self.shown(&said));
        let kind = match status {
            429 => RateLimited,
            408 | 425 | 500..=599 => Upstream,
            401 | 402 | 403 | 407 | 451 => Blocked,
            300..=399 => Malformed,
            _ if is_page => Blocked,
            400 | 422 => Input,
            _ => Malformed,
        };
        // What mends it comes before what the service says, which may be long.
        let mut why = match (status, &self.key) {
            (401..=403, Some(key)) => {
                format!("status {status} (is {} right, and does its plan allow this?)", key.setting)
            }
            (300..=399, _) => {
                let to = host_of(headers).unwrap_or_else(|| "elsewhere".to_owned());
                let place = self.place;
                format!("status {status} to {to} (redirects are not followed; is {place} right?)")
            }
            _ => format!("status {status}"),
        };
        if let Some(said) = &said {
            why = format!("{why}: {said}");
        }
        Refusal { status: Some(status), said, error: self.error(kind, &why) }
    }

    /// What went wrong before there was an answer.
    fn unsent(&self, error: &ureq::Error) -> TaskError {
        use ureq::Error as E;
        let (kind, why) = match error {
            E::BadUri(_) | E::Http(_) | E::RequireHttpsOnly(_) | E::InvalidProxyUrl => {
                let why =
                    format!("cannot be asked: is {} right, or a proxy in the way?", self.place);
                (ErrorKind::NotConfigured, why)
            }
            E::Timeout(what) => (ErrorKind::Upstream, format!("no answer in time ({what})")),
            E::HostNotFound => (ErrorKind::Upstream, "its host name does not resolve".to_owned()),
            E::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                (ErrorKind::Upstream, "closed the connection without an answer".to_owned())
            }
            E::Protocol(_) | E::LargeResponseHeader(..) => {
                (ErrorKind::Malformed, format!("does not speak HTTP as we know it: {error}"))
            }
            _ => (ErrorKind::Upstream, format!("cannot be reached: {error}")),
        };
        self.error(kind, &why)
    }
}

/// Waits as long as the source of `T` asks for between two calls.
///
/// # Errors
///
/// [`ErrorKind::Cancelled`] when the task was told to stop.
pub(crate) fn pace<T: TaskDefinition>(cx: &Cx<'_, T>) -> Result<(), TaskError> {
    cx.sleep(T::SOURCE.map_or_else(Default::default, |source| source.interval));
    go_on(cx)
}

/// Whether the task may go on.
///
/// # Errors
///
/// [`ErrorKind::Cancelled`] when it was told to stop.
pub(crate) fn go_on<T: TaskDefinition>(cx: &Cx<'_, T>) -> Result<(), TaskError> {
    if cx.is_stopping() { Err(cx.stopped()) } else { Ok(()) }
}

fn is_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/xhtml+xml")
    })
}

/// Where a redirect leads, less everything that may hold a key.
fn host_of(headers: &HeaderMap) -> Option<String> {
    let to: ureq::http::Uri = headers.get(header::LOCATION)?.to_str().ok()?.parse().ok()?;
    to.host().map(str::to_owned)
}

/// What a refusal says for people: `error` of Shodan, `detail`, `title` and `errors` of Censys (RFC 9457).
pub(crate) fn said(body: impl Read) -> Option<String> {
    #[derive(Deserialize)]
    struct Said {
        error: Option<serde_json::Value>,
        detail: Option<String>,
        title: Option<String>,
        #[serde(default)]
        errors: Vec<Detail>,
    }
    #[derive(Deserialize)]
    struct Detail {
        message: Option<String>,
    }
    let body = BufReader::new(Bounded::new(body, MOST_SAID));
    let said: Said = body::value(body).ok()?;
    let details = said.errors.into_iter().filter_map(|detail| detail.message);
    let error = said.error.and_then(|error| Some(error.as_str()?.to_owned()));
    let parts: Vec<String> =
        error.into_iter().chain(said.detail.or(said.title)).chain(details).collect();
    let text = parts.join("; ");
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_read_in_the_forms_of_both_services() {
        let said = |body: &str| said(body.as_bytes());
        assert_eq!(said(r#"{"error":" Invalid key "}"#).unwrap(), "Invalid key");
        let problem = r#"{"title":"Bad","detail":"no such field","status":422,
            "errors":[{"message":"at 3","value":[1]},{"location":"x"}]}"#;
        assert_eq!(said(problem).unwrap(), "no such field; at 3");
        assert_eq!(said(r#"{"title":"Forbidden"}"#).unwrap(), "Forbidden");
        for body in ["", "<html>", "[]", "{}", r#"{"error":{"code":1}}"#, r#"{"error":"a"#] {
            assert_eq!(said(body), None, "{body}");
        }
    }

    #[test]
    fn what_others_wrote_is_one_short_line_without_the_key() {
        let base = "https://example.org".parse().unwrap();
        let service = Service::new("x", "X_URL", &base, &Limits::default())
            .with_key("X_KEY", Secret::new("k3y").as_ref());
        assert_eq!(service.shown("a\r\nb\u{1b}[31m k3y"), "a  b [31m ***");
        assert_eq!(service.shown(&"ä".repeat(200)), "ä".repeat(200));
        // The key lies across the cut.
        let shown = service.shown(&format!("{}k3y{}", "a".repeat(199), "b".repeat(9)));
        assert_eq!(shown, format!("{}*...", "a".repeat(199)));
        assert!(!format!("{service:?}").contains("k3y"));
    }
}
