//! Datagrams to any address of the world, answered from the address that was asked (ip(7), IP_PKTINFO).

use std::{
    io::{IoSlice, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsRawFd, RawFd},
};

use mio::net::UdpSocket;
use nix::{
    cmsg_space,
    errno::Errno,
    libc,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrLike,
        SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
    },
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{LabError, error::asking, listener::Family};

/// Queries that wait in the kernel while the thread is busy: tens of thousands.
const RECEIVE_BUFFER: usize = 64 << 20;
/// Longer than any query.
const MOST: usize = 4_096;

/// A socket for all addresses.
#[derive(Debug)]
pub(super) struct Datagrams {
    pub(super) socket: UdpSocket,
    buffer: Box<[u8]>,
    control: Vec<u8>,
}

/// The way back: who asked, and whom.
#[derive(Clone, Copy, Debug)]
pub(super) enum Back {
    V4(SockaddrIn, libc::in_pktinfo),
    V6(SockaddrIn6, libc::in6_pktinfo),
}

/// A datagram and the way back.
pub(super) type Heard<'a> = (&'a [u8], Back);

impl Datagrams {
    /// Binds `port` of all addresses of `family` in the calling thread's namespace.
    pub(super) fn open(port: u16, family: Family) -> Result<Self, LabError> {
        let (domain, addr): (_, SocketAddr) = match family {
            Family::V4 => (Domain::IPV4, (Ipv4Addr::UNSPECIFIED, port).into()),
            Family::V6 => (Domain::IPV6, (Ipv6Addr::UNSPECIFIED, port).into()),
        };
        let open = || -> std::io::Result<_> {
            let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
            match family {
                Family::V4 => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
                Family::V6 => {
                    socket.set_only_v6(true)?;
                    // Answers come from addresses that the world has by a route alone, which are otherwise not its own.
                    socket.set_freebind_v6(true)?;
                    setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
                }
            }
            // Root of the machine alone may have more than the machine's own limit.
            if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
                socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
            }
            socket.set_nonblocking(true)?;
            socket.bind(&addr.into())?;
            Ok(UdpSocket::from_std(socket.into()))
        };
        let socket = open().map_err(asking(format!("taking UDP port {port} in the lab")))?;
        let control = cmsg_space!(libc::in6_pktinfo);
        Ok(Self { socket, buffer: vec![0; MOST].into(), control })
    }

    /// The next datagram, if there is one.
    pub(super) fn receive(&mut self) -> Result<Option<Heard<'_>>, Errno> {
        let fd = self.socket.as_raw_fd();
        let mut parts = [IoSliceMut::new(&mut self.buffer)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let message =
            match recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut self.control), flags) {
                Ok(message) => message,
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
                Err(errno) => return Err(errno),
            };
        let (bytes, from) = (message.bytes, message.address);
        let back =
            from.zip(message.cmsgs()?.next()).and_then(|(from, info)| Back::new(&from, &info));
        Ok(back.and_then(|back| Some((self.buffer.get(..bytes)?, back))))
    }

    /// The socket, to answer by while what was heard is still held.
    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Back {
    fn new(from: &SockaddrStorage, info: &ControlMessageOwned) -> Option<Self> {
        match info {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                let mut info = *info;
                // The address asked, by whatever device the way back is.
                info.ipi_ifindex = 0;
                info.ipi_spec_dst = info.ipi_addr;
                Some(Self::V4(*from.as_sockaddr_in()?, info))
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                let mut info = *info;
                info.ipi6_ifindex = 0;
                Some(Self::V6(*from.as_sockaddr_in6()?, info))
            }
            _ => None,
        }
    }

    /// Who asked, and whom.
    pub(super) fn ends(&self) -> (SocketAddr, IpAddr) {
        match self {
            Self::V4(from, info) => {
                let from = (from.ip(), from.port()).into();
                (from, Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into())
            }
            Self::V6(from, info) => {
                let from = (from.ip(), from.port()).into();
                (from, Ipv6Addr::from(info.ipi6_addr.s6_addr).into())
            }
        }
    }

    /// Whether it is of IPv4.
    pub(super) fn is_v4(&self) -> bool {
        matches!(self, Self::V4(..))
    }

    /// Sends `octets` this way by the socket `fd`, which is of its family.
    pub(super) fn send(&self, fd: RawFd, octets: &[u8]) -> Result<(), Errno> {
        match self {
            Self::V4(to, info) => send(fd, octets, &ControlMessage::Ipv4PacketInfo(info), to),
            Self::V6(to, info) => send(fd, octets, &ControlMessage::Ipv6PacketInfo(info), to),
        }
    }
}

fn send<A: SockaddrLike>(
    fd: RawFd,
    octets: &[u8],
    from: &ControlMessage<'_>,
    to: &A,
) -> Result<(), Errno> {
    let parts = [IoSlice::new(octets)];
    sendmsg(fd, &parts, std::slice::from_ref(from), MsgFlags::MSG_DONTWAIT, Some(to)).map(drop)
}
