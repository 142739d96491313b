//! A command line as a checkpoint keeps it: the words, by the argument that they belong to.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

use clap::{Arg, ArgMatches, Args as _, FromArgMatches as _, parser::ValueSource};

use crate::{args::SynArgs, error::CliError};

/// What can be given again along with `--resume`, and holds from then on where it is not of one run.
const AGAIN: [&str; 7] =
    ["rate", "threads", "max_time", "max_results", "checkpoint", "quiet", "verbose"];
/// What is of one run, and not of the scan.
const OF_A_RUN: [&str; 5] = ["checkpoint", "resume", "dry_run", "quiet", "verbose"];
/// Arguments that are paths, which have to lead to the same file from any folder.
const PATHS: [&str; 5] = ["file", "exclude_file", "scope", "output", "summary"];

/// `mrpf syn` as it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) args: SynArgs,
    pub(crate) words: Words,
}

/// The arguments of a command line in the order of the help, each with its values. One that takes none has none.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Words(Vec<(String, Vec<OsString>)>);

impl Asked {
    /// What was read from the command line, and what the matches of `mrpf syn` say of it.
    pub(crate) fn new(args: SynArgs, matches: &ArgMatches) -> Self {
        Self { args, words: Words::of(matches) }
    }

    /// From the words of a checkpoint.
    pub(crate) fn parse(words: &[String]) -> Result<Self, clap::Error> {
        let command = SynArgs::augment_args(clap::Command::new("syn")).no_binary_name(true);
        let matches = command.try_get_matches_from(words)?;
        Ok(Self::new(SynArgs::from_arg_matches(&matches)?, &matches))
    }

    /// This scan, with what `later` gives again.
    pub(crate) fn with(&self, later: &Self) -> Result<Self, CliError> {
        if let Some((id, _)) =
            later.words.0.iter().find(|(id, _)| id != "resume" && !AGAIN.contains(&id.as_str()))
        {
            return Err(CliError::GivenAgain(shown(id)));
        }
        let mut words = self.words.clone();
        for (id, values) in &later.words.0 {
            words.set(id, values.clone());
        }
        let text = words.to_text()?;
        // Both halves were read before, and so can the whole be.
        let mut asked = Self::parse(&text).map_err(CliError::Flags)?;
        asked.args.checkpoint.clone_from(&later.args.checkpoint);
        asked.args.resume.clone_from(&later.args.resume);
        (asked.args.quiet, asked.args.verbose) = (later.args.quiet, later.args.verbose);
        Ok(asked)
    }
}

impl Words {
    fn of(matches: &ArgMatches) -> Self {
        let mut words = Vec::new();
        for arg in arguments() {
            let id = arg.get_id().as_str();
            if matches.value_source(id) != Some(ValueSource::CommandLine) {
                continue;
            }
            let values = matches.get_raw(id).into_iter().flatten();
            let values = values.map(|value| whole(id, value));
            words.push((id.to_owned(), if takes_values(&arg) { values.collect() } else { vec![] }));
        }
        Self(words)
    }

    /// Gives an argument its values, whatever it had.
    pub(crate) fn set(&mut self, id: &str, values: Vec<OsString>) {
        match self.0.iter_mut().find(|(known, _)| known == id) {
            Some((_, had)) => *had = values,
            None => self.0.push((id.to_owned(), values)),
        }
    }

    /// As words that can be parsed again, without what is of one run.
    pub(crate) fn to_text(&self) -> Result<Vec<String>, CliError> {
        let (mut flags, mut targets) = (Vec::new(), Vec::new());
        for arg in arguments() {
            let id = arg.get_id().as_str();
            let Some((_, values)) =
                self.0.iter().find(|(known, _)| known == id && !OF_A_RUN.contains(&id))
            else {
                continue;
            };
            match arg.get_long() {
                Some(long) if values.is_empty() => flags.push(format!("--{long}")),
                Some(long) => {
                    for value in values {
                        flags.push(format!("--{long}={}", text(value)?));
                    }
                }
                None => {
                    for value in values {
                        targets.push(text(value)?);
                    }
                }
            }
        }
        if !targets.is_empty() {
            flags.push("--".to_owned());
        }
        Ok(flags.into_iter().chain(targets).collect())
    }
}

fn arguments() -> Vec<Arg> {
    let command = SynArgs::augment_args(clap::Command::new("syn"));
    command.get_arguments().cloned().collect()
}

fn takes_values(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

/// How a user knows an argument.
fn shown(id: &str) -> String {
    let arg = arguments().into_iter().find(|arg| arg.get_id() == id);
    arg.and_then(|arg| arg.get_long().map(|long| format!("--{long}")))
        .unwrap_or_else(|| "a target".to_owned())
}

/// A path from the root; standard streams stay as they are.
fn whole(id: &str, value: &OsStr) -> OsString {
    if !PATHS.contains(&id) || value == "-" {
        return value.to_owned();
    }
    std::path::absolute(Path::new(value)).map_or_else(|_| value.to_owned(), OsString::from)
}

fn text(value: &OsStr) -> Result<String, CliError> {
    value.to_str().map(str::to_owned).ok_or_else(|| CliError::NotText(value.to_owned()))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;

    use super::*;

    pub(crate) fn asked(words: &str) -> Asked {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        Asked::parse(&words).unwrap()
    }

    #[test]
    fn words_come_back_as_they_were() {
        let first = asked(
            "198.19.0.0/24 host.example -p 80,443 -p - -f - --exclude=c --rate 1.5M --cooldown 0.25 --allow-reserved \
             --source-ip 198.18.0.1 --source-ip 2001:db8::1 --seed 7 --shard 2/5 --no-rst",
        );
        let text = first.words.to_text().unwrap();
        let again = Asked::parse(&text).unwrap();
        assert_eq!(again.words, first.words);
        assert_eq!(format!("{:?}", again.args), format!("{:?}", first.args));
        assert!(text.contains(&"--ports=-".to_owned()) && text.contains(&"--file=-".to_owned()));
        assert!(!text.iter().any(|word| word.starts_with("--retries")), "a default is not a word");
    }

    #[test]
    fn paths_lead_to_the_same_files_from_any_folder() {
        let text = asked("-f hosts.txt -o out.jsonl --summary /x/y").words.to_text().unwrap();
        let here = std::env::current_dir().unwrap();
        let path = |name: &str| here.join(name).display().to_string();
        let expected = [
            format!("--file={}", path("hosts.txt")),
            format!("--output={}", path("out.jsonl")),
            "--summary=/x/y".to_owned(),
        ];
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_of_one_run_is_not_kept() {
        let text = asked("a --checkpoint x --resume y --dry-run").words.to_text().unwrap();
        assert_eq!(text, ["--", "a"]);
    }

    #[test]
    fn some_flags_can_be_given_again_and_hold() {
        let first = asked("a -p 80 --rate 5 --max-time 3 -q --checkpoint old");
        let again = asked("--resume x --rate 9 --threads 2 -v --checkpoint new");
        let both = first.with(&again).unwrap();
        assert_eq!(both.args.rate.to_string(), "9");
        assert_eq!((both.args.threads, both.args.quiet, both.args.verbose), (2, false, true));
        assert_eq!(both.args.max_time.map(|time| time.as_secs()), Some(3));
        assert_eq!(both.args.checkpoint, Some(PathBuf::from("new")));
        assert_eq!((both.args.targets, both.args.ports), (vec!["a".to_owned()], vec!["80".into()]));
        let text = both.words.to_text().unwrap();
        assert!(text.contains(&"--rate=9".to_owned()) && !text.contains(&"--verbose".to_owned()));
    }

    /// Whatever flags there will be.
    #[test]
    fn every_other_flag_is_refused_along_with_resume() {
        let first = asked("a -p 80");
        for arg in arguments() {
            let id = arg.get_id().as_str();
            let values = if takes_values(&arg) { vec!["1".into()] } else { vec![] };
            let words = Words(vec![(id.to_owned(), values)]);
            let later = Asked { args: asked("--resume x").args, words };
            let refused = first.with(&later).is_err_and(|error| {
                error.exit_code() == mrpf_console::exit::USAGE
                    && error.to_string().contains(&shown(id))
            });
            assert_eq!(refused, id != "resume" && !AGAIN.contains(&id), "{id}");
        }
        for id in AGAIN.iter().chain(&OF_A_RUN).chain(&PATHS) {
            assert!(arguments().iter().any(|arg| arg.get_id() == id), "no flag {id}");
        }
    }

    #[test]
    fn a_path_that_is_no_text_is_an_error() {
        use std::os::unix::ffi::OsStringExt as _;
        let words = Words(vec![("file".to_owned(), vec![OsString::from_vec(vec![0xff])])]);
        assert_eq!(words.to_text().unwrap_err().exit_code(), mrpf_console::exit::USAGE);
    }
}
