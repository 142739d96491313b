//! A file that is replaced as a whole: whoever reads it, and whenever the machine stops, it is the old one or the new.

use std::{
    fmt::Debug,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Takes the place of what was kept before.
pub(crate) trait Keep: Debug {
    /// Keeps `bytes`, for good once it has returned.
    fn keep(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// A path, and beside it the temporary file `PATH.NAME.tmp`.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    path: PathBuf,
    /// Of whoever keeps something here: two of them do not share a temporary file.
    name: String,
    /// The file that may be replaced: the one that was there at first, and then ours.
    ours: Option<Identity>,
}

/// Tells one file from another that has come in its place.
type Identity = (u64, u64, i64, i64);

fn identity(facts: &fs::Metadata) -> Identity {
    // An inode can be given to the next file, which then has another time.
    (facts.dev(), facts.ino(), facts.mtime(), facts.mtime_nsec())
}

impl Place {
    /// What is there now may be replaced.
    pub(crate) fn new(path: &Path, name: &str) -> Self {
        let ours = fs::metadata(path).ok().map(|facts| identity(&facts));
        Self { path: path.to_owned(), name: name.to_owned(), ours }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// It and the temporary file.
    pub(crate) fn paths(&self) -> [PathBuf; 2] {
        [self.path.clone(), self.temporary()]
    }

    /// Whether a file can be made there. What a killed run of the same name has left behind is removed.
    pub(crate) fn try_out(&self) -> io::Result<()> {
        match fs::remove_file(self.temporary()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => self.make()?,
        };
        fs::remove_file(self.temporary())
    }

    /// The temporary file, new: a link that somebody put there is not written to.
    fn make(&self) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(self.temporary())
    }

    /// Puts the temporary file in the place of ours, and of no other.
    fn replace(&mut self, file: &File) -> io::Result<()> {
        match fs::metadata(&self.path) {
            Ok(facts) if self.ours != Some(identity(&facts)) => {
                return Err(io::Error::other("another scan keeps its checkpoint there"));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::rename(self.temporary(), &self.path)?;
        self.ours = Some(identity(&file.metadata()?));
        Ok(())
    }

    fn temporary(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".{}.tmp", self.name));
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
        let written =
            file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| self.replace(&file));
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
        let mut place = Place::new(&path, "0f");
        // What a run that was killed left behind.
        fs::write(folder.path().join("kept.0f.tmp"), "half a").unwrap();
        place.try_out().unwrap();
        assert!(!path.exists());
        place.keep(b"old").unwrap();
        place.keep(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_in_place_of_the_temporary_file_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        std::os::unix::fs::symlink(&precious, folder.path().join("kept.0f.tmp")).unwrap();
        assert!(Place::new(&folder.path().join("kept"), "0f").keep(b"new").is_err());
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
    }

    #[test]
    fn what_another_keeps_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        fs::write(&path, "of before").unwrap();
        let mut first = Place::new(&path, "1");
        first.keep(b"first").unwrap();
        first.keep(b"first again").unwrap();
        let mut second = Place::new(&path, "2");
        second.keep(b"second").unwrap();
        let error = first.keep(b"first once more").unwrap_err();
        assert!(error.to_string().contains("another scan"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"second");
        fs::remove_file(&path).unwrap();
        first.keep(b"first at last").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_kept_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Place::new(&folder.path().join("none/kept"), "0f").try_out().is_err());
        // A folder cannot be replaced by a file.
        let path = folder.path().join("folder");
        fs::create_dir(&path).unwrap();
        assert!(Place::new(&path, "0f").keep(b"new").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
