//! Settings from the environment, the same as on AWS.

use std::{env, fmt::Display, num::NonZeroU64, str::FromStr};

use mrpf_engine::governor::Rate;
use mrpf_worker::IdleTimeout;

use super::PlatformError;

const MAX_WORKERS: &str = "MAX_BARE_METAL_WORKERS";
const IDLE: &str = "BARE_METAL_IDLE_TIMEOUT_SECS";
const MAX_RATE: &str = "BARE_METAL_MAX_RATE";

/// What the platform is told by its environment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Environment {
    /// Most bare-metal workers at a time.
    pub(crate) max_bare_metal_workers: u32,
    /// After how much time without a task one of them goes.
    pub(crate) idle: IdleTimeout,
    /// Most frames a second of one scan.
    pub(crate) bare_metal_max_rate: NonZeroU64,
}

impl Environment {
    /// Reads it; what is not set has its default, and what cannot be read is refused.
    pub(crate) fn read() -> Result<Self, PlatformError> {
        Self::of(|name| match env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(env::VarError::NotPresent) => Ok(None),
            Err(error) => Err(bad(name, "", error)),
        })
    }

    pub(super) fn of(
        variable: impl Fn(&'static str) -> Result<Option<String>, PlatformError>,
    ) -> Result<Self, PlatformError> {
        let max_bare_metal_workers = match variable(MAX_WORKERS)? {
            None => 5,
            Some(value) => match value.trim().parse() {
                Ok(count @ 1..=1_000) => count,
                _ => return Err(bad(MAX_WORKERS, &value, "give a number from 1 to 1000")),
            },
        };
        let idle = match variable(IDLE)? {
            None => IdleTimeout::default(),
            Some(value) => read(IDLE, &value)?,
        };
        let bare_metal_max_rate = match variable(MAX_RATE)? {
            None => NonZeroU64::new(10_000).unwrap_or(NonZeroU64::MIN),
            Some(value) => {
                let rate: Rate = read(MAX_RATE, &value)?;
                // A platform that scans as fast as a link takes it is nobody's wish.
                rate.per_second()
                    .ok_or_else(|| bad(MAX_RATE, &value, "give a number such as 10k"))?
            }
        };
        Ok(Self { max_bare_metal_workers, idle, bare_metal_max_rate })
    }
}

fn read<T: FromStr<Err: Display>>(name: &'static str, value: &str) -> Result<T, PlatformError> {
    value.trim().parse().map_err(|error| bad(name, value, error))
}

fn bad(name: &'static str, value: &str, why: impl Display) -> PlatformError {
    PlatformError::Environment { name, value: value.to_owned(), why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &'static str, value: &str) -> Result<Environment, PlatformError> {
        Environment::of(|asked| Ok((asked == name).then(|| value.to_owned())))
    }

    #[test]
    fn defaults_are_those_of_the_documents() {
        let environment = Environment::of(|_| Ok(None)).unwrap();
        assert_eq!(environment.max_bare_metal_workers, 5);
        assert_eq!(environment.bare_metal_max_rate.get(), 10_000);
        assert_eq!(environment.idle, "300".parse().unwrap());
    }

    #[test]
    fn what_is_set_counts_and_nonsense_is_refused_by_name() {
        assert_eq!(of(MAX_WORKERS, " 2 ").unwrap().max_bare_metal_workers, 2);
        assert_eq!(of(MAX_RATE, "25k").unwrap().bare_metal_max_rate.get(), 25_000);
        for (name, value) in [
            (MAX_WORKERS, "0"),
            (MAX_WORKERS, "many"),
            (IDLE, "0"),
            (IDLE, "soon"),
            (MAX_RATE, "max"),
            (MAX_RATE, ""),
        ] {
            let error = of(name, value).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
