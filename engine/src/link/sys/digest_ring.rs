//! The digests that `engine/bpf/receive.bpf.c` writes for one receiver into a BPF array.
//!
//! ```text
//! | receiver 0: digest x places | receiver 1: digest x places | ..      a digest: 20 octets, and its lap
//! ```

#![expect(unsafe_code, reason = "records in memory that the kernel writes")]

use std::{io, os::fd::BorrowedFd, slice, sync::atomic::AtomicU32};

use super::{mmap::Mapping, receiver_words::ReceiverWords};
use crate::link::{Digest, xdp::laps::Reader};

/// Where in a digest its lap is.
const LAP: usize = Digest::LEN - size_of::<u32>();

/// Takes the digests of one receiver, in the order of their turns.
#[derive(Debug)]
pub(crate) struct DigestRing {
    places: Mapping,
    reader: Reader,
}

impl DigestRing {
    /// The digests of receiver `number` in `array`: `1 << bits` for each receiver, which are whole pages. It has no other reader.
    ///
    /// # Errors
    ///
    /// When it cannot be mapped, as another kind of map cannot, or no whole pages.
    pub(crate) fn open(array: BorrowedFd<'_>, bits: u32, number: usize) -> io::Result<Self> {
        let len = Digest::LEN << bits;
        let places = Mapping::read_only(array, number * len, len)?;
        Ok(Self { places, reader: Reader::new(bits) })
    }

    /// Shows at most `most` digests, and gives their places back by the words of the same receiver. How many there were.
    #[inline]
    pub(crate) fn read(
        &mut self,
        words: &ReceiverWords,
        most: usize,
        mut show: impl FnMut(&[u8]),
    ) -> usize {
        let taken = words.taken();
        let mut count = 0;
        while count < most {
            let digest = self.places.at(self.reader.place() * Digest::LEN, Digest::LEN);
            // SAFETY: inside the mapping, which lives as long as `self`, and at a multiple of four from its start, which is that
            // of a page; only read from, and by plain loads, as memory that is mapped for reading must be. The program writes it by
            // whole words alone.
            let lap = unsafe { digest.add(LAP).cast::<AtomicU32>().as_ref() };
            if !self.reader.is_written(lap) {
                break;
            }
            count += 1;
            // SAFETY:
            // - Valid: `at` held it to be inside the mapping, which is read-only and lives as long as `self`.
            // - Initialised: the kernel makes arrays zeroed.
            // - Not written: the program writes to a place that has its lap only after the reader has given it back, which it
            //   does below, where the reference is gone.
            show(unsafe { slice::from_raw_parts(digest.as_ptr(), Digest::LEN) });
            self.reader.pass(taken);
        }
        self.reader.give_back(taken);
        count
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        os::{
            fd::AsFd,
            unix::fs::{FileExt, OpenOptionsExt},
        },
        sync::atomic::Ordering::SeqCst,
    };

    use super::*;

    /// Three pages of the longest that Linux has, which is 64 KiB: digests of a receiver are whole pages.
    const BITS: u32 = 13;
    const PLACES: u64 = 1 << BITS;

    fn file() -> File {
        let mut options = File::options();
        let options = options.read(true).write(true).custom_flags(libc::O_TMPFILE);
        let file = options.open(std::env::temp_dir()).unwrap();
        file.set_len(2 * (Digest::LEN << BITS) as u64).unwrap();
        file
    }

    /// Writes into files what the program would into its arrays, for the second of two receivers.
    struct Program {
        digests: File,
        turn: u64,
    }

    /// The receiver.
    struct Receiver {
        ring: DigestRing,
        words: ReceiverWords,
    }

    impl Program {
        fn new() -> (Self, Receiver) {
            let digests = file();
            let words = ReceiverWords::open(file().as_fd(), 1).unwrap();
            let ring = DigestRing::open(digests.as_fd(), BITS, 1).unwrap();
            (Self { digests, turn: 0 }, Receiver { ring, words })
        }

        fn write(&self, turn: u64, octet: u8, lap: u32) {
            let at = (PLACES + turn % PLACES) * Digest::LEN as u64;
            self.digests.write_all_at(&[octet; 20], at).unwrap();
            self.digests.write_all_at(&lap.to_ne_bytes(), at + 20).unwrap();
        }

        fn hand_up(&mut self, octet: u8) {
            self.write(self.turn, octet, (self.turn / PLACES) as u32 + 1);
            self.turn += 1;
        }
    }

    fn read(receiver: &mut Receiver, most: usize) -> Vec<u8> {
        let mut firsts = Vec::new();
        let count = receiver.ring.read(&receiver.words, most, |digest| {
            assert_eq!(digest.len(), Digest::LEN);
            assert!(digest[..LAP].iter().all(|octet| *octet == digest[0]));
            firsts.push(digest[0]);
        });
        assert_eq!(count, firsts.len());
        firsts
    }

    #[test]
    fn digests_come_in_order_over_many_laps_and_their_places_are_given_back() {
        let (mut program, mut receiver) = Program::new();
        assert!(read(&mut receiver, usize::MAX).is_empty());
        for lap in 0..20_u8 {
            let expected: Vec<u8> = (0..3_001).map(|more| (more % 251) as u8 ^ lap).collect();
            expected.iter().for_each(|octet| program.hand_up(*octet));
            assert_eq!(read(&mut receiver, usize::MAX), expected);
            assert_eq!(receiver.words.taken().load(SeqCst), program.turn);
        }
    }

    #[test]
    fn no_more_are_shown_than_were_asked_for() {
        let (mut program, mut receiver) = Program::new();
        (1..=3).for_each(|octet| program.hand_up(octet));
        assert_eq!(read(&mut receiver, 2), [1, 2]);
        assert_eq!(receiver.words.taken().load(SeqCst), 2);
        assert_eq!(read(&mut receiver, 2), [3]);
    }

    #[test]
    fn what_is_not_written_yet_is_waited_for() {
        let (mut program, mut receiver) = Program::new();
        program.hand_up(1);
        // Another CPU has claimed the turn in between, and is not done.
        program.turn += 1;
        program.hand_up(3);
        assert_eq!(read(&mut receiver, usize::MAX), [1]);
        program.write(1, 2, 1);
        assert_eq!(read(&mut receiver, usize::MAX), [2, 3]);
    }

    #[test]
    fn a_lap_that_cannot_be_is_not_believed() {
        let (program, mut receiver) = Program::new();
        for lap in [0, 2, u32::MAX] {
            program.write(0, 1, lap);
            assert!(read(&mut receiver, usize::MAX).is_empty(), "{lap}");
        }
    }
}
