//! The receiving half.

use std::{
    fmt, io,
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{Ordering::SeqCst, fence},
    },
    thread,
    time::Duration,
};

use aya::programs::{links::FdLink, raw_trace_point::RawTracePointLink};
use mio::{Events, Interest, Poll, Token, unix::SourceFd};
use socket2::Socket;

use super::{
    program::{Counters, Counts, Inbox, Program},
    rhythm::{self, Rhythm},
    stamps::Stamps,
    take::Take,
};
use crate::{
    link::{
        Form, Frame, LinkError, LinkLayer, Rx, Screened,
        interface::Interface,
        packet,
        sys::socket::{self, LinkAddress},
    },
    time::{Clock, Instant},
};

/// Digests, and records, that are shown by one call, so that whoever takes them comes to do something else.
const AT_ONCE: usize = 8_192;
/// The longest nap where frames come whole: who talks to hosts answers them a little later, which costs it nothing. Half of what
/// a packet socket's block waits for company.
const LONG_NAP: Duration = Duration::from_millis(2);
/// How often the program's counts are read while frames come: two system calls a look would cost more than the look.
const COUNT_EVERY: Duration = Duration::from_millis(10);
/// The longest that a receiver sleeps without a look.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// An EtherType that nobody sends: IEEE 802, local experimental.
const NO_PROTOCOL: u16 = 0x88b5;
/// Octets before those of a whole frame in a record: `struct head` of the program.
const HEAD_LEN: usize = 16;

const WAITING: &str = "waiting for frames";

/// Where the program runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// In the driver, before the kernel makes a packet of a frame: what the link is for.
    Native,
    /// In the kernel, behind any driver: it costs what packet sockets do, and still no answer reaches the kernel's TCP.
    Generic,
}

/// Receives what an XDP program has taken from the kernel: answers alone, and of a SYN scan those alone that proved themselves.
///
/// Its frames are not cut below 9216 octets. VLAN tags stay on them, other than on those of a packet socket, if the device left
/// them there.
///
/// A receiver that waits costs nothing. One that gets much naps and then looks, which no record has to wake it for: for 250 us
/// where the kernel proves what it hands up, for up to 2 ms where frames come whole.
pub struct XdpRx {
    inbox: Inbox,
    /// Which of the receivers it is.
    number: usize,
    attached: Arc<Attached>,
    /// Hears of nothing but the end of the interface.
    watch: Socket,
    poll: Poll,
    events: Events,
    clock: Clock,
    stamps: Stamps,
    rhythm: Rhythm,
    /// What was last counted, and when; `None` when it has to be done anew.
    counts: Counts,
    counted: Option<Instant>,
    /// The errno after which nothing can be received any more.
    failed: Option<i32>,
}

/// The program on the interface, until the last receiver is dropped.
struct Attached {
    counters: Counters,
    /// Of the interface.
    name: String,
    longest_nap: Duration,
    _lost_resets: Option<RawTracePointLink>,
    _link: FdLink,
}

impl XdpRx {
    /// Opens the receivers of what arrives at `interface` and is for us: as many as `take` deals to. `clock` turns the program's
    /// timestamps into moments of the scan.
    ///
    /// From then on until all of them are dropped, or the process ends, what is taken does not reach the kernel: no RST answers
    /// it. Everything else does, untouched.
    ///
    /// # Errors
    ///
    /// As [`PacketTx::open`](crate::link::packet::PacketTx::open), and [`LinkError::NoBpf`], [`LinkError::Occupied`],
    /// [`LinkError::Program`] and, for an interface without Ethernet or a driver without XDP, [`LinkError::Unusable`].
    pub fn open(
        interface: &Interface,
        take: &Take,
        mode: Mode,
        clock: Clock,
    ) -> Result<Vec<Self>, LinkError> {
        // The fence stands before anything is loaded.
        let first_watch = watch(interface)?;
        if interface.layer() != LinkLayer::Ethernet {
            let why =
                "has no Ethernet header, which the XDP link needs; take --link packet".to_owned();
            return Err(LinkError::Unusable { name: interface.name().to_owned(), why });
        }
        let mut program = Program::load(take)?;
        // In the kernel's generic mode no driver is asked, and so none tells.
        let tells =
            mode == Mode::Native && take.screen.as_ref().is_some_and(|screen| screen.resets);
        let lost_resets = tells.then(|| program.count_lost_resets(interface)).flatten();
        let link = program.attach(interface, mode)?;
        let Program { inboxes, counters, .. } = program;
        // A screen stands for a SYN scan, whose resets, if the program does not make them, are owed at once.
        let longest_nap = if take.screen.is_some() { rhythm::SHORTEST } else { LONG_NAP };
        let name = interface.name().to_owned();
        let attached = Arc::new(Attached {
            counters,
            name,
            longest_nap,
            _lost_resets: lost_resets,
            _link: link,
        });
        let mut first_watch = Some(first_watch);
        inboxes
            .into_iter()
            .enumerate()
            .map(|(number, inbox)| {
                let watch = first_watch.take().map_or_else(|| watch(interface), Ok)?;
                Self::of(inbox, number, Arc::clone(&attached), watch, clock)
            })
            .collect()
    }

    fn of(
        inbox: Inbox,
        number: usize,
        attached: Arc<Attached>,
        watch: Socket,
        clock: Clock,
    ) -> Result<Self, LinkError> {
        let io = |what| move |source| LinkError::Io { what, source };
        let poll = Poll::new().map_err(io("making an epoll instance"))?;
        for (token, file) in [inbox.as_raw_fd(), watch.as_raw_fd()].into_iter().enumerate() {
            poll.registry()
                .register(&mut SourceFd(&file), Token(token), Interest::READABLE)
                .map_err(io(WAITING))?;
        }
        Ok(Self {
            inbox,
            number,
            watch,
            poll,
            events: Events::with_capacity(4),
            clock,
            stamps: Stamps::new(&clock).map_err(io("reading the clock"))?,
            rhythm: Rhythm::new(attached.longest_nap, clock.now()),
            attached,
            counts: Counts::default(),
            counted: None,
            failed: None,
        })
    }

    /// Shows what is there.
    fn show(&mut self, take: &mut impl FnMut(Frame<'_>)) -> usize {
        let now = self.clock.now();
        let digests = self.show_digests(take, now);
        let records = self.show_records(take);
        let count = digests + records;
        if count > 0 {
            self.rhythm.saw(count, digests.max(records) < AT_ONCE, now);
        }
        count
    }

    /// A digest has no time: reading the clock would cost as much as the rest of it. So it came at `now`.
    fn show_digests(&mut self, take: &mut impl FnMut(Frame<'_>), now: Instant) -> usize {
        let Inbox { digests, words, .. } = &mut self.inbox;
        digests.as_mut().map_or(0, |digests| {
            digests.read(words, AT_ONCE, |bytes| {
                let wire_len = bytes.len() as u32;
                take(Frame { bytes, at: now, wire_len, form: Form::Digest });
            })
        })
    }

    fn show_records(&mut self, take: &mut impl FnMut(Frame<'_>)) -> usize {
        let stamps = &self.stamps;
        self.inbox.records.read(AT_ONCE, |record| {
            // One without a head would be the program's mistake; it is no frame.
            if let Some(frame) = read(record, stamps) {
                take(frame);
            }
        })
    }

    /// From here on the program wakes us. What came before that may not have, so who calls this looks once more.
    fn fall_asleep(&self) {
        self.inbox.words.sleeps().store(1, SeqCst);
        fence(SeqCst);
    }

    /// Whether it may wait, after a last look that showed so much. Not when it was woken meanwhile: that look has taken the record
    /// by which it was out of the ring, where waiting would find it.
    fn may_wait(&self, shown: usize) -> bool {
        shown == 0 && self.inbox.words.sleeps().load(SeqCst) != 0
    }

    fn wake_up(&self) {
        self.inbox.words.sleeps().store(0, SeqCst);
    }

    /// Waits until the program wakes us, at most `wait`.
    fn wait(&mut self, wait: Duration) -> Result<(), LinkError> {
        match self.poll.poll(&mut self.events, Some(wait.min(LONGEST_SLEEP))) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result.map_err(|source| LinkError::Io { what: WAITING, source })?,
        }
        if self.events.iter().any(mio::event::Event::is_error) {
            self.failed = match self.watch.take_error() {
                Ok(error) => error.and_then(|error| error.raw_os_error()),
                Err(error) => error.raw_os_error(),
            };
        }
        Ok(())
    }

    /// What the program has counted: within [`COUNT_EVERY`] while frames come, as it is now when none came.
    fn count(&mut self) -> &Counts {
        let now = self.clock.now();
        if self.counted.is_none_or(|at| now.since(at) >= COUNT_EVERY) {
            self.counted = Some(now);
            // It cannot fail on an array that is there; if it does, what was counted last still holds.
            if let Some(counts) = self.attached.counters.read() {
                self.counts = counts;
            }
        }
        &self.counts
    }
}

/// A socket that hears when `interface` goes down or away, and nothing else.
fn watch(interface: &Interface) -> Result<Socket, LinkError> {
    let socket = packet::open(interface)?;
    socket::bind(&socket, LinkAddress::new(interface.index(), NO_PROTOCOL)).map_err(|source| {
        LinkError::Io { what: "binding a packet socket to its interface", source }
    })?;
    Ok(socket)
}

/// What a record of the ring shows.
fn read<'a>(record: &'a [u8], stamps: &Stamps) -> Option<Frame<'a>> {
    let (head, room) = record.split_at_checked(HEAD_LEN)?;
    let nanos = u64::from_ne_bytes(*head.first_chunk()?);
    let wire_len = u32::from_ne_bytes(*head[8..].first_chunk()?);
    let kept = room.len().min(wire_len as usize);
    Some(Frame::whole(&room[..kept], stamps.at_nanos(nanos), wire_len))
}

impl Rx for XdpRx {
    fn receive(
        &mut self,
        wait: Duration,
        mut take: impl FnMut(Frame<'_>),
    ) -> Result<usize, LinkError> {
        let until = self.clock.now() + wait;
        if let Some(nap) = self.rhythm.nap()
            && !wait.is_zero()
        {
            thread::sleep(nap.min(wait));
        }
        let count = self.show(&mut take);
        if count > 0 {
            return Ok(count);
        }
        self.rhythm.saw_nothing();
        loop {
            if let Some(errno) = self.failed {
                return Err(packet::lost(&self.attached.name, "receiving frames", errno));
            }
            let left = until.since(self.clock.now());
            if left.is_zero() {
                self.counted = None;
                return Ok(0);
            }
            self.fall_asleep();
            let mut count = self.show(&mut take);
            let waits = self.may_wait(count);
            let waited = if waits { self.wait(left) } else { Ok(()) };
            self.wake_up();
            waited?;
            if waits {
                count = self.show(&mut take);
            }
            if count > 0 {
                return Ok(count);
            }
        }
    }

    fn ring_drops(&mut self) -> u64 {
        let number = self.number;
        self.count().full[number]
    }

    /// The first of several receivers tells for all.
    fn screened(&mut self) -> Screened {
        if self.number == 0 { self.count().screened } else { Screened::default() }
    }

    fn recount(&mut self) {
        self.counted = None;
    }
}

impl fmt::Debug for XdpRx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XdpRx")
            .field("name", &self.attached.name)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
