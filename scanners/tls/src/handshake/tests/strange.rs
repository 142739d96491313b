//! Alerts, hosts that do not speak TLS, and records that break the rules.

use super::*;

#[test]
fn an_alert_in_place_of_a_hello() {
    let capture = enough(&[21, 3, 1, 0, 2, 2, 40]);
    assert_eq!((capture.outcome(), capture.stage()), (TlsOutcome::Alert, TlsStage::Hello));
    assert_eq!(capture.alert(), Some(Alert { level: 2, description: 40 }));
    assert!(capture.first_bytes().is_empty());
}

#[test]
fn an_alert_behind_a_certificate() {
    let hello = server_hello(0x0303, 0x2f, &[]);
    let mut octets = records(&[&hello, &certificate(&[&[1, 2]], None)]);
    octets.extend_from_slice(&[21, 3, 3, 0, 2, 2, 116]);
    let capture = enough(&octets);
    assert_eq!((capture.outcome(), capture.stage()), (TlsOutcome::Alert, TlsStage::Certificate));
    assert_eq!(certificates(&capture), [[1, 2]]);
}

#[test]
fn an_alert_in_the_middle_of_a_certificate() {
    let hello = server_hello(0x0303, 0x2f, &[]);
    let chain = certificate(&[&[1, 2], &[3, 4]], None);
    let mut octets = records(&[&hello, &chain[..chain.len() - 1]]);
    octets.extend_from_slice(&[21, 3, 3, 0, 2, 2, 80]);
    let capture = enough(&octets);
    assert_eq!((capture.outcome(), capture.stage()), (TlsOutcome::Alert, TlsStage::ServerHello));
    assert_eq!(certificates(&capture), [[1, 2]]);
}

#[test]
fn a_warning_ends_nothing_but_close_notify() {
    const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 1, 112];
    let hello = server_hello(0x0303, 0x2f, &[]);
    let rest = records(&[&hello, &certificate(&[&[1, 2]], None), &[14, 0, 0, 0]]);
    let goes_on = enough(&[&UNRECOGNIZED_NAME[..], &rest].concat());
    assert_eq!((goes_on.outcome(), goes_on.stage()), (TlsOutcome::Ok, TlsStage::Done));
    assert_eq!(goes_on.alert(), Some(Alert { level: 1, description: 112 }));
    let end = |cut| {
        let script = script(&UNRECOGNIZED_NAME);
        script.play_all_ways(&KeyShares::identity(), &[3], cut).0.outcome()
    };
    assert_eq!(end(Cut::Finished), TlsOutcome::Alert);
    assert_eq!(end(Cut::Idle), TlsOutcome::Timeout);
    assert_eq!(end(Cut::Reset), TlsOutcome::Reset);
    assert_eq!(enough(&[21, 3, 3, 0, 2, 1, 0]).outcome(), TlsOutcome::Alert);
    assert_eq!(fault(&[21, 3, 3, 0, 1]), Fault::Alert);
    assert_eq!(fault(&[21, 3, 3, 0, 4]), Fault::Alert);
}

#[test]
fn hosts_that_do_not_speak_tls() {
    let first = |said: &[u8]| {
        let capture = enough(said);
        assert_eq!((capture.outcome(), capture.stage()), (TlsOutcome::NotTls, TlsStage::Hello));
        assert_eq!((capture.version(), capture.fault()), (None, None));
        capture.first_bytes().to_vec()
    };
    assert_eq!(first(b"SSH-2.0-OpenSSH_9.6\r\nmore"), b"SSH-2.0-OpenSSH_9.6\r\n");
    assert_eq!(first(b"220 mail.example ESMTP\r\n"), b"220 mail.example ESMTP\r\n");
    let http = b"HTTP/1.1 400 Bad Request\r\nServer: example\r\nContent-Type: text/html\r\n\r\n";
    assert_eq!(first(http), http[..64]);
    assert_eq!(first(&[0x4a; 90]), [0x4a; 64]);

    // Too little to be enough: the end of the connection does not matter.
    for said in [&b"HTTP/1.0 400\r\n\r\n"[..], &[0x80, 0x2e, 4, 0, 1], &[22, 2], b"\0"] {
        for cut in [Cut::Finished, Cut::Reset, Cut::Idle] {
            let (capture, is_enough) =
                script(said).play_all_ways(&KeyShares::identity(), &[1, 2], cut);
            assert_eq!((is_enough, capture.outcome()), (false, TlsOutcome::NotTls));
            assert_eq!(capture.first_bytes(), said);
        }
    }
}

#[test]
fn what_could_have_become_tls_is_kept() {
    for len in 1..5 {
        let (capture, is_enough) = capture(&[22, 3, 3, 0, 50][..len]);
        assert_eq!((is_enough, capture.outcome()), (false, TlsOutcome::Timeout));
        assert_eq!(capture.first_bytes(), &[22, 3, 3, 0, 50][..len]);
    }
}

#[test]
fn records_that_break_the_rules() {
    assert_eq!(fault(&[22, 3, 3, 0x40, 1, 2, 0]), Fault::RecordLength(0x4001));
    assert_eq!(fault(&[23, 3, 3, 0, 1, 0]), Fault::RecordType(23));
    assert_eq!(fault(&[24, 3, 3, 0, 1, 0]), Fault::RecordType(24));
    let hello = server_hello(0x0303, 0x2f, &[]);
    let behind = |octets: &[u8]| fault(&[&records(&[&hello]), octets].concat());
    assert_eq!(behind(&[23, 3, 3, 0, 1, 0]), Fault::RecordType(23));
    assert_eq!(behind(b"HTTP/"), Fault::RecordType(b'H'));
    // The octets that were looked at, and no others, are kept.
    let capture = enough(&[22, 3, 3, 0, 9, 1, 0, 0, 0, 7, 7, 7]);
    assert_eq!(capture.fault(), Some(Fault::Unexpected(1)));
    assert_eq!(capture.first_bytes(), [22, 3, 3, 0, 9, 1, 0, 0, 0]);
}

#[test]
fn nothing_is_added_once_there_is_enough() {
    for said in [&b"220 mail\r\n"[..], &[22, 3, 3, 0, 9, 1, 0, 0, 0]] {
        let mut handshake = Handshake::new();
        let shares = KeyShares::identity();
        assert_eq!(handshake.read(&SENT, &shares, said), (said.len(), Next::Enough));
        assert_eq!(handshake.read(&SENT, &shares, b"more"), (4, Next::Enough));
        assert_eq!(handshake.finish(Cut::Finished).first_bytes(), said);
    }
}
