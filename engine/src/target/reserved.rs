//! Addresses that no scan of the Internet wants: left out unless `--allow-reserved` says otherwise.
//!
//! The two IANA special-purpose registries (RFC 6890, RFC 8190), whole, and multicast, which has registries
//! of its own. Blocks inside listed ones are not repeated. Some are globally reachable (the AS112 and AMT anycasts);
//! what answers there is infrastructure that belongs to nobody in particular, so they are left out too.
//!
//! - <https://www.iana.org/assignments/iana-ipv4-special-registry>
//! - <https://www.iana.org/assignments/iana-ipv6-special-registry>

use super::{ranges::Ranges, spec::Spec};

/// A block and the document that sets it apart.
type Block = (&'static str, &'static str);

const V4: [Block; 18] = [
    ("0.0.0.0/8", "RFC 791, section 3.2: this network"),
    ("10.0.0.0/8", "RFC 1918: private use"),
    ("100.64.0.0/10", "RFC 6598: shared address space of carriers"),
    ("127.0.0.0/8", "RFC 1122, section 3.2.1.3: loopback"),
    ("169.254.0.0/16", "RFC 3927: link local"),
    ("172.16.0.0/12", "RFC 1918: private use"),
    ("192.0.0.0/24", "RFC 6890, section 2.1: protocol assignments"),
    ("192.0.2.0/24", "RFC 5737: documentation"),
    ("192.31.196.0/24", "RFC 7535: AS112"),
    ("192.52.193.0/24", "RFC 7450: AMT relays"),
    ("192.88.99.0/24", "RFC 7526: 6to4 relays, deprecated"),
    ("192.168.0.0/16", "RFC 1918: private use"),
    ("192.175.48.0/24", "RFC 7534: AS112, direct delegation"),
    ("198.18.0.0/15", "RFC 2544: benchmarking"),
    ("198.51.100.0/24", "RFC 5737: documentation"),
    ("203.0.113.0/24", "RFC 5737: documentation"),
    ("224.0.0.0/4", "RFC 5771: multicast"),
    (
        "240.0.0.0/4",
        "RFC 1112, section 4: reserved; its last is the broadcast of RFC 919, section 7",
    ),
];

const V6: [Block; 16] = [
    ("::/128", "RFC 4291, section 2.5.2: unspecified"),
    ("::1/128", "RFC 4291, section 2.5.3: loopback"),
    ("::ffff:0:0/96", "RFC 4291, section 2.5.5.2: IPv4-mapped"),
    ("64:ff9b::/96", "RFC 6052: IPv4/IPv6 translation"),
    ("64:ff9b:1::/48", "RFC 8215: IPv4/IPv6 translation, local"),
    ("100::/64", "RFC 6666: discard only"),
    ("100:0:0:1::/64", "RFC 9780: dummy prefix"),
    ("2001::/23", "RFC 2928: protocol assignments, Teredo, ORCHID and the anycasts among them"),
    ("2001:db8::/32", "RFC 3849: documentation"),
    ("2002::/16", "RFC 3056: 6to4"),
    ("2620:4f:8000::/48", "RFC 7534: AS112, direct delegation"),
    ("3fff::/20", "RFC 9637: documentation"),
    ("5f00::/16", "RFC 9602: segment routing identifiers"),
    ("fc00::/7", "RFC 4193: unique local"),
    ("fe80::/10", "RFC 4291, section 2.5.6: link local"),
    ("ff00::/8", "RFC 4291, section 2.7: multicast"),
];

/// The reserved IPv4 addresses.
pub(super) fn v4() -> Ranges<u32> {
    let range = |(text, _): &Block| match text.parse() {
        Ok(Spec::V4(first, last)) => Some((first.to_bits(), last.to_bits())),
        _ => None,
    };
    Ranges::new(V4.iter().filter_map(range).collect())
}

/// The reserved IPv6 addresses.
pub(super) fn v6() -> Ranges<u128> {
    let range = |(text, _): &Block| match text.parse() {
        Ok(Spec::V6(first, last)) => Some((first.to_bits(), last.to_bits())),
        _ => None,
    };
    Ranges::new(V6.iter().filter_map(range).collect())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[track_caller]
    fn check(addr: &str, reserved: bool) {
        let is_reserved = match addr.parse().unwrap() {
            IpAddr::V4(addr) => v4().sweep()(addr.to_bits()),
            IpAddr::V6(addr) => v6().sweep()(addr.to_bits()),
        };
        assert_eq!(is_reserved, reserved, "{addr}");
    }

    #[test]
    fn the_blocks_end_where_the_registries_say() {
        for addr in [
            "0.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "172.31.255.255",
            "192.0.0.255",
        ] {
            check(addr, true);
        }
        for addr in [
            "198.18.0.0",
            "198.19.255.255",
            "224.0.0.0",
            "239.255.255.255",
            "240.0.0.0",
            "255.255.255.255",
        ] {
            check(addr, true);
        }
        for addr in [
            "1.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.32.0.0",
            "192.0.1.0",
            "198.17.255.255",
            "223.255.255.255",
        ] {
            check(addr, false);
        }
        for addr in [
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "2001:1ff::",
            "2001:db8::1",
            "3fff:fff::",
            "fdff::",
            "febf::",
            "ff02::1",
        ] {
            check(addr, true);
        }
        for addr in [
            "::2",
            "2001:200::",
            "2001:db9::",
            "2003::",
            "2606:4700::1",
            "3fff:1000::",
            "5f01::",
            "fec0::",
        ] {
            check(addr, false);
        }
    }

    /// Every entry of the tables was read, and read as a whole network without host bits.
    #[test]
    fn every_entry_is_a_network_of_its_own() {
        let total: u128 = V4.iter().map(|(text, _)| size(text, 32)).sum();
        assert_eq!(v4().count(), Some(total));
        assert_eq!(
            total,
            2 * (1 << 28)
                + 3 * (1 << 24)
                + (1 << 22)
                + (1 << 20)
                + (1 << 17)
                + 2 * (1 << 16)
                + 8 * (1 << 8)
        );
        assert_eq!((1 << 32) - total, 3_702_257_664);
        let total: u128 = V6.iter().map(|(text, _)| size(text, 128)).sum();
        assert_eq!(v6().count(), Some(total));
        for (text, document) in V4.iter().chain(&V6) {
            let addr: IpAddr = text.split_once('/').unwrap().0.parse().unwrap();
            let first = match text.parse().unwrap() {
                Spec::V4(first, _) => IpAddr::V4(first),
                Spec::V6(first, _) => IpAddr::V6(first),
                other => panic!("{other:?}"),
            };
            assert_eq!(first, addr, "host bits in {text}");
            assert!(document.starts_with("RFC "), "{text}: {document}");
        }
    }

    fn size(network: &str, bits: u32) -> u128 {
        1 << (bits - network.split_once('/').unwrap().1.parse::<u32>().unwrap())
    }
}
