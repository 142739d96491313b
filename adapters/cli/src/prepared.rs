//! Files that a command will write to, opened before it does anything else.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::error::CliError;

/// A file that will be written to, checked for that and not yet changed: a scan that cannot start must not cost the results
/// of the one before.
#[derive(Debug)]
pub(crate) struct Prepared {
    file: File,
    path: PathBuf,
    is_new: bool,
}

impl Prepared {
    /// Opens a file for writing; `flag` is the one that names it.
    pub(crate) fn open(flag: &'static str, path: &Path) -> Result<Self, CliError> {
        let create = || match OpenOptions::new().write(true).create_new(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Not truncated yet, and never appended to.
                Ok((OpenOptions::new().write(true).truncate(false).open(path)?, false))
            }
            created => created.map(|file| (file, true)),
        };
        let (file, is_new) =
            create().map_err(|source| CliError::Open { flag, path: path.to_owned(), source })?;
        // For those who would append to it while we write. Some file systems know no locks.
        let _ = file.try_lock();
        Ok(Self { file, path: path.to_owned(), is_new })
    }

    /// Opens a file that must be there, to be read and written on; not one that a scan is still writing to.
    ///
    /// What is no regular file is only written to. A pipe of a name that were opened for both would have its own writer for
    /// a reader: it would fill up with nobody there, and nobody would be told when the reader goes away.
    pub(crate) fn existing(path: &Path) -> Result<Self, CliError> {
        let open = || {
            let is_file = std::fs::metadata(path)?.is_file();
            OpenOptions::new().read(is_file).write(true).open(path)
        };
        let file =
            open().map_err(|source| CliError::OutputGone { path: path.to_owned(), source })?;
        let is_file = file.metadata().is_ok_and(|facts| facts.is_file());
        if is_file && matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(CliError::OutputInUse(path.to_owned()));
        }
        Ok(Self { file, path: path.to_owned(), is_new: false })
    }

    /// The path, if the file was not there before.
    pub(crate) fn new_path(&self) -> Option<PathBuf> {
        self.is_new.then(|| self.path.clone())
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The file as it is.
    pub(crate) fn into_file(self) -> File {
        self.file
    }

    /// Whether `other` is this very file. Devices and pipes can be shared.
    pub(crate) fn is(&self, other: &Path) -> bool {
        let (Ok(ours), Ok(theirs)) = (self.file.metadata(), other.metadata()) else { return false };
        ours.is_file() && (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Empties the file, from now on to be written.
    pub(crate) fn commit(self) -> io::Result<File> {
        if self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        Ok(self.file)
    }

    /// Leaves everything as it was.
    pub(crate) fn discard(self) {
        if self.is_new {
            // An empty file that stays behind does no harm.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_is_emptied_only_when_the_scan_starts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records");
        Prepared::open("-o", &path).unwrap().discard();
        assert!(!path.exists());
        std::fs::write(&path, "of before").unwrap();
        let prepared = Prepared::open("-o", &path).unwrap();
        assert!(prepared.is(&path) && !prepared.is(folder.path()));
        prepared.discard();
        assert_eq!(std::fs::read(&path).unwrap(), b"of before");
        Prepared::open("-o", &path).unwrap().commit().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn two_scans_do_not_append_to_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records");
        let first = Prepared::open("-o", &path).unwrap().commit().unwrap();
        let error = Prepared::existing(&path).unwrap_err();
        assert!(error.to_string().contains("still writes to"), "{error}");
        assert_eq!(error.exit_code(), mrpf_console::exit::USAGE);
        drop(first);
        let second = Prepared::existing(&path).unwrap();
        assert!(Prepared::existing(&path).is_err() && second.new_path().is_none());
        // Devices are everybody's.
        let device = Prepared::existing(Path::new("/dev/null"));
        assert!(Prepared::existing(Path::new("/dev/null")).is_ok() && device.is_ok());
    }

    #[test]
    fn a_named_pipe_is_not_its_own_reader() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // Opened for both, so that neither side waits for the other.
        let reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut file = Prepared::existing(&path).unwrap().into_file();
        drop(reader);
        let error = file.write(b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_a_usage_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = Prepared::open("-o", &folder.path().join("none/records")).unwrap_err();
        assert!(error.to_string().contains("give -o another path"), "{error}");
        assert_eq!(error.exit_code(), mrpf_console::exit::USAGE);
        assert!(Prepared::open("-o", folder.path()).is_err());
        // A device takes what it is given and is not emptied.
        assert!(Prepared::open("-o", Path::new("/dev/null")).unwrap().commit().is_ok());
    }
}
