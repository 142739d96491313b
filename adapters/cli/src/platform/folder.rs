//! The folder of a platform: its queues, its store, and who runs it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use mrpf_console::Place;
use mrpf_embedded::{QueueSettings, Queues, SqliteStore};
use mrpf_ports::ManagerStore;

use super::PlatformError;
use crate::{args::DataArgs, error::CliError};

/// A folder with `queue.db` and `store.db`.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

/// Held by the process that runs the platform of a folder.
#[derive(Debug)]
pub(crate) struct Held(File);

impl Folder {
    /// The folder of a platform that is, or was.
    pub(crate) fn existing(path: &Path) -> Result<Self, PlatformError> {
        let folder = Self(path.to_owned());
        match folder.store().try_exists() {
            Ok(true) => Ok(folder),
            Ok(false) => Err(PlatformError::NoPlatform(folder.0)),
            // A folder that may not be looked into may well have one.
            Err(source) => Err(PlatformError::Folder { path: folder.0, source }),
        }
    }

    /// The folder of a platform that is to be, made where it is not there.
    pub(crate) fn make(path: &Path) -> Result<Self, PlatformError> {
        let failed = |source| PlatformError::Folder { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(failed)?;
        // Children may have another working folder.
        let path = path.canonicalize().map_err(failed)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn queue(&self) -> PathBuf {
        self.0.join("queue.db")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.0.join("store.db")
    }

    pub(crate) fn open_queues(&self) -> Result<Queues, PlatformError> {
        Ok(Queues::open(writable(self.queue())?, QueueSettings::default())?)
    }

    pub(crate) fn open_store(&self) -> Result<Arc<SqliteStore>, PlatformError> {
        Ok(Arc::new(SqliteStore::open(writable(self.store())?)?))
    }

    /// Makes this process the one that runs the platform; the lock goes with the process.
    pub(crate) fn hold(&self) -> Result<Held, PlatformError> {
        let path = self.0.join("mrpf.pid");
        let failed = |source| PlatformError::Folder { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        if file.try_lock().is_err() {
            let mut pid = String::new();
            // Who it is, is for people; that it is somebody, is what counts.
            let _ = file.read_to_string(&mut pid);
            return Err(PlatformError::Taken { path: self.0.clone(), pid: pid.trim().to_owned() });
        }
        file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(failed)?;
        Ok(Held(file))
    }
}

impl Place for DataArgs {
    const PROGRAM: &'static str = "mrpf";
    type Error = CliError;

    fn existing(&self) -> Result<Arc<dyn ManagerStore>, CliError> {
        Ok(Folder::existing(&self.data)?.open_store()?)
    }

    fn make(&self) -> Result<Arc<dyn ManagerStore>, CliError> {
        Ok(Folder::make(&self.data)?.open_store()?)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Refuses a file of somebody else's, which SQLite would call read-only without a word of who may write it. Even to look
/// something up takes the right to write: readers note in a file of the folder what they read.
fn writable(path: PathBuf) -> Result<PathBuf, PlatformError> {
    match OpenOptions::new().write(true).open(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(PlatformError::Folder { path, source })
        }
        _ => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_runs_the_platform_of_a_folder() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::make(&place.path().join("a/b")).unwrap();
        let held = folder.hold().unwrap();
        let error = folder.hold().unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(held);
        assert!(folder.hold().is_ok());
    }

    #[test]
    fn a_folder_without_a_platform_says_how_to_start_one() {
        let place = tempfile::tempdir().unwrap();
        let error = Folder::existing(place.path()).unwrap_err().to_string();
        assert!(error.contains("mrpf up --data"), "{error}");
    }
}
