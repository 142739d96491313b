//! The thread: all sockets, the draws, and what waits for its time.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    io::ErrorKind,
    os::fd::RawFd,
    sync::Arc,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, Waker, net::TcpListener};

use super::{
    Counters, Knobs, count,
    message::{self, Asked, Over, Reply},
    tcp::Connection,
    udp::{Back, Datagrams},
};
use crate::{
    LabError,
    error::asking,
    ipv6,
    listener::{self, Family},
};

const WAKER: Token = Token(usize::MAX);
const UDP: [Token; 2] = [Token(0), Token(1)];
const TCP: [Token; 2] = [Token(2), Token(3)];
const FIRST_CONNECTION: usize = 4;
/// Datagrams that one socket is read for before others have their turn.
const TURN: usize = 256;
/// Most connections held at a time, as for the built-in listener; the oldest makes room.
const MAX_HELD: usize = 256;
const SERVFAIL: u16 = 2;

pub(super) struct Serving<F> {
    poll: Poll,
    udp: Vec<Datagrams>,
    tcp: Vec<TcpListener>,
    held: HashMap<Token, Connection>,
    /// Tokens of `held`, oldest first, with those that ended meanwhile.
    by_age: VecDeque<Token>,
    next_token: usize,
    late: BinaryHeap<Reverse<Late>>,
    late_number: u64,
    mind: Mind<F>,
}

/// An answer that waits for its time; those of one time in the order of their numbers.
struct Late {
    due: (Instant, u64),
    octets: Vec<u8>,
    back: Back,
}

impl PartialEq for Late {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Late {}

impl PartialOrd for Late {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Late {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

impl<F: Fn(&Asked<'_>, &mut Reply)> Serving<F> {
    /// Opens the sockets in the calling thread's namespace; what is woken by the waker, ends.
    pub(super) fn start(
        knobs: Knobs,
        answering: F,
        counters: Arc<Counters>,
    ) -> Result<(Self, Waker), LabError> {
        let poll = Poll::new().map_err(asking("making an epoll"))?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(asking("making an eventfd"))?;
        let families: &[_] =
            if ipv6::check().is_ok() { &[Family::V4, Family::V6] } else { &[Family::V4] };
        let mut serving = Self {
            poll,
            udp: Vec::new(),
            tcp: Vec::new(),
            held: HashMap::new(),
            by_age: VecDeque::new(),
            next_token: FIRST_CONNECTION,
            late: BinaryHeap::new(),
            late_number: 0,
            mind: Mind {
                answering,
                knobs,
                draws: knobs.seed,
                name: Vec::new(),
                reply: Reply::new(),
                counters,
            },
        };
        for (index, family) in families.iter().enumerate() {
            let mut udp = Datagrams::open(knobs.port, *family)?;
            let mut tcp = listener::listen(knobs.port, *family)
                .map_err(asking(format!("listening on port {} in the lab", knobs.port)))?;
            let registry = serving.poll.registry();
            registry
                .register(&mut udp.socket, UDP[index], Interest::READABLE)
                .and_then(|()| registry.register(&mut tcp, TCP[index], Interest::READABLE))
                .map_err(asking("watching a socket"))?;
            serving.udp.push(udp);
            serving.tcp.push(tcp);
        }
        Ok((serving, waker))
    }

    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(1_024);
        let mut is_readable = [false; UDP.len()];
        loop {
            let wait = if is_readable.contains(&true) {
                Some(Duration::ZERO)
            } else {
                let next = self.late.peek();
                next.map(|Reverse(late)| late.due.0.saturating_duration_since(Instant::now()))
            };
            match self.poll.poll(&mut events, wait) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return,
            }
            for event in &events {
                match event.token() {
                    WAKER => return,
                    token if UDP.contains(&token) => is_readable[token.0] = true,
                    token if TCP.contains(&token) => self.accept(token.0 - TCP[0].0),
                    token => self.serve(token),
                }
            }
            for (index, is_readable) in is_readable.iter_mut().enumerate() {
                *is_readable = *is_readable && self.hear(index);
            }
            self.send_late();
        }
    }

    /// Answers datagrams of one socket; whether there may be more.
    fn hear(&mut self, index: usize) -> bool {
        let Some(socket) = self.udp.get_mut(index) else { return false };
        let fd = socket.fd();
        for _ in 0..TURN {
            // An error was of an answer before (ip(7)), and is taken with that.
            let Ok(Some((query, back))) = socket.receive() else { return false };
            count(&self.mind.counters.udp);
            let (from, to) = back.ends();
            if self.mind.answer(query, (from, to, Over::Udp)).is_none() {
                continue;
            }
            let delay = self.mind.delay();
            let octets = self.mind.reply.octets();
            if delay.is_zero() {
                send(&back, fd, octets, &self.mind.counters);
            } else {
                let due = (Instant::now() + delay, self.late_number);
                self.late_number += 1;
                self.late.push(Reverse(Late { due, octets: octets.to_vec(), back }));
            }
        }
        true
    }

    fn send_late(&mut self) {
        let now = Instant::now();
        while let Some(Reverse(next)) = self.late.peek()
            && next.due.0 <= now
            && let Some(Reverse(late)) = self.late.pop()
        {
            let index = usize::from(!late.back.is_v4());
            if let Some(socket) = self.udp.get(index) {
                send(&late.back, socket.fd(), &late.octets, &self.mind.counters);
            }
        }
    }

    fn accept(&mut self, index: usize) {
        loop {
            let Some(listener) = self.tcp.get(index) else { return };
            match listener.accept() {
                Ok((stream, _)) => {
                    if let Some(connection) = Connection::new(stream) {
                        self.hold(connection);
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return,
                    ErrorKind::ConnectionAborted | ErrorKind::Interrupted => {}
                    // No file or no memory left: the oldest connection gives its own.
                    _ => self.drop_oldest(),
                },
            }
        }
    }

    fn hold(&mut self, mut connection: Connection) {
        while self.held.len() >= MAX_HELD {
            self.drop_oldest();
        }
        let token = Token(self.next_token);
        self.next_token += 1;
        let interest = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(&mut connection.stream, token, interest).is_ok() {
            self.held.insert(token, connection);
            self.by_age.push_back(token);
        }
    }

    fn serve(&mut self, token: Token) {
        let Some(connection) = self.held.get_mut(&token) else { return };
        let (from, to) = connection.ends;
        let mind = &mut self.mind;
        let served = connection.serve(|query, said| {
            count(&mind.counters.tcp);
            if let Some(octets) = mind.answer(query, (from, to, Over::Tcp)) {
                said.extend(octets);
            }
        });
        if served.is_break() {
            self.held.remove(&token);
        }
    }

    fn drop_oldest(&mut self) {
        while let Some(token) = self.by_age.pop_front() {
            if self.held.contains_key(&token) {
                // Its query may lie there already, and has not had its turn yet.
                self.serve(token);
                self.held.remove(&token);
                return;
            }
        }
    }
}

fn send(back: &Back, fd: RawFd, octets: &[u8], counters: &Counters) {
    if back.send(fd, octets).is_err() {
        count(&counters.lost);
    }
}

/// What is said to a query.
struct Mind<F> {
    answering: F,
    knobs: Knobs,
    draws: u64,
    name: Vec<u8>,
    reply: Reply,
    counters: Arc<Counters>,
}

impl<F: Fn(&Asked<'_>, &mut Reply)> Mind<F> {
    /// The whole message, or none.
    fn answer(
        &mut self,
        query: &[u8],
        (from, to, over): (std::net::SocketAddr, std::net::IpAddr, Over),
    ) -> Option<&[u8]> {
        let [silent, servfail, truncated] = [(); 3].map(|()| self.draw());
        let Some((head, asked)) = message::read(query, &mut self.name, (from, to, over)) else {
            count(&self.counters.malformed);
            return None;
        };
        self.reply.begin(head, query);
        let is_udp = over == Over::Udp;
        if is_udp && silent < self.knobs.silent {
            self.reply.silent();
        } else if servfail < self.knobs.servfail {
            count(&self.counters.servfail);
            self.reply.status(SERVFAIL);
        } else {
            (self.answering)(&asked, &mut self.reply);
            if truncated < self.knobs.truncated {
                self.reply.truncated();
            }
        }
        if self.reply.is_silent() {
            count(&self.counters.silent);
            return None;
        }
        self.reply.finish(over);
        if self.reply.is_truncated() {
            count(&self.counters.truncated);
        }
        Some(self.reply.octets())
    }

    /// How much later the last answer is sent.
    fn delay(&mut self) -> Duration {
        let (least, most) = self.knobs.delay;
        let drawn = most.saturating_sub(least).mul_f64(self.draw());
        self.reply.delay() + least + drawn
    }

    /// A number from 0 to below 1 (SplitMix64).
    fn draw(&mut self) -> f64 {
        self.draws = self.draws.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.draws;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
