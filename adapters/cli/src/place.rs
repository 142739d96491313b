//! A file that is replaced as a whole: whoever reads it, and whenever the machine stops, it is the old one or the new.

use std::{
    fmt::Debug,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Takes the place of what was kept before.
pub(crate) trait Keep: Debug {
    /// Keeps `bytes`, for good once it has returned.
    fn keep(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// A path, and beside it the temporary file `PATH.tmp`.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    path: PathBuf,
}

impl Place {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// It and the temporary file.
    pub(crate) fn paths(&self) -> [PathBuf; 2] {
        [self.path.clone(), self.temporary()]
    }

    /// Whether a file can be made there.
    pub(crate) fn try_out(&self) -> io::Result<()> {
        self.make()?;
        fs::remove_file(self.temporary())
    }

    /// The temporary file, new: what is left of one before, or a link that somebody put there, is not written to.
    fn make(&self) -> io::Result<File> {
        let path = self.temporary();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => OpenOptions::new().write(true).create_new(true).open(path),
        }
    }

    fn temporary(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".tmp");
        path.into()
    }

    fn folder(&self) -> &Path {
        self.path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or_else(|| Path::new("."))
    }
}

impl Keep for Place {
    fn keep(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.make()?;
        let written = file
            .write_all(bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(self.temporary(), &self.path));
        if written.is_err() {
            // Half a file is of no use to anyone.
            let _ = fs::remove_file(self.temporary());
        }
        written?;
        // The new name is on the disk once its folder is.
        File::open(self.folder())?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_one_stays_until_the_new_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        let mut place = Place::new(&path);
        place.try_out().unwrap();
        assert!(!path.exists());
        place.keep(b"old").unwrap();
        // What a run that was killed left behind.
        fs::write(folder.path().join("kept.tmp"), "half a").unwrap();
        place.keep(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_in_place_of_the_temporary_file_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        std::os::unix::fs::symlink(&precious, folder.path().join("kept.tmp")).unwrap();
        Place::new(&folder.path().join("kept")).keep(b"new").unwrap();
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
    }

    #[test]
    fn what_cannot_be_kept_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Place::new(&folder.path().join("none/kept")).try_out().is_err());
        // A folder cannot be replaced by a file.
        let path = folder.path().join("folder");
        fs::create_dir(&path).unwrap();
        assert!(Place::new(&path).keep(b"new").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
