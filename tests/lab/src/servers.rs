//! Programs that a test wants in the world: servers that nobody here wrote, as many as it likes.
//!
//! One thread starts them, waits until all listen and then holds them: the kernel kills them when it ends, whatever ends it.

use std::{
    env,
    ffi::OsStr,
    fmt,
    process::{Command, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    thread::{self, JoinHandle},
};

use crate::{
    LabError, Namespace,
    child::{self, Guard},
    error::asking,
};

/// A program, and where it will listen.
#[derive(Debug)]
pub struct Server {
    /// The program is looked for where servers lie, too. What it reads and writes on its standard streams is nothing, but for
    /// its last words when it does not come up: a few are kept, so it should be quiet.
    pub command: Command,
    /// Once these take connections, it is there.
    pub ports: Vec<u16>,
}

/// Servers that run until this is dropped. Drop it before the lab.
pub struct Servers {
    /// The end of the channel ends them.
    hold: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    pids: Vec<u32>,
}

impl Servers {
    /// Starts all of them in `world`, which is [`Lab::world`](crate::Lab::world), and waits until they listen.
    ///
    /// # Errors
    ///
    /// [`LabError::Server`] for the first that does not come up; none is left then.
    pub fn start(world: &Namespace, servers: Vec<Server>) -> Result<Self, LabError> {
        let world = world.try_clone()?;
        let (hold, held) = channel();
        let (tell, told) = channel();
        let body = move || serve(&world, servers, &tell, &held);
        let thread = thread::Builder::new()
            .name("lab-servers".to_owned())
            .spawn(body)
            .map_err(asking("starting a thread"))?;
        let mut servers = Self { hold: Some(hold), thread: Some(thread), pids: Vec::new() };
        servers.pids = told.recv().map_err(|_| LabError::WorldEnded)??;
        Ok(servers)
    }

    /// Their processes, in order.
    pub fn pids(&self) -> &[u32] {
        &self.pids
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Servers").finish_non_exhaustive()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.hold.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The body of the thread.
fn serve(
    world: &Namespace,
    servers: Vec<Server>,
    tell: &Sender<Result<Vec<u32>, LabError>>,
    held: &Receiver<()>,
) {
    let started = world.enter().and_then(|inside| Ok((start_all(servers)?, inside)));
    match started {
        Ok((running, _inside)) => {
            let _ = tell.send(Ok(running.iter().map(Guard::id).collect()));
            // Until all is dropped: then this is an error.
            let _ = held.recv();
        }
        Err(error) => {
            let _ = tell.send(Err(error));
        }
    }
}

/// All at once, then the wait: what many do to begin with takes its time.
fn start_all(servers: Vec<Server>) -> Result<Vec<Guard>, LabError> {
    let started: Result<Vec<_>, LabError> =
        servers.into_iter().map(|server| Ok((start(&server.command)?, server))).collect();
    let mut guards = Vec::new();
    for (mut guard, server) in started? {
        let name = server.command.get_program().to_string_lossy().into_owned();
        for port in server.ports {
            guard.listens(&name, port)?;
        }
        guards.push(guard);
    }
    Ok(guards)
}

fn start(command: &Command) -> Result<Guard, LabError> {
    let own = env::var_os("PATH").unwrap_or_default();
    let path = [OsStr::new(child::PATH), &own].join(OsStr::new(":"));
    let mut bound = child::bound_command(command.get_program())?;
    bound.args(command.get_args()).env("PATH", path);
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            bound.env(name, value);
        }
    }
    let spawned = bound.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    spawned.map(Guard::new).map_err(asking("starting a server of the lab"))
}
