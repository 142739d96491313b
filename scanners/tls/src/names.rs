//! Which name each host is asked for.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

/// The names for the hellos (RFC 6066, section 3), shared by the listeners and whoever writes rows.
#[derive(Clone, Debug, Default)]
pub enum ServerNames {
    /// None: hosts show the certificate of their choice.
    #[default]
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
            Self::None => None,
            Self::One(name) => Some(name),
            Self::ByAddress(names) => names.get(&host).map(AsRef::as_ref),
        }
    }
}
