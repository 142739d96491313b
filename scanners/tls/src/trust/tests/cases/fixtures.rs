//! Those that aws-lc-rs does not sign: `testdata/certificates/make.sh`.

use super::*;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../../testdata/certificates/", $name, ".der")).to_vec()
    };
}

pub(super) fn all(world: &World) -> Vec<Case> {
    let signed = |name, leaf: Vec<u8>, root: Vec<u8>, asked: &'static str| {
        world
            .of(name, leaf.clone())
            .with_chain(vec![leaf])
            .with_roots(vec![root])
            .asked(asked, true)
    };
    let own = |name, leaf: Vec<u8>, asked: &'static str, is_signed: Option<bool>| {
        let verdict = if is_signed == Some(true) {
            ChainTrust::SelfSigned
        } else {
            ChainTrust::UntrustedIssuer
        };
        world
            .of(name, leaf.clone())
            .with_chain(vec![leaf])
            .asked(asked, true)
            .own(true, is_signed)
            .is(verdict)
            .openssl(&[18])
    };
    let root = fixture!("rsa2048-issuer");
    vec![
        signed("zgrab2#714: a huge RSA exponent", fixture!("rsa-exponent"), root.clone(), "rsa-exponent.example.com"),
        signed("SHA-1", fixture!("sha1"), root.clone(), "sha1.example.com")
            .is(ChainTrust::Unsupported)
            .because("RFC 9155: a signature by SHA-1 counts for nothing; OpenSSL has a security level for that, which is off"),
        signed("MD5", fixture!("md5"), root, "md5.example.com")
            .is(ChainTrust::Unsupported)
            .because("as SHA-1"),
        signed("signed by RSA of 1,024 bits", fixture!("by-rsa1024"), fixture!("rsa1024-issuer"), "by-rsa1024.example.com")
            .is(ChainTrust::Unsupported)
            .because("as SHA-1"),
        own("self-signed by RSA of 1,024 bits and SHA-1", fixture!("self-sha1"), "self-sha1.example.com", Some(true)),
        own("self-issued by PSS with a long salt", fixture!("self-pss-long-salt"), "self-pss-long-salt.example.com", None),
        own("self-signed by PSS", fixture!("self-pss"), "self-pss.example.com", Some(true)),
        own("self-signed by secp256k1", fixture!("self-secp256k1"), "self-secp256k1.example.com", Some(true)),
        // No verifier of ours takes these, so nothing is said of who signed.
        own("self-issued by RSA of 16,384 bits", fixture!("self-rsa16384"), "self-rsa16384.example.com", None),
        own("self-issued by MD5", fixture!("self-md5"), "self-md5.example.com", None),
        own("self-issued by Ed448", fixture!("self-ed448"), "self-ed448.example.com", None),
        own("self-issued by DSA", fixture!("self-dsa"), "self-dsa.example.com", None),
        own("self-issued by a curve without a name", fixture!("self-explicit"), "self-explicit.example.com", None),
    ]
}
