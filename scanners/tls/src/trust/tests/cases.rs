//! The table. Where OpenSSL takes what we do not, or the other way round, the case says why.

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

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../testdata/certificates/", $name, ".der")).to_vec()
    };
}

pub(super) fn all() -> Vec<Case> {
    let world = World::new();
    [
        dates(&world),
        own(&world),
        hosts(&world),
        paths(&world),
        rules(&world),
        forms(&world),
        fixtures(&world),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn dates(world: &World) -> Vec<Case> {
    let days = |from, to| params(WWW, &[WWW], from..to);
    let until = NOW + 90 * DAY;
    let old = world.root.sub(issuing(params("Old", &[], -500..-1)));
    let early = world.root.sub(issuing(params("Early", &[], 1..500)));
    let nobody = Authority::root("Nobody");
    let past_root = Authority::own(issuing(params("Past root", &[], -500..-1)), key());
    vec![
        world.case("all is right", good()),
        world
            .case("expired", days(-90, -1))
            .valid_now(false)
            .is(ChainTrust::Expired)
            .openssl(&[10]),
        world
            .case("not yet valid", days(1, 90))
            .valid_now(false)
            .is(ChainTrust::NotYetValid)
            .openssl(&[9]),
        world.case("its last second", good()).at(until).openssl(&[10]).because(
            "RFC 5280, section 4.1.2.5: through notAfter, inclusive; OpenSSL compares with a whole second less",
        ),
        world
            .case("the second after", good())
            .at(until + 1)
            .valid_now(false)
            .is(ChainTrust::Expired)
            .openssl(&[10]),
        world.case("its first second", good()).at(NOW - 10 * DAY),
        world
            .case("its issuer is expired", good())
            .with_chain(vec![old.issue(good()), old.der.clone()])
            .is(ChainTrust::Expired)
            .openssl(&[10]),
        world
            .case("its issuer is not yet valid", good())
            .with_chain(vec![early.issue(good()), early.der.clone()])
            .is(ChainTrust::NotYetValid)
            .openssl(&[9]),
        world
            .case("it and its issuer are expired, and were good together", days(-90, -2))
            .with_chain(vec![old.issue(days(-90, -2)), old.der.clone()])
            .valid_now(false)
            .is(ChainTrust::Expired)
            .openssl(&[10]),
        world
            .case("its issuer had expired before it began", good())
            .with_chain(vec![old.issue(days(0, 90)), old.der.clone()])
            .is(ChainTrust::Expired)
            .openssl(&[10]),
        world
            .case("expired, and nobody knows its issuer", good())
            .with_chain(vec![nobody.issue(days(-90, -1))])
            .valid_now(false)
            .is(ChainTrust::UntrustedIssuer)
            .openssl(&[20]),
        world
            .case("it ends before it begins", days(10, -10))
            .valid_now(false)
            .is(ChainTrust::Expired)
            .openssl(&[9]),
        world.patched("without an end, as RFC 5280 writes it", |tbs| {
            let dates = [wrap(0x17, b"260101000000Z"), wrap(0x18, b"99991231235959Z")];
            tbs.0[Tbs::VALIDITY] = wrap(0x30, &dates.concat());
        }),
        world
            .patched("a date that never was", |tbs| {
                let dates = [wrap(0x17, b"260230000000Z"), wrap(0x17, b"301301000000Z")];
                tbs.0[Tbs::VALIDITY] = wrap(0x30, &dates.concat());
            })
            .valid_now(None)
            .is(ChainTrust::Malformed)
            .openssl(&[13]),
        world
            .case("its root is expired", good())
            .with_chain(vec![past_root.issue(good())])
            .with_roots(vec![past_root.der.clone()])
            .openssl(&[10])
            .because("RFC 5280, section 6.1.1: a trust anchor is a name and a key; webpki's have no dates"),
    ]
}

fn own(world: &World) -> Vec<Case> {
    let alone = |name, owner: Authority| {
        world.of(name, owner.der.clone()).with_chain(vec![owner.der]).own(true, true)
    };
    let own = |params| Authority::own(params, key());
    let namesake = Authority::own(issuing(params("Same", &[], -500..500)), key());
    let stranger = Authority::own(issuing(params("Same", &[], -500..500)), key());
    let same = |name, has_identifier| {
        let mut params = params("Same", &[WWW], -10..90);
        params.use_authority_key_identifier_extension = has_identifier;
        if has_identifier {
            params.is_ca = IsCa::ExplicitNoCa; // which has rcgen write its own identifier, too
        }
        let leaf = namesake.issue(params);
        let chain = vec![leaf.clone()];
        world
            .of(name, leaf)
            .with_chain(chain)
            .with_roots(vec![namesake.der.clone()])
            .own(true, false)
    };
    let pinned = own(good());
    let pinned_issuer = own(issuing(good()));
    let nobody = Authority::root("Nobody");
    let mut broken = own(good());
    if let Some(last) = broken.der.last_mut() {
        *last ^= 1;
    }
    vec![
        alone("self-signed", own(good())).is(ChainTrust::SelfSigned).openssl(&[18]),
        alone("self-signed, as `openssl req -x509` does it", own(issuing(good())))
            .is(ChainTrust::SelfSigned)
            .openssl(&[18]),
        alone("self-signed and expired", own(params(WWW, &[WWW], -90..-1)))
            .valid_now(false)
            .is(ChainTrust::SelfSigned)
            .openssl(&[10, 18]),
        // No key identifiers and no alternative names: neither says who signed.
        alone("tlsx#851: self-signed with a common name alone", own(params(WWW, &[], -10..90)))
            .asked(WWW, false)
            .is(ChainTrust::SelfSigned)
            .openssl(&[18]),
        world
            .case("tlsx#851: signed by an issuer, with a common name alone", params(WWW, &[], -10..90))
            .asked(WWW, false)
            .because("RFC 9525, section 2: the common name is no name of a host; OpenSSL still asks it where there is no other"),
        same("self-issued, and signed by a namesake that is trusted", false)
            .openssl(&[18])
            .because(
                "OpenSSL takes equal names for a self-signature where no key identifier says otherwise",
            ),
        same("self-issued, and signed by a namesake that is trusted, and says so", true),
        world
            .of("self-issued, and signed by a namesake whom nobody knows", vec![])
            .with_chain(vec![stranger.issue(params("Same", &[WWW], -10..90))])
            .own(true, false)
            .is(ChainTrust::UntrustedIssuer)
            .openssl(&[18]),
        alone("self-issued, and its signature is broken", broken)
            .own(true, false)
            .is(ChainTrust::UntrustedIssuer)
            .openssl(&[18]),
        world
            .of("self-signed, and a root itself", pinned.der.clone())
            .with_chain(vec![pinned.der.clone()])
            .with_roots(vec![pinned.der])
            .own(true, true),
        world
            .of("an issuer's, self-signed, and a root itself", pinned_issuer.der.clone())
            .with_chain(vec![pinned_issuer.der.clone()])
            .with_roots(vec![pinned_issuer.der])
            .own(true, true)
            .is(ChainTrust::CaAsLeaf)
            .because("webpki takes no issuer's certificate for a host's; OpenSSL asks nothing of what is trusted itself"),
        world
            .of("the root that it sends is not trusted", nobody.issue(good()))
            .with_chain(vec![nobody.issue(good()), nobody.der.clone()])
            .is(ChainTrust::UntrustedIssuer)
            .openssl(&[19]),
    ]
}

fn hosts(world: &World) -> Vec<Case> {
    let case = |name, names: &[&str]| world.case(name, for_names(names));
    let addressed = |name, address: &'static str, is: bool| {
        case(name, &["198.19.0.7", "2001:db8::7", "www.example.com"]).asked(address, is)
    };
    const MISMATCH: &[u32] = &[62];
    const IP_MISMATCH: &[u32] = &[64];
    let wildcard = |name, asked: &'static str, is: bool| {
        let case = case(name, &["*.shop.example.com"]).asked(asked, is);
        if is { case } else { case.openssl(MISMATCH) }
    };
    vec![
        case("wrong host", &["mail.example.com"]).asked(WWW, false).openssl(MISMATCH),
        case("one of many names", &["a.example.com", "b.example.com", "www.example.com"]),
        case("names have no case", &["WWW.Example.COM"]),
        case("the name that is asked ends in a dot", &[WWW])
            .asked("www.example.com.", true)
            .openssl(MISMATCH)
            .because("RFC 1034, section 3.1: a name that ends in a dot is the same name, complete; OpenSSL compares octets"),
        case("an internationalised name", &["xn--bcher-kva.example.com"])
            .asked("xn--bcher-kva.example.com", true),
        addressed("its address is named", "198.19.0.7", true),
        addressed("another address is named", "198.19.0.8", false).openssl(IP_MISMATCH),
        addressed("its address of version 6 is named", "2001:db8::7", true),
        addressed("another address of version 6 is named", "2001:db8::8", false)
            .openssl(IP_MISMATCH),
        case("no name was asked, and its address is named", &["198.19.0.7"]).asked(None, true),
        case("tlsx#217: no name was asked, and none fits the address", &[WWW]).asked(None, None),
        world
            .patched("an address in a DNS name is none", |tbs| {
                tbs.0[Tbs::EXTENSIONS] = extensions(&[alternatives(&[b"\x82\x0a198.19.0.7"])]);
            })
            .asked("198.19.0.7", false)
            .openssl(IP_MISMATCH),
        world
            .case("an address in the common name is none", params("198.19.0.7", &[], -10..90))
            .asked("198.19.0.7", false)
            .openssl(IP_MISMATCH),
        wildcard("a wildcard is one label", "a.shop.example.com", true),
        wildcard("a wildcard is not two labels", "b.a.shop.example.com", false),
        wildcard("a wildcard is not none", "shop.example.com", false),
        case("a wildcard needs two labels behind it", &["*.tld"])
            .asked("www.tld", false)
            .openssl(MISMATCH),
        case("a wildcard is a whole label", &["f*.shop.example.com"])
            .asked("foo.shop.example.com", false)
            .because("RFC 9525, section 6.3: a wildcard is a whole label; OpenSSL takes parts unless told otherwise"),
        case("a wildcard is the first label", &["www.*.example.com"])
            .asked("www.shop.example.com", false)
            .openssl(MISMATCH),
        case("the common name does not count beside others", &["mail.example.com"])
            .with_chain(vec![
                world.middle.issue(params(WWW, &["mail.example.com"], -10..90)),
                world.middle.der.clone(),
            ])
            .asked(WWW, false)
            .openssl(MISMATCH),
        world
            .patched("a name with a NUL does not end there", |tbs| {
                let name = wrap(0x82, b"www.example.com\0.evil.test");
                tbs.0[Tbs::EXTENSIONS] = extensions(&[alternatives(&[&name])]);
            })
            .asked(WWW, false)
            .openssl(MISMATCH),
    ]
}

fn paths(world: &World) -> Vec<Case> {
    let leaf = || world.middle.issue(good());
    let middle = || world.middle.der.clone();
    let nobody = Authority::root("Nobody");
    let odd = Authority::root("Odd");
    let expired = odd.issue(params("odd", &[], -500..-400));
    // One issuer with one key, signed by two.
    let crossed = issuing(params("Crossed", &[], -500..500));
    let by_root = world.root.sub_with(crossed.clone(), key());
    let by_nobody = nobody.sub_with(crossed, by_root.key());
    let past = world.root.sub_with(issuing(params("Crossed", &[], -500..-1)), by_root.key());
    let impostor = world.root.sub(issuing(params("Middle", &[], -500..500)));
    let mut tampered = leaf();
    let at = tampered.windows(WWW.len()).position(|octets| octets == WWW.as_bytes()).unwrap();
    tampered[at + WWW.len() - 1] = b'n';
    let mut broken = middle();
    *broken.last_mut().unwrap() ^= 1;
    let mut long = vec![world.root.sub(issuing(params("Issuer 0", &[], -500..500)))];
    for n in 1..8 {
        let next = long[n - 1].sub(issuing(params(&format!("Issuer {n}"), &[], -500..500)));
        long.push(next);
    }
    let chain_of = |count: usize| {
        let leaf = long[count - 1].issue(good());
        [leaf]
            .into_iter()
            .chain(long[..count].iter().rev().map(|issuer| issuer.der.clone()))
            .collect()
    };
    let case = |name, chain| world.of(name, leaf()).with_chain(chain);
    let untrusted = |name, chain| case(name, chain).is(ChainTrust::UntrustedIssuer);
    vec![
        untrusted("its issuer is not sent", vec![leaf()]).openssl(&[20]),
        case("the root is sent, too", vec![leaf(), middle(), world.root.der.clone()]),
        case("in the wrong order", vec![leaf(), world.root.der.clone(), middle()]),
        case("it is sent twice", vec![leaf(), leaf(), middle(), middle()]),
        case(
            "others that have nothing to do with it are sent, too",
            vec![leaf(), expired.clone(), odd.der.clone(), b"nothing".to_vec(), middle()],
        ),
        untrusted(
            "others are sent, but its issuer is not",
            vec![leaf(), expired, odd.der.clone(), b"nothing".to_vec()],
        )
        .openssl(&[20]),
        case(
            "cross-signed",
            vec![by_root.issue(good()), by_nobody.der.clone(), by_root.der.clone()],
        )
        .openssl(&[20])
        .because("OpenSSL goes the first way that is within its dates, and does not come back"),
        case(
            "cross-signed, and the right way comes first",
            vec![by_root.issue(good()), by_root.der.clone(), by_nobody.der.clone()],
        ),
        untrusted(
            "cross-signed by those whom nobody knows",
            vec![by_root.issue(good()), by_nobody.der.clone()],
        )
        .openssl(&[20]),
        // What became of AddTrust: the first way that a tool tries is expired, the other is not.
        case(
            "tlsx#268: cross-signed, and one way is expired",
            vec![by_root.issue(good()), past.der.clone(), by_root.der.clone()],
        ),
        case("a namesake of its issuer is sent", vec![leaf(), impostor.der.clone()])
            .is(ChainTrust::BadSignature)
            .openssl(&[7]),
        case("it was changed after it was signed", vec![tampered, middle()])
            .is(ChainTrust::BadSignature)
            .openssl(&[7]),
        case("the signature of its issuer is broken", vec![leaf(), broken])
            .is(ChainTrust::BadSignature)
            .openssl(&[7]),
        case("six issuers", chain_of(6)),
        case("eight issuers", chain_of(8))
            .is(ChainTrust::PathTooLong)
            .because("webpki follows six; OpenSSL a hundred"),
    ]
}

fn rules(world: &World) -> Vec<Case> {
    let below = |name, issuer: CertificateParams| {
        let issuer = world.middle.sub(issuer);
        let leaf = issuer.issue(good());
        world.of(name, leaf.clone()).with_chain(vec![leaf, issuer.der, world.middle.der.clone()])
    };
    let issuer = |edit: &dyn Fn(&mut CertificateParams)| {
        let mut params = issuing(params("Below", &[], -500..500));
        edit(&mut params);
        params
    };
    let short = world.root.sub(issuer(&|p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))));
    let too_deep = short.sub(issuing(params("Too deep", &[], -500..500)));
    let named = |permitted: &[&str], excluded: &[&str]| {
        let subtrees = |names: &[&str]| {
            names.iter().map(|name| GeneralSubtree::DnsName((*name).to_owned())).collect()
        };
        NameConstraints {
            permitted_subtrees: subtrees(permitted),
            excluded_subtrees: subtrees(excluded),
        }
    };
    let purposes = |purposes: &[ExtendedKeyUsagePurpose]| {
        edited(|params| params.extended_key_usages = purposes.to_vec())
    };
    let constrained = |name, constraints: NameConstraints| {
        below(name, issuer(&|p| p.name_constraints = Some(constraints.clone())))
    };
    let mut unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 55_555, 1], vec![5, 0]);
    unknown.set_criticality(true);
    vec![
        below("its issuer is a host", params("Below", &["below.example.com"], -500..500))
            .is(ChainTrust::NotACa)
            .openssl(&[26, 79]),
        below("its issuer says that it is none", issuer(&|p| p.is_ca = IsCa::ExplicitNoCa))
            .is(ChainTrust::NotACa)
            .openssl(&[26, 79]),
        world
            .of("its issuer may have none below it", vec![])
            .with_chain(vec![too_deep.issue(good()), too_deep.der.clone(), short.der.clone()])
            .is(ChainTrust::PathTooLong)
            .openssl(&[25]),
        world
            .of("an issuer's certificate on a host", world.middle.issue(issuing(good())))
            .is(ChainTrust::CaAsLeaf)
            .because("webpki keeps the certificates of issuers and hosts apart; OpenSSL asks for the purpose alone"),
        world.case("it says that it is no issuer", edited(|p| p.is_ca = IsCa::ExplicitNoCa)),
        world.case("key identifiers are there", edited(|p| {
            p.use_authority_key_identifier_extension = true;
        })),
        world.case("key identifiers are missing", good()),
        constrained("a name that its issuer may name", named(&["example.com"], &[])),
        constrained("a name that its issuer may not name", named(&["example.org"], &[]))
            .is(ChainTrust::NameNotPermitted)
            .openssl(&[47]),
        constrained("a name that its issuer must not name", named(&[], &["www.example.com"]))
            .is(ChainTrust::NameNotPermitted)
            .openssl(&[48]),
        world.case("for servers", purposes(&[ExtendedKeyUsagePurpose::ServerAuth])),
        world
            .case("for clients", purposes(&[ExtendedKeyUsagePurpose::ClientAuth]))
            .is(ChainTrust::WrongPurpose)
            .openssl(&[26]),
        world
            .case("for any purpose", purposes(&[ExtendedKeyUsagePurpose::Any]))
            .is(ChainTrust::WrongPurpose)
            .openssl(&[26]),
        below("its issuer is for mail", issuer(&|p| {
            p.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
        }))
        .is(ChainTrust::WrongPurpose)
        .openssl(&[26]),
        below("the key of its issuer is not for certificates", issuer(&|p| {
            p.key_usages = vec![KeyUsagePurpose::CrlSign];
        }))
        .openssl(&[26, 32, 79])
        .because("webpki asks for BasicConstraints alone, which says the same where it is right"),
        world
            .case("a critical extension that nobody knows", edited(|p| p.custom_extensions = vec![unknown]))
            .is(ChainTrust::Unsupported)
            .openssl(&[34]),
    ]
}

fn forms(world: &World) -> Vec<Case> {
    let version_1_issuer =
        world.root.patched(issuing(params("Version 1", &[], -500..500)), without_version_3);
    let own = Authority::own(good(), key());
    let own_version_1 = own.own_patched(without_version_3);
    let mut longer = world.middle.issue(good());
    longer.extend(b"\0\0");
    let mut shorter = world.middle.issue(good());
    shorter.truncate(shorter.len() / 2);
    let serial = |name, value: &'static [u8]| {
        world.patched(name, move |tbs| tbs.0[Tbs::SERIAL] = wrap(0x02, value))
    };
    let subject = |name, tag, cn: &'static [u8]| {
        world.patched(name, move |tbs| tbs.0[Tbs::SUBJECT] = self::name(tag, cn))
    };
    let algorithm = |name, algorithm| {
        let root = Authority::own(
            issuing(params("Other root", &[], -500..500)),
            rcgen::KeyPair::generate_for(algorithm).unwrap(),
        );
        let leaf = root.issue_for(good(), algorithm);
        world.of(name, leaf.clone()).with_chain(vec![leaf]).with_roots(vec![root.der])
    };
    let www = wrap(0x82, WWW.as_bytes());
    vec![
        world
            .patched("version 1", without_version_3)
            .asked(WWW, false)
            .is(ChainTrust::Unsupported)
            .because("webpki takes version 3 alone; without extensions there is no name but the common one"),
        world
            .of("version 1, self-signed", own_version_1.clone())
            .with_chain(vec![own_version_1])
            .asked(WWW, false)
            .own(true, true)
            .is(ChainTrust::SelfSigned)
            .openssl(&[18]),
        world
            .of("its issuer is of version 1", version_1_issuer.issue(good()))
            .with_chain(vec![version_1_issuer.issue(good()), version_1_issuer.der.clone()])
            .is(ChainTrust::Unsupported)
            .openssl(&[26, 79]),
        world
            .patched("version 4", |tbs| tbs.0[Tbs::VERSION] = vec![0xa0, 3, 2, 1, 3])
            .is(ChainTrust::Unsupported)
            .because("there is no version 4; OpenSSL does not ask"),
        serial("sslyze#497: a negative serial number", &[0x85, 1]),
        serial("the serial number -1", &[0xff]),
        serial("the serial number 0", &[0]),
        serial("a serial number of 30 octets", &[0x41; 30]),
        subject("a subject in Latin-1 that says T.61", 20, b"Telef\xf3nica"),
        subject("a subject in UTF-16", 30, b"\0A\0\xe9\x4e\x2d"),
        world.patched("no subject", |tbs| tbs.0[Tbs::SUBJECT] = vec![0x30, 0]),
        world.case("a subject of many parts", edited(|p| {
            p.distinguished_name.push(DnType::OrganizationName, "Example, \"Inc.\" <+;=>");
            p.distinguished_name.push(DnType::CountryName, "US");
            p.distinguished_name.push(DnType::LocalityName, " Zürich#");
            p.distinguished_name.push(DnType::from_oid(&[1, 2, 840, 113_549, 1, 9, 1]), "a@b.example");
            p.distinguished_name.push(DnType::from_oid(&[1, 3, 6, 1, 4, 1, 55_555, 2]), "x");
        })),
        world
            .patched("alternative names that are none", |tbs| {
                tbs.0[Tbs::EXTENSIONS] = extensions(&[extension(17, b"nothing")]);
            })
            .asked(WWW, false)
            .is(ChainTrust::Malformed)
            .openssl(&[20]),
        world
            .patched("alternative names twice", |tbs| {
                let names = alternatives(&[&www]);
                tbs.0[Tbs::EXTENSIONS] = extensions(&[names.clone(), names]);
            })
            .is(ChainTrust::Malformed)
            .openssl(&[20]),
        world
            .patched("an issuer's name in another alphabet", |tbs| {
                tbs.0[Tbs::ISSUER] = self::name(19, b"Middle");
            })
            .is(ChainTrust::UntrustedIssuer)
            .because("RFC 5280, section 7.1: names of one text are one; webpki compares octets, as section 4.1.2.4 has writers write them"),
        world
            .of("octets behind its end", longer)
            .is(ChainTrust::Malformed)
            .because("OpenSSL reads what it needs from PEM"),
        world
            .of("cut in half", shorter)
            .asked(WWW, false)
            .valid_now(None)
            .own(None, None)
            .is(ChainTrust::Malformed)
            .openssl(&[UNREADABLE]),
        world
            .of("no certificate at all", b"nothing".to_vec())
            .asked(WWW, false)
            .valid_now(None)
            .own(None, None)
            .is(ChainTrust::Malformed)
            .openssl(&[UNREADABLE]),
        algorithm("P-384", &PKCS_ECDSA_P384_SHA384),
        algorithm("P-521", &PKCS_ECDSA_P521_SHA512),
        algorithm("Ed25519", &PKCS_ED25519),
    ]
}

/// Those that aws-lc-rs does not sign: `testdata/certificates/make.sh`.
fn fixtures(world: &World) -> Vec<Case> {
    let signed = |name, leaf: Vec<u8>, root: Vec<u8>, asked: &'static str| {
        world
            .of(name, leaf.clone())
            .with_chain(vec![leaf])
            .with_roots(vec![root])
            .asked(asked, true)
    };
    let own = |name, leaf: Vec<u8>, asked: &'static str, is_signed: Option<bool>| {
        let verdict = if is_signed == Some(true) {
            ChainTrust::SelfSigned
        } else {
            ChainTrust::UntrustedIssuer
        };
        world
            .of(name, leaf.clone())
            .with_chain(vec![leaf])
            .asked(asked, true)
            .own(true, is_signed)
            .is(verdict)
            .openssl(&[18])
    };
    let root = fixture!("rsa2048-issuer");
    vec![
        signed("zgrab2#714: a huge RSA exponent", fixture!("rsa-exponent"), root.clone(), "rsa-exponent.example.com"),
        signed("SHA-1", fixture!("sha1"), root.clone(), "sha1.example.com")
            .is(ChainTrust::Unsupported)
            .because("RFC 9155: a signature by SHA-1 counts for nothing; OpenSSL has a security level for that, which is off"),
        signed("MD5", fixture!("md5"), root, "md5.example.com")
            .is(ChainTrust::Unsupported)
            .because("as SHA-1"),
        signed("signed by RSA of 1,024 bits", fixture!("by-rsa1024"), fixture!("rsa1024-issuer"), "by-rsa1024.example.com")
            .is(ChainTrust::Unsupported)
            .because("as SHA-1"),
        own("self-signed by RSA of 1,024 bits and SHA-1", fixture!("self-sha1"), "self-sha1.example.com", Some(true)),
        own("self-issued by PSS with a long salt", fixture!("self-pss-long-salt"), "self-pss-long-salt.example.com", None),
        own("self-signed by PSS", fixture!("self-pss"), "self-pss.example.com", Some(true)),
        own("self-signed by secp256k1", fixture!("self-secp256k1"), "self-secp256k1.example.com", Some(true)),
        // No verifier of ours takes these, so nothing is said of who signed.
        own("self-issued by RSA of 16,384 bits", fixture!("self-rsa16384"), "self-rsa16384.example.com", None),
        own("self-issued by MD5", fixture!("self-md5"), "self-md5.example.com", None),
        own("self-issued by Ed448", fixture!("self-ed448"), "self-ed448.example.com", None),
        own("self-issued by DSA", fixture!("self-dsa"), "self-dsa.example.com", None),
        own("self-issued by a curve without a name", fixture!("self-explicit"), "self-explicit.example.com", None),
    ]
}
