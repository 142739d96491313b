//! The clock that BPF programs read.

#![expect(unsafe_code, reason = "clock_gettime(2)")]

use std::io;

use super::syscall;

/// Nanoseconds of CLOCK_MONOTONIC: what `bpf_ktime_get_ns` says in the same moment (bpf-helpers(7)).
pub(crate) fn nanos() -> io::Result<u64> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec, which lives longer than the call.
    unsafe { syscall!(clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now))? };
    Ok(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_clock_of_std() {
        let (ours, std) = (nanos().unwrap(), std::time::Instant::now());
        std::thread::sleep(std::time::Duration::from_millis(3));
        let (ours, std) = (nanos().unwrap() - ours, std.elapsed().as_nanos() as u64);
        assert!(ours >= 3_000_000 && ours.abs_diff(std) < 100_000_000, "{ours} and {std}");
    }
}
