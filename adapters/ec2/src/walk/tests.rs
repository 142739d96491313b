use std::time::Duration;

use mrpf_aws::{AwsError, CallError, Reason};
use mrpf_ports::LaunchError;
use proptest::prelude::*;

use super::{Combination, DOUBTS, Kind, SLOWER, Step, Walk, combinations};
use crate::verdict::Verdict;

const KINDS: [Kind; 5] = [
    Kind { name: None, vcpus: 4 },
    Kind { name: Some("t4g.micro"), vcpus: 2 },
    Kind { name: Some("t4g.small"), vcpus: 2 },
    Kind { name: Some("c8gd.medium"), vcpus: 1 },
    Kind { name: Some("c7g.medium"), vcpus: 1 },
];

const ICE: &str = "InsufficientInstanceCapacity";
const FULL: &str = "InsufficientFreeAddressesInSubnet";
const MISSING: &str = "InvalidSubnetID.NotFound";
const VCPUS: &str = "VcpuLimitExceeded";
const SLOW: &str = "RequestLimitExceeded";
const DOUBT: &str = "InternalError";
const STOP: &str = "UnauthorizedOperation";
/// One code for each verdict.
const CODES: [&str; 7] = [ICE, FULL, MISSING, VCPUS, SLOW, DOUBT, STOP];

fn failure(code: &str) -> AwsError {
    AwsError::Call(CallError {
        call: "EC2 RunInstances",
        reason: Reason::Refused,
        code: Some(code.to_owned()),
        status: Some(400),
        said: "so it is".to_owned(),
    })
}

fn subnets(n: usize) -> Vec<String> {
    ["subnet-a", "subnet-b", "subnet-c"].into_iter().take(n).map(str::to_owned).collect()
}

/// What is asked for when the first answers are errors of these codes, in order, and the next is an instance.
fn walked(subnets: &[String], codes: &[&str]) -> (Vec<String>, Option<LaunchError>) {
    let mut walk = Walk::new(&KINDS, subnets, |_| false);
    let mut asked = Vec::new();
    for code in codes {
        match walk.step() {
            Step::Try(at, _) => asked.push(at.to_string()),
            Step::End(error) => return (asked, Some(error)),
        }
        walk.failed(&failure(code), 0);
    }
    match walk.step() {
        Step::Try(at, _) => asked.push(at.to_string()),
        Step::End(error) => return (asked, Some(error)),
    }
    (asked, None)
}

#[test]
fn types_outside_subnets_inside_the_template_first() {
    let (asked, end) = walked(&subnets(3), &[ICE; 15]);
    assert_eq!(
        asked,
        [
            "the template's type in subnet-a",
            "the template's type in subnet-b",
            "the template's type in subnet-c",
            "t4g.micro in subnet-a",
            "t4g.micro in subnet-b",
            "t4g.micro in subnet-c",
            "t4g.small in subnet-a",
            "t4g.small in subnet-b",
            "t4g.small in subnet-c",
            "c8gd.medium in subnet-a",
            "c8gd.medium in subnet-b",
            "c8gd.medium in subnet-c",
            "c7g.medium in subnet-a",
            "c7g.medium in subnet-b",
            "c7g.medium in subnet-c",
        ]
    );
    assert!(
        matches!(end, Some(LaunchError::Exhausted(why)) if why.contains("c7g.medium in subnet-c"))
    );
}

#[test]
fn without_subnets_every_type_is_asked_for_once_with_none_set() {
    let (asked, end) = walked(&[], &[ICE; 5]);
    assert_eq!(
        asked,
        ["the template's type", "t4g.micro", "t4g.small", "c8gd.medium", "c7g.medium"]
    );
    assert!(matches!(end, Some(LaunchError::Exhausted(_))));
    let walk = Walk::new(&KINDS, &[], |_| false);
    assert_eq!(walk.step(), Step::Try(&Combination { kind: None, subnet: None }, Duration::ZERO));
}

#[test]
fn a_full_subnet_is_left_out_for_all_types() {
    let (asked, _) = walked(&subnets(2), &[FULL, ICE, ICE]);
    assert_eq!(
        asked,
        [
            "the template's type in subnet-a",
            "the template's type in subnet-b",
            "t4g.micro in subnet-b",
            "t4g.small in subnet-b"
        ]
    );
    let (asked, end) = walked(&subnets(2), &[FULL, FULL]);
    assert_eq!(asked.len(), 2);
    assert!(matches!(end, Some(LaunchError::Exhausted(_))), "addresses come back: {end:?}");
}

#[test]
fn a_missing_subnet_is_left_out_and_none_left_is_a_wrong_setting() {
    let (asked, end) = walked(&subnets(3), &[MISSING, ICE]);
    assert_eq!(asked.last().unwrap(), "the template's type in subnet-c");
    assert_eq!(end, None);
    let (asked, end) = walked(&subnets(3), &[MISSING; 3]);
    assert_eq!(asked.len(), 3);
    assert!(
        matches!(end, Some(LaunchError::Refused(why)) if why.contains("no subnet of the list"))
    );
    // One that is there and full may have room later.
    let (_, end) = walked(&subnets(2), &[MISSING, FULL]);
    assert!(matches!(end, Some(LaunchError::Exhausted(_))), "{end:?}");
}

#[test]
fn too_many_vcpus_leave_types_with_fewer() {
    let (asked, end) = walked(&subnets(2), &[VCPUS, VCPUS, VCPUS]);
    assert_eq!(
        asked,
        ["the template's type in subnet-a", "t4g.micro in subnet-a", "c8gd.medium in subnet-a"]
    );
    assert!(matches!(end, Some(LaunchError::Exhausted(why)) if why.contains(VCPUS)));
}

#[test]
fn too_many_requests_are_the_same_again_later_and_a_few_times_at_most() {
    let mut walk = Walk::new(&KINDS, &subnets(1), |_| false);
    let mut waits = Vec::new();
    for _ in 0..SLOWER {
        walk.failed(&failure(SLOW), u32::MAX);
        let Step::Try(at, wait) = walk.step() else { panic!("{walk:?}") };
        assert_eq!(at.kind, None);
        waits.push(wait.as_millis());
    }
    assert_eq!(waits, [250, 500, 1000, 2000]);
    walk.failed(&failure(SLOW), 0);
    assert!(matches!(walk.step(), Step::End(LaunchError::Exhausted(_))));
    // The wait is not the next one's, and half of it is left to chance.
    let mut walk = Walk::new(&KINDS, &subnets(1), |_| false);
    walk.failed(&failure(SLOW), 0);
    assert!(matches!(walk.step(), Step::Try(_, wait) if wait == Duration::from_millis(125)));
    walk.failed(&failure(ICE), 0);
    assert!(matches!(walk.step(), Step::Try(_, Duration::ZERO)));
}

#[test]
fn what_is_in_doubt_is_asked_for_again_before_anything_else() {
    let (asked, _) = walked(&subnets(2), &[DOUBT, ICE]);
    assert_eq!(
        asked,
        [
            "the template's type in subnet-a",
            "the template's type in subnet-a",
            "the template's type in subnet-b"
        ]
    );
    let (asked, end) = walked(&subnets(2), &[DOUBT, DOUBT]);
    assert_eq!(asked, ["the template's type in subnet-a"; 2]);
    assert!(matches!(end, Some(LaunchError::Unknown(_))));
}

#[test]
fn a_launch_in_doubt_stays_so_whatever_ends_the_walk() {
    for after in [&[STOP][..], &[SLOW; SLOWER as usize + 1]] {
        let codes: Vec<&str> = [DOUBT].iter().chain(after).copied().collect();
        let (_, end) = walked(&subnets(2), &codes);
        assert!(matches!(end, Some(LaunchError::Unknown(why)) if why.contains(DOUBT)), "{codes:?}");
    }
    // Once EC2 has said that there is none, a later end is no doubt.
    let (_, end) = walked(&subnets(2), &[DOUBT, ICE, STOP]);
    assert!(matches!(end, Some(LaunchError::Refused(_))), "{end:?}");
}

#[test]
fn a_wrong_setting_is_the_end_and_says_what() {
    let (asked, end) = walked(&subnets(3), &[ICE, STOP]);
    assert_eq!(asked.len(), 2);
    let Some(LaunchError::Refused(why)) = end else { panic!("{end:?}") };
    assert_eq!(
        why,
        "the template's type in subnet-b: EC2 RunInstances: UnauthorizedOperation (400): so it is"
    );
}

#[test]
fn combinations_without_room_are_left_out() {
    let subnets = subnets(2);
    let micro = |at: &Combination| at.kind.is_none() || at.subnet.as_deref() == Some("subnet-a");
    let walk = Walk::new(&KINDS, &subnets, micro);
    let Step::Try(at, _) = walk.step() else { panic!("{walk:?}") };
    assert_eq!(at.to_string(), "t4g.micro in subnet-b");
    let walk = Walk::new(&KINDS, &subnets, |_| true);
    assert!(
        matches!(walk.step(), Step::End(LaunchError::Exhausted(why)) if why.contains("all 10"))
    );
    // Nothing that fits the image is something else than no room.
    let walk = Walk::new(&[], &subnets, |_| true);
    assert!(matches!(walk.step(), Step::End(LaunchError::Refused(_))));
}

/// What the rules say, told from the whole history anew: the first combination, not before the last one, that nothing
/// speaks against. None at the end.
fn expected(all: &[(Combination, u32)], history: &[(usize, Verdict)]) -> Option<usize> {
    let count = |verdict| history.iter().filter(|(_, it)| *it == verdict).count();
    let is_over = count(Verdict::Stop) > 0
        || count(Verdict::Slower) > SLOWER as usize
        || count(Verdict::InDoubt) >= DOUBTS as usize;
    if is_over {
        return None;
    }
    let from = history.last().map_or(0, |(at, _)| *at);
    (from..all.len()).find(|&candidate| {
        history.iter().all(|&(at, verdict)| match verdict {
            Verdict::NextCombination => at != candidate,
            Verdict::SubnetFull | Verdict::SubnetMissing => {
                all[at].0.subnet != all[candidate].0.subnet
            }
            Verdict::FewerVcpusOnly => all[candidate].1 < all[at].1,
            Verdict::Slower | Verdict::InDoubt | Verdict::Stop => true,
        })
    })
}

/// Takes a walk through answers, and compares each step with [`expected`]. Whether it has ended.
fn follow(kinds: &[Kind], subnets: &[String], codes: &[&str]) -> bool {
    let all: Vec<_> = combinations(kinds, subnets).collect();
    let mut walk = Walk::new(kinds, subnets, |_| false);
    let mut history = Vec::new();
    for code in codes {
        let Some(at) = expected(&all, &history) else { break };
        assert!(
            matches!(walk.step(), Step::Try(it, _) if *it == all[at].0),
            "{codes:?} {history:?}"
        );
        history.push((at, walk.failed(&failure(code), 7)));
        let asked_of = |it: usize| {
            history.iter().filter(|(at, v)| *at == it && *v == Verdict::NextCombination).count()
        };
        assert!((0..all.len()).all(|it| asked_of(it) <= 1), "twice asked for what has no room");
    }
    assert!(history.len() <= all.len() + SLOWER as usize + DOUBTS as usize, "no end: {history:?}");
    match expected(&all, &history) {
        Some(at) => {
            assert!(matches!(walk.step(), Step::Try(it, _) if *it == all[at].0), "{history:?}");
            false
        }
        None => {
            assert!(matches!(walk.step(), Step::End(_)), "{codes:?} {history:?}");
            true
        }
    }
}

/// Every order of answers that two types and two subnets can have, to the end.
#[test]
fn all_walks_over_two_types_and_two_subnets() {
    fn every(codes: &mut Vec<&'static str>, ends: &mut usize) {
        if follow(&KINDS[2..4], &subnets(2), codes) {
            *ends += 1;
            return;
        }
        for code in CODES {
            codes.push(code);
            every(codes, ends);
            codes.pop();
        }
    }
    let mut ends = 0;
    every(&mut Vec::new(), &mut ends);
    println!("{ends} walks");
    assert!(ends > 10_000, "{ends}");
}

proptest! {
    #[test]
    fn any_answers_over_any_list(
        n in 0_usize..=3,
        kinds in proptest::sample::subsequence(KINDS.to_vec(), 0..=5),
        codes in proptest::collection::vec(proptest::sample::select(CODES.to_vec()), 0..40),
    ) {
        follow(&kinds, &subnets(n), &codes);
    }

    /// Whoever is told what to leave out walks as one who finds out.
    #[test]
    fn what_was_known_before_makes_no_other_order(full in proptest::collection::vec(any::<bool>(), 15)) {
        let subnets = subnets(3);
        let all: Vec<_> = combinations(&KINDS, &subnets).map(|(at, _)| at).collect();
        let is_full = |at: &Combination| full[all.iter().position(|it| it == at).unwrap()];
        let mut walk = Walk::new(&KINDS, &subnets, is_full);
        let mut asked = Vec::new();
        while let Step::Try(at, _) = walk.step() {
            asked.push(at.clone());
            walk.failed(&failure(ICE), 0);
        }
        let free: Vec<_> = all.iter().filter(|at| !is_full(at)).cloned().collect();
        prop_assert_eq!(asked, free);
    }
}
