//! Lambda: the runtime API under one function process, and event source mappings that feed it from queues.
//!
//! ```text
//!   queue --receive--> mapping --event--> waiting --GET next--> running --POST response, error--> outcome
//!     ^                   |                            '--deadline, death of the process------------'  |
//!     '--delete successes-'<---------------------------------------------------------------------------'
//! ```
//!
//! The test starts the process with [`LambdaRuntime::environment`] and ends it. There is one, so there is one invocation at a
//! time. What Lambda does with a sandbox that ran out of time, ending it, is the test's to do; its late response is refused.

mod api;
mod mapping;
mod records;
#[cfg(test)]
mod tests;
mod verdict;

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;
use uuid::Uuid;

pub use self::mapping::{EventSource, MappingError};
use crate::{ACCOUNT, REGION, http::Server};

/// Between two looks of one who waits.
const LOOK: Duration = Duration::from_millis(5);

/// What Lambda knows of a function.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// How long an invocation may take.
    pub timeout: Duration,
}

impl Function {
    fn arn(&self) -> String {
        format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{}", self.name)
    }
}

/// How an invocation ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LambdaOutcome {
    /// The function returned; this is what, whether or not it is JSON.
    Returned(String),
    /// The function failed, or panicked; this is what it said.
    Failed(String),
    /// It took too long.
    TimedOut,
    /// Its process died, or never came.
    Crashed,
}

/// One invocation.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Its request id.
    pub id: String,
    /// What the function got.
    pub event: Value,
    /// When the process took it.
    pub taken: Option<Instant>,
    /// How it ended; `None` as long as it has not.
    pub outcome: Option<LambdaOutcome>,
}

/// The Lambda service for one function.
#[derive(Debug)]
pub struct LambdaRuntime {
    server: Server,
    shared: Arc<Shared>,
    mappings: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    function: Function,
    is_over: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    invocations: Vec<Invocation>,
    /// Numbers of those that no process has taken.
    waiting: VecDeque<usize>,
    /// The number of the one that a process has.
    running: Option<usize>,
    init_errors: Vec<String>,
    extensions: Vec<String>,
    misuses: Vec<String>,
}

impl LambdaRuntime {
    /// Starts it. Nothing is invoked before a process asks.
    ///
    /// # Errors
    ///
    /// Where loopback has no port left.
    pub fn start(function: Function) -> io::Result<Self> {
        let state = Mutex::new(State::default());
        let shared = Arc::new(Shared { function, is_over: AtomicBool::new(false), state });
        let server = Server::start(|_| {
            let shared = Arc::clone(&shared);
            move |request: &_, peer: &_| shared.handle(request, peer)
        })?;
        Ok(Self { server, shared, mappings: Mutex::default() })
    }

    /// The environment of the function's process.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let name = &self.shared.function.name;
        vec![
            ("AWS_LAMBDA_RUNTIME_API", self.server.address().to_string()),
            ("AWS_LAMBDA_FUNCTION_NAME", name.clone()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128".to_owned()),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}")),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "test".to_owned()),
            ("AWS_REGION", REGION.to_owned()),
        ]
    }

    /// Invokes the function and waits for the end.
    pub fn invoke(&self, event: Value) -> LambdaOutcome {
        self.shared.invoke(event)
    }

    /// Feeds the function from a queue, as long as this lives.
    ///
    /// # Errors
    ///
    /// [`MappingError`].
    pub fn map(&self, source: EventSource) -> Result<(), MappingError> {
        let thread = mapping::start(Arc::clone(&self.shared), source)?;
        self.mappings.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// The test has ended the process: what it was doing is lost.
    pub fn process_ended(&self) {
        self.shared.lock().end_running(LambdaOutcome::Crashed);
    }

    /// All invocations so far.
    pub fn invocations(&self) -> Vec<Invocation> {
        self.shared.lock().invocations.clone()
    }

    /// What processes said that could not even start.
    pub fn init_errors(&self) -> Vec<String> {
        self.shared.lock().init_errors.clone()
    }

    /// Extensions that registered. Lambda sends SIGTERM to the process of a function that has one, and to no other.
    pub fn extensions(&self) -> Vec<String> {
        self.shared.lock().extensions.clone()
    }

    /// What the process asked that the runtime API does not have: none, at the end of a test.
    pub fn misuses(&self) -> Vec<String> {
        self.shared.lock().misuses.clone()
    }
}

impl Drop for LambdaRuntime {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        let mappings = self.mappings.get_mut().unwrap_or_else(PoisonError::into_inner);
        for mapping in mappings.drain(..) {
            let _ = mapping.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    fn invoke(&self, event: Value) -> LambdaOutcome {
        let id = Uuid::new_v4().to_string();
        let mut state = self.lock();
        let number = state.invocations.len();
        state.invocations.push(Invocation { id, event, taken: None, outcome: None });
        state.waiting.push_back(number);
        drop(state);
        loop {
            let mut state = self.lock();
            let Invocation { outcome, taken, .. } = &state.invocations[number];
            let (outcome, taken) = (outcome.clone(), *taken);
            if let Some(outcome) = outcome {
                return outcome;
            }
            if taken.is_some_and(|taken| taken.elapsed() >= self.function.timeout) {
                state.end_running(LambdaOutcome::TimedOut);
            } else if self.is_over() {
                state.waiting.retain(|waiting| *waiting != number);
                state.invocations[number].outcome = Some(LambdaOutcome::Crashed);
            }
            drop(state);
            thread::sleep(LOOK);
        }
    }
}

impl State {
    fn end_running(&mut self, outcome: LambdaOutcome) {
        if let Some(number) = self.running.take() {
            self.invocations[number].outcome = Some(outcome);
        }
    }
}
