//! Public services that tasks ask, and how often each may be asked.

use std::{fmt, time::Duration};

/// A service and its pace, which the manager keeps for all workers together: external workers share nothing.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Source {
    /// What the store calls it.
    pub name: &'static str,
    /// From one task to the next, at least. A task that asks more than once keeps this pace itself.
    pub interval: Duration,
}

impl Source {
    /// `https://crt.sh`: about five requests a minute from one address are tolerated.
    pub const CRT_SH: Self = Self { name: "crt.sh", interval: Duration::from_secs(12) };
    /// `https://api.platform.censys.io`: one request at a time on the smaller plans.
    pub const CENSYS: Self = Self { name: "censys", interval: Duration::from_millis(2_500) };
    /// `https://api.shodan.io`: one request a second.
    pub const SHODAN: Self = Self { name: "shodan", interval: Duration::from_secs(1) };
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}
