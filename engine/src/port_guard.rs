//! Source ports of our own, on which the kernel stays silent.
//!
//! The kernel knows nothing of the SYNs that a link sends, so it would answer their SYN-ACKs with a RST and their UDP answers
//! with "port unreachable". A [`PortGuard`] makes it hold its tongue without touching the firewall: each port has a listening
//! TCP socket and a bound UDP socket, and each socket a filter that drops all it is given. The filter is there before the
//! socket has the port, so there is no moment in which it answers.
//!
//! ```text
//! SYN-ACK to source:port -> link's ring (a copy)
//!                        -> kernel: there is a listening socket -> its filter drops it -> nothing is sent
//! ```
//!
//! # What holds
//!
//! - The ports lie outside net.ipv4.ip_local_port_range, so no connection of this machine is given one of them.
//! - While a guard lives nobody else can bind its ports at its addresses: one of each family, and the same ports at both.
//! - Nothing outlives the process: its sockets go with it, however it ends.

use std::{
    collections::hash_map::RandomState,
    fmt, fs,
    hash::BuildHasher,
    io,
    mem::MaybeUninit,
    net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6},
    ops::RangeInclusive,
    time::Duration,
};

use socket2::{Domain, Socket, Type};

pub use self::error::PortGuardError;
use crate::{
    link::{interface::Interface, packet::Filter, sys::rlimit},
    sources::{Family, Sources},
};

mod error;

/// Where the kernel takes the ports of connections from (ip-sysctl in its documentation), in the namespace of the reader.
const LOCAL_PORT_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// Ports below need a capability to bind, and services live there.
const FIRST_PORT: u16 = 1024;
/// Files that the rest of the process may open beside the guard's.
const OTHER_FILES: u64 = 64;
/// How long the self-test waits for an answer over loopback, where one takes microseconds.
const LISTEN: Duration = Duration::from_millis(200);

/// Source ports held and silenced until it is dropped.
pub struct PortGuard {
    sources: Sources,
    /// The number of the interface that link-local addresses are those of.
    interface: u32,
    ports: (u16, u16),
    sockets: Vec<Socket>,
}

impl fmt::Debug for PortGuard {
    /// Without the addresses of its sockets, each of which would be asked of the kernel.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sources, interface: _, ports: (first, last), sockets } = self;
        f.write_str("PortGuard(")?;
        for addr in addrs(sources) {
            write!(f, "{addr} ")?;
        }
        write!(f, "{first}-{last}, {} sockets)", sockets.len())
    }
}

impl PortGuard {
    /// Holds the ports `ports.0..=ports.1` at each of `sources` or, when none are asked for, `count` consecutive ones that
    /// are free at all of them: above the range that connections use if there is room, else below.
    ///
    /// A link-local address means that of the interface with the number `interface`: others may have the same.
    ///
    /// Raises this process's soft limit of open files where it must: a port takes two for each address.
    ///
    /// # Errors
    ///
    /// [`PortGuardError`]; nothing is held then.
    pub fn claim(
        sources: impl Into<Sources>,
        interface: u32,
        ports: Option<(u16, u16)>,
        count: u16,
    ) -> Result<Self, PortGuardError> {
        let sources = sources.into();
        let text = fs::read_to_string(LOCAL_PORT_RANGE).map_err(|source| PortGuardError::Io {
            what: "reading /proc/sys/net/ipv4/ip_local_port_range",
            source,
        })?;
        let (low, high) = local_ports(&text).ok_or_else(|| PortGuardError::Io {
            what: "reading /proc/sys/net/ipv4/ip_local_port_range",
            source: io::ErrorKind::InvalidData.into(),
        })?;
        if let Some((first, last)) = ports {
            if first == 0 || first > last {
                return Err(PortGuardError::Range { first, last });
            }
            if first <= high && low <= last {
                return Err(PortGuardError::Ephemeral { first, last, low, high });
            }
            return Self::hold(sources, interface, first..=last);
        }
        let count = count.max(1);
        // A random block first: a scan that follows another does not inherit its late answers.
        let turn = RandomState::new().hash_one("source ports");
        for block in blocks((low, high), count, turn) {
            match Self::hold(sources, interface, block) {
                Err(PortGuardError::InUse { .. }) => {}
                held => return held,
            }
        }
        let source_addrs = addrs(&sources).map(|addr| addr.to_string()).collect::<Vec<_>>();
        Err(PortGuardError::NoneFree { count, source_addrs: source_addrs.join(" and "), low, high })
    }

    fn hold(
        sources: Sources,
        interface: u32,
        ports: RangeInclusive<u16>,
    ) -> Result<Self, PortGuardError> {
        let (first, last) = (*ports.start(), *ports.end());
        let count = u32::from(last - first) + 1;
        make_room(count, 2 * u64::from(count) * addrs(&sources).count() as u64)?;
        let filter = Filter::drop_all();
        let mut sockets = Vec::new();
        for addr in addrs(&sources) {
            for port in ports.clone() {
                let refused = |protocol| move |error| refused(error, addr, port, protocol);
                let at = at(addr, interface, port).into();
                let tcp = silent(addr, Type::STREAM, &filter)?;
                tcp.bind(&at).map_err(refused("tcp"))?;
                tcp.listen(1).map_err(refused("tcp"))?;
                let udp = silent(addr, Type::DGRAM, &filter)?;
                udp.bind(&at).map_err(refused("udp"))?;
                sockets.extend([tcp, udp]);
            }
        }
        Ok(Self { sources, interface, ports: (first, last), sockets })
    }

    /// The first and the last port held.
    pub fn ports(&self) -> (u16, u16) {
        self.ports
    }

    /// Knocks at the first port of each address, over loopback, and listens for 0.2 s whether anybody answers.
    ///
    /// # Errors
    ///
    /// [`PortGuardError::Answers`] when somebody does; [`PortGuardError::LoopbackDown`] when that cannot be known;
    /// [`PortGuardError::Io`] and [`PortGuardError::Link`] when the system refuses to knock.
    pub fn self_test(&self) -> Result<(), PortGuardError> {
        // With loopback down the kernel throws the packets away and a silence proves nothing.
        if !Interface::list()?.iter().any(|interface| interface.is_loopback() && interface.is_up())
        {
            return Err(PortGuardError::LoopbackDown);
        }
        let port = self.ports.0;
        for source_addr in addrs(&self.sources) {
            match knock(at(source_addr, self.interface, port)) {
                Ok(None) => {}
                Ok(Some((protocol, how))) => {
                    return Err(PortGuardError::Answers { source_addr, port, protocol, how });
                }
                Err(source) => {
                    let what = "testing over loopback that the kernel stays silent";
                    return Err(PortGuardError::Io { what, source });
                }
            }
        }
        Ok(())
    }
}

/// The addresses there are.
fn addrs(sources: &Sources) -> impl Iterator<Item = IpAddr> {
    let sources = *sources;
    [Family::V4, Family::V6].into_iter().filter_map(move |family| sources.of(family))
}

/// A port of an address, which means nothing without its interface if it is link-local.
fn at(addr: IpAddr, interface: u32, port: u16) -> SocketAddr {
    match addr {
        IpAddr::V4(addr) => SocketAddrV4::new(addr, port).into(),
        IpAddr::V6(addr) => {
            let scope_id = if addr.is_unicast_link_local() { interface } else { 0 };
            SocketAddrV6::new(addr, port, 0, scope_id).into()
        }
    }
}

/// Sends a SYN and a datagram. What came back for one of them within [`LISTEN`], if anything did, and by which protocol.
fn knock(at: SocketAddr) -> io::Result<Option<(&'static str, String)>> {
    let udp = Socket::new(Domain::for_address(at), Type::DGRAM, None)?;
    udp.set_nonblocking(true)?;
    udp.connect(&at.into())?;
    udp.send(&[0])?;
    let tcp = Socket::new(Domain::for_address(at), Type::STREAM, None)?;
    match tcp.connect_timeout(&at.into(), LISTEN) {
        Ok(()) => return Ok(Some(("tcp", "it completed a handshake".to_owned()))),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
        Err(error) => return came_back(error).map(|how| Some(("tcp", how))),
    }
    match udp.recv(&mut [MaybeUninit::uninit(); 1]) {
        Ok(_) => Ok(Some(("udp", "it sent a datagram".to_owned()))),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => came_back(error).map(|how| Some(("udp", how))),
    }
}

/// An error that the far end caused is an answer; any other is ours. By the time of asking a packet has left for the address,
/// so these are a RST or what the kernel makes of an ICMP message: rules that reject may choose any code.
fn came_back(error: io::Error) -> io::Result<String> {
    match error.raw_os_error() {
        Some(
            libc::ECONNREFUSED
            | libc::ECONNRESET
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH
            | libc::EACCES
            | libc::ENOPROTOOPT
            | libc::EOPNOTSUPP
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EPROTO,
        ) => Ok(error.to_string()),
        _ => Err(error),
    }
}

/// A socket without a port, of the family of `addr`, whose filter drops all it will be given.
fn silent(addr: IpAddr, kind: Type, filter: &Filter) -> Result<Socket, PortGuardError> {
    let opening = |source| PortGuardError::Io { what: "opening a socket", source };
    let domain = if addr.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, kind, None).map_err(opening)?;
    if addr.is_ipv6() {
        // The IPv4 ports have sockets of their own.
        socket.set_only_v6(true).map_err(opening)?;
    }
    filter
        .attach(&socket)
        .map_err(|source| PortGuardError::Io { what: "attaching a filter to a socket", source })?;
    Ok(socket)
}

fn refused(
    error: io::Error,
    source_addr: IpAddr,
    port: u16,
    protocol: &'static str,
) -> PortGuardError {
    match error.raw_os_error() {
        Some(libc::EADDRINUSE) => PortGuardError::InUse { port, protocol, source_addr },
        Some(libc::EADDRNOTAVAIL | libc::ENODEV) => PortGuardError::NotLocal { source_addr },
        Some(libc::EACCES) => PortGuardError::Privileged { port },
        _ => PortGuardError::Io { what: "binding a source port", source: error },
    }
}

/// Makes sure that the sockets of so many ports can be opened.
fn make_room(ports: u32, sockets: u64) -> Result<(), PortGuardError> {
    // Without /proc the margin alone must do.
    let open = fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64);
    let needed = open + OTHER_FILES + sockets;
    let limit = rlimit::raise_open_files(needed)
        .map_err(|source| PortGuardError::Io { what: "raising the limit of open files", source })?;
    if limit < needed { Err(PortGuardError::OpenFiles { ports, needed, limit }) } else { Ok(()) }
}

/// First and last port of `ip_local_port_range`.
fn local_ports(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split_whitespace().map(|word| word.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// The blocks of `count` ports outside `low..=high`: those above it first, then those below, each from the `turn`-th on.
///
/// Blocks do not overlap, so of two processes that want the same one the first to bind its first port gets all of it.
fn blocks(
    (low, high): (u16, u16),
    count: u16,
    turn: u64,
) -> impl Iterator<Item = RangeInclusive<u16>> {
    let above = (u32::from(high) + 1).max(FIRST_PORT.into())..0x1_0000;
    let below = u32::from(FIRST_PORT)..low.into();
    [above, below].into_iter().flat_map(move |side| {
        let blocks = side.end.saturating_sub(side.start) / u32::from(count);
        (0..blocks).map(move |number| {
            let number = (u64::from(number) + turn % u64::from(blocks)) % u64::from(blocks);
            // Both ends are below 2^16, as the side's are.
            let first = (side.start + number as u32 * u32::from(count)) as u16;
            first..=first + (count - 1)
        })
    })
}

#[cfg(test)]
mod tests;
