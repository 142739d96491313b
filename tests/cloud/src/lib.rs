//! AWS in small, for tests.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod calls;
mod clock;
mod cloud;
mod digest;
mod draw;
mod failure;
mod fault;
mod form;
mod http;
mod moto;
mod sqs;
mod sts;

pub use self::{
    calls::{Call, Outcome},
    clock::Clock,
    cloud::Cloud,
    fault::{Answer, Fault, Faults},
    moto::Moto,
    sqs::{Depth, MessageView, QueueFaults, QueueSettings, Queues},
};

/// The region of the cloud.
pub const REGION: &str = "eu-central-1";
/// The account of the cloud.
pub const ACCOUNT: &str = "123456789012";
/// A key that the cloud takes, as it takes any.
pub const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
