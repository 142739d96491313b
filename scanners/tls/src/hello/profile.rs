//! Which ClientHello a scan sends.

use std::{fmt, str::FromStr};

use super::{CustomHello, JarmProbe};

/// Which ClientHello a scan sends.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Profile {
    /// TLS 1.3 down to 1.0 in one hello: the certificate of nearly every server.
    #[default]
    Modern,
    /// TLS 1.2 and below: the certificate comes in clear, and no key is needed.
    Tls12,
    /// TLS 1.1 and below, for devices that fail on newer hellos.
    Legacy,
    /// One of the ten hellos of JARM.
    Jarm(JarmProbe),
    /// What a file has.
    Custom(CustomHello),
}

/// No profile has this name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no ClientHello profile is called `{0}`: modern, tls12 and legacy are")]
pub struct UnknownProfile(pub String);

/// The profiles that have a name: `modern`, `tls12`, `legacy`.
impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        match name {
            "modern" => Ok(Self::Modern),
            "tls12" => Ok(Self::Tls12),
            "legacy" => Ok(Self::Legacy),
            _ => Err(UnknownProfile(name.to_owned())),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Modern => f.write_str("modern"),
            Self::Tls12 => f.write_str("tls12"),
            Self::Legacy => f.write_str("legacy"),
            Self::Jarm(probe) => write!(f, "jarm-{}", probe.number()),
            Self::Custom(_) => f.write_str("custom"),
        }
    }
}
