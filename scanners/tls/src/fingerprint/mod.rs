//! What software speaks TLS on a port, told by how it answers.
//!
//! ```text
//!  ja3s(ServerHello)               one answer      md5 of version, cipher, extensions
//!  jarm: 10 hellos -> 10 Answers   -> hash         30 digits of ciphers and versions, 32 of the rest
//! ```
//!
//! Both are told from the octets of the ServerHello as they came, never from what a parser made of them: order and
//! oddities are the point.
//!
//! Not here: fingerprints whose licence forbids what our users do (JA4S, JA4X, JA4TS), and names of software: tables of
//! those belong to who keeps them up to date.

mod ja3s;
pub mod jarm;

pub use self::ja3s::ja3s;

#[cfg(any(fuzzing, test, feature = "testing"))]
pub mod fuzzing;
#[cfg(test)]
mod tests;
