//! The fence: what cargo runs in a checkout sends no packet out of a lab.
//!
//! With `MRPF_FENCE=lab` in the environment (`.cargo/config.toml` sets it for `cargo run`, `test` and `bench`) a `packet`
//! link opens only where the network namespace of the calling thread has no way out. A way out is
//!
//! - a unicast route of any table that leaves 198.18.0.0/15 (RFC 2544), 127.0.0.0/8, 2001:db8::/32 (RFC 3849), ::1 or
//!   fe80::/10, or multicast. Local, broadcast, anycast and multicast routes and those that refuse (unreachable, blackhole, prohibit,
//!   throw) lead nowhere; a route of a type that this program does not know leads out;
//! - an interface that is neither loopback nor of kind `veth` or `dummy`. Hardware leads out even while it is down. Other
//!   virtual devices (the tunnels that the kernel puts into each namespace, ifb, bridges) lead out only while they are up.
//!
//! What it cannot see is what the far end of a veth pair does with a frame. Routes inside the lab prefixes, and targets there
//! ([`enforce_targets`]), are what keeps a forwarding far end from having anything to forward.
//!
//! The check asks the kernel and sends nothing. It holds for the moment it is made.

use std::{
    env,
    ffi::OsStr,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    link::{LinkFlags, LinkMessage},
    route::{RouteAddress, RouteAttribute, RouteMessage, RouteType},
};

use super::{
    LinkError,
    interface::{link_kind, link_name, links},
    sys::netlink::Netlink,
};
use crate::target::Targets;

/// The variable that raises the fence.
pub const VARIABLE: &str = "MRPF_FENCE";

/// Where hosts of a lab are, and loopback: networks and the lengths of their prefixes.
const LAB_V4: [([u8; 4], u8); 2] = [([198, 18, 0, 0], 15), ([127, 0, 0, 0], 8)];
const LAB_V6: [(u128, u8); 3] = [(0x2001_0db8 << 96, 32), (0xfe80 << 112, 10), (1, 128)];

/// Refuses, where `MRPF_FENCE=lab` is set, a namespace that has a way out. Without the variable everything passes.
///
/// # Errors
///
/// As [`check`], and [`LinkError::UnknownFence`] when the variable has any other value.
pub fn enforce() -> Result<(), LinkError> {
    if is_raised(env::var_os(VARIABLE).as_deref())? { check() } else { Ok(()) }
}

/// Refuses, where `MRPF_FENCE=lab` is set, targets outside the lab prefixes of both families: a hardware address given by hand goes round
/// every route, and the far end of a veth pair may forward.
///
/// # Errors
///
/// [`LinkError::Fenced`] with the first such target; [`LinkError::UnknownFence`] as [`enforce`].
pub fn enforce_targets(targets: &Targets) -> Result<(), LinkError> {
    if !is_raised(env::var_os(VARIABLE).as_deref())? {
        return Ok(());
    }
    match first_outside(targets) {
        Some(addr) => Err(LinkError::Fenced { why: format!("{addr} is no address of a lab") }),
        None => Ok(()),
    }
}

fn first_outside(targets: &Targets) -> Option<IpAddr> {
    let v4 = targets.v4_ranges().find_map(|(first, last)| {
        let (first, last) = (IpAddr::V4(first), IpAddr::V4(last));
        outside(first, last)
    });
    v4.or_else(|| {
        targets.v6_ranges().find_map(|(first, last)| outside(IpAddr::V6(first), IpAddr::V6(last)))
    })
}

/// The first end of a range that lies in no lab prefix; its last where both lie in different ones.
fn outside(first: IpAddr, last: IpAddr) -> Option<IpAddr> {
    match (lab_net(first), lab_net(last)) {
        (None, _) => Some(first),
        (ours, theirs) if ours == theirs => None,
        _ => Some(last),
    }
}

/// Which of the lab prefixes an address lies in.
fn lab_net(addr: IpAddr) -> Option<usize> {
    match addr {
        IpAddr::V4(addr) => LAB_V4
            .iter()
            .position(|(net, len)| (addr.to_bits() ^ u32::from_be_bytes(*net)) >> (32 - len) == 0),
        IpAddr::V6(addr) => {
            LAB_V6.iter().position(|(net, len)| (addr.to_bits() ^ net) >> (128 - len) == 0)
        }
    }
}

/// Refuses a network namespace (of the calling thread) that has a way out, whatever the environment says.
///
/// # Errors
///
/// [`LinkError::Fenced`] with the way out; [`LinkError::Io`] when the kernel does not say what its routes are.
pub fn check() -> Result<(), LinkError> {
    let asking = |source| LinkError::Io { what: "asking the kernel for its routes", source };
    let mut netlink = Netlink::open().map_err(asking)?;
    let devices = links(&mut netlink)?.iter().map(Device::of).collect::<Vec<_>>();
    let mut routes = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        routes.extend(dump(&mut netlink, family).map_err(asking)?);
    }
    match way_out(&devices, &routes) {
        Some(why) => Err(LinkError::Fenced { why }),
        None => Ok(()),
    }
}

fn is_raised(value: Option<&OsStr>) -> Result<bool, LinkError> {
    match value {
        None => Ok(false),
        Some(value) if value == "lab" => Ok(true),
        Some(value) => Err(LinkError::UnknownFence { value: value.to_string_lossy().into_owned() }),
    }
}

/// What the fence looks at of an interface.
#[derive(Clone, Debug)]
struct Device {
    name: String,
    kind: String,
    is_up: bool,
    is_loopback: bool,
}

impl Device {
    fn of(link: &LinkMessage) -> Self {
        Self {
            name: link_name(link),
            kind: link_kind(link),
            is_up: link.header.flags.contains(LinkFlags::Up),
            is_loopback: link.header.flags.contains(LinkFlags::Loopback),
        }
    }

    fn leads_out(&self) -> bool {
        match self.kind.as_str() {
            "veth" | "dummy" => false,
            "" => !self.is_loopback,
            _ => self.is_up,
        }
    }
}

/// What the fence looks at of a route.
#[derive(Clone, Debug)]
struct Path {
    kind: RouteType,
    to: IpAddr,
    prefix_len: u8,
}

impl Path {
    fn of(route: &RouteMessage) -> io::Result<Self> {
        let any = match route.header.address_family {
            AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            family => return Err(unreadable(&format!("a route of family {family:?}"))),
        };
        let mut to = any;
        for attribute in &route.attributes {
            match attribute {
                RouteAttribute::Destination(RouteAddress::Inet(addr)) => to = (*addr).into(),
                RouteAttribute::Destination(RouteAddress::Inet6(addr)) => to = (*addr).into(),
                RouteAttribute::Destination(other) => {
                    return Err(unreadable(&format!("a route to {other:?}")));
                }
                _ => {}
            }
        }
        Ok(Self { kind: route.header.kind, to, prefix_len: route.header.destination_prefix_length })
    }

    fn leads_out(&self) -> bool {
        match self.kind {
            RouteType::Local
            | RouteType::Broadcast
            | RouteType::Anycast
            | RouteType::Multicast
            | RouteType::BlackHole
            | RouteType::Unreachable
            | RouteType::Prohibit
            | RouteType::Throw => false,
            _ => !self.stays(),
        }
    }

    /// Whether every address of the route lies in a lab prefix, or is a multicast group, which no router passes on unasked.
    fn stays(&self) -> bool {
        match self.to {
            IpAddr::V4(to) => {
                let holds = |(net, len): ([u8; 4], u8)| {
                    self.prefix_len >= len
                        && (u32::from(to) ^ u32::from_be_bytes(net)) >> (32 - len) == 0
                };
                LAB_V4.into_iter().any(holds) || holds(([224, 0, 0, 0], 4))
            }
            IpAddr::V6(to) => {
                let holds = |(net, len): (u128, u8)| {
                    self.prefix_len >= len && (u128::from(to) ^ net) >> (128 - len) == 0
                };
                LAB_V6.into_iter().any(holds) || holds((0xff << 120, 8))
            }
        }
    }
}

/// The first device or route that leads out of the lab, in words.
fn way_out(devices: &[Device], routes: &[Path]) -> Option<String> {
    let device =
        devices.iter().find(|device| device.leads_out()).map(|device| match device.kind.as_str() {
            "" => format!("interface {} is hardware", device.name),
            kind => format!("interface {} is a {kind} and up", device.name),
        });
    device.or_else(|| {
        let path = routes.iter().find(|path| path.leads_out())?;
        Some(format!("there is a route to {}/{}", path.to, path.prefix_len))
    })
}

fn dump(netlink: &mut Netlink, family: AddressFamily) -> io::Result<Vec<Path>> {
    let mut question = RouteMessage::default();
    question.header.address_family = family;
    let paths = netlink.dump(&RouteNetlinkMessage::GetRoute(question), |message| {
        Some(match message {
            RouteNetlinkMessage::NewRoute(route) => Path::of(&route),
            other => Err(unreadable(&format!("{other:?} in place of a route"))),
        })
    })?;
    paths.into_iter().collect()
}

/// What cannot be read might lead out, so it must not be passed over.
fn unreadable(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the kernel lists {what}, which this program cannot read"),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn targets_outside_the_lab_are_found() {
        let first = |specs: &str| {
            let targets = Targets::builder().spec(specs).ports("80").allow_reserved(true);
            first_outside(&targets.build().unwrap())
        };
        let first = |specs: &str| first(specs).map(|addr| addr.to_string());
        assert_eq!(first("198.18.0.0/15 127.0.0.1"), None);
        assert_eq!(first("198.18.0.1 8.8.8.8"), Some("8.8.8.8".to_owned()));
        assert_eq!(first("198.19.255.255-198.20.0.0"), Some("198.20.0.0".to_owned()));
        assert_eq!(first("2001:db8::/32 fe80::1 ::1 198.18.0.1"), None);
        assert_eq!(first("198.18.0.1 2001:db9::1"), Some("2001:db9::1".to_owned()));
        assert_eq!(
            first("2001:db8::/31"),
            Some("2001:db9:ffff:ffff:ffff:ffff:ffff:ffff".to_owned())
        );
        assert_eq!(first("::1-::2"), Some("::2".to_owned()));
        assert_eq!(first("fd00::1"), Some("fd00::1".to_owned()));
        assert_eq!(first("127.0.0.1-198.18.0.1"), Some("198.18.0.1".to_owned()));
    }

    fn device(name: &str, kind: &str, is_up: bool) -> Device {
        Device { name: name.to_owned(), kind: kind.to_owned(), is_up, is_loopback: name == "lo" }
    }

    fn path(kind: RouteType, to: &str) -> Path {
        let (to, prefix_len) = to.split_once('/').unwrap();
        Path { kind, to: to.parse().unwrap(), prefix_len: prefix_len.parse().unwrap() }
    }

    #[track_caller]
    fn check_route(kind: RouteType, to: &str, leads_out: bool) {
        let lab = [device("lo", "", true), device("s0", "veth", true)];
        let way = way_out(&lab, &[path(RouteType::Unicast, "198.18.0.0/16"), path(kind, to)]);
        assert_eq!(way.is_some(), leads_out, "{kind:?} {to}: {way:?}");
        assert!(way.is_none_or(|way| way.contains(to)));
    }

    #[test]
    fn unicast_routes_stay_in_the_lab_prefixes() {
        let check = |to, leads_out| check_route(RouteType::Unicast, to, leads_out);
        check("198.18.0.0/15", false);
        check("198.19.255.255/32", false);
        check("127.0.0.0/8", false);
        check("224.0.0.0/4", false);
        check("2001:db8::/32", false);
        check("2001:db8:1::/64", false);
        check("::1/128", false);
        check("fe80::/10", false);
        check("fe80::/64", false);
        check("ff00::/8", false);
        check("0.0.0.0/0", true);
        check("198.18.0.0/14", true); // begins inside and is wider
        check("198.20.0.0/16", true);
        check("198.17.0.0/16", true);
        check("10.0.0.0/8", true);
        check("192.0.2.0/24", true);
        check("126.0.0.0/7", true);
        check("::/0", true);
        check("::/127", true);
        check("2001:db8::/31", true);
        check("2001:db9::/32", true);
        check("fec0::/10", true);
        check("fd00::/64", true);
    }

    #[test]
    fn routes_that_lead_nowhere_may_be_anywhere() {
        for kind in [
            RouteType::Local,
            RouteType::Broadcast,
            RouteType::Anycast,
            RouteType::Multicast,
            RouteType::BlackHole,
            RouteType::Unreachable,
            RouteType::Prohibit,
            RouteType::Throw,
        ] {
            check_route(kind, "0.0.0.0/0", false);
        }
        for kind in
            [RouteType::Unspec, RouteType::Nat, RouteType::ExternalResolve, RouteType::Other(77)]
        {
            check_route(kind, "203.0.113.0/24", true);
        }
    }

    #[track_caller]
    fn check_device(name: &str, kind: &str, is_up: bool, leads_out: bool) {
        let way = way_out(&[device("lo", "", true), device(name, kind, is_up)], &[]);
        assert_eq!(way.is_some(), leads_out, "{name} {kind:?} {is_up}: {way:?}");
        assert!(way.is_none_or(|way| way.contains(name)));
    }

    #[test]
    fn hardware_leads_out_and_virtual_devices_while_they_are_up() {
        check_device("s0", "veth", true, false);
        check_device("d0", "dummy", true, false);
        check_device("eth0", "", true, true);
        check_device("eth0", "", false, true);
        check_device("tun0", "tun", true, true);
        check_device("br0", "bridge", true, true);
        check_device("wg0", "wireguard", true, true);
        check_device("sit0", "sit", false, false);
        check_device("ifb0", "ifb", false, false);
    }

    #[track_caller]
    fn check_value(value: Option<&str>, expected: Option<bool>) {
        let raised = is_raised(value.map(OsStr::new));
        assert_eq!(raised.as_ref().ok().copied(), expected, "{value:?}: {raised:?}");
        assert!(raised.is_ok() || matches!(raised, Err(LinkError::UnknownFence { .. })));
    }

    #[test]
    fn only_lab_raises_the_fence_and_a_misspelling_is_an_error() {
        check_value(None, Some(false));
        check_value(Some("lab"), Some(true));
        for value in ["", "Lab", "lab ", "1", "off"] {
            check_value(Some(value), None);
        }
    }

    proptest! {
        /// A unicast route stays exactly when both of its ends lie in the same lab prefix.
        #[test]
        fn a_route_stays_when_its_first_and_last_address_do(addr: u32, shift in 0_u8..=32, near: bool) {
            let addr = if near { 0xc612_0000 ^ (addr & 0x0007_ffff) } else { addr };
            let host_bits = u32::MAX.checked_shr(shift.into()).unwrap_or(0);
            let (first, last) = (addr & !host_bits, addr | host_bits);
            let inside = |low: u32, high: u32| first >= low && last <= high;
            let expected = inside(0xc612_0000, 0xc613_ffff)
                || inside(0x7f00_0000, 0x7fff_ffff)
                || inside(0xe000_0000, 0xefff_ffff);
            let path = Path { kind: RouteType::Unicast, to: IpAddr::V4(first.into()), prefix_len: shift };
            prop_assert_eq!(path.stays(), expected);
        }
    }
}
