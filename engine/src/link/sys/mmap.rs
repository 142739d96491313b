//! A mapping: of a packet ring or a BPF map, or anonymous memory.

#![expect(unsafe_code, reason = "mmap(2), munmap(2) and sysconf(3)")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    ptr::{self, NonNull},
};

use super::syscall;

/// What may be done with a mapping that is ours to fill.
const WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;

/// Octets of a page.
pub(crate) fn page_len() -> io::Result<usize> {
    // SAFETY: sysconf only looks a number up.
    let len = unsafe { syscall!(sysconf(libc::_SC_PAGESIZE))? };
    usize::try_from(len).map_err(|_| io::ErrorKind::Unsupported.into())
}

/// Memory that the kernel lends until the mapping is dropped.
///
/// It hands out pointers and no references: the kernel may write here at the same time, and only the noun above (a ring,
/// a batch) knows when it does not.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

impl Mapping {
    /// Zeroed memory that nobody else has.
    pub(crate) fn anonymous(len: usize) -> io::Result<Self> {
        Self::map(len, WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    }

    /// The first `len` octets of what `file` maps: for a packet socket its ring, for a BPF array its values.
    pub(crate) fn shared(file: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        Self::map(len, WRITE, libc::MAP_SHARED, file.as_raw_fd(), 0)
    }

    /// `len` octets of what `file` maps, from `offset` on, which is a multiple of a page: nothing may be written there.
    pub(crate) fn read_only(file: BorrowedFd<'_>, offset: usize, len: usize) -> io::Result<Self> {
        let offset = offset.try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
        Self::map(len, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), offset)
    }

    fn map(len: usize, access: i32, flags: i32, file: i32, offset: i64) -> io::Result<Self> {
        // Present from the start, so that no packet waits for a page fault.
        let flags = flags | libc::MAP_POPULATE;
        // SAFETY: without MAP_FIXED the kernel chooses a range that nothing else in the process uses, or refuses.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, access, flags, file, offset) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }

    /// Where the `len` octets from `offset` begin. The pointer may be used for that many, while `self` lives.
    ///
    /// # Panics
    ///
    /// When the mapping ends before they do.
    pub(crate) fn at(&self, offset: usize, len: usize) -> NonNull<u8> {
        let end = offset.checked_add(len);
        assert!(end.is_some_and(|end| end <= self.len), "{offset} + {len} of {}", self.len);
        // SAFETY: `offset <= self.len`, so the result is inside the mapping or one past its end; the kernel makes no mapping
        // that is longer than `isize::MAX` or wraps around.
        unsafe { self.start.add(offset) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `start` and `len` are those of one whole mapping, which nothing else unmaps. Pointers from `at` may not be
        // used after `self`, as its docs say; every user of one keeps the mapping in the same struct.
        let result = unsafe { syscall!(munmap(self.start.as_ptr().cast(), self.len)) };
        debug_assert!(result.is_ok(), "{result:?}");
    }
}

// SAFETY: a mapping belongs to the process and not to a thread, and `Mapping` gives no access to its octets by itself.
unsafe impl Send for Mapping {}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;

    #[test]
    fn anonymous_memory_is_zeroed() {
        let mapping = Mapping::anonymous(5000).unwrap();
        // SAFETY: inside the mapping, which the kernel hands over zeroed and nobody else writes.
        let bytes = unsafe { slice::from_raw_parts(mapping.at(0, 5000).as_ptr(), 5000) };
        assert!(bytes.iter().all(|octet| *octet == 0));
    }

    #[test]
    fn an_empty_mapping_is_refused() {
        assert_eq!(Mapping::anonymous(0).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }

    #[test]
    #[should_panic(expected = "4096 + 1 of 4096")]
    fn nothing_outside_is_reached() {
        Mapping::anonymous(4096).unwrap().at(4096, 1);
    }

    #[test]
    #[should_panic(expected = "of 4096")]
    fn an_offset_does_not_wrap() {
        Mapping::anonymous(4096).unwrap().at(usize::MAX, 2);
    }
}
