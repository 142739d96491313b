//! Dates: of the certificate, of its issuer and of the root.

use super::*;

pub(super) fn all(world: &World) -> Vec<Case> {
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
