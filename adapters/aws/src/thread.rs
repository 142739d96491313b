//! A thread with a runtime, which ends when nobody needs it any more.

use std::{
    convert::Infallible,
    future::Future,
    io,
    thread::{self, ThreadId},
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::mpsc,
};

use crate::AwsError;

/// A way to the thread. It ends when the last way is gone and the last task is done.
#[derive(Clone, Debug)]
pub(crate) struct Thread {
    runtime: Handle,
    id: ThreadId,
    /// Nothing is ever sent: the other end hears when all copies are gone.
    open: mpsc::Sender<Infallible>,
}

impl Thread {
    pub(crate) fn start() -> io::Result<Self> {
        let (open, closed) = mpsc::channel(1);
        let (tell, told) = bounded(1);
        let body = move || match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let _ = tell.send(Ok((runtime.handle().clone(), thread::current().id())));
                drive(runtime, closed);
            }
            Err(error) => drop(tell.send(Err(error))),
        };
        thread::Builder::new().name("mrpf-aws".to_owned()).spawn(body)?;
        let gone = || io::Error::other("it ended before it began");
        let (runtime, id) = told.recv().unwrap_or_else(|_| Err(gone()))?;
        Ok(Self { runtime, id, open })
    }

    pub(crate) fn begin<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Call<T> {
        let (tell, told) = bounded(1);
        let open = self.open.clone();
        self.runtime.spawn(async move {
            // Where nobody waits for it any more, what came of it is dropped here, on this thread.
            drop(tell.send(future.await));
            drop(open);
        });
        Call { told, id: self.id }
    }
}

fn drive(runtime: Runtime, mut closed: mpsc::Receiver<Infallible>) {
    runtime.block_on(async { while closed.recv().await.is_some() {} });
    // A look-up of a name may hang in the system; nobody waits for it.
    runtime.shutdown_background();
}

/// A call that is under way. It goes on when this is dropped.
#[derive(Debug)]
pub struct Call<T> {
    told: Receiver<T>,
    id: ThreadId,
}

impl<T> Call<T> {
    /// Waits for the end.
    ///
    /// # Errors
    ///
    /// [`AwsError::Ended`] when there will be none, [`AwsError::Inside`].
    pub fn end(self) -> Result<T, AwsError> {
        self.check()?;
        self.told.recv().map_err(|_| AwsError::Ended)
    }

    /// Waits so long at most; `None` when it is not over by then.
    ///
    /// # Errors
    ///
    /// As [`Self::end`].
    pub fn end_within(&self, wait: Duration) -> Result<Option<T>, AwsError> {
        self.check()?;
        match self.told.recv_timeout(wait) {
            Ok(done) => Ok(Some(done)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(AwsError::Ended),
        }
    }

    fn check(&self) -> Result<(), AwsError> {
        if thread::current().id() == self.id { Err(AwsError::Inside) } else { Ok(()) }
    }
}
