//! A far end that costs nearly nothing: an XDP program on a device that counts frames and drops them.
//!
//! For rate runs. What the kernel of the world would do with a frame, make a packet of it, route it and refuse it, costs more
//! than sending it; a sink does none of that, so that what is measured is the sender. ARP and IPv6 neighbour discovery pass.
//!
//! ```text
//! s0 --- veth ---> w0: sink --- counted, dropped
//!                       '------ ARP, ND ---> the kernel
//! ```
//!
//! Behind the cargo feature `sink`, which brings the loader (aya): the `mrpf` command is built without either. The program is
//! `tests/lab/bpf/sink.bpf.c`, built by `tests/lab/bpf/build`; its object is part of this crate.
//!
//! Never attaches to a device outside the namespace it is given, and leaves nothing attached: the kernel detaches the program
//! when the [`Sink`] is dropped or the process ends, however it ends.

use std::{fmt, thread};

use aya::{
    Ebpf, EbpfError,
    maps::{MapData, MapError, PerCpuArray},
    programs::{ProgramError, Xdp, XdpMode},
};

use crate::{LabError, Namespace, gate};

/// The program as clang made it.
const OBJECT: &[u8] = aya::include_bytes_aligned!("../bpf/sink.bpf.o");
/// What the object calls its program and its map.
const NAME: &str = "sink";
const COUNTS: &str = "counts";

/// An XDP program on a device, until this is dropped.
pub struct Sink {
    /// Owns the program and its place on the device.
    _program: Ebpf,
    counts: PerCpuArray<MapData, [u64; 4]>,
}

/// What came to the device of a [`Sink`] since it was attached.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Frames counted and dropped.
    pub frames: u64,
    /// Their octets, from the Ethernet header on, without the frame check sequence.
    pub octets: u64,
    /// Of the frames, TCP SYNs over IPv4: SYN set and ACK not (RFC 9293), in a first or only fragment.
    pub syns: u64,
    /// ARP and neighbour discovery (RFC 826, RFC 4861): let through, and not among the frames.
    pub passed: u64,
}

/// Why there is no sink, or no counts of it.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Root of a user namespace is not enough for BPF.
    #[error("the sink is a BPF program, which only root of the machine may load: run it with sudo")]
    NeedsRoot,
    /// The kernel did not take the program.
    #[error(
        "the kernel did not take the sink: {0} (it needs Linux 5.9 or later with CONFIG_BPF_SYSCALL)"
    )]
    Load(#[from] EbpfError),
    /// The program could not be put on the device.
    #[error(
        "the sink cannot be put on {device}: {source} (one XDP program a device, which must be in the namespace of the sink)"
    )]
    Attach {
        /// The device by name.
        device: String,
        /// The kernel's answer.
        source: ProgramError,
    },
    /// The counts could not be read.
    #[error("the counts of the sink cannot be read: {0}")]
    Counts(#[from] MapError),
    /// The namespace could not be entered.
    #[error(transparent)]
    Lab(#[from] LabError),
}

impl Sink {
    /// Drops all that comes to `device` of `namespace` from now on.
    ///
    /// # Errors
    ///
    /// [`SinkError::NeedsRoot`] for an ordinary user, and for root of a user namespace; [`SinkError::Attach`] when there is
    /// no such device or it has an XDP program already.
    pub fn attach(namespace: &Namespace, device: &str) -> Result<Self, SinkError> {
        if !gate::is_root_of_machine() {
            return Err(SinkError::NeedsRoot);
        }
        // A device is named by its number, which the kernel looks up where the calling thread is.
        namespace.run(|| Self::attach_here(device))?
    }

    fn attach_here(device: &str) -> Result<Self, SinkError> {
        let mut ebpf = Ebpf::load(OBJECT)?;
        let no_map = || MapError::InvalidName { name: COUNTS.to_owned() };
        let counts = PerCpuArray::try_from(ebpf.take_map(COUNTS).ok_or_else(no_map)?)?;
        let refused = |source| SinkError::Attach { device: device.to_owned(), source };
        let program: &mut Xdp = ebpf
            .program_mut(NAME)
            .ok_or(ProgramError::NotLoaded)
            .and_then(TryInto::try_into)
            .map_err(refused)?;
        program.load().map_err(refused)?;
        // By the driver where it can: veth can.
        program.attach(device, XdpMode::default()).map_err(refused)?;
        Ok(Self { _program: ebpf, counts })
    }

    /// What came until now, all CPUs together.
    ///
    /// # Errors
    ///
    /// [`SinkError::Counts`] when the kernel refuses.
    pub fn counts(&self) -> Result<Counts, SinkError> {
        let mut sum = Counts::default();
        for [frames, octets, syns, passed] in self.counts.get(&0, 0)?.iter() {
            sum.frames += frames;
            sum.octets += octets;
            sum.syns += syns;
            sum.passed += passed;
        }
        Ok(sum)
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").finish_non_exhaustive()
    }
}

/// Why this machine has no sinks, if it has none: found out on the lo of a new namespace.
pub(crate) fn missing() -> Option<String> {
    let try_one = || {
        let _inside = Namespace::unshare()?;
        Sink::attach(&Namespace::current()?, "lo").map(drop)
    };
    let tried = thread::scope(|scope| {
        scope.spawn(try_one).join().unwrap_or(Err(LabError::WorldEnded.into()))
    });
    tried.err().map(|error| error.to_string())
}
