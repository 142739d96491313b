//! The world of the demo against what is said to be true in it.

use std::{collections::HashMap, io::ErrorKind, time::Duration};

use mrpf_lab::{
    demo::{self, Truth},
    gate::{self, Need},
};

use crate::{connect, host};

#[test]
fn the_demo_answers_as_its_truth_says() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = demo::start().unwrap();
    // One host of each 24-bit block; of the silent ones fewer, since each takes its time.
    let mut asked: HashMap<String, u32> = HashMap::new();
    for third in 0..=255 {
        // What a real kernel makes of strange answers is its own affair.
        if (192..200).contains(&third) {
            continue;
        }
        let addr = host(third, third ^ 0x5a);
        for port in demo::PORTS {
            let truth = demo::truth(addr, port);
            let count = asked.entry(format!("{truth:?}")).or_default();
            *count += 1;
            if truth == Truth::Silent && *count > 5 {
                continue;
            }
            let wait = if truth == Truth::Silent { 300 } else { 5_000 };
            let met = connect(addr, port, Duration::from_millis(wait)).map_or_else(
                |error| match error.kind() {
                    ErrorKind::ConnectionRefused => Some(Truth::Closed),
                    ErrorKind::HostUnreachable => Some(Truth::Unreachable),
                    ErrorKind::TimedOut => Some(Truth::Silent),
                    _ => None,
                },
                |_| Some(Truth::Open),
            );
            assert_eq!(met, Some(truth), "{addr}:{port}");
        }
    }
    assert_eq!(asked.len(), 4);
}
