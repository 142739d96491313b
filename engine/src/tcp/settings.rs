//! How many flows there may be and how long they last.

use std::time::Duration;

use super::{assembly::MOST, buffers::Buffers, flow::Flow, index::Index};
use crate::{template::TcpProfile, wheel::Wheel};

/// What one thread's flows are bounded by.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most flows at once.
    pub flows: u32,
    /// Octets of all buffers together, rounded up to whole 64 KiB. When all are in use, data of other flows is not taken, and
    /// their hosts send it again.
    pub buffers: usize,
    /// Most octets kept of what one host says, at most 64 KiB.
    pub cap: u32,
    /// How long a flow may take altogether.
    pub deadline: Duration,
    /// How long nothing may happen.
    pub idle: Duration,
    /// What the SYNs offered: it decides what later segments must look like.
    pub profile: TcpProfile,
}

impl Default for Settings {
    /// 65,536 flows and 64 MiB of buffers; 64 KiB a host, 8 s a flow, 3 s of silence.
    fn default() -> Self {
        Self {
            flows: 1 << 16,
            buffers: 64 << 20,
            cap: MOST,
            deadline: Duration::from_secs(8),
            idle: Duration::from_secs(3),
            profile: TcpProfile::Windows,
        }
    }
}

impl Settings {
    /// Octets that the flows take at most. They are asked of the system at the start, and touched as they come into use.
    pub fn memory(&self) -> usize {
        let flows = self.flows as usize;
        let each = size_of::<Flow>() + Wheel::ENTRY_LEN;
        flows * each + Index::memory(flows) + Buffers::memory(self.buffers)
    }

    pub(super) fn check(&self) -> Result<(), FlowsError> {
        if self.flows == 0 || self.flows > u32::MAX / 2 {
            return Err(FlowsError::Flows(self.flows));
        }
        if self.cap == 0 || self.cap > MOST {
            return Err(FlowsError::Cap(self.cap));
        }
        if self.profile.offers_timestamps() {
            return Err(FlowsError::Timestamps(self.profile));
        }
        Ok(())
    }
}

/// Why there can be no flows. The texts name the mend.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum FlowsError {
    /// No table is so small or so large.
    #[error("{0} connections at once cannot be kept: give 1 to 2147483647")]
    Flows(u32),
    /// No buffer is so small or so large.
    #[error("{0} octets cannot be kept of a host: give 1 to 65536")]
    Cap(u32),
    /// The SYN promises what flows do not keep.
    #[error(
        "SYNs of profile {0} offer timestamps, which take 12 octets of every later segment and are not kept up: give windows or bare"
    )]
    Timestamps(TcpProfile),
    /// The system has no memory for it.
    #[error(
        "there are no {0} octets of memory for connections: give fewer connections or smaller buffers"
    )]
    Memory(usize),
}
