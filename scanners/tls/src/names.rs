//! Which name each host is asked for.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::Arc,
};

use mrpf_engine::target::Targets;

/// The names for the hellos (RFC 6066, section 3), shared by the listeners and whoever writes rows.
#[derive(Clone, Debug, Default)]
pub enum ServerNames {
    /// Of each address that a target's host name stood for, that name; the first where there were several. None for others.
    #[default]
    OfTargets,
    /// None: hosts show the certificate of their choice.
    None,
    /// One for all.
    One(Arc<str>),
    /// One for each address; none for others.
    ByAddress(Arc<HashMap<IpAddr, Arc<str>>>),
}

impl ServerNames {
    /// The name that `host` is asked for.
    pub fn of(&self, host: IpAddr) -> Option<&str> {
        match self {
            Self::OfTargets | Self::None => None,
            Self::One(name) => Some(name),
            Self::ByAddress(names) => names.get(&host).map(AsRef::as_ref),
        }
    }

    /// These, once it is known what the names of targets stood for.
    pub(crate) fn resolved(self, targets: &Targets) -> Self {
        if !matches!(self, Self::OfTargets) {
            return self;
        }
        let mut names = HashMap::new();
        for (addr, name) in targets.named() {
            if let Entry::Vacant(entry) = names.entry(*addr) {
                entry.insert(Arc::clone(name));
            }
        }
        Self::ByAddress(Arc::new(names))
    }
}

/// How many addresses were given by more than one name, of which the first alone is asked for.
pub(crate) fn shadowed(targets: &Targets) -> u64 {
    let mut names: HashMap<IpAddr, (&str, bool)> = HashMap::new();
    for (addr, name) in targets.named() {
        let (first, is_shared) = names.entry(*addr).or_insert((name, false));
        *is_shared |= *first != name.as_ref();
    }
    names.values().filter(|(_, is_shared)| *is_shared).count() as u64
}
