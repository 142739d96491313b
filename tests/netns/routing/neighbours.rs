//! Hardware addresses of IPv6 neighbours, over a veth pair between two namespaces.

use std::{
    net::Ipv6Addr,
    process::{Command, Stdio},
    time::Duration,
};

use mrpf_engine::{
    governor::Rate,
    link::{
        Frame, LinkError, Rx, Tx,
        interface::Interface,
        packet::{Filter, PacketRx, PacketTx, RingSize},
    },
    neighbour::resolve,
    port_guard::PortGuard,
    template::{self, Ends},
    time::Clock,
    wire::MacAddr,
};
use mrpf_lab::{
    Namespace,
    gate::{self, Need},
};

use super::{allow_ipv6, any_route, ends, ip, targets};

/// A receiver that has the far end of the link send forged advertisements each time we listen.
struct Forged {
    rx: PacketRx,
    far: PacketTx,
    /// The lengths of the frames in the slots of `far`.
    lens: Vec<u16>,
    sent: u64,
}

impl Rx for Forged {
    fn receive(&mut self, wait: Duration, take: impl FnMut(Frame<'_>)) -> Result<usize, LinkError> {
        self.sent += u64::from(self.far.send(&self.lens)?.sent);
        self.rx.receive(wait, take)
    }

    fn ring_drops(&mut self) -> u64 {
        self.rx.ring_drops()
    }
}

#[test]
fn neighbours_are_found_and_forged_advertisements_are_not_believed() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _inside = Namespace::unshare().unwrap();
    let world = {
        let _world = Namespace::unshare().unwrap();
        allow_ipv6();
        Namespace::current().unwrap()
    };
    allow_ipv6();
    ip("link set lo up");
    ip("link add s0 type veth peer name w0");
    {
        // The far end moves to the world, which has no name: by the thread that is inside.
        let _world = world.enter().unwrap();
        ip("link set lo up");
    }
    move_to(&world, "w0");
    ip("addr add 2001:db8::1/64 dev s0 nodad");
    ip("link set s0 up");
    let (far_mac, mut far) = {
        let _world = world.enter().unwrap();
        ip("addr add 2001:db8::2/64 dev w0 nodad");
        ip("addr add 2001:db8::3/64 dev w0 nodad");
        ip("link set w0 up");
        let far = Interface::by_name("w0").unwrap();
        (far.mac(), PacketTx::open(&far, 128).unwrap())
    };
    ip("-6 route add 2001:db8:1::/64 via 2001:db8::3 dev s0");
    let spec = "2001:db8::2 2001:db8::99 2001:db8:1::/120";
    let route = any_route(spec).unwrap();
    let ends = ends(&route);
    let v6 = |text: &str| text.parse::<Ipv6Addr>().unwrap();
    let ours = v6("2001:db8::1");
    assert_eq!(route.sources, ours.into());

    // Nobody has 2001:db8::99, and somebody says otherwise in every way that is not valid.
    let liar = Ends { source_mac: MacAddr([2, 6, 6, 6, 6, 6]), ..ends };
    let spoils: [fn(&mut [u8]); 3] = [
        |frame| frame[14 + 7] = 254,     // passed on by a router
        |frame| frame[14 + 40 + 2] ^= 1, // a wrong checksum
        |frame| frame[14 + 40 + 7] ^= 1, // the same, by another octet
    ];
    let lens = spoils.iter().enumerate().map(|(at, spoil)| {
        let slot = far.frame(at);
        let asker = Some((ours, ends.source_mac));
        let len = template::neighbour_advertisement(slot, &liar, v6("2001:db8::99"), asker);
        spoil(slot);
        len
    });
    let lens = lens.collect();
    let clock = Clock::start();
    let mut tx = PacketTx::open(&route.interface, 128).unwrap();
    let filter = Filter::new(ends.layer, ends.sources, (61_000, 61_255));
    let rx = PacketRx::open(&route.interface, &filter, RingSize::default(), clock).unwrap();
    let mut rx = Forged { rx, far, lens, sent: 0 };
    let (hops, counts) =
        resolve(&targets(spec), &route, &ends, Rate::Max, &mut tx, &mut rx, &clock).unwrap();
    assert_eq!(hops.of(v6("2001:db8::2").into()), Some(far_mac));
    assert_eq!(hops.of(v6("2001:db8:1::7").into()), Some(far_mac));
    assert_eq!(hops.of(v6("2001:db8::99").into()), None);
    assert_eq!((counts.sent, counts.dropped), (2 + 3, 0), "the silent one three times");
    assert!(rx.sent >= 9, "{}", rx.sent);
    assert!(counts.received >= 2 + 3, "they arrived, and were not believed: {counts:?}");

    let guard = PortGuard::claim(route.sources, route.interface.index(), None, 4).unwrap();
    guard.self_test().unwrap();
}

/// Moves a device of the calling thread's namespace into another.
#[track_caller]
fn move_to(namespace: &Namespace, device: &str) {
    // ip(8) takes a process for a namespace: one that waits in it until its input ends.
    let mut child = {
        let _inside = namespace.enter().unwrap();
        Command::new("cat").stdin(Stdio::piped()).spawn().unwrap()
    };
    ip(&format!("link set {device} netns {}", child.id()));
    drop(child.stdin.take());
    child.wait().unwrap();
}
