//! Frames through XDP programs: many times as many a second as through packet sockets, and answers that the kernel never sees.
//!
//! ```text
//! XdpTx   slots in a mapped BPF array -> one long BPF_PROG_TEST_RUN -> send.bpf.c -> bpf_redirect -> the driver
//! XdpRx   the driver -> receive.bpf.c: ours? -> ring buffer -> shown where it lies
//!                            '-- not ours, untouched -> the kernel
//! ```

mod choice;
mod facts;

pub use self::{
    choice::{Ask, Choice, LIVE_FROM, Purpose, Receive, Refusal, Send, Wish, WishError, choose},
    facts::{Capabilities, Channels, Facts, Features, Kernel},
};

/// Where a program meets the frames that an interface receives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// In the driver, before the kernel has made anything of them.
    Native,
    /// Behind the driver, whichever that is.
    Generic,
}
