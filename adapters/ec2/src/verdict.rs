//! What a launch that failed says about the launches that could be tried instead.
//!
//! ```text
//!  code                                          what it is about     what follows
//!  InsufficientInstanceCapacity, Unsupported     type and zone        the next combination
//!  InsufficientFreeAddressesInSubnet             subnet               the next combination elsewhere
//!  InvalidSubnetID.NotFound                      a setting            the same, and an alarm
//!  VcpuLimitExceeded, InstanceLimitExceeded      the account          types with fewer vCPUs alone
//!  RequestLimitExceeded                          the pace             the same again, after a while
//!  InternalError, Unavailable, no answer         nobody knows         the same again, with the same token
//!  UnauthorizedOperation, InvalidParameter*, ..  a setting            stop
//! ```
//!
//! A code that is not in the list is judged by its status. A server's error leaves open what the server did before it. A
//! refusal ends the launch: nobody has said that another type or zone would help, and a launch that goes on with a wrong
//! setting makes fifteen calls where one tells all. Whoever asked tries again later in any case.

use mrpf_aws::{AwsError, Reason};

/// What follows a launch that failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// There is no room for this type in this zone.
    NextCombination,
    /// Nothing can be launched in this subnet now, of whatever type.
    SubnetFull,
    /// There is no such subnet.
    SubnetMissing,
    /// The account may not have so many vCPUs: types that have fewer may still fit.
    FewerVcpusOnly,
    /// Too many requests; nothing was launched by this one.
    Slower,
    /// It may have been launched.
    InDoubt,
    /// It will not work until somebody changes a setting.
    Stop,
}

/// What AWS services say when there are too many requests.
const TOO_MANY: [&str; 9] = [
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// Codes of settings that are wrong, by how they begin. Most have a dot and more.
const WRONG: [&str; 10] = [
    "AuthFailure",
    "Blocked",
    "IdempotentParameterMismatch",
    "InvalidAMIID",
    "InvalidLaunchTemplate",
    "InvalidParameter",
    "OptInRequired",
    "PendingVerification",
    "RequestExpired",
    "UnauthorizedOperation",
];

/// What follows a launch that failed like this.
pub(crate) fn of(error: &AwsError) -> Verdict {
    let AwsError::Call(call) = error else {
        // It panicked, on its way or on the way back.
        return Verdict::InDoubt;
    };
    match (&call.code, call.status) {
        (Some(code), status) => verdict(code, status.unwrap_or(0)),
        (None, Some(status)) => verdict("", status),
        (None, None) if call.reason == Reason::NoCredentials => Verdict::Stop,
        (None, None) => Verdict::InDoubt,
    }
}

/// EC2's own code of an error.
pub(crate) fn code(error: &AwsError) -> Option<&str> {
    match error {
        AwsError::Call(call) => call.code.as_deref(),
        _ => None,
    }
}

/// What follows an error of `RunInstances` with this code and HTTP status.
pub(crate) fn verdict(code: &str, status: u16) -> Verdict {
    match code {
        "InsufficientInstanceCapacity"
        | "InsufficientHostCapacity"
        | "InsufficientReservedInstanceCapacity"
        | "SpotMaxPriceTooLow"
        | "UnfulfillableCapacity"
        | "Unsupported" => Verdict::NextCombination,
        "InsufficientFreeAddressesInSubnet" => Verdict::SubnetFull,
        "InvalidSubnetID.NotFound" => Verdict::SubnetMissing,
        "InstanceLimitExceeded" | "MaxSpotInstanceCountExceeded" | "VcpuLimitExceeded" => {
            Verdict::FewerVcpusOnly
        }
        "InternalError" | "Unavailable" => Verdict::InDoubt,
        _ if status == 429 || TOO_MANY.contains(&code) => Verdict::Slower,
        _ if WRONG.iter().any(|wrong| code.starts_with(wrong)) => Verdict::Stop,
        // A success without a readable body is one of those that may have been done.
        _ if !(300..500).contains(&status) => Verdict::InDoubt,
        _ => Verdict::Stop,
    }
}

#[cfg(test)]
mod tests {
    use mrpf_aws::{AwsError, CallError, Reason};

    use super::{Verdict, Verdict::*, of, verdict};

    /// The table of what AWS answers, row by row.
    const TABLE: &[(&str, u16, Verdict)] = &[
        ("InsufficientInstanceCapacity", 500, NextCombination),
        ("Unsupported", 400, NextCombination),
        ("UnfulfillableCapacity", 400, NextCombination),
        ("SpotMaxPriceTooLow", 400, NextCombination),
        ("InsufficientHostCapacity", 500, NextCombination),
        ("InsufficientReservedInstanceCapacity", 500, NextCombination),
        ("InsufficientFreeAddressesInSubnet", 400, SubnetFull),
        ("InvalidSubnetID.NotFound", 400, SubnetMissing),
        ("VcpuLimitExceeded", 400, FewerVcpusOnly),
        ("InstanceLimitExceeded", 400, FewerVcpusOnly),
        ("MaxSpotInstanceCountExceeded", 400, FewerVcpusOnly),
        ("RequestLimitExceeded", 503, Slower),
        ("Throttling", 400, Slower),
        ("EC2ThrottledException", 503, Slower),
        ("SomethingNew", 429, Slower),
        ("InternalError", 500, InDoubt),
        ("Unavailable", 503, InDoubt),
        ("ServiceUnavailable", 503, InDoubt),
        ("InternalFailure", 500, InDoubt),
        ("", 502, InDoubt),
        ("SomethingNew", 504, InDoubt),
        ("UnauthorizedOperation", 403, Stop),
        ("AuthFailure", 401, Stop),
        ("InvalidLaunchTemplateName.NotFoundException", 400, Stop),
        ("InvalidLaunchTemplateId.VersionNotFound", 400, Stop),
        ("InvalidAMIID.NotFound", 400, Stop),
        ("InvalidAMIID.Unavailable", 400, Stop),
        ("InvalidParameterValue", 400, Stop),
        ("InvalidParameterCombination", 400, Stop),
        ("InvalidParameter", 400, Stop),
        ("IdempotentParameterMismatch", 400, Stop),
        ("InvalidGroup.NotFound", 400, Stop),
        ("SomethingNew", 400, Stop),
        ("", 403, Stop),
    ];

    #[test]
    fn every_row_of_the_table() {
        for &(code, status, expected) in TABLE {
            assert_eq!(verdict(code, status), expected, "{code} ({status})");
        }
    }

    #[test]
    fn what_a_code_says_does_not_hang_on_its_status() {
        // 400 was seen where the text says 500; only codes that nobody knows are judged by it.
        for &(code, _, expected) in TABLE.iter().filter(|(code, ..)| !code.is_empty()) {
            let is_known = !["SomethingNew", "ServiceUnavailable", "InternalFailure"]
                .contains(&code)
                && !code.starts_with("InvalidGroup");
            for status in [400, 500, 503] {
                assert!(!is_known || verdict(code, status) == expected, "{code} ({status})");
            }
        }
    }

    #[test]
    fn what_has_no_code() {
        let failed = |reason, status| {
            let (call, said) = ("EC2 RunInstances", String::new());
            of(&AwsError::Call(CallError { call, reason, code: None, status, said }))
        };
        assert_eq!(failed(Reason::TimedOut, None), InDoubt);
        assert_eq!(failed(Reason::Unreachable, None), InDoubt);
        assert_eq!(failed(Reason::Trouble, Some(502)), InDoubt);
        assert_eq!(failed(Reason::NoCredentials, None), Stop);
        // An answer that nobody understands may say that it was done.
        assert_eq!(failed(Reason::Unreadable, Some(200)), InDoubt);
        assert_eq!(of(&AwsError::Ended), InDoubt);
    }
}
