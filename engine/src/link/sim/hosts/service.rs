//! Hosts that answer datagrams.
//!
//! What is said is octets from a closure: nothing here knows a protocol above UDP. It may say nothing, or many things, late, in the
//! name of others, or that nobody listens there.
//!
//! ```text
//!  datagram -> first rule that serves -> Service -> Said, Said ... -> each after its delay
//! ```

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    Behaviour, Delivery, Emit, State,
    behaviour::Quote,
    question::Asking,
    reply::{self, Datagram},
};
use crate::time::Instant;

/// A datagram as a host hears it.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// When.
    pub now: Instant,
    /// From whom.
    pub from: SocketAddr,
    /// To which address and port of the host.
    pub to: SocketAddr,
    /// What it says.
    pub payload: &'a [u8],
}

/// What a host sends for a datagram.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Said {
    delay: Duration,
    from: Option<SocketAddr>,
    what: What,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum What {
    Datagram(Vec<u8>),
    Unreachable(u8, Quote),
}

impl Said {
    /// These octets, at once, from where the question went: at most 65,507, in one packet.
    pub fn datagram(payload: impl Into<Vec<u8>>) -> Self {
        Self { delay: Duration::ZERO, from: None, what: What::Datagram(payload.into()) }
    }

    /// ICMP destination unreachable: see [`Behaviour::Unreachable`].
    pub fn unreachable(code: u8, quote: Quote) -> Self {
        Self { delay: Duration::ZERO, from: None, what: What::Unreachable(code, quote) }
    }

    /// The same, so much later.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { delay: self.delay + delay, ..self }
    }

    /// The same from somewhere else; an address of the other family changes nothing.
    #[must_use]
    pub fn from(self, from: SocketAddr) -> Self {
        Self { from: Some(from), ..self }
    }
}

type Answer = dyn FnMut(&Heard<'_>) -> Vec<Said> + Send;

/// Answers datagrams. Clones are the same host, with one memory.
///
/// ```
/// use mrpf_engine::link::sim::hosts::{Behaviour, Said, Service};
///
/// // An echo that takes a hundred datagrams a second.
/// let (mut second, mut taken) = (0, 0);
/// let echo = Service::new(move |heard| {
///     let now = heard.now.as_nanos() / 1_000_000_000;
///     (second, taken) = if now == second { (second, taken + 1) } else { (now, 1) };
///     if taken > 100 { vec![] } else { vec![Said::datagram(heard.payload)] }
/// });
/// let behaviour = Behaviour::Serves(echo);
/// ```
#[derive(Clone)]
pub struct Service {
    answer: Arc<Mutex<Answer>>,
}

impl Service {
    /// What `answer` makes of each datagram is sent.
    pub fn new(answer: impl FnMut(&Heard<'_>) -> Vec<Said> + Send + 'static) -> Self {
        Self { answer: Arc::new(Mutex::new(answer)) }
    }

    fn answer(&self, heard: &Heard<'_>) -> Vec<Said> {
        // A panic of a test's closure must not hide behind a second one.
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        answer(heard)
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

impl State {
    /// Answers a datagram as a behaviour that [serves](Behaviour::serves) does.
    pub(super) fn serve(
        &mut self,
        behaviour: &Behaviour,
        asking: &Asking<'_>,
        delivery: Delivery,
        emit: Emit<'_>,
    ) {
        match behaviour {
            Behaviour::Duplicate(copies, inner) => {
                let copies = delivery.copies.saturating_mul(*copies);
                self.serve(inner, asking, Delivery { copies, ..delivery }, emit);
            }
            Behaviour::Lossy { percent, of } => {
                if self.random.chance(f64::from(*percent) / 100.0) {
                    self.counts.datagrams_lost += 1;
                } else {
                    self.serve(of, asking, delivery, emit);
                }
            }
            Behaviour::Reorder(most, inner) => {
                let jitter = delivery.jitter + *most;
                self.serve(inner, asking, Delivery { jitter, ..delivery }, emit);
            }
            Behaviour::Slow(by, inner) => {
                let delay = delivery.delay + *by;
                self.serve(inner, asking, Delivery { delay, ..delivery }, emit);
            }
            Behaviour::Serves(service) => self.say(service, asking, delivery, emit),
            _ => {} // of TCP alone: no rule leads here
        }
    }

    fn say(&mut self, service: &Service, asking: &Asking<'_>, delivery: Delivery, emit: Emit<'_>) {
        self.counts.datagrams += 1;
        let to = SocketAddr::new(asking.packet.destination, asking.destination_port);
        let from = SocketAddr::new(asking.packet.source, asking.source_port);
        let heard = Heard { now: self.now, from, to, payload: asking.payload };
        for said in service.answer(&heard) {
            let of_this_family = |from: &SocketAddr| from.is_ipv4() == to.is_ipv4();
            let by = said.from.filter(of_this_family).unwrap_or(to);
            match &said.what {
                What::Datagram(payload) => {
                    self.counts.datagrams_said += 1;
                    let datagram = Datagram { from: by, to: from, payload };
                    reply::datagram(&mut self.out, asking.packet.link, &datagram);
                }
                What::Unreachable(code, quote) => {
                    let responder: IpAddr = by.ip();
                    reply::unreachable(&mut self.out, &asking.packet, *code, responder, *quote);
                }
            }
            let delay = delivery.delay + said.delay;
            self.deliver(Delivery { delay, ..delivery }, emit);
        }
    }
}
