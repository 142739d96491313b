//! Ways to a root, with the certificates that a host sends, in whatever order.

use super::*;

pub(super) fn all(world: &World) -> Vec<Case> {
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
