//! Losses, TC and SERVFAIL on the way to an answer.

use std::time::Duration;

use mrpf_engine::link::sim::{Faults, hosts::Said};

use super::world::{Draws, Plan, Truth, response, run, truth, truthful};

/// So many names, and ten times as many in release.
const NAMES: u64 = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };

fn latency() -> (Duration, Duration) {
    (Duration::from_millis(5), Duration::from_millis(60))
}

#[test]
fn every_name_ends_truly_in_spite_of_losses_and_failures() {
    let faults =
        Faults { loss_out: 0.05, loss_back: 0.05, latency: latency(), ..Faults::default() };
    let mut draws = Draws(1);
    let answer = move |heard: &mrpf_engine::link::sim::hosts::Heard<'_>| {
        let query = heard.payload;
        vec![Said::datagram(match draws.next() % 100 {
            0 => response(query, 0x0200, 0, &[]),
            1 => response(query, 0, 2, &[]),
            _ => truthful(query),
        })]
    };
    let finished = run(NAMES, faults, answer, Plan::default());
    let counted = finished.counted;
    println!("{counted:#?} {:?} {:?}", finished.now, finished.wire);
    assert!(counted.resolved() * 10_000 >= NAMES * 9_999, "{counted:?}");
    assert!(counted.cut_short > NAMES / 150 && counted.servfail > NAMES / 150, "{counted:?}");
    assert!(counted.over_tcp * 100 >= counted.cut_short * 95, "{counted:?}");
}

#[test]
fn without_loss_a_name_that_is_not_there_takes_one_query() {
    let faults = Faults { latency: latency(), ..Faults::default() };
    let finished = run(
        NAMES / 10,
        faults,
        |heard| vec![Said::datagram(truthful(heard.payload))],
        Plan::default(),
    );
    let counted = finished.counted;
    println!("{counted:#?} {:?} {:?}", finished.now, finished.wire);
    assert_eq!(counted.resolved(), NAMES / 10);
    let missing = (0..NAMES / 10).filter(|number| truth(*number) == Truth::NoName).count() as u64;
    assert_eq!(counted.no_name, missing);
    assert!(counted.queries * 100 <= NAMES / 10 * 105, "{counted:?}");
}
