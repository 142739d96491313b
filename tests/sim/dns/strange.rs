//! Resolvers and wires that are hard on who asks.

use std::time::Duration;

use mrpf_dns::{
    lookup::{Outcome, Settings},
    message::{Name, NameError, Qclass, Qtype, Rcode},
    names::{Invalid, InvalidName, Pull, Question, Source},
    resolver::PoolSettings,
};
use mrpf_engine::link::sim::{
    Faults, Network,
    hosts::{Heard, Quote, Said},
};

use super::world::{
    Finished, Numbered, Plan, World, asked, check_counts, check_once, hosts, resolver, resolvers,
    response, run, truthful,
};

const NAMES: u64 = 5_000;
const MS: Duration = Duration::from_millis(1);

fn calm() -> Faults {
    Faults { latency: (5 * MS, 40 * MS), ..Faults::default() }
}

fn truly(heard: &Heard<'_>) -> Vec<Said> {
    vec![Said::datagram(truthful(heard.payload))]
}

/// The number of the resolver that a query is for.
fn host(heard: &Heard<'_>) -> u16 {
    match heard.to.ip() {
        std::net::IpAddr::V4(addr) => u16::from_be_bytes([addr.octets()[2], addr.octets()[3]]),
        std::net::IpAddr::V6(_) => unreachable!("the world is one of IPv4"),
    }
}

#[test]
fn answers_may_come_twice_and_in_any_order() {
    let faults = Faults { duplicate: 0.3, reorder: 0.5, held_up: 300 * MS, ..calm() };
    let finished = run(NAMES, faults, truly, Plan::default());
    let counted = finished.counted;
    assert_eq!((counted.resolved(), counted.queries), (NAMES, NAMES), "{counted:?}");
    assert_eq!(counted.late, finished.wire.duplicated);
    assert_eq!(finished.counts.first, NAMES);
}

/// Each first answer comes after the query was given up and sent elsewhere: it is taken all the same, and nothing comes of the
/// second one.
#[test]
fn an_answer_that_is_late_is_taken_while_the_next_is_under_way() {
    let mut seen = std::collections::HashSet::new();
    let answer = move |heard: &Heard<'_>| {
        let is_first = seen.insert(asked(heard.payload));
        let delay = if is_first { 5_100 } else { 2_000 };
        vec![Said::datagram(truthful(heard.payload)).after(delay * MS)]
    };
    // A timeout that is the same for all, whatever the resolvers show.
    let (timeout_floor, timeout_ceiling) = (5_000 * MS, 5_000 * MS);
    let pool = PoolSettings { timeout_floor, timeout_ceiling, ..PoolSettings::default() };
    let finished = run(200, calm(), answer, Plan { pool, ..Plan::default() });
    let counted = finished.counted;
    assert_eq!((counted.resolved(), counted.lost), (200, 200), "{counted:?}");
    let rtt = finished.ends.iter().filter_map(|end| end.rtt).min().unwrap();
    assert!(rtt >= 5_100 * MS, "the first answer ends it: {rtt:?}");
    assert!(counted.queries > 350 && counted.queries <= 400, "{counted:?}");
}

#[test]
fn answers_from_elsewhere_are_counted_and_not_taken() {
    // Every fourth resolver answers from another address.
    let answer = |heard: &Heard<'_>| {
        let said = Said::datagram(truthful(heard.payload));
        let number = host(heard);
        vec![if number % 4 == 0 { said.from(resolver(1_000 + number)) } else { said }]
    };
    let finished = run(NAMES, calm(), answer, Plan::default());
    let counted = finished.counted;
    assert_eq!(counted.resolved(), NAMES);
    assert!(counted.other_source > 0, "{counted:?}");
    let from = |end: &super::world::Ended| end.resolver.unwrap().ip().to_string();
    assert!(
        !finished.ends.iter().any(|end| from(end).ends_with(".4") || from(end).ends_with(".8"))
    );
}

#[test]
fn what_is_unreachable_is_asked_elsewhere_at_once() {
    let answer = |heard: &Heard<'_>| match host(heard) % 2 {
        0 => vec![Said::unreachable(3, Quote::Full)],
        _ => truly(heard),
    };
    let finished = run(NAMES, calm(), answer, Plan::default());
    let counted = finished.counted;
    assert_eq!((counted.resolved(), counted.lost), (NAMES, 0), "{counted:?}");
    assert!(counted.retries > 0 && finished.now.as_nanos() < 4_000_000_000, "{:?}", finished.now);
}

#[test]
fn where_nothing_arrives_at_all_every_name_ends_so() {
    let plan =
        Plan { settings: Settings { retries: 2, ..Plan::default().settings }, ..Plan::default() };
    let answer = |_: &Heard<'_>| vec![Said::unreachable(3, Quote::Full)];
    let finished = run(50, calm(), answer, plan.clone());
    assert_eq!(finished.counted.unreachable + finished.counted.timeouts, 50);
    assert!(finished.counted.unreachable > 0, "{:?}", finished.counted);
    let finished = run(50, calm(), |_| vec![], plan);
    assert_eq!(finished.counted.timeouts, 50, "{:?}", finished.counted);
    assert!(finished.ends.iter().all(|end| end.message.is_empty() && end.rtt.is_none()));
}

/// Letters come back small: it is learnt of each resolver, and costs each a few queries.
#[test]
fn resolvers_that_lower_the_case_are_learnt() {
    let answer = |heard: &Heard<'_>| {
        let mut message = truthful(heard.payload);
        message[12..25].make_ascii_lowercase();
        vec![Said::datagram(message)]
    };
    let finished = run(NAMES, calm(), answer, Plan::default());
    let counted = finished.counted;
    assert_eq!(counted.resolved(), NAMES, "{counted:?}");
    assert!(counted.other_case > 0 && counted.queries < NAMES + NAMES / 3, "{counted:?}");
}

/// Who knows no EDNS says so in the ways in which old servers do, the question left out too.
#[test]
fn resolvers_without_edns_are_asked_without() {
    let answer = |heard: &Heard<'_>| {
        let query = heard.payload;
        if query[11] == 0 {
            return truly(heard);
        }
        let rcode = if host(heard) % 2 == 0 { 1 } else { 4 };
        let mut message = response(query, 0, rcode, &[]);
        if host(heard) % 3 == 0 {
            message.truncate(12);
            message[5] = 0;
        }
        vec![Said::datagram(message)]
    };
    let finished = run(NAMES, calm(), answer, Plan::default());
    let counted = finished.counted;
    assert_eq!((counted.resolved(), counted.retries), (NAMES, 0), "{counted:?}");
    assert!(counted.again > 0 && counted.queries < NAMES + NAMES / 3, "{counted:?}");
    assert!(finished.ends.iter().all(|end| end.attempts == 1));
}

#[test]
fn the_last_failure_is_what_the_end_says() {
    let settings = Settings { retries: 2, ..Plan::default().settings };
    let plan = Plan { settings, ..Plan::default() };
    for (rcode, name) in [(2, Rcode::SERVFAIL), (5, Rcode::REFUSED), (9, Rcode(9))] {
        let answer =
            move |heard: &Heard<'_>| vec![Said::datagram(response(heard.payload, 0, rcode, &[]))];
        let finished = run(100, calm(), answer, plan.clone());
        assert_eq!((finished.counted.failures, finished.counted.queries), (100, 300), "{name}");
        for end in &finished.ends {
            assert_eq!((end.outcome, end.attempts, end.rcode()), (Outcome::Message, 3, Some(name)));
        }
    }
}

/// Three resolvers of which two fail: each name is answered by the third, and each attempt asks another one.
#[test]
fn another_attempt_asks_another_resolver() {
    let answer = |heard: &Heard<'_>| match host(heard) {
        0 => vec![Said::datagram(response(heard.payload, 0, 2, &[]))],
        1 => vec![Said::datagram(response(heard.payload, 0, 5, &[]))],
        _ => truly(heard),
    };
    let settings = Settings { retries: 2, ..Plan::default().settings };
    let plan = Plan { settings, resolvers: resolvers(3), ..Plan::default() };
    let finished = run(500, calm(), answer, plan);
    let resolved = finished.counted.resolved();
    assert!(resolved >= 499, "{:?}", finished.counted);
}

/// Octets that no message is made of, from who was asked.
#[test]
fn what_is_no_message_is_asked_elsewhere() {
    let answer = |heard: &Heard<'_>| {
        let mut message = truthful(heard.payload);
        match host(heard) % 4 {
            // Records are announced and missing.
            0 => {
                message = response(heard.payload, 0, 0, &[]);
                message[7] = 3;
            }
            1 => message.truncate(20),
            _ => {}
        }
        vec![Said::datagram(message)]
    };
    let finished = run(NAMES, calm(), answer, Plan::default());
    let counted = finished.counted;
    assert!(counted.resolved() * 1_000 >= NAMES * 999, "{counted:?}");
    let malformed = |end: &&super::world::Ended| end.outcome == Outcome::Malformed;
    assert_eq!(finished.ends.iter().filter(malformed).count() as u64, counted.malformed);
}

/// Lines as they come: names, no names, a name of 255 octets, several types of one, each for a server of its own or for any.
#[derive(Debug)]
struct Mixed(u64);

impl Source for Mixed {
    fn next(&mut self, question: &mut Question) -> Pull {
        if self.0 == 2_000 {
            return Pull::End;
        }
        question.number = self.0;
        let long = format!("n{}.{}", self.0, "x".repeat(60) + "." + &"y".repeat(60));
        question.name = match self.0 % 5 {
            0 => Err(InvalidName {
                text: format!("line {} .. is no name", self.0).into(),
                why: Invalid::Name(NameError::EmptyLabel),
            }),
            1 => Ok(Name::parse(long.as_bytes()).unwrap()),
            _ => Ok(Name::parse(format!("n{}.example", self.0).as_bytes()).unwrap()),
        };
        question.qtype = if self.0 % 2 == 0 { Qtype::AAAA } else { Qtype::A };
        question.qclass = Qclass::IN;
        question.server = (self.0 % 3 == 0).then(|| resolver(500 + (self.0 % 7) as u16));
        question.root = None;
        self.0 += 1;
        Pull::Question
    }
}

#[test]
fn lines_of_every_kind_end_once() {
    let network = Network::new(3, hosts(truly), calm());
    let Finished { ends, counted, counts, mark, .. } =
        World::new(network, Mixed(0), Plan::default()).finish();
    check_counts(&counts, &counted);
    let mut numbers: Vec<u64> = ends.iter().map(|end| end.number).collect();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..2_000) && mark == 2_000);
    assert_eq!((counted.invalid, counted.resolved()), (400, 1_600), "{counted:?}");
    for end in ends {
        match end.number % 5 {
            0 => assert_eq!(
                (end.outcome, end.name),
                (Outcome::Invalid, format!("line {} .. is no name", end.number))
            ),
            1 => assert!(end.name.starts_with(&format!("n{}.xxx", end.number)), "{end:?}"),
            _ => assert_eq!(end.name, format!("n{}.example", end.number)),
        }
        if end.number % 5 > 0 && end.number % 3 == 0 {
            assert_eq!(end.resolver, Some(resolver(500 + (end.number % 7) as u16)));
        }
    }
}

/// A direct server that does not answer costs its own names, and nobody else's time.
#[test]
fn a_server_that_is_asked_directly_and_dead_holds_up_its_own_names_alone() {
    let network = Network::new(
        3,
        hosts(|heard| if host(heard) == 500 { vec![] } else { truly(heard) }),
        calm(),
    );
    let mut world = World::new(network, Mixed(0), Plan::default());
    while world.step() {}
    let counted = world.tally.counted();
    let of_dead = |number: &u64| number % 5 > 0 && number % 3 == 0 && number % 7 == 0;
    let dead = (0..2_000).filter(of_dead).count() as u64;
    assert_eq!((counted.resolved(), counted.timeouts), (1_600 - dead, dead), "{counted:?}");
    let last = world.ends.iter().filter(|end| !of_dead(&end.number)).map(|end| end.at).max();
    assert!(last.unwrap().as_nanos() < 2_000_000_000, "{last:?}");
}

/// Names of one query each, over resolvers that answer all of them wrongly first.
#[test]
fn a_run_is_the_same_twice() {
    let once = || {
        let faults =
            Faults { loss_out: 0.1, loss_back: 0.1, duplicate: 0.1, reorder: 0.2, ..calm() };
        let network = Network::new(3, hosts(truly), faults);
        let finished = World::new(network, Numbered::new(2_000), Plan::default()).finish();
        check_once(&finished, 2_000);
        (
            finished.ends.iter().map(|end| (end.number, end.at, end.attempts)).collect::<Vec<_>>(),
            finished.counted,
        )
    };
    assert_eq!(once(), once());
}
