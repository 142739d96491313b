//! What a machine and an interface have that XDP needs, found out without sending or changing anything.
//!
//! ```text
//! capget(2), /proc       -> capabilities, user namespace, kernel, CPUs --.
//! SIOCETHTOOL            -> driver, channels ----------------------------+--> Facts --> choose
//! rtnetlink, "netdev"    -> programs attached, what the device can do ---'
//! ```
//!
//! A fact that the system does not give is unknown (`None`), and nothing more: gathering never fails a scan. It judges
//! nothing either, which is for [`choose`](super::choose).

use std::{fmt, fs, num::NonZeroUsize, os::unix::fs::MetadataExt as _, thread};

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage, LinkXdp},
};

use super::super::{
    interface::Interface,
    sys::{capabilities, driver, netdev, netlink::Netlink},
};

/// The inode of the user namespace that Linux starts with (PROC_USER_INIT_INO, linux/include/uapi/linux/nsfs.h).
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// What held when it was asked for, for the calling thread and one interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Facts {
    /// The name of the interface.
    pub interface: String,
    /// Whether what is sent comes back to this machine.
    pub is_loopback: bool,
    /// The longest IP packet that it carries, in octets.
    pub mtu: u32,
    /// What the calling thread may do.
    pub capabilities: Option<Capabilities>,
    /// Whether the process is in the user namespace that Linux started with. Capabilities in another do not count for BPF
    /// (linux/kernel/bpf: `capable`, not `ns_capable`).
    pub is_in_initial_user_namespace: Option<bool>,
    /// The kernel.
    pub kernel: Option<Kernel>,
    /// How many CPUs the process may use, by its affinity and by the quota of its control group.
    pub cpus: Option<NonZeroUsize>,
    /// Who drives the interface: `ena`, `virtio_net`, `veth`, ...
    pub driver: Option<String>,
    /// Its queues.
    pub channels: Option<Channels>,
    /// What XDP it has, by the kernel's own word: Linux 6.3 and later give it.
    pub features: Option<Features>,
    /// The XDP program on it, by the number that bpftool(8) shows.
    pub attached: Option<u32>,
}

impl Facts {
    /// Asks the system, in the network namespace of the calling thread. Sends nothing, changes nothing, needs no privileges.
    pub fn gather(interface: &Interface) -> Self {
        let name = interface.name();
        let told = driver::channels(name).ok().flatten();
        Self {
            interface: name.to_owned(),
            is_loopback: interface.is_loopback(),
            mtu: interface.mtu(),
            capabilities: capabilities::effective().ok().map(Capabilities::of),
            is_in_initial_user_namespace: fs::metadata("/proc/thread-self/ns/user")
                .ok()
                .map(|namespace| namespace.ino() == INITIAL_USER_NAMESPACE),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .ok()
                .and_then(|release| Kernel::of(&release)),
            cpus: thread::available_parallelism().ok(),
            driver: driver::driver(name).ok().flatten(),
            channels: told.map(|counts| Channels {
                rx: counts.rx,
                tx: counts.tx,
                combined: counts.combined,
                most_combined: counts.most_combined,
            }),
            features: netdev::xdp_features(interface.index()).ok().flatten().map(Features::of),
            attached: attached(interface.index()),
        }
    }
}

/// Effective capabilities (capabilities(7)) that a link has to do with.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Capabilities {
    /// CAP_NET_RAW: packet sockets.
    pub net_raw: bool,
    /// CAP_NET_ADMIN: XDP programs, and attaching them.
    pub net_admin: bool,
    /// CAP_BPF: maps and programs, since Linux 5.8.
    pub bpf: bool,
    /// CAP_PERFMON: programs that compute with pointers, and tracing, since Linux 5.8.
    pub perfmon: bool,
    /// CAP_SYS_ADMIN, which includes CAP_BPF and CAP_PERFMON.
    pub sys_admin: bool,
}

impl Capabilities {
    /// All of them.
    pub const ALL: Self =
        Self { net_raw: true, net_admin: true, bpf: true, perfmon: true, sys_admin: true };

    /// Of a set in which bit `n` is the capability with number `n`.
    fn of(set: u64) -> Self {
        let has = |number: u32| set & 1 << number != 0;
        Self {
            net_admin: has(12),
            net_raw: has(13),
            sys_admin: has(21),
            perfmon: has(38),
            bpf: has(39),
        }
    }
}

/// The version of a kernel, as far as it tells what the kernel has.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Kernel {
    /// The 5 of 5.18.
    pub major: u16,
    /// The 18 of 5.18.
    pub minor: u16,
}

impl Kernel {
    /// From a release such as `6.1.0-18-amd64`, `5.18-rc1` or `6.8`.
    fn of(release: &str) -> Option<Self> {
        let mut numbers = release.trim().split(|c: char| !c.is_ascii_digit());
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        Some(Self { major, minor })
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Queues with an interrupt of their own, in use but for the last.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Channels {
    /// Those that only receive.
    pub rx: u32,
    /// Those that only send.
    pub tx: u32,
    /// Those that do both.
    pub combined: u32,
    /// How many that do both there can be.
    pub most_combined: u32,
}

/// What XDP a device has (linux/Documentation/netlink/specs/netdev.yaml, `xdp-act`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Features {
    /// Programs run in its driver.
    pub basic: bool,
    /// They may redirect what it receives to other devices.
    pub redirect: bool,
    /// It sends what programs redirect to it. Many drivers say so only while a program is attached.
    pub ndo_xmit: bool,
}

impl Features {
    fn of(bits: u64) -> Self {
        let has = |bit: u64| bits & bit != 0;
        Self {
            basic: has(netdev::XDP_BASIC),
            redirect: has(netdev::XDP_REDIRECT),
            ndo_xmit: has(netdev::XDP_NDO_XMIT),
        }
    }
}

/// The program on the interface number `index`, by IFLA_XDP of rtnetlink(7).
fn attached(index: u32) -> Option<u32> {
    let mut question = LinkMessage::default();
    question.header.index = index;
    let answer = Netlink::open().ok()?.ask(RouteNetlinkMessage::GetLink(question)).ok()?;
    let link = answer.iter().find_map(|message| match message {
        RouteNetlinkMessage::NewLink(link) => Some(link),
        _ => None,
    })?;
    let told = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Xdp(told) => Some(told),
        _ => None,
    })?;
    told.iter().find_map(|fact| match fact {
        LinkXdp::ProgId(id)
        | LinkXdp::DrvProgId(id)
        | LinkXdp::SkbProgId(id)
        | LinkXdp::HwProgId(id) => Some(*id),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
