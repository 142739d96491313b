//! The packet threads of a scan, which end together.

use std::thread;

use super::{Failure, Stop};
use crate::link::LinkError;

/// Threads that one handle ends. Dropped, it stops them and waits for them.
#[derive(Debug)]
pub(super) struct Threads {
    stop: Stop,
    threads: Vec<thread::JoinHandle<Result<(), LinkError>>>,
}

impl Threads {
    pub(super) fn new(stop: Stop) -> Self {
        Self { stop, threads: Vec::new() }
    }

    pub(super) fn spawn(
        &mut self,
        name: &str,
        body: impl FnOnce() -> Result<(), LinkError> + Send + 'static,
    ) -> Result<(), Failure> {
        let stop = StopsOnFailure(self.stop.clone());
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

    pub(super) fn is_finished(&self) -> bool {
        self.threads.iter().all(thread::JoinHandle::is_finished)
    }

    /// Waits for all; gives the first failure.
    pub(super) fn join(mut self) -> Result<(), Failure> {
        self.join_all()
    }

    fn join_all(&mut self) -> Result<(), Failure> {
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

impl Drop for Threads {
    fn drop(&mut self) {
        if self.threads.is_empty() {
            return; // joined: that is an end, and no stop
        }
        self.stop.stop();
        // The result was taken by `join`, or nobody wants it.
        let _ = self.join_all();
    }
}

/// One half without the other finds nothing: an error or a panic of one thread ends all.
struct StopsOnFailure(Stop);

impl Drop for StopsOnFailure {
    fn drop(&mut self) {
        self.0.stop();
    }
}
