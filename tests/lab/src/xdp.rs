//! XDP programs on devices of a lab: what they share. For far ends that cost nearly nothing.
//!
//! ```text
//! Sink, Synack, Gauge, Pass ---> attach: load, enter the namespace, put it on the device ---> the kernel, until it is dropped
//! ```
//!
//! Behind the cargo feature `sink`, which brings the loader (aya): the `mrpf` command is built without either. The programs
//! are `tests/lab/bpf/*.bpf.c`, built by `tests/lab/bpf/build`; their objects are part of this crate.
//!
//! Never attaches to a device outside the namespace it is given, and leaves nothing attached: the kernel detaches a program
//! when what holds it is dropped or the process ends, however it ends.

use std::{fmt, thread};

use aya::{
    Ebpf, EbpfError, EbpfLoader,
    maps::{Array, Map, MapData, MapError, PerCpuArray},
    programs::{ProgramError, Xdp, XdpMode},
};

use crate::{LabError, Namespace, gate};

/// What every object with counters calls its map of them.
const COUNTS: &str = "counts";
/// What an object that counts by time calls its map of that.
const SPANS: &str = "spans";

/// Why there is no program on a device, or no counts of it.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum XdpError {
    /// Root of a user namespace is not enough for BPF.
    #[error(
        "the {program} is a BPF program, which only root of the machine may load: run it with sudo"
    )]
    NeedsRoot {
        /// The program by name.
        program: &'static str,
    },
    /// The kernel did not take the program.
    #[error(
        "the kernel did not take the {program}: {source} (it needs Linux 5.9 or later with CONFIG_BPF_SYSCALL)"
    )]
    Load {
        /// The program by name.
        program: &'static str,
        /// The kernel's answer.
        source: EbpfError,
    },
    /// The program could not be put on the device.
    #[error(
        "the {program} cannot be put on {device}: {source} (one XDP program a device, which must be in the namespace it is attached in)"
    )]
    Attach {
        /// The program by name.
        program: &'static str,
        /// The device by name.
        device: String,
        /// The kernel's answer.
        source: ProgramError,
    },
    /// The counts could not be read.
    #[error("the counts of a BPF program cannot be read: {0}")]
    Counts(#[from] MapError),
    /// The namespace could not be entered, or a device could not be asked.
    #[error(transparent)]
    Lab(#[from] LabError),
}

/// A program of ours as clang made it.
pub(crate) struct Object {
    /// What the object calls its program.
    pub(crate) program: &'static str,
    pub(crate) octets: &'static [u8],
}

/// A program on a device, until this is dropped.
pub(crate) struct Attached(Ebpf);

impl Object {
    /// Loads the program, with these constants in it, and puts it on `device` of `namespace`.
    pub(crate) fn attach(
        &self,
        constants: &[(&str, &u32)],
        namespace: &Namespace,
        device: &str,
    ) -> Result<Attached, XdpError> {
        let program = self.program;
        if !gate::is_root_of_machine() {
            return Err(XdpError::NeedsRoot { program });
        }
        // A device is named by its number, which the kernel looks up where the calling thread is.
        namespace.run(|| {
            let mut loader = EbpfLoader::new();
            for (name, value) in constants {
                loader.override_global(name, *value, true);
            }
            let mut ebpf =
                loader.load(self.octets).map_err(|source| XdpError::Load { program, source })?;
            let refused = |source| XdpError::Attach { program, device: device.to_owned(), source };
            let xdp: &mut Xdp = ebpf
                .program_mut(program)
                .ok_or(ProgramError::NotLoaded)
                .and_then(TryInto::try_into)
                .map_err(refused)?;
            xdp.load().map_err(refused)?;
            // By the driver where it can: veth can.
            xdp.attach(device, XdpMode::default()).map_err(refused)?;
            Ok(Attached(ebpf))
        })?
    }
}

impl Attached {
    /// Its counters, as many a CPU as its object has.
    pub(crate) fn counters<const N: usize>(&mut self) -> Result<Counters<N>, XdpError>
    where
        [u64; N]: aya::Pod,
    {
        Ok(Counters(PerCpuArray::try_from(self.map(COUNTS)?)?))
    }

    /// Its counts by time.
    pub(crate) fn spans(&mut self) -> Result<Spans, XdpError> {
        Ok(Spans(Array::try_from(self.map(SPANS)?)?))
    }

    fn map(&mut self, name: &str) -> Result<Map, MapError> {
        self.0.take_map(name).ok_or_else(|| MapError::InvalidName { name: name.to_owned() })
    }
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attached").finish_non_exhaustive()
    }
}

/// Counters of a program, a set a CPU.
pub(crate) struct Counters<const N: usize>(PerCpuArray<MapData, [u64; N]>)
where
    [u64; N]: aya::Pod;

impl<const N: usize> Counters<N>
where
    [u64; N]: aya::Pod,
{
    /// Those of all CPUs together.
    pub(crate) fn sum(&self) -> Result<[u64; N], XdpError> {
        let mut sum = [0; N];
        for counts in self.0.get(&0, 0)?.iter() {
            for (sum, count) in sum.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        Ok(sum)
    }
}

impl<const N: usize> fmt::Debug for Counters<N>
where
    [u64; N]: aya::Pod,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counters").finish_non_exhaustive()
    }
}

/// How much a program counted in each span of time.
pub(crate) struct Spans(Array<MapData, u64>);

impl Spans {
    /// All of them, as they stand in the map.
    pub(crate) fn counts(&self) -> Result<Vec<u64>, XdpError> {
        let counts: Result<_, MapError> = self.0.iter().collect();
        Ok(counts?)
    }
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spans").finish_non_exhaustive()
    }
}

/// Why this machine takes no programs, if it takes none: found out on the lo of a new namespace.
pub(crate) fn missing() -> Option<String> {
    let try_one = || {
        let _inside = Namespace::unshare()?;
        crate::Pass::attach(&Namespace::current()?, "lo").map(drop)
    };
    let tried = thread::scope(|scope| {
        scope.spawn(try_one).join().unwrap_or(Err(LabError::WorldEnded.into()))
    });
    tried.err().map(|error| error.to_string())
}
