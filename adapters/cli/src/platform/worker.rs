//! `mrpf worker CLASS`: one worker of this machine, started by `up` or by the manager's fleet.

use std::{env, fmt, sync::Arc};

use mrpf_console::exit::DONE;
use mrpf_embedded::{INSTANCE, QueueSettings, Queues, SqliteStore, die_with_parent};
use mrpf_environment::{IdleTimeout, Scans};
use mrpf_ports::{InstanceId, Power, QueueName, Runners, WorkerStore, clock::SystemClock};
use mrpf_tasks::WorkerClass;
use mrpf_worker::{Machine, Parts, Settings, Worker};

use super::PlatformError;
use crate::{args::WorkerArgs, error::CliError, signals};

/// Works until it is told to stop, or until it is idle and its machine may go.
pub(crate) fn run(args: &WorkerArgs) -> Result<u8, CliError> {
    work(args)?;
    Ok(DONE)
}

fn work(args: &WorkerArgs) -> Result<(), PlatformError> {
    die_with_parent()?;
    mrpf_environment::log::start();
    let (scans, idle) = mrpf_environment::read::<(Scans, IdleTimeout)>()?;
    let class = args.class;
    let queues = Queues::open(&args.queue, QueueSettings::default())?;
    let store = match &args.store {
        Some(path) => Some(Arc::new(SqliteStore::open(path)?) as Arc<dyn WorkerStore>),
        None => None,
    };
    let instance = env::var(INSTANCE).ok().filter(|_| class == WorkerClass::BareMetal);
    let name = instance.clone().unwrap_or_else(|| format!("{class}-{}", std::process::id()));
    let mut settings = Settings::new(class, name);
    let machine = instance
        .map(|instance| Machine { instance: InstanceId(instance), power: Arc::new(ProcessPower) });
    settings.idle = machine.is_some().then_some(idle);
    let parts = Parts {
        own: Arc::new(queues.get(QueueName::from(class))),
        task_manager: Arc::new(queues.get(QueueName::TaskManager)),
        store,
        runners: runners(args, scans)?,
        clock: Arc::new(SystemClock),
        machine,
    };
    let stop = signals::worker()
        .map_err(|source| PlatformError::Start { what: "the signal handlers", source })?;
    Worker::new(settings, parts)?
        .run(&stop)
        .map_err(|source| PlatformError::Start { what: "the threads of a worker", source })?;
    Ok(())
}

fn runners(args: &WorkerArgs, scans: Scans) -> Result<Runners, PlatformError> {
    let Scans { max_workers, max_rate } = scans;
    Ok(match args.class {
        WorkerClass::External => mrpf_external::runners(&mrpf_external::Settings::from_env()?),
        WorkerClass::Internal => mrpf_internal::runners(max_workers, max_rate.get()),
        WorkerClass::BareMetal => mrpf_bare_metal::runners(mrpf_bare_metal::Settings {
            max_rate,
            allow_reserved: args.allow_reserved,
            ..mrpf_bare_metal::Settings::default()
        }),
    })
}

/// The machine of a worker that shares it with others: its process, which ends when the worker has.
struct ProcessPower;

impl fmt::Debug for ProcessPower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProcessPower")
    }
}

impl Power for ProcessPower {
    fn off(&self) {
        // `run` returns, and the process with it.
    }
}

#[cfg(test)]
mod tests {
    use mrpf_tasks::Registry;

    use super::*;

    #[test]
    fn every_kind_of_task_has_a_worker_that_can_do_it() {
        let scans = mrpf_environment::read_from(|_| None).unwrap();
        for declared in Registry::shipped().iter() {
            let args = WorkerArgs {
                class: declared.class,
                queue: "queue.db".into(),
                store: None,
                allow_reserved: false,
            };
            let runners = runners(&args, scans).unwrap();
            assert!(runners.find(declared.name).is_some(), "nobody does {}", declared.name);
        }
    }
}
