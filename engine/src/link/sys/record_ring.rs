//! The reading end of a BPF ring buffer (BPF_MAP_TYPE_RINGBUF, Linux 5.8; Documentation/bpf/ringbuf.rst).
//!
//! ```text
//! | consumer page: ours to write | producer page | records | the same records again |
//!                                                ^ so that one which goes over the end lies in one piece
//! ```
//!
//! Room is given back once for many records: the kernel reads where we are with every record it makes, so each time we say it
//! a line of cache changes hands. aya's reader says it record by record.

#![expect(unsafe_code, reason = "records in memory that the kernel writes")]

use std::{
    io,
    os::fd::BorrowedFd,
    slice,
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
        fence,
    },
};

use super::mmap::{Mapping, page_len};

/// Octets before each record: its length, and two flags (include/uapi/linux/bpf.h).
const HEADER_LEN: usize = 8;
/// The record is not finished.
const BUSY: u32 = 1 << 31;
/// The record was taken back.
const DISCARDED: u32 = 1 << 30;

/// Takes records out of a ring buffer, in the order in which they were made.
#[derive(Debug)]
pub(crate) struct RecordRing {
    consumer: Mapping,
    producer: Mapping,
    page_len: usize,
    len: usize,
    /// The first octet not read, since the start.
    position: u64,
    /// As far as the kernel knows.
    said: u64,
}

impl RecordRing {
    /// The reader of `ring`, which is a map of `len` octets, and has no other.
    ///
    /// # Errors
    ///
    /// When it cannot be mapped, as another kind of map cannot; of kind `InvalidInput` when `len` is no power of two.
    pub(crate) fn open(ring: BorrowedFd<'_>, len: u32) -> io::Result<Self> {
        if !len.is_power_of_two() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (page_len, len) = (page_len()?, len as usize);
        let consumer = Mapping::shared(ring, page_len)?;
        let producer = Mapping::read_only(ring, page_len, page_len + 2 * len)?;
        let mut reader = Self { consumer, producer, page_len, len, position: 0, said: 0 };
        reader.position = word(&reader.consumer).load(Relaxed);
        reader.said = reader.position;
        Ok(reader)
    }

    /// Shows at most `most` records, and gives their room back. How many there were.
    #[inline]
    pub(crate) fn read(&mut self, most: usize, mut show: impl FnMut(&[u8])) -> usize {
        // Plain loads, and fences behind them: other loads may write, as far as the language is concerned, which memory that is
        // mapped for reading does not bear. After this one the headers of records before that position are written.
        let end = word(&self.producer).load(Relaxed);
        fence(Acquire);
        let mut count = 0;
        while count < most && self.position != end {
            let at = self.page_len + (self.position as usize & (self.len - 1));
            let header = self.producer.at(at, HEADER_LEN);
            // SAFETY: inside the mapping, which lives as long as `self`, and at a multiple of eight from the start of a page, as
            // all records are. The kernel writes it by whole words alone once `end` has passed it.
            let header = unsafe { header.cast::<AtomicU32>().as_ref() }.load(Relaxed);
            if header & BUSY != 0 {
                break;
            }
            // It is not busy any more, so the record is written.
            fence(Acquire);
            let record_len = (header & !DISCARDED) as usize;
            // A longer one cannot be; if it could, it would not be ours to read.
            if record_len > self.len {
                break;
            }
            if header & DISCARDED == 0 {
                let record = self.producer.at(at + HEADER_LEN, record_len);
                count += 1;
                // SAFETY:
                // - Valid: `at` held it to be inside the mapping, which is read-only and lives as long as `self`.
                // - Initialised: the kernel makes rings zeroed.
                // - Not written: the kernel writes to a record that is finished only after `position` has passed it, which it
                //   does below, where the reference is gone.
                show(unsafe { slice::from_raw_parts(record.as_ptr(), record_len) });
            }
            self.position += (HEADER_LEN + record_len).next_multiple_of(8) as u64;
            if self.position - self.said >= self.len as u64 / 16 {
                self.give_back();
            }
        }
        if self.position != self.said {
            self.give_back();
        }
        count
    }

    /// Release: what was read has been read.
    fn give_back(&mut self) {
        self.said = self.position;
        word(&self.consumer).store(self.said, Release);
    }
}

/// The position at the start of a mapping.
fn word(mapping: &Mapping) -> &AtomicU64 {
    // SAFETY: the first eight octets of a mapping of a page or more, which lives as long as the reference. The kernel reads and
    // writes them by whole words; this process by atomics alone, and of the read-only mapping it only reads.
    unsafe { mapping.at(0, size_of::<AtomicU64>()).cast::<AtomicU64>().as_ref() }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        os::{
            fd::AsFd,
            unix::fs::{FileExt, OpenOptionsExt},
        },
    };

    use super::*;

    const LEN: usize = 4096;

    /// Writes into a file what the kernel would into a ring of 4,096 octets.
    struct Kernel {
        file: File,
        page_len: usize,
        position: u64,
    }

    impl Kernel {
        fn new() -> (Self, RecordRing) {
            let page_len = page_len().unwrap();
            let mut options = File::options();
            let options = options.read(true).write(true).custom_flags(libc::O_TMPFILE);
            let file = options.open(std::env::temp_dir()).unwrap();
            file.set_len((2 * page_len + 2 * LEN) as u64).unwrap();
            let ring = RecordRing::open(file.as_fd(), LEN as u32).unwrap();
            (Self { file, page_len, position: 0 }, ring)
        }

        /// At both places that octet `at` of the data lies at.
        fn write(&self, at: u64, octets: &[u8]) {
            for (offset, octet) in (at..).zip(octets) {
                for copy in [0, LEN as u64] {
                    let at = (2 * self.page_len) as u64 + offset % LEN as u64 + copy;
                    self.file.write_at(&[*octet], at).unwrap();
                }
            }
        }

        /// Makes a record; where its header is.
        fn record(&mut self, flags: u32, octets: &[u8]) -> u64 {
            let at = self.position;
            self.write(at, &(flags | octets.len() as u32).to_ne_bytes());
            self.write(at + HEADER_LEN as u64, octets);
            self.position += (HEADER_LEN + octets.len()).next_multiple_of(8) as u64;
            self.file.write_at(&self.position.to_ne_bytes(), self.page_len as u64).unwrap();
            at
        }

        /// How far it may write over what was read.
        fn given_back(&self) -> u64 {
            let mut octets = [0; 8];
            self.file.read_exact_at(&mut octets, 0).unwrap();
            u64::from_ne_bytes(octets)
        }
    }

    fn read(ring: &mut RecordRing, most: usize) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        let count = ring.read(most, |record| records.push(record.to_vec()));
        assert_eq!(count, records.len());
        records
    }

    #[test]
    fn records_come_in_order_over_many_turns_and_their_room_is_given_back() {
        let (mut kernel, mut ring) = Kernel::new();
        let mut number = 0_u32;
        while kernel.position < 20 * LEN as u64 {
            let expected: Vec<Vec<u8>> = (0..7)
                .map(|more| vec![(number + more) as u8; (number + more) as usize % 300])
                .collect();
            for octets in &expected {
                kernel.record(0, octets);
                number += 1;
            }
            assert_eq!(read(&mut ring, usize::MAX), expected);
            assert_eq!(kernel.given_back(), kernel.position);
        }
        assert!(read(&mut ring, usize::MAX).is_empty());
    }

    #[test]
    fn what_was_taken_back_is_left_out_and_what_is_not_finished_waited_for() {
        let (mut kernel, mut ring) = Kernel::new();
        kernel.record(0, b"one");
        kernel.record(DISCARDED, b"nothing");
        let busy = kernel.record(BUSY, b"two");
        kernel.record(0, b"three");
        assert_eq!(read(&mut ring, usize::MAX), [b"one"]);
        assert_eq!(kernel.given_back(), busy, "no further than what was read");
        kernel.write(busy, &3_u32.to_ne_bytes());
        assert_eq!(read(&mut ring, usize::MAX), [&b"two"[..], b"three"]);
    }

    #[test]
    fn no_more_are_shown_than_were_asked_for() {
        let (mut kernel, mut ring) = Kernel::new();
        let second = [b"1", b"2", b"3"].map(|octets| kernel.record(0, octets))[1];
        assert_eq!(read(&mut ring, 1), [b"1"]);
        assert_eq!(kernel.given_back(), second);
        assert_eq!(read(&mut ring, usize::MAX), [b"2", b"3"]);
    }

    #[test]
    fn much_is_given_back_before_all_is_read() {
        let (mut kernel, mut ring) = Kernel::new();
        for _ in 0..20 {
            kernel.record(0, &[7; 120]);
        }
        let mut given_back = Vec::new();
        ring.read(usize::MAX, |_| given_back.push(kernel.given_back()));
        assert!(given_back.windows(2).all(|pair| pair[0] <= pair[1]));
        let at_once = given_back.iter().zip(1..).map(|(back, read)| read * 128 - back).max();
        assert_eq!(at_once, Some(LEN as u64 / 16), "{given_back:?}");
    }

    #[test]
    fn a_length_that_cannot_be_is_not_believed() {
        let (mut kernel, mut ring) = Kernel::new();
        let at = kernel.record(0, b"one");
        kernel.write(at, &(LEN as u32 + 1).to_ne_bytes());
        assert!(read(&mut ring, usize::MAX).is_empty());
    }

    #[test]
    fn a_length_that_no_ring_has_is_refused() {
        let (kernel, _) = Kernel::new();
        for len in [0, 4_097] {
            let refused = RecordRing::open(kernel.file.as_fd(), len).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
