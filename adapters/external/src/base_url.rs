//! Where a service is.

use std::{fmt, net::IpAddr, str::FromStr};

use ureq::http::Uri;

/// The address of a service, to which paths are added. `https`, unless the service is on this machine: a key must not leave
/// in clear.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BaseUrl {
    text: String,
    is_secure: bool,
}

impl BaseUrl {
    /// The address of `path` there.
    pub(crate) fn join(&self, path: &str) -> String {
        format!("{}{path}", self.text)
    }

    /// Whether what is sent there is encrypted.
    pub(crate) fn is_secure(&self) -> bool {
        self.is_secure
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for BaseUrl {
    type Err = BaseUrlError;

    fn from_str(text: &str) -> Result<Self, BaseUrlError> {
        let text = text.trim();
        let uri: Uri = text.parse().map_err(|_| BaseUrlError::NoUrl)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(BaseUrlError::NoUrl);
        };
        if authority.as_str().contains('@') || uri.query().is_some() || text.contains('#') {
            return Err(BaseUrlError::Surplus);
        }
        let is_secure = match scheme {
            "https" => true,
            "http" if is_here(authority.host()) => false,
            "http" => return Err(BaseUrlError::InClear),
            _ => return Err(BaseUrlError::NoUrl),
        };
        if authority.host().is_empty() {
            return Err(BaseUrlError::NoUrl);
        }
        Ok(Self { text: text.trim_end_matches('/').to_owned(), is_secure })
    }
}

/// Whether `host` is this machine. `localhost` never leaves it (RFC 6761, section 6.3).
fn is_here(host: &str) -> bool {
    let addr = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || addr.is_ok_and(|addr| addr.is_loopback())
}

/// A text that names no place to send keys to. Never holds the text: there may be a password in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BaseUrlError {
    /// `http` to another machine.
    #[error(
        "http:// is for this machine (127.0.0.1, [::1], localhost) alone: keys must not leave in clear; use https://"
    )]
    InClear,
    /// Not of the form.
    #[error("is no URL of the form https://HOST[:PORT][/PATH]")]
    NoUrl,
    /// More than an address.
    #[error("may hold no user, password, query or fragment")]
    Surplus,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_added() {
        for (base, joined) in [
            ("https://crt.sh", "https://crt.sh/x"),
            ("https://crt.sh/", "https://crt.sh/x"),
            (" https://mirror.example:8443/a/b/ ", "https://mirror.example:8443/a/b/x"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/x"),
            ("http://[::1]:8080/", "http://[::1]:8080/x"),
            ("http://localhost", "http://localhost/x"),
        ] {
            let url: BaseUrl = base.parse().unwrap();
            assert_eq!(url.join("/x"), joined);
            assert_eq!(url.is_secure(), base.contains("https"));
        }
    }

    #[test]
    fn nothing_leaves_in_clear() {
        for base in [
            "http://crt.sh",
            "http://192.0.2.1",
            "http://127.0.0.1.example.org",
            "http://127.1",
            "http://[::ffff:127.0.0.1]",
            "http://localhost.example.org",
            "http://0.0.0.0",
        ] {
            assert_eq!(base.parse::<BaseUrl>(), Err(BaseUrlError::InClear), "{base}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for base in [
            "",
            "crt.sh",
            "/x",
            "ftp://crt.sh",
            "https://",
            "https:///x",
            "https://a b",
            "file:///etc",
        ] {
            assert_eq!(base.parse::<BaseUrl>(), Err(BaseUrlError::NoUrl), "{base}");
        }
        for base in [
            "https://me:word@crt.sh",
            "https://crt.sh/?a=b",
            "https://crt.sh/#a",
            "http://word@127.0.0.1",
        ] {
            let error = base.parse::<BaseUrl>().unwrap_err();
            assert_eq!(error, BaseUrlError::Surplus, "{base}");
            assert!(!error.to_string().contains("word@"), "{error}");
        }
    }
}
