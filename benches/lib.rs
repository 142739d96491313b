//! Criterion benches of mrpf: see README.md for how to run and read them. Nothing is exported here.

#![forbid(unsafe_code)]
