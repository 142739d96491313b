//! The two threads behind a sender: one that is in the long call, and one that ends it.
//!
//! ```text
//! caller    | parked | BPF_PROG_TEST_RUN: the program takes frames, or finds none and looks again | parked |
//! watcher   | parked | every 10 ms: empty for 30 ms, device gone, told to stop? then interrupt    | a last check, parked |
//!                    '-- wake, by who published                                                   '-- idle: no CPU time
//! ```
//!
//! A call costs some 25 ms to set up and to tear down, whatever it does in between: so there is one for minutes, and it ends
//! only when nothing was sent for longer than that costs. While it lasts it takes a whole CPU.

use std::{
    io,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicI32,
            Ordering::{Relaxed, SeqCst},
            fence,
        },
        mpsc,
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

use aya::programs::ProgramFd;

use super::seat::Seat;
use crate::link::{
    MAX_BATCH,
    sys::{bpf, frame_ring::RingWords, signal::Interrupt},
};

/// How often one call runs the program: minutes, even when it does nothing but look.
const TIMES: u32 = u32::MAX;
/// How often the watcher looks.
const TICK: Duration = Duration::from_millis(10);
/// How long the ring is empty before the call is ended.
const IDLE: Duration = Duration::from_millis(30);
/// How often the watcher asks after the device.
const CHECK: Duration = Duration::from_millis(100);
/// Between two signals to a call that is to end: the first may come before the call does.
const AGAIN: Duration = Duration::from_millis(1);

/// The threads, from the side of the sender. They end when it is dropped, and nothing is sent after that.
#[derive(Debug)]
pub(crate) struct Runner {
    state: Arc<State>,
    caller: Thread,
    watcher: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    words: Arc<RingWords>,
    /// Whether the caller is in a call or on its way to one. Only the caller says no; who publishes says yes and wakes both.
    is_awake: AtomicBool,
    is_over: AtomicBool,
    /// The errno after which nothing is sent any more.
    failed: AtomicI32,
}

impl Runner {
    /// Starts the threads, in the network namespace of the calling one. Over a veth with so many `queues` there is a [`Seat`] for
    /// the call while it sends. `check` is asked every 100 ms while frames are sent and once after the last, and says an errno when
    /// the device can send no more.
    pub(crate) fn start(
        words: Arc<RingWords>,
        program: ProgramFd,
        slot_len: usize,
        queues: Option<usize>,
        check: impl FnMut() -> Option<i32> + Send + 'static,
    ) -> io::Result<Self> {
        let interrupt = Interrupt::claim()?;
        let state = Arc::new(State {
            words,
            is_awake: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            failed: AtomicI32::new(0),
        });
        let (tell, told) = mpsc::sync_channel(1);
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        let (call_state, watch_state) = (Arc::clone(&state), Arc::clone(&state));
        let watcher = named("xdp-watch").spawn(move || {
            let watcher = thread::current();
            let call = move || call(&call_state, &program, interrupt, slot_len, queues, &watcher);
            match named("xdp-send").spawn(call) {
                Ok(caller) => {
                    let _ = tell.send(Ok(caller.thread().clone()));
                    watch(&watch_state, caller, interrupt, check);
                }
                Err(error) => drop(tell.send(Err(error))),
            }
        })?;
        let caller = told.recv().map_err(|_| io::ErrorKind::BrokenPipe)??;
        Ok(Self { state, caller, watcher: Some(watcher) })
    }

    /// The errno after which nothing is sent any more. What the ring still holds then stays there.
    pub(crate) fn failed(&self) -> Option<i32> {
        Some(self.state.failed.load(SeqCst)).filter(|errno| *errno != 0)
    }

    /// Frames were published.
    #[inline]
    pub(crate) fn wake(&self) {
        // The caller says that it is not awake and then looks at the ring; here it is the other way round. With a fence on
        // both sides one of the two sees the other.
        fence(SeqCst);
        if !self.state.is_awake.load(Relaxed) && !self.state.is_awake.swap(true, SeqCst) {
            self.caller.unpark();
            if let Some(watcher) = &self.watcher {
                watcher.thread().unpark();
            }
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.state.is_over.store(true, SeqCst);
        if let Some(watcher) = self.watcher.take() {
            watcher.thread().unpark();
            let ended = watcher.join();
            debug_assert!(ended.is_ok(), "a thread of the sender panicked");
        }
    }
}

impl State {
    fn fail(&self, errno: i32) {
        self.failed.store(errno, SeqCst);
        self.is_over.store(true, SeqCst);
    }

    /// Parks the caller until there are frames; no when it is over.
    fn has_frames(&self, watcher: &Thread) -> bool {
        self.is_awake.store(false, SeqCst);
        fence(SeqCst);
        loop {
            if self.is_over.load(SeqCst) {
                return false;
            }
            if !self.words.is_empty() {
                if !self.is_awake.swap(true, SeqCst) {
                    watcher.unpark();
                }
                return true;
            }
            thread::park();
        }
    }
}

/// The caller's thread.
fn call(
    state: &State,
    program: &ProgramFd,
    interrupt: Interrupt,
    slot_len: usize,
    queues: Option<usize>,
    watcher: &Thread,
) {
    let errno = |error: io::Error| error.raw_os_error().unwrap_or(libc::EIO);
    if let Err(error) = interrupt.be_the_only_one_here() {
        return state.fail(errno(error));
    }
    // Only its length counts: the program writes each frame that leaves.
    let frame = vec![0; slot_len];
    while state.has_frames(watcher) {
        // Where it cannot stay it sends all the same.
        let _seat = queues.and_then(|queues| Seat::take(queues).ok());
        match bpf::run_live(program.as_fd(), &frame, TIMES, MAX_BATCH as u32) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                return state.fail(errno(error));
            }
            _ => {}
        }
    }
}

/// The watcher's thread.
fn watch(
    state: &State,
    caller: JoinHandle<()>,
    interrupt: Interrupt,
    mut check: impl FnMut() -> Option<i32>,
) {
    let (mut head, mut busy) = (0, Instant::now());
    let (mut checked, mut failed) = (busy, None);
    while !state.is_over.load(SeqCst) {
        if !state.is_awake.load(SeqCst) {
            // What the last call has lost is known now, and nobody asks again until the next.
            failed = check();
            if failed.is_some() {
                state.is_over.store(true, SeqCst);
                break;
            }
            thread::park();
            busy = Instant::now();
            continue;
        }
        thread::park_timeout(TICK);
        let now = Instant::now();
        let head_now = state.words.head().load(Relaxed);
        if head_now != head || !state.words.is_empty() {
            (head, busy) = (head_now, now);
        }
        if now - busy >= IDLE {
            interrupt.send(&caller);
        }
        if now - checked >= CHECK {
            checked = now;
            if let Some(errno) = check() {
                state.is_over.store(true, SeqCst);
                failed = Some(errno);
            }
        }
    }
    while !caller.is_finished() {
        interrupt.send(&caller);
        caller.thread().unpark();
        thread::sleep(AGAIN);
    }
    let ended = caller.join();
    debug_assert!(ended.is_ok(), "the caller panicked");
    // Said last: when the sender reads it, the numbers of the ring are final.
    if let Some(errno) = failed {
        state.fail(errno);
    }
}
