//! mrpf-manager.

fn main() {}
