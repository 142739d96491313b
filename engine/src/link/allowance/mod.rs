//! What the network behind an interface allows, and how often it was exceeded.
//!
//! An EC2 instance has allowances of packets, of bits and of tracked connections a second. What exceeds them is queued
//! or dropped below the driver, which says that it was sent: no other counter of this machine shows the loss. Amazon's
//! driver (ena) counts it by statistics that ethtool shows, and nothing else does; interfaces of other drivers have no
//! [`AllowanceSource`], which is no error.
//!
//! ```text
//! AllowanceSource::read --> Allowance --> Throttle::observe --> the rate that may be sent at
//! ```
//!
//! The source asks the system and judges nothing. The [`Throttle`] judges and asks nobody: time and numbers are arguments.

mod nic;
mod throttle;

use std::io;

pub use self::{nic::NicAllowance, throttle::Throttle};

/// Where the counters come from.
pub trait AllowanceSource: Send {
    /// The counters as of now. Not for the path of a packet: it takes as long as the driver takes to ask its device.
    ///
    /// # Errors
    ///
    /// What the system says when the interface is gone or its driver does not answer.
    fn read(&mut self) -> io::Result<Allowance>;
}

macro_rules! statistics {
    ($($(#[$doc:meta])* $field:ident = $name:literal,)*) => {
        /// The counters of an interface by the names that ena gives them; `None` is one that the driver does not have.
        ///
        /// But for `conntrack_available` they count packets since the device was started, and only grow.
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        pub struct Allowance { $($(#[$doc])* pub $field: Option<u64>,)* }

        impl Allowance {
            /// How many there can be.
            pub(crate) const COUNT: usize = [$($name),*].len();
            /// Their names in the driver, in the order of [`Self::fields`].
            pub const NAMES: [&str; Self::COUNT] = [$($name),*];

            /// Each counter with its name, in order: for a summary that cannot forget one.
            pub fn fields(&self) -> [(&'static str, Option<u64>); Self::COUNT] {
                [$(($name, self.$field)),*]
            }

            /// What two scans have exceeded together; what one of them cannot tell is what the other tells.
            #[must_use]
            pub fn plus(&self, other: &Self) -> Self {
                Self { $($field: self.$field.map(|own| own + other.$field.unwrap_or(0)).or(other.$field),)* }
            }

            /// Counters from their values in the order of [`Self::NAMES`].
            pub(crate) fn from_values(values: [Option<u64>; Self::COUNT]) -> Self {
                let [$($field),*] = values;
                Self { $($field),* }
            }
        }
    };
}

statistics! {
    /// Packets, both ways, over the packets a second of the instance.
    pps_exceeded = "pps_allowance_exceeded",
    /// Packets that arrived over its inbound bandwidth.
    bw_in_exceeded = "bw_in_allowance_exceeded",
    /// Packets that left over its outbound bandwidth.
    bw_out_exceeded = "bw_out_allowance_exceeded",
    /// Packets dropped since the security group can track no more connections. A rule that lets everything through both
    /// ways is not tracked, and then this does not grow.
    conntrack_exceeded = "conntrack_allowance_exceeded",
    /// Connections that it can still track.
    conntrack_available = "conntrack_allowance_available",
    /// Packets to the services of the link (DNS, time, metadata) over their packets a second.
    linklocal_exceeded = "linklocal_allowance_exceeded",
}

impl Allowance {
    /// Whether there is any.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
