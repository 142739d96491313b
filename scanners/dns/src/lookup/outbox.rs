//! How lookups ended, in batches that go round: filled here, read by who writes records, and given back empty.
//!
//! ```text
//!  Lookups --> Outbox: the batch being filled --full, or old--> queue --> Inbox::recv --> Batch::iter --> End
//!                 ^                                                           |
//!                 '------------------- emptied <-- Inbox::give_back ----------'
//! ```
//!
//! When nobody takes them, batches stay here: the one being filled grows by what is under way, and no new question is taken.
//! Nothing is allocated once the batches that go round have grown to their size.

use std::time::Duration;

use crossbeam_channel::{self as channel, RecvTimeoutError, TryRecvError, TrySendError};
use mrpf_engine::time::Instant;

use super::ends::{Batch, ENDS, End, OCTETS};

/// A batch that is not full leaves when it is so old.
const AGE: Duration = Duration::from_millis(20);
/// How long room is waited for at the end.
const PATIENCE: Duration = Duration::from_secs(1);
/// Batches in the queue, at most.
const BATCHES: usize = 32;

/// Where a thread puts ends: one for each, of the same queue.
#[derive(Debug)]
pub struct Outbox {
    filling: Batch,
    /// When its first end came.
    since: Instant,
    /// The lowest number among its ends.
    lowest: u64,
    queue: channel::Sender<Batch>,
    empty: channel::Receiver<Batch>,
    is_gone: bool,
}

/// Where the ends of all threads are taken from.
#[derive(Clone, Debug)]
pub struct Inbox {
    queue: channel::Receiver<Batch>,
    empty: channel::Sender<Batch>,
}

/// A queue, and a way in for each of `threads` threads. It is closed when they all are gone.
pub fn queue(threads: usize) -> (Vec<Outbox>, Inbox) {
    let (queue, out) = channel::bounded(BATCHES * threads.max(1));
    let (back, empty) = channel::bounded(2 * BATCHES * threads.max(1));
    let outbox = |_| Outbox {
        filling: Batch::default(),
        since: Instant::NEVER,
        lowest: u64::MAX,
        queue: queue.clone(),
        empty: empty.clone(),
        is_gone: false,
    };
    ((0..threads).map(outbox).collect(), Inbox { queue: out, empty: back })
}

impl Inbox {
    /// The next batch, waiting for it; `None` when all threads have ended and nothing is left.
    pub fn recv(&self) -> Option<Batch> {
        self.queue.recv().ok()
    }

    /// As [`recv`](Self::recv), waiting up to `wait`.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError`] tells whether to come again.
    pub fn recv_timeout(&self, wait: Duration) -> Result<Batch, RecvTimeoutError> {
        self.queue.recv_timeout(wait)
    }

    /// As [`recv`](Self::recv), without waiting.
    ///
    /// # Errors
    ///
    /// [`TryRecvError`] tells whether to come again.
    pub fn try_recv(&self) -> Result<Batch, TryRecvError> {
        self.queue.try_recv()
    }

    /// How many batches wait to be taken.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Gives a batch back that was read, to be filled again.
    pub fn give_back(&self, mut batch: Batch) {
        batch.clear();
        // Where there is no room for it there are enough.
        let _ = self.empty.try_send(batch);
    }
}

impl Outbox {
    pub(super) fn push(&mut self, end: &End<'_>) {
        if self.filling.is_empty() {
            (self.since, self.lowest) = (end.at, u64::MAX);
        }
        self.lowest = self.lowest.min(end.number);
        self.filling.push(end);
        if self.filling.is_full() {
            self.offer();
        }
    }

    /// Whether there is room for the ends of more than what is under way.
    pub(super) fn has_room(&self) -> bool {
        !self.filling.is_full()
    }

    /// Whether so much waits that what comes is better left where it is.
    pub(super) fn is_crowded(&self) -> bool {
        self.filling.len() >= 8 * ENDS || self.filling.octets.len() >= 8 * OCTETS
    }

    /// Whether nobody will ever take anything.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// The lowest number whose end is not in the queue yet.
    pub(super) fn lowest(&self) -> Option<u64> {
        (!self.filling.is_empty()).then_some(self.lowest)
    }

    /// Whether all ends are in the queue.
    pub(super) fn is_empty(&self) -> bool {
        self.filling.is_empty()
    }

    /// Sends on what is full or old; gives when to come again.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Instant> {
        if self.filling.is_empty() {
            return None;
        }
        if self.filling.is_full() || now >= self.since + AGE {
            self.offer();
        }
        (!self.filling.is_empty()).then(|| (self.since + AGE).max(now + AGE / 20))
    }

    /// Sends on what there is and waits a little for room; gives how many ends nobody takes.
    pub(super) fn close(&mut self) -> u64 {
        if self.filling.is_empty() {
            return 0;
        }
        let count = self.filling.len() as u64;
        let sent = self.queue.send_timeout(std::mem::take(&mut self.filling), PATIENCE);
        if sent.is_ok() { 0 } else { count }
    }

    /// Sends on what there is, if there is room for it.
    fn offer(&mut self) {
        if self.filling.is_empty() {
            return;
        }
        match self.queue.try_send(std::mem::take(&mut self.filling)) {
            Ok(()) => self.filling = self.empty.try_recv().unwrap_or_default(),
            Err(TrySendError::Full(batch)) => self.filling = batch,
            Err(TrySendError::Disconnected(_)) => self.is_gone = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lookup::{Outcome, Protocol},
        message::{Qclass, Qtype},
    };

    fn end<'a>(number: u64, name: &'a [u8], message: &'a [u8]) -> End<'a> {
        End {
            number,
            name,
            qtype: Qtype(1),
            qclass: Qclass(1),
            outcome: Outcome::Message,
            resolver: None,
            protocol: Protocol::Udp,
            attempts: 1,
            rtt: Some(Duration::from_millis(3)),
            at: Instant::START,
            wildcard: None,
            message,
        }
    }

    #[test]
    fn what_is_put_in_comes_out_in_order_and_batches_go_round() {
        let (mut outboxes, inbox) = queue(1);
        let mut outbox = outboxes.pop().unwrap();
        for number in 0..1_300 {
            let name = [number as u8; 9];
            outbox.push(&end(number, &name, &name[..number as usize % 9]));
        }
        outbox.offer();
        assert!(outbox.is_empty());
        drop(outbox);
        let mut next = 0;
        while let Some(batch) = inbox.recv() {
            for got in batch.iter() {
                let name = [next as u8; 9];
                assert_eq!(got, end(next, &name, &name[..next as usize % 9]));
                next += 1;
            }
            inbox.give_back(batch);
        }
        assert_eq!(next, 1_300);
    }

    #[test]
    fn once_batches_have_grown_nothing_is_allocated() {
        let (mut outboxes, inbox) = queue(1);
        let mut outbox = outboxes.pop().unwrap();
        let mut round = || {
            (0..2 * ENDS as u64)
                .for_each(|number| outbox.push(&end(number, b"\x01a\0", &[7; 100])));
            while let Ok(batch) = inbox.try_recv() {
                inbox.give_back(batch);
            }
        };
        (0..4).for_each(|_| round());
        assert_eq!(allocation_counter::measure(|| (0..50).for_each(|_| round())).count_total, 0);
    }

    #[test]
    fn a_queue_that_nobody_reads_fills_up_and_loses_nothing() {
        let (mut outboxes, inbox) = queue(1);
        let mut outbox = outboxes.pop().unwrap();
        let mut number = 0;
        while outbox.has_room() {
            outbox.push(&end(number, b"\0", b""));
            number += 1;
        }
        assert_eq!(number as usize, (BATCHES + 1) * ENDS);
        (number..number + 10_000).for_each(|number| outbox.push(&end(number, b"\0", b"")));
        assert!(outbox.is_crowded() && !outbox.is_gone());
        let mut seen = 0;
        while let Ok(batch) = inbox.try_recv() {
            seen += batch.len() as u64;
            outbox.poll(Instant::START);
        }
        assert_eq!((seen, outbox.is_empty()), (number + 10_000, true));
        drop(inbox);
        outbox.push(&end(0, b"\0", b""));
        outbox.offer();
        assert!(outbox.is_gone());
    }

    #[test]
    fn a_batch_that_is_old_leaves() {
        let (mut outboxes, inbox) = queue(1);
        let mut outbox = outboxes.pop().unwrap();
        outbox.push(&end(0, b"\0", b""));
        assert_eq!(outbox.poll(Instant::START), Some(Instant::START + AGE));
        assert!(inbox.try_recv().is_err());
        assert_eq!(outbox.poll(Instant::START + AGE), None);
        assert_eq!(inbox.try_recv().unwrap().len(), 1);
    }
}
