//! The handle that everything AWS goes through.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig, timeout::TimeoutConfig};
use aws_sdk_sts::config::{Credentials, SharedHttpClient};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

use crate::{AwsError, Call, CallError, TellsRetries, thread::Thread};

const CONNECT: Duration = Duration::from_secs(5);
/// Longer than the longest poll, 20 s: a poll whose answer nobody reads has taken messages all the same.
const ANSWER: Duration = Duration::from_secs(30);
/// With the time that ten messages of a mebibyte take.
const ATTEMPT: Duration = Duration::from_secs(60);

/// A handle to the SDK and its thread; copies are of the same. The thread ends when the last is dropped and the last call is over.
#[derive(Clone, Debug)]
pub struct Aws {
    config: Arc<SdkConfig>,
    thread: Thread,
}

impl Aws {
    /// Starts the SDK as its environment says.
    ///
    /// # Errors
    ///
    /// [`AwsError::NoRegion`], [`AwsError::NoThread`].
    pub fn start() -> Result<Self, AwsError> {
        Self::load(aws_config::defaults(BehaviorVersion::latest()))
    }

    /// Starts the SDK for one endpoint of all services, whatever the environment says.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub fn start_at(place: &Place) -> Result<Self, AwsError> {
        let Place { endpoint, region, access_key_id, secret_access_key } = place;
        let credentials =
            Credentials::new(access_key_id, secret_access_key, None, None, "given by the program");
        Self::load(
            aws_config::defaults(BehaviorVersion::latest())
                .endpoint_url(endpoint)
                .region(Region::new(region.clone()))
                .credentials_provider(credentials),
        )
    }

    fn load(loader: ConfigLoader) -> Result<Self, AwsError> {
        let thread = Thread::start().map_err(|error| AwsError::NoThread(error.to_string()))?;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .read_timeout(ANSWER)
            .operation_attempt_timeout(ATTEMPT)
            .build();
        let loader = loader.timeout_config(timeouts);
        let config = thread.begin(async { loader.http_client(https()).load().await }).end()?;
        if config.region().is_none() {
            return Err(AwsError::NoRegion);
        }
        Ok(Self { config: Arc::new(config), thread })
    }

    /// What clients of services are made from.
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// Runs `future` as a task of its own on the SDK's thread, and waits for it. For plain threads, and `spawn_blocking`.
    ///
    /// # Errors
    ///
    /// [`AwsError::Ended`] when it panicked, [`AwsError::Inside`].
    pub fn call<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, AwsError> {
        self.begin(future).end()
    }

    /// Runs `future` as a task of its own on the SDK's thread; it goes on whether anybody waits for it or not.
    pub fn begin<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Call<T> {
        self.thread.begin(future)
    }

    /// Asks AWS who we are.
    ///
    /// # Errors
    ///
    /// [`AwsError::Call`], with what is wrong with the credentials.
    pub fn identity(&self) -> Result<Identity, AwsError> {
        let config = aws_sdk_sts::config::Builder::from(self.config()).interceptor(TellsRetries);
        let client = aws_sdk_sts::Client::from_conf(config.build());
        let asked = self.call(async move { client.get_caller_identity().send().await })?;
        let answer = asked.map_err(|error| CallError::of("STS GetCallerIdentity", &error))?;
        Ok(Identity {
            account: answer.account.unwrap_or_default(),
            arn: answer.arn.unwrap_or_default(),
        })
    }
}

fn https() -> SharedHttpClient {
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// Who we are to AWS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// The number of the account.
    pub account: String,
    /// The user, or the role with its session.
    pub arn: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of account {}", self.arn, self.account)
    }
}

/// Where AWS is, and who asks, when the environment is not to say: several may be had in one process.
#[derive(Clone)]
pub struct Place {
    /// Of all services, such as `http://127.0.0.1:5555`.
    pub endpoint: String,
    /// Such as `eu-central-1`.
    pub region: String,
    /// The public half of the key.
    pub access_key_id: String,
    /// The secret half.
    pub secret_access_key: String,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}
