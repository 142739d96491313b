//! The sending half.

use std::{io, ops::Range, thread, time::Duration};

use socket2::Socket;

use super::{lost, open};
use crate::link::{
    LinkError, LinkLayer, MAX_BATCH, Sent, Tx,
    interface::Interface,
    sys::{
        send_batch::SendBatch,
        socket::{self, LinkAddress},
    },
};

/// Octets of the send buffer, where the system allows it: a driver's ring of the usual sizes fits in.
const SEND_BUFFER: i32 = 4 << 20;
/// The EtherTypes of IPv4 and of IPv6, for interfaces whose frames do not bring theirs.
const ETHERTYPES: [u16; 2] = [0x0800, 0x86dd];

/// Sends through a packet socket: up to [`MAX_BATCH`] frames by one sendmmsg(2), straight to the driver.
///
/// While the device has no room ([`Tx::send`] waits then) the wait grows from 20 us to 5 ms and is 1 s at most for a batch;
/// what is left after that is dropped and counted. A frame that the kernel refuses, as one beyond the MTU, is dropped and
/// counted by itself.
///
/// When the interface goes down in the middle of a batch, the batch says how much of it was sent; the next one fails.
#[derive(Debug)]
pub struct PacketTx {
    batch: SendBatch,
    socket: Socket,
    name: String,
    layer: LinkLayer,
    /// The errno after which nothing can be sent any more.
    failed: Option<i32>,
}

impl PacketTx {
    /// Opens a sender on `interface` with [`MAX_BATCH`] slots of `slot_len` octets.
    ///
    /// # Errors
    ///
    /// [`LinkError::Fenced`] outside a lab when the fence is set; [`LinkError::Unusable`] when the interface is down;
    /// [`LinkError::Gone`] when it is not there any more; [`LinkError::Permission`] without CAP_NET_RAW; [`LinkError::Io`]
    /// when the system refuses anything else.
    pub fn open(interface: &Interface, slot_len: usize) -> Result<Self, LinkError> {
        Self::on(open(interface)?, interface, slot_len)
    }

    /// A sender on `interface` through a packet socket that receives nothing.
    fn on(socket: Socket, interface: &Interface, slot_len: usize) -> Result<Self, LinkError> {
        let io = |what| move |source| LinkError::Io { what, source };
        // Without it (Linux < 3.14, or a sandbox) frames go through the queueing discipline: slower, and no less right.
        let _ = socket::bypass_qdisc(&socket);
        // Past the system's limit that needs CAP_NET_ADMIN; up to the limit it can be had always.
        socket::force_send_buffer(&socket, SEND_BUFFER)
            .or_else(|_| socket.set_send_buffer_size(SEND_BUFFER as usize))
            .map_err(io("enlarging the send buffer of a packet socket"))?;
        // Bound without a protocol it receives nothing, ever.
        socket::bind(&socket, LinkAddress::new(interface.index(), 0))
            .map_err(io("binding a packet socket to its interface"))?;
        let layer = interface.layer();
        let by_version = ETHERTYPES.map(|ethertype| LinkAddress::new(interface.index(), ethertype));
        let addresses = match layer {
            LinkLayer::Ethernet => &[][..], // each frame has its type
            LinkLayer::Ip => &by_version,
        };
        let batch = SendBatch::new(MAX_BATCH, slot_len, addresses)
            .map_err(io("mapping memory for frames"))?;
        Ok(Self { batch, socket, name: interface.name().to_owned(), layer, failed: None })
    }
}

impl Tx for PacketTx {
    fn slots(&self) -> usize {
        self.batch.slots()
    }

    fn frame(&mut self, slot: usize) -> &mut [u8] {
        self.batch.frame(slot)
    }

    fn send(&mut self, lens: &[u16]) -> Result<Sent, LinkError> {
        assert!(lens.len() <= self.slots(), "{} lengths for {} slots", lens.len(), self.slots());
        for (slot, len) in lens.iter().enumerate() {
            self.batch.set_len(slot, usize::from(*len));
        }
        if self.layer == LinkLayer::Ip {
            for slot in 0..lens.len() {
                let is_v6 = self.batch.frame(slot).first().is_some_and(|octet| octet >> 4 == 6);
                self.batch.set_address(slot, is_v6.into());
            }
        }
        let mut sent = Sent::default();
        if self.failed.is_none() {
            (sent, self.failed) =
                send_all(lens.len(), |slots| self.batch.send(&self.socket, slots), thread::sleep);
        }
        match self.failed {
            Some(errno) if sent.sent == 0 => Err(lost(&self.name, "sending frames", errno)),
            _ => Ok(sent),
        }
    }
}

/// What an errno of sendmmsg(2) says of the frame that it stopped at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Refusal {
    /// Nothing: a signal came in between.
    Interrupted,
    /// There is no room now.
    Busy,
    /// This frame will never go.
    Frame,
    /// None will.
    Link,
}

impl Refusal {
    fn of(errno: i32) -> Self {
        match errno {
            libc::EINTR => Self::Interrupted,
            // The device's ring is full; the send buffer is; the kernel has no memory for a copy.
            libc::ENOBUFS | libc::EAGAIN | libc::ENOMEM => Self::Busy,
            // The frame itself; or a tunnel that has no peer, or no way, for its address.
            libc::EMSGSIZE
            | libc::EINVAL
            | libc::ENOKEY
            | libc::EDESTADDRREQ
            | libc::EPROTONOSUPPORT
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH => Self::Frame,
            _ => Self::Link,
        }
    }
}

/// Sends the slots `0..count` with `send`, which says how many of the slots it was given, from the first on, were taken.
/// Returns what became of them, and the errno after which the link is of no use.
fn send_all(
    count: usize,
    mut send: impl FnMut(Range<usize>) -> io::Result<usize>,
    mut sleep: impl FnMut(Duration),
) -> (Sent, Option<i32>) {
    let mut sent = Sent::default();
    let mut next = 0;
    let mut back_off = BackOff::new();
    while next < count {
        let errno = match send(next..count) {
            Ok(0) => libc::EAGAIN,
            Ok(taken) => {
                next += taken;
                sent.sent += taken as u32;
                back_off.reset();
                continue;
            }
            Err(error) => error.raw_os_error().unwrap_or(libc::EIO),
        };
        let refusal = Refusal::of(errno);
        let dropped = match refusal {
            Refusal::Interrupted => 0,
            Refusal::Busy => match back_off.pause() {
                Some(pause) => {
                    sleep(pause);
                    sent.waited += pause;
                    0
                }
                None => count - next,
            },
            Refusal::Frame => 1,
            Refusal::Link => count - next,
        };
        if dropped > 0 {
            next += dropped;
            sent.dropped += dropped as u32;
            sent.errno = errno;
        }
        if refusal == Refusal::Link {
            return (sent, Some(errno));
        }
    }
    (sent, None)
}

/// How long to wait for room: twice as long each time, until the sum is used up.
#[derive(Debug)]
struct BackOff {
    next: Duration,
    left: Duration,
}

impl BackOff {
    const FIRST: Duration = Duration::from_micros(20);
    const LONGEST: Duration = Duration::from_millis(5);
    const SUM: Duration = Duration::from_secs(1);

    fn new() -> Self {
        Self { next: Self::FIRST, left: Self::SUM }
    }

    /// There was room: the next wait is short again. The sum goes on.
    fn reset(&mut self) {
        self.next = Self::FIRST;
    }

    fn pause(&mut self) -> Option<Duration> {
        let pause = self.next.min(self.left);
        self.left -= pause;
        self.next = (self.next * 2).min(Self::LONGEST);
        (!pause.is_zero()).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;
    use socket2::{Domain, Type};

    use super::*;
    use crate::link::sys::namespace::{self, Tun};

    /// Without an Ethernet header the device is told what a packet is, packet by packet: a slot serves both families.
    #[test]
    fn without_ethernet_a_packet_is_of_its_version() {
        namespace::run(|| {
            let mut tun = match Tun::make("t0") {
                Ok(tun) => tun,
                Err(error) => return println!("\nSKIPPED: this test needs /dev/net/tun: {error}"),
            };
            let interface = Interface::by_name("t0").unwrap();
            assert_eq!(interface.layer(), LinkLayer::Ip);
            // Past the fence, to which a tun leads out: this one leads to us.
            let socket = Socket::new(Domain::PACKET, Type::RAW, None).unwrap();
            let mut tx = PacketTx::on(socket, &interface, 64).unwrap();
            for round in [[4, 6, 6, 4], [6, 6, 4, 4]] {
                for (slot, version) in round.into_iter().enumerate() {
                    tx.frame(slot).fill(0xa5);
                    tx.frame(slot)[0] = version << 4;
                }
                assert_eq!(tx.send(&[64; 4]).unwrap().sent, 4);
                for version in round {
                    // The kernel has something to say on a new device too.
                    let ours = |(_, packet): &(u16, Vec<u8>)| packet[1..] == [0xa5; 63];
                    let packet = std::iter::repeat_with(|| tun.next().unwrap()).find(ours);
                    let (ethertype, packet) = packet.unwrap();
                    assert_eq!(packet[0] >> 4, version);
                    assert_eq!(ethertype, if version == 6 { 0x86dd } else { 0x0800 });
                }
            }
        });
    }

    /// What the kernel answers, one call after another; then it takes everything.
    fn run(
        count: usize,
        answers: &[Result<usize, i32>],
    ) -> (Sent, Option<i32>, Vec<usize>, Duration) {
        let mut answers = answers.iter().copied().collect::<VecDeque<_>>();
        let (mut taken, mut slept) = (Vec::new(), Duration::ZERO);
        let send = |slots: Range<usize>| {
            let answer = answers.pop_front().unwrap_or(Ok(usize::MAX));
            let count = answer.map_err(io::Error::from_raw_os_error)?.min(slots.len());
            taken.extend(slots.take(count));
            Ok(count)
        };
        let (sent, failed) = send_all(count, send, |pause| slept += pause);
        (sent, failed, taken, slept)
    }

    #[track_caller]
    fn check(
        answers: &[Result<usize, i32>],
        expected: (u32, u32, i32),
        failed: Option<i32>,
        taken: &[usize],
    ) {
        let (sent, was, which, _) = run(5, answers);
        assert_eq!((sent.sent, sent.dropped, sent.errno), expected);
        assert_eq!((was, &which[..]), (failed, taken));
    }

    #[test]
    fn the_unsent_tail_is_sent_again() {
        check(&[], (5, 0, 0), None, &[0, 1, 2, 3, 4]);
        check(&[Ok(2), Ok(1)], (5, 0, 0), None, &[0, 1, 2, 3, 4]);
        check(
            &[Ok(2), Err(libc::ENOBUFS), Ok(0), Err(libc::EINTR)],
            (5, 0, 0),
            None,
            &[0, 1, 2, 3, 4],
        );
    }

    #[test]
    fn a_bad_frame_is_dropped_alone() {
        check(&[Err(libc::EMSGSIZE)], (4, 1, libc::EMSGSIZE), None, &[1, 2, 3, 4]);
        check(&[Ok(4), Err(libc::EINVAL)], (4, 1, libc::EINVAL), None, &[0, 1, 2, 3]);
        check(&[Err(libc::EMSGSIZE); 5], (0, 5, libc::EMSGSIZE), None, &[]);
    }

    #[test]
    fn a_link_that_is_gone_ends_it() {
        for errno in [libc::ENETDOWN, libc::ENXIO, libc::ENODEV, libc::EPERM] {
            check(&[Ok(2), Err(errno)], (2, 3, errno), Some(errno), &[0, 1]);
            check(&[Err(errno)], (0, 5, errno), Some(errno), &[]);
        }
    }

    #[test]
    fn waiting_for_room_has_an_end() {
        let (sent, failed, taken, slept) =
            run(5, &[&[Ok(1)][..], &[Err(libc::ENOBUFS); 100_000]].concat());
        let expected = Sent { sent: 1, dropped: 4, errno: libc::ENOBUFS, waited: BackOff::SUM };
        assert_eq!((sent, failed), (expected, None));
        assert_eq!((taken, slept), (vec![0], BackOff::SUM));
    }

    #[test]
    fn room_makes_the_next_wait_short_and_not_the_sum_longer() {
        let mut back_off = BackOff::new();
        let pauses = (0..4).map_while(|_| back_off.pause()).map(|pause| pause.as_micros());
        assert_eq!(pauses.collect::<Vec<_>>(), [20, 40, 80, 160]);
        back_off.reset();
        assert_eq!(back_off.pause(), Some(BackOff::FIRST));
        let mut sum = Duration::from_micros(320);
        while let Some(pause) = back_off.pause() {
            assert!(pause <= BackOff::LONGEST);
            sum += pause;
        }
        assert_eq!(sum, BackOff::SUM);
    }

    proptest! {
        /// Whatever the kernel answers, every frame is counted once, in order, and the wait is bounded.
        #[test]
        fn every_frame_is_counted(
            count in 0_usize..=64,
            answers in prop::collection::vec(
                prop_oneof![
                    (0_usize..70).prop_map(Ok),
                    prop::sample::select(vec![
                        libc::ENOBUFS, libc::EAGAIN, libc::EINTR, libc::EMSGSIZE, libc::EINVAL, libc::ENETDOWN,
                    ]).prop_map(Err),
                ],
                0..40,
            ),
        ) {
            let (sent, _, taken, slept) = run(count, &answers);
            prop_assert_eq!((sent.sent + sent.dropped) as usize, count);
            prop_assert_eq!(taken.len(), sent.sent as usize);
            prop_assert!(taken.is_sorted() && taken.windows(2).all(|pair| pair[0] != pair[1]));
            prop_assert!(slept <= BackOff::SUM);
            prop_assert_eq!(sent.errno == 0, sent.dropped == 0);
        }
    }
}
