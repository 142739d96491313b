//! Who signed: oneself, a namesake, nobody that is known.

use super::*;

pub(super) fn all(world: &World) -> Vec<Case> {
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
