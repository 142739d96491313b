//! Frames and the headers that sendmmsg(2) reads.

#![expect(unsafe_code, reason = "headers that point at frames beside them")]

use std::{
    io,
    ops::Range,
    os::fd::AsRawFd,
    ptr::{self, NonNull},
    slice,
};

use libc::{iovec, mmsghdr, msghdr, sockaddr_ll};
use socket2::Socket;

use super::{mmap::Mapping, socket::LinkAddress, syscall};

/// Frames start on a cache line each.
const CACHE_LINE: usize = 64;

/// Slots for frames, and one header for each that points at it. Everything lies in one mapping and is laid out once, at the
/// start; after that only the lengths change, and which of its addresses a header points at.
///
/// ```text
/// | mmsghdr x slots | iovec x slots | sockaddr_ll x addresses | frame x slots |
/// ```
#[derive(Debug)]
pub(crate) struct SendBatch {
    headers: NonNull<mmsghdr>,
    vectors: NonNull<iovec>,
    /// Where frames can be sent.
    addresses: NonNull<sockaddr_ll>,
    address_count: usize,
    frames: NonNull<u8>,
    slots: usize,
    slot_len: usize,
    stride: usize,
    /// Keeps what the pointers above point at.
    _mapping: Mapping,
}

impl SendBatch {
    /// `slots` slots of `slot_len` octets, sent to the first of `addresses` unless [`Self::set_address`] says otherwise or,
    /// without any, where the socket is bound.
    pub(crate) fn new(
        slots: usize,
        slot_len: usize,
        addresses: &[LinkAddress],
    ) -> io::Result<Self> {
        let too_large = || io::Error::from(io::ErrorKind::InvalidInput);
        let stride = slot_len.checked_next_multiple_of(CACHE_LINE).ok_or_else(too_large)?;
        let vectors_at = slots.checked_mul(size_of::<mmsghdr>()).ok_or_else(too_large)?;
        let address_at =
            slots.checked_mul(size_of::<iovec>()).and_then(|len| len.checked_add(vectors_at));
        let address_at = address_at.ok_or_else(too_large)?;
        let addresses_len = size_of_val(addresses);
        let frames_at = address_at
            .checked_add(addresses_len)
            .and_then(|len| len.checked_next_multiple_of(CACHE_LINE));
        let frames_at = frames_at.ok_or_else(too_large)?;
        let frames_len = slots.checked_mul(stride).ok_or_else(too_large)?;
        let mapping = Mapping::anonymous(frames_at.checked_add(frames_len).ok_or_else(too_large)?)?;
        let batch = Self {
            headers: mapping.at(0, vectors_at).cast(),
            vectors: mapping.at(vectors_at, address_at - vectors_at).cast(),
            addresses: mapping.at(address_at, addresses_len).cast(),
            address_count: addresses.len(),
            frames: mapping.at(frames_at, frames_len),
            slots,
            slot_len,
            stride,
            _mapping: mapping,
        };
        for (at, address) in addresses.iter().enumerate() {
            // SAFETY: inside the part of the mapping that is as long as `addresses`, which has nothing else there, and
            // aligned: headers and vectors are multiples of the alignment of a pointer from the start of a page.
            unsafe { batch.addresses.add(at).write(address.0) };
        }
        let first = (!addresses.is_empty()).then_some(batch.addresses);
        for slot in 0..slots {
            // SAFETY: `slot < slots`, for which `at` made sure of the room of each kind; aligned as above.
            unsafe {
                let vector = batch.vectors.add(slot);
                let iov_base = batch.frames.add(slot * stride).as_ptr().cast();
                vector.write(iovec { iov_base, iov_len: 0 });
                // Zeroed, as the mapping is, the rest of the header means: no control data, no flags.
                let header = &raw mut (*batch.headers.add(slot).as_ptr()).msg_hdr;
                lay_out(header, vector, first);
            }
        }
        Ok(batch)
    }

    /// How many frames it holds.
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// The octets of one slot. What was written stays.
    ///
    /// # Panics
    ///
    /// When there is no such slot.
    pub(crate) fn frame(&mut self, slot: usize) -> &mut [u8] {
        assert!(slot < self.slots, "slot {slot} of {}", self.slots);
        // SAFETY:
        // - Valid: `slot < self.slots` and `slot_len <= stride`, so this is inside the frames, which `self` keeps mapped.
        // - Initialised: the mapping is anonymous, so the kernel hands it over zeroed.
        // - Unaliased: the result borrows `self` mutably, and the kernel reads frames only during `send`, which copies them.
        unsafe {
            slice::from_raw_parts_mut(self.frames.add(slot * self.stride).as_ptr(), self.slot_len)
        }
    }

    /// Says how long the frame in a slot is.
    ///
    /// # Panics
    ///
    /// When there is no such slot, or it is shorter.
    pub(crate) fn set_len(&mut self, slot: usize, len: usize) {
        assert!(slot < self.slots, "slot {slot} of {}", self.slots);
        assert!(len <= self.slot_len, "{len} octets in a slot of {}", self.slot_len);
        // SAFETY: `slot < self.slots`, so this is one of the vectors that `new` wrote, and nothing else refers to it.
        unsafe { (*self.vectors.add(slot).as_ptr()).iov_len = len };
    }

    /// Says which of the addresses the frame in a slot is sent to.
    ///
    /// # Panics
    ///
    /// When there is no such slot, or no such address.
    pub(crate) fn set_address(&mut self, slot: usize, address: usize) {
        assert!(slot < self.slots, "slot {slot} of {}", self.slots);
        assert!(address < self.address_count, "address {address} of {}", self.address_count);
        // SAFETY: `slot < self.slots`, so this is one of the headers that `new` laid out, with the length of an address since
        // there is one; `address < self.address_count`, so it points at one that `new` wrote. Nothing else refers to either.
        unsafe {
            let to = self.addresses.add(address).as_ptr().cast();
            (*self.headers.add(slot).as_ptr()).msg_hdr.msg_name = to;
        }
    }

    /// Sends the frames of these slots without waiting, and says how many of them, from the first on, the kernel took. It
    /// stops at the first that it does not take; when that is the first of all, its errno is the error.
    ///
    /// # Panics
    ///
    /// When there are no such slots.
    pub(crate) fn send(&mut self, socket: &Socket, slots: Range<usize>) -> io::Result<usize> {
        assert!(
            slots.start <= slots.end && slots.end <= self.slots,
            "slots {slots:?} of {}",
            self.slots
        );
        let flags = libc::MSG_DONTWAIT as _; // c_int in glibc, c_uint in musl
        // SAFETY:
        // - Headers: `slots` are among those that `new` laid out, and the kernel may write `msg_len` of each.
        // - What they point at: vectors, frames and the address are in the same mapping, which does not move with `self`;
        //   `set_len` kept each length inside its slot.
        // - Sending a datagram copies it before the call returns, so nothing of this is used afterwards.
        let taken = unsafe {
            let first = self.headers.add(slots.start).as_ptr();
            syscall!(sendmmsg(socket.as_raw_fd(), first, slots.len() as u32, flags))?
        };
        Ok(taken.unsigned_abs() as usize)
    }
}

/// Points `header` at one vector and, if there is one, at an address.
///
/// # Safety
///
/// `header` is a zeroed msghdr that may be written.
unsafe fn lay_out(
    header: *mut msghdr,
    vector: NonNull<iovec>,
    address: Option<NonNull<sockaddr_ll>>,
) {
    // SAFETY: as the caller promises.
    unsafe {
        (*header).msg_iov = vector.as_ptr();
        (*header).msg_iovlen = 1;
        (*header).msg_name = address.map_or(ptr::null_mut(), |address| address.as_ptr().cast());
        (*header).msg_namelen = address.map_or(0, |_| size_of::<sockaddr_ll>() as u32);
    }
}

// SAFETY: the pointers are into the mapping that the same struct owns; no other struct has them, and whoever has `self` has
// all of them. The mapping belongs to the process, not to a thread.
unsafe impl Send for SendBatch {}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixDatagram, time::Duration};

    use super::*;

    /// A pair of datagram sockets: sendmmsg(2) is the same for every kind of socket.
    fn pair() -> (Socket, UnixDatagram) {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        theirs.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        (Socket::from(std::os::fd::OwnedFd::from(ours)), theirs)
    }

    #[test]
    fn frames_leave_as_they_were_built_and_in_order() {
        let (socket, peer) = pair();
        let mut batch = SendBatch::new(5, 100, &[]).unwrap();
        for slot in 0..5 {
            batch.frame(slot).fill(b'a' + slot as u8);
            batch.set_len(slot, 100 - slot);
        }
        let mut batch = std::thread::spawn(move || batch).join().unwrap(); // moved, it still points at itself
        assert_eq!(batch.send(&socket, 1..5).unwrap(), 4);
        let mut bytes = [0; 200];
        for slot in 1..5 {
            let len = peer.recv(&mut bytes).unwrap();
            assert_eq!(bytes[..len], vec![b'a' + slot as u8; 100 - slot]);
        }
    }

    #[test]
    fn slots_do_not_overlap() {
        let mut batch = SendBatch::new(64, 65, &[]).unwrap();
        for slot in 0..64 {
            batch.frame(slot).fill(slot as u8);
        }
        for slot in 0..64 {
            assert_eq!(batch.frame(slot), [slot as u8; 65]);
        }
    }

    #[test]
    fn a_full_peer_is_an_error_and_not_a_wait() {
        let (socket, _peer) = pair();
        let mut batch = SendBatch::new(64, 64, &[]).unwrap();
        let mut taken = 0;
        let error = loop {
            match batch.send(&socket, 0..64) {
                Ok(count) => taken += count,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(taken > 0);
    }

    #[test]
    #[should_panic(expected = "65 octets in a slot of 64")]
    fn a_length_beyond_its_slot_is_refused() {
        SendBatch::new(1, 64, &[]).unwrap().set_len(0, 65);
    }

    #[test]
    #[should_panic(expected = "slots 0..2 of 1")]
    fn slots_that_are_not_there_are_not_sent() {
        let (socket, _peer) = pair();
        let _ = SendBatch::new(1, 64, &[]).unwrap().send(&socket, 0..2);
    }

    #[test]
    #[should_panic(expected = "address 1 of 1")]
    fn an_address_that_is_not_there_is_refused() {
        SendBatch::new(1, 64, &[LinkAddress::new(1, 0)]).unwrap().set_address(0, 1);
    }

    #[test]
    fn an_impossible_size_is_refused() {
        assert!(SendBatch::new(64, usize::MAX, &[]).is_err());
        assert!(SendBatch::new(usize::MAX / 8, 8, &[]).is_err());
    }
}
