//! A stop in mid-run, and the mark; consumers that do not come, and sources that have nothing at present.

use std::time::Duration;

use mrpf_dns::names::{Pull, Question, Source};
use mrpf_engine::link::sim::{Faults, Network, hosts::Said};

use super::world::{Numbered, Plan, World, check_counts, check_once, hosts, truthful};

fn network() -> Network {
    let ms = Duration::from_millis(1);
    let faults = Faults { loss_out: 0.1, latency: (5 * ms, 400 * ms), ..Faults::default() };
    Network::new(3, hosts(|heard| vec![Said::datagram(truthful(heard.payload))]), faults)
}

/// At every moment, whatever lies below the mark has its end, and the mark is the first that has none.
#[test]
fn the_mark_is_exact_at_every_step() {
    const NAMES: u64 = 5_000;
    let mut world = World::new(network(), Numbered::new(NAMES), Plan::default());
    let (mut is_ended, mut taken, mut exact, mut steps) = (vec![false; NAMES as usize], 0, 0, 0);
    while world.step() {
        for end in &world.ends[taken..] {
            assert!(!std::mem::replace(&mut is_ended[end.number as usize], true), "{end:?}");
        }
        taken = world.ends.len();
        let mark = world.marks.mark() as usize;
        assert!(is_ended[..mark].iter().all(|is_ended| *is_ended), "at {mark}");
        let first = is_ended.iter().position(|is_ended| !is_ended).unwrap_or(NAMES as usize);
        steps += 1;
        exact += u64::from(mark == first);
    }
    assert_eq!((world.marks.mark(), world.ends.len() as u64), (NAMES, NAMES));
    assert!(exact * 10 > steps * 9, "exact in {exact} of {steps} steps");
}

#[test]
fn a_stop_cuts_off_what_is_under_way_and_the_mark_says_where_to_go_on() {
    const NAMES: u64 = 20_000;
    let mut world = World::new(network(), Numbered::new(NAMES), Plan::default());
    while world.ends.len() < 7_000 {
        assert!(world.step());
    }
    world.stop.stop();
    let (sent, now) = (world.session.counts().sent, world.network.now());
    while world.step() {}
    // Nothing more is asked, and what answers within a second is taken.
    assert_eq!(world.session.counts().sent, sent);
    let took = world.network.now().since(now);
    assert!(took < Duration::from_secs(3), "{took:?}");
    let counted = world.tally.counted();
    check_counts(&world.session.counts(), &counted);
    assert!(counted.cut_off > 0, "{counted:?}");
    assert_eq!(counted.ends(), world.ends.len() as u64);
    assert!(counted.questions < NAMES && counted.questions == counted.ends() + counted.cut_off);
    let mut is_ended = vec![false; NAMES as usize];
    for end in &world.ends {
        assert!(!std::mem::replace(&mut is_ended[end.number as usize], true));
    }
    let mark = world.marks.mark();
    assert!(mark > 0 && mark < NAMES, "{mark}");
    let first = is_ended.iter().position(|is_ended| !is_ended).unwrap() as u64;
    assert_eq!(mark, first, "exactly the first without an end");
}

/// Nobody takes what ends: so much is asked as has room, nothing is lost, and it goes on once somebody comes.
#[test]
fn a_consumer_that_does_not_come_holds_up_new_questions_and_loses_nothing() {
    const NAMES: u64 = 60_000;
    let mut world = World::new(network(), Numbered::new(NAMES), Plan::default());
    let go_on = |world: &mut World, seconds| {
        let until = world.network.now() + Duration::from_secs(seconds);
        while world.network.now() < until {
            assert!(world.stepped.step().unwrap(), "it is not over");
        }
        world.tally.counted().questions
    };
    let asked = go_on(&mut world, 40);
    // What is in the queue, in the batch that has no room there, and under way.
    assert!((10_000..25_000).contains(&asked), "{asked}");
    assert_eq!(go_on(&mut world, 40), asked);
    let finished = world.finish();
    check_once(&finished, NAMES);
    assert_eq!(finished.counted.untold, 0);
}

/// Has something one time in three.
#[derive(Debug)]
struct Halting(Numbered, u32);

impl Source for Halting {
    fn next(&mut self, question: &mut Question) -> Pull {
        self.1 += 1;
        if self.1.is_multiple_of(3) { self.0.next(question) } else { Pull::Later }
    }
}

#[test]
fn a_source_that_has_nothing_at_present_is_asked_again() {
    let mut world = World::new(network(), Halting(Numbered::new(2_000), 0), Plan::default());
    let mut taken = 0;
    while world.step() {
        let mark = world.marks.mark();
        assert!(mark >= taken, "{mark} after {taken}");
        taken = mark;
    }
    check_once(&world.finish(), 2_000);
}
