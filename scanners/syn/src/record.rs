//! From what the engine found to what a person reads.

use mrpf_engine::scan::{Found, Outcome};
use mrpf_records::{Reason, State, SynRecord, Timestamp};

use crate::reply::{Reply, ReplyKind};

/// The record of `found`, which was known at `ts`.
pub(crate) fn record(found: &Found<Reply>, ts: Timestamp) -> SynRecord {
    let (state, reason) = match &found.outcome {
        Outcome::Reply(reply) => reply.state(),
        Outcome::Silent => (State::Silent, Reason::NoAnswer),
        Outcome::NoNeighbour => (State::Unreachable, Reason::NoNeighbour),
    };
    let target = found.target;
    let mut record = SynRecord::new(ts, target.addr, target.port, state, reason);
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
