//! mrpf-worker.

fn main() {}
