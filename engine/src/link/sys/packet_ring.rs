//! A TPACKET_V3 receive ring over a mapping (packet_mmap in the kernel's documentation).
//!
//! ```text
//! ring   | block | block | block | ...            each starts with a status word: the kernel's, or ours
//! block  | descriptor | frame | frame | ...       a chain: count, offset of the first, offset to the next
//! frame  | tpacket3_hdr | sockaddr_ll | octets    the octets begin `tp_mac` after the header does
//! ```
//!
//! The kernel fills a block while its status is TP_STATUS_KERNEL and touches none whose status has TP_STATUS_USER. So a
//! block is taken over by an acquire load and handed back by a release store of that word, and in between it is plain memory
//! that is parsed in safe code. That code trusts no number in the block.

#![expect(unsafe_code, reason = "the memory that is shared with the kernel")]

use std::{
    io,
    mem::offset_of,
    os::fd::AsFd,
    slice,
    sync::atomic::{
        AtomicU32,
        Ordering::{Acquire, Release},
    },
    time::Duration,
};

use libc::{sockaddr_ll, tpacket_block_desc, tpacket_hdr_v1, tpacket3_hdr};
use socket2::Socket;

use super::{mmap::Mapping, socket};

const STATUS: usize =
    offset_of!(tpacket_block_desc, hdr) + offset_of!(tpacket_hdr_v1, block_status);
const FRAMES: usize = offset_of!(tpacket_block_desc, hdr) + offset_of!(tpacket_hdr_v1, num_pkts);
const FIRST_FRAME: usize =
    offset_of!(tpacket_block_desc, hdr) + offset_of!(tpacket_hdr_v1, offset_to_first_pkt);
/// Behind each frame's header, aligned to TPACKET_ALIGNMENT, stands the address that recvfrom(2) would give.
const PACKET_TYPE: usize =
    size_of::<tpacket3_hdr>().next_multiple_of(16) + offset_of!(sockaddr_ll, sll_pkttype);

/// A frame where it lies in the ring.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Captured<'a> {
    /// The octets captured.
    pub(crate) bytes: &'a [u8],
    /// Its length on the wire.
    pub(crate) wire_len: u32,
    /// When it arrived, by the wall clock, in nanoseconds since 1970.
    pub(crate) wall_nanos: u64,
    /// Whether this machine sent it (PACKET_OUTGOING).
    pub(crate) is_outgoing: bool,
}

/// The ring of one socket.
#[derive(Debug)]
pub(crate) struct PacketRing {
    mapping: Mapping,
    blocks: usize,
    block_len: usize,
    /// The block that the kernel hands over next: it goes round in order.
    next: usize,
}

impl PacketRing {
    /// Gives `socket` a ring of `blocks` times `block_len` octets, which must be whole pages. The kernel hands a block over
    /// when it is full, or `retire` after its first frame.
    pub(crate) fn open(
        socket: &Socket,
        blocks: u32,
        block_len: u32,
        retire: Duration,
    ) -> io::Result<Self> {
        socket::make_ring(socket, blocks, block_len, retire)?;
        let (blocks, block_len) = (blocks as usize, block_len as usize);
        let len = blocks.checked_mul(block_len).ok_or(io::ErrorKind::InvalidInput)?;
        // While it is mapped the kernel neither replaces nor frees the ring (EBUSY), and the mapping outlives the socket.
        let mapping = Mapping::shared(socket.as_fd(), len)?;
        Ok(Self { mapping, blocks, block_len, next: 0 })
    }

    /// Shows the frames of the blocks that are ready, `most` at most, and hands the blocks back.
    pub(crate) fn drain(&mut self, most: usize, mut take: impl FnMut(Captured<'_>)) {
        for _ in 0..most {
            let start = self.mapping.at(self.next * self.block_len, self.block_len).as_ptr();
            // SAFETY:
            // - Valid: STATUS is within the first page of the block, and a block is whole pages, or the kernel had refused
            //   the ring (EINVAL); `self.mapping` outlives the reference.
            // - Aligned: the block starts on a page, and STATUS is a multiple of four.
            // - Raced by atomics only: the kernel reads and writes this word as one.
            let status = unsafe { AtomicU32::from_ptr(start.add(STATUS).cast()) };
            if status.load(Acquire) & libc::TP_STATUS_USER == 0 {
                break;
            }
            // SAFETY:
            // - Valid: `Mapping::at` held `block_len` octets from `start` to be inside the mapping, which outlives the slice.
            // - Initialised: the kernel allocates rings zeroed.
            // - Not written while it is borrowed: the kernel gave the block up with the store that the load above read, and
            //   takes it back only after the store below. We write nothing but the status, when the slice is gone.
            let block = unsafe { slice::from_raw_parts(start, self.block_len) };
            show(block, &mut take);
            status.store(libc::TP_STATUS_KERNEL, Release);
            self.next = (self.next + 1) % self.blocks;
        }
    }
}

/// Shows the frames of a block. A chain that leads out of the block, or on the spot, ends there.
fn show(block: &[u8], take: &mut impl FnMut(Captured<'_>)) {
    let (Some(frames), Some(first)) = (u32_at(block, FRAMES), u32_at(block, FIRST_FRAME)) else {
        return;
    };
    let mut rest = block.get(first as usize..).unwrap_or_default();
    for _ in 0..frames {
        let Some(captured) = captured(rest) else { return };
        take(captured);
        let next = u32_at(rest, offset_of!(tpacket3_hdr, tp_next_offset)).unwrap_or(0);
        if next == 0 {
            return;
        }
        rest = rest.get(next as usize..).unwrap_or_default();
    }
}

/// The frame whose header `bytes` begins with.
fn captured(bytes: &[u8]) -> Option<Captured<'_>> {
    let mac = usize::from(u16_at(bytes, offset_of!(tpacket3_hdr, tp_mac))?);
    let len = u32_at(bytes, offset_of!(tpacket3_hdr, tp_snaplen))? as usize;
    let seconds = u32_at(bytes, offset_of!(tpacket3_hdr, tp_sec))?;
    let nanos = u32_at(bytes, offset_of!(tpacket3_hdr, tp_nsec))?;
    Some(Captured {
        bytes: bytes.get(mac..)?.get(..len)?,
        wire_len: u32_at(bytes, offset_of!(tpacket3_hdr, tp_len))?,
        wall_nanos: u64::from(seconds) * 1_000_000_000 + u64::from(nanos),
        is_outgoing: *bytes.get(PACKET_TYPE)? == libc::PACKET_OUTGOING,
    })
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().map(|octets| u16::from_ne_bytes(*octets))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|octets| u32::from_ne_bytes(*octets))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Where the octets of a made-up frame begin.
    const MAC: usize = 82;

    fn put<const N: usize>(block: &mut [u8], offset: usize, octets: [u8; N]) {
        block[offset..offset + N].copy_from_slice(&octets);
    }

    /// A block as the kernel lays it out, with these frames and this type of packet.
    fn block(frames: &[&[u8]], packet_type: u8) -> Vec<u8> {
        let mut block = vec![0; 4096];
        put(&mut block, FRAMES, (frames.len() as u32).to_ne_bytes());
        put(&mut block, FIRST_FRAME, 48_u32.to_ne_bytes());
        let mut at = 48;
        for (number, frame) in frames.iter().enumerate() {
            let stride = (MAC + frame.len()).next_multiple_of(16);
            let next = if number + 1 == frames.len() { 0 } else { stride as u32 };
            put(&mut block, at + offset_of!(tpacket3_hdr, tp_next_offset), next.to_ne_bytes());
            put(&mut block, at + offset_of!(tpacket3_hdr, tp_sec), 7_u32.to_ne_bytes());
            put(&mut block, at + offset_of!(tpacket3_hdr, tp_nsec), (number as u32).to_ne_bytes());
            put(
                &mut block,
                at + offset_of!(tpacket3_hdr, tp_snaplen),
                (frame.len() as u32).to_ne_bytes(),
            );
            put(&mut block, at + offset_of!(tpacket3_hdr, tp_len), 1500_u32.to_ne_bytes());
            put(&mut block, at + offset_of!(tpacket3_hdr, tp_mac), (MAC as u16).to_ne_bytes());
            block[at + PACKET_TYPE] = packet_type;
            block[at + MAC..at + MAC + frame.len()].copy_from_slice(frame);
            at += stride;
        }
        block
    }

    fn shown(block: &[u8]) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        show(block, &mut |frame: Captured<'_>| frames.push(frame.bytes.to_vec()));
        frames
    }

    #[test]
    fn the_layout_is_that_of_the_kernel() {
        // linux/if_packet.h: version, offset_to_priv, block_status, num_pkts, offset_to_first_pkt.
        assert_eq!((STATUS, FRAMES, FIRST_FRAME), (8, 12, 16));
        assert_eq!(PACKET_TYPE, 48 + 10);
    }

    #[test]
    fn every_frame_of_a_block_is_shown_in_order() {
        assert_eq!(shown(&block(&[], 0)), Vec::<Vec<u8>>::new());
        let frames: [&[u8]; 3] = [b"first", b"", b"the third frame"];
        assert_eq!(shown(&block(&frames, 0)), frames);
    }

    #[test]
    fn a_frame_brings_its_time_its_length_and_its_direction() {
        for (packet_type, is_outgoing) in
            [(0, false), (1, false), (2, false), (3, false), (4, true)]
        {
            let block = block(&[b"a", b"b"], packet_type);
            let mut last = None;
            show(&block, &mut |frame: Captured<'_>| {
                assert_eq!(frame.is_outgoing, is_outgoing);
                last = Some((frame.wall_nanos, frame.wire_len));
            });
            assert_eq!(last, Some((7_000_000_001, 1500)));
        }
    }

    #[test]
    fn a_frame_that_claims_more_than_the_block_has_ends_it() {
        let mut block = block(&[b"first", b"second"], 0);
        let second = 48 + (MAC + 5).next_multiple_of(16);
        put(&mut block, second + offset_of!(tpacket3_hdr, tp_snaplen), 5000_u32.to_ne_bytes());
        assert_eq!(shown(&block), [b"first"]);
    }

    #[test]
    fn a_chain_on_the_spot_ends() {
        let mut block = block(&[b"only"], 0);
        put(&mut block, FRAMES, u32::MAX.to_ne_bytes());
        assert_eq!(shown(&block), [b"only"]);
    }

    proptest! {
        /// Whatever stands in a block, parsing it ends and stays inside.
        #[test]
        fn any_block_can_be_shown(
            mut octets in prop::collection::vec(any::<u8>(), 0..600),
            first in 0_u32..64,
            frames in 0_u32..1000,
        ) {
            if octets.len() >= 48 {
                put(&mut octets, FRAMES, frames.to_ne_bytes());
                put(&mut octets, FIRST_FRAME, first.to_ne_bytes());
            }
            prop_assert!(shown(&octets).len() <= 1000);
        }
    }
}
