//! A resolver, or a name server, at every address of the lab: UDP and TCP on port 53, and what it says is said by the test.
//!
//! ```text
//! query by UDP --> packet info says which address was asked --> Knobs: silent? SERVFAIL? TC? --> answering(asked, reply)
//! answer       <-- from that address, at once or when its delay is over  <-------------------------------+
//! query by TCP --> a connection of the kernel, messages behind their lengths --> the same but for TC and delays
//! ```
//!
//! What it says comes from a closure or from a [`Zone`] in memory. It needs nothing installed, keeps nothing of a query that is
//! answered, and writes messages by hand, so that a scanner's own code is never held against itself. Queries that are none are
//! counted and not answered.
//!
//! One thread, in the world's namespace, on sockets of its kernel. It asks nobody.

mod message;
mod serving;
mod tcp;
mod udp;
mod zone;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::channel,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use mio::Waker;

pub use self::{
    message::{Asked, Edns, Over, Reply, Section, wire_name},
    zone::{Data, Zone},
};
use crate::{LabError, Namespace, error::asking};

/// Types that a zone or a test knows by number (RFC 1035 3.2.2, RFC 3596).
pub mod rtype {
    #![expect(missing_docs, reason = "each is its name")]
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const PTR: u16 = 12;
    pub const MX: u16 = 15;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const OPT: u16 = 41;
    pub const ANY: u16 = 255;
}

/// What is true of every query, drawn for each: a query that is asked again has another fate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Knobs {
    /// The port it listens on.
    pub port: u16,
    /// The share of queries by UDP that get no answer at all.
    pub silent: f64,
    /// The share of queries that are answered with SERVFAIL.
    pub servfail: f64,
    /// The share of queries by UDP that are answered with TC and nothing else.
    pub truncated: f64,
    /// Each answer by UDP takes between so long and so long.
    pub delay: (Duration, Duration),
    /// What is drawn, is drawn from it.
    pub seed: u64,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            port: 53,
            silent: 0.0,
            servfail: 0.0,
            truncated: 0.0,
            delay: (Duration::ZERO, Duration::ZERO),
            seed: 1,
        }
    }
}

/// What it saw and did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DnsCounts {
    /// Queries by UDP.
    pub udp: u64,
    /// Queries by TCP.
    pub tcp: u64,
    /// Queries that got no answer on purpose.
    pub silent: u64,
    /// Queries answered with SERVFAIL because of the [`Knobs`].
    pub servfail: u64,
    /// Answers by UDP with TC: because of the [`Knobs`], or as they did not fit.
    pub truncated: u64,
    /// What came and was no query.
    pub malformed: u64,
    /// Answers that the kernel did not take.
    pub lost: u64,
}

#[derive(Debug, Default)]
struct Counters {
    udp: AtomicU64,
    tcp: AtomicU64,
    silent: AtomicU64,
    servfail: AtomicU64,
    truncated: AtomicU64,
    malformed: AtomicU64,
    lost: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Every address of the lab answers, until this is dropped. See the [module](self).
pub struct DnsResponder {
    waker: Waker,
    counters: Arc<Counters>,
    thread: Option<JoinHandle<()>>,
}

impl DnsResponder {
    /// Answers in `world`, which is [`Lab::world`](crate::Lab::world), for all addresses that are the kernel's there. What
    /// `answering` does not set of a reply is NOERROR without records.
    ///
    /// # Errors
    ///
    /// [`LabError::System`] when the sockets cannot be had.
    pub fn start(
        world: &Namespace,
        knobs: Knobs,
        answering: impl Fn(&Asked<'_>, &mut Reply) + Send + 'static,
    ) -> Result<Self, LabError> {
        let world = world.try_clone()?;
        let counters = Arc::new(Counters::default());
        let (ready, is_ready) = channel();
        let body = {
            let counters = Arc::clone(&counters);
            move || {
                let started = world.enter().and_then(|inside| {
                    let (serving, waker) = serving::Serving::start(knobs, answering, counters)?;
                    Ok((inside, serving, waker))
                });
                match started {
                    Ok((_inside, serving, waker)) => {
                        let _ = ready.send(Ok(waker));
                        serving.run();
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error));
                    }
                }
            }
        };
        let thread = thread::Builder::new()
            .name("lab-dns".to_owned())
            .spawn(body)
            .map_err(asking("starting a thread"))?;
        let waker = is_ready.recv().map_err(|_| LabError::WorldEnded)??;
        Ok(Self { waker, counters, thread: Some(thread) })
    }

    /// What it saw and did so far.
    pub fn counts(&self) -> DnsCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DnsCounts {
            udp: read(&self.counters.udp),
            tcp: read(&self.counters.tcp),
            silent: read(&self.counters.silent),
            servfail: read(&self.counters.servfail),
            truncated: read(&self.counters.truncated),
            malformed: read(&self.counters.malformed),
            lost: read(&self.counters.lost),
        }
    }
}

impl fmt::Debug for DnsResponder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DnsResponder").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Drop for DnsResponder {
    fn drop(&mut self) {
        // Without a wake the thread would be waited for in vain.
        if self.waker.wake().is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}
