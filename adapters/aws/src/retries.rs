//! A line in the log for each attempt after the first: calls that get through in the end are slow for a reason.

use aws_sdk_sts::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef},
    },
    error::BoxError,
};
use aws_smithy_runtime_api::client::{orchestrator::Metadata, retries::RequestAttempts};
use aws_smithy_types::config_bag::{Storable, StoreReplace};

use crate::error::{a_line, causes};

/// Says in the log which calls are tried again, and why. Belongs into the config of each client.
#[derive(Clone, Copy, Debug, Default)]
pub struct TellsRetries;

/// Why the attempt before failed.
#[derive(Debug)]
struct Failed(String);

impl Storable for Failed {
    type Storer = StoreReplace<Self>;
}

impl Intercept for TellsRetries {
    fn name(&self) -> &'static str {
        "TellsRetries"
    }

    fn read_before_attempt(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let attempt = config.load::<RequestAttempts>().map_or(1, RequestAttempts::attempts);
        if attempt > 1 {
            let call = config.load::<Metadata>();
            let (service, operation) =
                call.map_or(("?", "?"), |call| (call.service(), call.name()));
            let after = config.load::<Failed>().map_or("?", |failed| failed.0.as_str());
            tracing::warn!(%service, %operation, attempt, %after, "a call of AWS is tried again");
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(Err(error)) = context.output_or_error() {
            // An answer says what it is in its code, a broken connection in its last cause.
            let cause = match error.as_operation_error() {
                Some(refused) => refused.to_string(),
                None => causes(error).last().map(ToString::to_string).unwrap_or_default(),
            };
            let status = context.response().map(|response| response.status().as_u16());
            let status = status.map(|status| format!("{status} ")).unwrap_or_default();
            config.interceptor_state().store_put(Failed(status + &a_line(&cause)));
        }
        Ok(())
    }
}
