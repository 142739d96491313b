//! Programs that run in a lab and end with it.
//!
//! `setpriv --pdeathsig KILL` (util-linux, on every Debian) asks the kernel to kill the child when the thread that started
//! it ends (prctl(2), PR_SET_PDEATHSIG), by whatever end: so nothing outlives a lab that was killed. The thread is the
//! point: start a child from one that lives as long as the lab.

use std::{
    env,
    ffi::OsStr,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus},
};

use crate::{LabError, error::asking};

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

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, LabError> {
        self.0.try_wait().map_err(asking("waiting for a process of the lab"))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Both fail only for a child that ended and was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
