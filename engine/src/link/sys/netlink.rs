//! One question to netlink(7), and its answer: to rtnetlink(7), or to another protocol of it.
//!
//! A [`Netlink`] socket sees the network namespace that its thread was in when it was opened, whatever the thread does
//! later. So it is opened where it is needed and dropped there.

use std::{io, marker::PhantomData};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader,
    NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// How often a dump is begun again because the tables changed under it.
const MOST_RESTARTS: u32 = 16;

/// A conversation with the kernel in messages `M`.
#[derive(Debug)]
pub(crate) struct Netlink<M = RouteNetlinkMessage> {
    socket: Socket,
    sequence: u32,
    messages: PhantomData<M>,
}

impl Netlink {
    /// Opens a socket of rtnetlink in the network namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        Self::speaking(NETLINK_ROUTE)
    }
}

impl<M: NetlinkSerializable + NetlinkDeserializable + Clone> Netlink<M> {
    /// Opens a socket of a protocol in the network namespace of the calling thread.
    pub(crate) fn speaking(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0, messages: PhantomData })
    }

    /// Asks for one object. The kernel's refusal (ENODEV, ENETUNREACH, ...) is the error.
    pub(crate) fn ask(&mut self, question: M) -> io::Result<Vec<M>> {
        let mut answer = Answer::new(Some);
        self.converse(question, NLM_F_REQUEST | NLM_F_ACK, &mut answer)?;
        answer.whole().ok_or_else(torn)
    }

    /// Asks for a whole table, as it was at one moment: a dump that a change interrupted is asked for again. What `keep`
    /// makes of each message is kept, and the message is not: tables may have millions of lines.
    pub(crate) fn dump<T>(
        &mut self,
        question: &M,
        mut keep: impl FnMut(M) -> Option<T>,
    ) -> io::Result<Vec<T>> {
        for _ in 0..MOST_RESTARTS {
            let mut answer = Answer::new(&mut keep);
            self.converse(question.clone(), NLM_F_REQUEST | NLM_F_DUMP, &mut answer)?;
            if let Some(kept) = answer.whole() {
                return Ok(kept);
            }
        }
        Err(torn())
    }

    fn converse<T>(
        &mut self,
        question: M,
        flags: u16,
        answer: &mut Answer<T, impl FnMut(M) -> Option<T>>,
    ) -> io::Result<()> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(question));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        loop {
            let (datagram, from) = self.socket.recv_from_full()?;
            if from.port_number() != 0 {
                continue; // another process, which may write to us but has nothing to say
            }
            if answer.read(self.sequence, &datagram)? {
                return Ok(());
            }
        }
    }
}

/// What the kernel has answered so far.
struct Answer<T, F> {
    keep: F,
    kept: Vec<T>,
    /// The table changed while it was read, so the parts do not belong together (NLM_F_DUMP_INTR).
    is_torn: bool,
}

impl<T, F> Answer<T, F> {
    fn new(keep: F) -> Self {
        Self { keep, kept: Vec::new(), is_torn: false }
    }

    /// Takes a part of the answer to question `sequence`. Whether it was the last part.
    fn read<M: NetlinkDeserializable>(&mut self, sequence: u32, datagram: &[u8]) -> io::Result<bool>
    where
        F: FnMut(M) -> Option<T>,
    {
        let mut rest = datagram;
        while !rest.is_empty() {
            let message = NetlinkMessage::<M>::deserialize(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            let length = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(length.max(16)..).unwrap_or_default();
            if message.header.sequence_number != sequence {
                continue; // left over from a question that failed half-way
            }
            self.is_torn |= message.header.flags & NLM_F_DUMP_INTR != 0;
            match message.payload {
                NetlinkPayload::InnerMessage(inner) => self.kept.extend((self.keep)(inner)),
                NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                // A dump that failed on its way says so at its end, behind the part that was read.
                NetlinkPayload::Done(done) if done.code < 0 => {
                    return Err(io::Error::from_raw_os_error(done.code.saturating_neg()));
                }
                // An acknowledgement or the end of a dump.
                NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(true),
                _ => {}
            }
        }
        Ok(false)
    }

    /// All that was kept, unless the parts do not belong together.
    fn whole(self) -> Option<Vec<T>> {
        (!self.is_torn).then_some(self.kept)
    }
}

fn torn() -> io::Error {
    io::Error::new(
        io::ErrorKind::Interrupted,
        "the tables of the kernel change faster than they can be read",
    )
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::link::LinkMessage;

    use super::*;

    /// A message of `kind` (3 is NLMSG_DONE) as the kernel writes it.
    fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (16 + payload.len() as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend(0_u32.to_ne_bytes());
        bytes.extend(payload);
        bytes
    }

    fn link(sequence: u32) -> Vec<u8> {
        let mut header = NetlinkHeader::default();
        header.sequence_number = sequence;
        let question = RouteNetlinkMessage::NewLink(LinkMessage::default());
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(question));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    fn done(code: i32, flags: u16) -> Vec<u8> {
        message(3, flags, 7, &code.to_ne_bytes())
    }

    /// How many messages of one whole datagram are kept; `None` if they do not belong together.
    fn kept(parts: &[Vec<u8>]) -> io::Result<Option<usize>> {
        let mut answer = Answer::new(Some::<RouteNetlinkMessage>);
        assert!(answer.read(7, &parts.concat())?, "the end was in there");
        Ok(answer.whole().map(|kept| kept.len()))
    }

    #[test]
    fn a_dump_ends_whole_or_torn_or_with_an_error() {
        let two = || vec![link(7), link(6), link(7)]; // one of another question
        let with = |end| [two(), vec![end]].concat();
        assert_eq!(kept(&with(done(0, 0))).unwrap(), Some(2));
        assert_eq!(kept(&with(message(3, 0, 7, &[]))).unwrap(), Some(2));
        assert_eq!(kept(&with(done(0, NLM_F_DUMP_INTR))).unwrap(), None);
        for flags in [0, NLM_F_DUMP_INTR] {
            let error = kept(&with(done(-libc::ENOBUFS, flags))).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENOBUFS));
        }
        kept(&with(done(i32::MIN, 0))).unwrap_err();
        let mut answer = Answer::new(Some::<RouteNetlinkMessage>);
        assert!(!answer.read(7, &two().concat()).unwrap(), "there is more to come");
    }

    #[test]
    fn what_is_not_wanted_is_not_kept() {
        let mut numbers = 0..;
        let mut answer =
            Answer::new(|_: RouteNetlinkMessage| numbers.next().filter(|number| number % 2 == 0));
        assert!(answer.read(7, &[link(7), link(7), link(7), done(0, 0)].concat()).unwrap());
        assert_eq!(answer.whole(), Some(vec![0, 2]));
    }
}
