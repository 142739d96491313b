//! Who is asked for a hardware address, when, and whose answer counts (RFC 826).
//!
//! A pass over all addresses asks those that have not answered; there are three, and an address is asked at most once a
//! second. Nothing here sends, receives or reads a clock: [`Resolver::poll`] says what to do and [`Resolver::answer`] takes
//! what arrived.

use std::{net::Ipv4Addr, time::Duration};

use crate::{time::Instant, wire::MacAddr};

/// How often an address is asked for.
const TRIES: u8 = 3;
/// Time between two questions for one address, and from the last question to the end.
const SPACING: Duration = Duration::from_secs(1);

/// What an ARP reply says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Answer {
    pub(super) sender: Ipv4Addr,
    pub(super) sender_mac: MacAddr,
    pub(super) target: Ipv4Addr,
    pub(super) target_mac: MacAddr,
}

/// What to do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Poll {
    /// Ask for this address now: it counts as asked.
    Ask(Ipv4Addr),
    /// Nothing before this moment.
    Wait(Instant),
    /// Nothing more: all have answered, or had their time.
    Done,
}

/// The questions of one scan and their answers.
#[derive(Debug)]
pub(super) struct Resolver {
    source: Ipv4Addr,
    source_mac: MacAddr,
    /// Ascending, each once.
    addrs: Vec<u32>,
    macs: Vec<Option<MacAddr>>,
    /// When each was asked last; `NEVER` before the first time.
    asked: Vec<Instant>,
    last_asked: Instant,
    unanswered: usize,
    passes: u8,
    cursor: usize,
}

impl Resolver {
    /// Questions for `addrs` in the name of `source`; those that `known` knows need none.
    pub(super) fn new(
        source: Ipv4Addr,
        source_mac: MacAddr,
        mut addrs: Vec<u32>,
        known: impl Fn(Ipv4Addr) -> Option<MacAddr>,
    ) -> Self {
        addrs.sort_unstable();
        addrs.dedup();
        let macs = addrs.iter().map(|addr| known(Ipv4Addr::from_bits(*addr))).collect::<Vec<_>>();
        Self {
            source,
            source_mac,
            asked: vec![Instant::NEVER; addrs.len()],
            last_asked: Instant::START,
            unanswered: macs.iter().filter(|mac| mac.is_none()).count(),
            addrs,
            macs,
            passes: 0,
            cursor: 0,
        }
    }

    /// What to do at `now`. Call it again after an [`Ask`](Poll::Ask) until it says something else.
    pub(super) fn poll(&mut self, now: Instant) -> Poll {
        while self.unanswered > 0 {
            if self.passes == TRIES {
                let over = self.last_asked + SPACING;
                return if now < over { Poll::Wait(over) } else { Poll::Done };
            }
            let at = self.cursor;
            if at == self.addrs.len() {
                self.passes += 1;
                self.cursor = 0;
                continue;
            }
            if self.macs[at].is_none() {
                let due = self.asked[at] + SPACING;
                if self.passes > 0 && now < due {
                    return Poll::Wait(due);
                }
                self.asked[at] = now;
                self.last_asked = now;
                self.cursor += 1;
                return Poll::Ask(Ipv4Addr::from_bits(self.addrs[at]));
            }
            self.cursor += 1;
        }
        Poll::Done
    }

    /// Takes a reply, and says whether it answered an open question: one for an address that was asked, addressed to us, from
    /// a host (a unicast address that is not ours). The first counts, so a later liar changes nothing.
    pub(super) fn answer(&mut self, answer: &Answer) -> bool {
        if answer.target != self.source || answer.target_mac != self.source_mac {
            return false;
        }
        if !is_unicast(answer.sender_mac) || answer.sender_mac == self.source_mac {
            return false;
        }
        let Ok(at) = self.addrs.binary_search(&answer.sender.to_bits()) else {
            return false;
        };
        if self.asked[at] == Instant::NEVER || self.macs[at].is_some() {
            return false;
        }
        self.macs[at] = Some(answer.sender_mac);
        self.unanswered -= 1;
        true
    }

    /// How many have not answered.
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// The hardware address of `addr`, if it was asked for and is known.
    pub(super) fn mac_of(&self, addr: Ipv4Addr) -> Option<MacAddr> {
        self.macs[self.addrs.binary_search(&addr.to_bits()).ok()?]
    }
}

/// Whether one host can have the address: the lowest bit of the first octet marks groups (IEEE 802, section 8.2.2).
pub(super) fn is_unicast(mac: MacAddr) -> bool {
    mac.0[0] & 1 == 0 && mac != MacAddr::ZERO
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OURS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
    const OUR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

    fn host(at: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(0xc612_0000 + at)
    }

    fn mac(at: u32) -> MacAddr {
        let [_, _, high, low] = at.to_be_bytes();
        MacAddr([2, 0, 0, 1, high, low])
    }

    fn reply(at: u32) -> Answer {
        Answer { sender: host(at), sender_mac: mac(at), target: OURS, target_mac: OUR_MAC }
    }

    fn resolver(hosts: impl IntoIterator<Item = u32>) -> Resolver {
        Resolver::new(
            OURS,
            OUR_MAC,
            hosts.into_iter().map(|at| host(at).to_bits()).collect(),
            |_| None,
        )
    }

    /// Asks everything that may be asked at `now`.
    fn asks(resolver: &mut Resolver, now: Instant) -> (Vec<Ipv4Addr>, Poll) {
        let mut asked = Vec::new();
        loop {
            match resolver.poll(now) {
                Poll::Ask(addr) => asked.push(addr),
                other => return (asked, other),
            }
        }
    }

    fn at(millis: u64) -> Instant {
        Instant::START + Duration::from_millis(millis)
    }

    #[test]
    fn a_silent_host_is_asked_three_times_a_second_apart_and_a_second_is_waited() {
        let mut resolver = resolver([5]);
        for try_at in [0, 1_000, 2_000] {
            assert_eq!(
                asks(&mut resolver, at(try_at)),
                (vec![host(5)], Poll::Wait(at(try_at + 1_000)))
            );
            assert_eq!(resolver.poll(at(try_at + 999)), Poll::Wait(at(try_at + 1_000)));
        }
        assert_eq!(resolver.poll(at(3_000)), Poll::Done);
        assert_eq!((resolver.unanswered(), resolver.mac_of(host(5))), (1, None));
    }

    #[test]
    fn who_has_answered_is_not_asked_again_and_the_last_answer_ends_it() {
        let mut resolver = resolver([7, 5, 6, 5]);
        assert_eq!(asks(&mut resolver, at(0)).0, [host(5), host(6), host(7)]);
        assert!(resolver.answer(&reply(6)));
        assert_eq!(asks(&mut resolver, at(1_000)).0, [host(5), host(7)]);
        assert!(resolver.answer(&reply(5)) && resolver.answer(&reply(7)));
        assert_eq!(resolver.poll(at(1_001)), Poll::Done);
        assert_eq!(resolver.mac_of(host(7)), Some(mac(7)));
        assert_eq!(resolver.mac_of(host(8)), None);
    }

    #[test]
    fn slow_questions_need_no_pause_between_passes() {
        let mut resolver = resolver([5, 6]);
        assert_eq!(resolver.poll(at(0)), Poll::Ask(host(5)));
        assert_eq!(resolver.poll(at(900)), Poll::Ask(host(6)));
        assert_eq!(resolver.poll(at(1_100)), Poll::Ask(host(5)));
        assert_eq!(resolver.poll(at(1_200)), Poll::Wait(at(1_900)));
    }

    #[test]
    fn who_is_known_needs_no_question() {
        let known = |addr| (addr == host(5)).then_some(mac(5));
        let mut resolver = Resolver::new(OURS, OUR_MAC, vec![host(5).to_bits()], known);
        assert_eq!(resolver.poll(at(0)), Poll::Done);
        assert_eq!(resolver.mac_of(host(5)), Some(mac(5)));
        assert_eq!(Resolver::new(OURS, OUR_MAC, Vec::new(), |_| None).poll(at(0)), Poll::Done);
    }

    #[test]
    fn the_first_answer_counts_and_a_second_changes_nothing() {
        let mut resolver = resolver([5]);
        asks(&mut resolver, at(0));
        assert!(resolver.answer(&reply(5)));
        assert!(!resolver.answer(&reply(5)), "a duplicate");
        assert!(!resolver.answer(&Answer { sender_mac: mac(66), ..reply(5) }), "a late liar");
        assert_eq!(resolver.mac_of(host(5)), Some(mac(5)));
    }

    #[track_caller]
    fn check_refused(answer: Answer) {
        let mut resolver = resolver([5]);
        asks(&mut resolver, at(0));
        assert!(!resolver.answer(&answer), "{answer:?}");
        assert_eq!((resolver.unanswered(), resolver.mac_of(host(5))), (1, None));
    }

    #[test]
    fn answers_that_cannot_be_to_our_question_are_refused() {
        check_refused(reply(6)); // nobody asked
        check_refused(Answer { target: host(9), ..reply(5) }); // to another address
        check_refused(Answer { target: host(5), ..reply(5) }); // gratuitous (RFC 5227)
        check_refused(Answer { target_mac: mac(9), ..reply(5) });
        check_refused(Answer { target_mac: MacAddr::BROADCAST, ..reply(5) });
        check_refused(Answer { sender_mac: MacAddr::BROADCAST, ..reply(5) });
        check_refused(Answer { sender_mac: MacAddr([1, 0, 0x5e, 0, 0, 5]), ..reply(5) });
        check_refused(Answer { sender_mac: MacAddr::ZERO, ..reply(5) });
        check_refused(Answer { sender_mac: OUR_MAC, ..reply(5) });
    }

    #[test]
    fn an_answer_before_its_question_is_refused() {
        let mut resolver = resolver([5, 6]);
        assert_eq!(resolver.poll(at(0)), Poll::Ask(host(5)));
        assert!(!resolver.answer(&reply(6)));
        assert_eq!(resolver.poll(at(0)), Poll::Ask(host(6)));
        assert!(resolver.answer(&reply(6)));
    }

    proptest! {
        /// A network that loses, repeats and delays: whoever had one answer come through in time is known, by its own
        /// address; nobody is asked more than three times or twice within a second.
        #[test]
        fn under_loss_who_answers_in_time_is_known(
            hosts in prop::collection::btree_map(0..500_u32, prop::collection::vec((0..3_u64, 0..1_500_u64), TRIES as usize), 0..40),
            gap_micros in 0..50_000_u64,
        ) {
            let mut resolver = resolver(hosts.keys().copied());
            let mut now = Instant::START;
            let mut flights: Vec<(Instant, u32)> = Vec::new();
            let mut asked: std::collections::BTreeMap<u32, Vec<Instant>> = std::collections::BTreeMap::new();
            let mut expected = std::collections::BTreeSet::new();
            loop {
                flights.sort();
                let due = flights.iter().take_while(|(arrives, _)| *arrives <= now).count();
                for (_, who) in flights.drain(..due) {
                    let is_first = expected.insert(who);
                    prop_assert_eq!(resolver.answer(&reply(who)), is_first);
                }
                match resolver.poll(now) {
                    Poll::Ask(addr) => {
                        let who = addr.to_bits() - host(0).to_bits();
                        let times = asked.entry(who).or_default();
                        prop_assert!(times.last().is_none_or(|last| now.since(*last) >= SPACING));
                        let (copies, delay) = hosts[&who][times.len()];
                        times.push(now);
                        let arrives = now + Duration::from_millis(delay);
                        flights.extend((0..copies).map(|_| (arrives, who)));
                        now += Duration::from_micros(gap_micros);
                    }
                    Poll::Wait(until) => {
                        prop_assert!(until > now);
                        now = flights.iter().map(|(arrives, _)| *arrives).min().map_or(until, |arrives| arrives.min(until));
                    }
                    Poll::Done => break,
                }
            }
            for who in hosts.keys() {
                let times = asked.get(who).map_or(0, Vec::len);
                prop_assert!(times <= TRIES as usize);
                prop_assert_eq!(resolver.mac_of(host(*who)), expected.contains(who).then(|| mac(*who)));
                prop_assert!(expected.contains(who) || times == TRIES as usize);
            }
        }
    }
}
