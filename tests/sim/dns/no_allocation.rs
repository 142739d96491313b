//! After the first batches have grown, a lookup allocates nothing.

use std::{sync::Arc, time::Duration};

use mrpf_dns::{
    lookup::{self, Keys, Lookups, Marks, Parts, Ports, Settings},
    message::{Name, Qclass, Qtype},
    names::{Pull, Question, Source},
    resolver::{Pool, PoolSettings},
};
use mrpf_engine::{
    link::{Frame, LinkError, LinkLayer, MAX_BATCH, Sent, Tx},
    neighbour::NextHops,
    scan::{Listener as _, Session, Stop},
    sources::Sources,
    template::Ends,
    time::Instant,
    wire::MacAddr,
};

use super::world::{OURS, resolvers};

const SLOT: usize = 512;

/// A link that keeps what is sent until a test has answered it.
struct Kept {
    slots: Vec<u8>,
    sent: Vec<([u8; SLOT], usize)>,
}

impl Tx for Kept {
    fn slots(&self) -> usize {
        MAX_BATCH
    }

    fn frame(&mut self, slot: usize) -> &mut [u8] {
        &mut self.slots[slot * SLOT..][..SLOT]
    }

    fn send(&mut self, lens: &[u16]) -> Result<Sent, LinkError> {
        for (slot, len) in lens.iter().enumerate() {
            assert!(self.sent.len() < self.sent.capacity(), "more than fits");
            let bytes = self.slots[slot * SLOT..][..SLOT].try_into().unwrap();
            self.sent.push((bytes, usize::from(*len)));
        }
        Ok(Sent { sent: lens.len() as u32, ..Sent::default() })
    }
}

/// Names without end, made without an allocation: the digits of a number in one label of two.
#[derive(Debug)]
struct Endless(u64);

impl Source for Endless {
    fn next(&mut self, question: &mut Question) -> Pull {
        let mut wire = *b"\x0cn00000000000\x07example\0";
        let mut rest = self.0;
        for digit in wire[2..13].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        question.number = self.0;
        question.name = Ok(Name::from_wire(&wire).unwrap());
        (question.qtype, question.qclass) = (Qtype::A, Qclass::IN);
        self.0 += 1;
        Pull::Question
    }
}

/// Turns a query into its answer in place: an address for every other name, no such name for the rest, and for one in a hundred
/// SERVFAIL. Gives the length.
fn answer(frame: &mut [u8], len: usize, number: usize) -> usize {
    let (ip, udp, dns) = (14, 34, 42);
    for at in 0..6 {
        frame.swap(at, 6 + at);
    }
    for at in 0..4 {
        frame.swap(ip + 12 + at, ip + 16 + at);
    }
    frame.swap(udp, udp + 2);
    frame.swap(udp + 1, udp + 3);
    frame[udp + 6..udp + 8].fill(0); // no checksum
    frame[dns + 2] |= 0x80;
    frame[dns + 3] = match number % 100 {
        7 => 0x82,
        odd if odd % 2 == 1 => 0x83,
        _ => 0x80,
    };
    if frame[dns + 3] != 0x80 {
        return len;
    }
    // The address stands before the OPT record, which is left out.
    frame[dns + 7] = 1;
    frame[dns + 11] = 0;
    let record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1];
    frame[len - 11..len + 5].copy_from_slice(&record);
    let grown = (len + 5 - ip) as u16;
    frame[ip + 2..ip + 4].copy_from_slice(&grown.to_be_bytes());
    frame[udp + 4..udp + 6].copy_from_slice(&(grown - 20).to_be_bytes());
    len + 5
}

#[test]
fn asking_hearing_and_telling_allocate_nothing_after_warm_up() {
    let rate = "200k".parse().unwrap();
    let hops = NextHops::single(MacAddr([4; 6]));
    let session = Arc::new(Session::new(Stop::default(), rate, hops, LinkLayer::Ethernet));
    let (mut outboxes, inbox) = lookup::queue(1);
    let parts = Parts {
        session: Arc::clone(&session),
        thread: 0,
        ends: Ends {
            layer: LinkLayer::Ethernet,
            source_mac: MacAddr([2; 6]),
            vlan: None,
            sources: Sources::from(OURS),
        },
        ports: Ports::new(40_000, 4_096).unwrap(),
        keys: Keys::from_seed(11),
        pool: Pool::new(&resolvers(200), PoolSettings::default(), 5),
        wildcards: None,
        source: Endless(0),
        outbox: outboxes.pop().unwrap(),
        marks: Marks::new(1, 0),
    };
    let settings =
        Settings { slots: 1 << 14, connections: 16, buffers: 1 << 20, ..Settings::default() };
    let mut lookups = Lookups::new(parts, settings).unwrap();
    let tally = lookups.tally();
    let mut tx = Kept { slots: vec![0; MAX_BATCH * SLOT], sent: Vec::with_capacity(1 << 14) };
    let (mut now, mut number) = (Instant::START + Duration::from_secs(1), 0);
    let mut step = || {
        lookups.poll_transmit(now, &mut tx).unwrap();
        now += Duration::from_micros(100);
        for (bytes, len) in &mut tx.sent {
            number += 1;
            // One in fifty gets no answer.
            if number % 50 != 3 {
                let len = answer(bytes, *len, number);
                lookups.handle(Frame::whole(&bytes[..len], now, len as u32));
            }
        }
        tx.sent.clear();
        lookups.rest(now);
        while let Ok(batch) = inbox.try_recv() {
            inbox.give_back(batch);
        }
    };
    (0..100_000).for_each(|_| step());
    let before = tally.counted();
    let measured = allocation_counter::measure(|| (0..100_000).for_each(|_| step()));
    let after = tally.counted();
    let (ends, retries) = (after.ends() - before.ends(), after.retries - before.retries);
    assert!(ends > 200_000 && retries > 2_000, "{ends} ends, {retries} retries");
    assert!(after.lost > before.lost && after.servfail > before.servfail, "{after:?}");
    assert_eq!(measured.count_total, 0, "{measured:?} for {ends} lookups");
}
