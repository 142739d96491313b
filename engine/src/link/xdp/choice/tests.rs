use std::num::NonZeroUsize;

use super::*;
use crate::link::xdp::{Channels, Features};

/// Facts of the lab: everything is there, and the far end of the veth takes live frames.
fn lab() -> Facts {
    Facts {
        interface: "s0".to_owned(),
        is_loopback: false,
        mtu: 1_500,
        capabilities: Some(Capabilities::ALL),
        is_in_initial_user_namespace: Some(true),
        kernel: Some(Kernel { major: 6, minor: 18 }),
        cpus: NonZeroUsize::new(2),
        driver: Some("veth".to_owned()),
        channels: Some(Channels { rx: 1, tx: 1, combined: 0, most_combined: 0 }),
        features: Some(Features { basic: true, redirect: true, ndo_xmit: true }),
        attached: None,
    }
}

/// Facts of an EC2 machine that is ready for XDP, with an older kernel, which does not tell what devices can do.
fn ec2() -> Facts {
    Facts {
        interface: "ens5".to_owned(),
        mtu: 3_498,
        kernel: Some(Kernel { major: 5, minor: 19 }),
        cpus: NonZeroUsize::new(8),
        driver: Some("ena".to_owned()),
        channels: Some(Channels { combined: 4, most_combined: 8, ..Channels::default() }),
        features: None,
        ..lab()
    }
}

fn driven_by(driver: &str, features: Option<Features>) -> Facts {
    Facts { driver: Some(driver.to_owned()), features, ..lab() }
}

fn syn(rate: &str) -> Ask {
    let rate = rate.parse().unwrap();
    Ask { rate, layer: LinkLayer::Ethernet, purpose: Purpose::Answers, receivers: 1 }
}

fn talk(rate: &str) -> Ask {
    Ask { purpose: Purpose::Talk, ..syn(rate) }
}

fn many(ask: Ask, receivers: u8) -> Ask {
    Ask { receivers, ..ask }
}

const RECEIVES: Features = Features { basic: true, redirect: true, ndo_xmit: false };
const NOTHING: Features = Features { basic: false, redirect: false, ndo_xmit: false };
const NATIVE: Receive = Receive::Xdp(Mode::Native);
const GENERIC: Receive = Receive::Xdp(Mode::Generic);

#[track_caller]
fn check(wish: Wish, facts: &Facts, ask: &Ask, halves: (Send, Receive), why: &str) -> Choice {
    let choice = choose(wish, facts, ask).unwrap();
    assert_eq!((choice.send, choice.receive), halves, "{}", choice.why);
    assert_eq!(choice.why, format!("link: {why}"));
    choice
}

/// A fact for which a fast scan gets packet sockets, with one line that says why.
#[track_caller]
fn check_falls_back(facts: &Facts, since: &str) {
    let halves = (Send::Packet, Receive::Packet);
    for rate in ["max", "1M"] {
        let choice = choose(Wish::Auto, facts, &syn(rate)).unwrap();
        assert_eq!((choice.send, choice.receive), halves);
        assert!(choice.falls_short);
        let rest = choice.why.strip_prefix("link: packet sockets, since ").unwrap();
        assert!(rest.starts_with(since), "{rest}");
        assert!(!choice.why.contains('\n'));
    }
    let silent = check(
        Wish::Auto,
        facts,
        &syn("999k"),
        halves,
        "packet sockets, which suit rates below 1M/s",
    );
    assert!(!silent.falls_short);
}

/// A fact for which XDP is refused at every rate, and not chosen by itself.
#[track_caller]
fn check_refused(facts: &Facts, reason: &str, mend: &str) {
    check_falls_back(facts, reason);
    for ask in [syn("max"), syn("10k"), talk("max"), talk("10k")] {
        let refusal = choose(Wish::Xdp, facts, &ask).unwrap_err();
        let text = format!("the xdp link cannot be used, as {reason}: {mend}");
        assert_eq!(refusal.to_string(), text);
    }
    let packet = choose(Wish::Packet, facts, &syn("max")).unwrap();
    assert_eq!((packet.send, packet.receive), (Send::Packet, Receive::Packet));
}

#[test]
fn packet_is_packet_whatever_there_is() {
    let halves = (Send::Packet, Receive::Packet);
    for ask in [syn("1"), syn("max"), talk("1"), talk("max")] {
        let choice = check(Wish::Packet, &lab(), &ask, halves, "packet sockets, asked for");
        assert!(!choice.falls_short);
        assert_eq!(choice.name(), "packet");
    }
}

#[test]
fn auto_takes_xdp_from_a_million_a_second_on() {
    let all = (Send::Live, NATIVE);
    for rate in ["1M", "5M", "max"] {
        let why = "XDP sends and receives (native) on s0, the fastest here";
        assert!(!check(Wish::Auto, &lab(), &syn(rate), all, why).falls_short);
        let why = "XDP sends and receives (native) on ens5, the fastest here";
        check(Wish::Auto, &ec2(), &syn(rate), all, why);
    }
    let why = "packet sockets, which suit rates below 1M/s";
    for rate in ["1", "10k", "999999"] {
        let packet = (Send::Packet, Receive::Packet);
        assert!(!check(Wish::Auto, &lab(), &syn(rate), packet, why).falls_short);
    }
}

#[test]
fn auto_leaves_tls_and_dns_to_packet_sockets() {
    let why = "packet sockets, as SYN scans alone send so much that more would pay";
    let halves = (Send::Packet, Receive::Packet);
    let choice = check(Wish::Auto, &lab(), &talk("max"), halves, why);
    assert!(!choice.falls_short);
}

#[test]
fn xdp_sends_live_only_where_that_pays() {
    let all = (Send::Live, NATIVE);
    let why = "XDP sends and receives (native) on s0, asked for";
    for rate in ["1M", "max"] {
        assert!(!check(Wish::Xdp, &lab(), &syn(rate), all, why).falls_short);
    }
    let half = (Send::Packet, NATIVE);
    let why = "XDP receives (native) on s0, packet sockets send, which suit rates below 1M/s";
    for rate in ["1", "999k"] {
        let choice = check(Wish::Xdp, &lab(), &syn(rate), half, why);
        assert_eq!((choice.falls_short, choice.name()), (false, "xdp"));
    }
    let why = "XDP receives (native) on s0, packet sockets send, as SYN scans alone send so much that more would pay";
    check(Wish::Xdp, &lab(), &talk("max"), half, why);
}

#[test]
fn a_kernel_before_5_18_is_too_old() {
    let facts = Facts { kernel: Some(Kernel { major: 5, minor: 10 }), ..lab() };
    check_refused(&facts, "the kernel is 5.10 and XDP needs 5.18", "--link packet needs no XDP");
    let facts = Facts { kernel: Some(Kernel { major: 4, minor: 19 }), ..lab() };
    check_refused(&facts, "the kernel is 4.19 and XDP needs 5.18", "--link packet needs no XDP");
    let facts = Facts { kernel: Some(OLDEST), ..lab() };
    assert_eq!(choose(Wish::Xdp, &facts, &syn("max")).unwrap().send, Send::Live);
}

#[test]
fn capabilities_that_are_missing_are_named() {
    let mend = "run with sudo, or: sudo setcap cap_net_raw,cap_net_admin,cap_bpf,cap_perfmon+ep $(command -v mrpf)";
    let with = |capabilities| Facts { capabilities: Some(capabilities), ..lab() };
    let raw = Capabilities { net_raw: true, ..Capabilities::default() };
    check_refused(&with(raw), "XDP needs CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON", mend);
    let all_but =
        |bpf, perfmon| Capabilities { bpf, perfmon, sys_admin: false, ..Capabilities::ALL };
    check_refused(&with(all_but(false, true)), "XDP needs CAP_BPF", mend);
    check_refused(&with(all_but(true, false)), "XDP needs CAP_PERFMON", mend);
    let no_admin = Capabilities { net_admin: false, ..Capabilities::ALL };
    check_refused(&with(no_admin), "XDP needs CAP_NET_ADMIN", mend);
    let no_raw = Capabilities { net_raw: false, ..Capabilities::ALL };
    check_refused(&with(no_raw), "XDP needs CAP_NET_RAW", mend);
    // What setcap gives, and what root had before there was CAP_BPF.
    let admin = Capabilities { bpf: false, perfmon: false, ..Capabilities::ALL };
    for capabilities in [all_but(true, true), admin] {
        let choice = choose(Wish::Xdp, &with(capabilities), &syn("max")).unwrap();
        assert_eq!(choice.send, Send::Live);
    }
}

#[test]
fn capabilities_of_another_user_namespace_do_not_count() {
    let facts = Facts { is_in_initial_user_namespace: Some(false), ..lab() };
    let mend = "run with sudo, outside of `unshare --user`, rootless containers and `mrpf lab run` as a user";
    let reason =
        "XDP needs rights in the machine's own user namespace, and this process is in another";
    check_refused(&facts, reason, mend);
}

#[test]
fn loopback_and_devices_without_ethernet_are_refused() {
    let mend = "choose another with -i";
    let facts = Facts { is_loopback: true, interface: "lo".to_owned(), ..lab() };
    check_refused(&facts, "lo is loopback, which has no use for XDP", mend);
    let ask = Ask { layer: LinkLayer::Ip, ..syn("max") };
    let reason = "the frames of s0 have no Ethernet header, which XDP needs";
    let refusal = choose(Wish::Xdp, &lab(), &ask).unwrap_err();
    assert_eq!(refusal.to_string(), format!("the xdp link cannot be used, as {reason}: {mend}"));
    let why = format!("packet sockets, since {reason} ({mend})");
    assert!(check(Wish::Auto, &lab(), &ask, (Send::Packet, Receive::Packet), &why).falls_short);
}

#[test]
fn a_program_that_is_there_stays() {
    let facts = Facts { attached: Some(7), ..lab() };
    let mend = "end what attached it; `bpftool prog show id 7` names it";
    check_refused(&facts, "s0 has an XDP program already, number 7", mend);
}

#[test]
fn ena_takes_programs_up_to_an_mtu() {
    let facts = Facts { mtu: 9_001, ..ec2() };
    let reason = "ens5 has an MTU of 9001, and ENA takes XDP programs up to 3498";
    check_refused(&facts, reason, "sudo ip link set ens5 mtu 3498");
    check_refused(
        &Facts { mtu: 3_499, ..ec2() },
        &reason.replace("9001", "3499"),
        "sudo ip link set ens5 mtu 3498",
    );
}

#[test]
fn long_frames_are_received_behind_the_driver() {
    let veth = Facts { mtu: 9_001, ..lab() };
    let since = "s0 has an MTU of 9001, and drivers take XDP programs up to 3498";
    check_falls_short(&veth, GENERIC, since);
    assert_eq!(
        choose(Wish::Xdp, &Facts { mtu: 3_498, ..lab() }, &syn("max")).unwrap().send,
        Send::Live
    );
}

#[test]
fn ena_takes_programs_with_half_of_its_channels() {
    let using = |combined, most_combined| {
        let channels = Some(Channels { combined, most_combined, ..Channels::default() });
        Facts { channels, ..ec2() }
    };
    let reason = |used, most| {
        format!(
            "ens5 uses {used} of its {most} channels, and ENA takes XDP programs when at most half are used"
        )
    };
    check_refused(&using(5, 8), &reason(5, 8), "sudo ethtool -L ens5 combined 4");
    check_refused(&using(4, 7), &reason(4, 7), "sudo ethtool -L ens5 combined 3");
    check_refused(&using(2, 2), &reason(2, 2), "sudo ethtool -L ens5 combined 1");
    check_refused(&using(1, 1), &reason(1, 1), "--link packet needs no XDP");
    for (used, most) in [(4, 8), (3, 7), (1, 2)] {
        let choice = choose(Wish::Xdp, &using(used, most), &syn("max")).unwrap();
        assert_eq!(choice.send, Send::Live);
    }
}

#[test]
fn one_cpu_is_for_packet_sockets() {
    let facts = Facts { cpus: NonZeroUsize::new(1), ..lab() };
    check_falls_back(&facts, "sending");
    let refusal = |rate| choose(Wish::Xdp, &facts, &syn(rate)).unwrap_err().to_string();
    assert_eq!(
        refusal("max"),
        "the xdp link cannot be used, as sending by XDP keeps a CPU busy, and this process may use one alone: \
         give a --rate below 1M, or more CPUs"
    );
    assert!(refusal("1M").contains("as sending 1000000 frames a second by XDP keeps a CPU busy"));
    // Receiving needs no CPU to itself.
    for ask in [syn("999k"), talk("max")] {
        let choice = choose(Wish::Xdp, &facts, &ask).unwrap();
        assert_eq!((choice.send, choice.receive), (Send::Packet, NATIVE));
    }
}

#[test]
fn more_receivers_than_there_are_rings_are_for_packet_sockets() {
    let reason = "17 threads receive, and at most 16 can share what XDP takes";
    for ask in [syn("10k"), syn("max"), talk("10k")] {
        let refusal = choose(Wish::Xdp, &lab(), &many(ask, 17)).unwrap_err();
        let text = format!("the xdp link cannot be used, as {reason}: give --threads 16 or fewer");
        assert_eq!(refusal.to_string(), text);
        assert!(refusal.is_usage());
        assert_eq!(choose(Wish::Xdp, &lab(), &many(ask, 16)).unwrap().receive, NATIVE);
    }
    let halves = (Send::Packet, Receive::Packet);
    let why = format!("packet sockets, since {reason} (give --threads 16 or fewer)");
    assert!(check(Wish::Auto, &lab(), &many(syn("max"), 17), halves, &why).falls_short);
    let why = "packet sockets, which suit rates below 1M/s";
    assert!(!check(Wish::Auto, &lab(), &many(syn("10k"), 64), halves, why).falls_short);
    // What the machine lacks comes first: no flag mends that.
    let facts = Facts { kernel: Some(Kernel { major: 5, minor: 10 }), ..lab() };
    let refusal = choose(Wish::Xdp, &facts, &many(syn("max"), 17)).unwrap_err();
    assert!(matches!(refusal, Refusal::Kernel(_)), "{refusal}");
}

/// A device of which XDP wished for takes what there is, and which auto does not take.
#[track_caller]
fn check_falls_short(facts: &Facts, receive: Receive, since: &str) {
    check_falls_back(facts, since);
    let choice = choose(Wish::Xdp, facts, &syn("max")).unwrap();
    assert_eq!((choice.send, choice.receive), (Send::Packet, receive));
    let kind = if receive == NATIVE { "native" } else { "generic" };
    let interface = &facts.interface;
    let why =
        format!("link: XDP receives ({kind}) on {interface}, packet sockets send, since {since}");
    let mend = choice.why.strip_prefix(&why).expect(&choice.why);
    assert!(mend.is_empty() || mend.starts_with(" (") && mend.ends_with(')'), "{mend}");
    assert!(choice.falls_short);
    let slow = choose(Wish::Xdp, facts, &syn("10k")).unwrap();
    assert_eq!((slow.send, slow.receive, slow.falls_short), (Send::Packet, receive, false));
}

#[test]
fn a_veth_depends_on_its_far_end() {
    let bare = driven_by("veth", Some(RECEIVES));
    check_falls_short(&bare, NATIVE, "the far end of s0 has neither an XDP program nor GRO");
    let mend = " (at the far end: sudo ethtool -K IF gro on)";
    assert!(choose(Wish::Auto, &bare, &syn("max")).unwrap().why.ends_with(mend));
    let few = driven_by("veth", Some(NOTHING));
    let since = "the far end of s0 has more transmit queues than s0 has receive queues";
    check_falls_short(&few, GENERIC, since);
    let old = Facts { kernel: Some(Kernel { major: 6, minor: 2 }), ..driven_by("veth", None) };
    let since = "it is not known whether the device sends what XDP programs redirect to it, before Linux 6.3";
    check_falls_short(&old, NATIVE, since);
}

#[test]
fn threads_that_would_share_a_queue_of_a_veth_send_by_packet_sockets() {
    let two = Facts { channels: Some(Channels { rx: 2, tx: 2, ..Channels::default() }), ..lab() };
    let (packet, all) = ((Send::Packet, NATIVE), (Send::Live, NATIVE));
    let why = "XDP receives (native) on s0, packet sockets send, since 3 threads send, and s0 is a veth with 2 to send by: \
               those that share a queue lose frames (give --threads 2, or make it with as many: ip link add numtxqueues N \
               numrxqueues N type veth)";
    assert!(check(Wish::Xdp, &two, &many(syn("max"), 3), packet, why).falls_short);
    let auto = choose(Wish::Auto, &two, &many(syn("max"), 3)).unwrap();
    assert_eq!((auto.send, auto.receive), (Send::Packet, Receive::Packet));
    assert!(auto.falls_short && auto.why.contains("(give --threads 2, or "), "{}", auto.why);
    // Enough of them, as many as nobody tells, and a device whose queues are its own.
    let why = "XDP sends and receives (native) on s0, asked for";
    check(Wish::Xdp, &two, &many(syn("max"), 2), all, why);
    check(Wish::Xdp, &Facts { channels: None, ..lab() }, &many(syn("max"), 3), all, why);
    let why = "XDP sends and receives (native) on ens5, asked for";
    check(Wish::Xdp, &ec2(), &many(syn("max"), 6), all, why);
}

#[test]
fn a_driver_without_xdp_gets_it_behind_the_driver() {
    let since = "the driver of s0, e1000e, runs no XDP programs";
    for features in [None, Some(NOTHING)] {
        check_falls_short(&driven_by("e1000e", features), GENERIC, since);
    }
    let nameless = Facts { driver: None, ..driven_by("", Some(NOTHING)) };
    let since = "the driver of s0, which does not tell its name, runs no XDP programs";
    check_falls_short(&nameless, GENERIC, since);
}

#[test]
fn a_driver_that_only_receives_only_receives() {
    let since = "the driver of s0, hv_netvsc, does not send what XDP programs redirect to it";
    check_falls_short(&driven_by("hv_netvsc", Some(RECEIVES)), NATIVE, since);
}

#[test]
fn drivers_that_send_while_a_program_is_attached_are_known() {
    for driver in SENDS_WHILE_ATTACHED {
        for features in [None, Some(RECEIVES)] {
            let facts = Facts {
                channels: Some(Channels { combined: 1, most_combined: 4, ..Channels::default() }),
                ..driven_by(driver, features)
            };
            let choice = choose(Wish::Xdp, &facts, &syn("max")).unwrap();
            assert_eq!((choice.send, choice.receive), (Send::Live, NATIVE), "{driver}");
            let choice = choose(Wish::Auto, &facts, &syn("max")).unwrap();
            assert_eq!(choice.send == Send::Live, driver != "virtio_net", "{}", choice.why);
        }
        // The kernel's word that it runs no programs counts for more than the list.
        let choice = choose(Wish::Xdp, &driven_by(driver, Some(NOTHING)), &syn("10k"));
        if driver != "ena" {
            assert_eq!(choice.unwrap().receive, GENERIC);
        }
    }
    let since = "whether s0 takes XDP programs depends on the host of this virtual machine (--link xdp tries)";
    check_falls_back(&driven_by("virtio_net", Some(RECEIVES)), since);
    // A driver on no list, by the kernel's word alone.
    let all = Some(Features { basic: true, redirect: true, ndo_xmit: true });
    for wish in [Wish::Auto, Wish::Xdp] {
        let choice = choose(wish, &driven_by("mlx5_core", all), &syn("max")).unwrap();
        assert_eq!((choice.send, choice.receive), (Send::Live, NATIVE));
    }
}

/// What another flag mends is wrong usage; what the machine lacks is not.
#[test]
fn some_refusals_are_of_what_was_asked_for() {
    let of = |facts: &Facts| choose(Wish::Xdp, facts, &syn("max")).unwrap_err().is_usage();
    assert!(of(&Facts { cpus: NonZeroUsize::new(1), ..lab() }));
    assert!(of(&Facts { is_loopback: true, ..lab() }));
    assert!(!of(&Facts { capabilities: Some(Capabilities::default()), ..lab() }));
    assert!(!of(&Facts { kernel: Some(Kernel { major: 5, minor: 10 }), ..lab() }));
    assert!(!of(&Facts { mtu: 9_001, ..ec2() }));
}

#[test]
fn what_is_not_known_counts_for_who_asks_and_against_auto() {
    let unknown = [
        (Facts { kernel: None, ..lab() }, "which kernel this is"),
        (
            Facts { is_in_initial_user_namespace: None, ..lab() },
            "in which user namespace this process is",
        ),
        (Facts { capabilities: None, ..lab() }, "which capabilities this process has"),
        (Facts { cpus: None, ..lab() }, "how many CPUs this process may use"),
        (Facts { channels: None, ..ec2() }, "how many channels the device uses, which ENA limits"),
    ];
    for (facts, what) in unknown {
        check_falls_back(&facts, &format!("it is not known {what}"));
        let choice = choose(Wish::Xdp, &facts, &syn("max")).unwrap();
        assert_eq!((choice.send, choice.receive), (Send::Live, NATIVE), "{what}");
    }
    let veth = Facts { channels: None, ..lab() };
    assert_eq!(choose(Wish::Auto, &veth, &syn("max")).unwrap().send, Send::Live);
}

#[test]
fn wishes_are_read_as_they_are_written() {
    for wish in [Wish::Auto, Wish::Packet, Wish::Xdp] {
        assert_eq!(wish.to_string().parse(), Ok(wish));
    }
    assert_eq!(Wish::default(), Wish::Auto);
    for text in ["", "XDP", "af_packet", "xdp "] {
        let error = text.parse::<Wish>().unwrap_err();
        assert_eq!(error.to_string(), format!("{text:?} is no link: give auto, packet or xdp"));
    }
}
