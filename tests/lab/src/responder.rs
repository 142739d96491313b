//! Hosts that answer frame by frame: the engine's simulated ones on a real wire.
//!
//! A thread with a packet socket on the world's device gives each frame for its prefixes to [`Hosts`] and sends what they
//! answer, late ones by a queue of its own. The kernel of the world has a blackhole for those prefixes, or it would answer
//! too; for a prefix on the link itself it has nothing to say, and the hosts answer ARP instead.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fmt,
    io::{self, ErrorKind, Read},
    mem,
    os::fd::{AsRawFd, RawFd},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use mio::{Events, Interest, Poll, Token, Waker, unix::SourceFd};
use mrpf_engine::{
    link::{
        LinkLayer,
        sim::hosts::{HostCounts, Hosts},
    },
    time::{Clock, Instant},
};
use nix::{
    ifaddrs::getifaddrs,
    sys::socket::{LinkAddr, bind, setsockopt, sockopt},
};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::{LabError, Prefix, error::asking, veth};

/// A prefix and the hosts in it.
#[derive(Debug)]
pub struct Responder {
    /// Where they are: inside 198.19.0.0/16, or on the link beside the scanner, 198.18.0.0/16, where they must
    /// [own](Hosts::owning) their addresses to be found.
    pub prefix: Prefix,
    /// How they answer.
    pub hosts: Hosts,
}

/// Room for what arrives while the thread is not running, in octets: about 80,000 SYNs.
pub(crate) const RECEIVE_BUFFER: usize = 64 << 20;
/// How many frames are answered before the clock and the queue are looked at.
const BATCH: usize = 64;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const WAKER: Token = Token(usize::MAX);

/// The thread; ends when dropped.
pub(crate) struct Running {
    waker: Waker,
    counts: Arc<Mutex<HostCounts>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Answers on the world's device, which must be in the calling thread's namespace.
    pub(crate) fn start(responders: Vec<Responder>) -> Result<Self, LabError> {
        let prefixes: Vec<_> = responders.iter().map(|responder| responder.prefix).collect();
        let on_link = prefixes.iter().any(|prefix| veth::LINK.covers(*prefix));
        let opening = "opening a packet socket in the lab";
        let mut sockets = vec![open(ETHERTYPE_IPV4, &prefixes).map_err(asking(opening))?];
        if on_link {
            sockets.push(open(ETHERTYPE_ARP, &prefixes).map_err(asking(opening))?);
        }
        let poll = Poll::new().map_err(asking("making an epoll"))?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(asking("making an eventfd"))?;
        for (index, socket) in sockets.iter().enumerate() {
            let fd: RawFd = socket.as_raw_fd();
            poll.registry()
                .register(&mut SourceFd(&fd), Token(index), Interest::READABLE)
                .map_err(asking("watching a packet socket"))?;
        }
        let counts = Arc::new(Mutex::new(HostCounts::default()));
        let mut answerer = Answerer {
            worlds: responders,
            sockets,
            clock: Clock::start(),
            outbox: Outbox::default(),
            counts: Arc::clone(&counts),
        };
        // The most specific prefix that holds an address answers for it.
        answerer.worlds.sort_by_key(|responder| Reverse(responder.prefix.len()));
        let thread = thread::Builder::new()
            .name("lab-responder".to_owned())
            .spawn(move || answerer.run(poll))
            .map_err(asking("starting a thread"))?;
        Ok(Self { waker, counts, thread: Some(thread) })
    }

    /// What its hosts saw and did, as of a moment ago.
    pub(crate) fn counts(&self) -> Arc<Mutex<HostCounts>> {
        Arc::clone(&self.counts)
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Without a wake the thread would be waited for in vain.
        if self.waker.wake().is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

/// A packet socket on the world's device that sees frames of one type for `prefixes`, and none that leave: a socket of one
/// type is not shown those (packet(7)).
fn open(ethertype: u16, prefixes: &[Prefix]) -> io::Result<Socket> {
    let socket =
        Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(i32::from(ethertype.to_be()))))?;
    socket.attach_filter(&filter(ethertype, prefixes))?;
    // The one that ignores the system's limit is not for user namespaces of every kernel.
    if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    bind(socket.as_raw_fd(), &device_addr()?)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The world's device as an address that a packet socket can be bound to.
pub(crate) fn device_addr() -> io::Result<LinkAddr> {
    device_addr_of(veth::WORLD)
}

/// The device of `end`, in the calling thread's namespace, as such an address.
pub(crate) fn device_addr_of(end: veth::End) -> io::Result<LinkAddr> {
    getifaddrs()?
        .filter(|interface| interface.interface_name == end.device)
        .find_map(|interface| interface.address?.as_link_addr().copied())
        .ok_or_else(|| io::Error::new(ErrorKind::NotFound, format!("no {}", end.device)))
}

/// Lets frames to `prefixes` through: for each, load the destination, mask, compare (BPF, `man 2 bpf` and
/// linux/Documentation/networking/filter.rst).
fn filter(ethertype: u16, prefixes: &[Prefix]) -> Vec<SockFilter> {
    const LOAD_WORD: u16 = 0x20;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let offset = destination_offset(ethertype) as u32;
    let mut program = Vec::new();
    for prefix in prefixes {
        let mask = !(prefix.first().to_bits() ^ prefix.last().to_bits());
        program.push(SockFilter::new(LOAD_WORD, 0, 0, offset));
        program.push(SockFilter::new(AND, 0, 0, mask));
        program.push(SockFilter::new(JUMP_IF_EQUAL, 0, 1, prefix.first().to_bits()));
        program.push(SockFilter::new(RETURN, 0, 0, u32::from(u16::MAX)));
    }
    program.push(SockFilter::new(RETURN, 0, 0, 0));
    program
}

/// Where a frame names the host it is for: the destination of IPv4 (RFC 791), the target of ARP (RFC 826).
fn destination_offset(ethertype: u16) -> usize {
    if ethertype == ETHERTYPE_ARP { 14 + 24 } else { 14 + 16 }
}

/// Frames that wait for their moment, earliest first and in the order they were made.
#[derive(Debug, Default)]
struct Outbox {
    waiting: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>>,
    made: u64,
}

impl Outbox {
    fn push(&mut self, due: Instant, frame: &[u8]) {
        self.made += 1;
        self.waiting.push(Reverse((due, self.made, frame.to_vec())));
    }

    fn next_due(&self) -> Instant {
        self.waiting.peek().map_or(Instant::NEVER, |Reverse((due, ..))| *due)
    }

    fn pop_due(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.next_due() > now {
            return None;
        }
        self.waiting.pop().map(|Reverse((_, _, frame))| frame)
    }
}

struct Answerer {
    worlds: Vec<Responder>,
    sockets: Vec<Socket>,
    clock: Clock,
    outbox: Outbox,
    counts: Arc<Mutex<HostCounts>>,
}

impl Answerer {
    fn run(&mut self, mut poll: Poll) {
        let mut events = Events::with_capacity(4);
        let mut buffer = vec![0; usize::from(u16::MAX)];
        loop {
            let mut is_idle = true;
            for index in 0..self.sockets.len() {
                match self.answer_some(index, &mut buffer) {
                    Ok(answered) => is_idle &= answered < BATCH,
                    // The device is gone, and the world with it.
                    Err(_) => return,
                }
            }
            let next = self.send_due();
            self.publish();
            let wait = if is_idle { next } else { Some(Duration::ZERO) };
            match poll.poll(&mut events, wait) {
                Ok(()) if events.iter().any(|event| event.token() == WAKER) => return,
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    /// Answers up to [`BATCH`] frames of one socket.
    fn answer_some(&mut self, index: usize, buffer: &mut [u8]) -> io::Result<usize> {
        let Self { worlds, sockets, clock, outbox, .. } = self;
        let now = clock.now();
        for answered in 0..BATCH {
            let len = match (&sockets[index]).read(buffer) {
                Ok(len) => len,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return Ok(answered),
                    ErrorKind::Interrupted => continue,
                    _ => return Err(error),
                },
            };
            let frame = &mut buffer[..len];
            let Some(world) = world_of(worlds, frame) else { continue };
            complete_checksum(frame);
            let socket = &sockets[0];
            world.hosts.answer(frame, LinkLayer::Ethernet, &mut |delay, reply| {
                if delay.is_zero() {
                    send(socket, reply);
                } else {
                    outbox.push(now + delay, reply);
                }
            });
        }
        Ok(BATCH)
    }

    /// Sends what is due and gives back how long nothing will be.
    fn send_due(&mut self) -> Option<Duration> {
        let Self { worlds, sockets, clock, outbox, .. } = self;
        let now = clock.now();
        let mut next = Instant::NEVER;
        for world in worlds {
            world.hosts.advance(now, &mut |delay, reply| outbox.push(now + delay, reply));
            next = next.min(world.hosts.next_due());
        }
        while let Some(frame) = outbox.pop_due(now) {
            send(&sockets[0], &frame);
        }
        next = next.min(outbox.next_due());
        (next != Instant::NEVER).then(|| next.since(now))
    }

    fn publish(&self) {
        let mut sum = HostCounts::default();
        for world in &self.worlds {
            add(&mut sum, world.hosts.counters());
        }
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = sum;
    }
}

fn world_of<'a>(worlds: &'a mut [Responder], frame: &[u8]) -> Option<&'a mut Responder> {
    let ethertype = u16::from_be_bytes([*frame.get(12)?, *frame.get(13)?]);
    let at = destination_offset(ethertype);
    let octets: [u8; 4] = frame.get(at..at + 4)?.try_into().ok()?;
    worlds.iter_mut().find(|world| world.prefix.contains(octets.into()))
}

/// Sends `frame`, waiting a moment when the device is busy. One that it does not take then is lost, as on any wire.
fn send(socket: &Socket, frame: &[u8]) {
    const TRIES: usize = 100;
    for _ in 0..TRIES {
        match socket.send(frame) {
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                thread::yield_now();
            }
            _ => return,
        }
    }
}

/// Completes the TCP checksum of a segment that the scanner's own kernel sent: over veth it leaves the sum to a device
/// that does not exist, with the sum of the pseudo-header in its place (linux/include/linux/skbuff.h, CHECKSUM_PARTIAL).
fn complete_checksum(frame: &mut [u8]) {
    const TCP: u8 = 6;
    let Some(ip) = frame.get_mut(14..) else { return };
    let header_len = ip.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    let total_len = ip.get(2..4).map_or(0, |len| usize::from(u16::from_be_bytes([len[0], len[1]])));
    if header_len < 20 || total_len < header_len + 20 || total_len > ip.len() || ip[9] != TCP {
        return;
    }
    let tcp_len = (total_len - header_len) as u32;
    let pseudo_header = fold(sum(&ip[12..20]) + u32::from(TCP) + tcp_len);
    let segment = &mut ip[header_len..total_len];
    if segment[16..18] != pseudo_header.to_be_bytes() {
        return;
    }
    // The field holds the first part of the sum already.
    let checksum = !fold(sum(segment));
    segment[16..18].copy_from_slice(&checksum.to_be_bytes());
}

/// RFC 1071, before the carries are added: for less than 2^17 octets.
fn sum(octets: &[u8]) -> u32 {
    let pairs = octets.chunks(2);
    pairs.map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum()
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn add(sum: &mut HostCounts, more: HostCounts) {
    // By name, so that a new counter is missed by the compiler and not by a reader.
    let HostCounts {
        frames,
        ignored,
        bad_checksums,
        arp_answers,
        ndp_answers,
        syns_unclaimed,
        syns_open,
        syns_closed,
        syns_silent,
        syns_unreachable,
        syns_challenged,
        syns_odd,
        syns_speaking,
        syns_lost,
        datagrams,
        datagrams_said,
        datagrams_unclaimed,
        datagrams_lost,
        resets,
        stray_resets,
        completed,
        retransmitted,
        expired,
        untracked,
        said_again,
        challenged,
        strangers,
    } = mem::take(sum);
    *sum = HostCounts {
        frames: frames + more.frames,
        ignored: ignored + more.ignored,
        bad_checksums: bad_checksums + more.bad_checksums,
        arp_answers: arp_answers + more.arp_answers,
        ndp_answers: ndp_answers + more.ndp_answers,
        syns_unclaimed: syns_unclaimed + more.syns_unclaimed,
        syns_open: syns_open + more.syns_open,
        syns_closed: syns_closed + more.syns_closed,
        syns_silent: syns_silent + more.syns_silent,
        syns_unreachable: syns_unreachable + more.syns_unreachable,
        syns_challenged: syns_challenged + more.syns_challenged,
        syns_odd: syns_odd + more.syns_odd,
        syns_speaking: syns_speaking + more.syns_speaking,
        syns_lost: syns_lost + more.syns_lost,
        datagrams: datagrams + more.datagrams,
        datagrams_said: datagrams_said + more.datagrams_said,
        datagrams_unclaimed: datagrams_unclaimed + more.datagrams_unclaimed,
        datagrams_lost: datagrams_lost + more.datagrams_lost,
        resets: resets + more.resets,
        stray_resets: stray_resets + more.stray_resets,
        completed: completed + more.completed,
        retransmitted: retransmitted + more.retransmitted,
        expired: expired + more.expired,
        untracked: untracked + more.untracked,
        said_again: said_again + more.said_again,
        challenged: challenged + more.challenged,
        strangers: strangers + more.strangers,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A SYN from 198.18.0.1:40000 to 198.19.0.1:80 as Linux leaves it to the device.
    const PARTIAL: [u8; 54] = [
        2, 0, 0xc6, 0x12, 0, 2, 2, 0, 0xc6, 0x12, 0, 1, 8, 0, // Ethernet
        0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 198, 18, 0, 1, 198, 19, 0, 1, // IPv4
        0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xfa, 0xf0, 0x8c, 0x42, 0,
        0, // TCP
    ];

    #[test]
    fn a_checksum_left_to_the_device_is_completed() {
        let mut frame = PARTIAL;
        complete_checksum(&mut frame);
        let over_all = sum(&frame[26..34]) + 6 + 20 + sum(&frame[34..]);
        assert_eq!(fold(over_all), 0xffff, "RFC 1071: a right sum over all is all ones");
    }

    #[test]
    fn any_other_checksum_is_left_alone() {
        let mut frame = PARTIAL;
        frame[50] ^= 1;
        let before = frame;
        complete_checksum(&mut frame);
        assert_eq!(frame, before);
    }

    #[test]
    fn frames_leave_by_time_and_then_by_order() {
        let mut outbox = Outbox::default();
        for (due, name) in [(20, b"c"), (10, b"a"), (10, b"b")] {
            outbox.push(Instant::from_nanos(due), name);
        }
        assert_eq!(outbox.pop_due(Instant::from_nanos(9)), None);
        let now = Instant::from_nanos(30);
        let order: Vec<_> = std::iter::from_fn(|| outbox.pop_due(now)).flatten().collect();
        assert_eq!(order, b"abc");
    }
}
