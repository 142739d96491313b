//! Frames put on the wire as they are, from the world's end: what no kernel would send.

use std::{io, os::fd::AsRawFd};

use nix::sys::socket::bind;
use socket2::{Domain, Socket, Type};

use crate::{LabError, Namespace, error::asking, responder::device_addr};

/// Sends any octets to the scanner's device. It cannot send elsewhere: it is bound to the world's end of the pair.
#[derive(Debug)]
pub struct Injector {
    socket: Socket,
}

impl Injector {
    /// `world` is [`Lab::world`](crate::Lab::world).
    ///
    /// # Errors
    ///
    /// [`LabError::System`] when the packet socket cannot be had.
    pub fn open(world: &Namespace) -> Result<Self, LabError> {
        let open = || {
            // Protocol 0: it receives nothing.
            let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
            bind(socket.as_raw_fd(), &device_addr()?)?;
            Ok::<_, io::Error>(Self { socket })
        };
        world.run(open)?.map_err(asking("opening a packet socket in the lab"))
    }

    /// Sends `frame`, from the first octet of its Ethernet header on, waiting while the device is busy.
    ///
    /// # Errors
    ///
    /// The system's answer: EMSGSIZE for a frame longer than the device carries, EINVAL for one without an Ethernet header.
    pub fn inject(&self, frame: &[u8]) -> io::Result<()> {
        self.socket.send(frame).map(drop)
    }
}
