//! A far end for TLS scans that is cheaper than the scanner: every address of the lab, every port, TLS 1.3.
//!
//! ```text
//! SYN ------------------------> SYN-ACK, its number a hash of the connection
//! ClientHello ----------------> ServerHello ... Finished, in segments that fit
//! its first half -------------> kept for a while, in a bounded table
//! ACK, FIN, RST --------------> nothing
//! ```
//!
//! It keeps no connections: each segment is answered by what is in it. What is lost on the way comes again when the client asks
//! again, as it does when nothing acknowledged its ClientHello. What it presents is in [`Leaves`]; that nobody signed the
//! handshake is in `flight.rs`; hosts of the engine say the same by `voice.rs`. [`Accepts`] is the same without a word after the SYN-ACK: connections that are left to wait.
//!
//! One thread, in the world's namespace, on the engine's links. The kernel must be [silent](crate::Builder::silent) about the
//! addresses. It opens no connection and sends to nobody who did not send first.

mod flight;
mod hello;
mod leaves;
mod segment;
mod voice;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Sender, channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use mrpf_engine::{
    cookie::Cookie,
    link::{
        LinkError, Rx, Tx,
        interface::Interface,
        packet::{Filter, PacketRx, PacketTx, RingSize},
    },
    time::Clock,
    wire::tcp::Flags,
};

pub use self::leaves::{LEAVES, Leaves};
pub(crate) use self::voice::{refusing, showing};
use self::{
    flight::{Flights, REFUSAL},
    hello::First,
    segment::{Heard, Reply},
};
use crate::{LabError, Namespace, error::asking, ipv6, veth};

/// How long it waits for frames before it looks whether it is over.
const NAP: Duration = Duration::from_millis(20);
/// First halves of ClientHellos that are kept; the oldest makes room.
const MOST_HALVES: usize = 4_096;
/// Octets of one; a longer first half is malformed.
const MOST_HALF: usize = 1_460;
/// MSS 1460, NOP, NOP, SACK permitted, which is promised and never used.
const OPTIONS: [u8; 8] = [2, 4, 5, 0xb4, 1, 1, 4, 2];
/// FIN, SYN and RST.
const NO_DATA: u8 = 0x07;

/// What a far end saw and did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TlsCounts {
    /// SYNs, all answered.
    pub syns: u64,
    /// ClientHellos answered with a flight, those that came again included.
    pub hellos: u64,
    /// ClientHellos that offer nothing that is spoken here, answered with an alert.
    pub refused: u64,
    /// Data that is no ClientHello, or came for another connection.
    pub malformed: u64,
    /// ACKs, FINs and RSTs.
    pub ignored: u64,
    /// Frames that the link could not take in or send in time.
    pub lost: u64,
}

#[derive(Debug, Default)]
struct Counters {
    syns: AtomicU64,
    hellos: AtomicU64,
    refused: AtomicU64,
    malformed: AtomicU64,
    ignored: AtomicU64,
    lost: AtomicU64,
}

/// Every address answers with TLS, until this is dropped. See the [module](self).
#[derive(Debug)]
pub struct TlsResponder {
    leaves: Arc<Leaves>,
    running: Running,
}

impl TlsResponder {
    /// Answers for 198.19.0.0/16 and 2001:db8:1::/64 in `world`, which is [`Lab::world`](crate::Lab::world).
    ///
    /// # Errors
    ///
    /// [`LabError::System`] when the links cannot be had.
    pub fn start(world: &Namespace, leaves: Arc<Leaves>) -> Result<Self, LabError> {
        let flights = Flights::new(&leaves);
        Ok(Self { leaves, running: Running::start(world, Some(flights))? })
    }

    /// The leaf certificate that the host `addr` presents, DER.
    pub fn leaf_of(&self, addr: IpAddr) -> &[u8] {
        self.leaves.leaf_of(addr)
    }

    /// What it saw and did so far.
    pub fn counts(&self) -> TlsCounts {
        self.running.counts()
    }
}

/// Every address takes connections and says nothing, until this is dropped.
#[derive(Debug)]
pub struct Accepts {
    running: Running,
}

impl Accepts {
    /// As [`TlsResponder::start`].
    ///
    /// # Errors
    ///
    /// [`LabError::System`] when the links cannot be had.
    pub fn start(world: &Namespace) -> Result<Self, LabError> {
        Ok(Self { running: Running::start(world, None)? })
    }

    /// What it saw and did so far; data is malformed to it.
    pub fn counts(&self) -> TlsCounts {
        self.running.counts()
    }
}

/// The thread; ends when dropped.
struct Running {
    is_over: Arc<AtomicBool>,
    counters: Arc<Counters>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(world: &Namespace, flights: Option<Flights>) -> Result<Self, LabError> {
        let is_over = Arc::new(AtomicBool::new(false));
        let counters = Arc::new(Counters::default());
        let world = world.try_clone()?;
        let (ready, is_ready) = channel();
        let body = {
            let (is_over, counters) = (Arc::clone(&is_over), Arc::clone(&counters));
            move || play(&world, flights, &is_over, &counters, &ready)
        };
        let thread = thread::Builder::new()
            .name("lab-tls".to_owned())
            .spawn(body)
            .map_err(asking("starting a thread"))?;
        let running = Self { is_over, counters, thread: Some(thread) };
        is_ready.recv().map_err(|_| LabError::WorldEnded)??;
        Ok(running)
    }

    fn counts(&self) -> TlsCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TlsCounts {
            syns: read(&self.counters.syns),
            hellos: read(&self.counters.hellos),
            refused: read(&self.counters.refused),
            malformed: read(&self.counters.malformed),
            ignored: read(&self.counters.ignored),
            lost: read(&self.counters.lost),
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Is the far end, in `world`, until it is over or the link is gone.
fn play(
    world: &Namespace,
    flights: Option<Flights>,
    is_over: &AtomicBool,
    counters: &Counters,
    ready: &Sender<Result<(), LabError>>,
) {
    let open = || {
        let inside = world.enter()?;
        let links = links().map_err(std::io::Error::other);
        let (rx, tx) = links.map_err(asking("opening links in the lab"))?;
        Ok((inside, rx, tx))
    };
    let (_inside, mut rx, tx) = match open() {
        Ok(open) => open,
        Err(error) => {
            // Who started this thread waits for it.
            let _ = ready.send(Err(error));
            return;
        }
    };
    let _ = ready.send(Ok(()));
    let mut player = Player {
        cookie: Cookie::from_key(&[0x6c; 16]),
        flights,
        flight: Vec::new(),
        halves: HashMap::new(),
        by_age: VecDeque::new(),
        out: Out { tx, lens: Vec::new() },
        counters,
    };
    while !is_over.load(Ordering::Relaxed) {
        let received = rx.receive(NAP, |frame| player.take(frame.bytes));
        // The device is gone, and the world with it.
        if received.is_err() || player.out.send(counters).is_err() {
            return;
        }
        counters.lost.fetch_max(rx.ring_drops(), Ordering::Relaxed);
    }
}

fn links() -> Result<(PacketRx, PacketTx), LinkError> {
    let interface = Interface::by_name(veth::WORLD.device)?;
    let v4 = (veth::HOSTS.first(), veth::HOSTS.len());
    let v6: (Ipv6Addr, u8) = (ipv6::HOSTS.first(), ipv6::HOSTS.len());
    let filter = Filter::tcp_to(v4, v6);
    let rx = PacketRx::open(&interface, &filter, RingSize::default(), Clock::start())?;
    Ok((rx, PacketTx::open(&interface, segment::MOST)?))
}

/// Host, its port, client, its port.
type Ends = ((IpAddr, u16), (IpAddr, u16));

struct Player<'a> {
    cookie: Cookie,
    flights: Option<Flights>,
    flight: Vec<u8>,
    /// The first halves of ClientHellos, with their sequence numbers.
    halves: HashMap<Ends, (u32, Vec<u8>)>,
    /// Whose they are, oldest first, with those that are whole meanwhile.
    by_age: VecDeque<Ends>,
    out: Out,
    counters: &'a Counters,
}

impl Player<'_> {
    fn take(&mut self, frame: &[u8]) {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        let Some(heard) = Heard::of(frame) else {
            count(&self.counters.ignored);
            return;
        };
        let segment = &heard.segment;
        let hash = match (heard.to, heard.from) {
            ((IpAddr::V4(to), port), (IpAddr::V4(from), peer)) => {
                self.cookie.v4((to, port), (from, peer))
            }
            ((IpAddr::V6(to), port), (IpAddr::V6(from), peer)) => {
                self.cookie.v6((to, port), (from, peer))
            }
            _ => return,
        };
        let isn = hash as u32;
        if segment.flags() == Flags::SYN {
            count(&self.counters.syns);
            let reply = Reply {
                seq: isn,
                ack: segment.seq().wrapping_add(1),
                flags: Flags::SYN | Flags::ACK,
                options: &OPTIONS,
                payload: &[],
            };
            self.out.push(&heard, &reply, self.counters);
        } else if segment.payload().is_empty() || segment.flags().0 & NO_DATA != 0 {
            count(&self.counters.ignored);
        } else if segment.ack() != isn.wrapping_add(1) || self.flights.is_none() {
            count(&self.counters.malformed);
        } else {
            self.hear(&heard, hash);
        }
    }

    /// Takes data of a connection that has said nothing yet.
    fn hear(&mut self, heard: &Heard<'_>, hash: u64) {
        let ends = (heard.to, heard.from);
        let (seq, payload) = (heard.segment.seq(), heard.segment.payload());
        let half = self.halves.remove(&ends);
        let whole = half.filter(|(from, half)| from.wrapping_add(half.len() as u32) == seq);
        let (from, octets) = match whole {
            Some((from, mut half)) => {
                half.extend(payload);
                (from, half)
            }
            None => (seq, payload.to_vec()),
        };
        let ack = from.wrapping_add(octets.len() as u32);
        let Self { flights, flight, out, counters, .. } = self;
        let Some(flights) = flights else { return };
        match hello::read(&octets) {
            First::Part if octets.len() <= MOST_HALF => self.keep(ends, from, octets),
            First::Part | First::Malformed => {
                counters.malformed.fetch_add(1, Ordering::Relaxed);
            }
            First::Foreign => {
                counters.refused.fetch_add(1, Ordering::Relaxed);
                out.say(heard, ack, &REFUSAL, counters);
            }
            First::Hello(hello) => {
                counters.hellos.fetch_add(1, Ordering::Relaxed);
                let mut random = [0x6d; 32];
                random[..8].copy_from_slice(&hash.to_be_bytes());
                flights.write(flight, &hello, Leaves::number_of(heard.to.0), &random);
                out.say(heard, ack, flight, counters);
            }
        }
    }

    fn keep(&mut self, ends: Ends, from: u32, octets: Vec<u8>) {
        while self.by_age.len() >= MOST_HALVES
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.halves.remove(&oldest);
        }
        self.by_age.push_back(ends);
        self.halves.insert(ends, (from, octets));
    }
}

/// Frames on their way out, a batch at a time.
struct Out {
    tx: PacketTx,
    lens: Vec<u16>,
}

impl Out {
    /// Says `words` after the SYN-ACK, in as many segments as they take.
    fn say(&mut self, heard: &Heard<'_>, ack: u32, words: &[u8], counters: &Counters) {
        const PSH: Flags = Flags(0x08);
        let most = heard.most_payload();
        let mut seq = heard.segment.ack();
        let mut parts = words.chunks(most).peekable();
        while let Some(payload) = parts.next() {
            let last = if parts.peek().is_none() { PSH } else { Flags(0) };
            let flags = Flags::ACK | last;
            self.push(heard, &Reply { seq, ack, flags, options: &[], payload }, counters);
            seq = seq.wrapping_add(payload.len() as u32);
        }
    }

    fn push(&mut self, heard: &Heard<'_>, reply: &Reply<'_>, counters: &Counters) {
        if self.lens.len() == self.tx.slots() {
            // A link that is gone is found out when the batch is over.
            let _ = self.send(counters);
        }
        let slot = self.tx.frame(self.lens.len());
        self.lens.push(heard.reply(slot, reply));
    }

    fn send(&mut self, counters: &Counters) -> Result<(), LinkError> {
        if self.lens.is_empty() {
            return Ok(());
        }
        let sent = self.tx.send(&self.lens);
        self.lens.clear();
        counters.lost.fetch_add(u64::from(sent?.dropped), Ordering::Relaxed);
        Ok(())
    }
}
