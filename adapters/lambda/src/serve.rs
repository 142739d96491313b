//! The process: asks the Runtime API for invocations, one after the other, until it is told to end.

use std::{env, io, sync::Arc, time::Duration};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::{LambdaEvent, service_fn};
use mrpf_ports::clock::Wake;
use mrpf_records::Timestamp;
use mrpf_tasks::WorkerClass;
use mrpf_worker::Batch;
use tokio::{runtime::Builder, sync::Mutex, task::spawn_blocking, time::sleep};

use crate::answer;

/// What Lambda tells every function: where its Runtime API is, and who it is.
const OF_LAMBDA: [&str; 4] = [
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
];
/// For an answer to leave after the messages are let go of. Lambda gives a process half a second from SIGTERM on.
const ANSWER_LEAVES: Duration = Duration::from_millis(100);

/// A function.
#[derive(Debug)]
pub struct Function {
    /// Does the work.
    pub batch: Batch,
    /// The address of the queue that its messages come from.
    pub queue_url: String,
}

/// Answers invocations until Lambda ends the process. At SIGTERM runs are told to stop, what they had is given back, and
/// connections are closed, which a database would else hold open for hours.
///
/// # Errors
///
/// [`LambdaError`]: where this is not Lambda, or its Runtime API fails.
pub fn serve(function: Function) -> Result<(), LambdaError> {
    for name in OF_LAMBDA {
        // Its library would panic.
        if env::var_os(name).is_none_or(|value| value.is_empty()) {
            return Err(LambdaError::NotLambda(name));
        }
    }
    let Function { batch, queue_url } = function;
    let queue = queue_url.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    let function =
        Arc::new(Serving { batch, queue, stop: Wake::default(), busy: Mutex::default() });
    let runtime = Builder::new_current_thread().enable_all().build().map_err(LambdaError::Start)?;
    runtime.block_on(async {
        let ending = Arc::clone(&function);
        lambda_runtime::spawn_graceful_shutdown_handler(move || async move {
            ending.stop.set();
            drop(ending.busy.lock().await);
            sleep(ANSWER_LEAVES).await;
        })
        .await;
        let invoked = service_fn(|event| Arc::clone(&function).invoked(event));
        lambda_runtime::run(invoked).await.map_err(LambdaError::Runtime)
    })
}

struct Serving {
    batch: Batch,
    queue: String,
    stop: Wake,
    /// Held while messages are dealt with.
    busy: Mutex<()>,
}

impl Serving {
    async fn invoked(
        self: Arc<Self>,
        event: LambdaEvent<SqsEvent>,
    ) -> Result<SqsBatchResponse, lambda_runtime::Error> {
        let LambdaEvent { payload, context } = event;
        let deadline = Timestamp::from_unix_micros(context.deadline.saturating_mul(1_000));
        let (records, request) = (payload.records.len(), context.request_id);
        let function = Arc::clone(&self);
        let _busy = self.busy.lock().await;
        // Store and queues are synchronous, and their clients panic on a thread of the runtime.
        let answered = spawn_blocking(move || {
            answer(&function.batch, &function.queue, payload, deadline, &function.stop)
        });
        match answered.await? {
            Ok(response) => {
                let failures = response.batch_item_failures.len();
                tracing::info!(request, records, failures, "answered");
                Ok(response)
            }
            Err(error) => {
                tracing::error!(request, records, %error, "nothing was done");
                Err(error.into())
            }
        }
    }
}

/// Who a worker of `class` is, for people: the log stream, in which this instance of the function tells what it does.
pub fn worker_name(class: WorkerClass) -> String {
    let stream = env::var("AWS_LAMBDA_LOG_STREAM_NAME").ok().filter(|name| !name.is_empty());
    stream.unwrap_or_else(|| format!("lambda-{class}"))
}

/// Why a function does not answer.
#[derive(Debug, thiserror::Error)]
pub enum LambdaError {
    /// This is not Lambda.
    #[error(
        "{0} is not set: this program is started by AWS Lambda, as the bootstrap of a function"
    )]
    NotLambda(&'static str),
    /// The Runtime API failed.
    #[error("the Runtime API of Lambda: {0}")]
    Runtime(#[source] lambda_runtime::Error),
    /// The system gives no runtime.
    #[error("starting the runtime: {0}")]
    Start(#[source] io::Error),
}
