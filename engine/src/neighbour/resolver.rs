//! Who is asked for a hardware address, and when (RFC 826; RFC 4861, section 7.2.2).
//!
//! A pass over all addresses asks those that have not answered; there are three, and an address is asked at most once a
//! second. Nothing here sends, receives or reads a clock: [`Resolver::poll`] says what to do and [`Resolver::answer`] takes
//! what arrived.

use std::time::Duration;

use super::address::Address;
use crate::{time::Instant, wire::MacAddr};

/// How often an address is asked for.
const TRIES: u8 = 3;
/// Time between two questions for one address, and from the last question to the end.
const SPACING: Duration = Duration::from_secs(1);

/// What to do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Poll<A> {
    /// Ask for this address now: it counts as asked.
    Ask(A),
    /// Nothing before this moment.
    Wait(Instant),
    /// Nothing more: all have answered, or had their time.
    Done,
}

/// The questions of one scan and their answers.
#[derive(Debug)]
pub(super) struct Resolver<A> {
    /// Ascending, each once.
    addrs: Vec<A>,
    macs: Vec<Option<MacAddr>>,
    /// When each was asked last; `NEVER` before the first time.
    asked: Vec<Instant>,
    last_asked: Instant,
    unanswered: usize,
    passes: u8,
    cursor: usize,
}

impl<A: Address> Resolver<A> {
    /// Questions for `addrs`; those that `known` knows need none.
    pub(super) fn new(mut addrs: Vec<A>, known: impl Fn(A) -> Option<MacAddr>) -> Self {
        addrs.sort_unstable();
        addrs.dedup();
        let macs = addrs.iter().map(|addr| known(*addr)).collect::<Vec<_>>();
        Self {
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
    pub(super) fn poll(&mut self, now: Instant) -> Poll<A> {
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
                return Poll::Ask(self.addrs[at]);
            }
            self.cursor += 1;
        }
        Poll::Done
    }

    /// Takes an answer, and says whether it was to an open question: one for an address that was asked. The first counts, so
    /// a later liar changes nothing.
    pub(super) fn answer(&mut self, addr: A, mac: MacAddr) -> bool {
        let Ok(at) = self.addrs.binary_search(&addr) else {
            return false;
        };
        if self.asked[at] == Instant::NEVER || self.macs[at].is_some() {
            return false;
        }
        self.macs[at] = Some(mac);
        self.unanswered -= 1;
        true
    }

    /// How many have not answered.
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// The hardware address of `addr`, if it was asked for and is known.
    pub(super) fn mac_of(&self, addr: A) -> Option<MacAddr> {
        self.macs[self.addrs.binary_search(&addr).ok()?]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(at: u32) -> u32 {
        0xc612_0000 + at
    }

    fn mac(at: u32) -> MacAddr {
        let [_, _, high, low] = at.to_be_bytes();
        MacAddr([2, 0, 0, 1, high, low])
    }

    fn resolver(hosts: impl IntoIterator<Item = u32>) -> Resolver<u32> {
        Resolver::new(hosts.into_iter().map(host).collect(), |_| None)
    }

    /// Asks everything that may be asked at `now`.
    fn asks(resolver: &mut Resolver<u32>, now: Instant) -> (Vec<u32>, Poll<u32>) {
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
        assert!(resolver.answer(host(6), mac(6)));
        assert_eq!(asks(&mut resolver, at(1_000)).0, [host(5), host(7)]);
        assert!(resolver.answer(host(5), mac(5)) && resolver.answer(host(7), mac(7)));
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
        let mut resolver = Resolver::new(vec![host(5)], known);
        assert_eq!(resolver.poll(at(0)), Poll::Done);
        assert_eq!(resolver.mac_of(host(5)), Some(mac(5)));
        assert_eq!(Resolver::new(Vec::<u128>::new(), |_| None).poll(at(0)), Poll::Done);
    }

    #[test]
    fn the_first_answer_counts_and_a_second_changes_nothing() {
        let mut resolver = resolver([5]);
        asks(&mut resolver, at(0));
        assert!(resolver.answer(host(5), mac(5)));
        assert!(!resolver.answer(host(5), mac(5)), "a duplicate");
        assert!(!resolver.answer(host(5), mac(66)), "a late liar");
        assert_eq!(resolver.mac_of(host(5)), Some(mac(5)));
    }

    #[test]
    fn an_answer_for_whom_nobody_asked_is_refused() {
        let mut resolver = resolver([5]);
        asks(&mut resolver, at(0));
        assert!(!resolver.answer(host(6), mac(6)));
        assert_eq!((resolver.unanswered(), resolver.mac_of(host(5))), (1, None));
    }

    #[test]
    fn an_answer_before_its_question_is_refused() {
        let mut resolver = resolver([5, 6]);
        assert_eq!(resolver.poll(at(0)), Poll::Ask(host(5)));
        assert!(!resolver.answer(host(6), mac(6)));
        assert_eq!(resolver.poll(at(0)), Poll::Ask(host(6)));
        assert!(resolver.answer(host(6), mac(6)));
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
                    prop_assert_eq!(resolver.answer(host(who), mac(who)), is_first);
                }
                match resolver.poll(now) {
                    Poll::Ask(addr) => {
                        let who = addr - host(0);
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
