//! The ClientHello: what a connection says first, made once a scan and patched for each host.
//!
//! ```text
//!  Profile + KeyShares -> Hello            once a scan: the template
//!    modern | tls12 | legacy | jarm 1..10 | a file
//!  Hello::write(Salt, name)                once a connection, no allocation
//!    | record 5 | message 4 | version | random 32 | session id | suites | 00 | [name] extensions .. [padding] |
//!        length     length                ^ salt     ^ salt                     ^ inserted           ^ 256..511 -> 512
//!  Hello::write_retry(Salt, name, Retry)   the second ClientHello, after a HelloRetryRequest (RFC 8446 section 4.1.2)
//! ```
//!
//! # What holds
//!
//! - The same salt and name give the same octets, so a hello need not be kept to be said again.
//! - Profiles of ours are one record of at most 1,200 octets, never have a ClientHello of 256 to 511 octets, at which some
//!   load balancers hang (RFC 7685), and never end in an empty extension, at which some servers do.
//! - A hello from a file is sent as the file has it.
//!
//! ```
//! use std::sync::Arc;
//! use mrpf_tls::hello::{Hello, KeyShares, Profile, Salt};
//!
//! let hello = Hello::new(Profile::Modern, Arc::new(KeyShares::identity()));
//! let salt = Salt { random: [1; 32], session_id: [2; 32] }; // drawn, in earnest
//! let mut record = Vec::with_capacity(1_200);
//! hello.write(&mut record, &salt, Some("www.example.org"));
//! assert_eq!(record[..3], [0x16, 0x03, 0x01]);
//! ```
//!
//! Not here: what the host answers, and the keys of a connection beyond the shared secret ([`KeyShares`]).

mod custom;
mod jarm;
mod key_shares;
mod offer;
mod ours;
mod profile;
pub(crate) mod reader;
mod template;

use std::{net::IpAddr, sync::Arc};

pub(crate) use self::offer::Offer;
use self::template::{Change, Template};
pub use self::{
    custom::{BadHello, CustomHello},
    jarm::JarmProbe,
    key_shares::{KeyShares, NoKeyPair, SharedSecret, group},
    profile::{Profile, UnknownProfile},
};

/// What is drawn for one connection. A second hello on it wants the same salt again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Salt {
    /// The `random` of the ClientHello.
    pub random: [u8; 32],
    /// The session id, where the profile has one.
    pub session_id: [u8; 32],
}

/// What a HelloRetryRequest asks of the second ClientHello.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Retry {
    /// The group that the host wants a key share of.
    pub group: Option<u16>,
    /// The cookie to send back; empty when there was none.
    pub cookie: Vec<u8>,
}

/// There is no second ClientHello to what a HelloRetryRequest asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoRetry {
    /// The host wants a group that we have no key share of.
    #[error("the host wants a key share of group {0:#06x}, and we have none")]
    Group(u16),
    /// With the cookie the hello is longer than one record.
    #[error(
        "with the host's cookie the second ClientHello has {0} octets, more than one record holds"
    )]
    TooLong(usize),
    /// JARM looks at the first answer alone.
    #[error("JARM looks at the first answer alone")]
    Jarm,
}

/// The ClientHello of one profile, ready to be written. See the module.
#[derive(Debug)]
pub struct Hello {
    profile: Profile,
    template: Template,
    shares: Arc<KeyShares>,
}

impl Hello {
    /// The hello of `profile`. JARM and files bring key shares of their own.
    pub fn new(profile: Profile, shares: Arc<KeyShares>) -> Self {
        let template = match &profile {
            Profile::Modern => ours::modern(&shares),
            Profile::Tls12 => ours::tls12(),
            Profile::Legacy => ours::legacy(),
            Profile::Jarm(probe) => jarm::template(*probe),
            Profile::Custom(custom) => custom.template(),
        };
        Self { profile, template, shares }
    }

    /// Which profile it is of.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// What a hello says of the name that was asked for: `None` where it says nothing.
    ///
    /// RFC 6066 section 3 knows DNS names alone, without the dot at the end; JARM says whatever it is given, addresses too.
    /// A hello from a file has the name that the file has, which is not told here.
    pub fn server_name<'a>(&self, asked: Option<&'a str>) -> Option<&'a str> {
        match self.profile {
            Profile::Custom(_) => None,
            Profile::Jarm(_) => asked.filter(|name| (1..=LONGEST_NAME).contains(&name.len())),
            _ => asked.and_then(dns_name),
        }
    }

    /// Writes the first record of a connection to `out`, which is emptied first.
    ///
    /// For JARM, a host that has no name is named by its address in text, as the published algorithm does.
    pub fn write(&self, out: &mut Vec<u8>, salt: &Salt, server_name: Option<&str>) {
        if let Profile::Custom(custom) = &self.profile {
            out.clear();
            out.extend_from_slice(custom.records());
            return;
        }
        self.template.write(out, salt, self.server_name(server_name), None);
    }

    /// Writes the second ClientHello, after a HelloRetryRequest. `salt` and `server_name` are those of the first.
    ///
    /// # Errors
    ///
    /// When no second hello can be what the host asks for; `out` is empty then.
    pub fn write_retry(
        &self,
        out: &mut Vec<u8>,
        salt: &Salt,
        server_name: Option<&str>,
        retry: &Retry,
    ) -> Result<(), NoRetry> {
        out.clear();
        if matches!(self.profile, Profile::Jarm(_)) {
            return Err(NoRetry::Jarm);
        }
        let share = match retry.group {
            Some(group) => Some((group, self.shares.public(group).ok_or(NoRetry::Group(group))?)),
            None => None,
        };
        let change = Change { share, cookie: &retry.cookie };
        let name = self.server_name(server_name);
        let length = self.template.retry_length(name, &change);
        if length > template::LONGEST_MESSAGE {
            return Err(NoRetry::TooLong(length));
        }
        self.template.write(out, salt, name, Some(&change));
        Ok(())
    }
}

/// RFC 1035 section 2.3.4, without the dot at the end.
const LONGEST_NAME: usize = 253;

/// `name` as RFC 6066 section 3 wants it, or `None` when it is no DNS name.
fn dns_name(name: &str) -> Option<&str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let fits = (1..=LONGEST_NAME).contains(&name.len());
    let is_text = name.bytes().all(|octet| octet.is_ascii_graphic() && !b":[]/".contains(&octet));
    (fits && is_text && name.parse::<IpAddr>().is_err()).then_some(name)
}

#[cfg(any(fuzzing, test, feature = "testing"))]
pub mod fuzzing;
#[cfg(test)]
mod tests;
