//! What a workflow may touch. Everything else is refused by the manager, and again by the worker that would send a packet.
//!
//! ```text
//! targets of a task  --cut-->  what lies inside, less exclusions and the blocklist
//!                        '-->  refusals: each a record
//! ```

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The scope of a workflow: what its owner has agreed to.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Domains, each with all names below it: `example.org`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<DomainName>,
    /// Networks, ranges and addresses: `203.0.113.0/24`, `203.0.113.1-203.0.113.9`, `2001:db8::7`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<AddressRange>,
    /// Names (with all below) and addresses that are not to be touched although they lie inside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<Excluded>,
}

/// Something that is left out of a scope.
#[derive(Clone, Debug, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Excluded {
    /// Addresses.
    Addresses(AddressRange),
    /// A name and all below it.
    Domain(DomainName),
}

impl<'de> Deserialize<'de> for Excluded {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        if let Ok(range) = text.parse() {
            return Ok(Self::Addresses(range));
        }
        text.parse().map(Self::Domain).map_err(|_| {
            let why = format!("{text:?} is no network (a/len), range (a-b), address or host name");
            serde::de::Error::custom(why)
        })
    }
}

impl Scope {
    /// Whether nothing at all lies inside.
    pub fn is_empty(&self) -> bool {
        self.domains.is_empty() && self.addresses.is_empty()
    }

    /// Whether `name` is one of the domains or below one, and below none that is excluded.
    pub fn has_name(&self, name: &DomainName) -> bool {
        self.refusal_of(name).is_none()
    }

    /// Why `name` may not be touched, if so.
    pub fn refusal_of(&self, name: &DomainName) -> Option<Refusal> {
        let is_excluded = self.exclude.iter().any(|excluded| match excluded {
            Excluded::Domain(domain) => name.is_within(domain),
            Excluded::Addresses(_) => false,
        });
        if !self.domains.iter().any(|domain| name.is_within(domain)) {
            Some(Refusal::OutOfScope)
        } else if is_excluded {
            Some(Refusal::Excluded)
        } else {
            None
        }
    }

    /// Whether `addr` lies inside.
    pub fn has_addr(&self, addr: IpAddr) -> bool {
        self.cut(&[AddressRange::one(addr)], &[]).refused.is_empty()
    }

    /// Parts `targets` into what lies inside and not in `blocklist`, and what does not.
    pub fn cut(&self, targets: &[AddressRange], blocklist: &[AddressRange]) -> Cut {
        let excluded: Vec<AddressRange> = self
            .exclude
            .iter()
            .filter_map(|excluded| match excluded {
                Excluded::Addresses(range) => Some(*range),
                Excluded::Domain(_) => None,
            })
            .collect();
        let (inside, outside) = part(targets, &self.addresses);
        let (left_out, inside) = part(&inside, &excluded);
        let (blocked, inside) = part(&inside, blocklist);
        let refused = |ranges: Vec<AddressRange>, why| {
            ranges.into_iter().map(move |range| Refused { what: range.to_string(), why })
        };
        let refused = refused(outside, Refusal::OutOfScope)
            .chain(refused(left_out, Refusal::Excluded))
            .chain(refused(blocked, Refusal::Blocklisted))
            .collect();
        Cut { inside, refused }
    }
}

/// The input of a task that sends packets: what it says of where they go can be cut to what may be touched.
pub trait Targeted {
    /// Takes out what may not be touched; gives that.
    fn cut(&mut self, scope: &Scope, blocklist: &[AddressRange]) -> Vec<Refused>;
    /// Whether nothing is left to be touched.
    fn has_no_target(&self) -> bool;
}

/// What [`Scope::cut`] made of a list of targets.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cut {
    /// May be touched.
    pub inside: Vec<AddressRange>,
    /// May not.
    pub refused: Vec<Refused>,
}

/// Something that is not touched.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Refused {
    /// A range of addresses or a name.
    pub what: String,
    /// Why not.
    pub why: Refusal,
}

/// Why something is not touched.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// Its owner has asked to be left alone: `recon.blocklist`.
    Blocklisted,
    /// The workflow's scope excludes it.
    Excluded,
    /// The workflow's scope does not hold it.
    OutOfScope,
}

impl Refusal {
    /// The word that tables use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocklisted => "blocklisted",
            Self::Excluded => "excluded",
            Self::OutOfScope => "out-of-scope",
        }
    }
}

/// The parts of `ranges` inside `mask`, and those outside it.
fn part(ranges: &[AddressRange], mask: &[AddressRange]) -> (Vec<AddressRange>, Vec<AddressRange>) {
    let mask = AddressRange::merged(mask);
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for range in ranges {
        let mut next = Some(range.first);
        for other in mask.iter().filter(|other| other.is_v4 == range.is_v4) {
            let Some(from) = next else { break };
            if other.last < from || other.first > range.last {
                continue;
            }
            if other.first > from {
                outside.push(AddressRange { first: from, last: other.first - 1, ..*range });
            }
            let last = other.last.min(range.last);
            inside.push(AddressRange { first: other.first.max(from), last, ..*range });
            next = last.checked_add(1).filter(|next| *next <= range.last);
        }
        if let Some(from) = next {
            outside.push(AddressRange { first: from, ..*range });
        }
    }
    (inside, outside)
}

/// Addresses that follow each other: a network, a range or one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct AddressRange {
    first: u128,
    last: u128,
    is_v4: bool,
}

impl AddressRange {
    /// One address.
    pub fn one(addr: IpAddr) -> Self {
        let (bits, is_v4) = bits(addr);
        Self { first: bits, last: bits, is_v4 }
    }

    /// The first address.
    pub fn first(&self) -> IpAddr {
        self.addr(self.first)
    }

    /// The last address.
    pub fn last(&self) -> IpAddr {
        self.addr(self.last)
    }

    /// Whether `addr` is in one of `ranges`, which are as [`merged`](Self::merged) gives them.
    pub fn any_of(ranges: &[Self], addr: IpAddr) -> bool {
        let (bits, is_v4) = bits(addr);
        let next = ranges.partition_point(|range| (!range.is_v4, range.last) < (!is_v4, bits));
        ranges.get(next).is_some_and(|range| range.is_v4 == is_v4 && range.first <= bits)
    }

    /// How many there are; one less for all of IPv6.
    pub fn count(&self) -> u128 {
        (self.last - self.first).saturating_add(1)
    }

    /// The same addresses as ranges in order that neither overlap nor touch, IPv4 first.
    #[must_use]
    pub fn merged(ranges: &[Self]) -> Vec<Self> {
        let mut sorted = ranges.to_vec();
        sorted.sort_by_key(|range| (!range.is_v4, range.first));
        let mut merged: Vec<Self> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match merged.last_mut() {
                Some(last)
                    if last.is_v4 == range.is_v4 && range.first <= last.last.saturating_add(1) =>
                {
                    last.last = last.last.max(range.last);
                }
                _ => merged.push(range),
            }
        }
        merged
    }

    fn addr(&self, bits: u128) -> IpAddr {
        if self.is_v4 {
            Ipv4Addr::from_bits(bits as u32).into()
        } else {
            Ipv6Addr::from_bits(bits).into()
        }
    }

    /// The length of the prefix that this is, if it is one.
    fn prefix_len(&self) -> Option<u32> {
        // All of IPv6 has one address more than its size can say.
        let Some(size) = (self.last - self.first).checked_add(1) else { return Some(0) };
        let aligned = size.is_power_of_two() && self.first & (size - 1) == 0;
        let width = if self.is_v4 { 32 } else { 128 };
        aligned.then(|| width - size.trailing_zeros())
    }
}

fn bits(addr: IpAddr) -> (u128, bool) {
    match addr {
        IpAddr::V4(addr) => (addr.to_bits().into(), true),
        IpAddr::V6(addr) => (addr.to_bits(), false),
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix_len() {
            _ if self.first == self.last => write!(f, "{}", self.first()),
            Some(len) => write!(f, "{}/{len}", self.first()),
            None => write!(f, "{}-{}", self.first(), self.last()),
        }
    }
}

impl FromStr for AddressRange {
    type Err = AddressRangeError;

    fn from_str(text: &str) -> Result<Self, AddressRangeError> {
        let error = || AddressRangeError(text.to_owned());
        let addr = |text: &str| text.trim().parse::<IpAddr>().map(bits).map_err(|_| error());
        if let Some((network, len)) = text.split_once('/') {
            let (bits, is_v4) = addr(network)?;
            let len: u32 = len.parse().map_err(|_| error())?;
            let host_bits =
                (if is_v4 { 32_u32 } else { 128 }).checked_sub(len).ok_or_else(error)?;
            let hosts = if host_bits == 128 { u128::MAX } else { (1 << host_bits) - 1 };
            return Ok(Self { first: bits & !hosts, last: bits | hosts, is_v4 });
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let ((first, is_v4), (last, last_is_v4)) = (addr(first)?, addr(last)?);
        if is_v4 != last_is_v4 || first > last {
            return Err(error());
        }
        Ok(Self { first, last, is_v4 })
    }
}

/// Text that is no range of addresses.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no network (a/len), range (a-b) or address")]
pub struct AddressRangeError(String);

/// A host name in its one form: lower case, no dot at the end.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DomainName(String);

impl DomainName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `domain` or below it.
    pub fn is_within(&self, domain: &Self) -> bool {
        self.0.strip_suffix(&domain.0).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for DomainName {
    type Err = DomainNameError;

    /// Labels of letters, digits, `-` and `_` of up to 63 octets, 253 in all (RFC 1035, section 2.3.4; underscores as in
    /// service names, RFC 8552). The last label has a letter, so that no address is taken for a name.
    fn from_str(text: &str) -> Result<Self, DomainNameError> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_octet = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(is_octet)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let last = name.rsplit('.').next().unwrap_or_default();
        let is_name = name.len() <= 253
            && name.split('.').all(is_label)
            && last.bytes().any(|octet| octet.is_ascii_alphabetic());
        if is_name { Ok(Self(name)) } else { Err(DomainNameError(text.chars().take(80).collect())) }
    }
}

/// Text that is no host name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no host name")]
pub struct DomainNameError(String);

macro_rules! as_text {
    ($type:ident, $name:literal, $about:literal) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "description": $about })
            }
        }
    };
}

as_text!(AddressRange, "AddressRange", "a network (a/len), a range (a-b) or an address");
as_text!(DomainName, "DomainName", "a host name");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranges(texts: &[&str]) -> Vec<AddressRange> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn scope(addresses: &[&str], exclude: &[&str]) -> Scope {
        let exclude = ranges(exclude).into_iter().map(Excluded::Addresses).collect();
        Scope { addresses: ranges(addresses), exclude, domains: Vec::new() }
    }

    #[track_caller]
    fn check_cut(scope: &Scope, targets: &[&str], inside: &[&str], refused: &[(&str, Refusal)]) {
        let cut = scope.cut(&ranges(targets), &ranges(&["198.19.0.200"]));
        assert_eq!(cut.inside, ranges(inside));
        let told: Vec<_> = cut.refused.iter().map(|it| (it.what.as_str(), it.why)).collect();
        assert_eq!(told, refused);
    }

    #[test]
    fn targets_are_cut_to_what_lies_inside() {
        use Refusal::*;
        let scope = scope(&["198.19.0.0/24", "2001:db8::/64"], &["198.19.0.16/28"]);
        check_cut(&scope, &["198.19.0.0/28"], &["198.19.0.0/28"], &[]);
        check_cut(&scope, &["198.19.1.0/24"], &[], &[("198.19.1.0/24", OutOfScope)]);
        check_cut(
            &scope,
            &["198.19.0.8-198.19.0.40"],
            &["198.19.0.8/29", "198.19.0.32-198.19.0.40"],
            &[("198.19.0.16/28", Excluded)],
        );
        check_cut(
            &scope,
            &["198.19.0.199-198.19.0.201", "10.0.0.1"],
            &["198.19.0.199", "198.19.0.201"],
            &[("10.0.0.1", OutOfScope), ("198.19.0.200", Blocklisted)],
        );
        check_cut(&scope, &["2001:db8::7"], &["2001:db8::7"], &[]);
        check_cut(
            &scope,
            &["::/0"],
            &["2001:db8::/64"],
            &[
                ("::-2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", OutOfScope),
                ("2001:db8:0:1::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", OutOfScope),
            ],
        );
    }

    #[test]
    fn an_ipv4_range_is_not_the_ipv6_range_of_the_same_bits() {
        let scope = scope(&["0.0.0.0/0"], &[]);
        assert!(scope.has_addr("203.0.113.1".parse().unwrap()));
        assert!(!scope.has_addr("::1".parse().unwrap()));
    }

    #[test]
    fn names_below_a_domain_lie_inside_it() {
        let json = r#"{"domains":["Example.ORG."],"exclude":["old.example.org","192.0.2.1"]}"#;
        let scope: Scope = serde_json::from_str(json).unwrap();
        let has = |name: &str| scope.has_name(&name.parse().unwrap());
        assert!(has("example.org") && has("WWW.example.org") && has("a.b.example.org."));
        assert!(!has("badexample.org") && !has("example.com") && !has("org"));
        assert!(
            !has("old.example.org") && !has("a.old.example.org") && has("very-old.example.org")
        );
        let refusal = |name: &str| scope.refusal_of(&name.parse().unwrap());
        assert_eq!(refusal("a.old.example.org"), Some(Refusal::Excluded));
        assert_eq!(refusal("example.com"), Some(Refusal::OutOfScope));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", ".", "a..b", "*.example.org", "a b.org", "198.19.0.1", "-a.org", "a-.org"]
        {
            assert!(text.parse::<DomainName>().is_err(), "{text:?}");
        }
        assert!("a".repeat(64).parse::<DomainName>().is_err());
        assert!("_dmarc.example.org".parse::<DomainName>().is_ok());
    }

    #[test]
    fn ranges_come_back() {
        for text in [
            "198.19.0.0/24",
            "198.19.0.1",
            "198.19.0.1-198.19.0.4",
            "::/0",
            "0.0.0.0/0",
            "2001:db8::1-2001:db8::3",
        ] {
            assert_eq!(text.parse::<AddressRange>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "a",
            "198.19.0.0/33",
            "198.19.0.9-198.19.0.1",
            "198.19.0.1-::1",
            "::/129",
            "1.2.3.4/",
        ] {
            assert!(text.parse::<AddressRange>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn ranges_that_overlap_or_touch_become_one() {
        let merged = |texts: &[&str]| AddressRange::merged(&ranges(texts));
        assert_eq!(merged(&[]), []);
        assert_eq!(
            merged(&["::1", "198.19.0.4", "198.19.0.0/30", "198.19.0.2-198.19.0.3", "198.19.0.6"]),
            ranges(&["198.19.0.0-198.19.0.4", "198.19.0.6", "::1"])
        );
        assert_eq!(
            merged(&["255.255.255.255", "::/0", "::1"]),
            ranges(&["255.255.255.255", "::/0"])
        );
    }

    proptest! {
        /// Each address of the targets lies in exactly one part, and in the right one.
        #[test]
        fn a_cut_loses_and_doubles_nothing(
            targets in prop::collection::vec((0_u8..64, 0_u8..8), 1..4),
            inside in prop::collection::vec((0_u8..64, 0_u8..16), 0..4),
            excluded in prop::collection::vec((0_u8..64, 0_u8..4), 0..3),
        ) {
            let ranges = |spans: &[(u8, u8)]| -> Vec<AddressRange> {
                spans.iter().map(|(first, more)| {
                    format!("198.19.0.{first}-198.19.0.{}", first + more).parse().unwrap()
                }).collect()
            };
            let (targets, addresses) = (ranges(&targets), ranges(&inside));
            let exclude = ranges(&excluded).into_iter().map(Excluded::Addresses).collect();
            let scope = Scope { domains: Vec::new(), addresses, exclude };
            let cut = scope.cut(&targets, &[]);
            let count = |ranges: &[AddressRange], addr: u128| {
                ranges.iter().filter(|range| (range.first..=range.last).contains(&addr)).count()
            };
            let refused: Vec<AddressRange> =
                cut.refused.iter().map(|refused| refused.what.parse().unwrap()).collect();
            for last in 0..=255_u8 {
                let addr = bits(Ipv4Addr::new(198, 19, 0, last).into()).0;
                let asked = count(&targets, addr);
                let may = scope.addresses.iter().any(|r| (r.first..=r.last).contains(&addr))
                    && !ranges(&excluded).iter().any(|r| (r.first..=r.last).contains(&addr));
                prop_assert_eq!(count(&cut.inside, addr), if may { asked } else { 0 });
                prop_assert_eq!(count(&refused, addr), if may { 0 } else { asked });
            }
        }
    }
}
