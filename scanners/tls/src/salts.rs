//! What is drawn for each connection, from its address and ports, so that nothing need be kept to send a hello again.

use std::{
    hash::{Hash, Hasher},
    net::IpAddr,
};

use mrpf_engine::target::Target;
use siphasher::sip::SipHasher24;

use crate::hello::Salt;

/// Draws salts with a key of its own.
#[derive(Clone, Debug)]
pub(crate) struct Salts(SipHasher24);

impl Salts {
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        Self(SipHasher24::new_with_key(key))
    }

    /// The salt of the connection from `local_port` to `remote`: the same each time.
    pub(crate) fn of(&self, remote: Target, local_port: u16) -> Salt {
        let mut connection = self.0;
        match remote.addr {
            IpAddr::V4(addr) => connection.write_u32(addr.to_bits()),
            IpAddr::V6(addr) => addr.hash(&mut connection),
        }
        connection.write_u32(u32::from(remote.port) << 16 | u32::from(local_port));
        let mut salt = Salt { random: [0; 32], session_id: [0; 32] };
        let halves = salt.random.chunks_exact_mut(8).chain(salt.session_id.chunks_exact_mut(8));
        for (number, octets) in halves.enumerate() {
            let mut hasher = connection;
            hasher.write_u8(number as u8);
            octets.copy_from_slice(&hasher.finish().to_be_bytes());
        }
        salt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_has_a_salt_and_keeps_it() {
        let salts = Salts::new(&[7; 16]);
        let target = |last: u8, port| Target { addr: [198, 19, 0, last].into(), port };
        let first = salts.of(target(1, 443), 61_000);
        assert_eq!(first, salts.of(target(1, 443), 61_000));
        for other in [
            salts.of(target(2, 443), 61_000),
            salts.of(target(1, 444), 61_000),
            salts.of(target(1, 443), 61_001),
            Salts::new(&[8; 16]).of(target(1, 443), 61_000),
        ] {
            assert_ne!(first.random, other.random);
            assert_ne!(first.session_id, other.session_id);
        }
        assert_ne!(first.random, first.session_id);
        let v6 = |last| Target { addr: [0x2001, 0xdb8, 0, 0, 0, 0, 0, last].into(), port: 443 };
        assert_ne!(salts.of(v6(1), 61_000), salts.of(v6(2), 61_000));
    }
}
