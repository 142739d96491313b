//! mrpf-lambda-internal.

fn main() {}
