//! Names: whom a certificate is for (RFC 9525, section 6).

use super::*;

pub(super) fn all(world: &World) -> Vec<Case> {
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
