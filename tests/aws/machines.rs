//! What happens on the machines that a platform launches: each has its metadata, and a worker that ends with it.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use mrpf_cloud::Imds;
use nix::sys::signal::Signal;

use crate::{
    account::Account,
    program::{Program, Variables},
};

/// How soon a machine that was launched comes up here.
const LOOK: Duration = Duration::from_millis(200);
/// From the end of its worker until a machine begins to shut down.
const OFF: Duration = Duration::from_secs(2);

/// Machines come up and go while this lives.
#[derive(Debug)]
pub(crate) struct Machines {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    is_over: AtomicBool,
    /// By instance; those that have ended keep their place and lose their worker.
    up: Mutex<BTreeMap<String, Up>>,
}

#[derive(Debug)]
struct Up {
    imds: Imds,
    worker: Option<Program>,
    /// When it switches itself off.
    off: Option<Instant>,
    log: String,
}

impl Machines {
    /// Brings up every machine of `account`, in the network namespace of the calling thread.
    pub(crate) fn watch(account: &Arc<Account>, variables: &Variables, folder: &Path) -> Self {
        let state = Arc::new(State { is_over: AtomicBool::new(false), up: Mutex::default() });
        let (account, variables, folder) =
            (Arc::clone(account), variables.clone(), folder.to_owned());
        let of_thread = Arc::clone(&state);
        let thread = thread::spawn(move || {
            while !of_thread.is_over.load(Relaxed) {
                look(&of_thread, &account, &variables, &folder);
                thread::sleep(LOOK);
            }
        });
        Self { state, thread: Some(thread) }
    }

    /// How many came up so far.
    pub(crate) fn came_up(&self) -> usize {
        self.state.up.lock().unwrap().len()
    }

    /// Those with a worker.
    pub(crate) fn at_work(&self) -> Vec<String> {
        let up = self.state.up.lock().unwrap();
        up.iter().filter(|(_, up)| up.worker.is_some()).map(|(id, _)| id.clone()).collect()
    }

    /// What the worker of a machine has said.
    #[track_caller]
    pub(crate) fn said(&self, id: &str) -> String {
        let up = self.state.up.lock().unwrap();
        let up = &up[id];
        up.worker.as_ref().map_or_else(|| up.log.clone(), Program::said)
    }

    /// EC2 wants a machine back in two minutes.
    #[track_caller]
    pub(crate) fn give_spot_notice(&self, id: &str) {
        self.state.up.lock().unwrap()[id].imds.give_spot_notice();
    }

    /// systemd ends the worker of a machine.
    #[track_caller]
    pub(crate) fn terminate(&self, id: &str) {
        let up = self.state.up.lock().unwrap();
        up[id].worker.as_ref().expect("a worker").signal(Signal::SIGTERM);
    }
}

fn look(state: &State, account: &Account, variables: &Variables, folder: &Path) {
    let machines = account.machines();
    let mut up = state.up.lock().unwrap();
    for machine in machines {
        let id = machine.instance.id.clone();
        match up.get_mut(&id) {
            None if machine.is_live => {
                let imds = Imds::start(machine.instance, account.clock()).unwrap();
                let mut variables = variables.clone();
                let endpoint = ("AWS_EC2_METADATA_SERVICE_ENDPOINT".to_owned(), imds.endpoint());
                variables.push(endpoint);
                let args = ["--keep-machine", "--allow-reserved"];
                let worker = Program::start("mrpf-worker", &args, &variables, folder);
                up.insert(id, Up { imds, worker: Some(worker), off: None, log: String::new() });
            }
            Some(Up { worker, off, log, .. }) => {
                let has_ended = match worker {
                    Some(program) if !machine.is_live => {
                        program.kill();
                        true
                    }
                    Some(program) => program.ended().is_some(),
                    None => false,
                };
                if has_ended && let Some(program) = worker.take() {
                    *log = program.said();
                    *off = Some(Instant::now() + OFF);
                }
                if off.is_some_and(|off| off <= Instant::now()) {
                    *off = None;
                    account.shut_down(&id);
                }
            }
            None => {}
        }
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        self.state.is_over.store(true, Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !thread::panicking()
        {
            panic!("no machine came up any more");
        }
    }
}
