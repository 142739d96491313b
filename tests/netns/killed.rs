//! A scan of the command that is killed, goes on and is checked.

use std::{
    collections::BTreeMap,
    fs,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::world::{bare_command, json, records, stderr};

/// A scan in a folder of its own, which may take several runs of the command.
pub(crate) struct Killed {
    pub(crate) folder: tempfile::TempDir,
}

impl Killed {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `mrpf` in that folder.
    pub(crate) fn mrpf(&self, args: &[&str]) -> Command {
        let mut command = bare_command(args);
        command.current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Runs `mrpf` to its end, which must be with `code`.
    #[track_caller]
    pub(crate) fn ends(&self, args: &[&str], code: i32) -> Output {
        let output = self.mrpf(args).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        output
    }

    /// Kills `command` as soon as `checkpoint` holds something to go on from.
    pub(crate) fn kill_once_saved(&self, command: &mut Command, checkpoint: &str) {
        let mut child = command.spawn().unwrap();
        self.wait_beyond(checkpoint, 0, &mut child);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// How far `checkpoint` is; nothing when there is none.
    pub(crate) fn mark(&self, checkpoint: &str) -> u64 {
        let text = fs::read(self.path(checkpoint)).unwrap_or_default();
        serde_json::from_slice::<Value>(&text).map_or(0, |json| number(&json, "/mark"))
    }

    /// Waits until `checkpoint` is further than `from`, or `child` has come to its end.
    pub(crate) fn wait_beyond(&self, checkpoint: &str, from: u64, child: &mut Child) {
        for _ in 0..3_000 {
            if self.mark(checkpoint) > from || child.try_wait().unwrap().is_some() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("no progress beyond {from}");
    }

    /// Kills a run of `args` after at most `most`, once it has got further than a run before if it is to; false when it had
    /// come to its end before.
    #[track_caller]
    pub(crate) fn kill(&self, args: &[&str], beyond: Option<(&str, u64)>, most: Duration) -> bool {
        let mut child = self.mrpf(args).spawn().unwrap();
        if let Some((checkpoint, from)) = beyond {
            self.wait_beyond(checkpoint, from, &mut child);
        }
        thread::sleep(most.mul_f64(random()));
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        let was_killed = output.status.code().is_none();
        assert!(was_killed || output.status.success(), "{}", stderr(&output));
        was_killed
    }

    /// How many records each target has, of an output that must be whole lines of JSON.
    #[track_caller]
    pub(crate) fn found(&self, output: &str) -> BTreeMap<(IpAddr, u16), u64> {
        let mut found = BTreeMap::new();
        for record in records(&fs::read(self.path(output)).unwrap()) {
            *found.entry((record.ip, record.port)).or_default() += 1;
        }
        found
    }

    /// That `hosts` were found in `output`, and that no more came twice than `summary` says. Gives the summary.
    #[track_caller]
    pub(crate) fn check(&self, output: &str, summary: &str, hosts: usize) -> Value {
        let (found, summary) = (self.found(output), json(&self.path(summary)));
        assert_eq!(found.len(), hosts, "hosts are missing: {summary}");
        let lines: u64 = found.values().sum();
        let (repeated, said) = (lines - found.len() as u64, number(&summary, "/may_repeat"));
        eprintln!("{repeated} of {lines} records came twice, at most {said} were to");
        assert!(repeated <= said, "{repeated} came twice: {summary}");
        if summary.get("all_runs").is_some() {
            assert_eq!(number(&summary, "/all_runs/records"), lines, "{summary}");
        }
        assert_eq!(summary["complete"], true, "{summary}");
        summary
    }
}

/// A number of a checkpoint or a summary.
#[track_caller]
pub(crate) fn number(json: &Value, path: &str) -> u64 {
    json.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path}: {json}"))
}

/// From 0 to 1, differently each time: no moment is safe from being tried.
fn random() -> f64 {
    RandomState::new().hash_one("when") as f64 / u64::MAX as f64
}
