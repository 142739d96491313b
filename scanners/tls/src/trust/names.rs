use std::net::IpAddr;

use crate::certificate::{Alternative, Fields, SUBJECT_ALT_NAME, read_alternatives};

/// The certificate is for this name (RFC 9525, section 6).
///
/// Alternative names alone count; the common name has been none since RFC 6125. What cannot be read is for nobody.
///
/// webpki does the same for certificates that it takes, and the tests hold this to it; this takes all.
pub(crate) fn is_for(fields: &Fields<'_>, name: &str) -> bool {
    if let Ok(address) = name.parse() {
        return is_for_address(fields, address);
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    any(
        fields,
        |alternative| matches!(alternative, Alternative::Dns(presented) if matches(presented, name.as_bytes())),
    )
}

pub(super) fn is_for_address(fields: &Fields<'_>, address: IpAddr) -> bool {
    any(fields, |alternative| alternative == Alternative::Ip(address))
}

fn any(fields: &Fields<'_>, wanted: impl Fn(Alternative<'_>) -> bool) -> bool {
    let extension = fields.extension(SUBJECT_ALT_NAME).ok().flatten();
    extension.is_some_and(|extension| {
        read_alternatives(extension).map_while(Result::ok).take_while(is_known).any(wanted)
    })
}

/// Verifiers read no further than the first that is of no kind there is (RFC 5280, section 4.2.1.6).
fn is_known(alternative: &Alternative<'_>) -> bool {
    /// Other names, X.400 addresses and EDI parties; addresses of an odd length.
    const UNREAD: [u8; 4] = [0xa0, 0xa3, 0xa5, 0x87];
    !matches!(alternative, Alternative::Other(tag, _) if !UNREAD.contains(tag))
}

/// A presented name and one that was asked for, which has no wildcard.
///
/// A wildcard is a whole label, the first, and stands for one label (section 6.3). Two labels must follow it, as browsers,
/// OpenSSL and webpki ask: nobody has all of `*.com`.
fn matches(presented: &[u8], asked: &[u8]) -> bool {
    match presented {
        [b'*', b'.', parent @ ..] => {
            let mut halves = asked.splitn(2, |octet| *octet == b'.');
            let label = halves.next().unwrap_or_default();
            let has_two_labels =
                parent.split(|octet| *octet == b'.').filter(|l| !l.is_empty()).count() >= 2;
            !label.is_empty()
                && has_two_labels
                && halves.next().is_some_and(|rest| rest.eq_ignore_ascii_case(parent))
        }
        _ => !presented.is_empty() && presented.eq_ignore_ascii_case(asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_compared_whole() {
        let check = |presented: &str, asked: &str| matches(presented.as_bytes(), asked.as_bytes());
        assert!(check("a.example.com", "A.Example.COM"));
        assert!(check("*.example.com", "a.example.com"));
        assert!(check("*.example.com", "xn--bcher-kva.example.com"));
        for (presented, asked) in [
            ("*.example.com", "example.com"),
            ("*.example.com", "b.a.example.com"),
            ("*.example.com", ".example.com"),
            ("*.com", "example.com"),
            ("*.", "example."),
            ("*", "com"),
            ("a*.example.com", "ab.example.com"),
            ("*a.example.com", "ba.example.com"),
            ("a.*.com", "a.example.com"),
            ("*.*.com", "a.example.com"),
            ("example.com", "a.example.com"),
            ("example.com\0.evil.com", "example.com"),
            ("example.com.", "example.com"),
            ("", ""),
        ] {
            assert!(!check(presented, asked), "{presented} {asked}");
        }
    }
}
