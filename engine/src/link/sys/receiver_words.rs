//! What a receiver and the program that hands things up to it tell each other.
//!
//! ```text
//! | taken | sleeps | .. | two lines of cache further: the program's |      a receiver, in an array of as many as there can be
//! ```

#![expect(unsafe_code, reason = "references to words in memory that is shared with the kernel")]

use std::{
    io,
    os::fd::BorrowedFd,
    sync::atomic::{AtomicU32, AtomicU64},
};

use super::mmap::Mapping;

// Where `struct receiver` of engine/bpf/receive.bpf.c has what.
const TAKEN: usize = 0;
const SLEEPS: usize = 8;
/// Octets of one.
const LEN: usize = 256;

/// The words of one receiver.
#[derive(Debug)]
pub(crate) struct ReceiverWords {
    mapping: Mapping,
    start: usize,
}

impl ReceiverWords {
    /// Those of receiver `number` in `array`, which may be mapped (BPF_F_MMAPABLE, Linux 5.5).
    ///
    /// # Errors
    ///
    /// When it cannot be mapped: it is another kind of file, or has fewer.
    pub(crate) fn open(array: BorrowedFd<'_>, number: usize) -> io::Result<Self> {
        let mapping = Mapping::shared(array, (number + 1) * LEN)?;
        Ok(Self { mapping, start: number * LEN })
    }

    /// How many digests it has done with.
    #[inline]
    pub(crate) fn taken(&self) -> &AtomicU64 {
        let at = self.mapping.at(self.start + TAKEN, size_of::<AtomicU64>());
        // SAFETY: `at` is inside the mapping for eight octets, at a multiple of eight from its start, which is that of a page, and
        // the mapping lives as long as the reference. This process reaches it by atomics alone; the program reads and writes
        // whole aligned words, which is what they do to one another.
        unsafe { at.cast::<AtomicU64>().as_ref() }
    }

    /// Not 0 when it wants to be woken.
    pub(crate) fn sleeps(&self) -> &AtomicU32 {
        let at = self.mapping.at(self.start + SLEEPS, size_of::<AtomicU32>());
        // SAFETY: as above, with multiples of four.
        unsafe { at.cast::<AtomicU32>().as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        os::{fd::AsFd, unix::fs::FileExt, unix::fs::OpenOptionsExt},
        sync::atomic::Ordering::SeqCst,
    };

    use super::*;

    #[test]
    fn each_receiver_has_words_of_its_own_where_the_program_looks() {
        // A file without a name stands in for the map: it is mapped alike.
        let mut options = File::options();
        let options = options.read(true).write(true).custom_flags(libc::O_TMPFILE);
        let file = options.open(std::env::temp_dir()).unwrap();
        file.set_len(4096).unwrap();
        let words = [0, 1, 15].map(|number| ReceiverWords::open(file.as_fd(), number).unwrap());
        for (words, value) in words.iter().zip(7..) {
            words.taken().store(u64::from(value), SeqCst);
            words.sleeps().store(value + 100, SeqCst);
        }
        for (at, value) in [(0, 7_u64), (256, 8), (15 * 256, 9)] {
            let mut octets = [0; 12];
            file.read_exact_at(&mut octets, at).unwrap();
            assert_eq!(octets[..8], value.to_ne_bytes());
            assert_eq!(octets[8..], (value as u32 + 100).to_ne_bytes());
        }
    }
}
