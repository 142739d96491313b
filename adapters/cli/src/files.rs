//! The files that a scan writes to, opened and told apart before anything is sent.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::{
    checkpoint::Checkpoint, error::CliError, place::Place, prepared::Prepared, words::AnyArgs,
};

/// Whatever standard output is, as a path.
pub(crate) const STDOUT: &str = "/proc/self/fd/1";

/// Ready to be written to, and not yet changed.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// None for standard output.
    pub(crate) output: Option<Prepared>,
    pub(crate) report: Option<Prepared>,
    pub(crate) checkpoint: Option<Place>,
}

impl Files {
    /// Opens what the flags name, for the scan of this name. The output of a scan that goes on must be there.
    pub(crate) fn prepare(all: &AnyArgs, scan: &str, is_resumed: bool) -> Result<Self, CliError> {
        let mut files = Self::default();
        match files.open(all, scan, is_resumed) {
            Ok(()) => Ok(files),
            Err(error) => {
                files.discard();
                Err(error)
            }
        }
    }

    fn open(&mut self, all: &AnyArgs, scan: &str, is_resumed: bool) -> Result<(), CliError> {
        let args = all.scan();
        if args.checkpoint.is_some() {
            check_lasting(all)?;
        }
        let output = args.output.as_deref().filter(|path| *path != Path::new("-"));
        let open = |path| match is_resumed {
            true => Prepared::existing(path),
            false => Prepared::open("-o", path),
        };
        self.output = output.map(open).transpose()?;
        let report = args.summary.as_deref();
        self.report = report.map(|path| Prepared::open("--summary", path)).transpose()?;
        let mut place = args.checkpoint.as_deref().map(|path| Place::new(path, scan));
        if let Some((one, other)) = self.clash(all, place.as_ref()) {
            return Err(CliError::SameFile(one, other));
        }
        if let Some(place) = &mut place {
            let path = place.path().to_owned();
            let open = |source| CliError::Open { flag: "--checkpoint", path: path.clone(), source };
            if !Checkpoint::may_replace(place.path()).map_err(open)? {
                return Err(CliError::NotACheckpoint(place.path().display().to_string()));
            }
            place.try_out().map_err(open)?;
        }
        self.checkpoint = place;
        Ok(())
    }

    /// Two flags whose file is one, which would be written to twice, or read from and written to.
    fn clash(&self, all: &AnyArgs, place: Option<&Place>) -> Option<(&'static str, &'static str)> {
        let written = [("-o", &self.output), ("--summary", &self.report)];
        let written =
            || written.into_iter().filter_map(|(flag, file)| Some((flag, file.as_ref()?)));
        let places = || place.into_iter().flat_map(Place::paths);
        for (flag, path) in all.inputs() {
            if let Some((other, _)) = written().find(|(_, file)| file.is(&path)) {
                return Some((flag, other));
            }
            if places().any(|place| are_one(&place, &path)) {
                return Some((flag, "--checkpoint"));
            }
        }
        if let Some((flag, _)) = written().find(|(_, file)| places().any(|place| file.is(&place))) {
            return Some((flag, "--checkpoint"));
        }
        let stdout = Path::new(STDOUT);
        if self.output.is_none() {
            if places().any(|place| are_one(&place, stdout)) {
                return Some(("standard output", "--checkpoint"));
            }
            if self.report.as_ref().is_some_and(|report| report.is(stdout)) {
                return Some(("standard output", "--summary"));
            }
        }
        let (output, report) = (self.output.as_ref()?, self.report.as_ref()?);
        output.is(report.path()).then_some(("-o", "--summary"))
    }

    /// The paths of files that were not there before.
    pub(crate) fn made(&self) -> Vec<PathBuf> {
        [&self.output, &self.report].into_iter().flatten().filter_map(Prepared::new_path).collect()
    }

    /// Leaves everything as it was.
    pub(crate) fn discard(self) {
        self.output.into_iter().chain(self.report).for_each(Prepared::discard);
    }
}

/// That the files which a scan needs again when it goes on can be opened again then.
pub(crate) fn check_lasting(all: &AnyArgs) -> Result<(), CliError> {
    for (flag, path) in all.inputs() {
        // What is not there at all is for those to tell who read it.
        let is_file = fs::metadata(&path).map_or(true, |facts| facts.is_file());
        if path != Path::new("-") && (is_of_process(&path) || !is_file) {
            return Err(CliError::NotLastingInput { flag, path });
        }
    }
    match all.scan().output.as_deref().filter(|path| is_of_process(path)) {
        Some(path) => Err(CliError::NotLastingOutput(path.to_owned())),
        None => Ok(()),
    }
}

/// Whether a path means something else in another process.
fn is_of_process(path: &Path) -> bool {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    ["/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/proc"]
        .iter()
        .any(|folder| whole.starts_with(folder))
}

/// Whether two paths lead to one regular file.
fn are_one(one: &Path, other: &Path) -> bool {
    let (Ok(one), Ok(other)) = (fs::metadata(one), fs::metadata(other)) else { return false };
    one.is_file() && (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(test)]
mod tests {
    use mrpf_console::exit::USAGE;

    use super::*;
    use crate::words::tests::asked;

    #[track_caller]
    fn check_refused(words: &str) -> CliError {
        let error = Files::prepare(&asked(words).args, "0f", false).unwrap_err();
        assert_eq!(error.exit_code(), USAGE, "{error}");
        error
    }

    #[test]
    fn one_file_is_not_read_and_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        std::fs::write(&path, "8.8.8.8:80\n").unwrap();
        let path = path.display();
        for words in [
            format!("-f {path} -o {path}"),
            format!("8.8.8.8:80 -o {path} --summary {path}"),
            format!("-f {path} --summary {path}"),
            format!("--scope {path} --checkpoint {path}"),
            format!("8.8.8.8:80 -o {path} --checkpoint {path}"),
            format!("8.8.8.8:80 --summary {path} --checkpoint {path}"),
        ] {
            let error = check_refused(&words);
            assert!(matches!(error, CliError::SameFile(..)), "{words}: {error}");
        }
        assert_eq!(std::fs::read_to_string(path.to_string()).unwrap(), "8.8.8.8:80\n");
    }

    #[test]
    fn the_temporary_file_of_a_checkpoint_is_not_the_output() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let path = path.display();
        let error = check_refused(&format!("8.8.8.8:80 -o {path}.0f.tmp --checkpoint {path}"));
        assert!(matches!(error, CliError::SameFile(..)), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
    }

    #[test]
    fn a_checkpoint_replaces_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        std::fs::write(&path, "precious").unwrap();
        for path in [path.as_path(), folder.path(), Path::new("/dev/null")] {
            let error = check_refused(&format!("8.8.8.8:80 --checkpoint {}", path.display()));
            assert!(matches!(error, CliError::NotACheckpoint(_)), "{error}");
        }
        check_refused("8.8.8.8:80 --checkpoint /no/such/folder/x");
    }

    #[test]
    fn what_cannot_be_opened_again_is_no_part_of_a_scan_that_may_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = folder.path().join("x");
        let checkpoint = checkpoint.display();
        for input in ["/dev/stdin", "/dev/fd/63", "/proc/self/fd/0", "/dev/null"] {
            for flag in ["-f", "--scope", "--exclude-file"] {
                let error = check_refused(&format!("a {flag} {input} --checkpoint {checkpoint}"));
                assert!(error.to_string().contains("or - for standard input"), "{error}");
            }
        }
        let error = check_refused(&format!("a -o /dev/fd/63 --checkpoint {checkpoint}"));
        assert!(error.to_string().contains("leave -o out"), "{error}");
        let words = format!("a -f - -o /dev/null --checkpoint {checkpoint}");
        assert!(Files::prepare(&asked(&words).args, "0f", false).is_ok());
    }

    #[test]
    fn what_was_made_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        std::fs::write(&old, "").unwrap();
        let words = format!("a -o {} --summary {}", old.display(), new.display());
        let files = Files::prepare(&asked(&words).args, "0f", false).unwrap();
        assert_eq!(files.made(), std::slice::from_ref(&new));
        files.discard();
        assert!(old.exists() && !new.exists());
    }
}
