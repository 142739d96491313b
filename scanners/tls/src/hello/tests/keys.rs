//! Secrets against those of whole agreements by aws-lc.

use aws_lc_rs::agreement::{
    self, Algorithm, ECDH_P256, ECDH_P384, ECDH_P521, PrivateKey, UnparsedPublicKey,
};

use super::super::{KeyShares, group};

const GROUPS: [(u16, &Algorithm, usize); 4] = [
    (group::X25519, &agreement::X25519, 32),
    (group::SECP256R1, &ECDH_P256, 32),
    (group::SECP384R1, &ECDH_P384, 48),
    (group::SECP521R1, &ECDH_P521, 66),
];

#[test]
fn the_secret_is_the_one_that_the_host_has() {
    for shares in [KeyShares::identity(), KeyShares::fresh().unwrap()] {
        for (group, algorithm, length) in GROUPS {
            for _ in 0..8 {
                let host = PrivateKey::generate(algorithm).unwrap();
                let ours = UnparsedPublicKey::new(algorithm, shares.public(group).unwrap());
                let theirs =
                    agreement::agree(&host, ours, (), |secret| Ok(secret.to_vec())).unwrap();
                assert_eq!(theirs.len(), length);
                let share = host.compute_public_key().unwrap();
                let secret = shares.shared_secret(group, share.as_ref()).unwrap();
                assert_eq!(secret.as_ref(), theirs, "{group:#06x}");
                assert_eq!(format!("{secret:?}"), format!("SharedSecret({length} octets)"));
            }
        }
    }
}

#[test]
fn fresh_shares_are_no_base_points_and_stay() {
    let (fresh, again, identity) =
        (KeyShares::fresh().unwrap(), KeyShares::fresh().unwrap(), KeyShares::identity());
    assert!(identity.is_identity() && !fresh.is_identity());
    for (group, ..) in GROUPS {
        assert_ne!(fresh.public(group), identity.public(group));
        assert_ne!(fresh.public(group), again.public(group));
        assert_eq!(fresh.public(group), fresh.public(group));
        assert_eq!(fresh.public(group).map(<[u8]>::len), identity.public(group).map(<[u8]>::len));
    }
}

#[test]
fn what_is_no_share_of_the_group_is_refused() {
    for shares in [KeyShares::identity(), KeyShares::fresh().unwrap()] {
        for (group, algorithm, _) in GROUPS {
            let host = PrivateKey::generate(algorithm).unwrap();
            let share = host.compute_public_key().unwrap().as_ref().to_vec();
            let refused = |share: &[u8]| shares.shared_secret(group, share).is_none();
            assert!(!refused(&share));
            assert!(refused(&[]));
            assert!(refused(&share[1..]));
            assert!(refused(&share[..share.len() - 1]));
            assert!(refused(&[&share[..], &[0]].concat()));
            assert!(refused(&vec![0; share.len()])); // of X25519: a point of small order
            if group == group::X25519 {
                continue;
            }
            for form in [0x00, 0x02, 0x03, 0x05, 0x06, 0x07] {
                let mut other = share.clone();
                other[0] = form;
                assert!(refused(&other), "{form:#04x}");
            }
            // Compressed: right for ECDH, and not a form of TLS 1.3.
            let odd = share[share.len() - 1] & 1;
            assert!(refused(&[&[2 + odd], &share[1..=share.len() / 2]].concat()));
        }
        for group in [0, 0x001e, 0x0100, 0x0a0a, 0x11ec] {
            assert!(shares.public(group).is_none());
            assert!(shares.shared_secret(group, &[4; 65]).is_none());
        }
    }
}
