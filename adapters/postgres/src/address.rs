//! Where the database is and how it is spoken to: `DATABASE_URL`.
//!
//! The URL is PostgreSQL's own. The client underneath knows neither `sslrootcert` nor `sslmode=verify-ca` and `verify-full`, so
//! these are taken out of it first and mean what they mean to libpq.
//!
//! A URL holds a password. No error here repeats any of it, for where a password ends is what may be wrong.

use std::{fmt, path::PathBuf, time::Duration};

use mrpf_ports::StoreError;
use postgres::{
    Config,
    config::{Host, SslMode},
};

/// How long a connection may take to be made. A server that is there takes a few milliseconds, TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// How long octets that were sent may go without being acknowledged.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);
/// How soon a connection that says nothing is looked after.
const KEEPALIVE: Duration = Duration::from_secs(10);

const MALFORMED: &str = "it is no URL of a database, or has an option that is not known; in user and password the \
                         characters / ? # @ % and : are written as %2F %3F %23 %40 %25 and %3A";

/// A URL, read.
pub(crate) struct Address {
    pub(crate) config: Config,
    pub(crate) trust: Trust,
}

/// Whom to believe to be the server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Trust {
    /// Anyone: what is sent is hidden from who listens, not from who answers.
    Anyone,
    /// Who has a certificate of one of these authorities, whatever name is in it.
    Authority(PathBuf),
    /// Who has one for the host's name.
    Name(PathBuf),
}

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Self, StoreError> {
        let is_url = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
        if !is_url {
            return Err(wrong("it is no URL: give postgresql://USER:PASSWORD@HOST:PORT/DATABASE"));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut root) = (None, None);
        let mut rest = Vec::new();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value),
                Some(("sslrootcert", value)) => root = Some(PathBuf::from(decoded(value)?)),
                _ => rest.push(option),
            }
        }
        let (mode, trust) = security(mode.unwrap_or("prefer"), root)?;
        let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        // What is wrong is not said by the client's error either: it may repeat a part of the password.
        let mut config: Config = url.parse().map_err(|_| wrong(MALFORMED))?;
        if has_part_of_password(&config) {
            return Err(wrong(MALFORMED));
        }
        if config.get_hosts().is_empty() {
            return Err(wrong("it names no host"));
        }
        config.ssl_mode(mode);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(UNACKNOWLEDGED);
        }
        if config.get_application_name().is_none() {
            config.application_name("mrpf");
        }
        config.keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE).keepalives_retries(3);
        Ok(Self { config, trust })
    }

    /// Whether nothing of it leaves this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.config.get_hosts().iter().all(|host| match host {
            Host::Unix(_) => true,
            Host::Tcp(name) => ["localhost", "127.0.0.1", "::1"].contains(&name.as_str()),
        })
    }
}

/// Where, and as whom: `worker@db.internal:5432/mrpf`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = &self.config;
        write!(f, "{}@", config.get_user().unwrap_or("?"))?;
        for (at, host) in config.get_hosts().iter().enumerate() {
            let port = config.get_ports().get(at).or(config.get_ports().first()).unwrap_or(&5432);
            let comma = if at == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}:{port}")?,
                Host::Unix(folder) => write!(f, "{comma}{}:{port}", folder.display())?,
            }
        }
        write!(f, "/{}", config.get_dbname().or(config.get_user()).unwrap_or("?"))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self}, {:?}, {:?})", self.config.get_ssl_mode(), self.trust)
    }
}

/// What the words of libpq mean: <https://www.postgresql.org/docs/current/libpq-ssl.html>.
fn security(mode: &str, root: Option<PathBuf>) -> Result<(SslMode, Trust), StoreError> {
    Ok(match (mode, root) {
        ("disable", _) => (SslMode::Disable, Trust::Anyone),
        ("prefer", _) => (SslMode::Prefer, Trust::Anyone),
        ("require", None) => (SslMode::Require, Trust::Anyone),
        ("require" | "verify-ca", Some(root)) => (SslMode::Require, Trust::Authority(root)),
        ("verify-full", Some(root)) => (SslMode::Require, Trust::Name(root)),
        ("verify-ca" | "verify-full", None) => {
            return Err(wrong("sslmode verifies, and sslrootcert names no file of authorities; for RDS that \
                              is https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"));
        }
        _ => {
            return Err(wrong("sslmode is none of disable, prefer, require, verify-ca and verify-full"));
        }
    })
}

/// Whether the password seems to end too early, so that the rest of it is in what is said to people.
fn has_part_of_password(config: &Config) -> bool {
    let in_host = config.get_hosts().iter().any(|host| match host {
        Host::Tcp(name) => name.contains('@'),
        Host::Unix(_) => false,
    });
    in_host || config.get_dbname().is_some_and(|name| name.contains('@'))
}

/// The text behind `%2F`.
fn decoded(text: &str) -> Result<String, StoreError> {
    let malformed = || wrong("sslrootcert is no path: after % come two hexadecimal digits");
    let mut octets = Vec::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        if octet != b'%' {
            octets.push(octet);
            continue;
        }
        let mut digit = || rest.next().and_then(|octet| char::from(octet).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(malformed()) };
        octets.extend(u8::try_from(high * 16 + low));
    }
    String::from_utf8(octets).map_err(|_| malformed())
}

fn wrong(why: &str) -> StoreError {
    StoreError::Unavailable(format!("DATABASE_URL: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Address, StoreError> {
        Address::parse(&format!("postgresql://worker:s3cret@db.internal/mrpf{query}"))
    }

    #[test]
    fn modes_mean_what_they_mean_to_libpq() {
        let root = || PathBuf::from("/etc/rds ca.pem");
        for (query, mode, trust) in [
            ("", SslMode::Prefer, Trust::Anyone),
            ("?sslmode=disable", SslMode::Disable, Trust::Anyone),
            ("?sslmode=prefer", SslMode::Prefer, Trust::Anyone),
            ("?sslmode=require", SslMode::Require, Trust::Anyone),
            ("?sslrootcert=/etc/rds%20ca.pem&sslmode=require", SslMode::Require, Trust::Authority(root())),
            ("?sslmode=verify-ca&sslrootcert=/etc/rds%20ca.pem", SslMode::Require, Trust::Authority(root())),
            ("?sslmode=verify-full&connect_timeout=3&sslrootcert=%2Fetc%2Frds ca.pem", SslMode::Require, Trust::Name(root())),
        ] {
            let address = parse(query).unwrap();
            assert_eq!((address.config.get_ssl_mode(), address.trust), (mode, trust), "{query}");
        }
        for query in ["?sslmode=verify-full", "?sslmode=verify-ca", "?sslmode=allow", "?sslmode=", "?sslmode=require&sslrootcert=%2"] {
            assert!(parse(query).is_err(), "{query}");
        }
    }

    #[test]
    fn what_is_said_of_waiting_holds_and_the_rest_is_ours() {
        let address = parse("?connect_timeout=3").unwrap();
        assert_eq!(address.config.get_connect_timeout(), Some(&Duration::from_secs(3)));
        assert_eq!(parse("").unwrap().config.get_connect_timeout(), Some(&CONNECT));
    }

    /// However it is wrong, and of a URL that is right too.
    #[test]
    fn no_password_is_ever_said() {
        for url in [
            "postgresql://worker:s3cret@db.internal/mrpf?sslmode=s3cret",
            "postgresql://worker:s3cret@db.internal/mrpf?s3cret=1",
            "postgresql://worker:pass?s3cret@db.internal/mrpf",
            "postgresql://worker:pass/s3cret@db.internal/mrpf",
            "postgresql://worker:pass%s3cret@db.internal/mrpf",
            "postgresql://worker:pass#s3cret@db.internal:x/mrpf",
            "host=db.internal password=s3cret",
            "s3cret",
            "postgresql://worker:pa@s3cret@db.internal/mrpf",
            "postgresql://worker:1234/s3cret@db.internal/mrpf",
            "postgresql://worker:s3cret@/mrpf",
            "postgresql://worker:s3cret@db.internal:s3cret/mrpf",
        ] {
            let said = match Address::parse(url) {
                Ok(address) => format!("{address} {address:?}"),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!said.contains("s3cret"), "{url}: {said}");
        }
        let address = parse("").unwrap();
        assert_eq!(address.to_string(), "worker@db.internal:5432/mrpf");
        assert!(!format!("{address:?}").contains("s3cret"));
    }
}
