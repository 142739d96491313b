//! A listener that talks, frame by frame: what opens a connection, what ends it, and what strangers cannot do to it.

use std::{
    num::NonZeroU64,
    sync::{Arc, Mutex},
    time::Duration,
};

use crossbeam_channel::Receiver as Queue;
use mrpf_engine::{
    cookie::Cookie,
    link::{Frame, LinkLayer, MAX_BATCH},
    scan::{Dialogue, Found, Listener as _, Next, Sender, Settings, Shared, Talker, Turn},
    sources::Sources,
    stats::Counts,
    target::Target,
    tcp::{self, About, End, Flows, Frames, Report, Requests},
    template::{Ends, TcpProfile},
    time::Instant,
    wire::MacAddr,
};
use mrpf_syn::{Reply, ReplyKind, SynProbe};

use crate::{
    hostile::{IP, Kept, SLOT_LEN, TCP, put, segment, unreachable},
    world::{answer, shared},
};

const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH_ACK: u8 = 0x18;
const ACK: u8 = 0x10;
const FIN_ACK: u8 = 0x11;
const HELLO: &[u8] = b"hello\n";

/// How connections ended, and what was heard on each.
type Told = Arc<Mutex<Vec<(End, Vec<u8>)>>>;

/// Asks one line and is content with one.
#[derive(Debug, Default)]
struct OneLine {
    ends: Told,
    heard: Vec<u8>,
    forgotten: Arc<Mutex<u32>>,
}

impl Requests for OneLine {
    fn bytes(&mut self, _: &About) -> &[u8] {
        HELLO
    }
}

impl Dialogue for OneLine {
    type Reply = Reply;

    fn request_len(&mut self, _: Target) -> u32 {
        HELLO.len() as u32
    }

    fn read(&mut self, _: &About, data: &[u8]) -> (usize, Turn) {
        self.heard.extend(data);
        (data.len(), if data.ends_with(b"\n") { Turn::Enough } else { Turn::More })
    }

    fn end(&mut self, _: &About, report: &Report) -> Reply {
        self.ends.lock().unwrap().push((report.end, std::mem::take(&mut self.heard)));
        Reply { kind: ReplyKind::Rst { window: 0 }, ttl: 0 }
    }

    fn forget(&mut self, _: &About) {
        *self.forgotten.lock().unwrap() += 1;
    }
}

/// One target that was asked, and who talks to it.
struct World {
    talker: Talker<SynProbe, OneLine>,
    shared: Arc<Shared<SynProbe>>,
    found: Queue<Found<Reply>>,
    ends: Told,
    wire: Kept,
    /// Our SYN.
    syn: Vec<u8>,
    now: Instant,
}

/// The number of the host's SYN-ACK.
const THEIRS: u32 = 7_000;

impl World {
    fn new() -> Self {
        // Whatever is owed leaves at once.
        let settings = Settings {
            rate: "max".parse().unwrap(),
            host_rate: NonZeroU64::MAX,
            retries: 0,
            ..Settings::default()
        };
        let (shared, found) = shared("198.19.0.1", "80", settings);
        let ends = Ends {
            layer: LinkLayer::Ethernet,
            source_mac: MacAddr([2; 6]),
            vlan: None,
            sources: Sources::from(std::net::Ipv4Addr::new(198, 18, 0, 1)),
        };
        let profile = TcpProfile::default();
        let flows = tcp::Settings { flows: 16, profile, ..tcp::Settings::default() };
        let flows = Flows::new(flows, Cookie::from_key(&[3; 16])).unwrap();
        let dialogue = OneLine::default();
        let told = Arc::clone(&dialogue.ends);
        let frames = Frames::new(&ends, profile);
        let mut wire = Kept { slots: vec![0; MAX_BATCH * SLOT_LEN], frames: Vec::new() };
        let mut sender = Sender::new(Arc::clone(&shared), 0);
        let mut talker = Talker::new(Arc::clone(&shared), 0, flows, frames, dialogue);
        let now = Instant::START + Duration::from_secs(1);
        talker.poll_transmit(now, &mut wire).unwrap(); // which gives the sender credit
        while let Next::Now = sender.poll(now, &mut wire).unwrap() {}
        let syn = wire.frames.pop().unwrap();
        assert_eq!(syn[TCP + 13], SYN);
        Self { talker, shared, found, ends: told, wire, syn, now }
    }

    /// The host says `frame`; what is said to it.
    fn hear(&mut self, frame: &[u8]) -> Vec<Vec<u8>> {
        let (at, wire_len) = (self.now, frame.len() as u32);
        self.talker.handle(Frame::whole(frame, at, wire_len));
        self.said()
    }

    fn said(&mut self) -> Vec<Vec<u8>> {
        self.talker.poll_transmit(self.now, &mut self.wire).unwrap();
        std::mem::take(&mut self.wire.frames)
    }

    fn isn(&self) -> u32 {
        u32::from_be_bytes(self.syn[TCP + 4..TCP + 8].try_into().unwrap())
    }

    fn syn_ack(&self) -> Vec<u8> {
        let mut frame = self.syn.clone();
        answer(&mut frame);
        put(&mut frame, TCP + 4, &THEIRS.to_be_bytes());
        frame
    }

    /// A segment of the host at this place of what it says.
    fn says(&self, flags: u8, at: u32, data: &[u8]) -> Vec<u8> {
        let ack = self.isn().wrapping_add(1 + HELLO.len() as u32);
        let mut frame = segment(&self.syn, flags, THEIRS + 1 + at, ack);
        put(&mut frame, TCP + 14, &u16::MAX.to_be_bytes());
        put(&mut frame, IP + 2, &(40 + data.len() as u16).to_be_bytes());
        frame.extend(data);
        frame
    }

    fn open(&mut self) {
        let said = self.hear(&self.syn_ack());
        assert_eq!(said.len(), 1);
        assert!(said[0].ends_with(HELLO), "the hello leaves with the acknowledgement");
        assert_eq!(said[0][TCP + 13], PSH_ACK);
        assert_eq!(self.counts().connections, 1);
    }

    fn counts(&self) -> Counts {
        self.shared.counts()
    }

    /// What came of it, which is told once.
    #[track_caller]
    fn ended(&self, expected: End, heard: &[u8]) {
        assert_eq!(*self.ends.lock().unwrap(), [(expected, heard.to_vec())]);
        assert_eq!(self.found.len(), 1);
        let counts = self.counts();
        assert_eq!(
            counts.received,
            counts.valid + counts.segments + counts.invalid() + counts.arp_received,
            "{counts:?}"
        );
        assert_eq!((counts.first, counts.answered_by_attempt[0]), (1, 1));
    }
}

/// Flags and numbers of what we said.
fn numbers(frame: &[u8]) -> (u8, u32, u32) {
    let number = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
    (frame[TCP + 13], number(TCP + 4), number(TCP + 8))
}

#[test]
fn a_line_is_asked_and_heard_and_the_host_is_reset() {
    let mut world = World::new();
    world.open();
    assert!(world.hear(&world.says(PSH_ACK, 0, b"wel")).iter().all(|said| numbers(said).0 == ACK));
    let said = world.hear(&world.says(PSH_ACK, 3, b"come\n"));
    world.ended(End::Closed, b"welcome\n");
    // With the number that the host expects.
    let next = world.isn().wrapping_add(1 + HELLO.len() as u32);
    assert_eq!(said.iter().map(|said| numbers(said)).collect::<Vec<_>>(), [(RST, next, 0)]);
    // Whatever the host still has to say is answered by a reset, and changes nothing.
    let said = world.hear(&world.says(PSH_ACK, 8, b"late"));
    assert_eq!(said.iter().map(|said| numbers(said).0).collect::<Vec<_>>(), [RST]);
    world.ended(End::Closed, b"welcome\n");
}

#[test]
fn a_host_that_does_not_listen_keeps_nobody_waiting() {
    let mut world = World::new();
    world.open();
    world.hear(&world.says(PSH_ACK, 0, b"line\n"));
    let late = world.says(PSH_ACK, 5, b"and on");
    for _ in 0..1_000 {
        let (at, wire_len) = (world.now, late.len() as u32);
        world.talker.handle(Frame::whole(&late, at, wire_len));
    }
    assert_eq!(world.said().len(), 1, "one reset for as many as have come");
    world.ended(End::Closed, b"line\n");
}

#[test]
fn a_syn_ack_that_comes_again_opens_nothing() {
    let mut world = World::new();
    world.open();
    let said = world.hear(&world.syn_ack());
    assert!(said.iter().all(|said| numbers(said).0 != RST), "{said:?}");
    assert_eq!(world.counts().connections, 1);
    world.hear(&world.says(FIN_ACK, 0, b"bye"));
    world.ended(End::Finished, b"bye");
    // The connection is over: now it is told so.
    let said = world.hear(&world.syn_ack());
    assert_eq!(said.iter().map(|said| numbers(said).0).collect::<Vec<_>>(), [RST]);
    world.ended(End::Finished, b"bye");
}

#[test]
fn who_guesses_ends_nothing() {
    let mut world = World::new();
    world.open();
    let isn = world.isn();
    for guess in [0, THEIRS.wrapping_sub(70_000), THEIRS + 70_000, isn] {
        assert!(world.hear(&segment(&world.syn, RST, guess, 0)).is_empty());
    }
    for guess in [0, isn.wrapping_sub(1), isn.wrapping_add(500), !isn] {
        assert!(world.hear(&unreachable(&world.syn, 1, guess)).is_empty());
    }
    assert!(world.ends.lock().unwrap().is_empty());
    world.hear(&world.says(PSH_ACK, 0, b"here\n"));
    world.ended(End::Closed, b"here\n");
}

#[test]
fn a_router_that_quotes_what_we_said_ends_it() {
    let mut world = World::new();
    world.open();
    world.hear(&world.says(PSH_ACK, 0, b"half"));
    let said = world.hear(&unreachable(&world.syn, 1, world.isn().wrapping_add(1)));
    world.ended(End::Unreachable, b"half");
    // The host may not have heard of it.
    assert_eq!(said.iter().map(|said| numbers(said).0).collect::<Vec<_>>(), [RST]);
}

#[test]
fn a_host_that_resets_is_believed_and_not_answered() {
    let mut world = World::new();
    world.open();
    world.hear(&world.says(PSH_ACK, 0, b"half"));
    let said = world.hear(&segment(&world.syn, RST, THEIRS + 5, 0));
    assert!(said.is_empty(), "{said:?}");
    world.ended(End::Reset, b"half");
}

#[test]
fn silence_ends_with_its_time_and_a_reset() {
    let mut world = World::new();
    world.open();
    for _ in 0..1_000 {
        world.now += Duration::from_millis(10);
        for said in world.said() {
            let (flags, ..) = numbers(&said);
            assert!(flags == RST || said.ends_with(HELLO), "the hello again, then the end");
        }
    }
    assert!(world.counts().requests_resent > 0);
    world.ended(End::Idle, b"");
}

#[test]
fn what_is_given_up_is_counted_and_told_to_the_host() {
    let mut world = World::new();
    world.open();
    world.talker.abandon();
    assert_eq!(world.said().iter().map(|said| numbers(said).0).collect::<Vec<_>>(), [RST]);
    assert_eq!(world.counts().abandoned, 1);
    assert!(world.found.is_empty() && world.ends.lock().unwrap().is_empty());
}
