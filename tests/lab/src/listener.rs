//! The built-in server of the world: any number of ports, one thread.
//!
//! It takes every connection that the kernel completes, answers the first octets with a short HTTP response and closes. It
//! holds few connections at a time, and the oldest makes room for the newest, so a scan that completes handshakes and
//! walks away costs nothing but the accept.

use std::{
    collections::{HashMap, VecDeque},
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener as StdListener},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use mio::{
    Events, Interest, Poll, Token, Waker,
    net::{TcpListener, TcpStream},
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{LabError, error::asking};

/// Connections that wait for the thread, and half-open ones beyond which the kernel answers with cookies: for each port.
pub(crate) const BACKLOG: i32 = 65_535;
/// Most connections held at a time: well below the 1,024 files that a process may have open by default.
const MAX_HELD: usize = 256;
/// How long a connection is held for a client that says nothing, or does not close.
const PATIENCE: Duration = Duration::from_secs(5);
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: mrpf-lab\r\nContent-Type: text/plain\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlab\n";
const WAKER: Token = Token(usize::MAX);

/// What a server listens by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Family {
    V4,
    /// Beside the other: neither takes what is for the other.
    V6,
}

/// The server; ends when dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Listens on `ports` of all addresses in the calling thread's namespace; adds each connection taken to `served`.
    pub(crate) fn start(
        ports: &[u16],
        families: &[Family],
        served: Arc<AtomicU64>,
    ) -> Result<Self, LabError> {
        let poll = Poll::new().map_err(asking("making an epoll"))?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(asking("making an eventfd"))?;
        let mut listeners = Vec::new();
        for (port, family) in ports.iter().flat_map(|port| families.iter().map(move |f| (port, f)))
        {
            let mut listener = listen(*port, *family)
                .map_err(asking(format!("listening on port {port} in the lab")))?;
            poll.registry()
                .register(&mut listener, Token(listeners.len()), Interest::READABLE)
                .map_err(asking("watching a listener"))?;
            listeners.push(listener);
        }
        let server = Server {
            poll,
            next_token: listeners.len(),
            listeners,
            held: HashMap::new(),
            by_age: VecDeque::new(),
            served,
        };
        let thread = thread::Builder::new()
            .name("lab-listener".to_owned())
            .spawn(move || server.run())
            .map_err(asking("starting a thread"))?;
        Ok(Self { waker, thread: Some(thread) })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Without a wake the thread would be waited for in vain.
        if self.waker.wake().is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

/// Listens on `port` of all addresses of `family` in the calling thread's namespace.
pub(crate) fn listen(port: u16, family: Family) -> io::Result<TcpListener> {
    let (domain, addr): (_, SocketAddr) = match family {
        Family::V4 => (Domain::IPV4, (Ipv4Addr::UNSPECIFIED, port).into()),
        Family::V6 => (Domain::IPV6, (Ipv6Addr::UNSPECIFIED, port).into()),
    };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if family == Family::V6 {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(StdListener::from(socket)))
}

struct Server {
    poll: Poll,
    listeners: Vec<TcpListener>,
    held: HashMap<Token, Connection>,
    /// Tokens of `held`, oldest first, with those that ended meanwhile.
    by_age: VecDeque<(Instant, Token)>,
    next_token: usize,
    served: Arc<AtomicU64>,
}

struct Connection {
    stream: TcpStream,
    is_answered: bool,
}

impl Server {
    fn run(mut self) {
        let mut events = Events::with_capacity(1_024);
        loop {
            let wait =
                self.by_age.front().map(|(since, _)| PATIENCE.saturating_sub(since.elapsed()));
            match self.poll.poll(&mut events, wait) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return,
            }
            for event in &events {
                match event.token() {
                    WAKER => return,
                    Token(index) if index < self.listeners.len() => self.accept(index),
                    token => self.serve(token),
                }
            }
            while self.by_age.front().is_some_and(|(since, _)| since.elapsed() >= PATIENCE) {
                self.drop_oldest();
            }
        }
    }

    fn accept(&mut self, index: usize) {
        loop {
            let stream = match self.listeners[index].accept() {
                Ok((stream, _)) => stream,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return,
                    ErrorKind::ConnectionAborted | ErrorKind::Interrupted => continue,
                    _ => {
                        // No file or no memory left: the oldest connection gives its own.
                        if self.held.is_empty() {
                            thread::sleep(Duration::from_millis(1));
                        }
                        self.drop_oldest();
                        continue;
                    }
                },
            };
            self.served.fetch_add(1, Ordering::Relaxed);
            self.hold(stream);
        }
    }

    fn hold(&mut self, mut stream: TcpStream) {
        while self.held.len() >= MAX_HELD {
            self.drop_oldest();
        }
        let token = Token(self.next_token);
        self.next_token += 1;
        if self.poll.registry().register(&mut stream, token, Interest::READABLE).is_ok() {
            self.held.insert(token, Connection { stream, is_answered: false });
            self.by_age.push_back((Instant::now(), token));
        }
    }

    fn serve(&mut self, token: Token) {
        if let Some(connection) = self.held.get_mut(&token)
            && connection.serve().is_break()
        {
            self.held.remove(&token);
        }
    }

    fn drop_oldest(&mut self) {
        while let Some((_, token)) = self.by_age.pop_front() {
            if let Some(mut connection) = self.held.remove(&token) {
                // Its request may lie there already, and has not had its turn yet.
                let _ = connection.serve();
                return;
            }
        }
    }
}

impl Connection {
    /// Reads all there is and answers once; breaks when nothing is left to wait for.
    fn serve(&mut self) -> std::ops::ControlFlow<()> {
        use std::ops::ControlFlow::{Break, Continue};
        let mut buffer = [0; 4_096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Break(()),
                Ok(_) if self.is_answered => {}
                Ok(_) => {
                    self.is_answered = true;
                    // The answer fits into any send buffer. The client's close is awaited: closing over unread octets
                    // would reset the connection and might take the answer with it.
                    if self.stream.write_all(ANSWER).is_err()
                        || self.stream.shutdown(Shutdown::Write).is_err()
                    {
                        return Break(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Continue(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Break(()),
            }
        }
    }
}
