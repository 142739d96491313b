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
};

use super::{Next, Sender, Shared, listener::Listener, listening::listen, threads::Threads, watch};
use crate::{
    link::{LinkError, Rx, Tx, allowance::AllowanceSource},
    probe::Probe,
    time::Clock,
};

/// The threads of a scan. Dropped, it stops the scan and waits for them.
#[derive(Debug)]
pub struct Running<P: Probe> {
    shared: Arc<Shared<P>>,
    threads: Threads,
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
    /// What is to be asked could not be read to its end.
    #[error("reading what to ask: {0}")]
    List(Box<dyn std::error::Error + Send + Sync>),
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
        let mut threads = Threads::new(shared.stop());
        // The listeners first: an answer may come before a sender's first call returns.
        for (number, (listener, rx, tx)) in listeners.into_iter().enumerate() {
            let sending = Arc::clone(&sending);
            let is_sending = move || sending.load(Acquire) > 0;
            threads.spawn(&format!("mrpf-recv-{number}"), move || {
                listen(listener, clock, rx, tx, is_sending)
            })?;
        }
        for (number, tx) in (0..).zip(senders) {
            let sender = Sender::new(Arc::clone(&shared), number);
            let ends = Ends::of(&sending);
            threads.spawn(&format!("mrpf-send-{number}"), move || send(sender, clock, tx, ends))?;
        }
        Ok(Self { shared, threads, sending })
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
        self.threads.spawn("mrpf-watch", move || {
            watch::watch(&shared.session, clock, source, &sending);
            Ok(())
        })
    }

    /// What the scan shares: counters, progress, the handle that stops it.
    pub fn shared(&self) -> &Shared<P> {
        &self.shared
    }

    /// Whether all threads have ended.
    pub fn is_finished(&self) -> bool {
        self.threads.is_finished()
    }

    /// Waits for the end of the scan.
    ///
    /// # Errors
    ///
    /// The first failure of a thread. What was found before it is in the queue all the same.
    pub fn join(self) -> Result<(), Failure> {
        self.threads.join()
    }
}

/// Tells the others that one thread fewer is at work, however it ended.
pub(super) struct Ends(Arc<AtomicUsize>);

impl Ends {
    /// Of one that `at_work` counts.
    pub(super) fn of(at_work: &Arc<AtomicUsize>) -> Self {
        Self(Arc::clone(at_work))
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.fetch_sub(1, AcqRel);
    }
}

fn send<P: Probe>(
    mut sender: Sender<P>,
    clock: Clock,
    mut tx: impl Tx,
    _ends: Ends,
) -> Result<(), LinkError> {
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
