//! The way of every target is the kernel's, whatever its tables and rules: asked of a real kernel, in namespaces made by
//! ip(8). Nothing is sent here but by `neighbours.rs`, which asks for hardware addresses, and by `redirect.rs`, each over a
//! veth pair.

mod neighbours;
mod redirect;
mod sources;

use std::{
    fs,
    io::Write,
    net::{IpAddr, Ipv6Addr},
    process::{Command, Stdio},
    time::Duration,
};

use mrpf_engine::{
    governor::Rate,
    link::{Frame, LinkError, Rx, Sent, Tx, interface::Interface},
    neighbour::{NeighbourError, NextHops, Route, resolve, route_for},
    sources::Sources,
    target::Targets,
    template::Ends,
    time::Clock,
    wire::MacAddr,
};
use mrpf_lab::{
    Namespace,
    gate::{self, Need},
    netns::Inside,
};

/// Gateways have the last octets 101 to 104, and this hardware address with the octet behind it.
const GATEWAY_MAC: [u8; 5] = [2, 0, 0, 0, 0xee];
/// Where the targets are.
const V4: &str = "198.19.0.0/24";
const V6: &str = "2001:db8:1::/120";

/// `ip` with the words of `line`, in the namespace of the calling thread.
#[track_caller]
fn ip(line: &str) {
    let output =
        Command::new("ip").args(line.split_whitespace()).output().expect("iproute2 has ip");
    assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A new namespace with two devices, s0 and t0, that lead nowhere: 198.18.0.1 and 2001:db8::1 on s0, 198.18.64.1 and
/// 2001:db8:0:64::1 on t0, and four gateways on each whose hardware addresses the kernel knows.
#[track_caller]
fn two_uplinks() -> Inside {
    let inside = Namespace::unshare().unwrap();
    allow_ipv6();
    ip("link set lo up");
    for (device, peer, v4, v6) in
        [("s0", "w0", "198.18.0", "2001:db8::"), ("t0", "u0", "198.18.64", "2001:db8:0:64::")]
    {
        ip(&format!("link add {device} type veth peer name {peer}"));
        ip(&format!("link set {peer} up"));
        ip(&format!("link set {device} up"));
        ip(&format!("addr add {v4}.1/24 dev {device}"));
        ip(&format!("addr add {v6}1/64 dev {device} nodad"));
        for last in 101..=104 {
            let to = format!("lladdr {} dev {device} nud permanent", gateway_mac(last));
            ip(&format!("neigh add {v4}.{last} {to}"));
            ip(&format!("neigh add {v6}{last} {to}"));
        }
    }
    inside
}

/// A namespace may begin with IPv6 switched off.
fn allow_ipv6() {
    for scope in ["all", "default"] {
        fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6"), "0").expect("IPv6");
    }
}

fn gateway_mac(last: u8) -> MacAddr {
    let [a, b, c, d, e] = GATEWAY_MAC;
    MacAddr([a, b, c, d, e, last])
}

fn targets(spec: &str) -> Targets {
    Targets::builder().spec(spec).ports("80").allow_reserved(true).build().unwrap()
}

fn any_route(spec: &str) -> Result<Route, NeighbourError> {
    route_for(&targets(spec), None, Sources::default(), None)
}

/// A link for scans whose next hops are all known.
#[derive(Debug)]
struct Unused;

impl Tx for Unused {
    fn slots(&self) -> usize {
        panic!("a question was asked")
    }

    fn frame(&mut self, _: usize) -> &mut [u8] {
        panic!("a question was asked")
    }

    fn send(&mut self, _: &[u16]) -> Result<Sent, LinkError> {
        panic!("a question was asked")
    }
}

impl Rx for Unused {
    fn receive(&mut self, _: Duration, _: impl FnMut(Frame<'_>)) -> Result<usize, LinkError> {
        panic!("a question was asked")
    }

    fn ring_drops(&mut self) -> u64 {
        0
    }
}

fn ends(route: &Route) -> Ends {
    Ends {
        layer: route.interface.layer(),
        source_mac: route.interface.mac(),
        vlan: None,
        sources: route.sources,
    }
}

/// Next hops that the kernel knows already.
#[track_caller]
fn known_hops(spec: &str, route: &Route) -> NextHops {
    let clock = Clock::start();
    let resolved =
        resolve(&targets(spec), route, &ends(route), Rate::Max, &mut Unused, &mut Unused, &clock);
    resolved.unwrap_or_else(|error| panic!("{error}")).0
}

/// The gateway to `addr`, by the last octet of its address.
#[track_caller]
fn gateway(hops: &NextHops, addr: &str) -> Option<u8> {
    let mac = hops.of(addr.parse().unwrap())?;
    assert_eq!(mac.0[..5], GATEWAY_MAC, "{addr}");
    Some(mac.0[5])
}

/// What `ip route get` says for each of `addrs`: the last octet of the gateway and the interface.
#[track_caller]
fn kernels_word(addrs: &[IpAddr], source: IpAddr) -> Vec<(u8, String)> {
    let family = if source.is_ipv6() { "-6" } else { "-4" };
    let mut child = Command::new("ip")
        .args([family, "-oneline", "-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("iproute2 has ip");
    let mut stdin = child.stdin.take().expect("piped");
    let lines = addrs.iter().map(|addr| format!("route get {addr} from {source} ipproto tcp\n"));
    let lines = lines.collect::<String>();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let word_after = |line: &str, word: &str| {
        line.split_whitespace().skip_while(|found| *found != word).nth(1).map(str::to_owned)
    };
    let words = text.lines().map(|line| {
        let via = word_after(line, "via").unwrap_or_else(|| panic!("no gateway: {line}"));
        let last = via.rsplit(['.', ':']).next().unwrap().parse().unwrap();
        (last, word_after(line, "dev").unwrap())
    });
    words.collect()
}

/// Numbers that look random: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound
    }
}

/// Tables and rules drawn from `seed`, of one family, that all lead to gateways on s0.
#[track_caller]
fn draw_policy(seed: u64, is_v6: bool) {
    let mut random = Random(seed);
    let (family, link, net, host, all) = if is_v6 {
        ("-6", "2001:db8::", "2001:db8:1::", 128, "2001:db8:1::/64")
    } else {
        ("-4", "198.18.0.", "198.19.0.", 32, "198.19.0.0/16")
    };
    let some_net = |random: &mut Random| {
        let bits = random.below(9);
        let low = random.below(256) >> bits << bits;
        let low = if is_v6 { format!("{low:x}") } else { low.to_string() };
        format!("{net}{low}/{}", host - bits)
    };
    let via = |random: &mut Random| format!("via {link}{} dev s0", 101 + random.below(4));
    ip(&format!("{family} route add {all} {}", via(&mut random)));
    for _ in 0..24 {
        let table = ["main", "100", "200", "7000"][random.below(4) as usize];
        let (net, metric) = (some_net(&mut random), random.below(3) + 1);
        // Equal prefixes and metrics too, of which the first counts.
        let verb = if is_v6 { "replace" } else { "append" };
        let what = match random.below(8) {
            0 => format!("{family} route {verb} throw {net} table {table} metric {metric}"),
            _ => {
                let via = via(&mut random);
                format!("{family} route {verb} {net} {via} table {table} metric {metric}")
            }
        };
        if what.contains("throw") && table == "main" {
            continue; // main is the last that has routes: a throw in it is no route at all
        }
        ip(&what);
    }
    for priority in 0..8 {
        let table = ["main", "100", "200", "7000"][random.below(4) as usize];
        let selector = match random.below(8) {
            0 => "from all".to_owned(),
            1 => format!("from {link}1"),
            2 => format!("from {link}2"),
            3 => format!("to {}", some_net(&mut random)),
            4 => format!("not to {}", some_net(&mut random)),
            5 => "not fwmark 0x7".to_owned(),
            6 => "iif lo ipproto tcp".to_owned(),
            _ => "uidrange 0-0".to_owned(),
        };
        let action = match random.below(4) {
            0 => format!("table {table} suppress_prefixlength {}", host - random.below(8)),
            1 if priority < 7 => format!("goto {}", 1_000 + 10 * (priority + 1)),
            _ => format!("table {table}"),
        };
        ip(&format!("{family} rule add priority {} {selector} {action}", 1_000 + 10 * priority));
    }
    ip(&format!("{family} rule add priority 1080 nop"));
}

#[track_caller]
fn check_policy(seed: u64, is_v6: bool) {
    let _inside = two_uplinks();
    draw_policy(seed, is_v6);
    let spec = if is_v6 { V6 } else { V4 };
    let addrs = (0..256_u32).map(|low| match is_v6 {
        true => IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8_0001 << 80) + u128::from(low))),
        false => IpAddr::from([198, 19, 0, low as u8]),
    });
    let addrs = addrs.collect::<Vec<_>>();
    let route = any_route(spec).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let ours = if is_v6 { "2001:db8::1" } else { "198.18.0.1" }.parse::<IpAddr>().unwrap();
    assert!(route.sources.contains(ours), "seed {seed}: {:?}", route.sources);
    let hops = known_hops(spec, &route);
    for (addr, (last, interface)) in addrs.iter().zip(kernels_word(&addrs, ours)) {
        assert_eq!(interface, "s0");
        assert_eq!(gateway(&hops, &addr.to_string()), Some(last), "seed {seed}: {addr}");
    }
}

#[test]
fn every_target_goes_where_the_kernel_would_send_it() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    for seed in 0..10 {
        check_policy(seed, false);
        check_policy(seed, true);
    }
}

/// The rules of a VPN: all that has no route of its own but the default goes into the tunnel.
#[test]
fn a_scan_does_not_go_round_a_vpn() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _inside = two_uplinks();
    for (family, s0, t0) in
        [("-4", "198.18.0.101", "198.18.64.102"), ("-6", "2001:db8::101", "2001:db8:0:64::102")]
    {
        ip(&format!("{family} route add default via {s0} dev s0"));
        ip(&format!("{family} route add default via {t0} dev t0 table 51820"));
        ip(&format!("{family} rule add priority 100 table main suppress_prefixlength 0"));
        ip(&format!("{family} rule add priority 200 not fwmark 51820 table 51820"));
    }
    for (spec, near) in [(V4, "198.18.0.0/25"), (V6, "2001:db8::/121")] {
        let route = any_route(spec).unwrap();
        assert_eq!(route.interface.name(), "t0", "{spec}");
        let addr = spec.split('/').next().unwrap();
        assert_eq!(gateway(&known_hops(spec, &route), addr), Some(102), "{spec}");
        assert_eq!(any_route(near).unwrap().interface.name(), "s0", "{near}");
        let error = any_route(&format!("{spec} {near}")).unwrap_err();
        assert!(matches!(error, NeighbourError::Elsewhere { .. }), "{error}");
        assert!(error.to_string().contains("-i"), "{error}");
        // Bound to the interface, as the text advises.
        let route = route_for(&targets(spec), Some("s0"), Sources::default(), None).unwrap();
        assert_eq!(gateway(&known_hops(spec, &route), addr), Some(101), "{spec}");
    }
}

#[test]
fn a_rule_may_look_at_the_source() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _inside = two_uplinks();
    ip("-4 route add default via 198.18.0.101 dev s0");
    ip("-4 route add default via 198.18.64.102 dev t0 table 100");
    ip("-4 rule add from 198.18.64.0/24 table 100");
    ip("-6 route add default via 2001:db8::101 dev s0");
    ip("-6 route add default via 2001:db8:0:64::102 dev t0 table 100");
    ip("-6 rule add from 2001:db8:0:64::/64 table 100");
    let other = Sources {
        v4: Some("198.18.64.1".parse().unwrap()),
        v6: Some("2001:db8:0:64::1".parse().unwrap()),
    };
    for spec in [V4, V6] {
        let addr = spec.split('/').next().unwrap();
        let route = any_route(spec).unwrap();
        assert_eq!(route.interface.name(), "s0");
        assert_eq!(gateway(&known_hops(spec, &route), addr), Some(101));
        let route = route_for(&targets(spec), None, other, None).unwrap();
        assert_eq!(route.interface.name(), "t0");
        assert_eq!(gateway(&known_hops(spec, &route), addr), Some(102));
    }
    let both = targets(&format!("{V4} {V6}"));
    let route = route_for(&both, None, other, None).unwrap();
    assert_eq!((route.interface.name(), route.sources), ("t0", other));
    // One family by each.
    let one = Sources { v4: other.v4, v6: None };
    let error = route_for(&both, None, one, None).unwrap_err();
    assert!(
        matches!(&error, NeighbourError::TwoInterfaces { v4, v6 } if v4 == "t0" && v6 == "s0"),
        "{error}"
    );
}

#[test]
fn next_hop_objects_and_several_next_hops_are_followed() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _inside = two_uplinks();
    ip("nexthop add id 7 via 198.18.0.103 dev s0");
    ip("nexthop add id 8 via 2001:db8::103 dev s0");
    ip("-4 route add 198.19.0.0/25 nhid 7");
    ip("-6 route add 2001:db8:1::/121 nhid 8");
    ip(
        "-4 route add 198.19.0.128/25 nexthop via 198.18.64.101 dev t0 nexthop via 198.18.0.104 dev s0",
    );
    ip(
        "-6 route add 2001:db8:1::80/121 nexthop via 2001:db8:0:64::101 dev t0 nexthop via 2001:db8::104 dev s0",
    );
    // The kernel may be told to name an object and not to say what it is.
    for mode in ["1", "0"] {
        fs::write("/proc/sys/net/ipv4/nexthop_compat_mode", mode).unwrap();
        for (spec, high) in [(V4, "198.19.0.200"), (V6, "2001:db8:1::c8")] {
            let low = spec.split('/').next().unwrap();
            let route = any_route(spec).unwrap();
            assert_eq!(route.interface.name(), "s0");
            let hops = known_hops(spec, &route);
            assert_eq!(
                (gateway(&hops, low), gateway(&hops, high)),
                (Some(103), Some(104)),
                "{spec} {mode}"
            );
        }
    }
}

#[test]
fn what_refuses_and_what_cannot_be_followed_is_said() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _inside = two_uplinks();
    for (family, gateway, net, refused) in [
        ("-4", "198.18.0.101", "198.19.0.0/16", "198.19.0"),
        ("-6", "2001:db8::101", "2001:db8:1::/64", "2001:db8:1::1"),
    ] {
        let (of, host) = if family == "-4" { (".", 32) } else { ("", 128) };
        ip(&format!("{family} route add {net} via {gateway} dev s0"));
        for (at, kind) in [(1, "unreachable"), (2, "prohibit"), (3, "blackhole")] {
            let addr = format!("{refused}{of}{at}");
            ip(&format!("{family} route add {kind} {addr}/{host}"));
            let error = any_route(&addr).unwrap_err();
            assert!(
                matches!(&error, NeighbourError::Refused { kind: found, .. } if *found == kind),
                "{addr}: {error}"
            );
        }
    }
    let error = any_route("203.0.113.1").unwrap_err();
    assert!(matches!(error, NeighbourError::NoRoute { .. }), "{error}");
    let error = any_route("2001:db8:9::1").unwrap_err();
    assert!(matches!(error, NeighbourError::NoRoute { .. }), "{error}");
    for own in ["198.18.0.1", "2001:db8::1"] {
        let error = any_route(own).unwrap_err();
        assert!(matches!(error, NeighbourError::Own { .. }), "{error}");
    }
    ip("-4 rule add priority 77 dport 443 table 100");
    let error = any_route("198.19.0.9").unwrap_err();
    assert!(matches!(error, NeighbourError::PortRule { priority: 77 }), "{error}");
    route_for(&targets("198.19.0.9"), Some("s0"), Sources::default(), None).unwrap();
    let error = any_route("2001:db8::/64").unwrap_err();
    assert!(matches!(error, NeighbourError::TooMany { .. }), "{error}");
}

#[test]
fn a_tentative_address_is_no_source() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _inside = Namespace::unshare().unwrap();
    allow_ipv6();
    ip("link add s0 type veth peer name w0");
    ip("link set w0 up");
    ip("link set s0 addrgenmode none up");
    // A probe that nobody answers within an hour: the address stays tentative for as long as the test looks at it.
    fs::write("/proc/sys/net/ipv6/neigh/s0/retrans_time_ms", "3600000").unwrap();
    ip("addr add 2001:db8::1/64 dev s0");
    assert_eq!(Interface::by_name("s0").unwrap().v6(), []);
    let mac = Some(gateway_mac(101));
    let error = route_for(&targets(V6), Some("s0"), Sources::default(), mac).unwrap_err();
    assert!(matches!(error, NeighbourError::NoAddress { family: "IPv6", .. }), "{error}");
    ip("addr add 2001:db8::2/64 dev s0 nodad");
    let route = route_for(&targets(V6), Some("s0"), Sources::default(), mac).unwrap();
    assert_eq!(route.sources, "2001:db8::2".parse::<Ipv6Addr>().unwrap().into());
}
