//! The sum that SQS puts beside each message.

use md5::{Digest, Md5};

/// MD5 in hexadecimal.
pub(crate) fn md5_hex(octets: &[u8]) -> String {
    let sum = Md5::digest(octets);
    sum.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::md5_hex;

    /// RFC 1321, appendix A.5.
    #[test]
    fn sums_are_those_of_the_rfc() {
        assert_eq!(md5_hex(b""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(md5_hex(b"message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
    }
}
