//! Calls on packet sockets (packet(7)) that socket2 does not have.

#![expect(
    unsafe_code,
    reason = "bind(2), setsockopt(2) and getsockopt(2) with the structures of packet sockets"
)]

use std::{fmt, io, mem, os::fd::AsRawFd, time::Duration};

use socket2::Socket;

use super::syscall;

/// Octets of a ring that one frame is reckoned with when the ring is made. A TPACKET_V3 ring packs frames as they come;
/// the kernel only checks that the product of its numbers is right.
const NOMINAL_FRAME_LEN: u32 = 2048;

/// An interface and a protocol: where a packet socket receives, or what it sends.
#[derive(Clone, Copy)]
pub(crate) struct LinkAddress(pub(super) libc::sockaddr_ll);

impl LinkAddress {
    /// `protocol` is an EtherType, 0 for none.
    pub(crate) fn new(index: u32, protocol: u16) -> Self {
        Self(libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: protocol.to_be(),
            sll_ifindex: index.cast_signed(),
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        })
    }
}

impl fmt::Debug for LinkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "interface {} protocol {:#06x}",
            self.0.sll_ifindex,
            u16::from_be(self.0.sll_protocol)
        )
    }
}

/// Binds a packet socket. With a protocol it receives from now on; without one it only sends.
pub(crate) fn bind(socket: &Socket, to: LinkAddress) -> io::Result<()> {
    let (address, len) = ((&raw const to.0).cast(), size_of_val(&to.0) as libc::socklen_t);
    // SAFETY: `address` is that of a whole sockaddr_ll of `len` octets, which the kernel only reads.
    unsafe { syscall!(bind(socket.as_raw_fd(), address, len)) }.map(drop)
}

/// Frames go straight to the driver, past the queueing discipline and past other packet sockets.
pub(crate) fn bypass_qdisc(socket: &Socket) -> io::Result<()> {
    set(socket, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, &1_i32)
}

/// Frames that this machine sends are not received.
pub(crate) fn ignore_outgoing(socket: &Socket) -> io::Result<()> {
    set(socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1_i32)
}

/// Sets the send buffer past the system's limit (net.core.wmem_max), which needs CAP_NET_ADMIN.
pub(crate) fn force_send_buffer(socket: &Socket, octets: i32) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &octets)
}

/// Sets the receive buffer past the system's limit (net.core.rmem_max), which needs CAP_NET_ADMIN.
#[cfg(test)]
pub(crate) fn force_receive_buffer(socket: &Socket, octets: i32) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &octets)
}

/// Gives the socket a TPACKET_V3 receive ring. A block is handed over when it is full, or `retire` after its first frame.
pub(super) fn make_ring(
    socket: &Socket,
    blocks: u32,
    block_len: u32,
    retire: Duration,
) -> io::Result<()> {
    set(
        socket,
        libc::SOL_PACKET,
        libc::PACKET_VERSION,
        &(libc::tpacket_versions::TPACKET_V3 as i32),
    )?;
    let request = libc::tpacket_req3 {
        tp_block_size: block_len,
        tp_block_nr: blocks,
        tp_frame_size: NOMINAL_FRAME_LEN,
        tp_frame_nr: (block_len / NOMINAL_FRAME_LEN).saturating_mul(blocks),
        tp_retire_blk_tov: u32::try_from(retire.as_millis()).unwrap_or(u32::MAX),
        tp_sizeof_priv: 0,
        tp_feature_req_word: 0,
    };
    set(socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)
}

/// A fanout group: the number that the kernel gave it, and how it deals out. What a socket that joins has to say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FanoutGroup(u32);

/// Makes a fanout group of `socket`, which is bound: frames that arrive are dealt out to its members by a hash of their flow.
/// What this machine sends is left out by the group, since what [`ignore_outgoing`] says of a socket does not hold in one.
pub(crate) fn start_fanout(socket: &Socket) -> io::Result<FanoutGroup> {
    let kind = libc::PACKET_FANOUT_HASH | libc::PACKET_FANOUT_FLAG_UNIQUEID;
    let start = |kind: u32| set(socket, libc::SOL_PACKET, libc::PACKET_FANOUT, &(kind << 16));
    match start(kind | libc::PACKET_FANOUT_FLAG_IGNORE_OUTGOING) {
        // A kernel that does not know the flag.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => start(kind)?,
        result => result?,
    }
    let mut value = 0_u32;
    let mut len = size_of_val(&value) as libc::socklen_t;
    let (level, name) = (libc::SOL_PACKET, libc::PACKET_FANOUT);
    // SAFETY: the kernel writes at most `len` octets, which is the size of `value`, and any octets make a valid one.
    unsafe {
        syscall!(getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw mut value).cast(),
            &raw mut len
        ))?
    };
    Ok(FanoutGroup(value))
}

/// Adds `socket`, which is bound as the others are, to a fanout group.
pub(crate) fn join_fanout(socket: &Socket, group: FanoutGroup) -> io::Result<()> {
    set(socket, libc::SOL_PACKET, libc::PACKET_FANOUT, &group.0)
}

/// Frames that passed the filter and found the ring full, since this was last asked.
pub(crate) fn take_drops(socket: &Socket) -> io::Result<u64> {
    let mut stats = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
    let mut len = size_of_val(&stats) as libc::socklen_t;
    let (level, name) = (libc::SOL_PACKET, libc::PACKET_STATISTICS);
    // SAFETY: the kernel writes at most `len` octets, which is the size of `stats`, and any octets make a valid one.
    unsafe {
        syscall!(getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw mut stats).cast(),
            &raw mut len
        ))?
    };
    Ok(stats.tp_drops.into())
}

fn set<T: Copy + 'static>(socket: &Socket, level: i32, name: i32, value: &T) -> io::Result<()> {
    let (pointer, len) = ((&raw const *value).cast(), mem::size_of::<T>() as libc::socklen_t);
    // SAFETY: `pointer` is that of a value of `len` octets, which the kernel only reads, and reads before it returns.
    unsafe { syscall!(setsockopt(socket.as_raw_fd(), level, name, pointer, len)) }.map(drop)
}
