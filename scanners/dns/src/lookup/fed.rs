//! Questions that another thread makes, in batches that go round.
//!
//! ```text
//!  mrpf-names: any Source --> Feed: batches of questions --queue--> Fed, one a thread: a Source
//!                              ^------------------- emptied ----------------'
//! ```
//!
//! Batches are handed out in order, whoever takes them, as [marks](super::Marks) need it.

use crossbeam_channel::{self as channel, TryRecvError};

use crate::names::{Pull, Question, Source};

/// Questions of a batch.
const BATCH: usize = 128;
/// Batches that wait for each thread, at most.
const WAITING: usize = 4;

/// Questions of one batch; what was read lies before `read`.
#[derive(Debug, Default)]
struct Questions {
    list: Vec<Question>,
    filled: usize,
    read: usize,
}

/// Where questions are put in.
#[derive(Debug)]
pub struct Feed {
    queue: channel::Sender<Questions>,
    empty: channel::Receiver<Questions>,
}

/// Where a thread takes questions.
#[derive(Debug)]
pub struct Fed {
    queue: channel::Receiver<Questions>,
    empty: channel::Sender<Questions>,
    reading: Questions,
}

/// A feed for `threads` threads.
pub fn feed(threads: usize) -> (Feed, Vec<Fed>) {
    let (queue, out) = channel::bounded(WAITING * threads.max(1));
    let (back, empty) = channel::bounded((WAITING + 2) * threads.max(1));
    let fed = |_| Fed { queue: out.clone(), empty: back.clone(), reading: Questions::default() };
    let fed = (0..threads).map(fed).collect();
    (Feed { queue, empty }, fed)
}

impl Feed {
    /// Hands out what `source` gives until it ends, or nobody takes it, or `is_stopped` says so. It waits where threads have
    /// enough, and calls `idle` where the source has nothing at present.
    pub fn run(
        self,
        source: &mut impl Source,
        is_stopped: impl Fn() -> bool,
        idle: impl Fn(),
    ) {
        loop {
            let mut batch = self.empty.try_recv().unwrap_or_default();
            (batch.filled, batch.read) = (0, 0);
            let pulled = batch.fill(source);
            if batch.filled > 0 && self.queue.send(batch).is_err() || is_stopped() {
                return;
            }
            match pulled {
                Pull::Question => {}
                Pull::Later => idle(),
                Pull::End => return,
            }
        }
    }
}

impl Questions {
    fn fill(&mut self, source: &mut impl Source) -> Pull {
        while self.filled < BATCH {
            if self.list.len() == self.filled {
                self.list.push(Question::default());
            }
            let Some(place) = self.list.get_mut(self.filled) else { break };
            match source.next(place) {
                Pull::Question => self.filled += 1,
                other => return other,
            }
        }
        Pull::Question
    }
}

impl Source for Fed {
    fn next(&mut self, question: &mut Question) -> Pull {
        if self.reading.read == self.reading.filled {
            match self.queue.try_recv() {
                Ok(batch) => {
                    let empty = std::mem::replace(&mut self.reading, batch);
                    // Where there is no room for it there are enough.
                    let _ = self.empty.try_send(empty);
                }
                Err(TryRecvError::Empty) => return Pull::Later,
                Err(TryRecvError::Disconnected) => return Pull::End,
            }
        }
        match self.reading.list.get_mut(self.reading.read) {
            Some(next) => {
                std::mem::swap(next, question);
                self.reading.read += 1;
                Pull::Question
            }
            None => Pull::Later,
        }
    }
}
