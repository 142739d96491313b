//! After set-up the packet paths allocate nothing.

use std::time::Duration;

use mrpf_engine::{
    link::{Frame, LinkError, MAX_BATCH, Sent, Tx},
    scan::{Listener as _, Receiver, Sender, Settings},
    time::Instant,
};

use crate::world::{answer, shared};

/// A link that keeps the last batch where a test can answer it.
struct Kept {
    slots: Vec<u8>,
    lens: [u16; MAX_BATCH],
    filled: usize,
}

impl Kept {
    fn new() -> Self {
        Self { slots: vec![0; MAX_BATCH * 128], lens: [0; MAX_BATCH], filled: 0 }
    }
}

impl Tx for Kept {
    fn slots(&self) -> usize {
        MAX_BATCH
    }

    fn frame(&mut self, slot: usize) -> &mut [u8] {
        &mut self.slots[slot * 128..][..128]
    }

    fn send(&mut self, lens: &[u16]) -> Result<Sent, LinkError> {
        self.lens[..lens.len()].copy_from_slice(lens);
        self.filled = lens.len();
        Ok(Sent { sent: lens.len() as u32, dropped: 0, errno: 0, waited: Duration::ZERO })
    }
}

#[test]
fn sending_and_receiving_allocate_nothing_after_set_up() {
    let settings = Settings { rate: "max".parse().unwrap(), ..Settings::default() };
    let (shared, found) = shared("198.19.0.0/16", "80,443", settings);
    let mut sender = Sender::new(shared.clone(), 0);
    let mut receiver = Receiver::new(shared.clone(), 0);
    let (mut tx, mut closing) = (Kept::new(), Kept::new());
    let mut now = Instant::START + Duration::from_secs(1);
    let mut step = |answered: bool| {
        sender.poll(now, &mut tx).unwrap();
        if answered {
            for slot in 0..std::mem::take(&mut tx.filled) {
                // A copy: what the slots hold is the sender's for good.
                let mut bytes: [u8; 128] = tx.slots[slot * 128..][..128].try_into().unwrap();
                answer(&mut bytes);
                let bytes = &bytes[..usize::from(tx.lens[slot])];
                receiver.handle(Frame::whole(bytes, now, bytes.len() as u32));
            }
        }
        receiver.poll_transmit(now, &mut closing).unwrap();
        while found.try_recv().is_ok() {}
        now += Duration::from_micros(50);
    };
    step(true); // the slots are prepared by the first call
    let half = allocation_counter::measure(|| (0..400).for_each(|_| step(true)));
    // Not answered, and polled long enough for retries and silence.
    let rest = allocation_counter::measure(|| (0..400_000).for_each(|_| step(false)));
    let counts = shared.counts();
    assert!(counts.first > 20_000 && counts.resets == counts.first, "{counts:?}");
    assert!(counts.made_by_attempt[2] > 10_000 && counts.silent > 10_000, "{counts:?}");
    assert_eq!((half.count_total, rest.count_total), (0, 0));
}
