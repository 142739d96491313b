//! One question to rtnetlink(7), and its answer.
//!
//! A [`Netlink`] socket sees the network namespace that its thread was in when it was opened, whatever the thread does
//! later. So it is opened where it is needed and dropped there.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// How often a dump is begun again because the tables changed under it.
const MOST_RESTARTS: u32 = 16;

/// A conversation with the kernel's routing netlink.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket in the network namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Asks for one object. The kernel's refusal (ENODEV, ENETUNREACH, ...) is the error.
    pub(crate) fn ask(
        &mut self,
        question: RouteNetlinkMessage,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        match self.converse(question, NLM_F_REQUEST | NLM_F_ACK)? {
            Answer::Whole(messages) => Ok(messages),
            Answer::Torn => Err(torn()),
        }
    }

    /// Asks for a whole table, as it was at one moment: a dump that a change interrupted is asked for again.
    pub(crate) fn dump(
        &mut self,
        question: &RouteNetlinkMessage,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        for _ in 0..MOST_RESTARTS {
            if let Answer::Whole(messages) =
                self.converse(question.clone(), NLM_F_REQUEST | NLM_F_DUMP)?
            {
                return Ok(messages);
            }
        }
        Err(torn())
    }

    fn converse(&mut self, question: RouteNetlinkMessage, flags: u16) -> io::Result<Answer> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(question));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let mut messages = Vec::new();
        let mut is_torn = false;
        loop {
            let (datagram, from) = self.socket.recv_from_full()?;
            if from.port_number() != 0 {
                continue; // another process, which may write to us but has nothing to say
            }
            let mut rest = &datagram[..];
            while !rest.is_empty() {
                let message =
                    NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(|error| {
                        io::Error::new(io::ErrorKind::InvalidData, error.to_string())
                    })?;
                let length = (message.header.length as usize).next_multiple_of(4);
                rest = rest.get(length.max(16)..).unwrap_or_default();
                if message.header.sequence_number != self.sequence {
                    continue; // left over from a question that failed half-way
                }
                is_torn |= message.header.flags & NLM_F_DUMP_INTR != 0;
                match message.payload {
                    NetlinkPayload::InnerMessage(inner) => messages.push(inner),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(error.to_io());
                    }
                    NetlinkPayload::Done(done) if done.code < 0 => {
                        return Err(io::Error::from_raw_os_error(done.code.saturating_neg()));
                    }
                    // An acknowledgement or the end of a dump.
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => {
                        return Ok(if is_torn { Answer::Torn } else { Answer::Whole(messages) });
                    }
                    _ => {}
                }
            }
        }
    }
}

enum Answer {
    Whole(Vec<RouteNetlinkMessage>),
    /// The table changed while it was read, so the parts do not belong together (NLM_F_DUMP_INTR).
    Torn,
}

fn torn() -> io::Error {
    io::Error::new(
        io::ErrorKind::Interrupted,
        "the tables of the kernel change faster than they can be read",
    )
}
