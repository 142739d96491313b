//! What a service answers instead of doing what it was asked.

/// An error of AWS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Failure {
    pub(crate) status: u16,
    /// As the service's list of errors has it; of SQS the code of its old protocol, which the SDK prefers.
    pub(crate) code: String,
    pub(crate) message: String,
    /// Only a wrong client gets this one.
    pub(crate) is_misuse: bool,
}

impl Failure {
    /// An error that a right client meets too.
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        let (code, message) = (code.to_owned(), message.into());
        Self { status: status_of(&code), code, message, is_misuse: false }
    }

    /// An error that says the client is wrong.
    pub(crate) fn misuse(code: &str, message: impl Into<String>) -> Self {
        Self { is_misuse: true, ..Self::new(code, message) }
    }
}

/// The HTTP status that AWS sends with a code: of the errors it calls its own 500 or 503, of the client's mostly 400.
pub(crate) fn status_of(code: &str) -> u16 {
    match code {
        "AuthFailure" => 401,
        "AccessDenied"
        | "AccessDeniedException"
        | "MissingAuthenticationToken"
        | "SignatureDoesNotMatch"
        | "UnauthorizedOperation" => 403,
        "DryRunOperation" => 412,
        "InsufficientAddressCapacity"
        | "InsufficientCapacity"
        | "InsufficientInstanceCapacity"
        | "InsufficientReservedInstanceCapacity"
        | "InternalError"
        | "InternalFailure"
        | "UnfulfillableCapacity" => 500,
        "RequestLimitExceeded" | "ServiceUnavailable" | "Unavailable" => 503,
        _ => 400,
    }
}
