//! Why XDP cannot be had, and what mends it.

use std::fmt;

use super::{Kernel, MAX_RECEIVERS};
use crate::governor::Rate;

/// Why a scan cannot have XDP as it was wished for. [`reason`](Self::reason) is a clause, [`mend`](Self::mend) what to do.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The kernel has no live frames for programs, which came with Linux 5.18.
    Kernel(Kernel),
    /// The interface is loopback.
    Loopback {
        /// Its name.
        interface: String,
    },
    /// Its frames have no Ethernet header: a tun device and the like.
    NoEthernet {
        /// Its name.
        interface: String,
    },
    /// The capabilities that are missing.
    Capabilities(Vec<&'static str>),
    /// The process is in a user namespace of its own.
    UserNamespace,
    /// Another program is attached, and would have to go.
    Attached {
        /// The interface.
        interface: String,
        /// The number of the program.
        program: u32,
    },
    /// ENA takes no program while its MTU is so large.
    EnaMtu {
        /// The interface.
        interface: String,
        /// Its MTU.
        mtu: u32,
        /// The highest with which it does.
        most: u32,
    },
    /// ENA takes no program while it uses so many channels: it needs as many again to send what programs send.
    EnaChannels {
        /// The interface.
        interface: String,
        /// How many it uses.
        used: u32,
        /// How many it has.
        most: u32,
    },
    /// So many receivers cannot share what a program takes.
    Receivers(u8),
    /// The sender would take the only CPU.
    OneCpu(Rate),
    /// The driver runs no programs; the kernel does behind it, which does not pay.
    NotNative {
        /// The interface.
        interface: String,
        /// Its driver.
        driver: String,
    },
    /// A frame has to lie in one page, with room before and behind it.
    LongFrames {
        /// The interface.
        interface: String,
        /// Its MTU.
        mtu: u32,
        /// The highest with which any driver takes a program.
        most: u32,
    },
    /// A veth runs no programs unless it has a receive queue for each queue its far end sends by.
    VethQueues {
        /// The interface.
        interface: String,
    },
    /// A veth takes live frames only when its far end takes them without the kernel's stack.
    VethFarEnd {
        /// The interface.
        interface: String,
    },
    /// Threads that send live frames into one queue of a veth's far end take turns at losing them.
    VethSenders {
        /// The interface.
        interface: String,
        /// How many threads send.
        senders: u8,
        /// How many queues it has to send by.
        queues: u32,
    },
    /// The device does not send what programs redirect to it.
    NoXmit {
        /// The interface.
        interface: String,
        /// Its driver.
        driver: String,
    },
    /// What the host of a virtual machine offers decides.
    Virtio {
        /// The interface.
        interface: String,
    },
    /// A fact that has to hold and that the system does not give.
    Unknown(&'static str),
}

impl Refusal {
    /// Why not, as a clause: "the kernel is 5.10 and XDP needs 5.18".
    pub fn reason(&self) -> String {
        match self {
            Self::Kernel(kernel) => format!("the kernel is {kernel} and XDP needs 5.18"),
            Self::Loopback { interface } => {
                format!("{interface} is loopback, which has no use for XDP")
            }
            Self::NoEthernet { interface } => {
                format!("the frames of {interface} have no Ethernet header, which XDP needs")
            }
            Self::Capabilities(missing) => format!("XDP needs {}", missing.join(", ")),
            Self::UserNamespace => {
                "XDP needs rights in the machine's own user namespace, and this process is in another".to_owned()
            }
            Self::Attached { interface, program } => {
                format!("{interface} has an XDP program already, number {program}")
            }
            Self::EnaMtu { interface, mtu, most } => {
                format!("{interface} has an MTU of {mtu}, and ENA takes XDP programs up to {most}")
            }
            Self::EnaChannels { interface, used, most } => format!(
                "{interface} uses {used} of its {most} channels, and ENA takes XDP programs when at most half are used"
            ),
            Self::Receivers(receivers) => format!(
                "{receivers} threads receive, and at most {MAX_RECEIVERS} can share what XDP takes"
            ),
            Self::OneCpu(Rate::Max) => {
                "sending by XDP keeps a CPU busy, and this process may use one alone".to_owned()
            }
            Self::OneCpu(Rate::PerSecond(rate)) => format!(
                "sending {rate} frames a second by XDP keeps a CPU busy, and this process may use one alone"
            ),
            Self::NotNative { interface, driver } => {
                format!("the driver of {interface}, {driver}, runs no XDP programs")
            }
            Self::LongFrames { interface, mtu, most } => {
                format!("{interface} has an MTU of {mtu}, and drivers take XDP programs up to {most}")
            }
            Self::VethQueues { interface } => {
                format!("the far end of {interface} has more transmit queues than {interface} has receive queues")
            }
            Self::VethFarEnd { interface } => {
                format!("the far end of {interface} has neither an XDP program nor GRO")
            }
            Self::VethSenders { interface, senders, queues } => format!(
                "{senders} threads send, and {interface} is a veth with {queues} to send by: those that share a queue lose frames"
            ),
            Self::NoXmit { interface, driver } => {
                format!("the driver of {interface}, {driver}, does not send what XDP programs redirect to it")
            }
            Self::Virtio { interface } => {
                format!("whether {interface} takes XDP programs depends on the host of this virtual machine")
            }
            Self::Unknown(what) => format!("it is not known {what}"),
        }
    }

    /// Whether another flag mends it, and the machine need not change.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::OneCpu(_)
                | Self::Receivers(_)
                | Self::VethSenders { .. }
                | Self::Loopback { .. }
                | Self::NoEthernet { .. }
        )
    }

    /// What to do about it, where something can be done.
    pub fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Capabilities(_) => {
                "run with sudo, or: sudo setcap cap_net_raw,cap_net_admin,cap_bpf,cap_perfmon+ep $(command -v mrpf)".to_owned()
            }
            Self::UserNamespace => {
                "run with sudo, outside of `unshare --user`, rootless containers and `mrpf lab run` as a user".to_owned()
            }
            Self::Attached { program, .. } => {
                format!("end what attached it; `bpftool prog show id {program}` names it")
            }
            Self::EnaMtu { interface, most, .. } | Self::LongFrames { interface, most, .. } => {
                format!("sudo ip link set {interface} mtu {most}")
            }
            Self::EnaChannels { interface, most, .. } if *most > 1 => {
                format!("sudo ethtool -L {interface} combined {}", most / 2)
            }
            Self::Receivers(_) => format!("give --threads {MAX_RECEIVERS} or fewer"),
            Self::OneCpu(_) => "give a --rate below 1M, or more CPUs".to_owned(),
            Self::Loopback { .. } | Self::NoEthernet { .. } => "choose another with -i".to_owned(),
            Self::VethQueues { interface } => {
                format!("make it with as many: ip link add {interface} numrxqueues N type veth")
            }
            Self::VethSenders { queues, .. } => {
                format!("give --threads {queues}, or make it with as many: ip link add numtxqueues N numrxqueues N type veth")
            }
            Self::VethFarEnd { .. } => "at the far end: sudo ethtool -K IF gro on".to_owned(),
            Self::Virtio { .. } => "--link xdp tries".to_owned(),
            Self::Kernel(_)
            | Self::EnaChannels { .. }
            | Self::NotNative { .. }
            | Self::NoXmit { .. }
            | Self::Unknown(_) => return None,
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mend = self.mend().unwrap_or_else(|| "--link packet needs no XDP".to_owned());
        write!(f, "the xdp link cannot be used, as {}: {mend}", self.reason())
    }
}
