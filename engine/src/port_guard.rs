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
//! - While a guard lives nobody else can bind its ports at its address.
//! - Nothing outlives the process: its sockets go with it, however it ends.

use std::{
    collections::hash_map::RandomState,
    fmt, fs,
    hash::BuildHasher,
    io,
    mem::MaybeUninit,
    net::{Ipv4Addr, SocketAddrV4},
    ops::RangeInclusive,
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use crate::link::{LinkError, interface::Interface, packet::Filter, sys::rlimit};

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
    source: Ipv4Addr,
    ports: (u16, u16),
    sockets: Vec<Socket>,
}

impl fmt::Debug for PortGuard {
    /// Without the addresses of its sockets, each of which would be asked of the kernel.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, ports: (first, last), sockets } = self;
        write!(f, "PortGuard({source} {first}-{last}, {} sockets)", sockets.len())
    }
}

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
        source_addr: Ipv4Addr,
    },
    /// There is no free block of ports.
    #[error(
        "no {count} consecutive source ports are free at {source_addr} outside {low}-{high}, which connections use (net.ipv4.ip_local_port_range): give a smaller range by --source-ports, or make room with: sysctl -w net.ipv4.ip_local_port_range='{low} 60999'"
    )]
    NoneFree {
        /// How many were wanted.
        count: u16,
        /// The address.
        source_addr: Ipv4Addr,
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
        "{source_addr} is no address of this machine (ip -br addr shows them): give another --source, or add it with: ip addr add"
    )]
    NotLocal {
        /// The address.
        source_addr: Ipv4Addr,
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
        source_addr: Ipv4Addr,
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

impl PortGuard {
    /// Holds the ports `ports.0..=ports.1` at `source` or, when none are asked for, `count` consecutive ones that are free:
    /// above the range that connections use if there is room, else below.
    ///
    /// Raises this process's soft limit of open files where it must: a port takes two.
    ///
    /// # Errors
    ///
    /// [`PortGuardError`]; nothing is held then.
    pub fn claim(
        source: Ipv4Addr,
        ports: Option<(u16, u16)>,
        count: u16,
    ) -> Result<Self, PortGuardError> {
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
            return Self::hold(source, first..=last);
        }
        let count = count.max(1);
        // A random block first: a scan that follows another does not inherit its late answers.
        let turn = RandomState::new().hash_one("source ports");
        for block in blocks((low, high), count, turn) {
            match Self::hold(source, block) {
                Err(PortGuardError::InUse { .. }) => {}
                held => return held,
            }
        }
        Err(PortGuardError::NoneFree { count, source_addr: source, low, high })
    }

    fn hold(source: Ipv4Addr, ports: RangeInclusive<u16>) -> Result<Self, PortGuardError> {
        let (first, last) = (*ports.start(), *ports.end());
        make_room(u32::from(last - first) + 1)?;
        let filter = Filter::drop_all();
        let mut sockets = Vec::new();
        for port in ports {
            let refused = |protocol| move |error| refused(error, source, port, protocol);
            let tcp = silent(Type::STREAM, &filter)?;
            tcp.bind(&SocketAddrV4::new(source, port).into()).map_err(refused("tcp"))?;
            tcp.listen(1).map_err(refused("tcp"))?;
            let udp = silent(Type::DGRAM, &filter)?;
            udp.bind(&SocketAddrV4::new(source, port).into()).map_err(refused("udp"))?;
            sockets.extend([tcp, udp]);
        }
        Ok(Self { source, ports: (first, last), sockets })
    }

    /// The first and the last port held.
    pub fn ports(&self) -> (u16, u16) {
        self.ports
    }

    /// Knocks at the first port, over loopback, and listens for 0.2 s whether anybody answers.
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
        let (source_addr, port) = (self.source, self.ports.0);
        match knock(SocketAddrV4::new(source_addr, port)) {
            Ok(None) => Ok(()),
            Ok(Some((protocol, how))) => {
                Err(PortGuardError::Answers { source_addr, port, protocol, how })
            }
            Err(source) => {
                let what = "testing over loopback that the kernel stays silent";
                Err(PortGuardError::Io { what, source })
            }
        }
    }
}

/// Sends a SYN and a datagram. What came back for one of them within [`LISTEN`], if anything did, and by which protocol.
fn knock(at: SocketAddrV4) -> io::Result<Option<(&'static str, String)>> {
    let udp = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    udp.set_nonblocking(true)?;
    udp.connect(&at.into())?;
    udp.send(&[0])?;
    let tcp = Socket::new(Domain::IPV4, Type::STREAM, None)?;
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

/// An error that the far end caused is an answer; any other is ours.
fn came_back(error: io::Error) -> io::Result<String> {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable};
    match error.kind() {
        ConnectionRefused | ConnectionReset | HostUnreachable => Ok(error.to_string()),
        _ => Err(error),
    }
}

/// A socket without a port whose filter drops all it will be given.
fn silent(kind: Type, filter: &Filter) -> Result<Socket, PortGuardError> {
    let socket = Socket::new(Domain::IPV4, kind, None);
    let socket =
        socket.map_err(|source| PortGuardError::Io { what: "opening a socket", source })?;
    filter
        .attach(&socket)
        .map_err(|source| PortGuardError::Io { what: "attaching a filter to a socket", source })?;
    Ok(socket)
}

fn refused(
    error: io::Error,
    source_addr: Ipv4Addr,
    port: u16,
    protocol: &'static str,
) -> PortGuardError {
    match error.raw_os_error() {
        Some(libc::EADDRINUSE) => PortGuardError::InUse { port, protocol, source_addr },
        Some(libc::EADDRNOTAVAIL) => PortGuardError::NotLocal { source_addr },
        Some(libc::EACCES) => PortGuardError::Privileged { port },
        _ => PortGuardError::Io { what: "binding a source port", source: error },
    }
}

/// Makes sure that the sockets of so many ports can be opened.
fn make_room(ports: u32) -> Result<(), PortGuardError> {
    // Without /proc the margin alone must do.
    let open = fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64);
    let needed = open + OTHER_FILES + 2 * u64::from(ports);
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An address of loopback for each test: they run side by side and must not take one another's ports.
    const fn here(test: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, 0, 61, test)
    }

    fn bound(kind: Type, here: Ipv4Addr, port: u16) -> Socket {
        let socket = Socket::new(Domain::IPV4, kind, None).unwrap();
        socket.bind(&SocketAddrV4::new(here, port).into()).unwrap();
        socket
    }

    fn port_of(socket: &Socket) -> u16 {
        socket.local_addr().unwrap().as_socket().unwrap().port()
    }

    #[test]
    fn ports_are_free_consecutive_and_silent() {
        let guard = PortGuard::claim(here(1), None, 16).unwrap();
        let (first, last) = guard.ports();
        assert_eq!(last - first, 15);
        assert_eq!(guard.sockets.len(), 32);
        let text = fs::read_to_string(LOCAL_PORT_RANGE).unwrap();
        let (low, high) = local_ports(&text).unwrap();
        assert!(last < low || first > high);
        guard.self_test().unwrap();
        assert_eq!(
            format!("{guard:?}"),
            format!("PortGuard({} {first}-{last}, 32 sockets)", here(1))
        );
    }

    #[test]
    fn two_guards_do_not_share_a_port() {
        let one = PortGuard::claim(here(2), None, 100).unwrap();
        let other = PortGuard::claim(here(2), None, 100).unwrap();
        assert!(one.ports().1 < other.ports().0 || other.ports().1 < one.ports().0);
    }

    #[test]
    fn a_range_is_taken_as_it_is_and_given_back() {
        let range = PortGuard::claim(here(3), None, 4).unwrap().ports();
        let guard = PortGuard::claim(here(3), Some(range), 256).unwrap();
        assert_eq!(guard.ports(), range);
        let again = PortGuard::claim(here(3), Some(range), 256).unwrap_err();
        assert!(
            matches!(again, PortGuardError::InUse { port, protocol: "tcp", .. } if port == range.0),
            "{again}"
        );
        drop(guard);
        let _udp = bound(Type::DGRAM, here(3), range.1);
        let again = PortGuard::claim(here(3), Some(range), 256).unwrap_err();
        assert!(
            matches!(again, PortGuardError::InUse { port, protocol: "udp", .. } if port == range.1),
            "{again}"
        );
    }

    #[test]
    fn ranges_that_cannot_be_are_refused() {
        for (first, last) in [(0, 10), (0, 0), (62_000, 61_000)] {
            let error = PortGuard::claim(here(4), Some((first, last)), 1).unwrap_err();
            assert!(matches!(error, PortGuardError::Range { .. }), "{error}");
        }
        let text = fs::read_to_string(LOCAL_PORT_RANGE).unwrap();
        let (low, high) = local_ports(&text).unwrap();
        for range in [(low, low), (high, high), (low, high), (1, u16::MAX)] {
            let error = PortGuard::claim(here(4), Some(range), 1).unwrap_err();
            assert!(matches!(error, PortGuardError::Ephemeral { .. }), "{range:?}: {error}");
        }
    }

    #[test]
    fn an_address_of_others_is_refused() {
        let error = PortGuard::claim(Ipv4Addr::new(192, 0, 2, 1), None, 1).unwrap_err();
        assert!(matches!(error, PortGuardError::NotLocal { .. }), "{error}");
        assert!(error.to_string().contains("--source"));
    }

    /// The self-test of a guard that holds nothing, at a port where the kernel answers.
    #[track_caller]
    fn check_answers(port: u16, expected: &str) {
        let guard = PortGuard { source: here(5), ports: (port, port), sockets: Vec::new() };
        match guard.self_test() {
            Err(PortGuardError::Answers { protocol, port: at, .. }) => {
                assert_eq!((protocol, at), (expected, port))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_is_heard() {
        let closed = bound(Type::STREAM, here(5), 0); // bound but not listening: nobody else gets the port, and it is closed
        check_answers(port_of(&closed), "tcp");
        let open = bound(Type::STREAM, here(5), 0);
        open.listen(1).unwrap();
        check_answers(port_of(&open), "tcp");
        let silent = silent(Type::STREAM, &Filter::drop_all()).unwrap();
        silent.bind(&SocketAddrV4::new(here(5), 0).into()).unwrap();
        silent.listen(1).unwrap();
        check_answers(port_of(&silent), "udp");
    }

    #[test]
    fn the_kernels_range_is_read() {
        assert_eq!(local_ports("32768\t60999\n"), Some((32_768, 60_999)));
        for text in ["", "32768", "a b", "1 65536"] {
            assert_eq!(local_ports(text), None, "{text:?}");
        }
    }

    #[test]
    fn blocks_above_come_before_blocks_below() {
        let firsts = |range, count, turn| {
            blocks(range, count, turn).map(|block| *block.start()).collect::<Vec<_>>()
        };
        assert_eq!(firsts((1_030, 65_530), 2, 0), [65_531, 65_533, 1_024, 1_026, 1_028]);
        assert_eq!(firsts((1_030, 65_530), 2, 1), [65_533, 65_531, 1_026, 1_028, 1_024]);
        assert_eq!(firsts((1, 65_535), 1, 7), []);
        assert_eq!(firsts((0, 0), 64_512, 7), [1_024]);
        assert_eq!(firsts((32_768, 60_999), 65_535, 7), []);
    }

    proptest! {
        /// Blocks are of the size asked for, apart from one another, and outside the range and the privileged ports.
        #[test]
        fn blocks_are_disjoint_and_outside(low: u16, len in 0_u16..=u16::MAX, count in 500_u16.., turn: u64) {
            let high = low.saturating_add(len);
            let mut found = blocks((low, high), count, turn).collect::<Vec<_>>();
            found.sort_by_key(|block| *block.start());
            for block in &found {
                prop_assert_eq!(block.len(), usize::from(count));
                prop_assert!(*block.start() >= FIRST_PORT && (*block.end() < low || *block.start() > high));
            }
            prop_assert!(found.windows(2).all(|pair| pair[0].end() < pair[1].start()));
        }
    }
}
