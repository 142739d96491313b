use std::time::Duration;

use mrpf_records::ChainTrust;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, Error, KeyUsage};

use super::dates;
use crate::certificate::{Fields, Key, is_self_signed, sequence};

/// So many of the certificates that a host sends are taken for issuers on the way. webpki follows six; the rest is for
/// crossed signatures.
const ISSUERS: usize = 10;

/// So many moments beside now are asked about at most: each costs what the first look did, which is up to a hundred signatures,
/// and a host may send certificates with as many dates as it likes. Keys that take long are no matter: AWS-LC looks at the size
/// first, and takes no RSA key of more than 8,192 bits.
const MOMENTS: usize = 3;

/// Whether `chain`, the host's own certificate first, leads to one of `roots` at `now`.
pub(super) fn judge(chain: &[&[u8]], roots: &[TrustAnchor<'_>], now: UnixTime) -> ChainTrust {
    let Some((leaf, rest)) = chain.split_first() else { return ChainTrust::Malformed };
    let fields = Fields::of(leaf);
    let issuers = issuers(&fields, rest);
    let certificate = CertificateDer::from(*leaf);
    let verify = |at| path(&certificate, &issuers, roots, at);
    let verdict = match verify(now) {
        Ok(()) => return ChainTrust::Trusted,
        Err(error) => match date(&error) {
            Some(verdict) => beside_dates(&fields, &issuers, now, verify).unwrap_or(verdict),
            None => word(&error),
        },
    };
    match verdict {
        // A root that is a host's own certificate is more than self-signed, whatever else is in the way.
        _ if !is_root(&fields, roots) && is_self_signed(&fields) == Some(true) => {
            ChainTrust::SelfSigned
        }
        ChainTrust::BadSignature if has_odd_key(&fields, &issuers, roots) => {
            ChainTrust::Unsupported
        }
        verdict => verdict,
    }
}

fn path(
    leaf: &CertificateDer<'_>,
    issuers: &[CertificateDer<'_>],
    roots: &[TrustAnchor<'_>],
    at: UnixTime,
) -> Result<(), Error> {
    EndEntityCert::try_from(leaf)?
        .verify_for_usage(
            ALL_VERIFICATION_ALGS,
            roots,
            issuers,
            at,
            KeyUsage::server_auth(),
            None,
            None,
        )
        .map(|_| ())
}

/// The certificates that are on a way from the host's own, by their names: webpki reports the oddest error that it met, and
/// what has nothing to do with the chain shall not give one.
fn issuers<'a>(leaf: &Fields<'_>, sent: &[&'a [u8]]) -> Vec<CertificateDer<'a>> {
    let mut left: Vec<(&'a [u8], Fields<'a>)> =
        sent.iter().map(|der| (*der, Fields::of(der))).collect();
    let mut wanted = Vec::from_iter(leaf.issuer.map(<[u8]>::to_vec));
    let mut found = Vec::new();
    while let Some(name) = wanted.pop() {
        left.retain(|(der, fields)| {
            let is_issuer = found.len() < ISSUERS && fields.subject == Some(&name[..]);
            if is_issuer {
                found.push(CertificateDer::from(*der));
                wanted.extend(fields.issuer.map(<[u8]>::to_vec));
            }
            !is_issuer
        });
    }
    found
}

/// What is in the way beside a date: `None` when there is a moment at which nothing is, or when the dates leave none to ask
/// about. Moments at which a certificate begins or ends are asked about, the nearest first, while the host's own is good; a few.
pub(super) fn beside_dates(
    leaf: &Fields<'_>,
    issuers: &[CertificateDer<'_>],
    now: UnixTime,
    verify: impl Fn(UnixTime) -> Result<(), Error>,
) -> Option<ChainTrust> {
    let (from, to) = dates(leaf)?;
    let others = issuers.iter().filter_map(|der| dates(&Fields::of(der)));
    let mut moments: Vec<u64> = others
        .chain([(from, to)])
        .flat_map(|(from, to)| [from, to])
        .filter(|moment| (from..=to).contains(moment))
        .filter_map(|moment| u64::try_from(moment).ok())
        .collect();
    moments.sort_unstable_by_key(|moment| (moment.abs_diff(now.as_secs()), *moment));
    moments.dedup();
    let mut verdict = None;
    for moment in moments.into_iter().take(MOMENTS) {
        match verify(UnixTime::since_unix_epoch(Duration::from_secs(moment))) {
            Ok(()) => return None,
            Err(error) if date(&error).is_some() => {}
            Err(error) => verdict = verdict.or_else(|| Some(word(&error))),
        }
    }
    verdict
}

fn date(error: &Error) -> Option<ChainTrust> {
    match error {
        // An end before the beginning: good at no time, and past its end at most times.
        Error::CertExpired { .. } | Error::InvalidCertValidity => Some(ChainTrust::Expired),
        Error::CertNotValidYet { .. } => Some(ChainTrust::NotYetValid),
        _ => None,
    }
}

fn word(error: &Error) -> ChainTrust {
    match error {
        Error::UnknownIssuer | Error::CertDistrusted => ChainTrust::UntrustedIssuer,
        Error::InvalidSignatureForPublicKey => ChainTrust::BadSignature,
        Error::EndEntityUsedAsCa => ChainTrust::NotACa,
        Error::CaUsedAsEndEntity => ChainTrust::CaAsLeaf,
        Error::PathLenConstraintViolated
        | Error::MaximumPathDepthExceeded
        | Error::MaximumPathBuildCallsExceeded
        | Error::MaximumSignatureChecksExceeded => ChainTrust::PathTooLong,
        Error::NameConstraintViolation
        | Error::MalformedNameConstraint
        | Error::InvalidNetworkMaskConstraint
        | Error::MaximumNameConstraintComparisonsExceeded => ChainTrust::NameNotPermitted,
        Error::EmptyEkuExtension | Error::RequiredEkuNotFoundContext(_) => ChainTrust::WrongPurpose,
        Error::UnsupportedCertVersion
        | Error::UnsupportedCriticalExtension
        | Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => ChainTrust::Unsupported,
        _ => ChainTrust::Malformed,
    }
}

/// The host's own certificate has the name and the key of a root.
fn is_root(fields: &Fields<'_>, roots: &[TrustAnchor<'_>]) -> bool {
    let (Some(subject), Some(key)) = (content(fields.subject), content(fields.key)) else {
        return false;
    };
    roots.iter().any(|root| {
        root.subject.as_ref() == subject && root.subject_public_key_info.as_ref() == key
    })
}

/// Roots have names and keys without tag and length.
fn content(whole: Option<&[u8]>) -> Option<&[u8]> {
    sequence(whole?)
}

/// A key on the way is one that AWS-LC takes for none, so that a signature by it does not fit whoever made it.
fn has_odd_key(
    leaf: &Fields<'_>,
    issuers: &[CertificateDer<'_>],
    roots: &[TrustAnchor<'_>],
) -> bool {
    let issuers: Vec<Fields<'_>> = issuers.iter().map(|der| Fields::of(der)).collect();
    let names: Vec<&[u8]> =
        [leaf].into_iter().chain(&issuers).filter_map(|fields| content(fields.issuer)).collect();
    let roots = roots
        .iter()
        .filter(|root| names.contains(&root.subject.as_ref()))
        .map(webpki::spki_for_anchor);
    let keys = issuers.iter().filter_map(|fields| fields.key.map(<[u8]>::to_vec));
    keys.chain(roots.map(|info| info.to_vec())).any(|info| {
        Key::of(&info).is_some_and(|key| {
            key.kind == "rsa"
                && !(key.bits.is_some_and(|bits| (2_048..=8_192).contains(&bits))
                    && key.exponent.len() <= 4)
        })
    })
}
