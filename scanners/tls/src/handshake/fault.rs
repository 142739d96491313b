//! What hosts do wrong.

use thiserror::Error;

/// What a host did wrong, or what keeps us from reading on. Each says which layer it is of.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// A record that may not come here.
    #[error("record: type {0} where none such may be")]
    RecordType(u8),
    /// A record that is longer than records may be.
    #[error("record: {0} octets are too many")]
    RecordLength(u16),
    /// A protected record that does not open.
    #[error("record: it does not open with the keys of the handshake")]
    Sealed,
    /// A protected record of zeros (RFC 8446, section 5.4).
    #[error("record: no content behind the padding")]
    Padding,
    /// An alert that is not two octets.
    #[error("alert: not two octets")]
    Alert,
    /// A message that may not come here.
    #[error("handshake: message {0} where none such may be")]
    Unexpected(u8),
    /// A message that contradicts itself.
    #[error("handshake: message {0} is not built as it must be")]
    Message(u8),
    /// A message of an absurd length.
    #[error("handshake: message {0} is too long")]
    MessageLength(u8),
    /// A message behind which keys change, in the middle of a record (RFC 8446, section 5.1).
    #[error("handshake: octets behind a message that changes keys")]
    KeyChange,
    /// A version that does not exist or was not offered.
    #[error("ServerHello: version {0:#06x}")]
    Version(u16),
    /// A cipher suite of TLS 1.3 that was not offered.
    #[error("ServerHello: cipher suite {0:#06x} was not offered")]
    Suite(u16),
    /// A key share of a group that none was sent of (RFC 8446, section 4.2.8).
    #[error("ServerHello: a key share of group {0:#06x}, and none was sent")]
    Group(u16),
    /// A point that is none on the curve of the group.
    #[error("ServerHello: the key share is no point of group {0:#06x}")]
    Share(u16),
    /// A HelloRetryRequest that nothing can be answered to: a second one, one that changes nothing, or one for a group that was
    /// not offered or that it has a share of (RFC 8446, section 4.1.4).
    #[error("HelloRetryRequest: a second one, or one for what was not offered or is there")]
    Retry,
    /// No fault of the host: the hello was not made with our key shares, or offers a cipher suite or a group that is not ours.
    #[error("no keys: the hello offers a cipher suite, a group or a key share that is not ours")]
    NoKeys,
}
