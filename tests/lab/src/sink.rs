//! A far end that costs nearly nothing: an XDP program on a device that counts frames and drops them.
//!
//! For rate runs. What the kernel of the world would do with a frame, make a packet of it, route it and refuse it, costs more
//! than sending it; a sink does none of that, so that what is measured is the sender. ARP and IPv6 neighbour discovery pass.
//!
//! ```text
//! s0 --- veth ---> w0: sink --- counted, dropped
//!                       '------ ARP, ND ---> the kernel
//! ```
//!
//! The program is `tests/lab/bpf/sink.bpf.c`. Never answers: [`Synack`](crate::Synack) does.

use crate::{
    Namespace,
    xdp::{Attached, Counters, Object, XdpError},
};

const OBJECT: Object =
    Object { program: "sink", octets: aya::include_bytes_aligned!("../bpf/sink.bpf.o") };

/// An XDP program that drops all on its device, until this is dropped.
#[derive(Debug)]
pub struct Sink {
    _program: Attached,
    counters: Counters<4>,
}

/// What came to the device of a [`Sink`] since it was attached.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Frames counted and dropped.
    pub frames: u64,
    /// Their octets, from the Ethernet header on, without the frame check sequence.
    pub octets: u64,
    /// Of the frames, TCP SYNs over IPv4: SYN set and ACK not (RFC 9293), in a first or only fragment.
    pub syns: u64,
    /// ARP and neighbour discovery (RFC 826, RFC 4861): let through, and not among the frames.
    pub passed: u64,
}

impl Sink {
    /// Drops all that comes to `device` of `namespace` from now on.
    ///
    /// # Errors
    ///
    /// [`XdpError::NeedsRoot`] for an ordinary user, and for root of a user namespace; [`XdpError::Attach`] when there is no
    /// such device or it has an XDP program already.
    pub fn attach(namespace: &Namespace, device: &str) -> Result<Self, XdpError> {
        let mut program = OBJECT.attach(&[], namespace, device)?;
        Ok(Self { counters: program.counters()?, _program: program })
    }

    /// What came until now, all CPUs together.
    ///
    /// # Errors
    ///
    /// [`XdpError::Counts`] when the kernel refuses.
    pub fn counts(&self) -> Result<Counts, XdpError> {
        let [frames, octets, syns, passed] = self.counters.sum()?;
        Ok(Counts { frames, octets, syns, passed })
    }
}
