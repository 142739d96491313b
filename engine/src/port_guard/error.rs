//! Why source ports cannot be held.

use std::{io, net::IpAddr};

use crate::link::LinkError;

/// Why source ports cannot be had. The texts name the mend.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum PortGuardError {
    /// Another program has a port of the range that was asked for.
    #[error(
        "source port {port}/{protocol} is in use at {source_addr} (ss -lntup shows by whom): give other --source-ports, or leave the flag out"
    )]
    InUse {
        /// The port.
        port: u16,
        /// `tcp` or `udp`.
        protocol: &'static str,
        /// The address.
        source_addr: IpAddr,
    },
    /// There is no free block of ports.
    #[error(
        "no {count} consecutive source ports are free at {source_addrs} outside {low}-{high}, which connections use (net.ipv4.ip_local_port_range): give a smaller range by --source-ports, or make room with: sysctl -w net.ipv4.ip_local_port_range='{low} 60999'"
    )]
    NoneFree {
        /// How many were wanted.
        count: u16,
        /// The address, or both.
        source_addrs: String,
        /// The first port that connections use.
        low: u16,
        /// The last.
        high: u16,
    },
    /// Connections of this machine may be given ports of the range that was asked for.
    #[error(
        "source ports {first}-{last} overlap {low}-{high}, which connections of this machine use: give --source-ports outside, or move the others with: sysctl -w net.ipv4.ip_local_port_range=..."
    )]
    Ephemeral {
        /// The first port asked for.
        first: u16,
        /// The last.
        last: u16,
        /// The first port that connections use.
        low: u16,
        /// The last.
        high: u16,
    },
    /// The range that was asked for is none.
    #[error(
        "source ports {first}-{last} are no range: give the first and the last port, from 1 to 65535"
    )]
    Range {
        /// What was given for the first port.
        first: u16,
        /// What was given for the last.
        last: u16,
    },
    /// A port that needs a capability.
    #[error(
        "source port {port} is kept for privileged programs (net.ipv4.ip_unprivileged_port_start): give --source-ports from 1024 up"
    )]
    Privileged {
        /// The port.
        port: u16,
    },
    /// The address is not one of this machine.
    #[error(
        "{source_addr} is no address of this machine (ip -br addr shows them): give another --source-ip, or add it with: ip addr add"
    )]
    NotLocal {
        /// The address.
        source_addr: IpAddr,
    },
    /// The limit of open files is too low.
    #[error(
        "holding {ports} source ports needs {needed} open files and the limit is {limit}: raise it with: ulimit -n {needed}, or give fewer --source-ports"
    )]
    OpenFiles {
        /// How many ports were to be held.
        ports: u32,
        /// How many files the process would have open.
        needed: u64,
        /// The hard limit.
        limit: u64,
    },
    /// Nothing can be tested, as packets to our own address travel over loopback.
    #[error(
        "the loopback interface is down, so it cannot be tested that the kernel stays silent: ip link set lo up"
    )]
    LoopbackDown,
    /// The kernel answers on a port that is held.
    #[error(
        "the kernel answers at {source_addr}, port {port}/{protocol} ({how}), so it would cut connections of ours: look for firewall rules that reject or redirect there (nft list ruleset)"
    )]
    Answers {
        /// The address.
        source_addr: IpAddr,
        /// The port.
        port: u16,
        /// `tcp` or `udp`.
        protocol: &'static str,
        /// What came back.
        how: String,
    },
    /// The interfaces of this machine cannot be listed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The system refused something else.
    #[error("{what}: {source}")]
    Io {
        /// What was asked of the system.
        what: &'static str,
        /// Its answer.
        source: io::Error,
    },
}
