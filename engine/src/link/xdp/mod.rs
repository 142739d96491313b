//! Frames through XDP programs: many times as many a second as through packet sockets, and answers that the kernel never sees.
//!
//! ```text
//! XdpTx   slots in a mapped BPF array -> one long BPF_PROG_TEST_RUN -> send.bpf.c -> bpf_redirect -> the driver
//! XdpRx   the driver -> receive.bpf.c: ours? -> ring buffer -> shown where it lies
//!                            '-- not ours, untouched -> the kernel
//! ```

mod pace;
mod redirect;
pub(super) mod ring;
mod runner;
mod tx;

pub use self::tx::XdpTx;
