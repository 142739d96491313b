//! The receiving program: loaded with what it takes, and put on an interface.
//!
//! ```text
//! receive.bpf.o + Take  ->  Program { inboxes, counters }  ->  attach: a link, until it is dropped
//! ```
//!
//! Never stays behind: the kernel takes it off the interface when the last handle of its bpf_link is closed, which the end of the
//! process does too, however it ends.

use std::{
    error::Error,
    io,
    os::fd::{AsFd, AsRawFd, RawFd},
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Map, MapData, PerCpuArray},
    programs::{RawTracePoint, Xdp, XdpMode, links::FdLink, raw_trace_point::RawTracePointLink},
};

use super::{
    refused::{errno, told},
    rx::Mode,
    take::{MAX_RECEIVERS, Take},
};
use crate::link::{
    LinkError, Screened,
    interface::Interface,
    sys::{
        digest_ring::DigestRing, driver, receiver_words::ReceiverWords, record_ring::RecordRing,
    },
};

/// The program as clang made it.
const OBJECT: &[u8] = aya::include_bytes_aligned!("../../../bpf/receive.bpf.o");
/// What the object calls its program, its maps and its constant.
const NAME: &str = "receive";
/// Its program that counts the resets veth had no room for, and the tracepoint it stands at, where no other driver tells.
const SENT_BACK: &str = "sent_back";
const BULK_TX: &str = "xdp_bulk_tx";
const COUNTS: &str = "counts";
const RECEIVERS: &str = "receivers";
const DIGESTS: &str = "digests";
const TAKE: &str = "take";
const RINGS: [&str; MAX_RECEIVERS as usize] = [
    "ring0", "ring1", "ring2", "ring3", "ring4", "ring5", "ring6", "ring7", "ring8", "ring9",
    "ring10", "ring11", "ring12", "ring13", "ring14", "ring15",
];
/// What all rings together hold: ten thousand of the longest frames that come over Ethernet, or ten times as many short ones.
const RINGS_LEN: u32 = 16 << 20;
/// The least that one of many holds.
const LEAST_RING: u32 = 256 << 10;

const MAPPING: &str = "mapping a map of the XDP program";
const LOADING: &str = "the kernel did not take the receiving XDP program";

/// What a CPU has counted: `struct counts` of the program.
const COUNTERS: usize = MAX_RECEIVERS as usize + 10;

/// What the program has counted since it was loaded.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Counts {
    /// Frames that found the ring full, by receiver.
    pub(super) full: [u64; MAX_RECEIVERS as usize],
    /// To the kernel, untouched.
    pub(super) passed: u64,
    /// Of those, handed up too.
    pub(super) copied: u64,
    /// Handed up whole.
    pub(super) whole: u64,
    /// Handed up as digests.
    pub(super) digests: u64,
    /// What the screen did.
    pub(super) screened: Screened,
}

impl Counts {
    fn add(&mut self, counters: &[u64; COUNTERS]) {
        let (full, rest) = counters.split_at(self.full.len());
        self.full.iter_mut().zip(full).for_each(|(sum, count)| *sum += count);
        let Screened { cookie, challenge, kind, resets, resets_lost } = &mut self.screened;
        let sums = [
            &mut self.passed,
            &mut self.copied,
            &mut self.whole,
            &mut self.digests,
            cookie,
            challenge,
            kind,
            resets_lost,
            resets,
        ];
        sums.into_iter().zip(rest).for_each(|(sum, count)| *sum += count);
    }
}

/// The program in the kernel, on no interface yet.
pub(super) struct Program {
    ebpf: Ebpf,
    /// One a receiver.
    pub(super) inboxes: Vec<Inbox>,
    pub(super) counters: Counters,
}

/// Where the program puts down what is for one receiver.
pub(super) struct Inbox {
    /// What came whole.
    pub(super) records: RecordRing,
    /// What came as digests; `None` where the program makes none.
    pub(super) digests: Option<DigestRing>,
    pub(super) words: ReceiverWords,
    ring: MapData,
}

impl AsRawFd for Inbox {
    /// It is readable when the program has woken its receiver.
    fn as_raw_fd(&self) -> RawFd {
        self.ring.fd().as_fd().as_raw_fd()
    }
}

/// Where the program counts.
pub(super) struct Counters(PerCpuArray<MapData, [u64; COUNTERS]>);

impl Counters {
    /// All CPUs together; `None` when the kernel does not say.
    pub(super) fn read(&self) -> Option<Counts> {
        let mut sum = Counts::default();
        self.0.get(&0, 0).ok()?.iter().for_each(|counters| sum.add(counters));
        Some(sum)
    }
}

impl Program {
    /// Loads it, to take what `take` says.
    ///
    /// # Errors
    ///
    /// [`LinkError::NoBpf`]; [`LinkError::Program`]; [`LinkError::Io`] of kind `InvalidInput` for more than
    /// [`MAX_RECEIVERS`] receivers, or none.
    pub(super) fn load(take: &Take) -> Result<Self, LinkError> {
        let words = take.words().ok_or_else(|| LinkError::Io {
            what: "sharing what an interface takes, which 1 to 16 receivers can",
            source: io::ErrorKind::InvalidInput.into(),
        })?;
        let mut loader = EbpfLoader::new();
        // Nothing of ours needs the kernel's types, which take long to read.
        loader.btf(None).override_global(TAKE, words.octets(), true);
        let receivers = take.receivers();
        for name in &RINGS[..receivers] {
            loader.map_max_entries(name, ring_len(receivers));
        }
        if let Some(bits) = take.digest_bits() {
            loader.map_max_entries(DIGESTS, (receivers as u32) << bits);
        }
        let mut ebpf = loader.load(OBJECT).map_err(refused)?;
        let mut map = |name| ebpf.take_map(name).ok_or_else(|| lacks(name));
        let Map::Array(words) = map(RECEIVERS)? else { return Err(lacks(RECEIVERS)) };
        let Map::Array(digests) = map(DIGESTS)? else { return Err(lacks(DIGESTS)) };
        let mapping = |source| LinkError::Io { what: MAPPING, source };
        let inboxes = RINGS[..receivers].iter().enumerate().map(|(number, name)| {
            let Map::RingBuf(ring) = map(name)? else { return Err(lacks(name)) };
            let words = ReceiverWords::open(words.fd().as_fd(), number).map_err(mapping)?;
            let digests =
                take.digest_bits().map(|bits| DigestRing::open(digests.fd().as_fd(), bits, number));
            Ok(Inbox {
                records: RecordRing::open(ring.fd().as_fd(), ring_len(receivers))
                    .map_err(mapping)?,
                digests: digests.transpose().map_err(mapping)?,
                words,
                ring,
            })
        });
        let inboxes = inboxes.collect::<Result<_, _>>()?;
        let counters = Counters(PerCpuArray::try_from(map(COUNTS)?).map_err(refused)?);
        let mut program = Self { ebpf, inboxes, counters };
        program.xdp()?.load().map_err(refused)?;
        Ok(program)
    }

    /// The program itself.
    pub(super) fn xdp(&mut self) -> Result<&mut Xdp, LinkError> {
        let program = self.ebpf.program_mut(NAME).ok_or_else(|| lacks(NAME))?;
        program.try_into().map_err(refused)
    }

    /// Counts the resets that the driver of `interface` loses, until what this returns is dropped; `None` where nobody tells of
    /// them: then they are counted as sent.
    pub(super) fn count_lost_resets(&mut self, interface: &Interface) -> Option<RawTracePointLink> {
        // Resets that no tracepoint tells of stay on their way, and others that it does tell of would be taken for them.
        if !driver::is_veth(interface.name()) {
            return None;
        }
        let program: &mut RawTracePoint = self.ebpf.program_mut(SENT_BACK)?.try_into().ok()?;
        program.load().ok()?;
        let id = program.attach(BULK_TX).ok()?;
        program.take_link(id).ok()
    }

    /// Puts it on `interface` until what this returns is dropped.
    ///
    /// # Errors
    ///
    /// [`LinkError::Occupied`]; [`LinkError::Unusable`] when the interface cannot have one in this mode.
    pub(super) fn attach(
        &mut self,
        interface: &Interface,
        mode: Mode,
    ) -> Result<FdLink, LinkError> {
        let (flag, mend) = match mode {
            Mode::Native => (
                XdpMode::Driver,
                "its driver may have no native XDP, or not at this MTU (ip link set mtu 3498), or not with so many channels in use \
                 (halve them: ethtool -L); or take --link packet",
            ),
            Mode::Generic => (XdpMode::Skb, "take --link packet"),
        };
        let xdp = self.xdp()?;
        let id = xdp.attach_to_if_index(interface.index(), flag).map_err(|error| {
            let name = interface.name().to_owned();
            match errno(&error) {
                // EBUSY: a program of this mode, or a link's; EEXIST: one of the other mode.
                Some(libc::EBUSY | libc::EEXIST) => LinkError::Occupied { name },
                Some(libc::EPERM) => LinkError::NoBpf,
                _ => LinkError::Unusable {
                    name,
                    why: format!("does not take an XDP program ({}): {mend}", told(&error)),
                },
            }
        })?;
        // Anything but a bpf_link would stay on the interface after a process that was killed.
        xdp.take_link(id).map_err(refused)?.try_into().map_err(refused)
    }
}

/// The octets of one of `receivers` rings: a power of two, as the kernel asks for.
fn ring_len(receivers: usize) -> u32 {
    let shared = RINGS_LEN / receivers.max(1) as u32;
    (1 << shared.max(1).ilog2()).max(LEAST_RING)
}

fn lacks(name: &str) -> LinkError {
    LinkError::Program { what: LOADING, why: format!("its object has no {name}") }
}

fn refused(error: impl Error + 'static) -> LinkError {
    super::refused::refused(LOADING, &error)
}

#[cfg(test)]
mod tests;
