//! Where the tasks of a queue run.

use std::future::Future;

use mrpf_aws::Aws;
use tokio::runtime::Handle;

/// A runtime: that of the program, or the SDK's thread, which lives for as long as this does and a task.
#[derive(Clone, Debug)]
pub(crate) enum Home {
    Runtime(Handle),
    Aws(Aws),
}

impl Home {
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        match self {
            Self::Runtime(runtime) => drop(runtime.spawn(future)),
            Self::Aws(aws) => drop(aws.begin(future)),
        }
    }
}
