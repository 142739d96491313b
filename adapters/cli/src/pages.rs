//! What shells and `man` want to know of the command, made from the flags themselves: `mrpf completions` and `mrpf man`.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::Path,
};

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use mrpf_console::exit::DONE;

use crate::{args::Cli, error::CliError};

/// Completions for `shell`, to standard output.
pub(crate) fn completions(shell: Shell) -> Result<u8, CliError> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "mrpf", &mut text);
    show(&text)
}

/// The page of `mrpf` to standard output, or one for every command into `folder`.
pub(crate) fn man(folder: Option<&Path>) -> Result<u8, CliError> {
    let Some(folder) = folder else { return show(&page(built())?) };
    let mut all = vec![built()];
    while let Some(command) = all.pop() {
        all.extend(command.get_subcommands().filter(|command| !command.is_hide_set()).cloned());
        let path = folder.join(format!("{}.1", name(&command)));
        let text = page(command)?;
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path);
        file.and_then(|mut file| file.write_all(&text)).map_err(|source| CliError::Open {
            flag: "man",
            path,
            source,
        })?;
    }
    Ok(DONE)
}

/// With the names of all subcommands worked out: `mrpf-lab-run` for `mrpf lab run`.
fn built() -> Command {
    let mut command = Cli::command();
    command.build();
    command
}

fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn page(command: Command) -> Result<Vec<u8>, CliError> {
    let title = name(&command);
    let mut text = Vec::new();
    let man = Man::new(command).title(title.to_uppercase()).section("1");
    man.render(&mut text).map_err(stdout)?;
    Ok(text)
}

/// A reader that has enough is no error.
fn show(text: &[u8]) -> Result<u8, CliError> {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(stdout(error)),
        _ => Ok(DONE),
    }
}

fn stdout(source: io::Error) -> CliError {
    CliError::Write { name: "standard output".to_owned(), source, kept: 0, resume: None }
}

#[cfg(test)]
mod tests {
    use std::process::{Command as Process, Stdio};

    use clap::ValueEnum as _;

    use super::*;

    fn completion(shell: Shell) -> Vec<u8> {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "mrpf", &mut text);
        text
    }

    #[test]
    fn every_shell_learns_the_flags() {
        for shell in Shell::value_variants() {
            let text = String::from_utf8(completion(*shell)).unwrap();
            for word in ["syn", "checkpoint", "exclude-file", "completions"] {
                assert!(text.contains(word), "{shell}: {word}");
            }
        }
    }

    #[test]
    fn bash_can_read_its_completions() {
        let mut bash = Process::new("bash")
            .arg("-n")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("bash, which tests/run is written for");
        bash.stdin.take().unwrap().write_all(&completion(Shell::Bash)).unwrap();
        let output = bash.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }

    #[test]
    fn a_page_for_each_command_with_its_flags() {
        let folder = tempfile::tempdir().unwrap();
        man(Some(folder.path())).unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(read("mrpf.1").contains(".TH MRPF 1"));
        assert!(read("mrpf-lab-run.1").contains("CMD"));
        assert!(!folder.path().join("mrpf-lab-hold.1").exists());
        let syn = read("mrpf-syn.1");
        for arg in built().find_subcommand("syn").unwrap().get_arguments() {
            // In roff a hyphen that is a minus sign has a backslash before it.
            if let Some(long) = arg.get_long() {
                let flag = format!("\\-\\-{}", long.replace('-', "\\-"));
                assert!(syn.contains(&flag), "{flag}");
            }
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_a_usage_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = man(Some(&folder.path().join("none"))).unwrap_err();
        assert_eq!(error.exit_code(), mrpf_console::exit::USAGE);
    }
}
