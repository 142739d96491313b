//! From a description to a scan.

use std::{sync::Arc, time::Duration};

use mrpf_engine::{cookie::Cookie, tcp};
use mrpf_syn::ScanError;

use crate::{
    certificate::Describer,
    follow::{Connections, Greet},
    hello::{Hello, KeyShares, NoKeyPair, Profile},
    names::ServerNames,
    passes::{Passes, Questions},
    row::Rows,
    salts::Salts,
    scan::Scan,
    show::Show,
    trust::{Roots, Truster},
};

/// A scan to be. Every knob has the default of the command line.
#[derive(Debug)]
pub struct Builder {
    targets: mrpf_syn::Builder,
    profile: Profile,
    key_share: KeyShare,
    names: ServerNames,
    show: Show,
    roots: Option<Roots>,
    keeps_der: bool,
    wants_jarm: bool,
    connections: Connections,
}

/// Which key shares the hellos have.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum KeyShare {
    /// The base points of the groups: the shared secret is the host's own share, and no curve is computed. Anyone on the way
    /// can read what the host says, which is public: see [`KeyShares`].
    #[default]
    Identity,
    /// A key pair made for this scan.
    Fresh,
}

impl std::str::FromStr for KeyShare {
    type Err = UnknownKeyShare;

    fn from_str(text: &str) -> Result<Self, UnknownKeyShare> {
        match text {
            "identity" => Ok(Self::Identity),
            "fresh" => Ok(Self::Fresh),
            _ => Err(UnknownKeyShare(text.to_owned())),
        }
    }
}

impl std::fmt::Display for KeyShare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Identity => "identity",
            Self::Fresh => "fresh",
        })
    }
}

/// A word that is no kind of key share.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no kind of key share: give identity or fresh")]
pub struct UnknownKeyShare(String);

/// Why a scan cannot start.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Targets, rate, link.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// A fresh key pair.
    #[error(transparent)]
    KeyPair(#[from] NoKeyPair),
}

impl Builder {
    /// A scan of `targets`, at the rate and on the link that it says. What it says of records and resets is not asked.
    pub fn new(targets: mrpf_syn::Builder) -> Self {
        Self {
            targets,
            profile: Profile::Modern,
            key_share: KeyShare::default(),
            names: ServerNames::default(),
            show: Show::default(),
            roots: None,
            keeps_der: false,
            wants_jarm: false,
            connections: Connections { most: None, settings: tcp::Settings::default() },
        }
    }

    /// Which hello is said.
    #[must_use]
    pub fn hello(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Which key shares it has.
    #[must_use]
    pub fn key_share(mut self, key_share: KeyShare) -> Self {
        self.key_share = key_share;
        self
    }

    /// The names that hosts are asked for.
    #[must_use]
    pub fn server_names(mut self, names: ServerNames) -> Self {
        self.names = names;
        self
    }

    /// Which outcomes give records.
    #[must_use]
    pub fn show(mut self, show: Show) -> Self {
        self.show = show;
        self
    }

    /// Says of each chain whether it leads to one of these.
    #[must_use]
    pub fn roots(mut self, roots: Roots) -> Self {
        self.roots = Some(roots);
        self
    }

    /// Puts whole certificates into the records.
    #[must_use]
    pub fn der(mut self, keep: bool) -> Self {
        self.keeps_der = keep;
        self
    }

    /// Finds the JARM of hosts that speak TLS: see [`fingerprint::jarm`](crate::fingerprint::jarm). They are asked ten times
    /// more, after all targets have been asked once, at the same rate.
    ///
    /// Their records are held until then, in memory: less than 1 KiB a host, and certificates and answers that differ once each. Records of others come
    /// at once. While some are held, [`Scan::mark`] stands still. A scan that is stopped hands out what it holds, without
    /// JARM where that is not known yet. A host that was silent to one of the ten hellos has a JARM of zeros alone, as the
    /// published algorithm has it.
    #[must_use]
    pub fn jarm(mut self, find: bool) -> Self {
        self.wants_jarm = find;
        self
    }

    /// Most connections at once, 64 or more; what a few seconds at the rate may open when not set. New targets wait while there is
    /// little room, and with less of it those that answer meanwhile would find none.
    #[must_use]
    pub fn connections(mut self, most: u32) -> Self {
        self.connections.most = Some(most.max(64));
        self
    }

    /// How long a connection may take altogether.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.connections.settings.deadline = deadline;
        self
    }

    /// How long a host may say nothing.
    #[must_use]
    pub fn idle(mut self, idle: Duration) -> Self {
        self.connections.settings.idle = idle;
        self
    }

    /// Compiles the targets, opens the link and starts.
    ///
    /// # Errors
    ///
    /// [`TlsError`]; nothing has been sent then but, at most, ARP requests.
    pub fn build(self) -> Result<Scan, TlsError> {
        let shares = Arc::new(match self.key_share {
            KeyShare::Identity => KeyShares::identity(),
            KeyShare::Fresh => KeyShares::fresh()?,
        });
        let salts = Salts::new(&self.targets.key("salts")?);
        let places = Cookie::from_key(&self.targets.key("places")?);
        let mut greet = Greet {
            hello: Arc::new(Hello::new(self.profile, Arc::clone(&shares))),
            shares,
            names: self.names,
            shadowed: 0,
            salts,
            places,
            connections: self.connections,
        };
        let further = match self.wants_jarm {
            true => Some((self.targets.pass(0), Salts::new(&self.targets.key("jarm")?))),
            false => None,
        };
        let course = self.targets.silent(self.show.silent()).build_with(&mut greet)?;
        let passes = further.map(|(base, salts)| {
            let questions = Questions::new(greet.names.clone(), salts);
            Passes::new(base, questions, greet.places, self.connections, course.stop())
        });
        let describer = Describer::new(self.keeps_der);
        let rows = Rows::new(greet.names, greet.hello, describer, Truster::new(self.roots));
        Ok(Scan::new(course, self.show, rows, greet.shadowed, passes))
    }
}
