//! The program that sends, loaded; and who tells how many of its frames were lost.
//!
//! Between `bpf_redirect_map` and the wire a frame can be lost in silence. Two tracepoints of the kernel name each batch that a
//! driver did not take whole, and the object's other two programs count ours. Where the kernel has no such
//! tracepoints, or a process may not look at them, what the interface counts as dropped is taken instead: by all its users together, and
//! as far as its driver counts what was redirected to it.

use std::{
    fmt, io,
    os::fd::{AsFd, BorrowedFd},
};

use aya::{
    Ebpf,
    maps::{DevMap, Map, MapError, xdp::XdpMapError},
    programs::{ProgramError, ProgramFd, RawTracePoint, Xdp},
};

use super::refused::refused;
use crate::link::LinkError;

/// The programs as clang made them.
const OBJECT: &[u8] = aya::include_bytes_aligned!("../../../bpf/send.bpf.o");
/// What the object calls its maps and the program that sends.
const RING: &str = "ring";
const WAY: &str = "way";
const SEND: &str = "send";
/// Its programs that count losses, and the tracepoints they stand at.
const COUNTERS: [(&str, &str); 2] = [("xmit", "xdp_devmap_xmit"), ("refused", "xdp_redirect_err")];

const LOADING: &str = "loading the program that sends";

/// The object in the kernel, until this is dropped.
pub(crate) struct Program {
    ebpf: Ebpf,
    counts_losses: bool,
}

impl Program {
    /// Loads the object, whose program is attached to nothing and sends on the interface with the index `device`.
    pub(crate) fn load(device: u32) -> Result<Self, LinkError> {
        let mut ebpf = Ebpf::load(OBJECT).map_err(|error| refused(LOADING, &error))?;
        let send: Result<&mut Xdp, ProgramError> = program(&mut ebpf, SEND);
        send.and_then(Xdp::load).map_err(|error| refused(LOADING, &error))?;
        point(&mut ebpf, device).map_err(|error| refused(LOADING, &error))?;
        let counts_losses = COUNTERS.iter().all(|(name, at)| count(&mut ebpf, name, at).is_ok());
        Ok(Self { ebpf, counts_losses })
    }

    /// Whether the ring's own count of lost frames is kept.
    pub(crate) fn counts_losses(&self) -> bool {
        self.counts_losses
    }

    /// The map of the ring.
    pub(crate) fn ring(&self) -> io::Result<BorrowedFd<'_>> {
        match self.ebpf.map(RING) {
            Some(Map::Array(map)) => Ok(map.fd().as_fd()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The program that sends.
    pub(crate) fn send(&mut self) -> io::Result<ProgramFd> {
        let send: Result<&mut Xdp, ProgramError> = program(&mut self.ebpf, SEND);
        let fd = send.and_then(|send| send.fd()).map_err(io::Error::other)?;
        fd.try_clone()
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("counts_losses", &self.counts_losses)
            .finish_non_exhaustive()
    }
}

fn point(ebpf: &mut Ebpf, device: u32) -> Result<(), XdpMapError> {
    let no_map = || MapError::InvalidName { name: WAY.to_owned() };
    let map = ebpf.map_mut(WAY).ok_or_else(no_map)?;
    DevMap::try_from(map)?.set(0, device, None, 0)
}

fn program<'a, T>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut T, ProgramError>
where
    &'a mut T: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    ebpf.program_mut(name).ok_or(ProgramError::NotLoaded).and_then(TryInto::try_into)
}

fn count(ebpf: &mut Ebpf, name: &str, at: &str) -> Result<(), ProgramError> {
    let program: &mut RawTracePoint = program(ebpf, name)?;
    program.load()?;
    program.attach(at).map(drop)
}
