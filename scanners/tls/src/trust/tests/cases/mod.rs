//! The table. Where OpenSSL takes what we do not, or the other way round, the case says why.

mod dates;
mod fixtures;
mod forms;
mod hosts;
mod own;
mod paths;
mod rules;

use mrpf_records::{ChainTrust, Trust};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P384_SHA384,
    PKCS_ECDSA_P521_SHA512, PKCS_ED25519,
};

use super::{
    openssl::UNREADABLE,
    pki::{Authority, DAY, NOW, Tbs, issuing, key, params, wrap},
};

const WWW: &str = "www.example.com";

/// One row: what is sent, what is asked, and what must be said.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) chain: Vec<Vec<u8>>,
    pub(super) roots: Vec<Vec<u8>>,
    pub(super) asked: Option<&'static str>,
    pub(super) now: i64,
    /// Without the chain, which is beside.
    pub(super) trust: Trust,
    pub(super) chain_trust: ChainTrust,
    pub(super) self_issued: Option<bool>,
    pub(super) self_signed: Option<bool>,
    /// The numbers of its errors (`openssl verify`, X509_V_ERR_*).
    pub(super) openssl: &'static [u32],
    /// Why OpenSSL and we come to another end.
    pub(super) why: Option<&'static str>,
}

impl Case {
    fn with_chain(mut self, chain: Vec<Vec<u8>>) -> Self {
        self.chain = chain;
        self
    }

    fn with_roots(mut self, roots: Vec<Vec<u8>>) -> Self {
        self.roots = roots;
        self
    }

    fn asked(
        mut self,
        name: impl Into<Option<&'static str>>,
        matches: impl Into<Option<bool>>,
    ) -> Self {
        self.asked = name.into();
        self.trust.name_match = matches.into();
        self
    }

    fn at(mut self, now: i64) -> Self {
        self.now = now;
        self
    }

    fn valid_now(mut self, valid: impl Into<Option<bool>>) -> Self {
        self.trust.valid_now = valid.into();
        self
    }

    fn is(mut self, chain: ChainTrust) -> Self {
        self.chain_trust = chain;
        self
    }

    fn own(
        mut self,
        is_issued: impl Into<Option<bool>>,
        is_signed: impl Into<Option<bool>>,
    ) -> Self {
        self.self_issued = is_issued.into();
        self.self_signed = is_signed.into();
        self
    }

    fn openssl(mut self, errors: &'static [u32]) -> Self {
        self.openssl = errors;
        self
    }

    fn because(mut self, why: &'static str) -> Self {
        self.why = Some(why);
        self
    }
}

/// A root, an issuer below it, and what is good for a day or a year on both sides of now.
struct World {
    root: Authority,
    middle: Authority,
}

impl World {
    fn new() -> Self {
        let root = Authority::root("Root");
        let middle = root.sub(issuing(params("Middle", &[], -500..500)));
        Self { root, middle }
    }

    /// A host's certificate that is right, and goes on from there.
    fn case(&self, name: &'static str, leaf: CertificateParams) -> Case {
        self.of(name, self.middle.issue(leaf))
    }

    fn of(&self, name: &'static str, leaf: Vec<u8>) -> Case {
        Case {
            name,
            chain: vec![leaf, self.middle.der.clone()],
            roots: vec![self.root.der.clone()],
            asked: Some(WWW),
            now: NOW,
            trust: Trust { name_match: Some(true), valid_now: Some(true), chain: None },
            chain_trust: ChainTrust::Trusted,
            self_issued: Some(false),
            self_signed: Some(false),
            openssl: &[],
            why: None,
        }
    }

    fn patched(&self, name: &'static str, patch: impl Fn(&mut Tbs)) -> Case {
        self.of(name, self.middle.issue_patched(good(), patch))
    }
}

fn good() -> CertificateParams {
    params(WWW, &[WWW], -10..90)
}

fn edited(edit: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = good();
    edit(&mut params);
    params
}

fn for_names(names: &[&str]) -> CertificateParams {
    params("somebody", names, -10..90)
}

/// An extension by its last arc under 2.5.29.
fn extension(arc: u8, value: &[u8]) -> Vec<u8> {
    let id = wrap(0x06, &[0x55, 0x1d, arc]);
    wrap(0x30, &[id, wrap(0x04, value)].concat())
}

fn extensions(list: &[Vec<u8>]) -> Vec<u8> {
    wrap(0xa3, &wrap(0x30, &list.concat()))
}

fn alternatives(list: &[&[u8]]) -> Vec<u8> {
    extension(17, &wrap(0x30, &list.concat()))
}

/// A name of one common name of a string type.
fn name(tag: u8, cn: &[u8]) -> Vec<u8> {
    let pair = wrap(0x30, &[wrap(0x06, &[0x55, 4, 3]), wrap(tag, cn)].concat());
    wrap(0x30, &wrap(0x31, &pair))
}

fn without_version_3(tbs: &mut Tbs) {
    tbs.0.truncate(Tbs::EXTENSIONS);
    tbs.0.remove(Tbs::VERSION);
}

pub(super) fn all() -> Vec<Case> {
    let world = World::new();
    [
        dates::all(&world),
        own::all(&world),
        hosts::all(&world),
        paths::all(&world),
        rules::all(&world),
        forms::all(&world),
        fixtures::all(&world),
    ]
    .into_iter()
    .flatten()
    .collect()
}
