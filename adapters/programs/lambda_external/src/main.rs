//! mrpf-lambda-external.

fn main() {}
