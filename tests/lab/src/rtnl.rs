//! Requests to the kernel by rtnetlink(7), one at a time, each acknowledged.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::{LabError, error::asking};

/// What a request may do with what is there already.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    /// Change it.
    Change,
    /// Refuse when it is there.
    Create,
}

/// A netlink socket of the network namespace that the calling thread was in when it was opened.
pub(crate) struct Rtnl {
    socket: Socket,
    sequence: u32,
}

impl Rtnl {
    pub(crate) fn open() -> Result<Self, LabError> {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            Ok::<_, io::Error>(Self { socket, sequence: 0 })
        };
        open().map_err(asking("opening a netlink socket"))
    }

    /// Sends `message` and waits for the kernel's answer; `what` is the request in words, for the error.
    pub(crate) fn request(
        &mut self,
        message: RouteNetlinkMessage,
        mode: Mode,
        what: &str,
    ) -> Result<(), LabError> {
        self.sequence += 1;
        let mut request = NetlinkMessage::from(message);
        request.header.sequence_number = self.sequence;
        request.header.flags = NLM_F_REQUEST
            | NLM_F_ACK
            | match mode {
                Mode::Change => 0,
                Mode::Create => NLM_F_CREATE | NLM_F_EXCL,
            };
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.exchange(&bytes).map_err(asking(what))
    }

    fn exchange(&self, request: &[u8]) -> io::Result<()> {
        self.socket.send(request, 0)?;
        loop {
            let (answer, _) = self.socket.recv_from_full()?;
            let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if answer.header.sequence_number != self.sequence {
                continue;
            }
            if let NetlinkPayload::Error(error) = answer.payload {
                return if error.code.is_none() { Ok(()) } else { Err(error.to_io()) };
            }
        }
    }
}
