//! Certificates that break the form of RFC 5280, and those of other algorithms.

use super::*;

pub(super) fn all(world: &World) -> Vec<Case> {
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
        world.patched(name, move |tbs| tbs.0[Tbs::SUBJECT] = super::name(tag, cn))
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
                tbs.0[Tbs::ISSUER] = super::name(19, b"Middle");
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
