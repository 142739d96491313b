//! A ring of frames over the mapping of a BPF array: filled here, emptied by `engine/bpf/send.bpf.c`.
//!
//! ```text
//! | the program's words | ours | what is said once | length x slots | frame x slots |
//! ```

#![expect(unsafe_code, reason = "the memory that is shared with a program in the kernel")]

use std::{
    io,
    os::fd::BorrowedFd,
    slice,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};

use super::mmap::Mapping;
use crate::link::xdp::ring::Producer;

/// Most slots of a ring: what the program has lengths for. More would only make a frame wait longer in it.
const SLOTS_MOST: usize = 8192;
/// Most octets of a slot.
pub(crate) const SLOT_LEN_MOST: usize = 2048;
/// Octets of all slots.
const FRAMES_LEN: usize = 2 << 20;
/// Slots start on a cache line each.
const CACHE_LINE: usize = 64;
/// The shortest frame that the program sends: an Ethernet header.
pub(crate) const FRAME_LEN_LEAST: usize = 14;
/// After so many frames the program says that their slots may be written again: each time costs it a barrier.
const FREE_EVERY: usize = 16;

// Where `struct ring` of the program has what.
const HEAD: usize = 0;
const FREE: usize = 8;
const LOST: usize = 24;
const TAIL: usize = CACHE_LINE;
const STRIDE: usize = 2 * CACHE_LINE;
const MASK: usize = STRIDE + 4;
const GIVEN: usize = STRIDE + 8;
const LENS: usize = 3 * CACHE_LINE;
const FRAMES: usize = 4096 + 2 * SLOTS_MOST;
const LEN: usize = FRAMES + FRAMES_LEN + SLOT_LEN_MOST;

/// The words of a ring, for every thread that asks how far it is.
#[derive(Debug)]
pub(crate) struct RingWords(Mapping);

// SAFETY: it hands out references to atomics alone. The rest of the mapping is reached by `FrameRing`, of which there is one
// for each `RingWords` and whose methods that write borrow it mutably.
unsafe impl Sync for RingWords {}

impl RingWords {
    /// How many frames the program has taken.
    #[inline]
    pub(crate) fn head(&self) -> &AtomicU64 {
        self.u64_at(HEAD)
    }

    /// Of how many of those the slots may be written again.
    #[inline]
    fn free(&self) -> &AtomicU64 {
        self.u64_at(FREE)
    }

    /// How many were published.
    #[inline]
    pub(crate) fn tail(&self) -> &AtomicU64 {
        self.u64_at(TAIL)
    }

    /// Whether nothing waits to be taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.left() == 0
    }

    /// How many frames wait to be taken.
    pub(crate) fn left(&self) -> u64 {
        let head = self.head().load(Relaxed);
        self.tail().load(Relaxed).saturating_sub(head)
    }

    /// How many were taken and not sent, as far as the program was told.
    pub(crate) fn lost(&self) -> u64 {
        self.u64_at(LOST).load(Relaxed)
    }

    fn u64_at(&self, offset: usize) -> &AtomicU64 {
        let word = self.0.at(offset, size_of::<u64>()).cast::<AtomicU64>();
        // SAFETY: inside the mapping, which outlives the reference; the callers' offsets are multiples of eight from the start
        // of a page; the other side accesses these words whole, by single instructions of BPF.
        unsafe { word.as_ref() }
    }

    fn u32_at(&self, offset: usize) -> &AtomicU32 {
        let word = self.0.at(offset, size_of::<u32>()).cast::<AtomicU32>();
        // SAFETY: as above, with multiples of four.
        unsafe { word.as_ref() }
    }

    /// The length of the frame in the slot at `place`.
    fn len_at(&self, place: usize) -> &AtomicU16 {
        assert!(place < SLOTS_MOST, "place {place} of {SLOTS_MOST}");
        let word = self.0.at(LENS + 2 * place, size_of::<u16>()).cast::<AtomicU16>();
        // SAFETY: as above, with multiples of two.
        unsafe { word.as_ref() }
    }
}

/// The side of the ring that fills it.
#[derive(Debug)]
pub(crate) struct FrameRing {
    words: Arc<RingWords>,
    producer: Producer,
    slot_len: usize,
    stride: usize,
}

impl FrameRing {
    /// The ring in `map`, which is the new array of a program that has not run yet: for frames of up to `slot_len` octets,
    /// of which `batch` are built together.
    pub(crate) fn new(map: BorrowedFd<'_>, slot_len: usize, batch: usize) -> io::Result<Self> {
        if !(FRAME_LEN_LEAST..=SLOT_LEN_MOST).contains(&slot_len) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let stride = slot_len.next_multiple_of(CACHE_LINE);
        let fit = FRAMES_LEN / stride;
        let slots = SLOTS_MOST.min(1 << fit.ilog2());
        let words = RingWords(Mapping::shared(map, LEN)?);
        words.u32_at(STRIDE).store(stride as u32, Relaxed);
        words.u32_at(MASK).store(slots as u32 - 1, Relaxed);
        words.u32_at(GIVEN).store(slot_len as u32, Relaxed);
        let producer = Producer::new(slots, batch, FREE_EVERY);
        Ok(Self { words: Arc::new(words), producer, slot_len, stride })
    }

    /// Its words, for other threads.
    pub(crate) fn words(&self) -> &Arc<RingWords> {
        &self.words
    }

    /// How many slots it has in all.
    pub(crate) fn slots(&self) -> usize {
        self.producer.slots()
    }

    /// How many frames are built together.
    pub(crate) fn batch(&self) -> usize {
        self.producer.batch()
    }

    /// Where in the ring a slot of the batch lies.
    #[inline]
    pub(crate) fn place(&self, slot: usize) -> usize {
        self.producer.place(slot)
    }

    /// The octets of one slot of the batch. What was written stays, place by place.
    ///
    /// # Panics
    ///
    /// When there is no such slot.
    #[inline]
    pub(crate) fn frame(&mut self, slot: usize) -> &mut [u8] {
        let start = self.words.0.at(FRAMES + self.place(slot) * self.stride, self.slot_len);
        // SAFETY:
        // - Valid: `at` held it to be inside the mapping, which `self.words` keeps.
        // - Initialised: the kernel makes arrays zeroed.
        // - Unaliased: `RingWords` gives no reference to frames, `self` is the only `FrameRing` of the mapping and borrowed
        //   mutably, and slots do not overlap. The program reads a slot only between the `publish` that hands it over and the
        //   number that `Producer` has seen pass it; `Producer::place` gives none of those.
        unsafe { slice::from_raw_parts_mut(start.as_ptr(), self.slot_len) }
    }

    /// Says how long the frame in a slot of the batch is; one of 0 octets is left out.
    ///
    /// # Panics
    ///
    /// When there is no such slot, or it is shorter.
    #[inline]
    pub(crate) fn set_len(&mut self, slot: usize, len: usize) {
        assert!(len <= self.slot_len, "{len} octets in a slot of {}", self.slot_len);
        self.words.len_at(self.place(slot)).store(len as u16, Relaxed);
    }

    /// Whether `count` frames can be published now.
    #[inline]
    pub(crate) fn has_room(&mut self, count: usize) -> bool {
        self.producer.has_room(self.words.free(), count)
    }

    /// Hands the first `count` slots of the batch to the program. The batch goes on behind them.
    ///
    /// # Panics
    ///
    /// When [`has_room`](Self::has_room) did not say so.
    #[inline]
    pub(crate) fn publish(&mut self, count: usize) {
        self.producer.publish(self.words.tail(), count);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsFd, sync::atomic::Ordering::SeqCst};

    use super::*;

    /// A ring over memory of our own, and the file whose memory that is.
    fn ring(slot_len: usize) -> (FrameRing, File) {
        let path = std::env::temp_dir().join(format!("ring-{}-{slot_len}", std::process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file.set_len(LEN as u64).unwrap();
        (FrameRing::new(file.as_fd(), slot_len, 64).unwrap(), file)
    }

    #[test]
    fn the_layout_is_that_of_the_program() {
        let source = include_str!("../../../bpf/send.bpf.c");
        for line in [
            format!("#define SLOTS_MOST {SLOTS_MOST} "),
            format!("#define SLOT_LEN_MOST {SLOT_LEN_MOST} "),
            format!("#define FRAMES_LEN ({} << 20) ", FRAMES_LEN >> 20),
            format!("#define FRAME_LEN_LEAST {FRAME_LEN_LEAST} "),
            format!("#define FREE_EVERY {FREE_EVERY} "),
        ] {
            assert!(source.contains(&line), "{line}");
        }
        assert_eq!((FRAMES % 4096, SLOTS_MOST.is_power_of_two()), (0, true));
    }

    #[test]
    fn slots_are_as_many_as_fit_and_no_more_than_are_of_use() {
        for (slot_len, slots) in
            [(14, 8192), (64, 8192), (74, 8192), (256, 8192), (1514, 1024), (2048, 1024)]
        {
            assert_eq!(ring(slot_len).0.slots(), slots, "slots of {slot_len}");
        }
        let file = ring(99).1;
        for slot_len in [0, 13, 2049, usize::MAX] {
            let refused = FrameRing::new(file.as_fd(), slot_len, 64).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn what_is_written_is_where_the_program_reads() {
        use std::os::unix::fs::FileExt;
        let (mut ring, file) = ring(100);
        let read = |at: usize, len: usize| {
            let mut octets = vec![0; len];
            file.read_exact_at(&mut octets, at as u64).unwrap();
            octets
        };
        assert_eq!(read(STRIDE, 4), 128_u32.to_ne_bytes());
        assert_eq!(read(MASK, 4), 8191_u32.to_ne_bytes());
        assert_eq!(read(GIVEN, 4), 100_u32.to_ne_bytes());
        // Two turns and a bit, in batches that do not divide it.
        let mut number = 0_u64;
        while number < 20_000 {
            for slot in 0..60 {
                ring.frame(slot).fill(0xee);
                ring.frame(slot)[..8].copy_from_slice(&(number + slot as u64).to_ne_bytes());
                ring.set_len(slot, 40 + slot);
            }
            assert!(ring.has_room(60));
            ring.publish(60);
            number += 60;
            assert_eq!((ring.words().left(), read(TAIL, 8)), (60, number.to_ne_bytes().to_vec()));
            for taken in number - 60..number {
                let slot = taken as usize % 8192;
                assert_eq!(read(FRAMES + slot * 128, 8), taken.to_ne_bytes());
                assert_eq!(read(FRAMES + slot * 128 + 8, 92), [0xee; 92]);
                assert_eq!(read(LENS + 2 * slot, 2), (40 + (taken % 60) as u16).to_ne_bytes());
            }
            ring.words().head().store(number, SeqCst);
            ring.words().free().store(number, SeqCst);
            assert!(ring.words().is_empty());
        }
    }

    #[test]
    #[should_panic(expected = "slot 64 of 64")]
    fn a_slot_that_is_not_of_the_batch_is_not_written() {
        ring(101).0.frame(64);
    }

    #[test]
    #[should_panic(expected = "103 octets in a slot of 102")]
    fn a_length_is_that_of_its_slot_at_most() {
        ring(102).0.set_len(0, 103);
    }
}
