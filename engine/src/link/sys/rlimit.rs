//! The limit of open files.

#![expect(unsafe_code, reason = "getrlimit(2) and setrlimit(2)")]

use std::io;

use super::syscall;

/// Raises the soft limit of open files of this process to `needed`, or to the hard limit where that is lower; never lowers
/// it. Returns the soft limit that holds now.
pub(crate) fn raise_open_files(needed: u64) -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a whole rlimit that the kernel may write.
    unsafe { syscall!(getrlimit(libc::RLIMIT_NOFILE, &raw mut limit))? };
    let wanted = needed.min(limit.rlim_max);
    if wanted > limit.rlim_cur {
        limit.rlim_cur = wanted;
        // SAFETY: `limit` is a whole rlimit, which the kernel only reads.
        unsafe { syscall!(setrlimit(libc::RLIMIT_NOFILE, &raw const limit))? };
    }
    Ok(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_never_lowered() {
        let before = raise_open_files(0).unwrap();
        assert_eq!(raise_open_files(1).unwrap(), before);
        assert_eq!(raise_open_files(before).unwrap(), before);
        assert!(
            raise_open_files(u64::MAX).unwrap() >= before,
            "the hard limit is no lower than the soft one"
        );
    }
}
