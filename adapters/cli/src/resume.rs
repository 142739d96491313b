//! `--resume FILE`: from a checkpoint back to a scan.
//!
//! ```text
//! output  |  lines that the checkpoint knows  |  lines written later  |  torn |
//!         0                              octets                      cut      end of file
//! ```
//!
//! What was written after the checkpoint stays, as it is true; it comes again, and is counted. A torn last line is cut.

use std::{
    fs::{self, File},
    io::{self, Seek as _, SeekFrom},
    os::fd::AsFd as _,
    path::Path,
};

use crate::{
    args::Format,
    checkpoint::{Checkpoint, damaged},
    error::CliError,
    files::STDOUT,
    output::{Form, Output},
    prepared::Prepared,
    saver::Before,
    words::Asked,
};

/// A scan that is to go on.
#[derive(Debug)]
pub(crate) struct Resumed {
    pub(crate) checkpoint: Checkpoint,
    /// What is known of the runs before.
    pub(crate) before: Before,
    /// What the output holds, if that can be known.
    found: Option<Found>,
}

impl Resumed {
    /// Reads a checkpoint.
    pub(crate) fn read(path: &Path) -> Result<Self, CliError> {
        let checkpoint = Checkpoint::read(path)?;
        let before = Before {
            mark: Some(checkpoint.mark),
            so_far: checkpoint.so_far.clone(),
            may_have_repeated: checkpoint.may_have_repeated.saturating_add(checkpoint.may_repeat),
            is_uncounted: checkpoint.uncounted
                || !checkpoint.closed && checkpoint.output.octets.is_none(),
        };
        Ok(Self { checkpoint, before, found: None })
    }

    /// The hash that the targets must have.
    pub(crate) fn fingerprint(&self, path: &Path) -> Result<u64, CliError> {
        u64::from_str_radix(&self.checkpoint.fingerprint, 16).map_err(|_| CliError::Checkpoint {
            path: path.to_owned(),
            why: damaged(&"its fingerprint is no number"),
        })
    }

    /// The scan as it was asked for, with what `later` gives again.
    pub(crate) fn asked(&self, later: &Asked) -> Result<Asked, CliError> {
        let kind = self.checkpoint.scanner;
        if kind != later.args.kind() {
            return Err(CliError::OtherScanner(kind));
        }
        let first = Asked::parse(kind, &self.checkpoint.command).map_err(CliError::Flags)?;
        first.with(later)
    }

    /// That the output of the flags is the one that the checkpoint of `path` knows.
    pub(crate) fn check_output(&self, output: Option<&Path>, path: &Path) -> Result<(), CliError> {
        let known = self.checkpoint.output.path.as_deref();
        if output.filter(|path| *path != Path::new("-")) == known {
            return Ok(());
        }
        Err(CliError::Checkpoint {
            path: path.to_owned(),
            why: damaged(&"its output is not that of its flags"),
        })
    }

    /// Looks at the output, which must be the one of the runs before, and leaves it as it is.
    pub(crate) fn examine(
        &mut self,
        prepared: Option<&Prepared>,
        format: Format,
    ) -> Result<(), CliError> {
        let path = prepared.map_or_else(|| Path::new(STDOUT), Prepared::path);
        let gone = |source| CliError::OutputGone { path: path.to_owned(), source };
        match prepared {
            Some(prepared) => {
                let is_file = prepared.file().metadata().map_err(gone)?.is_file();
                let known = self.checkpoint.output.octets.unwrap_or(0);
                if is_file { self.find(prepared.file(), path, known, format) } else { Ok(()) }
            }
            // What the shell has opened can mostly not be read: another look at the same file.
            None => match (self.checkpoint.output.octets, fs::metadata(STDOUT)) {
                (Some(known), Ok(facts)) if facts.is_file() => {
                    let file = File::open(STDOUT).map_err(gone)?;
                    self.find(&file, Path::new("standard output"), known, format)
                }
                // A file that is a pipe today: what went to it after the checkpoint cannot be counted any more.
                (Some(_), _) if !self.checkpoint.closed => {
                    self.before.is_uncounted = true;
                    Ok(())
                }
                _ => Ok(()),
            },
        }
    }

    fn find(
        &mut self,
        mut file: &File,
        path: &Path,
        known: u64,
        format: Format,
    ) -> Result<(), CliError> {
        let gone = |source| CliError::OutputGone { path: path.to_owned(), source };
        let changed = |why: String| CliError::OutputChanged { path: path.to_owned(), why };
        let found = look(&mut file, known).map_err(gone)?.map_err(changed)?;
        let header = u64::from(format == Format::Csv && known == 0);
        let later = found.lines.saturating_sub(header);
        self.before.may_have_repeated = self.before.may_have_repeated.saturating_add(later);
        self.before.so_far.records = self.before.so_far.records.saturating_add(later);
        self.found = Some(found);
        Ok(())
    }

    /// The output, cut after the last whole line that was found in it, to be written on.
    pub(crate) fn output(
        &self,
        prepared: Option<Prepared>,
        form: Form,
    ) -> Result<Output<File>, CliError> {
        let name = prepared.as_ref().map_or_else(
            || "standard output".to_owned(),
            |prepared| prepared.path().display().to_string(),
        );
        let gone = |source| CliError::OutputGone { path: name.clone().into(), source };
        let mut file = match prepared {
            Some(prepared) => prepared.into_file(),
            None => File::from(io::stdout().as_fd().try_clone_to_owned().map_err(gone)?),
        };
        let Some(found) = self.found else {
            return Ok(Output::again(file, name, form));
        };
        file.set_len(found.cut).and_then(|()| file.sync_all()).map_err(gone)?;
        file.seek(SeekFrom::Start(found.cut)).map_err(gone)?;
        if found.cut == 0 {
            return Ok(Output::new(file, name, form));
        }
        Ok(Output::again(file, name, form))
    }
}

/// What stands in an output behind the octets that a checkpoint knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Found {
    /// Whole lines.
    lines: u64,
    /// Where the last of them ends.
    cut: u64,
}

/// Reads what stands behind the first `known` octets; in words why these cannot be ours.
fn look(file: &mut (impl io::Read + io::Seek), known: u64) -> io::Result<Result<Found, String>> {
    let end = file.seek(SeekFrom::End(0))?;
    if end < known {
        return Ok(Err(format!("it has {end} octets, and had {known}")));
    }
    if known > 0 {
        let mut last = [0];
        file.seek(SeekFrom::Start(known - 1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            return Ok(Err(format!("no line ends after {known} octets, where one did")));
        }
    }
    file.seek(SeekFrom::Start(known))?;
    let mut found = Found { lines: 0, cut: known };
    let (mut at, mut piece) = (known, vec![0; 64 << 10]);
    loop {
        let n = match file.read(&mut piece) {
            Ok(0) => return Ok(Ok(found)),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        for (offset, _) in piece[..n].iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            found = Found { lines: found.lines + 1, cut: at + offset as u64 + 1 };
        }
        at += n as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, path::PathBuf};

    use super::*;
    use crate::{
        checkpoint::{Written, tests::checkpoint},
        kind::Kind,
        words::tests::asked,
    };

    fn resumed(octets: u64, path: &Path) -> (tempfile::TempDir, Resumed) {
        let folder = tempfile::tempdir().unwrap();
        let output = Written { path: Some(path.to_owned()), octets: Some(octets) };
        let file = folder.path().join("checkpoint");
        fs::write(&file, Checkpoint { output, ..checkpoint() }.to_json().unwrap()).unwrap();
        let resumed = Resumed::read(&file).unwrap();
        (folder, resumed)
    }

    /// What an output of `text` becomes when `known` octets are known, and how many lines come again.
    fn cut(text: &str, known: u64, format: Format) -> Result<(String, u64), CliError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        fs::write(&path, text).unwrap();
        let (_folder, mut resumed) = resumed(known, &path);
        let told = resumed.before.may_have_repeated;
        let prepared = Prepared::existing(&path)?;
        let examined = resumed.examine(Some(&prepared), format);
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "looking changes nothing");
        examined?;
        let form = Form::syn(format);
        let mut output = resumed.output(Some(prepared), form)?;
        assert!(output.flush().is_ok());
        let repeat = resumed.before.may_have_repeated - told;
        assert_eq!(resumed.before.so_far.records, repeat);
        Ok((fs::read_to_string(&path).unwrap(), repeat))
    }

    #[test]
    fn a_torn_last_line_is_cut_and_whole_lines_never_are() {
        for (text, known, left, again) in [
            ("", 0, "", 0),
            ("to", 0, "", 0),
            ("one\n", 4, "one\n", 0),
            ("one\ntwo\n", 4, "one\ntwo\n", 1),
            ("one\ntwo\nto", 4, "one\ntwo\n", 1),
            ("one\nto", 4, "one\n", 0),
            ("one\ntwo\nthree\n", 0, "one\ntwo\nthree\n", 3),
        ] {
            let found = cut(text, known, Format::Jsonl).unwrap();
            assert_eq!(found, (left.to_owned(), again), "{text:?} {known}");
        }
    }

    #[test]
    fn a_header_stands_once_whenever_the_scan_was_killed() {
        let header = crate::csv::header(Kind::Syn);
        let whole = format!("{header}a,b\n");
        for (text, known, left, again) in [
            ("", 0, header, 0),
            ("ts,i", 0, header, 0),
            (header, 0, header, 0),
            (&whole, 0, &whole, 1),
            (&whole, header.len() as u64, &whole, 1),
        ] {
            let found = cut(text, known, Format::Csv).unwrap();
            assert_eq!(found, (left.to_owned(), again), "{text:?} {known}");
        }
    }

    #[test]
    fn an_output_that_is_not_ours_is_left_alone() {
        for (text, known, words) in
            [("one\n", 9, "it has 4 octets, and had 9"), ("one\ntwo\n", 6, "no line ends after 6")]
        {
            let error = cut(text, known, Format::Jsonl).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert_eq!(error.exit_code(), mrpf_console::exit::USAGE);
        }
        let gone = Prepared::existing(Path::new("/no/such/out")).unwrap_err();
        assert!(gone.to_string().contains("put the output of this scan back"), "{gone}");
    }

    #[test]
    fn lines_longer_than_a_piece_are_found() {
        let mut file = tempfile::tempfile().unwrap();
        let line = "x".repeat(100_000);
        write!(file, "{line}\n{line}\n{line}").unwrap();
        assert_eq!(look(&mut file, 0).unwrap(), Ok(Found { lines: 2, cut: 200_002 }));
    }

    #[test]
    fn the_scan_is_the_one_of_the_checkpoint() {
        let (_folder, resumed) = resumed(0, &PathBuf::from("/x"));
        let both = resumed.asked(&asked("--resume f --rate 7")).unwrap();
        let args = both.args.scan().clone();
        assert_eq!((args.targets, args.ports), (vec!["198.19.0.0/24".into()], vec!["80".into()]));
        assert_eq!(args.rate.to_string(), "7");
        assert_eq!(resumed.fingerprint(Path::new("f")).unwrap(), 255);
        assert_eq!((resumed.before.mark, resumed.before.may_have_repeated), (Some(5), 7));
    }

    #[test]
    fn another_output_than_that_of_the_flags_is_damage() {
        let (_folder, resumed) = resumed(0, Path::new("/x"));
        let check =
            |output: Option<&str>| resumed.check_output(output.map(Path::new), Path::new("f"));
        assert!(check(Some("/x")).is_ok());
        for other in [Some("/y"), Some("-"), None] {
            assert_eq!(check(other).unwrap_err().exit_code(), mrpf_console::exit::USAGE);
        }
    }

    #[test]
    fn another_scanner_does_not_go_on_with_it() {
        let (_folder, mut resumed) = resumed(0, &PathBuf::from("/x"));
        resumed.checkpoint.scanner = Kind::Tls;
        let error = resumed.asked(&asked("--resume f")).unwrap_err();
        assert!(error.to_string().contains("mrpf tls --resume"), "{error}");
        assert_eq!(error.exit_code(), mrpf_console::exit::USAGE);
    }

    #[test]
    fn flags_that_nobody_knows_are_damage() {
        let (_folder, mut resumed) = resumed(0, &PathBuf::from("/x"));
        resumed.checkpoint.command = vec!["--no-such-flag".to_owned()];
        let error = resumed.asked(&asked("--resume f")).unwrap_err();
        assert_eq!(error.exit_code(), mrpf_console::exit::USAGE);
    }
}
