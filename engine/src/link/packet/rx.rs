//! The receiving half.

use std::{io, os::fd::AsRawFd, thread, time::Duration};

use mio::{Events, Interest, Poll, Token, unix::SourceFd};
use socket2::Socket;

use super::{Filter, lost, open};
use crate::{
    link::{
        Frame, LinkError, Rx,
        interface::Interface,
        sys::{
            packet_ring::PacketRing,
            socket::{self, LinkAddress},
        },
    },
    time::Clock,
};

/// How long a frame waits in the ring for company. Its time of arrival is the kernel's, so this costs no accuracy.
const RETIRE: Duration = Duration::from_millis(4);
/// Blocks that are shown by one call: some 10,000 small frames, so that whoever takes them comes to do something else.
const AT_ONCE: usize = 4;
/// The longest that is asked of epoll at once; its own limit is 24 days.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// ETH_P_ALL of packet(7).
const ALL_PROTOCOLS: u16 = 3;

/// The size of a receive ring. The default is 16 MiB, about 100,000 small frames.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RingSize {
    /// How many blocks the ring has. While the kernel fills one, the others wait to be read.
    pub blocks: u32,
    /// The octets of a block, a multiple of the page size. A frame that is longer is cut.
    pub block_len: u32,
}

impl Default for RingSize {
    fn default() -> Self {
        Self { blocks: 64, block_len: 256 << 10 }
    }
}

/// Blocks are not made shorter than the longest frame.
const LEAST_BLOCK: u32 = 64 << 10;

impl RingSize {
    /// The part of one of `n` receivers that share this memory: four blocks at least, of 64 KiB at least.
    #[must_use]
    pub fn shared_by(self, n: u8) -> Self {
        let blocks = (self.blocks / u32::from(n.max(1))).max(4);
        let mut block_len = self.block_len;
        while block_len > LEAST_BLOCK
            && u64::from(blocks) * u64::from(block_len) * u64::from(n)
                > u64::from(self.blocks) * u64::from(self.block_len)
        {
            block_len /= 2;
        }
        Self { blocks, block_len }
    }
}

/// Receives from a ring that a packet socket shares with the kernel: no copy, and one system call for all that is there.
///
/// Frames that this machine sends are not shown. On a loopback interface whatever was sent is received too, and so is shown
/// if the filter passes it.
#[derive(Debug)]
pub struct PacketRx {
    ring: PacketRing,
    socket: Socket,
    poll: Poll,
    events: Events,
    clock: Clock,
    drops: u64,
    name: String,
    /// The errno after which nothing can be received any more.
    failed: Option<i32>,
}

impl PacketRx {
    /// Opens a receiver of what arrives at `interface` and passes `filter`. `clock` turns the kernel's timestamps into
    /// moments of the scan.
    ///
    /// # Errors
    ///
    /// As [`PacketTx::open`](super::PacketTx::open); a `ring` that cannot be had is [`LinkError::Io`].
    pub fn open(
        interface: &Interface,
        filter: &Filter,
        ring: RingSize,
        clock: Clock,
    ) -> Result<Self, LinkError> {
        let io = |what| move |source| LinkError::Io { what, source };
        // Each step before the last finds a socket that receives nothing, so nothing passes that was not filtered.
        let socket = open(interface)?;
        filter.attach(&socket).map_err(io("attaching a filter to a packet socket"))?;
        let ring = PacketRing::open(&socket, ring.blocks, ring.block_len, RETIRE)
            .map_err(io("making the ring of a packet socket"))?;
        // Linux < 4.20 does not know it: then `receive` leaves them out.
        let _ = socket::ignore_outgoing(&socket);
        let poll = Poll::new().map_err(io("making an epoll instance"))?;
        poll.registry()
            .register(&mut SourceFd(&socket.as_raw_fd()), Token(0), Interest::READABLE)
            .map_err(io("waiting for a packet socket"))?;
        socket::bind(&socket, LinkAddress::new(interface.index(), ALL_PROTOCOLS))
            .map_err(io("binding a packet socket to its interface"))?;
        Ok(Self {
            ring,
            socket,
            poll,
            events: Events::with_capacity(4),
            clock,
            drops: 0,
            name: interface.name().to_owned(),
            failed: None,
        })
    }

    /// Deals out what arrives to several receivers by a hash of its flow (PACKET_FANOUT), so that each frame is shown by one of
    /// them. Until then each shows all.
    ///
    /// # Errors
    ///
    /// [`LinkError::Io`] when the kernel does not join them: they must be open on one interface.
    pub fn fan_out(receivers: &[Self]) -> Result<(), LinkError> {
        let io = |source| LinkError::Io { what: "sharing frames between packet sockets", source };
        let [first, others @ ..] = receivers else { return Ok(()) };
        if others.is_empty() {
            return Ok(());
        }
        let group = socket::start_fanout(&first.socket).map_err(io)?;
        others.iter().try_for_each(|other| socket::join_fanout(&other.socket, group).map_err(io))
    }

    /// Shows what is in the ring.
    fn show(&mut self, take: &mut impl FnMut(Frame<'_>)) -> usize {
        let mut count = 0;
        let reading = self.clock.reading();
        self.ring.drain(AT_ONCE, |captured| {
            if captured.is_outgoing {
                return;
            }
            count += 1;
            let at = reading.at_wall_nanos(captured.wall_nanos);
            take(Frame::whole(captured.bytes, at, captured.wire_len));
        });
        count
    }

    /// Waits until the kernel has handed over a block, at most `wait`.
    fn wait(&mut self, wait: Duration) -> Result<(), LinkError> {
        match self.poll.poll(&mut self.events, Some(wait.min(LONGEST_WAIT))) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => {
                result.map_err(|source| LinkError::Io { what: "waiting for frames", source })?
            }
        }
        if self.events.iter().any(mio::event::Event::is_error) {
            self.failed = match self.socket.take_error() {
                Ok(error) => error.and_then(|error| error.raw_os_error()),
                Err(error) => error.raw_os_error(),
            };
        }
        if self.failed.is_some() {
            // What came before the end is in a block that is not handed over yet.
            thread::sleep(2 * RETIRE);
        }
        Ok(())
    }
}

impl Rx for PacketRx {
    fn receive(
        &mut self,
        wait: Duration,
        mut take: impl FnMut(Frame<'_>),
    ) -> Result<usize, LinkError> {
        let until = self.clock.now() + wait;
        loop {
            let count = self.show(&mut take);
            if count > 0 {
                return Ok(count);
            }
            if let Some(errno) = self.failed {
                return Err(lost(&self.name, "receiving frames", errno));
            }
            let left = until.since(self.clock.now());
            if left.is_zero() {
                return Ok(0);
            }
            self.wait(left)?;
        }
    }

    fn ring_drops(&mut self) -> u64 {
        // The kernel forgets the number when it has said it. It cannot fail on an open packet socket.
        self.drops += socket::take_drops(&self.socket).unwrap_or(0);
        self.drops
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::link::{LinkLayer, sys::namespace};

    const OURS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
    const PORT: u16 = 61_000;
    const WAIT: Duration = Duration::from_secs(10);

    /// A TCP segment to us, as the filter passes it.
    fn segment() -> [u8; 60] {
        let mut frame = [0; 60];
        frame[12..15].copy_from_slice(&[8, 0, 0x45]);
        frame[17] = 40;
        frame[23] = 6;
        frame[30..34].copy_from_slice(&OURS.octets());
        frame[36..38].copy_from_slice(&PORT.to_be_bytes());
        frame
    }

    fn sender(name: &str) -> Socket {
        let interface = Interface::by_name(name).unwrap();
        let socket = open(&interface).unwrap();
        socket::bind(&socket, LinkAddress::new(interface.index(), 0)).unwrap();
        socket
    }

    /// What this machine sends takes no room in the rings of those that share what arrives.
    #[test]
    fn a_fanout_leaves_out_what_is_sent() {
        namespace::run(|| {
            namespace::ip("link add v0 type veth peer name v1");
            namespace::ip("link set v0 up");
            namespace::ip("link set v1 up");
            let (ours, theirs) = (sender("v0"), sender("v1"));
            let interface = Interface::by_name("v0").unwrap();
            let filter = Filter::new(LinkLayer::Ethernet, OURS, (PORT, PORT));
            let ring = RingSize { blocks: 4, block_len: LEAST_BLOCK };
            let open = || PacketRx::open(&interface, &filter, ring, Clock::start()).unwrap();
            let mut receivers = [open(), open(), open()];
            PacketRx::fan_out(&receivers).unwrap();
            // Some 2,000 fit into a ring, and one flow goes to one of them.
            for _ in 0..10_000 {
                ours.send(&segment()).unwrap();
            }
            theirs.send(&segment()).unwrap();
            let until = std::time::Instant::now() + WAIT;
            let mut shown = 0;
            while shown == 0 && std::time::Instant::now() < until {
                for receiver in &mut receivers {
                    shown += receiver.receive(Duration::from_millis(1), |_| {}).unwrap();
                }
            }
            assert_eq!(shown, 1, "what arrives is shown");
            assert_eq!(receivers.map(|mut receiver| receiver.ring_drops()), [0; 3]);
        });
    }
}
