//! One seed gives one run, byte for byte.

use std::sync::{Arc, Mutex};

use mrpf_engine::link::sim::{Faults, Network, hosts::Behaviour};

use crate::world::{all, run, scan};

/// Every frame sent with its moment, and every record, of a scan with all faults at once.
fn transcript(seed: u64) -> String {
    let sent = Arc::new(Mutex::new(String::new()));
    let log = Arc::clone(&sent);
    let faults =
        Faults { loss_out: 0.1, loss_back: 0.1, duplicate: 0.1, reorder: 0.3, ..Faults::default() };
    let network = Network::new(seed, all(seed, Behaviour::open()), faults).with_tap(Box::new(
        move |at, frame| log.lock().unwrap().push_str(&format!("{at:?} {frame:02x?}\n")),
    ));
    let (records, summary) =
        run(scan(network, "198.19.0.0/23", "80-82").seed(seed).build().unwrap());
    let mut transcript = std::mem::take(&mut *sent.lock().unwrap());
    for record in &records {
        transcript.push_str(&serde_json::to_string(record).unwrap());
        transcript.push('\n');
    }
    transcript + &format!("{summary:?}")
}

#[test]
fn one_seed_gives_one_run() {
    let (first, again, other) = (transcript(1), transcript(1), transcript(2));
    assert!(first == again, "two runs of one seed differ");
    assert!(first != other, "two seeds give the same run");
}
