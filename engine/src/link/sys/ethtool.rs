//! The statistics that a driver keeps of its device: SIOCETHTOOL (netdevice(7), linux/include/uapi/linux/ethtool.h).

#![expect(
    unsafe_code,
    reason = "ioctl(2) with a structure that the kernel fills, mprotect(2) of what lies behind it"
)]

use std::{io, os::fd::AsRawFd, ptr::NonNull};

use socket2::{Domain, Socket, Type};

use super::{
    mmap::{Mapping, page_len},
    syscall,
};

const GET_STRINGS: u32 = 0x1b;
const GET_STATISTICS: u32 = 0x1d;
const GET_SET_LENGTHS: u32 = 0x37;
/// The set of strings that names the statistics (ETH_SS_STATS).
const SET_STATISTICS: u32 = 1;
/// Octets of one name, closing zeros among them (ETH_GSTRING_LEN).
const NAME_LEN: usize = 32;
/// Octets before the lengths in ethtool_sset_info, which has a 64-bit mask in it.
const LENGTHS_HEAD: usize = 16;
/// Octets before the names in ethtool_gstrings: command, set, how many.
const STRINGS_HEAD: usize = 12;
/// Octets before the values in ethtool_stats: command, how many.
const STATISTICS_HEAD: usize = 8;
/// More statistics than any driver has: a device with 512 queues and 40 numbers each. A driver that says more is not
/// believed.
const MOST: usize = 1 << 15;

/// A device whose driver keeps statistics, by name, as long as their number stays the same.
#[derive(Debug)]
pub(crate) struct Statistics {
    socket: Socket,
    device: String,
    names: Vec<String>,
    values: Room,
}

impl Statistics {
    /// The statistics of `device` in the network namespace of the calling thread; `None` when its driver keeps none.
    pub(crate) fn of(device: &str) -> io::Result<Option<Self>> {
        let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
        let count = match count(&socket, device) {
            Ok(0) => return Ok(None),
            Ok(count) => count,
            Err(error) if is_unsupported(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut room = Room::of(STRINGS_HEAD + count * NAME_LEN)?;
        room.put(0, GET_STRINGS);
        room.put(4, SET_STATISTICS);
        room.put(8, count as u32);
        request(&socket, device, &mut room)?;
        if room.get(8) as usize != count {
            return Err(changed());
        }
        let names =
            room.octets(STRINGS_HEAD, count * NAME_LEN).chunks(NAME_LEN).map(name).collect();
        let values = Room::of(STATISTICS_HEAD + count * 8)?;
        Ok(Some(Self { socket, device: device.to_owned(), names, values }))
    }

    /// The names, each at the index of its value.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The values as of now. [`io::ErrorKind::InvalidData`] when there are more or fewer than when the names were read:
    /// the number of queues was changed, say.
    pub(crate) fn values(&mut self) -> io::Result<impl Fn(usize) -> Option<u64>> {
        if count(&self.socket, &self.device)? != self.names.len() {
            return Err(changed());
        }
        self.values.put(0, GET_STATISTICS);
        self.values.put(4, self.names.len() as u32);
        request(&self.socket, &self.device, &mut self.values)?;
        if self.values.get(4) as usize != self.names.len() {
            return Err(changed());
        }
        let values = self.values.octets(STATISTICS_HEAD, self.names.len() * 8);
        Ok(|index| {
            let value = values.chunks_exact(8).nth(index)?;
            value.try_into().map(u64::from_ne_bytes).ok()
        })
    }
}

/// How many statistics the driver of `device` keeps.
fn count(socket: &Socket, device: &str) -> io::Result<usize> {
    let mut room = Room::of(LENGTHS_HEAD + 4)?;
    room.put(0, GET_SET_LENGTHS);
    // The mask of the sets that are asked for, then of those that are there.
    let asked = 1_u64 << SET_STATISTICS;
    room.octets_mut(8, 8).copy_from_slice(&asked.to_ne_bytes());
    request(socket, device, &mut room)?;
    if room.octets(8, 8) != asked.to_ne_bytes() {
        return Ok(0);
    }
    let count = room.get(LENGTHS_HEAD) as usize;
    if count > MOST {
        let why = format!("the driver of {device} says that it keeps {count} statistics");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    Ok(count)
}

/// Has the driver of `device` do what the command at the start of `room` says.
pub(super) fn request(socket: &Socket, device: &str, room: &mut Room) -> io::Result<()> {
    let mut name = [0; libc::IFNAMSIZ];
    if device.len() >= name.len() || device.contains('\0') {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (octet, to) in device.bytes().zip(&mut name) {
        *to = octet as libc::c_char;
    }
    let data = room.start().as_ptr().cast();
    let mut request =
        libc::ifreq { ifr_name: name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: data } };
    // SAFETY: the kernel reads and writes the whole ifreq, and octets from `data` on. Those are this room's alone, which
    // is borrowed for it. How many it writes depends on how many statistics the driver has at that moment, which may not
    // be how many it had when the room was made: it writes from the front, and stops with EFAULT at the page behind the
    // room, which nobody may write.
    unsafe { syscall!(ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request)) }.map(drop)
}

/// Drivers without ethtool, or without what is asked for in it.
pub(super) fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EINVAL))
}

fn changed() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the driver keeps other statistics than a moment ago",
    )
}

/// A name up to its closing zeros.
pub(super) fn name(octets: &[u8]) -> String {
    let len = octets.iter().position(|octet| *octet == 0).unwrap_or(octets.len());
    String::from_utf8_lossy(&octets[..len]).into_owned()
}

/// Memory for one structure of ethtool, at its front, with a page behind it that nobody may touch.
#[derive(Debug)]
pub(super) struct Room {
    mapping: Mapping,
    len: usize,
}

impl Room {
    /// Room for `len` octets and up to a page more, zeroed.
    pub(super) fn of(len: usize) -> io::Result<Self> {
        let page = page_len()?;
        let len = len.next_multiple_of(page);
        let mapping = Mapping::anonymous(len + page)?;
        let guard = mapping.at(len, page).as_ptr().cast();
        // SAFETY: a whole page of the mapping, which begins at a page as all do. Nothing of this file refers to it.
        unsafe { syscall!(mprotect(guard, page, libc::PROT_NONE))? };
        Ok(Self { mapping, len })
    }

    fn start(&mut self) -> NonNull<u8> {
        self.mapping.at(0, self.len)
    }

    pub(super) fn octets(&self, at: usize, len: usize) -> &[u8] {
        assert!(at + len <= self.len, "{at} + {len} of {}", self.len);
        // SAFETY: the first `self.len` octets of the mapping are memory that was zeroed or written, that only this room
        // has, and that lives as long as it. The kernel writes during `request` alone, which borrows the room.
        unsafe { NonNull::slice_from_raw_parts(self.mapping.at(at, len), len).as_ref() }
    }

    fn octets_mut(&mut self, at: usize, len: usize) -> &mut [u8] {
        assert!(at + len <= self.len, "{at} + {len} of {}", self.len);
        // SAFETY: as in `octets`, and the room is borrowed for as long as the slice.
        unsafe { NonNull::slice_from_raw_parts(self.mapping.at(at, len), len).as_mut() }
    }

    pub(super) fn put(&mut self, at: usize, word: u32) {
        self.octets_mut(at, 4).copy_from_slice(&word.to_ne_bytes());
    }

    pub(super) fn get(&self, at: usize) -> u32 {
        let mut word = [0; 4];
        word.copy_from_slice(self.octets(at, 4));
        u32::from_ne_bytes(word)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::namespace, *};

    #[test]
    fn a_name_ends_at_its_first_zero() {
        assert_eq!(name(b"pps_allowance_exceeded\0\0x"), "pps_allowance_exceeded");
        assert_eq!(name(&[b'a'; NAME_LEN]).len(), NAME_LEN);
    }

    #[test]
    fn loopback_keeps_no_statistics() {
        assert!(Statistics::of("lo").unwrap().is_none());
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error() {
        for device in ["mrpf-none", "a-name-of-more-than-fifteen", "lo\0", ""] {
            let error = Statistics::of(device).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENODEV), "{device:?}: {error}");
        }
    }

    /// A veth has statistics, though none of an allowance. In a namespace that ends with its thread.
    #[test]
    fn the_statistics_of_a_driver_are_read_by_name() {
        namespace::run(|| {
            namespace::ip("link add v0 type veth peer name v1");
            let mut statistics = Statistics::of("v0").unwrap().expect("a veth keeps statistics");
            let at = statistics.names().iter().position(|name| name == "peer_ifindex").unwrap();
            let index = statistics.values().unwrap()(at).unwrap();
            // SAFETY: the name is a string with a closing zero, which is only read.
            assert_eq!(index, u64::from(unsafe { libc::if_nametoindex(c"v1".as_ptr()) }));
            let count = statistics.names().len();
            assert_eq!(statistics.values().unwrap()(count), None);
            namespace::ip("link del v0");
            let gone = statistics.values().err().and_then(|error| error.raw_os_error());
            assert_eq!(gone, Some(libc::ENODEV));
        });
    }

    #[test]
    fn what_follows_a_room_cannot_be_written() {
        let mut room = Room::of(100).unwrap();
        let page = page_len().unwrap();
        assert_eq!(room.len, page);
        let pipe = std::io::pipe().unwrap();
        std::io::Write::write_all(&mut &pipe.1, &vec![7; 2 * page]).unwrap();
        let start = room.start().as_ptr().cast();
        // SAFETY: the kernel writes at most to the end of the mapping; that it stops before it is what is tested.
        let read = unsafe { syscall!(read(pipe.0.as_raw_fd(), start, 2 * page)) }.unwrap();
        assert_eq!(read as usize, page, "the kernel stops at the guard");
        assert_eq!(room.octets(0, page), vec![7; page]);
    }
}
