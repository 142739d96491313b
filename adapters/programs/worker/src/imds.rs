//! The instance metadata service, version 2: what EC2 tells a machine about itself.
//!
//! ```text
//!  PUT /latest/api/token ----> a token for 6 hours, renewed when nine tenths of its time are over, or when it is refused
//!  GET /latest/dynamic/instance-identity/document      who we are
//!  GET /latest/meta-data/spot/instance-action          404: nobody wants the machine back
//! ```
//!
//! It answers on a link-local address within milliseconds, or never does. So no proxy is asked, nothing is followed, and a call
//! takes [`CALL`] at most. In a container it may be a hop too far away: its tokens travel one hop unless the instance's metadata
//! options say otherwise.
//!
//! `AWS_EC2_METADATA_SERVICE_ENDPOINT` puts it elsewhere, as for the SDK.

use std::{
    env,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, de::DeserializeOwned};
use ureq::{
    Agent, Body,
    http::{Response, Uri},
};

/// Where it is.
const ENDPOINT: &str = "http://169.254.169.254";
/// Says that it is elsewhere.
const VARIABLE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
/// How long one call may take.
const CALL: Duration = Duration::from_secs(2);
/// How often something is asked for in all.
const TRIES: u32 = 3;
/// Before the second time; it doubles.
const PAUSE: Duration = Duration::from_millis(200);
/// Most octets of an answer; an identity document has about 500.
const MOST: u64 = 64 * 1_024;
/// For how long a token is asked for, in seconds: the longest there is.
const TOKEN_LASTS: u64 = 21_600;
const TOKEN: &str = "X-aws-ec2-metadata-token";
const LASTS: &str = "X-aws-ec2-metadata-token-ttl-seconds";

/// A client.
#[derive(Debug)]
pub(crate) struct Imds {
    agent: Agent,
    base: String,
    token: Mutex<Option<Token>>,
}

struct Token {
    value: String,
    renew: Instant,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("renew", &self.renew).finish_non_exhaustive()
    }
}

/// What EC2 says a machine is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    pub(crate) instance_id: String,
    pub(crate) instance_type: String,
    pub(crate) availability_zone: String,
}

/// That EC2 wants a machine back.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub(crate) struct SpotNotice {
    /// What becomes of the machine: `terminate`, `stop` or `hibernate`.
    pub(crate) action: String,
    /// When, in UTC.
    pub(crate) time: String,
}

/// Why the service did not tell.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImdsError {
    /// It cannot be where the variable says.
    #[error(
        "{VARIABLE}={0}: is no address of a metadata service; give one such as {ENDPOINT}, or leave it out"
    )]
    Endpoint(String),
    /// It is not there.
    #[error(
        "the instance metadata service at {base} does not answer ({why}): is this an EC2 instance? In a container set the \
         instance's HttpPutResponseHopLimit to 2; on a machine that is none of EC2's give --instance NAME"
    )]
    Unreachable { base: String, why: String },
    /// It does not want to tell.
    #[error(
        "the instance metadata service refuses {path} (HTTP {status}): enable it in the instance's metadata options \
         (HttpEndpoint=enabled)"
    )]
    Refused { path: &'static str, status: u16 },
    /// It tells something else.
    #[error("the instance metadata service: {path} is not what EC2 documents: {why}")]
    Malformed { path: &'static str, why: String },
}

/// One attempt.
enum Attempt {
    /// The answer; nothing where there is none of that name.
    Told(Option<String>),
    /// Another attempt may succeed.
    Again(ImdsError),
    /// It would not.
    Never(ImdsError),
}

impl Imds {
    /// The service of this machine.
    ///
    /// # Errors
    ///
    /// [`ImdsError::Endpoint`].
    pub(crate) fn from_env() -> Result<Self, ImdsError> {
        match env::var(VARIABLE) {
            Ok(base) if !base.trim().is_empty() => Self::at(base.trim()),
            Err(env::VarError::NotUnicode(base)) => {
                Err(ImdsError::Endpoint(base.to_string_lossy().into_owned()))
            }
            _ => Self::at(ENDPOINT),
        }
    }

    fn at(base: &str) -> Result<Self, ImdsError> {
        let base = base.trim_end_matches('/').to_owned();
        let uri = base.parse::<Uri>().ok();
        let is_http = |uri: &Uri| uri.scheme_str() == Some("http") && uri.host().is_some();
        if !uri.as_ref().is_some_and(is_http) {
            return Err(ImdsError::Endpoint(base));
        }
        let agent = Agent::config_builder()
            .timeout_global(Some(CALL))
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .build()
            .into();
        Ok(Self { agent, base, token: Mutex::default() })
    }

    /// Who we are.
    ///
    /// # Errors
    ///
    /// [`ImdsError`].
    pub(crate) fn document(&self) -> Result<Document, ImdsError> {
        let path = "/latest/dynamic/instance-identity/document";
        let text = self.get(path)?;
        let text =
            text.ok_or_else(|| ImdsError::Malformed { path, why: "there is none".to_owned() })?;
        let document: Document = parse(path, &text)?;
        let id = &document.instance_id;
        let is_id = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
        if id.is_empty() || id.len() > 64 || !id.bytes().all(is_id) {
            return Err(ImdsError::Malformed {
                path,
                why: "instanceId is no instance id".to_owned(),
            });
        }
        Ok(document)
    }

    /// Whether EC2 wants the machine back.
    ///
    /// # Errors
    ///
    /// [`ImdsError`].
    pub(crate) fn spot_notice(&self) -> Result<Option<SpotNotice>, ImdsError> {
        let path = "/latest/meta-data/spot/instance-action";
        self.get(path)?.map(|text| parse(path, &text)).transpose()
    }

    fn get(&self, path: &'static str) -> Result<Option<String>, ImdsError> {
        let mut pause = PAUSE;
        let mut tries = 1;
        loop {
            match self.attempt(path) {
                Attempt::Told(text) => return Ok(text),
                Attempt::Again(_) if tries < TRIES => thread::sleep(pause),
                Attempt::Again(error) | Attempt::Never(error) => return Err(error),
            }
            tries += 1;
            pause *= 2;
        }
    }

    fn attempt(&self, path: &'static str) -> Attempt {
        let token = match self.token() {
            Ok(token) => token,
            Err(attempt) => return attempt,
        };
        let answer = self.agent.get(format!("{}{path}", self.base)).header(TOKEN, &token).call();
        let response = match answer {
            Ok(response) => response,
            Err(error) => return Attempt::Again(self.unreachable(&error)),
        };
        match response.status().as_u16() {
            200 => match text(response) {
                Ok(text) => Attempt::Told(Some(text)),
                Err(error) => Attempt::Again(self.unreachable(&error)),
            },
            404 => Attempt::Told(None),
            status @ 401 => {
                // It knows the token no more: the next attempt brings a fresh one.
                *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Attempt::Again(ImdsError::Refused { path, status })
            }
            status => refused(path, status),
        }
    }

    fn token(&self) -> Result<String, Attempt> {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = Instant::now();
        if let Some(token) = token.as_ref().filter(|token| asked < token.renew) {
            return Ok(token.value.clone());
        }
        let path = "/latest/api/token";
        let url = format!("{}{path}", self.base);
        let answer = self.agent.put(url).header(LASTS, TOKEN_LASTS.to_string()).send_empty();
        let response = answer.map_err(|error| Attempt::Again(self.unreachable(&error)))?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(refused(path, status));
        }
        let lasts = response.headers().get(LASTS).and_then(|value| value.to_str().ok());
        let lasts = lasts.and_then(|text| text.parse().ok()).unwrap_or(TOKEN_LASTS);
        let value = text(response).map_err(|error| Attempt::Again(self.unreachable(&error)))?;
        // It goes into a header as it is.
        if value.is_empty() || !value.bytes().all(|octet| octet.is_ascii_graphic()) {
            let why = "it is no token".to_owned();
            return Err(Attempt::Never(ImdsError::Malformed { path, why }));
        }
        let renew = asked + Duration::from_secs(lasts.min(TOKEN_LASTS)) * 9 / 10;
        Ok(token.insert(Token { value, renew }).value.clone())
    }

    fn unreachable(&self, error: &ureq::Error) -> ImdsError {
        ImdsError::Unreachable { base: self.base.clone(), why: error.to_string() }
    }
}

fn refused(path: &'static str, status: u16) -> Attempt {
    let error = ImdsError::Refused { path, status };
    // Too many calls, or a fault of its own.
    if status == 429 || status >= 500 { Attempt::Again(error) } else { Attempt::Never(error) }
}

fn text(response: Response<Body>) -> Result<String, ureq::Error> {
    response.into_body().into_with_config().limit(MOST).read_to_string()
}

fn parse<T: DeserializeOwned>(path: &'static str, text: &str) -> Result<T, ImdsError> {
    serde_json::from_str(text)
        .map_err(|error| ImdsError::Malformed { path, why: error.to_string() })
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        io::{Read as _, Write as _},
        net::TcpListener,
    };

    use mrpf_cloud::{Cloud, Imds as Service, Instance, InstanceState};

    use super::*;

    const TOKEN_PUT: &str = "PUT /latest/api/token";
    const DOCUMENT_GET: &str = "GET /latest/dynamic/instance-identity/document";
    const NOTICE_GET: &str = "GET /latest/meta-data/spot/instance-action";

    fn instance() -> Instance {
        Instance {
            id: "i-0123456789abcdef0".to_owned(),
            instance_type: "t4g.micro".to_owned(),
            architecture: "arm64".to_owned(),
            image: "ami-0123456789abcdef0".to_owned(),
            subnet: "subnet-a".to_owned(),
            zone: "eu-central-1a".to_owned(),
            private_ip: "10.0.0.7".to_owned(),
            tags: BTreeMap::new(),
            client_token: None,
            shutdown_behavior: "terminate".to_owned(),
            launched_at: Duration::ZERO,
            state: InstanceState::Running,
            reason: None,
        }
    }

    /// The service of a cloud that somebody must hold on to.
    fn service() -> (Cloud, Service, Imds) {
        let cloud = Cloud::start();
        let service = Service::start(instance(), cloud.clock()).unwrap();
        let imds = Imds::at(&service.endpoint()).unwrap();
        (cloud, service, imds)
    }

    /// A service that gives these answers, one a connection, and then is gone.
    fn answers(answers: &[(u16, &str, &str)]) -> Imds {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let imds = Imds::at(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let answers: Vec<String> = answers
            .iter()
            .map(|(status, headers, body)| {
                let length = body.len();
                format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
            })
            .collect();
        thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut octet = [0];
                    stream.read_exact(&mut octet).unwrap();
                    head.push(octet[0]);
                }
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        imds
    }

    #[test]
    fn it_tells_who_we_are_with_one_token_for_all_questions() {
        let (_cloud, service, imds) = service();
        let document = imds.document().unwrap();
        assert_eq!(document.instance_id, "i-0123456789abcdef0");
        assert_eq!(
            (document.instance_type.as_str(), document.availability_zone.as_str()),
            ("t4g.micro", "eu-central-1a")
        );
        imds.document().unwrap();
        let told = |line: &str| (line.to_owned(), 200);
        assert_eq!(service.asked(), [told(TOKEN_PUT), told(DOCUMENT_GET), told(DOCUMENT_GET)]);
    }

    #[test]
    fn a_notice_is_seen_and_none_is_no_error() {
        let (_cloud, service, imds) = service();
        assert_eq!(imds.spot_notice().unwrap(), None);
        assert_eq!(service.asked().last(), Some(&(NOTICE_GET.to_owned(), 404)));
        service.give_spot_notice();
        assert_eq!(imds.spot_notice().unwrap().unwrap().action, "terminate");
    }

    #[test]
    fn a_token_that_is_known_no_more_is_renewed() {
        let (cloud, service, imds) = service();
        imds.document().unwrap();
        cloud.clock().advance(Duration::from_secs(TOKEN_LASTS));
        imds.document().unwrap();
        let line = |line: &str, status| (line.to_owned(), status);
        let expected = [(DOCUMENT_GET, 401), (TOKEN_PUT, 200), (DOCUMENT_GET, 200)];
        assert_eq!(service.asked()[2..], expected.map(|(text, status)| line(text, status)));
    }

    #[test]
    fn a_token_is_renewed_before_it_ends() {
        let lasts = format!("{LASTS}: 0\r\n");
        let document = r#"{"instanceId":"i-1","instanceType":"t","availabilityZone":"z"}"#;
        let (first, second) = ((200, lasts.as_str(), "one"), (200, lasts.as_str(), "two"));
        let imds = answers(&[first, (200, "", document), second, (200, "", document)]);
        imds.document().unwrap();
        assert_eq!(imds.token.lock().unwrap().as_ref().unwrap().value, "one");
        imds.document().unwrap();
        assert_eq!(imds.token.lock().unwrap().as_ref().unwrap().value, "two");
        assert!(!format!("{imds:?}").contains("two"), "a token is shown");
    }

    #[test]
    fn a_fault_is_asked_again_and_a_refusal_is_not() {
        let token = (200, "", "t");
        let good = r#"{"instanceId":"i-1","instanceType":"t","availabilityZone":"z","more":{}}"#;
        let imds = answers(&[token, (503, "", ""), (500, "", ""), (200, "", good)]);
        assert_eq!(imds.document().unwrap().instance_id, "i-1");
        let refusals = [answers(&[(403, "", "")]), answers(&[token, (403, "", "")])];
        for imds in refusals {
            let error = imds.document().unwrap_err();
            assert!(matches!(error, ImdsError::Refused { status: 403, .. }), "{error}");
            assert!(error.to_string().contains("HttpEndpoint=enabled"), "{error}");
        }
        let imds = answers(&[token, (500, "", ""), (500, "", ""), (500, "", "")]);
        assert!(matches!(imds.document(), Err(ImdsError::Refused { status: 500, .. })));
    }

    #[test]
    fn what_no_ec2_says_is_not_taken_for_an_identity() {
        for body in [
            "<html>",
            "{}",
            r#"{"instanceId":"","instanceType":"t","availabilityZone":"z"}"#,
            r#"{"instanceId":"i 1","instanceType":"t","availabilityZone":"z"}"#,
        ] {
            let error = answers(&[(200, "", "t"), (200, "", body)]).document().unwrap_err();
            assert!(matches!(error, ImdsError::Malformed { .. }), "{body}: {error}");
        }
        let missing = answers(&[(200, "", "t"), (404, "", "")]).document().unwrap_err();
        assert!(missing.to_string().contains("there is none"), "{missing}");
        let token = answers(&[(200, "", "a b")]).document().unwrap_err();
        assert!(token.to_string().contains("no token"), "{token}");
    }

    #[test]
    fn silence_is_waited_for_a_few_seconds_and_no_longer() {
        // Connections wait in its backlog, and nobody answers.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let imds = Imds::at(&format!("http://{}", silent.local_addr().unwrap())).unwrap();
        let begin = Instant::now();
        let error = imds.document().unwrap_err().to_string();
        let took = begin.elapsed();
        assert!(took >= CALL * TRIES && took < CALL * (TRIES + 3), "{took:?}");
        assert!(
            error.contains("HttpPutResponseHopLimit") && error.contains("--instance"),
            "{error}"
        );
    }

    #[test]
    fn an_endpoint_is_checked_before_it_is_asked() {
        for bad in ["169.254.169.254", "https://169.254.169.254", "http://", "nonsense"] {
            let error = Imds::at(bad).unwrap_err().to_string();
            assert!(error.starts_with(VARIABLE) && error.contains(ENDPOINT), "{bad}: {error}");
        }
        assert_eq!(Imds::at("http://[fd00:ec2::254]/").unwrap().base, "http://[fd00:ec2::254]");
    }
}
