//! Frames through packet sockets (packet(7)): what every Linux has, and what a user and network namespace gives anyone.
//!
//! ```text
//! PacketTx   slots in one mapping -> sendmmsg(2), 64 at once -> the driver, past the queueing discipline
//! PacketRx   the device -> Filter, in the kernel -> TPACKET_V3 ring -> shown where it lies
//! ```
//!
//! # What holds
//!
//! - Both halves belong to the network namespace of the thread that opened them, and open only where the
//!   [fence] lets them.
//! - A receiver sees nothing that its filter does not pass, from its first frame on; a sender receives nothing.
//! - After they were opened neither half allocates.
//!
//! # VLAN tags
//!
//! The link shows frames untagged: the kernel takes the outermost IEEE 802.1Q tag off before it runs a filter, and it is not
//! put back. A tagged frame is sent as it was built.

mod filter;
mod rx;
mod tx;

use std::io;

use socket2::{Domain, Socket, Type};

pub use self::{
    filter::Filter,
    rx::{PacketRx, RingSize},
    tx::PacketTx,
};
use super::{LinkError, fence, interface::Interface};

/// A packet socket that receives nothing yet, on an interface that is there and up.
pub(super) fn open(interface: &Interface) -> Result<Socket, LinkError> {
    fence::enforce()?;
    let now = Interface::by_index(interface.index()).map_err(|error| match error {
        LinkError::Io { source, .. } if is_gone(source.raw_os_error()) => {
            gone(interface.name(), source)
        }
        error => error,
    })?;
    if !now.is_up() {
        let why = format!("is down; switch it on with: ip link set {} up", now.name());
        return Err(LinkError::Unusable { name: now.name().to_owned(), why });
    }
    // Protocol 0: with any other the socket would take in every frame from here on, before there is a filter.
    Socket::new(Domain::PACKET, Type::RAW, None).map_err(|source| match source.raw_os_error() {
        Some(libc::EPERM) => LinkError::Permission,
        _ => LinkError::Io { what: "opening a packet socket", source },
    })
}

/// Whether an errno means that the interface is down (ENETDOWN) or no longer there.
fn is_gone(errno: Option<i32>) -> bool {
    matches!(errno, Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV))
}

fn gone(name: &str, source: io::Error) -> LinkError {
    LinkError::Gone { name: name.to_owned(), source }
}

/// What an errno says of a link that was open.
pub(super) fn lost(name: &str, what: &'static str, errno: i32) -> LinkError {
    let source = io::Error::from_raw_os_error(errno);
    if is_gone(Some(errno)) { gone(name, source) } else { LinkError::Io { what, source } }
}
