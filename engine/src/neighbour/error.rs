//! Why a scan has no way to its targets.

use std::net::IpAddr;

use crate::link::LinkError;

/// Why targets cannot be reached as they are described. The texts name the mend.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum NeighbourError {
    /// Asking the kernel, or the link under the questions.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// There is nothing to route.
    #[error("there are no targets, so there is nothing to find a route for")]
    NoTargets,
    /// The kernel has no route.
    #[error(
        "there is no route to {addr}: see `ip route`, add one, or name an interface with -i and its next hop with --gateway-mac"
    )]
    NoRoute {
        /// The first target without one.
        addr: IpAddr,
    },
    /// The chosen interface has no route, and no other has.
    #[error(
        "no route of interface {interface} leads to {addr}: see `ip route`, add one with `ip route add {addr} dev {interface}`, or name the next hop with --gateway-mac"
    )]
    NoRouteBy {
        /// The first target without one.
        addr: IpAddr,
        /// The interface.
        interface: String,
    },
    /// Another interface than that of the scan leads to some targets.
    #[error(
        "{addr} is reached by interface {other}, and this scan leaves by {interface}: split the targets and give each part its -i, or send all by one next hop with -i {interface} --gateway-mac"
    )]
    Elsewhere {
        /// The first such target.
        addr: IpAddr,
        /// The interface that leads there.
        other: String,
        /// The interface of the scan.
        interface: String,
    },
    /// IPv4 and IPv6 targets leave by different interfaces.
    #[error(
        "the IPv4 targets are reached by interface {v4} and the IPv6 targets by {v6}, and a scan leaves by one: scan them apart, once with --exclude ::/0 and once with --exclude 0.0.0.0/0, or send all by one of them with -i"
    )]
    TwoInterfaces {
        /// The interface of the IPv4 targets.
        v4: String,
        /// That of the IPv6 targets.
        v6: String,
    },
    /// The kernel would send to some targets from another address than to the first, as they lie in other networks or have
    /// a wider or narrower scope. Answers to the wrong one may go another way, or nowhere.
    #[error(
        "the kernel would send to {first} from {source_address} and to {addr} from {other}, and a scan has one source address of each family: say which with --source-ip, or split the targets"
    )]
    TwoSources {
        /// A target with the source address of the scan.
        first: IpAddr,
        /// That address.
        source_address: IpAddr,
        /// The first target with another.
        addr: IpAddr,
        /// The other.
        other: IpAddr,
    },
    /// A link-local target, and no link for it.
    #[error(
        "{addr} is a link-local address, which may be another host on each link: say which with -i, or exclude it"
    )]
    LinkLocal {
        /// The first such target.
        addr: IpAddr,
    },
    /// A rule of policy routing decides by ports.
    #[error(
        "rule {priority} of `ip rule` chooses the route by port, so that one target has several: name the interface with -i, which passes that rule over"
    )]
    PortRule {
        /// Its priority.
        priority: u32,
    },
    /// A route says that packets to it are not to be sent, or that it is no host.
    #[error(
        "the route to {addr} is of type {kind}: see `ip route get {addr}`, and exclude it or change the route"
    )]
    Refused {
        /// The first such target.
        addr: IpAddr,
        /// The kernel's word for it: unreachable, blackhole, prohibit, broadcast, ...
        kind: &'static str,
    },
    /// The targets are this machine.
    #[error(
        "{addr} is an address of this machine itself, so packets to it never leave it: exclude it, or scan it over loopback with -i lo"
    )]
    Own {
        /// The first target.
        addr: IpAddr,
    },
    /// The next hop has an IPv6 address only.
    #[error(
        "the route to {addr} is via an IPv6 gateway on interface {interface}, whose hardware address this version does not ask for: give --gateway-mac (see `ip -6 neighbour show dev {interface}`)"
    )]
    V6Gateway {
        /// The first such target.
        addr: IpAddr,
        /// The interface.
        interface: String,
    },
    /// The source address is not one of this machine's.
    #[error("no interface has the source address {source_address}: see `ip address`")]
    NoSource {
        /// What was asked for.
        source_address: IpAddr,
    },
    /// The source address is not one of the interface's, so answers would not come back to it.
    #[error(
        "{source_address} is not an address of interface {interface}, which has {known}: choose one of these, or another interface with -i"
    )]
    SourceElsewhere {
        /// What was asked for.
        source_address: IpAddr,
        /// The interface of the scan.
        interface: String,
        /// Its addresses.
        known: String,
    },
    /// The interface has no address to send from.
    #[error(
        "interface {interface} has no {family} address to send from (a tentative one does not count, nor a link-local one for targets beyond the link): give it one with `ip address add ADDRESS/PREFIX dev {interface}`, or choose another with -i"
    )]
    NoAddress {
        /// IPv4 or IPv6.
        family: &'static str,
        /// The interface.
        interface: String,
    },
    /// More hosts would have to be asked for than a table is kept for.
    #[error(
        "{hosts} targets are directly on interface {interface}, and the hardware addresses of at most {most} are asked for: scan fewer at a time, or name one next hop for all with --gateway-mac"
    )]
    TooMany {
        /// How many there are.
        hosts: u128,
        /// How many there may be.
        most: u64,
        /// The interface.
        interface: String,
    },
    /// A gateway does not say its hardware address.
    #[error(
        "gateway {addr} on interface {interface} does not say its hardware address: check the cable and `ip neighbour show dev {interface}`, or give its hardware address with --gateway-mac"
    )]
    Gateway {
        /// The gateway.
        addr: IpAddr,
        /// The interface.
        interface: String,
    },
}
