//! What the link asks of Linux: the one folder with `unsafe` in it, one kernel noun a file.
//!
//! | file | noun | `unsafe` |
//! |---|---|---|
//! | `bpf.rs` | one long run of a BPF program | yes |
//! | `capabilities.rs` | the capabilities of a thread | yes |
//! | `cpu.rs` | the CPUs that a thread may run on | yes |
//! | `digest_ring.rs` | digests in a BPF array | yes |
//! | `driver.rs` | who drives a device, and its channels | no |
//! | `ethtool.rs` | the statistics that a driver keeps | yes |
//! | `frame_ring.rs` | a ring of frames over a BPF array | yes |
//! | `mmap.rs` | a mapping: of a packet ring or a BPF map, or anonymous memory | yes |
//! | `monotonic.rs` | the clock that BPF programs read | yes |
//! | `namespace.rs` | a network namespace, for tests alone | yes |
//! | `netdev.rs` | what the kernel says that a device can do | no |
//! | `netlink.rs` | one question to rtnetlink, and its answer | no |
//! | `packet_ring.rs` | a TPACKET_V3 receive ring over a mapping | yes |
//! | `receiver_words.rs` | what a receiver and its BPF program tell each other | yes |
//! | `record_ring.rs` | the reading end of a BPF ring buffer | yes |
//! | `rlimit.rs` | the limit of open files | yes |
//! | `send_batch.rs` | frames and the headers that sendmmsg(2) reads | yes |
//! | `signal.rs` | a signal that ends a system call of one thread | yes |
//! | `socket.rs` | calls on packet sockets that socket2 does not have | yes |
//!
//! # The contract
//!
//! - Everything here is safe to call with any argument: what must hold is checked or held by a type.
//! - A file descriptor is owned by an `OwnedFd` or a `socket2::Socket`, never by a number.
//! - Errors are `std::io::Error` with the kernel's errno; the layer above knows what was asked and names the mend.
//! - Nothing is remembered between calls in a static: a socket belongs to the network namespace of the thread that opened it.

pub(crate) mod bpf;
pub(crate) mod capabilities;
pub(crate) mod cpu;
pub(crate) mod digest_ring;
pub(crate) mod driver;
pub(crate) mod ethtool;
pub(crate) mod frame_ring;
pub(crate) mod mmap;
pub(crate) mod monotonic;
#[cfg(test)]
pub(crate) mod namespace;
pub(crate) mod netdev;
pub(crate) mod netlink;
pub(crate) mod packet_ring;
pub(crate) mod receiver_words;
pub(crate) mod record_ring;
pub(crate) mod rlimit;
pub(crate) mod send_batch;
pub(crate) mod signal;
pub(crate) mod socket;

/// Calls a function of libc that returns -1 and sets errno, and makes an `io::Result` of it.
macro_rules! syscall {
    ($name:ident ( $($argument:expr),* $(,)? )) => {{
        let result = libc::$name($($argument),*);
        if result == -1 { Err(std::io::Error::last_os_error()) } else { Ok(result) }
    }};
}
pub(crate) use syscall;
