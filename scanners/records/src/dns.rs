use std::{borrow::Cow, net::SocketAddr};

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What came of one question: one name and one type.
///
/// Every question ends in exactly one of these. Names are in presentation form (RFC 1035, section 5.1) without their final
/// dot, the root as `.`; octets that are no printable ASCII are `\DDD`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DnsRecord {
    /// When the answer arrived, or it was known that there will be none.
    pub ts: Timestamp,
    /// The name that was asked for, as it was given; for [`Self::INVALID`], what stood in its place.
    pub name: String,
    /// The type that was asked for: `A`, `TYPE65280`.
    pub qtype: Cow<'static, str>,
    /// The class that was asked for, unless it is `IN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qclass: Option<Cow<'static, str>>,
    /// The response code, upper bits included: `NOERROR`, `NXDOMAIN`, `RCODE12`; or why there is no answer, in the words of
    /// the constants below.
    ///
    /// A code other than `NOERROR` and `NXDOMAIN`, like a reason, is the last of what was tried.
    pub status: Cow<'static, str>,
    /// Who answered, or was asked last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolver: Option<SocketAddr>,
    /// What the answer came over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<DnsProtocol>,
    /// The flags of the answer that are on: `aa`, `tc`, `rd`, `ra`, `z`, `ad`, `cd`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<Cow<'static, str>>,
    /// The answer section: with CNAMEs, with any response code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<DnsData>,
    /// The authority section.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorities: Vec<DnsData>,
    /// The additional section, without what [`Self::edns`] is of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additionals: Vec<DnsData>,
    /// What the answer says in its OPT record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edns: Option<DnsEdns>,
    /// From the query that was answered to its answer, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// How many times it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u8>,
    /// The answer is that of a wildcard, which names that nobody made up have as well; left out when that was not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wildcard: Option<bool>,
    /// Some of the answer cannot be read: records are missing here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<bool>,
    /// The whole answer in base64, octet for octet: when it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire: Option<String>,
}

impl DnsRecord {
    /// Status: nobody answered in time.
    pub const TIMEOUT: &'static str = "TIMEOUT";
    /// Status: the network says that nobody will.
    pub const UNREACHABLE: &'static str = "UNREACHABLE";
    /// Status: the input is no name, and was not asked for.
    pub const INVALID: &'static str = "INVALID";
    /// Status: the answer does not fit into UDP, and TCP did not bring it.
    pub const TRUNCATED: &'static str = "TRUNCATED";
    /// Status: what came cannot be read as an answer.
    pub const MALFORMED: &'static str = "MALFORMED";

    /// A record with nothing that is optional.
    pub fn new(
        ts: Timestamp,
        name: String,
        qtype: Cow<'static, str>,
        status: Cow<'static, str>,
    ) -> Self {
        Self {
            ts,
            name,
            qtype,
            qclass: None,
            status,
            resolver: None,
            protocol: None,
            flags: Vec::new(),
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
            edns: None,
            rtt_us: None,
            attempts: None,
            wildcard: None,
            cut: None,
            wire: None,
        }
    }
}

/// One resource record of an answer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DnsData {
    /// Whose it is.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub rtype: Cow<'static, str>,
    /// Its class, unless it is `IN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Cow<'static, str>>,
    /// For how many seconds it is good.
    pub ttl: u32,
    /// Its data as a zone file has them: names with their final dot, strings in quotes, octets beyond ASCII as `\DDD`; in
    /// the form of RFC 3597 (`\# 2 abcd`) when the type is not known here, or the data do not have its form.
    pub data: String,
}

/// What an answer says in its OPT record (RFC 6891).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DnsEdns {
    /// The version; there is only 0.
    pub version: u8,
    /// The largest message that the server takes over UDP.
    pub udp_size: u16,
    /// DNSSEC records were wanted.
    pub dnssec_ok: bool,
    /// The options, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<DnsOption>,
}

/// One option of an OPT record.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DnsOption {
    /// Its number (IANA, "DNS EDNS0 Option Codes").
    pub code: u16,
    /// Its data in hex.
    pub data: String,
}

/// What an answer came over.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DnsProtocol {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

impl DnsProtocol {
    /// The word that records use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}
