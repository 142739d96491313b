//! Programs of ours as processes, which end with the test whatever ends that.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How often is looked for what is waited for.
const LOOK: Duration = Duration::from_millis(50);

/// The environment of a program.
pub(crate) type Variables = Vec<(String, String)>;

/// A program of ours that runs; killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts `name` with `args`; what it says goes to a file in `folder`.
    #[track_caller]
    pub(crate) fn start(name: &str, args: &[&str], variables: &Variables, folder: &Path) -> Self {
        let log = (0..)
            .map(|n| folder.join(format!("{name}-{n}.log")))
            .find(|path| !path.exists())
            .expect("a number that is free");
        let mut command = command(name, variables);
        let child = command.args(args).stderr(File::create(&log).unwrap()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name: name.to_owned(), child, log }
    }

    /// What it has said.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it has said `words`.
    #[track_caller]
    pub(crate) fn says(&mut self, words: &str, patience: Duration) {
        wait(&format!("{} has not said {words:?}", self.name), patience, || {
            let said = self.said();
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() || said.contains(words), "{} has ended: {said}", self.name);
            said.contains(words).then_some(())
        });
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// How it has ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ends(&mut self, patience: Duration) -> ExitStatus {
        wait(&format!("{} does not end", self.name), patience, || self.ended())
    }

    /// Kills it; nothing in it hears of that.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only for a child that ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let said = fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("--- what {} has said:\n{said}", self.log.display());
        }
    }
}

/// Runs a program of ours to its end, two minutes at most.
#[track_caller]
pub(crate) fn run(name: &str, words: &str, variables: &Variables) -> Output {
    let mut timed = Command::new("timeout");
    timed.args(["--signal=KILL", "120"]).arg(path(name)).args(words.split(' '));
    output(name, timed, variables)
}

/// As [`run`], what it writes to stdout; it must succeed.
#[track_caller]
pub(crate) fn ask(name: &str, words: &str, variables: &Variables) -> String {
    let output = run(name, words, variables);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{name} {words}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn output(name: &str, mut command: Command, variables: &Variables) -> Output {
    set(&mut command, variables);
    command.output().unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn command(name: &str, variables: &Variables) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(path(name));
    set(&mut command, variables);
    command
}

/// Nothing of the environment of whoever runs the tests: it may have an account.
fn set(command: &mut Command, variables: &Variables) {
    command.env_clear().env("MRPF_FENCE", "lab");
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.envs(variables.iter().cloned());
}

/// Where cargo has put a program.
fn path(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).expect("a folder above deps/").join(name);
    assert!(path.exists(), "{} is not there: cargo build --workspace --bins", path.display());
    path
}

/// Waits for something to be there, for at most `patience`.
#[track_caller]
pub(crate) fn wait<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < patience, "{what}, after {patience:?}");
        thread::sleep(LOOK);
    }
}
