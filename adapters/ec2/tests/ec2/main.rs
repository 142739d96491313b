//! The fleet with the real SDK: on a strict server with a fault script, and on moto.

mod capacity;
mod check;
mod conformance;
mod doubt;
mod moto;
mod region;
