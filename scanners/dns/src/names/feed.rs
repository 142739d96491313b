//! The thread that reads names, so that no thread of packets waits for a disk or a pipe.
//!
//! ```text
//!  mrpf-names:  Source --> [ 256 questions ] ----> Fed --> lookups      one Fed a consumer, one queue for all:
//!                 ^                                 |                   who is through first takes the next batch
//!                 '------- empty batches -----------'
//! ```
//!
//! A batch goes on when it is full, or when reading the next name may take time. Batches are used again: nothing is
//! allocated after the first of them.

use std::{io, mem, thread};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use super::{NamesError, Pull, Question, Source};

/// Questions a batch.
const BATCH: usize = 256;
/// Full batches that may wait for each consumer.
const WAITING: usize = 2;

/// Some questions; those behind `len` are of earlier use.
#[derive(Debug, Default)]
struct Batch {
    questions: Vec<Question>,
    len: usize,
}

/// The end of a [`feed`] that one consumer holds.
#[derive(Debug)]
pub struct Fed {
    full: Receiver<Batch>,
    empty: Sender<Batch>,
    batch: Batch,
    at: usize,
}

/// The thread of a [`feed`].
#[derive(Debug)]
pub struct Feeder(thread::JoinHandle<Result<(), NamesError>>);

/// Starts the thread that reads `source` for so many consumers. It ends with the source, or with the last consumer.
///
/// # Errors
///
/// When the system gives no thread.
pub fn feed(source: impl Source + 'static, consumers: usize) -> io::Result<(Feeder, Vec<Fed>)> {
    let consumers = consumers.max(1);
    let (fill, full) = bounded(consumers * WAITING);
    // Room for all that there are: those waiting, one at each consumer, one being filled.
    let (empty, emptied) = bounded(consumers * (WAITING + 1) + 1);
    let run = move || fill_batches(source, &fill, &emptied);
    let thread = thread::Builder::new().name("mrpf-names".into()).spawn(run)?;
    let fed = || Fed { full: full.clone(), empty: empty.clone(), batch: Batch::default(), at: 0 };
    let feds = (0..consumers).map(|_| fed()).collect();
    Ok((Feeder(thread), feds))
}

impl Feeder {
    /// Waits for the end of the source, after a [`Fed`] gave [`Pull::End`]; the error is the source's.
    pub fn finish(self) -> Result<(), NamesError> {
        self.0.join().unwrap_or(Err(NamesError::Thread))
    }
}

fn fill_batches(
    mut source: impl Source,
    fill: &Sender<Batch>,
    emptied: &Receiver<Batch>,
) -> Result<(), NamesError> {
    loop {
        let mut batch = emptied.try_recv().unwrap_or_default();
        batch.len = 0;
        let last = loop {
            if batch.len == batch.questions.len() {
                batch.questions.push(Question::default());
            }
            let Some(question) = batch.questions.get_mut(batch.len) else { break Pull::Later };
            match source.next(question) {
                Pull::Question => batch.len += 1,
                // What is there does not wait; with nothing there, the next call does.
                Pull::Later if batch.len == 0 => {}
                other => break other,
            }
            if batch.len == BATCH {
                break Pull::Question;
            }
        };
        // Consumers that are gone want nothing more.
        let is_over = batch.len > 0 && fill.send(batch).is_err();
        if is_over || last == Pull::End {
            return source.fault().map_or(Ok(()), Err);
        }
    }
}

impl Source for Fed {
    #[inline]
    fn next(&mut self, question: &mut Question) -> Pull {
        while self.at == self.batch.len {
            let batch = match self.full.try_recv() {
                Ok(batch) => batch,
                Err(TryRecvError::Empty) => return Pull::Later,
                Err(TryRecvError::Disconnected) => return Pull::End,
            };
            let used = mem::replace(&mut self.batch, batch);
            self.at = 0;
            // There is room for all; a thread that has ended needs none.
            let _ = self.empty.try_send(used);
        }
        let Some(next) = self.batch.questions.get_mut(self.at) else { return Pull::End };
        mem::swap(question, next);
        self.at += 1;
        Pull::Question
    }
}
