//! Which certificates the hosts of the demo show: made at its start, and the same each time.
//!
//! ```text
//! Logged     names that the certificate log has                    nothing new
//! Unlogged   names that it does not have, and wildcards            only who asks the hosts learns them
//! Shared     a name of the log beside names of others              not to be followed
//! ```

use std::{collections::BTreeSet, net::Ipv4Addr};

use crate::{
    LabError,
    certificate_log::{self, DOMAIN, numbered},
    tls_responder::Leaves,
};

/// Leaves of each pool, which stand one pool behind the other.
const LOGGED: u32 = 128;
const UNLOGGED: u32 = 64;
const SHARED: u32 = 8;

/// Where a block's certificates come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pool {
    Logged,
    Unlogged,
    Shared,
}

impl Pool {
    const ALL: [Self; 3] = [Self::Logged, Self::Unlogged, Self::Shared];

    /// The first of its leaves, and how many there are.
    fn place(self) -> (u32, u32) {
        match self {
            Self::Logged => (0, LOGGED),
            Self::Unlogged => (LOGGED, UNLOGGED),
            Self::Shared => (LOGGED + UNLOGGED, SHARED),
        }
    }

    /// Which leaf the host `addr` of a block with this pool shows.
    pub(super) fn number_of(self, addr: Ipv4Addr) -> usize {
        let (first, count) = self.place();
        (first + addr.to_bits() % count) as usize
    }

    /// The names that leaf `n` of it is for.
    fn names(self, n: u32) -> Vec<String> {
        match self {
            Self::Logged => vec![numbered(n)],
            Self::Unlogged => {
                vec![format!("door-{n:02}.{DOMAIN}"), format!("*.floor-{n:02}.{DOMAIN}")]
            }
            Self::Shared => vec![
                numbered(n),
                format!("shared-{n}.elsewhere.example"),
                "*.elsewhere.example".to_owned(),
            ],
        }
    }
}

/// The certificates of the demo's hosts.
#[derive(Debug)]
pub struct Certificates(Leaves);

impl Certificates {
    /// Makes them, which takes some hundredths of a second.
    ///
    /// # Errors
    ///
    /// [`LabError::System`] when no certificate can be made.
    pub fn make() -> Result<Self, LabError> {
        let names = |pool: Pool| (0..pool.place().1).map(move |n| pool.names(n));
        Leaves::known(Pool::ALL.into_iter().flat_map(names)).map(Self)
    }

    /// The SHA-256 of the DER of a leaf, in hex.
    pub fn leaf(&self, number: usize) -> String {
        self.0.sha256(number)
    }

    /// That of the certificate that every host shows after its leaf.
    pub fn intermediate(&self) -> String {
        self.0.intermediate_sha256()
    }

    pub(super) fn leaves(&self) -> &Leaves {
        &self.0
    }
}

/// The names of the organisation that are in certificates of hosts and not in the [log](certificate_log), sorted, wildcards as
/// what they stand below, each once.
pub fn names_of_certificates() -> Vec<String> {
    let logged: BTreeSet<String> = certificate_log::in_scope().into_iter().collect();
    all_names().into_iter().filter(|name| is_ours(name) && !logged.contains(name)).collect()
}

/// The names of others in certificates of hosts, in the same way.
pub fn names_of_others() -> Vec<String> {
    all_names().into_iter().filter(|name| !is_ours(name)).collect()
}

fn all_names() -> BTreeSet<String> {
    let of = |pool: Pool| (0..pool.place().1).flat_map(move |n| pool.names(n));
    let names = Pool::ALL.into_iter().flat_map(of);
    names.map(|name| name.trim_start_matches("*.").to_owned()).collect()
}

fn is_ours(name: &str) -> bool {
    name.strip_suffix(DOMAIN).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_stand_one_behind_the_other() {
        let mut next = 0;
        for pool in Pool::ALL {
            let (first, count) = pool.place();
            assert_eq!(first, next);
            let numbers: BTreeSet<_> =
                (0..count).map(|n| pool.number_of(Ipv4Addr::from_bits(n))).collect();
            assert_eq!(numbers.len() as u32, count);
            assert_eq!(numbers.first().map(|n| *n as u32), Some(first));
            next = first + count;
        }
        assert_eq!(Certificates::make().unwrap().leaves().count() as u32, next);
    }

    #[test]
    fn names_are_of_one_kind() {
        let new = names_of_certificates();
        assert_eq!(new.len() as u32, 2 * UNLOGGED);
        assert!(new.iter().any(|name| name == "floor-07.mrpf-lab.example"));
        let others = names_of_others();
        assert_eq!(others.len() as u32, SHARED + 1);
        assert!(others.iter().all(|name| name.ends_with("elsewhere.example")));
        assert!(!is_ours("notmrpf-lab.example") && is_ours(DOMAIN));
    }
}
