//! A scan on threads over a real link.

use std::{
    io,
    sync::{
        Arc,
        atomic::{
            AtomicUsize,
            Ordering::{AcqRel, Acquire},
        },
    },
    thread,
    time::Duration,
};

use super::{Next, Sender, Shared, Stop, ending::Ending, listener::Listener, watch};
use crate::{
    link::{LinkError, Rx, Tx, allowance::AllowanceSource},
    probe::Probe,
    time::Clock,
};

/// How long to leave a consumer that is far behind alone.
const CROWDED: Duration = Duration::from_millis(1);

/// The threads of a scan. Dropped, it stops the scan and waits for them.
#[derive(Debug)]
pub struct Running<P: Probe> {
    shared: Arc<Shared<P>>,
    threads: Vec<thread::JoinHandle<Result<(), LinkError>>>,
    /// How many senders are at work.
    sending: Arc<AtomicUsize>,
}

/// Why a scan ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The link is gone.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A packet thread panicked: a defect of ours, and its message is on stderr.
    #[error("a packet thread panicked; please report the message above")]
    Panicked,
    /// The system gave no thread.
    #[error("starting a packet thread: {0}")]
    Thread(io::Error),
    /// A scan of several passes could not start one after the first.
    #[error("asking the hosts again: {0}")]
    Pass(Box<dyn std::error::Error + Send + Sync>),
}

impl<P: Probe> Running<P> {
    /// Starts a sender on each of `senders`, and each of `listeners` on its link, with another for the frames that it sends. There
    /// are [`Shared::threads`] of each.
    ///
    /// The threads have the network namespace of the calling one. The scan ends by itself; what it finds arrives on the
    /// queue that [`Shared::new`] gave, which is closed at the end once `shared` is dropped too.
    ///
    /// # Errors
    ///
    /// [`Failure::Thread`] when the system gives no thread.
    ///
    /// # Panics
    ///
    /// When there are more or fewer links than threads.
    pub fn start<L: Listener, T: Tx + 'static, R: Rx + 'static>(
        shared: Arc<Shared<P>>,
        clock: Clock,
        senders: Vec<T>,
        listeners: Vec<(L, R, T)>,
    ) -> Result<Self, Failure> {
        let threads = usize::from(shared.threads());
        assert_eq!((senders.len(), listeners.len()), (threads, threads), "links for {threads}");
        let sending = Arc::new(AtomicUsize::new(threads));
        let threads = Vec::with_capacity(2 * threads);
        let mut running =
            Self { shared: Arc::clone(&shared), threads, sending: Arc::clone(&sending) };
        // The listeners first: an answer may come before a sender's first call returns.
        for (number, (listener, rx, tx)) in listeners.into_iter().enumerate() {
            let sending = Arc::clone(&sending);
            let body = move || listen(listener, clock, rx, tx, &sending);
            running.spawn(&format!("mrpf-recv-{number}"), body)?;
        }
        for (number, tx) in (0..).zip(senders) {
            let sender = Sender::new(Arc::clone(&shared), number);
            let sending = Arc::clone(&sending);
            running
                .spawn(&format!("mrpf-send-{number}"), move || send(sender, clock, tx, &sending))?;
        }
        Ok(running)
    }

    /// Slows the scan while `source` tells that an allowance of the network is exceeded: see [`Throttle`].
    ///
    /// [`Throttle`]: crate::link::allowance::Throttle
    ///
    /// # Errors
    ///
    /// [`Failure::Thread`] when the system gives no thread.
    pub fn watch(
        &mut self,
        clock: Clock,
        source: impl AllowanceSource + 'static,
    ) -> Result<(), Failure> {
        let (shared, sending) = (Arc::clone(&self.shared), Arc::clone(&self.sending));
        self.spawn("mrpf-watch", move || {
            watch::watch(&shared, clock, source, &sending);
            Ok(())
        })
    }

    fn spawn(
        &mut self,
        name: &str,
        body: impl FnOnce() -> Result<(), LinkError> + Send + 'static,
    ) -> Result<(), Failure> {
        let stop = StopsOnFailure(self.shared.stop());
        let body = move || {
            let result = body();
            if result.is_ok() {
                std::mem::forget(stop);
            }
            result
        };
        let thread =
            thread::Builder::new().name(name.to_owned()).spawn(body).map_err(Failure::Thread)?;
        self.threads.push(thread);
        Ok(())
    }

    /// What the scan shares: counters, progress, the handle that stops it.
    pub fn shared(&self) -> &Shared<P> {
        &self.shared
    }

    /// Whether all threads have ended.
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(thread::JoinHandle::is_finished)
    }

    /// Waits for the end of the scan.
    ///
    /// # Errors
    ///
    /// The first failure of a thread. What was found before it is in the queue all the same.
    pub fn join(mut self) -> Result<(), Failure> {
        self.join_threads()
    }

    fn join_threads(&mut self) -> Result<(), Failure> {
        let mut first = Ok(());
        for thread in self.threads.drain(..) {
            let result = match thread.join() {
                Ok(result) => result.map_err(Failure::Link),
                Err(_) => Err(Failure::Panicked),
            };
            first = first.and(result);
        }
        first
    }
}

impl<P: Probe> Drop for Running<P> {
    fn drop(&mut self) {
        if self.threads.is_empty() {
            return; // joined: that is an end, and no stop
        }
        self.shared.stop.stop();
        // The result was taken by `join`, or nobody wants it.
        let _ = self.join_threads();
    }
}

/// One half without the other finds nothing: an error or a panic of one thread ends all.
struct StopsOnFailure(Stop);

impl Drop for StopsOnFailure {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Tells the receivers that one sender fewer is at work, however it ended.
struct Ends<'a>(&'a AtomicUsize);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, AcqRel);
    }
}

fn send<P: Probe>(
    mut sender: Sender<P>,
    clock: Clock,
    mut tx: impl Tx,
    sending: &AtomicUsize,
) -> Result<(), LinkError> {
    let _ends = Ends(sending);
    // When it should be called again.
    let mut expected = clock.now();
    loop {
        let now = clock.now();
        sender.note_delay(expected, now);
        match sender.poll(now, &mut tx)? {
            Next::Now => expected = now,
            Next::At(at) => {
                expected = at.max(now);
                thread::sleep(at.since(clock.now()));
            }
            Next::Done => return Ok(()),
        }
    }
}

fn listen(
    mut listener: impl Listener,
    clock: Clock,
    mut rx: impl Rx,
    mut tx: impl Tx,
    sending: &AtomicUsize,
) -> Result<(), LinkError> {
    let mut ending = Ending::default();
    let mut wait = listener.nap();
    loop {
        listener.rest(clock.now());
        // While nobody takes what is found, frames are better left where the kernel has room for them.
        let count = if listener.is_crowded() {
            thread::sleep(CROWDED);
            1
        } else {
            rx.receive(wait, |frame| listener.handle(frame))?
        };
        let now = clock.now();
        let again = listener.poll_transmit(now, &mut tx)?;
        wait = again.map_or(Duration::MAX, |at| at.since(now)).min(listener.nap());
        listener.note_ring_drops(rx.ring_drops());
        let is_sending = sending.load(Acquire) > 0;
        if ending.is_over(&mut listener, now, is_sending, count == 0 && again.is_none()) {
            break;
        }
    }
    listener.rest(clock.now());
    Ok(())
}
