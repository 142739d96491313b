//! Hellos read back by a parser that shares nothing with what wrote them, and by rustls.
//!
//! ```text
//!  parsed.rs      the parser           profiles.rs  every name and salt, each profile     jarm.rs  the published program's octets
//!  retry.rs       the second hello     custom.rs    files, good and bad                   keys.rs  secrets
//!  handshake.rs   rustls accepts both hellos and has the same secret
//! ```

mod custom;
mod handshake;
mod jarm;
mod keys;
mod parsed;
mod profiles;
mod retry;

use std::sync::Arc;

use proptest::prelude::*;

use super::{Hello, JarmProbe, KeyShares, Profile, Salt};

const SALT: Salt = Salt { random: [0x11; 32], session_id: [0x22; 32] };

/// Profiles of ours, with both kinds of key shares where there are any.
fn ours() -> Vec<Hello> {
    let fresh = || Arc::new(KeyShares::fresh().unwrap());
    vec![
        Hello::new(Profile::Modern, Arc::new(KeyShares::identity())),
        Hello::new(Profile::Modern, fresh()),
        Hello::new(Profile::Tls12, fresh()),
        Hello::new(Profile::Legacy, fresh()),
    ]
}

fn jarms() -> Vec<Hello> {
    let shares = Arc::new(KeyShares::identity());
    let hello = |probe| Hello::new(Profile::Jarm(probe), Arc::clone(&shares));
    JarmProbe::ALL.map(hello).into()
}

fn written(hello: &Hello, salt: &Salt, name: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    hello.write(&mut out, salt, name);
    out
}

fn salts() -> impl Strategy<Value = Salt> {
    any::<([u8; 32], [u8; 32])>().prop_map(|(random, session_id)| Salt { random, session_id })
}

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
