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

    /// Sends `message` and waits until the kernel has done it; `what` is the request in words, for the error.
    pub(crate) fn request(
        &mut self,
        message: RouteNetlinkMessage,
        mode: Mode,
        what: &str,
    ) -> Result<(), LabError> {
        let flags = match mode {
            Mode::Change => 0,
            Mode::Create => NLM_F_CREATE | NLM_F_EXCL,
        };
        self.exchange(message, flags).map(drop).map_err(asking(what))
    }

    /// Sends `question` and gives back the kernel's answer to it.
    pub(crate) fn ask(
        &mut self,
        question: RouteNetlinkMessage,
        what: &str,
    ) -> Result<RouteNetlinkMessage, LabError> {
        let answer = self.exchange(question, 0).map_err(asking(what))?;
        answer.ok_or_else(|| asking(what)(io::Error::from(io::ErrorKind::UnexpectedEof)))
    }

    /// What comes before the acknowledgement, if anything does.
    fn exchange(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<Option<RouteNetlinkMessage>> {
        self.sequence += 1;
        let mut request = NetlinkMessage::from(message);
        request.header.sequence_number = self.sequence;
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let mut answered = None;
        loop {
            let (answer, _) = self.socket.recv_from_full()?;
            let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if answer.header.sequence_number != self.sequence {
                continue;
            }
            match answer.payload {
                NetlinkPayload::Error(error) if error.code.is_none() => return Ok(answered),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(message) => answered = Some(message),
                _ => {}
            }
        }
    }
}
