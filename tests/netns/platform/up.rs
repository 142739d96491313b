//! A platform as a user has it: a folder, the command on it, and `mrpf up` as a process of its own.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::world::{command, mrpf, stderr};

/// What becomes root's child when root is to be nobody in particular, and loses every capability on the way.
const ORDINARY: [&str; 7] = [
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--bounding-set=-all",
    "--inh-caps=-all",
    "--ambient-caps=-all",
    "--no-new-privs",
];
/// How often is looked for what is waited for.
const LOOK: Duration = Duration::from_millis(200);

/// A folder for a platform, and the files around it.
#[derive(Debug)]
pub(crate) struct Platform {
    folder: tempfile::TempDir,
}

impl Platform {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        Self { folder }
    }

    /// Where its queues and its store lie.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Where `mrpf up` and its workers say what they do.
    fn log(&self) -> PathBuf {
        self.folder.path().join("up.log")
    }

    /// Starts it, with `variables` in its environment; returns once it is up.
    #[track_caller]
    pub(crate) fn up(&self, variables: &[(&str, &str)]) -> Up {
        self.start(bound(&mrpf(), &[]), variables)
    }

    /// As [`up`](Self::up), for a test that is root, by an ordinary user who runs `program`.
    #[track_caller]
    pub(crate) fn up_without_privileges(&self, program: &Path) -> Up {
        self.start(ordinary(program), &[])
    }

    #[track_caller]
    fn start(&self, mut command: Command, variables: &[(&str, &str)]) -> Up {
        let log = self.log();
        command.args(["up", "--allow-reserved", "--data"]).arg(self.data());
        command.envs(variables.iter().copied());
        let mut up = Up { child: command.stderr(File::create(&log).unwrap()).spawn().unwrap() };
        wait("the platform is not up", Duration::from_secs(60), || {
            let said = fs::read_to_string(&log).unwrap();
            assert!(up.child.try_wait().unwrap().is_none(), "it has ended: {said}");
            said.contains("the platform is up").then_some(())
        });
        up
    }

    /// Runs `mrpf` on the folder with `words`, which blanks divide, to its end.
    pub(crate) fn run(&self, words: &str) -> Output {
        self.command(words).output().unwrap()
    }

    /// As [`run`](Self::run), not run yet.
    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = command(&words.split(' ').collect::<Vec<_>>());
        command.arg("--data").arg(self.data());
        command
    }

    /// What `mrpf` with `words` answers; it must succeed.
    #[track_caller]
    pub(crate) fn ask(&self, words: &str) -> String {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(0), "{words}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// As [`ask`](Self::ask), an answer of a JSON value a line.
    #[track_caller]
    pub(crate) fn rows(&self, words: &str) -> Vec<Value> {
        let text = self.ask(words);
        let row = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        text.lines().map(row).collect()
    }

    /// That `mrpf` with `words` fails with exit code 2 and says something with `mend` in it.
    #[track_caller]
    pub(crate) fn check_refused(&self, words: &str, mend: &str) {
        let output = self.run(words);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{words}: {said}");
        assert!(said.contains(mend) && output.stdout.is_empty(), "{words}: {said}");
    }

    /// A file beside the platform.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Gives it a workflow: its id.
    #[track_caller]
    pub(crate) fn submit(&self, workflow: &str) -> String {
        let file = self.write("workflow.toml", workflow);
        self.ask(&format!("submit {file}")).trim().to_owned()
    }

    /// How far the workflow `id` is.
    #[track_caller]
    pub(crate) fn state(&self, id: &str) -> String {
        self.rows(&format!("status {id} --json"))[0]["state"].as_str().unwrap().to_owned()
    }

    /// In which state the only task called `name` of the workflow `id` is.
    #[track_caller]
    pub(crate) fn task_state(&self, id: &str, name: &str) -> String {
        let rows = self.rows(&format!("status {id} --json"));
        let row = rows.iter().find(|row| row["type"] == "tasks" && row["name"] == name);
        let states = row.unwrap_or_else(|| panic!("no {name}: {rows:?}"))["states"].clone();
        states.as_object().unwrap().keys().next().unwrap().clone()
    }

    /// Waits until the workflow `id` has ended, for at most `patience`, and checks how.
    #[track_caller]
    pub(crate) fn ends(&self, id: &str, state: &str, patience: Duration) {
        let ended = wait("the workflow has not ended", patience, || {
            Some(self.state(id)).filter(|state| state != "running")
        });
        assert_eq!(ended, state, "{}", self.ask(&format!("status {id}")));
    }

    /// The processes that have something to do with the folder, each with its command line.
    pub(crate) fn processes(&self) -> Vec<(Pid, String)> {
        let data = self.data();
        let all = fs::read_dir("/proc").unwrap().flatten();
        let process = |entry: fs::DirEntry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            // Of one that has ended meanwhile it is empty, or not there.
            let line = fs::read_to_string(entry.path().join("cmdline")).ok()?.replace('\0', " ");
            line.contains(data.to_str()?).then_some((Pid::from_raw(pid), line))
        };
        all.filter_map(process).collect()
    }

    /// Its workers of `class`.
    pub(crate) fn workers(&self, class: &str) -> Vec<Pid> {
        let words = format!(" worker {class} ");
        let all = self.processes().into_iter();
        all.filter(|(_, line)| line.contains(&words)).map(|(pid, _)| pid).collect()
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if thread::panicking()
            && let Ok(said) = fs::read_to_string(self.log())
        {
            eprintln!("what `mrpf up` and its workers have said:\n{said}");
        }
    }
}

/// `mrpf up` as a child, killed when this is dropped; its workers die with it.
#[derive(Debug)]
pub(crate) struct Up {
    child: Child,
}

impl Up {
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Kills it; nothing in it hears of that.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end by `signal`: its exit code, and how long it took.
    pub(crate) fn end(mut self, signal: Signal) -> (Option<i32>, Duration) {
        let begin = Instant::now();
        self.signal(signal);
        let patience = Duration::from_secs(60);
        let status = wait("it does not end", patience, || self.child.try_wait().unwrap());
        (status.code(), begin.elapsed())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Both fail only for a child that ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `program`, which an ordinary user becomes.
pub(crate) fn ordinary(program: &Path) -> Command {
    bound(program, &ORDINARY)
}

/// `program`, which ends with the thread of the test, whatever ends that.
fn bound(program: &Path, as_whom: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).args(as_whom).arg("--").arg(program);
    command.env("MRPF_FENCE", "lab");
    command
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
