//! A redirect (RFC 4861, section 8) changes the way of one host, and not that of its neighbours in the numbers.

use std::{
    fs,
    net::{IpAddr, Ipv6Addr},
    thread,
    time::Duration,
};

use mrpf_engine::{
    link::{Tx, interface::Interface, packet::PacketTx},
    neighbour::route_for,
    sources::Sources,
    wire::MacAddr,
};
use mrpf_lab::gate::{self, Need};

use super::{gateway, gateway_mac, ip, kernels_word, known_hops, targets, two_uplinks};

/// An Ethernet frame in which `router` tells `host` that `better` is the next hop to `destination`.
fn redirect(
    macs: [MacAddr; 2],
    [router, host]: [Ipv6Addr; 2],
    [better, destination]: [Ipv6Addr; 2],
) -> Vec<u8> {
    const LEN: u16 = 40;
    let mut message = vec![137, 0, 0, 0, 0, 0, 0, 0];
    message.extend(better.octets());
    message.extend(destination.octets());
    let mut pseudo = [router.octets(), host.octets()].concat();
    pseudo.extend([0, 0, 0, LEN as u8, 0, 0, 0, 58]);
    let sum = pseudo
        .chunks(2)
        .chain(message.chunks(2))
        .fold(0_u32, |sum, pair| sum + u32::from(pair[0]) * 256 + u32::from(pair[1]));
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let [from, to] = macs;
    let mut frame = [to.0, from.0].concat();
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, LEN as u8, 58, 255]);
    frame.extend(router.octets());
    frame.extend(host.octets());
    frame.extend(message);
    frame
}

#[test]
fn what_was_learnt_of_one_host_is_not_the_way_of_others() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _inside = two_uplinks();
    for (setting, value) in [("accept_redirects", "1"), ("forwarding", "0")] {
        fs::write(format!("/proc/sys/net/ipv6/conf/s0/{setting}"), value).unwrap();
    }
    for last in [101, 102] {
        ip(&format!("neigh add fe80::{last} lladdr {} dev s0 nud permanent", gateway_mac(last)));
    }
    ip("-6 route add 2001:db8:1::/64 via fe80::101 dev s0");
    let v6 = |text: &str| text.parse::<Ipv6Addr>().unwrap();
    let (ours, host) = (v6("2001:db8::1"), v6("2001:db8:1::1"));
    let s0 = Interface::by_name("s0").unwrap();
    let frame =
        redirect([gateway_mac(101), s0.mac()], [v6("fe80::101"), ours], [v6("fe80::102"), host]);
    let mut far = PacketTx::open(&Interface::by_name("w0").unwrap(), 128).unwrap();
    let kernel_sends = || kernels_word(&[IpAddr::V6(host)], ours.into())[0].0;
    for _ in 0..500 {
        if kernel_sends() == 102 {
            break;
        }
        far.frame(0)[..frame.len()].copy_from_slice(&frame);
        far.send(&[frame.len() as u16]).unwrap();
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(kernel_sends(), 102, "the kernel took the redirect");

    // One cell of two ranges, of which the first is the redirected host alone.
    let spec = "2001:db8:1::1 2001:db8:1::80/121";
    for interface in [None, Some("s0")] {
        let route = route_for(&targets(spec), interface, Sources::default(), None).unwrap();
        let hops = known_hops(spec, &route);
        for addr in ["2001:db8:1::1", "2001:db8:1::80", "2001:db8:1::ff"] {
            assert_eq!(gateway(&hops, addr), Some(101), "{addr} by {interface:?}");
        }
    }
}
