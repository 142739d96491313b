//! Values of flags that no library reads.

use std::{
    fmt,
    num::{NonZeroU16, NonZeroU64},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use mrpf_engine::governor::Rate;
use mrpf_tls::hello::Profile;

/// Probes a second for one host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct HostRate(pub(crate) NonZeroU64);

impl FromStr for HostRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rate = text.parse::<Rate>().ok().and_then(Rate::per_second);
        rate.map(Self).ok_or_else(|| {
            format!("{text:?} is not a number of probes a second: give one such as 500 or 10k")
        })
    }
}

/// First and last source port.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct PortSpan {
    pub(crate) first: u16,
    pub(crate) last: u16,
}

impl FromStr for PortSpan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span = || {
            let (first, last) = text.split_once('-')?;
            let (first, last) =
                (first.parse::<NonZeroU16>().ok()?.get(), last.parse::<u16>().ok()?);
            (first <= last).then_some(Self { first, last })
        };
        span().ok_or_else(|| {
            format!("{text:?} is not a span of ports: give first and last as in 61000-61255")
        })
    }
}

/// What `--hello` can be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum HelloChoice {
    /// One of ours: modern, tls12 or legacy.
    Profile(Profile),
    /// One in a file.
    File(PathBuf),
}

impl FromStr for HelloChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.parse().map_or_else(|_| Self::File(text.into()), Self::Profile))
    }
}

impl fmt::Display for HelloChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Profile(profile) => profile.fmt(f),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// When wildcards are looked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Wildcards {
    /// When names are made of words.
    #[default]
    Auto,
    On,
    Off,
}

impl fmt::Display for Wildcards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::On => "on",
            Self::Off => "off",
        })
    }
}

/// A name to ask hosts for.
pub(crate) fn server_name(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet))
    };
    let is_name = name.len() <= 253 && name.split('.').all(is_label);
    if is_name && name.parse::<std::net::IpAddr>().is_err() {
        return Ok(name.to_ascii_lowercase());
    }
    Err(format!(
        "{text:?} is no host name: give one such as www.example (in ASCII; addresses are not asked for by name)"
    ))
}

/// Longest cooldown: with all retries before it, the longest for which the engine can tell answers apart.
const MAX_COOLDOWN: f64 = 3_500.0;

/// How long answers are taken.
pub(crate) fn cooldown(text: &str) -> Result<Duration, String> {
    seconds(text)
        .filter(|time| time.as_secs_f64() <= MAX_COOLDOWN)
        .ok_or_else(|| format!("{text:?} is not a number of seconds from 0 to {MAX_COOLDOWN}: give one such as 8 or 0.5"))
}

/// When to stop.
pub(crate) fn max_time(text: &str) -> Result<Duration, String> {
    seconds(text).filter(|time| !time.is_zero()).ok_or_else(|| {
        format!("{text:?} is not a number of seconds above 0: give one such as 600 or 0.5")
    })
}

/// Seconds with or without a fraction; no sign, no exponent, no `inf`.
fn seconds(text: &str) -> Option<Duration> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = text.parse::<f64>().ok().filter(|_| is_plain)?;
    Duration::try_from_secs_f64(seconds).ok()
}
