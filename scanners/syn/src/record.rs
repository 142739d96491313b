//! From what the engine found to what a person reads.

use std::time::{Duration, SystemTime};

use mrpf_engine::{
    scan::{Found, Outcome},
    time::Instant,
};
use mrpf_records::{Reason, State, SynRecord, Timestamp};

use crate::reply::{Reply, ReplyKind};

/// The record of `found`, for a clock that started at `start`.
pub(crate) fn record(found: &Found<Reply>, start: SystemTime) -> SynRecord {
    let (state, reason) = match &found.outcome {
        Outcome::Reply(reply) => reply.state(),
        Outcome::Silent => (State::Silent, Reason::NoAnswer),
        Outcome::NoNeighbour => (State::Unreachable, Reason::NoNeighbour),
    };
    let target = found.target;
    let mut record =
        SynRecord::new(timestamp(found.at, start), target.addr, target.port, state, reason);
    record.rtt_us = found.rtt.map(|rtt| rtt.as_micros() as u64);
    record.attempts = (found.attempts > 0).then_some(found.attempts);
    if let Outcome::Reply(reply) = &found.outcome {
        record.ttl = Some(reply.ttl);
        match &reply.kind {
            ReplyKind::SynAck { window, options } => {
                record.window = Some(*window);
                record.mss = options.mss();
                record.options = (!options.as_bytes().is_empty()).then(|| options.to_string());
            }
            ReplyKind::Rst { window } => record.window = Some(*window),
            ReplyKind::Icmp { responder, .. } => record.responder = Some(*responder),
        }
    }
    record
}

pub(crate) fn timestamp(at: Instant, start: SystemTime) -> Timestamp {
    Timestamp::from(start + Duration::from_nanos(at.as_nanos()))
}
