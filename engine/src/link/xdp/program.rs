//! The receiving program: loaded with what it takes, and put on an interface.
//!
//! ```text
//! receive.bpf.o + Take  ->  Program { rings, bells, counts }  ->  attach: Attached, until it is dropped
//! ```
//!
//! Never stays behind: the kernel takes it off the interface when the last handle of its bpf_link is closed, which the end of the
//! process does too, however it ends.

use std::{
    error::Error,
    io, iter,
    os::fd::{AsFd, AsRawFd, RawFd},
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Map, MapData, PerCpuArray},
    programs::{RawTracePoint, Xdp, XdpMode, links::FdLink, raw_trace_point::RawTracePointLink},
};

use super::{
    rx::Mode,
    take::{MAX_RECEIVERS, Take},
};
use crate::link::{
    LinkError, Screened,
    interface::Interface,
    sys::{driver, record_ring::RecordRing, shared_words::SharedWords},
};

/// The program as clang made it.
const OBJECT: &[u8] = aya::include_bytes_aligned!("../../../bpf/receive.bpf.o");
/// What the object calls its program, its maps and its constant.
const NAME: &str = "receive";
/// Its program that counts the resets veth had no room for, and the tracepoint it stands at, where no other driver tells.
const SENT_BACK: &str = "sent_back";
const BULK_TX: &str = "xdp_bulk_tx";
const COUNTS: &str = "counts";
const BELLS: &str = "bells";
const TAKE: &str = "take";
const RINGS: [&str; MAX_RECEIVERS as usize] = [
    "ring0", "ring1", "ring2", "ring3", "ring4", "ring5", "ring6", "ring7", "ring8", "ring9",
    "ring10", "ring11", "ring12", "ring13", "ring14", "ring15",
];
/// Octets of a bell: a line of cache.
const BELL_LEN: usize = 64;
/// What all rings together hold: 100 ms of digests at four million a second.
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
    pub(super) rings: Vec<Ring>,
    pub(super) counters: Counters,
    bells: MapData,
}

/// What the program hands up to one receiver.
pub(super) struct Ring {
    pub(super) records: RecordRing,
    map: MapData,
}

impl AsRawFd for Ring {
    /// It is readable when the program has woken its receiver.
    fn as_raw_fd(&self) -> RawFd {
        self.map.fd().as_fd().as_raw_fd()
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
        for name in &RINGS[..take.receivers()] {
            loader.map_max_entries(name, ring_len(take.receivers()));
        }
        let mut ebpf = loader.load(OBJECT).map_err(refused)?;
        let mut map = |name| ebpf.take_map(name).ok_or_else(|| lacks(name));
        let rings = RINGS[..take.receivers()].iter().map(|name| {
            let Map::RingBuf(map) = map(name)? else { return Err(lacks(name)) };
            let records = RecordRing::open(map.fd().as_fd(), ring_len(take.receivers()))
                .map_err(|source| LinkError::Io { what: MAPPING, source })?;
            Ok(Ring { records, map })
        });
        let rings = rings.collect::<Result<_, _>>()?;
        let counters = Counters(PerCpuArray::try_from(map(COUNTS)?).map_err(refused)?);
        let Map::Array(bells) = map(BELLS)? else { return Err(lacks(BELLS)) };
        let mut program = Self { ebpf, rings, counters, bells };
        program.xdp()?.load().map_err(refused)?;
        Ok(program)
    }

    /// The words by which receivers say that they sleep.
    pub(super) fn bells(&self) -> Result<SharedWords, LinkError> {
        SharedWords::open(self.bells.fd().as_fd(), RINGS.len(), BELL_LEN)
            .map_err(|source| LinkError::Io { what: MAPPING, source })
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
    match errno(&error) {
        Some(libc::EPERM) => LinkError::NoBpf,
        _ => LinkError::Program { what: LOADING, why: told(&error) },
    }
}

/// The first line of each error, from the outermost on: that of the verifier goes on for pages.
fn told(error: &(dyn Error + 'static)) -> String {
    let mut told = Vec::<String>::new();
    for error in chain(error) {
        let line = error.to_string().lines().next().unwrap_or_default().to_owned();
        if !told.iter().any(|said| said.contains(&line)) {
            told.push(line);
        }
    }
    told.join(": ")
}

/// The kernel's number for what went wrong.
fn errno(error: &(dyn Error + 'static)) -> Option<i32> {
    chain(error).find_map(|error| error.downcast_ref::<io::Error>()?.raw_os_error())
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |error| <dyn Error>::source(*error))
}

#[cfg(test)]
mod tests;
