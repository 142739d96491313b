//! A platform under way: the manager in threads of this process, workers in processes of their own.

use std::{
    env,
    ffi::OsString,
    path::Path,
    process::Command,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use mrpf_embedded::{LocalFleet, SqliteStore};
use mrpf_manager::{Dice, Manager, Outside, Settings, free_all_slots};
use mrpf_ports::{
    Queue, QueueName,
    clock::{SystemClock, Wake},
};
use mrpf_tasks::{Registry, WorkerClass};

use super::{
    Folder, PlatformError,
    folder::Held,
    staff::{GRACE, Staff},
};

/// What a platform is made of.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) folder: Folder,
    /// Most bare-metal workers at a time.
    pub(crate) max_bare_metal_workers: u32,
    pub(crate) external: u8,
    pub(crate) internal: u8,
    pub(crate) allow_reserved: bool,
    /// What workers find in their environment beside what this process has.
    pub(crate) variables: Vec<(&'static str, OsString)>,
}

/// Ends when dropped: workers give back what they have, and the manager stops.
#[derive(Debug)]
pub(crate) struct Running {
    store: Arc<SqliteStore>,
    staffs: Vec<Staff>,
    stop: Wake,
    manager: Option<JoinHandle<()>>,
    /// Last: nobody else may run this platform before everything of it has ended.
    _held: Held,
}

impl Running {
    pub(crate) fn start(options: &Options) -> Result<Self, PlatformError> {
        let folder = &options.folder;
        let held = folder.hold()?;
        let (queues, store) = (folder.open_queues()?, folder.open_store()?);
        // Bare-metal workers end with the process that held the folder.
        free_all_slots(&*store)?;
        let program = env::current_exe()
            .map_err(|source| PlatformError::Start { what: "workers of this program", source })?;
        let staff = |class, count| Staff::start(count, command(&program, class, options));
        let staffs = vec![
            staff(WorkerClass::External, options.external)?,
            staff(WorkerClass::Internal, options.internal)?,
        ];
        let fleet = LocalFleet::new(command(&program, WorkerClass::BareMetal, options), GRACE)?;
        let queue = |name| Arc::new(queues.get(name)) as Arc<dyn Queue>;
        let outside = Outside {
            store: store.clone(),
            external: queue(QueueName::External),
            internal: queue(QueueName::Internal),
            bare_metal: queue(QueueName::BareMetal),
            task_manager: queue(QueueName::TaskManager),
            fleet: Arc::new(fleet),
        };
        let settings = Settings {
            max_bare_metal_workers: options.max_bare_metal_workers,
            ..Settings::default()
        };
        let mut manager = Manager::new(outside, Registry::shipped(), settings, Dice::System);
        let stop = Wake::default();
        let stopping = stop.clone();
        let manager = thread::Builder::new()
            .name("manager".to_owned())
            .spawn(move || manager.run(&SystemClock, &stopping))
            .map_err(|source| PlatformError::Start { what: "the manager", source })?;
        Ok(Self { store, staffs, stop, manager: Some(manager), _held: held })
    }

    pub(crate) fn store(&self) -> &SqliteStore {
        &self.store
    }

    /// Whether the manager has ended, which it does only when told to.
    pub(crate) fn has_failed(&self) -> bool {
        self.manager.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.set();
        // All are asked before the first is waited for.
        self.staffs.iter().for_each(Staff::stop);
        if let Some(manager) = self.manager.take() {
            // The bare-metal workers of its fleet end with it.
            let _ = manager.join();
        }
        self.staffs.clear();
    }
}

/// How a worker of `class` is started.
fn command(
    program: &Path,
    class: WorkerClass,
    options: &Options,
) -> impl Fn() -> Command + Send + 'static {
    let program = program.to_owned();
    let Options { folder, allow_reserved, variables, .. } = options.clone();
    move || {
        let mut command = Command::new(&program);
        command.arg("worker").arg(class.as_str()).arg("--queue").arg(folder.queue());
        if class != WorkerClass::External {
            command.arg("--store").arg(folder.store());
        }
        if allow_reserved {
            command.arg("--allow-reserved");
        }
        command.envs(variables.iter().cloned());
        command
    }
}

/// How often somebody who waits for a platform looks.
pub(crate) const LOOK: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn external_workers_are_told_of_no_store() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::make(place.path()).unwrap();
        let store = folder.store();
        let options = Options {
            folder,
            max_bare_metal_workers: 1,
            external: 1,
            internal: 1,
            allow_reserved: true,
            variables: vec![("MRPF_LOG", "error".into())],
        };
        for class in [WorkerClass::External, WorkerClass::Internal, WorkerClass::BareMetal] {
            let command = command(Path::new("mrpf"), class, &options)();
            let args: Vec<_> = command.get_args().collect();
            assert_eq!(args[..2], ["worker", class.as_str()]);
            let has_store = args.iter().any(|arg| Path::new(arg) == store);
            assert_eq!(has_store, class != WorkerClass::External, "{args:?}");
            let envs: Vec<_> = command.get_envs().collect();
            assert_eq!(envs, [("MRPF_LOG".as_ref(), Some("error".as_ref()))]);
        }
    }
}
