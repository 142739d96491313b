//! What issuers may and may not do (RFC 5280, section 4.2.1), and what certificates are for.

use super::*;

pub(super) fn all(world: &World) -> Vec<Case> {
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
