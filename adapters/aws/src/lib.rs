//! The one thread of the AWS SDK: credentials, endpoint, retries, and calls from synchronous code.
//!
//! ```text
//!  plain threads                  |  the thread "mrpf-aws": one tokio runtime, on which all of the SDK runs
//!                                 |
//!  manager ----- call(future) ----+--> a task of its own ----> SQS, EC2, STS
//!  worker ------ begin(future) ---+--> a task of its own --'      ^
//!     ^                           |                               |
//!     '------- the answer --------+-------------------------------'
//! ```
//!
//! The platform is synchronous, on plain threads: its database client must not be called inside a runtime. The SDK is
//! asynchronous. They meet here and nowhere else. A call waits for no other call, however many polls are open.
//!
//! # What holds
//!
//! - Credentials, region, endpoints, retries are what the SDK's usual `AWS_*` variables and files say, and the role of the function,
//!   container or machine. Sign-on for people (SSO, external processes) is not built in.
//! - An attempt connects within 5 s and has an answer within 30 s, which is longer than the longest poll of 20 s.
//! - Three attempts, unless `AWS_MAX_ATTEMPTS` says otherwise, in the SDK's standard mode: what was throttled waits up to a second before the
//!   next, and longer after that; a budget shared by all calls of a service ends retries when nearly all of them fail.
//! - Each attempt after the first is a line in the log, where a client has [`TellsRetries`].
//! - An error says which call failed, the service's code, and what mends it. What a service says of a wrong signature is
//!   left out: it has the session's token in it.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod error;
mod retries;
mod sdk;
mod thread;

pub use self::{
    error::{AwsError, CallError, Reason},
    retries::TellsRetries,
    sdk::{Aws, Identity, Place},
    thread::Call,
};
