//! The records of the scanners: one JSON object a line, read by programs that are not ours.
//!
//! ```text
//! {"type":"syn","ts":"2026-11-24T08:00:00.000123Z","ip":"198.19.0.7","port":80,"state":"open","reason":"syn-ack",...}
//! {"type":"host","ts":"2026-11-24T08:00:01.000456Z","ip":"198.19.0.9","noise":true}
//! ```
//!
//! # What holds
//!
//! - Every record has `type` and `ts`. Fields that are not known are left out, never null.
//! - Fields are only ever added. `testdata/` keeps one golden file per schema version, and today's code still reads all of them.
//! - Strings of closed sets (states, reasons) are lower case with hyphens; sets may grow.
//!
//! This crate does no I/O and knows nothing of packets: the scanners turn a reply into a record.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod host;
mod syn;
mod timestamp;

use serde::{Deserialize, Serialize};

pub use self::{
    host::HostRecord,
    syn::{Reason, State, SynRecord},
    timestamp::Timestamp,
};

/// The version of the record forms, raised when a field is added.
pub const SCHEMA_VERSION: u32 = 1;

/// Any record, as it stands on a line.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Record {
    /// What one port of one host answered to a SYN.
    Syn(SynRecord),
    /// Something that holds for a whole host.
    Host(HostRecord),
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    const GOLDEN: &str = include_str!("../testdata/v1.jsonl");

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(198, 19, 0, last).into()
    }

    fn ts(micros: u64) -> Timestamp {
        Timestamp::from_unix_micros(1_795_507_200_000_000 + micros)
    }

    /// One record of each kind that version 1 can write, with and without the optional fields.
    fn all() -> Vec<Record> {
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

    #[test]
    fn the_golden_file_is_what_we_write_and_read() {
        let written: Vec<String> =
            all().iter().map(|record| serde_json::to_string(record).unwrap()).collect();
        assert_eq!(written, GOLDEN.lines().collect::<Vec<_>>());
        let read: Vec<Record> =
            GOLDEN.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, all());
    }

    #[test]
    fn a_field_of_a_later_version_does_not_break_us() {
        let line = r#"{"type":"host","ts":"2026-11-24T08:00:00.000000Z","ip":"198.19.0.9","noise":true,"later":[1]}"#;
        assert!(serde_json::from_str::<Record>(line).is_ok());
    }
}
