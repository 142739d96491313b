use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What one port of one host answered to a SYN.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SynRecord {
    /// When the answer arrived, or silence was known.
    pub ts: Timestamp,
    /// The host that was asked.
    pub ip: IpAddr,
    /// The port that was asked.
    pub port: u16,
    /// What is known of the port.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// The IP time to live, or hop limit, of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u8>,
    /// The TCP window of the answer, unscaled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u16>,
    /// The maximum segment size that the answer offers, in octets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mss: Option<u16>,
    /// The TCP options of a SYN-ACK in their order: `mss=1460,sack,ts,nop,ws=7`; others as their kind number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<String>,
    /// From the probe to its answer, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// Which probe was answered, from 1; for silence, how many were sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u8>,
    /// Who sent the ICMP error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub responder: Option<IpAddr>,
    /// The host is known to answer on nearly every port: see [`crate::HostRecord`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<bool>,
}

impl SynRecord {
    /// A record with nothing that is optional.
    pub fn new(ts: Timestamp, ip: IpAddr, port: u16, state: State, reason: Reason) -> Self {
        Self {
            ts,
            ip,
            port,
            state,
            reason,
            ttl: None,
            window: None,
            mss: None,
            options: None,
            rtt_us: None,
            attempts: None,
            responder: None,
            noise: None,
        }
    }
}

/// What is known of a port.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Something accepts connections (or something on the way says so: a SYN-ACK proves no service).
    Open,
    /// The host refuses them.
    Closed,
    /// Something on the way says that the port cannot be reached.
    Unreachable,
    /// No probe was answered.
    Silent,
}

impl State {
    /// All states, best news first.
    pub const ALL: [Self; 4] = [Self::Open, Self::Closed, Self::Unreachable, Self::Silent];

    /// The word that records and flags use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Unreachable => "unreachable",
            Self::Silent => "silent",
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a [`State`] was concluded from.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// A SYN-ACK.
    SynAck,
    /// A RST.
    Rst,
    /// Nothing, in any attempt.
    NoAnswer,
    /// The host is on our link and nobody answered ARP or neighbour discovery for it; no probe was sent.
    NoNeighbour,
    /// ICMP 3/0, 3/6 or 3/11; ICMPv6 1/0.
    NetUnreachable,
    /// ICMP 3/1, 3/7 or 3/12; ICMPv6 1/3.
    HostUnreachable,
    /// ICMP 3/2; ICMPv6 4/1.
    ProtocolUnreachable,
    /// ICMP 3/3; ICMPv6 1/4.
    PortUnreachable,
    /// ICMP 3/9, 3/10 or 3/13; ICMPv6 1/1, 1/5 or 1/6: a filter says so.
    AdminProhibited,
    /// ICMP 11, ICMPv6 3: the probe went round in a circle or too far.
    TimeExceeded,
    /// Any other ICMP 3 or ICMPv6 1.
    OtherUnreachable,
}

impl Reason {
    /// The word that records use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SynAck => "syn-ack",
            Self::Rst => "rst",
            Self::NoAnswer => "no-answer",
            Self::NoNeighbour => "no-neighbour",
            Self::NetUnreachable => "net-unreachable",
            Self::HostUnreachable => "host-unreachable",
            Self::ProtocolUnreachable => "protocol-unreachable",
            Self::PortUnreachable => "port-unreachable",
            Self::AdminProhibited => "admin-prohibited",
            Self::TimeExceeded => "time-exceeded",
            Self::OtherUnreachable => "other-unreachable",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_records() {
        for state in State::ALL {
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{state}\""));
        }
        let reasons = [
            Reason::SynAck,
            Reason::Rst,
            Reason::NoAnswer,
            Reason::NoNeighbour,
            Reason::NetUnreachable,
            Reason::HostUnreachable,
            Reason::ProtocolUnreachable,
            Reason::PortUnreachable,
            Reason::AdminProhibited,
            Reason::TimeExceeded,
            Reason::OtherUnreachable,
        ];
        for reason in reasons {
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{reason}\""));
        }
    }
}
