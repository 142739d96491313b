//! One connection: messages behind their lengths, as many as come (RFC 1035 4.2.2, RFC 7766).

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr},
    ops::ControlFlow::{self, Break, Continue},
};

use mio::net::TcpStream;

/// Octets of a query and its length; what comes before they are whole is kept.
const MOST: usize = 4_096;

/// A connection that the kernel completed.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    /// Who asks, and who was asked.
    pub(super) ends: (SocketAddr, IpAddr),
    heard: Vec<u8>,
    /// Not yet taken by the kernel.
    said: Vec<u8>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Option<Self> {
        let ends = (stream.peer_addr().ok()?, stream.local_addr().ok()?.ip());
        Some(Self { stream, ends, heard: Vec::new(), said: Vec::new() })
    }

    /// Reads and answers all there is; breaks when nothing is left to wait for. `answer` writes a whole message, or nothing.
    pub(super) fn serve(&mut self, mut answer: impl FnMut(&[u8], &mut Vec<u8>)) -> ControlFlow<()> {
        let mut buffer = [0; MOST];
        loop {
            self.flush()?;
            match self.stream.read(&mut buffer) {
                Ok(0) => return Break(()),
                Ok(len) => self.heard.extend(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Continue(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Break(()),
            }
            let mut whole = 0;
            while let Some((len, rest)) = self.heard[whole..].split_first_chunk::<2>() {
                let len = usize::from(u16::from_be_bytes(*len));
                let Some(query) = rest.get(..len) else { break };
                let at = self.said.len();
                self.said.extend([0; 2]);
                answer(query, &mut self.said);
                match u16::try_from(self.said.len() - at - 2) {
                    Ok(len @ 1..) => self.said[at..at + 2].copy_from_slice(&len.to_be_bytes()),
                    // Nothing was said, or more than a message holds.
                    _ => self.said.truncate(at),
                }
                whole += 2 + len;
            }
            self.heard.drain(..whole);
            if self.heard.len() > MOST {
                return Break(());
            }
        }
    }

    fn flush(&mut self) -> ControlFlow<()> {
        while !self.said.is_empty() {
            match self.stream.write(&self.said) {
                Ok(len) => drop(self.said.drain(..len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Break(()),
            }
        }
        Continue(())
    }
}
