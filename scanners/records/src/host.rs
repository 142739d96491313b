use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Something that holds for a whole host.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HostRecord {
    /// When it was known.
    pub ts: Timestamp,
    /// The host.
    pub ip: IpAddr,
    /// At least ten probed ports, and nine in ten of those probed, were open: a tarpit, a middlebox or a proxy that accepts
    /// every connection. What its ports say about services is worth little.
    pub noise: bool,
}
