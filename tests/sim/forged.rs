//! Answers that prove nothing are counted and believed by nobody.

use std::time::Duration;

use mrpf_engine::link::sim::{Faults, Network, hosts::Behaviour};
use mrpf_records::State;

use crate::world::{all, run, scan, states};

/// Offsets in an Ethernet frame with an IPv4 header of 20 octets.
const IP: usize = 14;
const TCP: usize = IP + 20;

/// The answer to a SYN as a forger would make it who sees everything of it but the sequence number.
fn blind_answer(probe: &[u8], flags: u8, ack: u32) -> Vec<u8> {
    let mut frame = probe[..TCP + 20].to_vec();
    frame.copy_within(6..12, 0); // to the prober's address
    frame[IP + 2..IP + 4].copy_from_slice(&40_u16.to_be_bytes());
    let (source, destination) =
        (probe[IP + 12..IP + 16].to_vec(), probe[IP + 16..IP + 20].to_vec());
    frame[IP + 12..IP + 16].copy_from_slice(&destination);
    frame[IP + 16..IP + 20].copy_from_slice(&source);
    frame[TCP..TCP + 2].copy_from_slice(&probe[TCP + 2..TCP + 4]);
    frame[TCP + 2..TCP + 4].copy_from_slice(&probe[TCP..TCP + 2]);
    frame[TCP + 8..TCP + 12].copy_from_slice(&ack.to_be_bytes());
    frame[TCP + 12] = 5 << 4;
    frame[TCP + 13] = flags;
    frame
}

const SYN_ACK: u8 = 0x12;
const RST_ACK: u8 = 0x14;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

#[test]
fn blind_answers_are_believed_by_chance_alone() {
    // 1,024 targets, three attempts, 100 forgeries each; the hosts themselves are silent.
    let mut guess = 1_u32;
    let network = Network::new(8, all(8, Behaviour::Silent), Faults::default()).with_forger(
        Box::new(move |probe, emit| {
            for flags in [SYN_ACK, RST_ACK, RST, ACK] {
                for _ in 0..25 {
                    guess = guess.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
                    emit(Duration::from_micros(50), &blind_answer(probe, flags, guess));
                }
            }
        }),
    );
    let (records, summary) = run(scan(network, "198.19.0.0/22", "80").build().unwrap());
    assert!(states(&records).values().all(|state| *state == State::Silent));
    let forged = 1_024 * 3 * 25;
    assert_eq!(summary.counts.valid, 0);
    assert_eq!(summary.counts.invalid_cookie, 3 * forged);
    assert_eq!(summary.counts.invalid_challenge, forged);
    assert!(summary.is_complete());
}

/// The same forger with the right number is believed: the test above fails for the number and nothing else.
#[test]
fn the_number_is_all_that_a_forger_lacks() {
    let network = Network::new(8, all(8, Behaviour::Silent), Faults::default()).with_forger(
        Box::new(|probe, emit| {
            let seq = u32::from_be_bytes(probe[TCP + 4..TCP + 8].try_into().unwrap());
            emit(Duration::from_micros(50), &blind_answer(probe, SYN_ACK, seq.wrapping_add(1)));
        }),
    );
    let (records, _) = run(scan(network, "198.19.0.0/24", "80").build().unwrap());
    assert!(states(&records).values().all(|state| *state == State::Open));
}

/// An answer from a host that was asked, about a port that was not.
#[test]
fn answers_of_other_ports_are_not_ours() {
    let network = Network::new(8, all(8, Behaviour::Silent), Faults::default()).with_forger(
        Box::new(|probe, emit| {
            let seq = u32::from_be_bytes(probe[TCP + 4..TCP + 8].try_into().unwrap());
            let mut frame = blind_answer(probe, SYN_ACK, seq.wrapping_add(1));
            frame[TCP + 1] ^= 1;
            emit(Duration::from_micros(50), &frame);
        }),
    );
    let (records, summary) = run(scan(network, "198.19.0.0/24", "80").build().unwrap());
    assert!(states(&records).values().all(|state| *state == State::Silent));
    assert_eq!(summary.counts.valid, 0);
    assert_eq!(summary.counts.invalid(), 3 * 256);
}
