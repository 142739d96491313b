//! What went wrong, in words for the person who can mend it.

use std::{error::Error, fmt};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};

/// Most letters of what a service says.
const MOST_SAID: usize = 300;
/// What these say holds the request, with the session's token in it.
const SAY_TOO_MUCH: [&str; 3] =
    ["IncompleteSignature", "InvalidSignatureException", "SignatureDoesNotMatch"];
const THROTTLED: [&str; 7] = [
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];
const NOT_ALLOWED: [&str; 4] =
    ["AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"];
const NOT_KNOWN: [&str; 9] = [
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "MissingAuthenticationToken",
    "RequestExpired",
    "UnrecognizedClient",
    "UnrecognizedClientException",
];

/// Why there is no SDK, or no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AwsError {
    /// A service refused, or could not be reached.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A call panicked, or its thread is gone.
    #[error("AWS: a call ended without an answer: it panicked, or the thread of the SDK has")]
    Ended,
    /// Somebody waits for a call where that very call would have to run.
    #[error("AWS: the thread of the SDK cannot wait for itself: await the future instead")]
    Inside,
    /// Neither the environment nor the machine says where we are.
    #[error("AWS: no region is known: set AWS_REGION, for example to eu-central-1")]
    NoRegion,
    /// The system is out of threads.
    #[error("AWS: the system gives no thread for the SDK: {0}")]
    NoThread(String),
}

/// A call of a service that failed, for good or after all attempts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CallError {
    /// Service and operation, such as `SQS SendMessageBatch`.
    pub call: &'static str,
    /// What kind of failure it is.
    pub reason: Reason,
    /// The service's own code, where it answered.
    pub code: Option<String>,
    /// Of its answer.
    pub status: Option<u16>,
    /// What it says, or what the connection came to; cut to a line, without secrets.
    pub said: String,
}

/// What kind of failure a failed call is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// There is nothing to sign requests with.
    NoCredentials,
    /// No connection, or it broke.
    Unreachable,
    /// No answer in time.
    TimedOut,
    /// We ask more often than we may.
    Throttled,
    /// Our credentials are not good.
    NotKnown,
    /// We are known, and may not.
    NotAllowed,
    /// The service will not do it.
    Refused,
    /// The service has trouble of its own.
    Trouble,
    /// An answer that is none of the service's.
    Unreadable,
}

impl CallError {
    /// Of what the SDK gives.
    pub fn of<E>(call: &'static str, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
        let message = error.as_service_error().and_then(ProvideErrorMetadata::message);
        let status = error.raw_response().map(|response| response.status().as_u16());
        let has_credentials = !causes(error).any(|cause| cause.is::<CredentialsError>());
        let reason = match error {
            _ if !has_credentials => Reason::NoCredentials,
            SdkError::TimeoutError(_) => Reason::TimedOut,
            SdkError::DispatchFailure(failure) if failure.is_timeout() => Reason::TimedOut,
            SdkError::ServiceError(_) => Reason::answered(code, status),
            // A proxy's page, or a balancer's.
            SdkError::ResponseError(_) if status.is_some_and(|status| status >= 500) => {
                Reason::Trouble
            }
            SdkError::ResponseError(_) => Reason::Unreadable,
            _ => Reason::Unreachable,
        };
        let said = match message {
            _ if code.is_some_and(|code| SAY_TOO_MUCH.contains(&code)) => String::new(),
            Some(message) => a_line(message),
            // The innermost cause says most: "Connection refused", not "dispatch failure".
            None if error.as_service_error().is_none() => {
                a_line(&causes(error).last().map(ToString::to_string).unwrap_or_default())
            }
            None => String::new(),
        };
        Self { call, reason, code: code.map(str::to_owned), status, said }
    }
}

impl Reason {
    fn answered(code: Option<&str>, status: Option<u16>) -> Self {
        // Some services put their name before it: KMS.ThrottlingException.
        let code = code.map(|code| code.rsplit('.').next().unwrap_or(code));
        let is_one_of = |codes: &[&str]| code.is_some_and(|code| codes.contains(&code));
        if is_one_of(&THROTTLED) || status == Some(429) {
            Self::Throttled
        } else if is_one_of(&NOT_ALLOWED) {
            Self::NotAllowed
        } else if is_one_of(&NOT_KNOWN) || is_one_of(&SAY_TOO_MUCH) {
            Self::NotKnown
        } else if status.is_some_and(|status| status >= 500) {
            Self::Trouble
        } else {
            Self::Refused
        }
    }

    /// What mends it.
    fn remedy(self) -> &'static str {
        match self {
            Self::NoCredentials => {
                "; give the machine or function a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            }
            Self::Unreachable => {
                "; check the network, the VPC endpoint or NAT, AWS_REGION and AWS_ENDPOINT_URL"
            }
            Self::TimedOut => "; check that security groups and the VPC endpoint let us through",
            Self::Throttled => {
                "; we ask more often than AWS lets us: run fewer, or ask for a quota"
            }
            Self::NotKnown => {
                "; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN or the role, and this machine's clock"
            }
            Self::NotAllowed => "; allow it in the policy of this role",
            Self::Refused => "",
            Self::Trouble => "; the service has trouble of its own: try again later",
            Self::Unreadable => "; check AWS_ENDPOINT_URL: what answers there is not AWS",
        }
    }
}

impl Error for CallError {}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, reason, code, status, said } = self;
        write!(f, "{call}: ")?;
        match (reason, code, status) {
            (Reason::NoCredentials, ..) => f.write_str("no credentials")?,
            (_, Some(code), Some(status)) => write!(f, "{code} ({status})")?,
            (_, None, Some(status)) => write!(f, "HTTP status {status}")?,
            (Reason::TimedOut, ..) => f.write_str("no answer in time")?,
            _ => f.write_str("no connection")?,
        }
        if !said.is_empty() {
            write!(f, ": {said}")?;
        }
        f.write_str(reason.remedy())
    }
}

/// An error, and what caused it, and so on.
pub(crate) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// What others say, fit for a log.
pub(crate) fn a_line(said: &str) -> String {
    let mut line: String =
        said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_SAID).collect();
    if said.chars().nth(MOST_SAID).is_some() {
        line.push_str(" ...");
    }
    line.trim().trim_end_matches('.').to_owned()
}
