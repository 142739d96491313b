//! One long run of a BPF program by bpf(2), whose XDP frames are sent for real (Documentation/bpf/bpf_prog_run.rst).

#![expect(unsafe_code, reason = "bpf(2) with a structure that names memory")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

const PROG_TEST_RUN: libc::c_long = 10;
const LIVE_FRAMES: u32 = 1 << 1;

/// The part `test` of `union bpf_attr` (linux/bpf.h), as far as Linux 5.18 has it.
#[derive(Debug, Default)]
#[repr(C)]
struct TestRun {
    program: u32,
    result: u32,
    data_in_len: u32,
    data_out_len: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_in_len: u32,
    context_out_len: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch: u32,
    /// The kernel reads as much as the caller says, and this makes the structure whole words.
    _end: u32,
}

/// Runs an XDP program `times` times in the calling thread, `batch` frames together, each a copy of `frame`, and does with
/// them what the program says. Frames that are redirected leave through the network namespace of the thread.
///
/// [`io::ErrorKind::Interrupted`] when a signal came: it is looked at after each batch. EINVAL where the kernel has no live
/// frames (before Linux 5.18), or `frame` is longer than a page has room for.
pub(crate) fn run_live(
    program: BorrowedFd<'_>,
    frame: &[u8],
    times: u32,
    batch: u32,
) -> io::Result<()> {
    let mut request = TestRun {
        program: program.as_raw_fd().cast_unsigned(),
        data_in_len: u32::try_from(frame.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        data_in: frame.as_ptr().expose_provenance() as u64,
        repeat: times,
        flags: LIVE_FRAMES,
        batch,
        ..TestRun::default()
    };
    let (address, len) = (&raw mut request, size_of::<TestRun>());
    // SAFETY: the kernel reads `len` octets at `address`, which are those of `request`, and `data_in_len` octets at `data_in`,
    // which are those of `frame`; both outlive the call. It writes `result` and `duration`
    // of `request` alone: with live frames no data and no context comes back.
    let result = unsafe { libc::syscall(libc::SYS_bpf, PROG_TEST_RUN, address, len) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, mem::offset_of, os::fd::AsFd};

    use super::*;

    #[test]
    fn the_layout_is_that_of_the_kernel() {
        // linux/bpf.h: struct { ... } test, an anonymous part of union bpf_attr.
        assert_eq!(offset_of!(TestRun, data_in), 16);
        assert_eq!(offset_of!(TestRun, repeat), 32);
        assert_eq!(offset_of!(TestRun, context_in), 48);
        assert_eq!((offset_of!(TestRun, flags), offset_of!(TestRun, batch)), (64, 72));
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let file = File::open("/dev/null").unwrap();
        let errno = run_live(file.as_fd(), &[0; 64], 1, 1).unwrap_err().raw_os_error();
        // EPERM where bpf(2) is not for us at all.
        assert!(matches!(errno, Some(libc::EINVAL | libc::EBADF | libc::EPERM)), "{errno:?}");
    }
}
