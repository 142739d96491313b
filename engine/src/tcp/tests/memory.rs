//! How much memory flows take, and when they ask for it.

use super::{
    super::{FLOW_LEN, Flows, Handled, Incoming, Opening, Settings},
    Asker, ROUTER,
    hand::{ACK, HOST, Hand, PSH},
    octets,
};
use crate::{
    cookie::Cookie,
    link::LinkLayer,
    target::Target,
    time::Instant,
    wire::{self, Packet},
};

fn parsed(frame: &[u8]) -> Packet<'_> {
    wire::parse(frame, LinkLayer::Ethernet).unwrap()
}

/// Hosts that differ in their addresses: the same packet, with another sender.
fn from(incoming: Incoming<'_>, n: u32) -> Incoming<'_> {
    let addr = std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into();
    Incoming { remote: Target { addr, ..HOST }, ..incoming }
}

#[test]
fn a_flow_without_data_takes_256_octets_at_most() {
    let of = |flows| Settings { flows, ..Settings::default() }.memory();
    // As many as fill half of the index exactly, and one more, which makes it twice as large.
    for flows in [1 << 20, (1 << 20) + 1] {
        assert!(of(flows) - Settings::default().buffers <= flows as usize * 257);
    }
    assert!(of(1 << 20) < 400 << 20, "{}", of(1 << 20));
}

/// One million flows, each of which has asked: what the system was asked for is what was stated, and no more.
#[test]
fn a_million_flows_fit_in_400_mb() {
    const FLOWS: u32 = 1_000_000;
    let settings = Settings { flows: FLOWS, ..Settings::default() };
    let said = Hand::new().syn_ack;
    let frame = said.frame();
    let syn_ack = Incoming::of(&parsed(&frame)).unwrap();
    let mut asker = Asker::new(&[300]);
    let now = Instant::from_nanos(1_000_000);
    let used = allocation_counter::measure(|| {
        let mut flows = Flows::new(settings, Cookie::from_key(&[1; 16])).unwrap();
        for n in 0..FLOWS {
            let syn_ack = from(syn_ack, n);
            let opening =
                Opening { syn_ack, next_hop: ROUTER, label: n, word: n.into(), request_len: 300 };
            flows.open(&opening, now).unwrap();
            assert!(flows.poll_transmit(now, &mut asker).is_some());
        }
        assert_eq!((flows.len(), flows.pending()), (FLOWS as usize, 0));
    });
    println!("1,000,000 flows: {} octets at most, {FLOW_LEN} each", used.bytes_max);
    assert!(used.bytes_max <= 400_000_000, "{used:?}");
    // The queue of strangers is the one thing beside the tables.
    assert!(used.bytes_max <= settings.memory() as u64 + 4_096, "{used:?} {}", settings.memory());
}

#[test]
fn after_the_start_nothing_is_allocated() {
    let hand = Hand::new();
    let flight = octets(1, 5_000);
    let frames: Vec<_> = flight.chunks(1_460).enumerate().collect();
    let last = frames.len() - 1;
    let segments = frames.iter().map(|(at, part)| {
        let flags = if *at == last { PSH } else { ACK };
        hand.said(*at as i32 * 1_460, 300, flags, part).frame()
    });
    let segments: Vec<_> = segments.collect();
    let ping = hand.said(0, 300, ACK, b"x").frame();
    let syn_ack = hand.syn_ack.frame();
    let settings = Settings { flows: 128, buffers: 1 << 20, ..Settings::default() };
    let mut flows = Flows::new(settings, Cookie::from_key(&[1; 16])).unwrap();
    let mut asker = Asker::new(&[300]);
    let mut now = Instant::from_nanos(5_000_000);
    let mut ended = 0;
    let used = allocation_counter::measure(|| {
        for n in 0..2_000 {
            now += std::time::Duration::from_millis(30);
            let syn_ack = from(Incoming::of(&parsed(&syn_ack)).unwrap(), n);
            assert_eq!(flows.handle(&syn_ack, now), Handled::Stranger);
            let opening =
                Opening { syn_ack, next_hop: ROUTER, label: n, word: 0, request_len: 300 };
            let id = match flows.open(&opening, now) {
                Ok(id) => id,
                Err(refused) => panic!("{refused:?}"),
            };
            while flows.poll_transmit(now, &mut asker).is_some() {}
            // One in three says everything in reverse, one in three a little; the last is not heard of again.
            match n % 3 {
                0 => {
                    for segment in segments.iter().rev() {
                        flows.handle(&from(Incoming::of(&parsed(segment)).unwrap(), n), now);
                        while flows.poll_transmit(now, &mut asker).is_some() {}
                    }
                    assert_eq!(flows.data(id).len(), 5_000);
                    flows.close(id).unwrap();
                }
                1 => {
                    flows.handle(&from(Incoming::of(&parsed(&ping)).unwrap(), n), now);
                }
                _ => {}
            }
            while let Some(id) = flows.poll_ended(now) {
                ended += 1;
                flows.close(id).unwrap();
            }
            flows.refuse(&syn_ack, ROUTER, 0);
            while flows.poll_transmit(now, &mut asker).is_some() {}
        }
    });
    assert!(ended > 1_000, "{ended} ended by the time");
    assert_eq!(used.count_total, 0, "{used:?}");
}
