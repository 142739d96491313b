use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use proptest::prelude::*;

use super::*;

fn plan(window: u64, grouping: Grouping) -> Plan {
    Plan { total: 1 << 40, window, grouping, lanes: 1, block: 64 }
}

fn ring(window: u64, grouping: Grouping) -> Answered {
    Answered::new(plan(window, grouping)).unwrap()
}

/// Claims and sends all numbers below `upto`.
fn sent(ring: &Answered, upto: u64, now: Instant) {
    while ring.reached() < upto {
        ring.claim(0).unwrap();
    }
    for sequence in 0..upto {
        ring.stamp(sequence, now);
    }
    ring.set_pass(0, 0, upto);
}

#[test]
fn only_the_first_mark_is_first() {
    let ring = ring(100, Grouping::Single);
    sent(&ring, 40, Instant::START);
    assert_eq!(ring.mark(33), Some(false));
    assert_eq!(ring.mark(33), Some(true));
    assert!(ring.is_answered(33) && !ring.is_answered(32) && !ring.is_answered(34));
    ring.unmark(33);
    assert_eq!(ring.mark(33), Some(false));
}

#[test]
fn numbers_not_sent_and_final_ones_cannot_be_marked() {
    let ring = ring(100, Grouping::Single);
    assert_eq!(ring.mark(0), None);
    sent(&ring, 10, Instant::START);
    assert_eq!(ring.mark(10), None);
    assert_eq!(ring.mark(1 << 50), None);
    ring.set_tail(0, Some(4));
    assert_eq!(ring.mark(3), None);
    assert_eq!(ring.mark(4), Some(false));
    ring.set_tail(0, None);
    assert_eq!(ring.mark(5), None);
}

#[test]
fn times_are_per_number_or_per_block() {
    let later = Instant::START + Duration::from_micros(700);
    let now = Instant::START + Duration::from_micros(1_000);
    for (grouping, first) in [(Grouping::Single, 1_000), (Grouping::Block, 300)] {
        let ring = ring(200, grouping);
        ring.stamp(0, Instant::START);
        ring.stamp(63, later);
        assert_eq!(ring.since_sent(0, now), first, "{grouping:?}");
        assert_eq!(ring.since_sent(63, now), 300);
    }
    assert_eq!(ring(1, Grouping::Block).left_in_group(60), 4);
    assert_eq!(ring(1, Grouping::Single).left_in_group(60), 1);
}

#[test]
fn attempts_are_counted_by_the_passes_of_the_lane_that_owns_the_block() {
    let ring = Answered::new(Plan { lanes: 2, ..plan(400, Grouping::Single) }).unwrap();
    assert_eq!(ring.claim(0), Some(0..64));
    assert_eq!(ring.claim(1), Some(64..128));
    ring.set_pass(0, 0, 30);
    ring.set_pass(0, 1, 20);
    ring.set_pass(0, 2, 10);
    ring.set_pass(1, 0, 70);
    assert_eq!([5, 15, 25, 35, 64, 69, 70].map(|s| ring.attempts(s)), [3, 2, 1, 0, 1, 1, 0]);
    assert!(ring.is_live(29) && !ring.is_live(30) && ring.is_live(69) && !ring.is_live(70));
}

#[test]
fn the_tail_is_that_of_the_slowest_lane_and_an_idle_lane_holds_nobody() {
    let ring = Answered::new(Plan { lanes: 3, ..plan(400, Grouping::Single) }).unwrap();
    assert_eq!(ring.tail(), 0);
    for lane in [0, 1] {
        ring.claim(lane).unwrap();
    }
    assert_eq!(ring.tail(), 0);
    ring.set_tail(0, None);
    assert_eq!(ring.tail(), 64);
    ring.set_tail(1, Some(100));
    assert_eq!(ring.tail(), 100);
    ring.set_tail(1, None);
    assert_eq!(ring.tail(), 128);
    assert_eq!(ring.claim(2), Some(128..192));
    assert_eq!(ring.tail(), 128);
}

#[test]
fn a_block_is_claimed_only_when_its_place_is_free() {
    let ring = ring(128, Grouping::Single); // 256 numbers
    for _ in 0..3 {
        ring.claim(0).unwrap();
    }
    assert_eq!(ring.claim(0), None);
    ring.set_tail(0, Some(63));
    assert_eq!(ring.claim(0), None);
    ring.set_tail(0, Some(64));
    assert_eq!(ring.claim(0), Some(192..256));
    assert_eq!(ring.claim(0), None);
}

#[test]
fn a_group_is_marked_at_once_and_counts_those_without_an_outcome() {
    let ring = ring(200, Grouping::Block);
    sent(&ring, 192, Instant::START);
    for sequence in [64, 70, 127] {
        assert_eq!(ring.mark(sequence), Some(false));
    }
    assert_eq!(ring.mark_group(64), 61);
    assert!((64..128).all(|sequence| ring.is_answered(sequence)));
    assert!(!ring.is_answered(63) && !ring.is_answered(128));
    assert_eq!(ring.mark(100), Some(true));
}

#[test]
fn the_last_block_ends_with_the_scan() {
    let ring = Answered::new(Plan { total: 100, ..plan(100, Grouping::Single) }).unwrap();
    assert_eq!((ring.claim(0), ring.claim(0)), (Some(0..64), Some(64..100)));
    assert_eq!(ring.claim(0), None);
    assert!(ring.is_exhausted() && ring.reached() == 100);
    ring.set_tail(0, None);
    assert_eq!(ring.tail(), 100);
}

#[test]
fn ten_million_a_second_fit_in_25_megabytes() {
    let plan = Plan { block: 1_024, ..plan(10_000_000 * (3 + 8), Grouping::Block) };
    assert!(Answered::new(plan).unwrap().footprint() <= 25 << 20);
}

#[test]
fn threads_claim_every_block_once_and_the_tail_passes_none_that_waits() {
    const TOTAL: u64 = 64 * 20_000 - 7;
    let plan = Plan { total: TOTAL, lanes: 3, ..plan(64 * 20, Grouping::Single) };
    let ring = Answered::new(plan).unwrap();
    let claimed: Vec<_> = std::thread::scope(|scope| {
        let claim_all = |lane| {
            let ring = &ring;
            move || {
                let (mut own, mut waiting) = (Vec::new(), VecDeque::new());
                while !ring.is_exhausted() || !waiting.is_empty() {
                    let block = ring.claim(lane);
                    let is_full = block.is_none();
                    if let Some(block) = block {
                        waiting.push_back(block.clone());
                        own.push(block);
                    }
                    if let Some(first) = waiting.front() {
                        let tail = ring.tail();
                        assert!(tail <= first.start, "{tail} passed {first:?}");
                    }
                    if waiting.len() > 3 || is_full {
                        waiting.pop_front();
                        ring.set_tail(lane, waiting.front().map(|block| block.start));
                    }
                }
                own
            }
        };
        let threads: Vec<_> = (0..3).map(|lane| scope.spawn(claim_all(lane))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let mut starts: Vec<_> = claimed.iter().map(|block| block.start).collect();
    starts.sort_unstable();
    assert_eq!(starts, (0..20_000).map(|n| n * 64).collect::<Vec<_>>());
    assert_eq!(claimed.iter().map(|block| block.end - block.start).sum::<u64>(), TOTAL);
    assert_eq!(ring.tail(), TOTAL);
}

proptest! {
    /// Random sends, marks and tails against a map that never forgets.
    #[test]
    fn agrees_with_a_map(steps in proptest::collection::vec((0..3_u8, 0..200_u64), 1..400)) {
        let ring = ring(128, Grouping::Single);
        let mut model: BTreeMap<u64, bool> = BTreeMap::new();
        let (mut head, mut tail) = (0, 0);
        for (step, n) in steps {
            match step {
                0 => {
                    for _ in 0..n {
                        if head == ring.reached() && ring.claim(0).is_none() {
                            break;
                        }
                        ring.stamp(head, Instant::START);
                        model.insert(head, false);
                        head += 1;
                        ring.set_pass(0, 0, head);
                    }
                }
                1 => {
                    let sequence = (tail + n).saturating_sub(40);
                    let live = sequence >= tail && sequence < head;
                    let expected = live.then(|| model[&sequence]);
                    prop_assert_eq!(ring.mark(sequence), expected);
                    if live { model.insert(sequence, true); }
                }
                _ => {
                    tail = (tail + n).min(head);
                    ring.set_tail(0, (tail < ring.reached()).then_some(tail));
                }
            }
            for sequence in tail..head {
                prop_assert_eq!(ring.is_answered(sequence), model[&sequence]);
            }
        }
    }
}
