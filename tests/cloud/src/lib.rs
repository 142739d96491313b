//! AWS in small, for tests: strict where AWS is strict, and as unreliable as a test asks.
//!
//! ```text
//!   program under test --SDK, HTTP--> Cloud --> SQS: Queues   duplicates, old handles, short polls that miss, lags
//!                                       |  '--> EC2: Ec2      capacity, client tokens, describe lag
//!                                       |  '--> STS             '--Event::Launched--> the test starts a worker
//!                                       |                                               '--HTTP--> Imds: who it is, spot notice
//!                     Faults, calls, Clock
//!
//!   function process --HTTP--> LambdaRuntime --HTTP--> a queue, of the Cloud or of Moto
//!
//!   Postgres: a database of one's own         Moto: a second opinion, where it is installed
//! ```
//!
//! All of it is on 127.0.0.1, on ports of its own, in threads of the test, and ends when it is dropped. A program finds it by
//! [`Cloud::environment`].
//!
//! **A wrong client fails.** Operations, parameters and members that are unknown, missing or of the wrong type are answered with
//! AWS's errors, and [`Cloud::misuses`] lists them, so that a test which goes well in spite of them does not. Real services
//! forgive more: JSON members that nobody knows are ignored there.
//!
//! **Time** is the real one until a test puts [`Clock`] forward: visibility timeouts, describe lags, boots and tokens follow it.
//! Long polls and the deadlines of Lambda take real time.
//!
//! | | modelled | not |
//! |---|---|---|
//! | HTTP | keep-alive, lengths, chunks, `Expect: 100-continue` | TLS, HTTP/2 |
//! | signatures | must be there, for this region and service | are not checked |
//! | SQS | standard queues; CreateQueue, GetQueueUrl, Get/SetQueueAttributes, SendMessage, ReceiveMessage, ChangeMessageVisibility, DeleteMessage and their batches; sizes, letters, long and short polls, delay, retention, redrive, OverLimit, errors of both protocols | FIFO, message attributes, tags, policies, KMS, purge, deletion by clients, the Query protocol |
//! | EC2 | RunInstances from launch templates, TerminateInstances, DescribeInstances, -Images, -InstanceTypes, -LaunchTemplateVersions, -Subnets; client tokens, dry runs, permissions, filters, pages, addresses, capacity at once and later, shutdown behaviour | what templates say beside image, type, subnet and shutdown behaviour; every other parameter of RunInstances; spot requests, stop and start |
//! | STS | GetCallerIdentity | |
//! | Lambda | runtime API for one process, registration of extensions, event source mappings with ReportBatchItemFailures, the 6 MB limit | more than one process, batching windows, scaling, SnapStart, ending a process that is late |
//! | metadata | version 2: tokens, identity document, some leaves, spot notice | version 1, credentials, user data, listings |
//!
//! Two things no document says, decided here as the stricter of what could be: a client token is bound to its parameters even
//! where the launch failed, and a change of visibility through an old handle is `ReceiptHandleIsInvalid`, of a message that is
//! gone `InvalidParameterValue`.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod calls;
mod clock;
mod cloud;
mod digest;
mod draw;
mod ec2;
mod failure;
mod fault;
mod form;
mod http;
mod imds;
mod lambda;
mod moto;
mod postgres;
mod sqs;
mod sts;

pub use self::{
    calls::{Call, Outcome},
    clock::Clock,
    cloud::Cloud,
    ec2::{Capacity, Ec2, Event, Instance, InstanceState, Template},
    fault::{Answer, Fault, Faults},
    imds::Imds,
    lambda::{EventSource, Function, Invocation, LambdaOutcome, LambdaRuntime, MappingError},
    moto::Moto,
    postgres::{Database, Postgres},
    sqs::{Depth, MessageView, QueueFaults, QueueSettings, Queues},
};

/// The region of the cloud.
pub const REGION: &str = "eu-central-1";
/// The account of the cloud.
pub const ACCOUNT: &str = "123456789012";
/// A key that the cloud takes, as it takes any.
pub const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
