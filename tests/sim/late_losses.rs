//! What a link loses after it has taken it is told late; nothing of that stays counted as sent, however a scan ends.

use std::{io, time::Duration};

use crate::world::shared;
use mrpf_engine::{
    link::{LinkError, MAX_BATCH, Sent, Tx},
    scan::{Next, Sender, Settings},
    stats::Counts,
    time::Instant,
};

/// Takes so many batches and then is gone; of what it took, it lost some.
struct Lossy {
    slots: Vec<u8>,
    batches: u32,
    lost: u64,
    /// Whether it knows of them: not before it is gone, or was waited for.
    knows: bool,
}

impl Lossy {
    fn new(batches: u32, lost: u64) -> Self {
        Self { slots: vec![0; MAX_BATCH * 128], batches, lost, knows: false }
    }
}

impl Tx for Lossy {
    fn slots(&self) -> usize {
        MAX_BATCH
    }

    fn frame(&mut self, slot: usize) -> &mut [u8] {
        &mut self.slots[slot * 128..][..128]
    }

    fn send(&mut self, lens: &[u16]) -> Result<Sent, LinkError> {
        let Some(left) = self.batches.checked_sub(1) else {
            self.knows = true;
            return Err(LinkError::Io { what: "sending", source: io::ErrorKind::Other.into() });
        };
        self.batches = left;
        Ok(Sent { sent: lens.len() as u32, dropped: 0, errno: 0, waited: Duration::ZERO })
    }

    fn lost(&mut self) -> u64 {
        if self.knows { std::mem::take(&mut self.lost) } else { 0 }
    }

    fn drain(&mut self) {
        self.knows = true;
    }
}

/// Sends over `link` until it is gone, or `stop` after so many calls.
fn send(mut link: Lossy, stop: u32) -> (Result<(), LinkError>, Counts) {
    let settings = Settings { rate: "max".parse().unwrap(), ..Settings::default() };
    let (shared, _found) = shared("198.19.0.0/16", "80,443", settings);
    let mut sender = Sender::new(shared.clone(), 0);
    let mut calls = 0;
    let result = loop {
        if calls == stop {
            shared.stop().stop();
        }
        let now = Instant::START + Duration::from_micros(50) * calls;
        match sender.poll(now, &mut link) {
            Ok(Next::Done) => break Ok(()),
            Ok(_) => calls += 1,
            Err(error) => break Err(error),
        }
    };
    (result, shared.counts())
}

#[track_caller]
fn check(counts: &Counts, lost: u64) {
    assert_eq!((counts.dropped_redirect, counts.probes), (lost, counts.sent), "{counts:?}");
    assert_eq!(counts.generated, counts.sent + lost, "{counts:?}");
    assert!(counts.sent > 0, "{counts:?}");
}

#[test]
fn what_a_link_had_lost_when_it_went_away_was_not_sent() {
    let (result, counts) = send(Lossy::new(3, 50), u32::MAX);
    assert!(matches!(result, Err(LinkError::Io { .. })), "{result:?}");
    check(&counts, 50);
}

#[test]
fn a_scan_that_is_stopped_waits_for_what_is_on_its_way() {
    let (result, counts) = send(Lossy::new(u32::MAX, 50), 5);
    assert!(result.is_ok(), "{result:?}");
    check(&counts, 50);
}
