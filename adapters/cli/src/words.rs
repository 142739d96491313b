//! A command line as a checkpoint keeps it: the words, by the argument that they belong to.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use clap::{Arg, ArgMatches, FromArgMatches as _, parser::ValueSource};
use mrpf_tls::hello::Profile;

use crate::{
    args::{DnsArgs, ScanArgs, SynArgs, TlsArgs},
    error::CliError,
    kind::Kind,
    resolvers,
};

/// What can be given again along with `--resume`, and holds from then on where it is not of one run.
const AGAIN: [&str; 7] =
    ["rate", "threads", "max_time", "max_results", "checkpoint", "quiet", "verbose"];
/// What is of one run, and not of the scan.
const OF_A_RUN: [&str; 5] = ["checkpoint", "resume", "dry_run", "quiet", "verbose"];
/// Arguments that are paths, which have to lead to the same file from any folder.
const PATHS: [&str; 7] = ["file", "exclude_file", "scope", "output", "summary", "roots", "words"];

/// A scan as it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) args: AnyArgs,
    pub(crate) words: Words,
}

/// The flags of any scanner.
#[derive(Clone, Debug)]
pub(crate) enum AnyArgs {
    Syn(Box<SynArgs>),
    Tls(Box<TlsArgs>),
    Dns(Box<DnsArgs>),
}

impl AnyArgs {
    fn read(kind: Kind, matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(match kind {
            Kind::Syn => Self::Syn(Box::new(SynArgs::from_arg_matches(matches)?)),
            Kind::Tls => Self::Tls(Box::new(TlsArgs::from_arg_matches(matches)?)),
            Kind::Dns => Self::Dns(Box::new(DnsArgs::from_arg_matches(matches)?)),
        })
    }

    /// Which scanner is asked.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Syn(_) => Kind::Syn,
            Self::Tls(_) => Kind::Tls,
            Self::Dns(_) => Kind::Dns,
        }
    }

    /// What every scan is asked.
    pub(crate) fn scan(&self) -> &ScanArgs {
        match self {
            Self::Syn(args) => &args.scan,
            Self::Tls(args) => &args.scan,
            Self::Dns(args) => &args.scan,
        }
    }

    pub(crate) fn scan_mut(&mut self) -> &mut ScanArgs {
        match self {
            Self::Syn(args) => &mut args.scan,
            Self::Tls(args) => &mut args.scan,
            Self::Dns(args) => &mut args.scan,
        }
    }

    /// The files that are read, and the flags that name them.
    pub(crate) fn inputs(&self) -> Vec<(&'static str, PathBuf)> {
        let args = self.scan();
        let lists =
            [("-f", &args.file), ("--exclude-file", &args.exclude_file), ("--scope", &args.scope)];
        let named = |(flag, paths): (_, &Vec<PathBuf>)| {
            paths.iter().map(|path| (flag, path.clone())).collect::<Vec<_>>()
        };
        let mut inputs: Vec<_> = lists.into_iter().flat_map(named).collect();
        if let Self::Dns(args) = self {
            inputs.extend(args.words.iter().map(|path| ("--words", path.clone())));
            let resolvers = args.resolvers.iter().filter_map(|word| resolvers::path(word));
            inputs.extend(resolvers.map(|path| ("-r", path)));
        }
        inputs
    }
}

/// The arguments of a command line in the order of the help, each with its values. One that takes none has none.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Words {
    kind: Kind,
    given: Vec<(String, Vec<OsString>)>,
}

impl Asked {
    /// What was read from the command line of a scanner, and what its matches say of it.
    pub(crate) fn new(args: AnyArgs, matches: &ArgMatches) -> Self {
        let words = Words::of(args.kind(), matches);
        Self { args, words }
    }

    /// From the words of a checkpoint.
    pub(crate) fn parse(kind: Kind, words: &[String]) -> Result<Self, clap::Error> {
        let matches = kind.command().no_binary_name(true).try_get_matches_from(words)?;
        Ok(Self::new(AnyArgs::read(kind, &matches)?, &matches))
    }

    /// This scan, with what `later` gives again.
    pub(crate) fn with(&self, later: &Self) -> Result<Self, CliError> {
        let kind = self.words.kind;
        if let Some((id, _)) =
            later.words.given.iter().find(|(id, _)| id != "resume" && !AGAIN.contains(&id.as_str()))
        {
            return Err(CliError::GivenAgain(shown(kind, id)));
        }
        let mut words = self.words.clone();
        for (id, values) in &later.words.given {
            words.set(id, values.clone());
        }
        let text = words.to_text()?;
        // Both halves were read before, and so can the whole be.
        let mut asked = Self::parse(kind, &text).map_err(CliError::Flags)?;
        let (args, later) = (asked.args.scan_mut(), later.args.scan());
        args.checkpoint.clone_from(&later.checkpoint);
        args.resume.clone_from(&later.resume);
        (args.quiet, args.verbose) = (later.quiet, later.verbose);
        Ok(asked)
    }
}

impl Words {
    fn of(kind: Kind, matches: &ArgMatches) -> Self {
        let mut given = Vec::new();
        for arg in arguments(kind) {
            let id = arg.get_id().as_str();
            if matches.value_source(id) != Some(ValueSource::CommandLine) {
                continue;
            }
            let values = matches.get_raw(id).into_iter().flatten();
            let values = values.map(|value| whole(id, value));
            given.push((id.to_owned(), if takes_values(&arg) { values.collect() } else { vec![] }));
        }
        Self { kind, given }
    }

    /// Gives an argument its values, whatever it had.
    pub(crate) fn set(&mut self, id: &str, values: Vec<OsString>) {
        match self.given.iter_mut().find(|(known, _)| known == id) {
            Some((_, had)) => *had = values,
            None => self.given.push((id.to_owned(), values)),
        }
    }

    /// Which scanner they are for.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// As words that can be parsed again, without what is of one run.
    pub(crate) fn to_text(&self) -> Result<Vec<String>, CliError> {
        let (mut flags, mut targets) = (Vec::new(), Vec::new());
        for arg in arguments(self.kind) {
            let id = arg.get_id().as_str();
            let Some((_, values)) =
                self.given.iter().find(|(known, _)| known == id && !OF_A_RUN.contains(&id))
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

fn arguments(kind: Kind) -> Vec<Arg> {
    kind.command().get_arguments().cloned().collect()
}

fn takes_values(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

/// How a user knows an argument.
fn shown(kind: Kind, id: &str) -> String {
    let arg = arguments(kind).into_iter().find(|arg| arg.get_id() == id);
    arg.and_then(|arg| arg.get_long().map(|long| format!("--{long}")))
        .unwrap_or_else(|| "a target".to_owned())
}

/// A path from the root; standard streams stay as they are.
fn whole(id: &str, value: &OsStr) -> OsString {
    // Whatever is no profile is a file.
    let is_hello_file =
        || id == "hello" && value.to_str().is_none_or(|word| word.parse::<Profile>().is_err());
    // Whatever is no address is one, too.
    let is_resolver_file =
        || id == "resolvers" && value.to_str().is_none_or(|word| resolvers::path(word).is_some());
    if value == "-" || !PATHS.contains(&id) && !is_hello_file() && !is_resolver_file() {
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
        Asked::parse(Kind::Syn, &words).unwrap()
    }

    pub(crate) fn dns(words: &str) -> Asked {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        Asked::parse(Kind::Dns, &words).unwrap()
    }

    fn tls(words: &str) -> Asked {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        Asked::parse(Kind::Tls, &words).unwrap()
    }

    #[test]
    fn words_come_back_as_they_were() {
        let first = asked(
            "198.19.0.0/24 host.example -p 80,443 -p - -f - --exclude=c --rate 1.5M --cooldown 0.25 --allow-reserved \
             --source-ip 198.18.0.1 --source-ip 2001:db8::1 --seed 7 --shard 2/5 --no-rst",
        );
        let text = first.words.to_text().unwrap();
        let again = Asked::parse(Kind::Syn, &text).unwrap();
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
        let args = both.args.scan().clone();
        assert_eq!(args.rate.to_string(), "9");
        assert_eq!((args.threads, args.quiet, args.verbose), (2, false, true));
        assert_eq!(args.max_time.map(|time| time.as_secs()), Some(3));
        assert_eq!(args.checkpoint, Some(PathBuf::from("new")));
        assert_eq!((args.targets, args.ports), (vec!["a".to_owned()], vec!["80".into()]));
        let text = both.words.to_text().unwrap();
        assert!(text.contains(&"--rate=9".to_owned()) && !text.contains(&"--verbose".to_owned()));
    }

    /// Whatever flags there will be.
    #[test]
    fn every_other_flag_is_refused_along_with_resume() {
        for (first, later) in [
            (asked("a -p 80"), asked("--resume x")),
            (tls("a"), tls("--resume x")),
            (dns("a -r 192.0.2.1"), dns("--resume x")),
        ] {
            let kind = first.words.kind();
            for arg in arguments(kind) {
                let id = arg.get_id().as_str();
                let values = if takes_values(&arg) { vec!["1".into()] } else { vec![] };
                let words = Words { kind, given: vec![(id.to_owned(), values)] };
                let later = Asked { args: later.args.clone(), words };
                let refused = first.with(&later).is_err_and(|error| {
                    error.exit_code() == mrpf_console::exit::USAGE
                        && error.to_string().contains(&shown(kind, id))
                });
                assert_eq!(refused, id != "resume" && !AGAIN.contains(&id), "{id}");
            }
        }
        for id in AGAIN.iter().chain(&OF_A_RUN).chain(&PATHS) {
            let mut all = [Kind::Tls, Kind::Dns].into_iter().flat_map(arguments);
            assert!(all.any(|arg| arg.get_id() == id), "no flag {id}");
        }
    }

    #[test]
    fn words_of_tls_come_back_too_and_a_file_of_a_hello_from_any_folder() {
        let first = tls(
            "a --sni www.example --hello x.bin --key-share fresh --chain --jarm --show ok,silent",
        );
        let text = first.words.to_text().unwrap();
        assert_eq!(Asked::parse(Kind::Tls, &text).unwrap().words, first.words);
        let here = std::env::current_dir().unwrap();
        assert!(text.contains(&format!("--hello={}", here.join("x.bin").display())), "{text:?}");
        assert!(
            tls("a --hello legacy").words.to_text().unwrap().contains(&"--hello=legacy".to_owned())
        );
    }

    #[test]
    fn words_of_dns_come_back_too_and_their_files_from_any_folder() {
        let first = dns(
            "example --words w.txt -r r.txt -r 192.0.2.1,::1 -t A,TYPE65 --class CH --wildcards on --do --no-0x20 --wire \
             --in-flight 1000 --timeout 1.5 --show answers,wild",
        );
        let text = first.words.to_text().unwrap();
        assert_eq!(Asked::parse(Kind::Dns, &text).unwrap().words, first.words);
        let here = std::env::current_dir().unwrap();
        for (flag, file) in [("words", "w.txt"), ("resolvers", "r.txt")] {
            let expected = format!("--{flag}={}", here.join(file).display());
            assert!(text.contains(&expected), "{text:?}");
        }
        assert!(text.contains(&"--resolvers=192.0.2.1,::1".to_owned()), "{text:?}");
        let inputs = first.args.inputs();
        assert_eq!(inputs, [("--words", "w.txt".into()), ("-r", "r.txt".into())]);
    }

    #[test]
    fn a_path_that_is_no_text_is_an_error() {
        use std::os::unix::ffi::OsStringExt as _;
        let given = vec![("file".to_owned(), vec![OsString::from_vec(vec![0xff])])];
        let words = Words { kind: Kind::Syn, given };
        assert_eq!(words.to_text().unwrap_err().exit_code(), mrpf_console::exit::USAGE);
    }
}
