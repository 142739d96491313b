//! The records of the scanners: one JSON object a line, read by programs that are not ours.
//!
//! ```text
//! {"type":"syn","ts":"2026-11-24T08:00:00.000123Z","ip":"198.19.0.7","port":80,"state":"open","reason":"syn-ack",...}
//! {"type":"host","ts":"2026-11-24T08:00:01.000456Z","ip":"198.19.0.9","noise":true}
//! {"type":"tls","ts":"2026-11-24T08:00:02.000789Z","ip":"198.19.0.7","port":443,"outcome":"ok","stage":"done",...}
//! {"type":"dns","ts":"2026-11-24T08:00:03.000012Z","name":"www.example.com","qtype":"A","status":"NOERROR",...}
//! ```
//!
//! # What holds
//!
//! - Every record has `type` and `ts`. Fields that are not known are left out, never null.
//! - Fields are only ever added. `testdata/` keeps one golden file per schema version, and today's code still reads all of them.
//! - Strings of closed sets (states, reasons) are lower case with hyphens, but for those of DNS, which has words of its own;
//!   sets may grow.
//!
//! This crate does no I/O and knows nothing of packets: the scanners turn a reply into a record.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod certificate;
mod dns;
mod host;
mod syn;
mod timestamp;
mod tls;

use serde::{Deserialize, Serialize};

pub use self::{
    certificate::CertificateRecord,
    dns::{DnsData, DnsEdns, DnsOption, DnsProtocol, DnsRecord},
    host::HostRecord,
    syn::{Reason, State, SynRecord},
    timestamp::Timestamp,
    tls::{ChainTrust, Timings, TlsOutcome, TlsRecord, TlsStage, Trust},
};

/// The version of the record forms, raised when a field is added.
pub const SCHEMA_VERSION: u32 = 3;

/// Any record, as it stands on a line.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Record {
    /// What one port of one host answered to a SYN.
    Syn(SynRecord),
    /// Something that holds for a whole host.
    Host(HostRecord),
    /// What one TLS connection told.
    Tls(Box<TlsRecord>),
    /// What came of one DNS question.
    Dns(Box<DnsRecord>),
}

#[cfg(test)]
mod tests {
    use std::{
        net::{IpAddr, Ipv4Addr},
        sync::Arc,
    };

    use super::*;

    /// What each version can write; the last is today's.
    const GOLDEN: [&str; SCHEMA_VERSION as usize] = [
        include_str!("../testdata/v1.jsonl"),
        include_str!("../testdata/v2.jsonl"),
        include_str!("../testdata/v3.jsonl"),
    ];

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(198, 19, 0, last).into()
    }

    fn ts(micros: u64) -> Timestamp {
        Timestamp::from_unix_micros(1_795_507_200_000_000 + micros)
    }

    /// What version 1 can write, with and without the optional fields.
    fn first() -> Vec<Record> {
        let bare = SynRecord::new(ts(0), address(1), 22, State::Silent, Reason::NoAnswer);
        vec![
            Record::Syn(SynRecord {
                ttl: Some(64),
                window: Some(65_160),
                mss: Some(1_460),
                options: Some("mss=1460,sack,ts,nop,ws=7".to_owned()),
                rtt_us: Some(123),
                attempts: Some(1),
                ..SynRecord::new(ts(123), address(7), 80, State::Open, Reason::SynAck)
            }),
            Record::Syn(SynRecord {
                ttl: Some(64),
                window: Some(0),
                attempts: Some(2),
                noise: Some(true),
                ..SynRecord::new(ts(1), address(8), 81, State::Closed, Reason::Rst)
            }),
            Record::Syn(SynRecord {
                ttl: Some(63),
                attempts: Some(1),
                responder: Some(Ipv4Addr::new(198, 18, 0, 2).into()),
                ..SynRecord::new(
                    ts(2),
                    address(9),
                    65_535,
                    State::Unreachable,
                    Reason::AdminProhibited,
                )
            }),
            Record::Syn(SynRecord { attempts: Some(3), ..bare }),
            Record::Host(HostRecord { ts: ts(456), ip: address(9), noise: true }),
        ]
    }

    fn certificate() -> CertificateRecord {
        CertificateRecord {
            sha256: "a4".repeat(32),
            subject: Some("CN=www.example.com,O=Example\\, Inc.,C=US".to_owned()),
            issuer: Some("CN=Example CA,C=US".to_owned()),
            serial: Some("0f2a".to_owned()),
            not_before: Some("2026-01-01T00:00:00Z".to_owned()),
            not_after: Some("2027-01-01T00:00:00Z".to_owned()),
            sans: vec!["www.example.com".to_owned(), "198.19.0.7".to_owned()],
            key_type: Some("ec-p256".to_owned()),
            key_bits: Some(256),
            signature_algorithm: Some("ecdsa-sha256".to_owned()),
            self_signed: Some(false),
            self_issued: Some(false),
            ca: Some(false),
            version: Some(3),
            spki_sha256: Some("5b".repeat(32)),
            parse_error: None,
            der: None,
        }
    }

    /// What version 2 adds: a connection that told all, one that told little, one that was no TLS.
    fn second() -> Vec<Record> {
        let unread = CertificateRecord {
            sha256: "00".repeat(32),
            parse_error: Some("certificate: ends in the middle of a field".to_owned()),
            der: Some("MAA=".to_owned()),
            ..CertificateRecord::default()
        };
        let whole = TlsRecord {
            sni: Some("www.example.com".to_owned()),
            version: Some("TLSv1.3".into()),
            cipher: Some("TLS_AES_128_GCM_SHA256".into()),
            group: Some("x25519".into()),
            alpn: Some("h2".to_owned()),
            certificates: vec![Arc::new(certificate()), Arc::new(unread)],
            trust: Some(Trust {
                name_match: Some(true),
                valid_now: Some(true),
                chain: Some(ChainTrust::UntrustedIssuer),
            }),
            client_auth: Some(true),
            client_cas: vec!["CN=Client CA".to_owned()],
            ocsp_stapled: Some(true),
            scts: Some(2),
            ja3s: Some("eb1d94daa7e0344597e756a1fb6e7054".to_owned()),
            jarm: Some("0".repeat(62)),
            retried: Some(true),
            attempts: Some(1),
            timings: Some(Timings {
                syn_ack_us: Some(101),
                first_byte_us: Some(350),
                done_us: Some(420),
            }),
            ..TlsRecord::new(ts(789), address(7), 443, TlsOutcome::Ok, TlsStage::Done)
        };
        let refused = TlsRecord {
            alert: Some("protocol_version".into()),
            ..TlsRecord::new(ts(790), address(8), 443, TlsOutcome::Alert, TlsStage::Hello)
        };
        let other = TlsRecord {
            first_bytes: Some("485454502f312e3120343030".to_owned()),
            service: Some("http".into()),
            timings: Some(Timings { syn_ack_us: Some(99), ..Timings::default() }),
            ..TlsRecord::new(ts(791), address(9), 80, TlsOutcome::NotTls, TlsStage::Hello)
        };
        let silent = TlsRecord::new(ts(792), address(10), 443, TlsOutcome::Timeout, TlsStage::Syn);
        [whole, refused, other, silent].map(|record| Record::Tls(Box::new(record))).into()
    }

    fn data(name: &str, rtype: &'static str, ttl: u32, data: &str) -> DnsData {
        DnsData {
            name: name.to_owned(),
            rtype: rtype.into(),
            class: None,
            ttl,
            data: data.to_owned(),
        }
    }

    /// What version 3 adds: an answer with all that may stand in one, one that says no, a server's version, no answer, and a
    /// line that was no name.
    fn third() -> Vec<Record> {
        let record = |micros, name: &str, qtype: &'static str, status: &'static str| {
            DnsRecord::new(ts(micros), name.to_owned(), qtype.into(), status.into())
        };
        let whole = DnsRecord {
            resolver: Some("198.19.0.53:53".parse().unwrap()),
            protocol: Some(DnsProtocol::Udp),
            flags: vec!["rd".into(), "ra".into()],
            answers: vec![
                data("www.example.com", "CNAME", 300, "host.example.net."),
                data("host.example.net", "A", 60, "198.19.0.7"),
            ],
            authorities: vec![data("example.net", "NS", 3_600, "ns.example.net.")],
            additionals: vec![data("ns.example.net", "TYPE65280", 0, "\\# 2 abcd")],
            edns: Some(DnsEdns {
                version: 0,
                udp_size: 1_232,
                dnssec_ok: true,
                options: vec![DnsOption { code: 3, data: "6e7331".to_owned() }],
            }),
            rtt_us: Some(1_234),
            attempts: Some(2),
            wildcard: Some(false),
            cut: Some(true),
            wire: Some("AAE=".to_owned()),
            ..record(12, "www.example.com", "A", "NOERROR")
        };
        let soa = "ns.example.com. admin.example.com. 1 7200 3600 1209600 300";
        let nothing = DnsRecord {
            resolver: Some("[2001:db8::53]:5353".parse().unwrap()),
            protocol: Some(DnsProtocol::Tcp),
            flags: vec!["aa".into()],
            authorities: vec![data("example.com", "SOA", 300, soa)],
            rtt_us: Some(99),
            attempts: Some(1),
            ..record(13, "no.example.com", "AAAA", "NXDOMAIN")
        };
        let version = DnsData {
            class: Some("CH".into()),
            ..data("version.bind", "TXT", 0, "\"9.20\" \"\\195\\164\"")
        };
        let chaos = DnsRecord {
            qclass: Some("CH".into()),
            answers: vec![version],
            ..record(14, "version.bind", "TXT", "NOERROR")
        };
        let silent = DnsRecord {
            attempts: Some(3),
            ..record(15, "\\032.example", "MX", DnsRecord::TIMEOUT)
        };
        let invalid = record(16, "a..b", "A", DnsRecord::INVALID);
        [whole, nothing, chaos, silent, invalid].map(|record| Record::Dns(Box::new(record))).into()
    }

    #[test]
    fn the_golden_file_is_what_we_write() {
        let written: Vec<String> = [first(), second(), third()]
            .iter()
            .flatten()
            .map(|record| serde_json::to_string(record).unwrap())
            .collect();
        let golden = GOLDEN.last().unwrap();
        assert_eq!(written, golden.lines().collect::<Vec<_>>());
    }

    #[test]
    fn the_golden_files_of_all_versions_are_read() {
        let versions = [first(), second(), third()];
        for (version, golden) in GOLDEN.iter().enumerate() {
            let records: Vec<Record> = versions[..=version].concat();
            let read: Vec<Record> =
                golden.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(read, records);
        }
    }

    #[test]
    fn a_field_of_a_later_version_does_not_break_us() {
        let line = r#"{"type":"host","ts":"2026-11-24T08:00:00.000000Z","ip":"198.19.0.9","noise":true,"later":[1]}"#;
        assert!(serde_json::from_str::<Record>(line).is_ok());
    }
}
