//! Words that a BPF program reads and writes too.

#![expect(unsafe_code, reason = "references to words in memory that is shared with the kernel")]

use std::{io, os::fd::BorrowedFd, sync::atomic::AtomicU32};

use super::mmap::Mapping;

/// The first word of each element of an array map that may be mapped (BPF_F_MMAPABLE, Linux 5.5).
#[derive(Debug)]
pub(crate) struct SharedWords {
    mapping: Mapping,
    count: usize,
    element_len: usize,
}

impl SharedWords {
    /// The words of `array`, which has `count` elements of `element_len` octets each.
    ///
    /// # Errors
    ///
    /// When it cannot be mapped: it is another kind of file, or has fewer elements.
    pub(crate) fn open(
        array: BorrowedFd<'_>,
        count: usize,
        element_len: usize,
    ) -> io::Result<Self> {
        // Elements lie one behind the other, each at a multiple of eight (kernel/bpf/arraymap.c, elem_size).
        let element_len = element_len.next_multiple_of(8);
        let mapping = Mapping::shared(array, count * element_len)?;
        Ok(Self { mapping, count, element_len })
    }

    /// The word of element `index`.
    ///
    /// # Panics
    ///
    /// When there are not so many.
    pub(crate) fn word(&self, index: usize) -> &AtomicU32 {
        assert!(index < self.count, "word {index} of {}", self.count);
        let at = self.mapping.at(index * self.element_len, size_of::<AtomicU32>());
        // SAFETY: `at` is inside the mapping for four octets, at a multiple of eight from its start, which is that of a page, and
        // the mapping lives as long as the reference. This process reaches it by atomics alone; the program reads and writes
        // whole aligned words, which is what they do to one another.
        unsafe { at.cast::<AtomicU32>().as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        os::{fd::AsFd, unix::fs::OpenOptionsExt},
        sync::atomic::Ordering::SeqCst,
    };

    use super::*;

    /// A file without a name stands in for the map: it is mapped alike.
    fn file(len: u64) -> File {
        let mut options = File::options();
        let options = options.read(true).write(true).custom_flags(libc::O_TMPFILE);
        let file = options.open(std::env::temp_dir()).unwrap();
        file.set_len(len).unwrap();
        file
    }

    #[test]
    fn each_element_has_a_word_of_its_own() {
        let file = file(4096);
        let [ours, theirs] = [0; 2].map(|_| SharedWords::open(file.as_fd(), 3, 60).unwrap());
        for index in 0..3 {
            ours.word(index).store(7 + index as u32, SeqCst);
        }
        assert_eq!([0, 1, 2].map(|index| theirs.word(index).load(SeqCst)), [7, 8, 9]);
    }

    #[test]
    #[should_panic(expected = "word 3 of 3")]
    fn there_are_no_more() {
        SharedWords::open(file(4096).as_fd(), 3, 64).unwrap().word(3);
    }
}
