//! The queue's suite on SQS in small and on moto, and what is SQS's own.

mod conformance;
mod faults;
mod moto;
mod open;
mod polls;
mod world;
