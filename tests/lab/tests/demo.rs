//! The world of the demo against what is said to be true in it.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read as _, Write as _},
    net::IpAddr,
    time::Duration,
};

use aws_lc_rs::digest;

use mrpf_lab::{
    demo::{self, Certificates, Spoken, Truth},
    gate::{self, Need},
};

use crate::{
    SHORT, connect, host,
    tls::{Share, client_hello, presented},
};

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

/// What a port says to a ClientHello.
#[derive(Debug, PartialEq)]
enum Said {
    Certificates(Vec<String>),
    Octets(Vec<u8>),
}

#[test]
fn its_hosts_of_tls_say_what_is_spoken() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let certificates = Certificates::make().unwrap();
    let _lab = demo::start().unwrap();
    let sha256 = |der: &Vec<u8>| {
        let digest = digest::digest(&digest::SHA256, der);
        digest.as_ref().iter().map(|octet| format!("{octet:02x}")).collect::<String>()
    };
    let mut kinds = [0; 4];
    for third in (0..=255).filter(|third| !(192..200).contains(third)) {
        let addr = host(third, third ^ 0x5a);
        let port = 443;
        let Some(spoken) = demo::spoken(addr, port) else { continue };
        let kind = match spoken {
            Spoken::Certificate(_) => 0,
            Spoken::Alert => 1,
            Spoken::Http => 2,
            Spoken::Nothing => 3,
        };
        kinds[kind] += 1;
        if spoken == Spoken::Nothing && kinds[kind] > 3 {
            continue;
        }
        let said = if let Spoken::Certificate(_) = spoken {
            let share = Share::fresh();
            let shown = presented(IpAddr::V4(addr), port, &share);
            Said::Certificates(shown.iter().map(sha256).collect())
        } else {
            let mut stream = connect(addr, port, Duration::from_secs(5)).unwrap();
            let wait = if spoken == Spoken::Nothing { SHORT } else { Duration::from_secs(5) };
            stream.set_read_timeout(Some(wait)).unwrap();
            stream.write_all(&client_hello(Some(&Share::Identity.public()), &[])).unwrap();
            let mut first = vec![0; 7];
            let len = stream.read(&mut first).unwrap_or(0);
            first.truncate(len);
            Said::Octets(first)
        };
        let expected = match spoken {
            Spoken::Certificate(number) => {
                Said::Certificates(vec![certificates.leaf(number), certificates.intermediate()])
            }
            Spoken::Alert => Said::Octets(vec![21, 3, 3, 0, 2, 2, 40]),
            Spoken::Http => Said::Octets(b"HTTP/1.".to_vec()),
            Spoken::Nothing => Said::Octets(Vec::new()),
        };
        assert_eq!(said, expected, "{addr}:{port}");
    }
    assert!(kinds.iter().all(|count| *count > 0), "{kinds:?}");
}
