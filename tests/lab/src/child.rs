//! Programs that run in a lab and end with it.
//!
//! `setpriv --pdeathsig KILL` (util-linux, on every Debian) asks the kernel to kill the child when the thread that started
//! it ends (prctl(2), PR_SET_PDEATHSIG), by whatever end: so nothing outlives a lab that was killed. The thread is the
//! point: start a child from one that lives as long as the lab.

use std::{
    env,
    ffi::OsStr,
    io::Read,
    net::{Ipv4Addr, SocketAddrV4, TcpStream},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use crate::{LabError, error::asking};

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where servers and tools lie: an ordinary user's PATH often lacks the first ones.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Looks for `program` in [`PATH`], then in the PATH of this process.
///
/// # Errors
///
/// [`LabError::Missing`] with the Debian package that has it.
pub(crate) fn find(program: &'static str, package: &'static str) -> Result<PathBuf, LabError> {
    let own = env::var_os("PATH").unwrap_or_default();
    env::split_paths(OsStr::new(PATH))
        .chain(env::split_paths(&own))
        .map(|folder| folder.join(program))
        .find(|file| {
            file.metadata()
                .is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
        })
        .ok_or(LabError::Missing { program, package })
}

/// A command that becomes `program` and gets SIGKILL when the calling thread ends.
pub(crate) fn bound_command(program: impl AsRef<OsStr>) -> Result<Command, LabError> {
    let mut command = Command::new(find("setpriv", "util-linux")?);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    Ok(command)
}

/// A child that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Guard(Child);

impl Guard {
    pub(crate) fn new(child: Child) -> Self {
        Self(child)
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, LabError> {
        self.0.try_wait().map_err(asking("waiting for a process of the lab"))
    }

    /// Waits until `port` takes connections, in the calling thread's namespace.
    ///
    /// # Errors
    ///
    /// [`LabError::Server`] with the last words of `program`, as far as its stderr is piped.
    pub(crate) fn listens(&mut self, program: &str, port: u16) -> Result<(), LabError> {
        let failed = |why| LabError::Server { program: program.to_owned(), why };
        let start = Instant::now();
        // By lo, so that the scanner's device counts nothing.
        let addr = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into();
        while TcpStream::connect_timeout(&addr, PATIENCE).is_err() {
            if self.ended()?.is_some() {
                return Err(failed(self.last_words()));
            }
            if start.elapsed() > PATIENCE {
                return Err(failed(format!("nothing listened on port {port} after {PATIENCE:?}")));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn last_words(&mut self) -> String {
        let mut words = String::new();
        if let Some(stderr) = &mut self.0.stderr {
            // What cannot be read is not said.
            let _ = stderr.read_to_string(&mut words);
        }
        let words = words.trim();
        if words.is_empty() { "it ended without a word".to_owned() } else { words.to_owned() }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Both fail only for a child that ended and was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
