//! Bare-metal workers as child processes of the manager.
//!
//! ```text
//!  manager --launch(slot, generation)--> keeper thread --spawn--> worker: MRPF_INSTANCE, MRPF_SLOT, MRPF_PARENT
//!          --terminate-----------------> SIGTERM, after a grace SIGKILL        |
//!          <-list----------------------- who lives, who ended and how <--reap--'
//! ```
//!
//! Children die with the manager, however it ends: [`die_with_parent`] asks the kernel for it. The kernel means the *thread* that
//! made the child, so one thread makes them all and stays. After a restart of the manager nothing of the instances before it
//! is left, nor known.

use std::{
    collections::BTreeMap,
    env, fmt, io,
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use mrpf_ports::{Fleet, FleetError, Instance, InstanceId, InstanceState, LaunchError};
use nix::{
    sys::{prctl, signal},
    unistd::{Pid, getppid},
};

/// The environment variable with the instance id of a worker that was launched.
pub const INSTANCE: &str = "MRPF_INSTANCE";
/// The environment variable with the number of its slot.
pub const SLOT: &str = "MRPF_SLOT";
/// The environment variable with the process that a child is not to outlive.
pub const PARENT: &str = "MRPF_PARENT";

/// How often the keeper looks for children that have ended.
const LOOK: Duration = Duration::from_millis(100);
/// Instances that have ended and are still listed.
const REMEMBERED: usize = 64;

/// Makes this process end, by SIGKILL, when its parent does. To be called at the start of a child, and again after
/// anything that changes its credentials (`unshare` of a user namespace does): the kernel forgets it then. Without [`PARENT`]
/// in the environment nothing is asked for.
///
/// # Errors
///
/// [`Orphaned`] when the parent has gone already: the process is to end at once.
pub fn die_with_parent() -> Result<(), Orphaned> {
    let Some(parent) = env::var(PARENT).ok().and_then(|parent| parent.parse().ok()) else {
        return Ok(());
    };
    let asked = prctl::set_pdeathsig(signal::Signal::SIGKILL);
    // Looked at after the request: whoever goes from now on is noticed.
    if asked.is_ok() && getppid() == Pid::from_raw(parent) { Ok(()) } else { Err(Orphaned(parent)) }
}

/// The process that launched this one has gone.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("process {0}, which launched this one, has gone")]
pub struct Orphaned(i32);

/// A fleet of child processes.
pub struct LocalFleet {
    /// Taken when the fleet ends.
    orders: Option<Sender<Order>>,
    keeper: Option<JoinHandle<()>>,
}

enum Order {
    Launch((u32, u32), Sender<Result<InstanceId, LaunchError>>),
    List(Sender<Vec<Instance>>),
    Terminate(InstanceId),
}

impl LocalFleet {
    /// A fleet whose workers are started by the commands that `command` makes; each must become the worker itself, not have it for a
    /// child. It gets [`INSTANCE`], [`SLOT`] and [`PARENT`] and no input. A worker that is ended has `grace` from SIGTERM to SIGKILL; dropping the fleet ends all and waits for them.
    ///
    /// # Errors
    ///
    /// [`FleetError`] when there is no thread for it.
    pub fn new(
        command: impl Fn() -> Command + Send + 'static,
        grace: Duration,
    ) -> Result<Self, FleetError> {
        let (orders, received) = mpsc::channel();
        let born = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let keeper = Keeper {
            command: Box::new(command),
            grace,
            name: format!("local-{}-{born:x}", std::process::id()),
            workers: BTreeMap::new(),
        };
        let keeper = thread::Builder::new()
            .name("fleet".to_owned())
            .spawn(move || keeper.run(&received))
            .map_err(|error| FleetError(format!("no thread: {error}")))?;
        Ok(Self { orders: Some(orders), keeper: Some(keeper) })
    }

    fn order(&self, order: Order) -> Result<(), FleetError> {
        let sent = self.orders.as_ref().map(|orders| orders.send(order));
        if let Some(Ok(())) = sent { Ok(()) } else { Err(ended()) }
    }
}

fn ended() -> FleetError {
    FleetError("its keeper thread has ended".to_owned())
}

impl fmt::Debug for LocalFleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalFleet").finish_non_exhaustive()
    }
}

impl Fleet for LocalFleet {
    fn launch(&self, slot: u32, generation: u32) -> Result<InstanceId, LaunchError> {
        let (answer, answered) = mpsc::channel();
        let unknown = |error: FleetError| LaunchError::Unknown(error.0);
        self.order(Order::Launch((slot, generation), answer)).map_err(unknown)?;
        answered.recv().unwrap_or_else(|_| Err(unknown(ended())))
    }

    fn list(&self) -> Result<Vec<Instance>, FleetError> {
        let (answer, answered) = mpsc::channel();
        self.order(Order::List(answer))?;
        answered.recv().map_err(|_| ended())
    }

    fn terminate(&self, id: &InstanceId) -> Result<(), FleetError> {
        self.order(Order::Terminate(id.clone()))
    }
}

impl Drop for LocalFleet {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(keeper) = self.keeper.take() {
            // It has nothing to say; a panic of it has been printed.
            drop(keeper.join());
        }
    }
}

/// The thread that makes the children, and theirs.
struct Keeper {
    command: Box<dyn Fn() -> Command + Send>,
    grace: Duration,
    name: String,
    workers: BTreeMap<(u32, u32), Worker>,
}

struct Worker {
    id: InstanceId,
    born: Instant,
    life: Life,
}

enum Life {
    Lives(Child),
    /// It was told to end, and is made to then.
    Ends(Child, Instant),
    Gone(String),
}

impl Keeper {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let order = if self.has_children() {
                orders.recv_timeout(LOOK)
            } else {
                orders.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            self.reap();
            // A receiver that has gone wants no answer.
            match order {
                Ok(Order::Launch(slot, answer)) => drop(answer.send(self.launch(slot))),
                Ok(Order::List(answer)) => drop(answer.send(self.list())),
                Ok(Order::Terminate(id)) => self.terminate(|worker| worker.id == id),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.terminate(|_| true);
        while self.has_children() {
            thread::sleep(Duration::from_millis(10));
            self.reap();
        }
    }

    fn has_children(&self) -> bool {
        self.workers.values().any(|worker| !matches!(worker.life, Life::Gone(_)))
    }

    fn launch(&mut self, slot: (u32, u32)) -> Result<InstanceId, LaunchError> {
        if let Some(worker) = self.workers.get(&slot) {
            return Ok(worker.id.clone());
        }
        let id = InstanceId(format!("{}-{}.{}", self.name, slot.0, slot.1));
        let mut command = (self.command)();
        command
            .env(INSTANCE, &id.0)
            .env(SLOT, slot.0.to_string())
            .env(PARENT, std::process::id().to_string())
            .stdin(Stdio::null());
        let child = command.spawn().map_err(|error| {
            let why = format!("{}: {error}", command.get_program().display());
            match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
                    LaunchError::Refused(why)
                }
                _ => LaunchError::Exhausted(why),
            }
        })?;
        tracing::info!(instance = %id, pid = child.id(), "launched a worker");
        let worker = Worker { id: id.clone(), born: Instant::now(), life: Life::Lives(child) };
        self.workers.insert(slot, worker);
        Ok(id)
    }

    fn list(&self) -> Vec<Instance> {
        let instance = |(slot, worker): (&(u32, u32), &Worker)| {
            let (state, reason) = match &worker.life {
                Life::Lives(_) => (InstanceState::Live, None),
                Life::Ends(..) => (InstanceState::Ending, Some("terminated".to_owned())),
                Life::Gone(reason) => (InstanceState::Gone, Some(reason.clone())),
            };
            Instance { id: worker.id.clone(), slot: Some(*slot), state, reason }
        };
        self.workers.iter().map(instance).collect()
    }

    fn terminate(&mut self, which: impl Fn(&Worker) -> bool) {
        let end = Instant::now() + self.grace;
        for worker in self.workers.values_mut().filter(|worker| which(worker)) {
            worker.life = match std::mem::replace(&mut worker.life, Life::Gone(String::new())) {
                Life::Lives(child) => {
                    signal_to(&child, signal::Signal::SIGTERM);
                    Life::Ends(child, end)
                }
                other => other,
            };
        }
    }

    /// Takes note of children that have ended, and kills those that were told to long enough ago.
    fn reap(&mut self) {
        for worker in self.workers.values_mut() {
            let child = match &mut worker.life {
                Life::Lives(child) => child,
                Life::Ends(child, end) => {
                    if Instant::now() >= *end {
                        signal_to(child, signal::Signal::SIGKILL);
                    }
                    child
                }
                Life::Gone(_) => continue,
            };
            // An error means that it is no child of ours any more.
            let reason = match child.try_wait() {
                Ok(None) => continue,
                Ok(Some(status)) => how(status),
                Err(error) => error.to_string(),
            };
            tracing::info!(instance = %worker.id, reason, "a worker has ended");
            worker.life = Life::Gone(reason);
        }
        self.forget();
    }

    /// Keeps the list from growing with every launch.
    fn forget(&mut self) {
        let gone = |worker: &Worker| matches!(worker.life, Life::Gone(_));
        while self.workers.values().filter(|worker| gone(worker)).count() > REMEMBERED {
            let gone = self.workers.iter().filter(|(_, worker)| gone(worker));
            let Some(oldest) = gone.min_by_key(|(_, worker)| worker.born).map(|(slot, _)| *slot)
            else {
                return;
            };
            self.workers.remove(&oldest);
        }
    }
}

/// The child has not been waited for, so its number is still its own.
fn signal_to(child: &Child, signal: signal::Signal) {
    if let Ok(pid) = i32::try_from(child.id()) {
        // One that has just ended needs none.
        let _ = signal::kill(Pid::from_raw(pid), signal);
    }
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}
