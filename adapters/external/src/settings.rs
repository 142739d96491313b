//! Where the services are, the keys for them, and how long and large an answer may be.

use std::{env, ffi::OsString, time::Duration};

use crate::{BaseUrl, BaseUrlError, Secret};

/// Settings of the tasks that ask public services.
#[derive(Clone, Debug)]
pub struct Settings {
    /// crt.sh, or what speaks like it.
    pub crt_sh: BaseUrl,
    /// The Censys Platform.
    pub censys: BaseUrl,
    /// Shodan.
    pub shodan: BaseUrl,
    /// A personal access token of Censys; its tasks fail without one.
    pub censys_token: Option<Secret>,
    /// Who pays for calls to Censys: without it they go to the wallet of the token's owner.
    pub censys_organization: Option<String>,
    /// A key of Shodan; its tasks fail without one.
    pub shodan_key: Option<Secret>,
    /// What one answer may take.
    pub limits: Limits,
}

/// What one answer may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For name resolution, and again until the service listens to us.
    pub connect: Duration,
    /// For the whole call, the last octet of the answer included.
    pub call: Duration,
    /// Octets of the answer, unpacked.
    pub body: u64,
}

impl Default for Limits {
    /// crt.sh may think for a minute, and answers for large domains have tens of megabytes.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            call: Duration::from_secs(150),
            body: 256 * 1_024 * 1_024,
        }
    }
}

impl Settings {
    /// From the environment: `CRTSH_BASE_URL`, `CENSYS_BASE_URL`, `SHODAN_BASE_URL` (the public services where they are not
    /// set), `CENSYS_TOKEN`, `CENSYS_ORGANIZATION_ID`, `SHODAN_API_KEY`. An empty variable counts as not set. A key that is
    /// missing fails the tasks that need it, not this.
    ///
    /// # Errors
    ///
    /// [`SettingsError`], which names the variable.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::from_vars(env::var_os)
    }

    /// As [`Self::from_env`], with variables from elsewhere.
    ///
    /// # Errors
    ///
    /// [`SettingsError`], which names the variable.
    pub fn from_vars(
        var: impl Fn(&'static str) -> Option<OsString>,
    ) -> Result<Self, SettingsError> {
        let text = |name| match var(name).map(OsString::into_string) {
            Some(Ok(text)) => Ok(Some(text).filter(|text| !text.trim().is_empty())),
            Some(Err(_)) => Err(SettingsError::NoText { name }),
            None => Ok(None),
        };
        let url = |name, public: &str| {
            let url = text(name)?;
            url.as_deref()
                .unwrap_or(public)
                .parse()
                .map_err(|source| SettingsError::Url { name, source })
        };
        let key = |name| {
            text(name)?
                .map(|text| Secret::new(&text).ok_or(SettingsError::NoKey { name }))
                .transpose()
        };
        Ok(Self {
            crt_sh: url("CRTSH_BASE_URL", "https://crt.sh")?,
            censys: url("CENSYS_BASE_URL", "https://api.platform.censys.io")?,
            shodan: url("SHODAN_BASE_URL", "https://api.shodan.io")?,
            censys_token: key("CENSYS_TOKEN")?,
            censys_organization: text("CENSYS_ORGANIZATION_ID")?.map(|id| id.trim().to_owned()),
            shodan_key: key("SHODAN_API_KEY")?,
            limits: Limits::default(),
        })
    }
}

/// A setting that cannot be used. Never holds its value.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// Letters that no key has.
    #[error("{name}: holds blanks or letters that no key has")]
    NoKey {
        /// The variable.
        name: &'static str,
    },
    /// Not UTF-8.
    #[error("{name}: is no text")]
    NoText {
        /// The variable.
        name: &'static str,
    },
    /// No address of a service.
    #[error("{name}: {source}")]
    Url {
        /// The variable.
        name: &'static str,
        /// Why not.
        source: BaseUrlError,
    },
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::from_vars(|name| {
            vars.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn without_variables_it_is_the_public_services_and_no_keys() {
        let settings = read(&[("SHODAN_API_KEY", " "), ("CRTSH_BASE_URL", "")]).unwrap();
        assert_eq!(settings.crt_sh.to_string(), "https://crt.sh");
        assert_eq!(settings.censys.to_string(), "https://api.platform.censys.io");
        assert_eq!(settings.shodan.to_string(), "https://api.shodan.io");
        assert_eq!(settings.censys_token, None);
        assert_eq!(settings.censys_organization, None);
        assert_eq!(settings.shodan_key, None);
    }

    #[test]
    fn variables_are_taken_and_keys_not_shown() {
        let settings = read(&[
            ("CENSYS_TOKEN", "censys_t0ken\n"),
            ("CENSYS_ORGANIZATION_ID", " 11111111-2222-3333-4444-555555555555 "),
            ("SHODAN_API_KEY", "sH0dan"),
            ("SHODAN_BASE_URL", "http://127.0.0.1:9/"),
        ])
        .unwrap();
        assert_eq!(settings.censys_token, Secret::new("censys_t0ken"));
        assert_eq!(settings.shodan_key, Secret::new("sH0dan"));
        assert_eq!(settings.shodan.to_string(), "http://127.0.0.1:9");
        assert_eq!(
            settings.censys_organization.as_deref(),
            Some("11111111-2222-3333-4444-555555555555")
        );
        let shown = format!("{settings:?}{settings:#?}").to_lowercase();
        assert!(!shown.contains("t0ken") && !shown.contains("sh0dan"), "{shown}");
    }

    #[test]
    fn what_cannot_be_used_is_named_and_not_shown() {
        for (vars, said) in [
            ([("CRTSH_BASE_URL", "http://crt.sh")], "CRTSH_BASE_URL: http:// is for this machine"),
            ([("SHODAN_BASE_URL", "https://u:pass@x")], "SHODAN_BASE_URL: may hold no user"),
            ([("CENSYS_TOKEN", "pass word")], "CENSYS_TOKEN: holds blanks"),
            ([("SHODAN_API_KEY", "pass\u{e9}")], "SHODAN_API_KEY: holds blanks"),
        ] {
            let error = read(&vars).unwrap_err().to_string();
            assert!(error.starts_with(said) && !error.contains("pass@"), "{error}");
            assert!(!error.contains("pass word") && !error.contains("pass\u{e9}"), "{error}");
        }
        let error = Settings::from_vars(|_| Some(OsString::from_vec(vec![0xff]))).unwrap_err();
        assert_eq!(error, SettingsError::NoText { name: "CRTSH_BASE_URL" });
    }
}
