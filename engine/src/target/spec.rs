//! One word of a target list: what it says, or what is wrong with it and how to mend that.
//!
//! ```text
//! 198.18.0.0/16           a network; 198.18.0.7/16 is the same one
//! 198.18.0.1-198.18.0.9   a range, ends included; 198.18.0.1-9 is short for it
//! 198.18.0.7              one address
//! 198.18.0.7:443          one address and port
//! [2001:db8::7]:443       the same for IPv6; the forms above take IPv6 too, but for the short range
//! www.example.com         a host name, all of whose addresses are meant
//! www.example.com:443     and one port of them
//! ```
//!
//! Nothing is resolved here.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use super::ports;

/// What one word of a target list says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Spec {
    /// Every address from the first to the last, at the ports of the scan.
    V4(Ipv4Addr, Ipv4Addr),
    /// Every address from the first to the last, at the ports of the scan.
    V6(Ipv6Addr, Ipv6Addr),
    /// One address at one port.
    Pair(SocketAddr),
    /// Every address of a host name, at this port or else at the ports of the scan.
    Name(String, Option<u16>),
}

impl FromStr for Spec {
    type Err = Malformed;

    /// Reads one word, without white space around it. A network is accepted with host bits set, as 198.18.0.7/16.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        // Long lists are nearly always of these.
        if let Ok(addr) = text.parse() {
            return Ok(Self::V4(addr, addr));
        }
        if let Some((addr, len)) = text.split_once('/') {
            return network(addr, len);
        }
        if let Some((first, last)) = text.split_once('-')
            && let Ok(first) = first.parse()
        {
            return range(first, last);
        }
        if text.contains('%') {
            return Err(Malformed::Zone);
        }
        if let Some(inside) = text.strip_prefix('[') {
            return bracketed(inside);
        }
        match text.split_once(':') {
            None => host(text, None),
            Some((_, rest)) if rest.contains(':') => {
                let addr = text.parse().map_err(|_| Malformed::Address)?;
                Ok(Self::V6(addr, addr))
            }
            Some((host_text, port)) => {
                let port = ports::number(port).ok_or(Malformed::PairPort)?;
                match host_text.parse::<Ipv4Addr>() {
                    Ok(addr) => Ok(Self::Pair((addr, port).into())),
                    Err(_) => host(host_text, Some(port)),
                }
            }
        }
    }
}

fn network(addr: &str, len: &str) -> Result<Spec, Malformed> {
    let addr: IpAddr = addr.parse().map_err(|_| Malformed::Network)?;
    if len.contains(':') {
        return Err(Malformed::NetworkPort);
    }
    let len = u32::from(ports::number(len).ok_or(Malformed::Prefix)?);
    match addr {
        IpAddr::V4(addr) => {
            let hosts = u32::MAX.checked_shr(len).unwrap_or(0);
            let first = addr.to_bits() & !hosts;
            (len <= 32)
                .then(|| Spec::V4(first.into(), (first | hosts).into()))
                .ok_or(Malformed::Prefix)
        }
        IpAddr::V6(addr) => {
            let hosts = u128::MAX.checked_shr(len).unwrap_or(0);
            let first = addr.to_bits() & !hosts;
            (len <= 128)
                .then(|| Spec::V6(first.into(), (first | hosts).into()))
                .ok_or(Malformed::Prefix)
        }
    }
}

fn range(first: IpAddr, last: &str) -> Result<Spec, Malformed> {
    let spec = match (first, last.parse()) {
        (IpAddr::V4(first), Ok(IpAddr::V4(last))) => {
            (first <= last).then_some(Spec::V4(first, last))
        }
        (IpAddr::V6(first), Ok(IpAddr::V6(last))) => {
            (first <= last).then_some(Spec::V6(first, last))
        }
        (IpAddr::V4(first), Err(_)) => {
            let octet = ports::number(last)
                .and_then(|octet| u8::try_from(octet).ok())
                .ok_or(Malformed::RangeEnd)?;
            let [a, b, c, _] = first.octets();
            let last = Ipv4Addr::new(a, b, c, octet);
            (first <= last).then_some(Spec::V4(first, last))
        }
        _ => return Err(Malformed::RangeEnd),
    };
    spec.ok_or(Malformed::RangeOrder)
}

/// What follows an opening bracket: `2001:db8::7]` or `2001:db8::7]:443`.
fn bracketed(inside: &str) -> Result<Spec, Malformed> {
    let (addr, rest) = inside.split_once(']').ok_or(Malformed::Address)?;
    let addr: Ipv6Addr = addr.parse().map_err(|_| Malformed::Address)?;
    if rest.is_empty() {
        return Ok(Spec::V6(addr, addr));
    }
    let port = rest.strip_prefix(':').and_then(ports::number).ok_or(Malformed::PairPort)?;
    Ok(Spec::Pair((addr, port).into()))
}

/// A host name (RFC 1123, section 2.1, and the underscore that the DNS is full of).
fn host(text: &str, port: Option<u16>) -> Result<Spec, Malformed> {
    if !text.is_ascii() {
        return Err(Malformed::NotAscii);
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err(Malformed::Name);
    }
    // No top-level domain is a number, but resolvers take 198.18.300, 4242 and 0x7f000001 for addresses that nobody meant.
    let last = name.rsplit('.').next().unwrap_or(name);
    let is_decimal = last.bytes().all(|byte| byte.is_ascii_digit());
    let is_hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    if is_decimal
        || is_hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
        return Err(Malformed::Address);
    }
    Ok(Spec::Name(text.to_owned(), port))
}

/// What is wrong with a word of a list, and the mend.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Malformed {
    /// It has the shape of an address.
    #[error(
        "is not an address: IPv4 is four numbers from 0 to 255 without leading zeros, IPv6 with a port is [ADDRESS]:PORT"
    )]
    Address,
    /// A line without an end.
    #[error("begins a line that is longer than 1 MiB: put one target on a line")]
    LineLength,
    /// It is neither an address nor a host name.
    #[error(
        "is neither an address nor a host name: give ADDRESS, ADDRESS/LENGTH, FIRST-LAST, ADDRESS:PORT, NAME or NAME:PORT"
    )]
    Name,
    /// What stands before the slash is no address.
    #[error(
        "has no address before the slash: a network is ADDRESS/LENGTH, and of a URL give the host alone"
    )]
    Network,
    /// A port after a network.
    #[error(
        "has a port after a network: give the ports of networks with -p, or single addresses as ADDRESS:PORT"
    )]
    NetworkPort,
    /// A host name in another script.
    #[error("has letters outside ASCII: give the name in its xn-- form")]
    NotAscii,
    /// Bytes that are not UTF-8.
    #[error("is not text in UTF-8: save the list as plain text")]
    NotText,
    /// The port of a pair is no port.
    #[error("has no port from 0 to 65535 after its colon: give ADDRESS:PORT")]
    PairPort,
    /// A port where only addresses count.
    #[error("has a port, but exclusions and scopes are of whole addresses: leave the port out")]
    PortHere,
    /// The length of a prefix is out of bounds.
    #[error("has no length from 0 to 32 (IPv6: 128) after its slash: a network is ADDRESS/LENGTH")]
    Prefix,
    /// The end of a range is no end.
    #[error(
        "is not a range: both ends must be addresses of one kind, or the second the last number of an IPv4 address, as in 198.18.0.1-9"
    )]
    RangeEnd,
    /// The end of a range comes before its start.
    #[error("is a range that ends before it starts: swap its ends")]
    RangeOrder,
    /// An address of one interface only.
    #[error(
        "names a zone: addresses of one link are not scanned, leave the % and what follows out"
    )]
    Zone,
}

/// Where a word was found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Origin {
    /// An argument.
    #[default]
    Argument,
    /// A line of a file, from 1.
    File(PathBuf, u64),
    /// The value of a flag, by the name of the flag.
    Flag(&'static str),
    /// A line of standard input, from 1.
    Stdin(u64),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument => f.write_str("argument"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Flag(flag) => f.write_str(flag),
            Self::Stdin(line) => write!(f, "stdin:{line}"),
        }
    }
}

/// A word that cannot be read: where it stands, what it is and how to mend it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{origin}: {text:?} {reason}")]
pub struct SpecError {
    /// Where it was found.
    pub origin: Origin,
    /// The word, cut after 60 characters.
    pub text: String,
    /// What is wrong with it.
    pub reason: Malformed,
}

impl SpecError {
    pub(super) fn new(origin: Origin, text: &str, reason: Malformed) -> Self {
        let mut shown: String = text.chars().take(60).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        Self { origin, text: shown, reason }
    }
}

/// The words of a line: what stands before a `#`, cut at commas and white space. A carriage return ends a comment too: there
/// are files whose lines end with nothing else, and their exclusions count.
pub(super) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split('\r').flat_map(|part| {
        let content = part.split_once('#').map_or(part, |(content, _)| content);
        content.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_comment_ends_with_its_line_whatever_ends_that() {
        let all = |line| words(line).collect::<Vec<_>>();
        assert_eq!(all("a, b # c d"), ["a", "b"]);
        assert_eq!(all("a # c\r"), ["a"]);
        assert_eq!(
            all("# keep out\r10.0.0.0/8\r203.0.113.0/24 # why\rx"),
            ["10.0.0.0/8", "203.0.113.0/24", "x"]
        );
    }

    #[track_caller]
    fn check(text: &str, first: &str, last: &str) {
        let expected = match (first.parse().unwrap(), last.parse().unwrap()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => Spec::V4(first, last),
            (IpAddr::V6(first), IpAddr::V6(last)) => Spec::V6(first, last),
            mixed => panic!("{mixed:?}"),
        };
        assert_eq!(text.parse(), Ok(expected), "{text}");
    }

    #[track_caller]
    fn check_pair(text: &str, expected: &str) {
        assert_eq!(text.parse(), Ok(Spec::Pair(expected.parse().unwrap())), "{text}");
    }

    #[track_caller]
    fn check_name(text: &str, name: &str, port: Option<u16>) {
        assert_eq!(text.parse(), Ok(Spec::Name(name.to_owned(), port)), "{text}");
    }

    #[track_caller]
    fn check_wrong(text: &str, reason: Malformed) {
        assert_eq!(text.parse::<Spec>(), Err(reason), "{text}");
    }

    #[test]
    fn networks() {
        check("198.18.0.0/16", "198.18.0.0", "198.18.255.255");
        check("198.18.0.7/16", "198.18.0.0", "198.18.255.255");
        check("198.18.0.7/32", "198.18.0.7", "198.18.0.7");
        check("198.18.0.7/31", "198.18.0.6", "198.18.0.7");
        check("1.2.3.4/0", "0.0.0.0", "255.255.255.255");
        check("2001:db8::7/32", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff");
        check("2001:db8::7/128", "2001:db8::7", "2001:db8::7");
        check("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
        for text in [
            "198.18.0.0/33",
            "198.18.0.0/",
            "198.18.0.0/+8",
            "198.18.0.0/-1",
            "198.18.0.0/8/8",
            "::/129",
        ] {
            check_wrong(text, Malformed::Prefix);
        }
        check_wrong("http://www.example.com/", Malformed::Network);
        check_wrong("www.example.com/24", Malformed::Network);
        check_wrong("198.18/16", Malformed::Network);
        check_wrong("198.18.0.0/24:80", Malformed::NetworkPort);
    }

    #[test]
    fn ranges() {
        check("198.18.0.1-198.18.0.9", "198.18.0.1", "198.18.0.9");
        check("198.18.0.1-9", "198.18.0.1", "198.18.0.9");
        check("198.18.0.9-9", "198.18.0.9", "198.18.0.9");
        check("2001:db8::1-2001:db8::9", "2001:db8::1", "2001:db8::9");
        check_wrong("198.18.0.9-1", Malformed::RangeOrder);
        check_wrong("198.18.0.9-198.18.0.1", Malformed::RangeOrder);
        check_wrong("2001:db8::9-2001:db8::1", Malformed::RangeOrder);
        for text in [
            "198.18.0.1-",
            "198.18.0.1-256",
            "198.18.0.1-+9",
            "198.18.0.1-2001:db8::1",
            "198.18.0.1-9:80",
        ] {
            check_wrong(text, Malformed::RangeEnd);
        }
        check_wrong("2001:db8::1-9", Malformed::RangeEnd);
    }

    #[test]
    fn single_addresses_and_pairs() {
        check("198.18.0.7", "198.18.0.7", "198.18.0.7");
        check("2001:db8::7", "2001:db8::7", "2001:db8::7");
        check("[2001:db8::7]", "2001:db8::7", "2001:db8::7");
        check_pair("198.18.0.7:443", "198.18.0.7:443");
        check_pair("[::1]:443", "[::1]:443");
        check_pair("198.18.0.7:0", "198.18.0.7:0");
        for text in [
            "198.18.0.7:",
            "198.18.0.7:65536",
            "198.18.0.7:+1",
            "198.18.0.7:http",
            "[::1]443",
            "[::1]:",
        ] {
            check_wrong(text, Malformed::PairPort);
        }
        for text in [
            "198.18.0.256",
            "198.18.0",
            "4242",
            "0x7f000001",
            "198.18.0.07",
            "1:2:3",
            "[::1",
            "[198.18.0.7]:1",
        ] {
            check_wrong(text, Malformed::Address);
        }
        check_wrong("fe80::1%eth0", Malformed::Zone);
    }

    #[test]
    fn host_names() {
        check_name("localhost", "localhost", None);
        check_name("www.example.com", "www.example.com", None);
        check_name("www.example.com.", "www.example.com.", None);
        check_name("www.example.com:8443", "www.example.com", Some(8443));
        check_name("a-b.example", "a-b.example", None);
        check_name("10-20.example", "10-20.example", None);
        check_name("_dmarc.example", "_dmarc.example", None);
        check_name("0x.example", "0x.example", None);
        for text in
            ["", "-p", "a..b", ".a", "a b", "-a.example", "a-.example", "*.example", "!", "-"]
        {
            check_wrong(text, Malformed::Name);
        }
        check_wrong(&"a".repeat(64), Malformed::Name);
        check_wrong(&format!("{}a", "a.".repeat(127)), Malformed::Name);
        check_wrong("müller.example", Malformed::NotAscii);
    }

    #[test]
    fn a_line_is_cut_at_commas_white_space_and_the_comment() {
        let cut = |line| words(line).collect::<Vec<_>>();
        assert_eq!(cut("a, b\tc,,d\r\n"), ["a", "b", "c", "d"]);
        assert_eq!(cut("a # b"), ["a"]);
        assert_eq!(cut("# a"), [""; 0]);
        assert_eq!(cut("  "), [""; 0]);
    }

    #[test]
    fn an_error_says_where_what_and_the_mend() {
        let error = SpecError::new(
            Origin::File("hosts.txt".into(), 7),
            "198.18.0.9-1",
            Malformed::RangeOrder,
        );
        assert_eq!(
            error.to_string(),
            "hosts.txt:7: \"198.18.0.9-1\" is a range that ends before it starts: swap its ends"
        );
        let long = SpecError::new(Origin::Stdin(1), &"ä".repeat(99), Malformed::NotAscii);
        assert_eq!(long.text.chars().count(), 61);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(a: u32, b: u32, len in 0..=32_u32, port: u16) {
            let (first, last) = (Ipv4Addr::from(a.min(b)), Ipv4Addr::from(a.max(b)));
            prop_assert_eq!(format!("{first}-{last}").parse(), Ok(Spec::V4(first, last)));
            prop_assert_eq!(format!("{first}:{port}").parse(), Ok(Spec::Pair((first, port).into())));
            let Ok(Spec::V4(start, end)) = format!("{first}/{len}").parse() else { panic!("a network") };
            prop_assert!(start <= first && first <= end);
            prop_assert_eq!(u64::from(end.to_bits()) - u64::from(start.to_bits()) + 1, 1 << (32 - len));
            prop_assert_eq!(start.to_bits().trailing_zeros().max(32 - len), start.to_bits().trailing_zeros());
        }

        #[test]
        fn what_is_written_is_read_again_v6(a: u128, b: u128, len in 0..=128_u32, port: u16) {
            let (first, last) = (Ipv6Addr::from(a.min(b)), Ipv6Addr::from(a.max(b)));
            prop_assert_eq!(format!("{first}-{last}").parse(), Ok(Spec::V6(first, last)));
            prop_assert_eq!(format!("[{first}]:{port}").parse(), Ok(Spec::Pair((first, port).into())));
            let Ok(Spec::V6(start, end)) = format!("{first}/{len}").parse() else { panic!("a network") };
            prop_assert!(start <= first && first <= end);
            prop_assert_eq!((end.to_bits() - start.to_bits()).count_ones(), 128 - len);
            prop_assert_eq!(start.to_bits() & (end.to_bits() - start.to_bits()), 0);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}|[0-9a-f:./%\\[\\]-]{0,40}") {
            let _ = text.parse::<Spec>();
        }
    }
}
