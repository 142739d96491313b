//! What the certificates of a host are worth: is the name right, is the date right, who vouches for them.
//!
//! ```text
//!   chain, name asked, now ---> name_match   RFC 9525: DNS names with DNS names, addresses with addresses
//!                          ---> valid_now    the dates of the host's own certificate
//!                          ---> chain        rustls-webpki: a path to a root; only when there are roots, once a chain
//! ```
//!
//! # What holds
//!
//! - The three are told apart. A wrong name says nothing about the chain, and `expired` says that nothing but a date is wrong.
//! - Nothing is fetched: no missing intermediates, no revocation lists, no OCSP. A scan sends packets to its targets alone.
//! - `valid_now` says what its name says; it does not ask whether there were other reasons to refuse.
//! - Certificates that no verifier takes (X.509 v1, MD5, RSA of 16,384 bits) get an answer all the same.

mod chain;
mod names;
mod roots;
#[cfg(test)]
mod tests;

use std::{
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mrpf_records::{ChainTrust, Trust};
use rustls_pki_types::UnixTime;

pub use self::roots::{Roots, RootsError};
use crate::{
    cache::{Cache, sha256},
    certificate::{Fields, read_moment},
};

/// Says what certificates are worth, each chain once.
pub struct Truster {
    roots: Option<Roots>,
    known: Cache<Judged>,
}

/// What was said of a chain holds from the moment that it was asked until a date in it passes.
#[derive(Clone, Copy)]
struct Judged {
    verdict: ChainTrust,
    since: u64,
    until: u64,
}

impl Truster {
    /// What is remembered at most, in octets: some 80,000 chains.
    pub const MEMORY: usize = 16 << 20;

    /// Without roots, [`Trust::chain`] is left out, and a verdict costs no more than the reading of two fields.
    pub fn new(roots: Option<Roots>) -> Self {
        Self { roots, known: Cache::new(Self::MEMORY) }
    }

    /// Whom it trusts.
    pub fn roots(&self) -> Option<&Roots> {
        self.roots.as_ref()
    }

    /// What `chain`, the host's own certificate first, is worth at `now`; `None` when it is empty.
    ///
    /// With a name, `name_match` is whether the certificate is for it; a name that is an address is looked for among
    /// addresses. Without one, a certificate for the address that answered is a match, and any other is not called a
    /// mismatch: nobody asked the host for that name.
    pub fn trust(
        &mut self,
        chain: &[&[u8]],
        sni: Option<&str>,
        ip: IpAddr,
        now: SystemTime,
    ) -> Option<Trust> {
        let fields = Fields::of(chain.first()?);
        let name_match = match sni {
            Some(name) => Some(names::is_for(&fields, name)),
            None => names::is_for_address(&fields, ip).then_some(true),
        };
        let now = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let valid_now = dates(&fields).map(|(from, to)| (from..=to).contains(&i64_of(now)));
        Some(Trust { name_match, valid_now, chain: self.judge(chain, now) })
    }

    fn judge(&mut self, certificates: &[&[u8]], now: u64) -> Option<ChainTrust> {
        let roots = self.roots.as_ref()?;
        // Lengths first, or two chains cut at different places would be one.
        let lengths: Vec<u8> =
            certificates.iter().flat_map(|der| (der.len() as u64).to_be_bytes()).collect();
        let parts: Vec<&[u8]> =
            [&lengths[..]].into_iter().chain(certificates.iter().copied()).collect();
        let key = sha256(&parts);
        if let Some(judged) = self.known.get(&key)
            && (judged.since..judged.until).contains(&now)
        {
            return Some(judged.verdict);
        }
        let at = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let verdict = chain::judge(certificates, roots.anchors(), at);
        let until = certificates
            .iter()
            .filter_map(|der| dates(&Fields::of(der)))
            .flat_map(|(from, to)| [from, to.saturating_add(1)])
            .filter_map(|date| u64::try_from(date).ok())
            .filter(|date| *date > now)
            .min()
            .unwrap_or(u64::MAX);
        self.known.insert(key, Judged { verdict, since: now, until }, 0);
        Some(verdict)
    }
}

/// The first and the last second, since 1970, that a certificate is good for.
fn dates(fields: &Fields<'_>) -> Option<(i64, i64)> {
    let second = |item: Option<_>| Some(read_moment(&item?).ok()?.unix_timestamp());
    Some((second(fields.not_before)?, second(fields.not_after)?))
}

fn i64_of(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
