//! A lab with a name: held by a process of its own, entered with `ip netns exec`.
//!
//! A holder that was killed leaves the name and its state file behind; `down` and the next `up` take them away. The file
//! names the process by its id and by when it started, so a later process that got the same id is never taken for it.

use std::{
    env, fmt,
    fs::{self, File},
    io::{self, BufRead, BufReader, ErrorKind, Write},
    path::Path,
    process::{self, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid, setsid},
};

use super::Signals;
use crate::{Lab, LabError, demo, error::asking, netns};

const NAME: &str = "mrpf-lab";
const NAMES: &str = "/run/netns";
/// Where `ip netns` looks for the name.
const NAMED: &str = "/run/netns/mrpf-lab";
const STATE: &str = "/run/mrpf-lab";
const STATE_FILE: &str = "/run/mrpf-lab/holder";
/// What a holder says when its lab answers; anything else is why there is none.
const READY: &str = "ready";
/// How long a holder may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// A lab that was just made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Up {
    /// The process that holds it.
    pub pid: i32,
}

impl fmt::Display for Up {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the lab is up, held by process {}: {}", self.pid, Usage)
    }
}

/// A lab that is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Status {
    /// The process that holds it.
    pub pid: i32,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a lab is up, held by process {}: {}", self.pid, Usage)
    }
}

struct Usage;

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third] = demo::PORTS;
        write!(
            f,
            "{} answers on ports {first}, {second} and {third}\n  use it:  sudo ip netns exec {NAME} COMMAND\n  end it:  sudo mrpf lab down",
            demo::HOSTS
        )
    }
}

/// Starts a process that holds a lab by the name of mrpf-lab: this program, as `lab hold`.
///
/// # Errors
///
/// [`LabError::AlreadyUp`] when there is one, [`LabError::NeedsRoot`] for others than root, [`LabError::Holder`] with what
/// the process said instead of being ready.
pub fn up() -> Result<Up, LabError> {
    require_root("a lab with a name")?;
    if let Some(Status { pid }) = status()? {
        return Err(LabError::AlreadyUp { pid });
    }
    let program = env::current_exe().map_err(asking("looking for this program"))?;
    let mut holder = Command::new(program)
        .args(["lab", "hold"])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(asking("starting the process that holds the lab"))?;
    let mut said = String::new();
    if let Some(stdout) = holder.stdout.take() {
        BufReader::new(stdout).read_line(&mut said).map_err(asking("listening to the holder"))?;
    }
    match said.trim() {
        READY => Ok(Up { pid: holder.id() as i32 }),
        why => {
            let _ = holder.kill();
            let _ = holder.wait();
            let why = if why.is_empty() { "it ended without a word" } else { why };
            Err(LabError::Holder { why: why.to_owned() })
        }
    }
}

/// What the process does that [`up`] starts: makes the lab, says so on stdout and waits for SIGTERM.
///
/// # Errors
///
/// Those of making the lab and its name; they are said on stdout too.
pub fn hold() -> Result<(), LabError> {
    // Of the session of whoever called `up`, unless it leads a group, as it does when a shell started it.
    let _ = setsid();
    let made = Signals::block(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP])
        .and_then(|signals| Ok((Held::make()?, signals)));
    let say = |word: &str| {
        let mut stdout = io::stdout();
        // Nobody is left to tell when nobody listens.
        let _ = writeln!(stdout, "{}", word.replace('\n', " ")).and_then(|()| stdout.flush());
    };
    match made {
        Ok((_held, signals)) => {
            say(READY);
            signals.blocked.wait().map(drop).map_err(asking("waiting for a signal"))
        }
        Err(error) => {
            say(&error.to_string());
            Err(error)
        }
    }
}

/// Ends the lab that [`up`] made and takes away what a killed holder left; false when there was nothing.
///
/// # Errors
///
/// [`LabError::NeedsRoot`] for others than root; [`LabError::System`] for what cannot be taken away.
pub fn down() -> Result<bool, LabError> {
    require_root("ending a lab with a name")?;
    let holder = Holder::read()?.filter(Holder::is_alive);
    if let Some(holder) = &holder {
        holder.end()?;
    }
    Ok(unname()? | forget()? | holder.is_some())
}

/// The lab that [`up`] made, if it is there.
///
/// # Errors
///
/// [`LabError::System`] when its state cannot be read.
pub fn status() -> Result<Option<Status>, LabError> {
    Ok(Holder::read()?.filter(Holder::is_alive).map(|holder| Status { pid: holder.pid }))
}

fn require_root(what: &'static str) -> Result<(), LabError> {
    if geteuid().is_root() && netns::may_make_namespaces() {
        return Ok(());
    }
    Err(LabError::NeedsRoot { what })
}

/// The lab of this process, with its name; both end when dropped.
struct Held {
    _lab: Lab,
}

impl Held {
    fn make() -> Result<Self, LabError> {
        Holder::this_process()?.claim()?;
        let made = demo::start().and_then(|lab| {
            name_this_namespace()?;
            Ok(Self { _lab: lab })
        });
        if made.is_err() {
            let _ = unname();
            let _ = forget();
        }
        made
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // What stays is for `down`.
        let _ = unname();
        let _ = forget();
    }
}

/// Lets `ip netns exec` find the calling thread's namespace, as ip-netns(8) describes.
fn name_this_namespace() -> Result<(), LabError> {
    fs::create_dir_all(NAMES).map_err(asking(format!("making {NAMES}")))?;
    unname()?;
    File::create_new(NAMED).map_err(asking(format!("making {NAMED}")))?;
    mount(Some("/proc/thread-self/ns/net"), NAMED, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .map_err(asking(format!("mounting the namespace on {NAMED}")))
}

/// Takes the name away; false when there was none.
fn unname() -> Result<bool, LabError> {
    loop {
        match umount2(NAMED, MntFlags::MNT_DETACH) {
            // Mounts lie on one another.
            Ok(()) => {}
            Err(Errno::EINVAL | Errno::ENOENT) => break,
            Err(errno) => return Err(asking(format!("unmounting {NAMED}"))(errno)),
        }
    }
    remove(NAMED)
}

/// Takes the state file away; false when there was none.
fn forget() -> Result<bool, LabError> {
    let was_there = remove(STATE_FILE)?;
    // Another holder may be writing there.
    let _ = fs::remove_dir(STATE);
    Ok(was_there)
}

fn remove(file: &str) -> Result<bool, LabError> {
    match fs::remove_file(file) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(asking(format!("removing {file}"))(error)),
    }
}

/// The process in the state file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Holder {
    pid: i32,
    /// When it started, in clock ticks since the machine did.
    started: u64,
}

impl Holder {
    fn this_process() -> Result<Self, LabError> {
        let pid = process::id() as i32;
        let started = started(pid).ok_or_else(|| {
            asking("reading /proc/self/stat")(io::Error::from(ErrorKind::InvalidData))
        })?;
        Ok(Self { pid, started })
    }

    fn read() -> Result<Option<Self>, LabError> {
        match fs::read_to_string(STATE_FILE) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(asking(format!("reading {STATE_FILE}"))(error)),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (pid, started) = text.trim().split_once(' ')?;
        let holder = Self { pid: pid.parse().ok()?, started: started.parse().ok()? };
        // 0 and what is below means groups to kill(2), and 1 is nobody's holder.
        (holder.pid > 1).then_some(holder)
    }

    /// Writes the state file, unless another holder that lives has.
    fn claim(&self) -> Result<(), LabError> {
        let writing = || asking(format!("writing {STATE_FILE}"));
        fs::create_dir_all(STATE).map_err(asking(format!("making {STATE}")))?;
        let own = Path::new(STATE).join(format!("holder.{}", self.pid));
        fs::write(&own, format!("{} {}\n", self.pid, self.started)).map_err(writing())?;
        let claimed = self.link(&own);
        let _ = fs::remove_file(&own);
        claimed
    }

    /// The link appears with its content or not at all.
    fn link(&self, own: &Path) -> Result<(), LabError> {
        loop {
            match fs::hard_link(own, STATE_FILE) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(asking(format!("writing {STATE_FILE}"))(error)),
            }
            if let Some(Status { pid }) = status()? {
                return Err(LabError::AlreadyUp { pid });
            }
            remove(STATE_FILE)?;
        }
    }

    fn is_alive(&self) -> bool {
        started(self.pid) == Some(self.started)
    }

    /// Asks it to end, and ends it when it does not.
    fn end(&self) -> Result<(), LabError> {
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            match kill(Pid::from_raw(self.pid), signal) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => return Err(asking(format!("ending process {}", self.pid))(errno)),
            }
            let start = Instant::now();
            while start.elapsed() < PATIENCE {
                if !self.is_alive() {
                    return Ok(());
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
        let source = io::Error::from(ErrorKind::TimedOut);
        Err(asking(format!("waiting for process {} to end", self.pid))(source))
    }
}

/// When a process started; `None` for one that is not there or has ended.
fn started(pid: i32) -> Option<u64> {
    start_time(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Field 22 of /proc/PID/stat, `None` for a zombie: proc_pid_stat(5).
fn start_time(stat: &str) -> Option<u64> {
    // The name in field 2 may hold anything, parentheses too.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_another_start_is_another_process() {
        let own = Holder::this_process().unwrap();
        assert!(own.is_alive());
        assert!(!Holder { started: own.started + 1, ..own }.is_alive());
    }

    #[test]
    fn the_start_is_read_past_any_name() {
        let stat = |state| {
            format!("42 (a) R 1 (b)) {state} 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20")
        };
        assert_eq!(start_time(&stat("S")), Some(777));
        assert_eq!(start_time(&stat("Z")), None);
        assert_eq!(start_time("42 (a"), None);
    }

    #[test]
    fn a_state_file_never_names_a_group_or_init() {
        assert_eq!(Holder::parse("42 7\n"), Some(Holder { pid: 42, started: 7 }));
        for text in ["", "42", "0 7", "-1 7", "1 7", "x 7"] {
            assert_eq!(Holder::parse(text), None, "{text:?}");
        }
    }
}
