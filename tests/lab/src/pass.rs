//! An XDP program that lets every frame through.
//!
//! A veth device takes frames that the program of another device sent back or redirected only when it receives in batches
//! itself, and a program on it makes it do that. So whoever is answered by a [`Synack`](crate::Synack), or has its frames
//! redirected to a world of real servers, needs this at the other end, unless it has a program of its own there.
//!
//! ```text
//! s0: pass <--- XDP_TX --- w0: synack          s0 --- redirected ---> w0: pass ---> the kernel, and its servers
//! ```
//!
//! Never looks at a frame, and counts none.

use crate::{
    Namespace,
    xdp::{Attached, Object, XdpError},
};

const OBJECT: Object =
    Object { program: "pass", octets: aya::include_bytes_aligned!("../bpf/pass.bpf.o") };

/// An XDP program that passes all on its device, until this is dropped.
#[derive(Debug)]
pub struct Pass {
    _program: Attached,
}

impl Pass {
    /// Has `device` of `namespace` take what is sent back or redirected to it.
    ///
    /// # Errors
    ///
    /// [`XdpError::NeedsRoot`] for an ordinary user, and for root of a user namespace; [`XdpError::Attach`] when there is no
    /// such device or it has an XDP program already.
    pub fn attach(namespace: &Namespace, device: &str) -> Result<Self, XdpError> {
        Ok(Self { _program: OBJECT.attach(&[], namespace, device)? })
    }
}
