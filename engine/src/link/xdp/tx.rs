//! The sending half.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use super::{pace::Pace, redirect::Program, runner::Runner};
use crate::{
    governor::Rate,
    link::{
        LinkError, LinkLayer, MAX_BATCH, Sent, Tx,
        interface::Interface,
        packet,
        sys::{
            driver,
            frame_ring::{FRAME_LEN_LEAST, FrameRing, SLOT_LEN_MOST},
        },
    },
    time::{Clock, Instant},
};

/// How long the producer sleeps when there is no room: the program takes less than a thousand frames in that time.
const NAP: Duration = Duration::from_micros(100);
/// How long it waits for room in all, and how long the ring may take to become empty at the end.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long after the ring is empty its last batch is on its way to the device, and more.
const LAST_BATCH: Duration = Duration::from_millis(1);

/// What may wait in the ring when there is a rate to keep: a quarter of a millisecond's worth. The program sends all of it at
/// once when it was held up, beyond what the governor allows for.
const RING_TIMES: u64 = 4_000;

/// Sends through a program in the kernel: frames are built in a ring that it maps, and one thread of this process is in a call
/// that takes them from there to the driver for as long as there are any (`BPF_PROG_TEST_RUN` with
/// `BPF_F_TEST_XDP_LIVE_FRAMES`, Linux 5.18 and later).
///
/// That thread takes a whole CPU while frames are sent and none when for 30 ms there were none; from about a million frames a
/// second it costs less than system calls do. The driver must take redirected frames (`ndo_xdp_xmit`). On a veth pair the thread
/// stays on its CPU, and the far end must have an XDP program or GRO, and a queue for each sender: two that share one lose frames.
/// [`choose`](super::choose) gives packet sockets to more senders than there are queues here, since those of the far end cannot be
/// asked for.
///
/// [`Tx::send`] takes frames into the ring, sleeping up to 1 s for room. What the device loses of them afterwards is told by
/// [`Tx::lost`], and more than one in a thousand makes the sender slower until it is fewer. Dropping the sender waits up to
/// 1 s for the ring to become empty; after that nothing is sent.
#[derive(Debug)]
pub struct XdpTx {
    /// Before the ring and the program: its threads use both.
    runner: Runner,
    ring: FrameRing,
    /// Keeps the programs that count losses at their tracepoints.
    _program: Program,
    losses: Losses,
    pace: Pace,
    /// How many frames may wait in the ring.
    depth: u64,
    clock: Clock,
    name: String,
    told: u64,
}

/// Who counts what is lost.
#[derive(Debug)]
enum Losses {
    /// The tracepoints, in the ring.
    Ring,
    /// The interface, as of the last look at it.
    Interface(Arc<AtomicU64>),
}

impl XdpTx {
    /// Opens a sender on `interface` with [`MAX_BATCH`] slots of `slot_len` octets, 14 to 2,048, for a scan of this rate.
    ///
    /// # Errors
    ///
    /// [`LinkError::Unusable`] when the frames of the interface have no Ethernet header, or it is down; [`LinkError::Fenced`]
    /// outside a lab when the fence is set; [`LinkError::Gone`] when it is not there any more; [`LinkError::Permission`] without
    /// CAP_NET_RAW, [`LinkError::NoBpf`] without CAP_BPF and CAP_NET_ADMIN; [`LinkError::Program`] when the kernel does not take
    /// the program; [`LinkError::Io`] when the system refuses anything else.
    pub fn open(interface: &Interface, slot_len: usize, rate: Rate) -> Result<Self, LinkError> {
        if interface.layer() != LinkLayer::Ethernet {
            let why =
                "has frames without an Ethernet header, which XDP cannot send: use --link packet";
            return Err(LinkError::Unusable {
                name: interface.name().to_owned(),
                why: why.to_owned(),
            });
        }
        // The fence, and whether the interface is there and up; nothing is sent by it.
        drop(packet::open(interface)?);
        let io = |what| move |source| LinkError::Io { what, source };
        if !(FRAME_LEN_LEAST..=SLOT_LEN_MOST).contains(&slot_len) {
            let source = io::ErrorKind::InvalidInput.into();
            return Err(LinkError::Io { what: "making slots of 14 to 2,048 octets", source });
        }
        let mut program = Program::load(interface.index())?;
        let ring = program
            .ring()
            .and_then(|map| FrameRing::new(map, slot_len, MAX_BATCH))
            .map_err(io("mapping a ring of frames"))?;
        let (losses, check) = watch(interface.clone(), program.counts_losses())?;
        let fd = program.send().map_err(io("sharing a BPF program with a thread"))?;
        let queues = driver::is_veth(interface.name()).then(|| {
            let told = driver::channels(interface.name()).ok().flatten();
            told.map_or(1, |counts| counts.tx as usize)
        });
        let runner = Runner::start(Arc::clone(ring.words()), fd, slot_len, queues, check)
            .map_err(io("starting the threads of an XDP sender"))?;
        let clock = Clock::start();
        Ok(Self {
            runner,
            ring,
            _program: program,
            losses,
            pace: Pace::new(clock.now()),
            depth: depth(rate),
            clock,
            name: interface.name().to_owned(),
            told: 0,
        })
    }

    /// Frames that were taken and lost until now, as far as is known.
    fn lost_so_far(&self) -> u64 {
        let words = self.ring.words();
        let lost = match &self.losses {
            Losses::Ring => words.lost(),
            // Others may have lost frames too; of ours no more can be lost than there were.
            Losses::Interface(lost) => lost.load(Relaxed).min(words.head().load(Relaxed)),
        };
        // After the end nobody takes what the ring still has.
        if self.runner.failed().is_some() { lost + words.left() } else { lost }
    }

    /// Sleeps, and says how long it was.
    fn nap(&self, pause: Duration) -> (Instant, Duration) {
        let before = self.clock.now();
        thread::sleep(pause);
        let now = self.clock.now();
        (now, now.since(before))
    }

    /// Waits until the program has taken all that the ring holds; no, when it was not to be awaited.
    fn wait_until_empty(&self) -> bool {
        let end = self.clock.now() + PATIENCE;
        while !self.ring.words().is_empty() {
            if self.runner.failed().is_some() || self.clock.now() >= end {
                return false;
            }
            thread::sleep(NAP);
        }
        true
    }

    fn failure(&self) -> Option<LinkError> {
        let errno = self.runner.failed()?;
        Some(packet::lost(&self.name, "sending frames by a BPF program", errno))
    }
}

impl Tx for XdpTx {
    fn slots(&self) -> usize {
        self.ring.batch()
    }

    #[inline]
    fn frame(&mut self, slot: usize) -> &mut [u8] {
        self.ring.frame(slot)
    }

    fn send(&mut self, lens: &[u16]) -> Result<Sent, LinkError> {
        assert!(lens.len() <= self.slots(), "{} lengths for {} slots", lens.len(), self.slots());
        let mut sent = Sent::default();
        for (slot, len) in lens.iter().enumerate() {
            // What is no frame is left out by the program as well.
            let is_frame = usize::from(*len) >= FRAME_LEN_LEAST;
            self.ring.set_len(slot, if is_frame { usize::from(*len) } else { 0 });
            if !is_frame {
                sent.dropped += 1;
                sent.errno = libc::EINVAL;
            }
        }
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        let mut now = self.clock.now();
        let taken = self.ring.words().head().load(Relaxed);
        self.pace.observe(now, taken, self.lost_so_far());
        let pause = self.pace.wait(now, lens.len());
        if !pause.is_zero() {
            let slept;
            (now, slept) = self.nap(pause);
            sent.waited += slept;
        }
        let end = now + PATIENCE;
        while self.ring.words().left() + lens.len() as u64 > self.depth
            || !self.ring.has_room(lens.len())
        {
            if let Some(failure) = self.failure() {
                return Err(failure);
            }
            if now >= end {
                // The batch stays in its slots, which are built anew.
                let (dropped, errno) = (lens.len() as u32, libc::ENOBUFS);
                return Ok(Sent { sent: 0, dropped, errno, waited: sent.waited });
            }
            let slept;
            (now, slept) = self.nap(NAP);
            sent.waited += slept;
        }
        self.ring.publish(lens.len());
        self.runner.wake();
        sent.sent = lens.len() as u32 - sent.dropped;
        Ok(sent)
    }

    fn places(&self) -> usize {
        self.ring.slots()
    }

    #[inline]
    fn place(&self, slot: usize) -> usize {
        self.ring.place(slot)
    }

    fn lost(&mut self) -> u64 {
        let lost = self.lost_so_far();
        let new = lost.saturating_sub(self.told);
        self.told += new;
        new
    }

    fn drain(&mut self) {
        if self.wait_until_empty() {
            thread::sleep(LAST_BATCH);
        }
    }
}

impl Drop for XdpTx {
    fn drop(&mut self) {
        self.wait_until_empty();
    }
}

fn depth(rate: Rate) -> u64 {
    match rate {
        Rate::Max => u64::MAX,
        // Or nothing would be built while the program takes a batch.
        Rate::PerSecond(rate) => (rate.get() / RING_TIMES).max(2 * MAX_BATCH as u64),
    }
}

/// Who counts losses, and what looks after the interface while frames are sent: an errno when that is gone or down.
fn watch(
    interface: Interface,
    ring_counts: bool,
) -> Result<(Losses, impl FnMut() -> Option<i32> + Send + 'static), LinkError> {
    let lost = (!ring_counts).then(Arc::<AtomicU64>::default);
    let losses = lost.clone().map_or(Losses::Ring, Losses::Interface);
    let before = interface.counters()?;
    let check = move || {
        match Interface::by_index(interface.index()) {
            Ok(now) if !now.is_up() => return Some(libc::ENETDOWN),
            Err(LinkError::Io { source, .. } | LinkError::Gone { source, .. }) => {
                return source.raw_os_error().filter(|errno| *errno == libc::ENODEV);
            }
            _ => {}
        }
        if let (Some(lost), Ok(now)) = (&lost, interface.counters()) {
            lost.store(now.since(&before).tx_dropped, Relaxed);
        }
        None
    };
    Ok((losses, check))
}

#[cfg(test)]
pub(super) mod tests;
