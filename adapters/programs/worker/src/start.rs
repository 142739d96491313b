//! Who this machine is, and its connections: all that has to be there before the worker begins.

use std::{fmt::Display, time::Duration};

use mrpf_aws::{Aws, AwsError};
use mrpf_environment::{BareMetalQueues, DatabaseUrl, IdleTimeout};
use mrpf_ports::{
    Clock, InstanceId, QueueError, QueueName, StoreError,
    clock::{Wake, between},
};
use mrpf_postgres::PgStore;
use mrpf_sqs::Sqs;

use crate::{
    Args,
    imds::{Imds, ImdsError},
};

/// Before what failed is tried again.
const PAUSE: Duration = Duration::from_secs(10);

/// Who says what the machine is called.
#[derive(Debug)]
pub(crate) enum Identity {
    /// EC2.
    Ec2(Imds),
    /// Whoever started the worker.
    Named(InstanceId),
}

impl Identity {
    pub(crate) fn of(args: &Args) -> Result<Self, StartError> {
        match args.instance.as_deref().map(str::trim) {
            None => Ok(Self::Ec2(Imds::from_env()?)),
            Some("") => Err(StartError::NoName),
            Some(name) => Ok(Self::Named(InstanceId(name.to_owned()))),
        }
    }

    pub(crate) fn instance(&self) -> Result<InstanceId, ImdsError> {
        match self {
            Self::Ec2(imds) => imds.document().map(|document| InstanceId(document.instance_id)),
            Self::Named(name) => Ok(name.clone()),
        }
    }
}

/// What the worker works with.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) instance: InstanceId,
    pub(crate) own: Sqs,
    pub(crate) task_manager: Sqs,
    pub(crate) store: PgStore,
}

pub(crate) fn open(
    identity: &Identity,
    queues: &BareMetalQueues,
    database: &DatabaseUrl,
) -> Result<Opened, StartError> {
    let instance = identity.instance()?;
    let aws = Aws::start()?;
    Ok(Opened {
        instance,
        own: Sqs::open(&aws, QueueName::BareMetal, queues.bare_metal.as_str())?,
        task_manager: Sqs::open(&aws, QueueName::TaskManager, queues.task_manager.as_str())?,
        store: PgStore::open(database.reveal())?,
    })
}

/// Opens again and again, for as long as a worker without work would stay: a network or database may come up after the machine,
/// and one that cannot begin must not cost for longer than one that has nothing to do. `None` when `stop` was set first.
pub(crate) fn patiently<T, E: Display>(
    mut open: impl FnMut() -> Result<T, E>,
    idle: IdleTimeout,
    clock: &dyn Clock,
    stop: &Wake,
) -> Result<Option<T>, E> {
    let began = clock.now();
    while !stop.is_set() {
        match open() {
            Ok(opened) => return Ok(Some(opened)),
            Err(error) if between(began, clock.now()) >= idle.get() => return Err(error),
            Err(error) => tracing::warn!(%error, "the worker cannot begin yet; trying again"),
        }
        clock.sleep(PAUSE.min(idle.get()), stop);
    }
    Ok(None)
}

/// Why the worker cannot begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error(transparent)]
    Identity(#[from] ImdsError),
    #[error(
        "--instance is empty: give the name that a slot of the manager's has, or leave it out on EC2"
    )]
    NoName,
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use mrpf_ports::clock::after;
    use mrpf_records::Timestamp;

    use super::*;

    /// Time that passes in sleeps alone.
    #[derive(Debug)]
    struct Sleeps(Mutex<Timestamp>);

    impl Clock for Sleeps {
        fn now(&self) -> Timestamp {
            *self.0.lock().unwrap()
        }

        fn sleep(&self, duration: Duration, _: &Wake) {
            let mut now = self.0.lock().unwrap();
            *now = after(*now, duration);
        }
    }

    fn try_for(seconds: u32, succeeds_at: u32, stop: &Wake) -> (Result<Option<u32>, String>, u32) {
        let mut tries = 0;
        let open = || {
            tries += 1;
            if tries == succeeds_at { Ok(tries) } else { Err(format!("no {tries}")) }
        };
        let idle = IdleTimeout::from_secs(seconds).unwrap();
        (patiently(open, idle, &Sleeps(Mutex::new(Timestamp::from_unix_micros(0))), stop), tries)
    }

    #[test]
    fn a_worker_that_cannot_begin_tries_for_as_long_as_an_idle_one_stays() {
        let go = Wake::default();
        assert_eq!(try_for(300, 4, &go), (Ok(Some(4)), 4));
        assert_eq!(try_for(300, 0, &go), (Err("no 31".to_owned()), 31));
        assert_eq!(try_for(1, 0, &go), (Err("no 2".to_owned()), 2));
        let stop = Wake::default();
        stop.set();
        assert_eq!(try_for(300, 1, &stop), (Ok(None), 0));
    }
}
