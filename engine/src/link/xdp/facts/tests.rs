use std::{
    env,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use aya::{
    Ebpf,
    programs::{Xdp, XdpMode},
};

use super::*;
use crate::link::sys::namespace::{self, ip};

/// The number of CAP_NET_RAW (linux/include/uapi/linux/capability.h).
const NET_RAW: u32 = 13;

#[track_caller]
fn of(name: &str) -> Facts {
    Facts::gather(&Interface::by_name(name).unwrap())
}

/// Whether the kernel of this machine tells what devices can do.
fn tells() -> bool {
    of("lo").kernel >= Some(Kernel { major: 6, minor: 3 })
}

/// ethtool(8) in the namespace of the calling thread; whether there is such a program, and says so where not.
#[track_caller]
fn ethtool(args: &str) -> bool {
    match Command::new("ethtool").args(args.split(' ')).status() {
        Ok(status) => assert!(status.success(), "ethtool {args}"),
        Err(error) => {
            println!("SKIPPED: this test needs ethtool(8): {error}");
            return false;
        }
    }
    true
}

#[test]
fn a_release_is_read_up_to_its_second_number() {
    let of = |release| Kernel::of(release).map(|kernel| kernel.to_string());
    assert_eq!(of("6.1.0-18-amd64\n").as_deref(), Some("6.1"));
    assert_eq!(of("5.18-rc1").as_deref(), Some("5.18"));
    assert_eq!(of("5.4.0-1103-aws").as_deref(), Some("5.4"));
    assert_eq!(of("4.14.336+").as_deref(), Some("4.14"));
    for release in ["", "6", "six.one", "6.", "99999.1", ".1", "-1.2"] {
        assert_eq!(of(release), None, "{release:?}");
    }
    assert!(Kernel { major: 6, minor: 1 } > Kernel { major: 5, minor: 18 });
    assert!(Kernel { major: 5, minor: 9 } < Kernel { major: 5, minor: 18 });
}

#[test]
fn capabilities_have_their_numbers() {
    let of = |number: u32| Capabilities::of(1 << number);
    let none = Capabilities::default();
    assert_eq!(of(12), Capabilities { net_admin: true, ..none });
    assert_eq!(of(13), Capabilities { net_raw: true, ..none });
    assert_eq!(of(21), Capabilities { sys_admin: true, ..none });
    assert_eq!(of(38), Capabilities { perfmon: true, ..none });
    assert_eq!(of(39), Capabilities { bpf: true, ..none });
    assert_eq!(of(24), none);
    assert_eq!(Capabilities::of(u64::MAX), Capabilities::ALL);
}

#[test]
fn loopback_has_no_driver() {
    let facts = of("lo");
    assert!(facts.is_loopback);
    assert_eq!((facts.interface.as_str(), facts.driver, facts.channels), ("lo", None, None));
    assert_eq!(facts.attached, None);
    assert!(facts.kernel.is_some() && facts.cpus.is_some() && facts.capabilities.is_some());
    if tells() {
        assert_eq!(facts.features, Some(Features::default()));
    }
}

#[test]
fn a_tun_device_tells_its_driver() {
    namespace::run(|| match namespace::Tun::make("t0") {
        Ok(_tun) => {
            let facts = of("t0");
            assert_eq!((facts.is_loopback, facts.driver.as_deref()), (false, Some("tun")));
        }
        Err(error) => println!("SKIPPED: this test needs a tun device: {error}"),
    });
}

#[test]
fn a_veth_sends_live_frames_to_a_far_end_with_gro() {
    namespace::run(|| {
        ip("link add v0 mtu 1400 type veth peer name v1");
        ip("link set v0 up");
        ip("link set v1 up");
        let facts = of("v0");
        assert_eq!((facts.driver.as_deref(), facts.mtu), (Some("veth"), 1_400));
        assert_eq!(facts.channels.map(|channels| (channels.rx, channels.tx)), Some((1, 1)));
        assert!(!facts.is_loopback && facts.attached.is_none());
        if !tells() {
            assert_eq!(facts.features, None);
            return;
        }
        let without = Features { basic: true, redirect: true, ndo_xmit: false };
        assert_eq!(facts.features, Some(without));
        if !ethtool("-K v1 gro on") {
            return;
        }
        assert_eq!(of("v0").features, Some(Features { ndo_xmit: true, ..without }));
        assert_eq!(of("v1").features, Some(without), "v0 has no GRO");
    });
}

#[test]
fn a_veth_with_too_few_queues_runs_no_programs() {
    namespace::run(|| {
        ip("link add v0 type veth peer name v1 numtxqueues 2");
        if ethtool("-L v1 tx 2") && tells() {
            assert_eq!(of("v0").features, Some(Features::default()));
            assert!(of("v1").features.is_some_and(|features| features.basic));
        }
    });
}

/// The program is that of the lab: it has no other business here than to be there.
#[test]
fn a_program_is_seen_and_makes_a_far_end_take_live_frames() {
    const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/lab/bpf/sink.bpf.o");
    namespace::run(|| {
        ip("link add v0 type veth peer name v1");
        ip("link set v0 up");
        ip("link set v1 up");
        if of("v1").is_in_initial_user_namespace != Some(true) {
            println!("SKIPPED: this test needs to load an XDP program");
            return;
        }
        for mode in [XdpMode::Driver, XdpMode::Skb] {
            let mut object = Ebpf::load_file(PROGRAM).unwrap();
            let program: &mut Xdp = object.program_mut("sink").unwrap().try_into().unwrap();
            program.load().unwrap();
            program.attach("v1", mode).unwrap();
            let id = program.info().unwrap().id();
            assert_eq!(of("v1").attached, Some(id));
            let near = of("v0");
            assert_eq!(near.attached, None);
            if tells() {
                // Behind the driver a program does not help: the frames would not come so far.
                let ndo_xmit = matches!(mode, XdpMode::Driver);
                let features = Features { basic: true, redirect: true, ndo_xmit };
                assert_eq!(near.features, Some(features));
            }
            drop(object);
            // A process that another test starts has the program too, from its fork to its exec.
            let until = Instant::now() + Duration::from_secs(10);
            while of("v1").attached.is_some() {
                assert!(Instant::now() < until, "the program stays");
                thread::sleep(Duration::from_millis(1));
            }
        }
    });
}

#[test]
fn without_privileges_all_but_them_is_known() {
    let had = of("lo");
    thread::spawn(move || {
        crate::link::sys::capabilities::keep(1 << NET_RAW).unwrap();
        let has = of("lo");
        let raw_alone = Capabilities {
            net_raw: had.capabilities.is_some_and(|had| had.net_raw),
            ..Capabilities::default()
        };
        assert_eq!(has.capabilities, Some(raw_alone));
        assert_eq!(Facts { capabilities: had.capabilities, ..has }, had);
    })
    .join()
    .unwrap();
}

/// Runs this test once more inside a user namespace, where root has every capability, and none that counts.
#[test]
fn a_user_namespace_of_its_own_is_known() {
    const INSIDE: &str = "MRPF_TEST_IN_USER_NAMESPACE";
    let facts = of("lo");
    if env::var_os(INSIDE).is_some() {
        assert_eq!(facts.is_in_initial_user_namespace, Some(false));
        assert!(facts.capabilities.is_some_and(|has| has.bpf && has.net_raw));
        println!("seen from inside");
        return;
    }
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user"])
        .arg(env::current_exe().unwrap())
        .args([concat!(module_path!(), "::a_user_namespace_of_its_own_is_known")
            .split_once("::")
            .unwrap()
            .1])
        .args(["--exact", "--nocapture"])
        .env(INSIDE, "")
        .output();
    let output = output.expect("unshare of util-linux");
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("unshare failed") {
        println!("SKIPPED: this test needs a user namespace: {said}");
        return;
    }
    assert!(output.status.success(), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("seen from inside"));
}
