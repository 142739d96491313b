//! One run of one tool.
//!
//! ```text
//!        start ......first frame =========== last frame ...... end      idle as long
//! CPU    |<------------------ process, and machine ------------>|      |<---- less ---->|
//! rate              |<--- frames / time --->|
//! ```

use std::{
    fs::File,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    Failure,
    machine::{self, Busy},
};

/// How often the counters are looked at: the rate of a run of some seconds is exact to a few thousandths.
const PERIOD: Duration = Duration::from_millis(10);
/// The memory is looked at once in so many periods.
const MEMORY_EVERY: u32 = 5;
/// How long a tool that was asked to end may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What has gone by so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Sent {
    pub(crate) frames: u64,
    /// Ethernet headers included.
    pub(crate) octets: u64,
}

/// What one run took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    pub(crate) sent: Sent,
    /// From the first frame to the last.
    pub(crate) sending: Duration,
    /// From start to end of the process.
    pub(crate) wall: Duration,
    /// CPU time of the process and its children.
    pub(crate) process: Duration,
    /// CPU time of the machine, less what it takes idle and less what this program and its server used; `None` when that is
    /// below zero, on a machine that has other things to do.
    pub(crate) machine: Option<Duration>,
    /// Most memory resident, in octets.
    pub(crate) memory: u64,
}

impl Run {
    /// Frames a second, from the first to the last.
    pub(crate) fn rate(&self) -> f64 {
        self.sent.frames as f64 / self.sending.as_secs_f64().max(PERIOD.as_secs_f64())
    }

    /// Microseconds of the process for a frame.
    pub(crate) fn process_per_frame(&self) -> f64 {
        self.per_frame(self.process)
    }

    /// Microseconds of the machine for a frame.
    pub(crate) fn machine_per_frame(&self) -> Option<f64> {
        self.machine.map(|time| self.per_frame(time))
    }

    /// Octets of a frame on average.
    pub(crate) fn frame_len(&self) -> f64 {
        self.sent.octets as f64 / self.sent.frames.max(1) as f64
    }

    fn per_frame(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / self.sent.frames.max(1) as f64
    }
}

/// How a run is made.
pub(crate) struct Measure<'a> {
    /// Reads the counters of the interface or of the far end.
    pub(crate) sent: &'a dyn Fn() -> Result<Sent, Failure>,
    /// A tool that takes longer is ended.
    pub(crate) most: Duration,
    /// The longest idle stretch; a longer run's is scaled.
    pub(crate) most_idle: Duration,
    /// What it reads on standard input, if it reads it.
    pub(crate) input: Option<&'a Path>,
    /// Where the tool's stdout and stderr go.
    pub(crate) log: &'a Path,
    /// A process at the far end.
    pub(crate) server: Option<u32>,
    /// The exit code of a tool that did its work and lost some of it, which the rows show.
    pub(crate) incomplete: Option<i32>,
}

impl Measure<'_> {
    /// Runs `command` in the calling thread's namespace.
    ///
    /// An error when it cannot be started, fails or takes too long, with its last words.
    pub(crate) fn run(&self, mut command: Command) -> Result<Run, Failure> {
        let log = File::create(self.log)?;
        command
            .stdin(self.input.map_or(Ok(Stdio::null()), |path| File::open(path).map(Into::into))?);
        command.stdout(log.try_clone()?).stderr(log);
        let before = (self.sent)()?;
        let (busy, own, children) = (Busy::begin()?, machine::own_cpu()?, machine::children_cpu()?);
        let server = self.server.map(machine::cpu_of).transpose()?.unwrap_or_default();
        let start = Instant::now();
        let child = command.spawn()?;
        let mut watch = Watch::new(before);
        let status = watch.until_end(child, self, start)?;
        let wall = start.elapsed();
        let own = machine::own_cpu()?.saturating_sub(own);
        let served = self.server.map(machine::cpu_of).transpose()?.unwrap_or_default();
        let own = own + served.saturating_sub(server);
        let busy = busy.until_now()?;
        let process = machine::children_cpu()?.saturating_sub(children);
        let is_done =
            status.success() || self.incomplete.is_some() && status.code() == self.incomplete;
        if !is_done {
            return Err(format!("it ended with {status}: {}", self.last_words()).into());
        }
        if wall >= self.most {
            return Err(format!("it did not end within {:?}", self.most).into());
        }
        let idle = self.idle(wall)?;
        Ok(Run {
            sent: watch.last.since(before),
            sending: watch.sending(),
            wall,
            process,
            machine: busy.saturating_sub(own).checked_sub(idle),
            memory: watch.memory,
        })
    }

    /// What the machine takes in a stretch of `wall` with nothing of ours running.
    fn idle(&self, wall: Duration) -> Result<Duration, Failure> {
        let stretch = wall.min(self.most_idle);
        let (busy, start) = (Busy::begin()?, Instant::now());
        thread::sleep(stretch);
        Ok(busy.until_now()?.mul_f64(wall.as_secs_f64() / start.elapsed().as_secs_f64()))
    }

    fn last_words(&self) -> String {
        let text = std::fs::read(self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().rev().map(str::trim).filter(|line| !line.is_empty());
        lines.take(1).collect()
    }
}

impl Sent {
    fn since(self, before: Self) -> Self {
        Self {
            frames: self.frames.saturating_sub(before.frames),
            octets: self.octets.saturating_sub(before.octets),
        }
    }
}

/// What is seen while a tool runs.
struct Watch {
    last: Sent,
    /// The last moment at which nothing had been sent yet.
    first_growth: Option<Instant>,
    last_growth: Option<Instant>,
    looked: Instant,
    memory: u64,
}

impl Watch {
    fn new(before: Sent) -> Self {
        Self {
            last: before,
            first_growth: None,
            last_growth: None,
            looked: Instant::now(),
            memory: 0,
        }
    }

    /// Looks at counters and memory until `child` ends, which it is asked to when it takes too long.
    fn until_end(
        &mut self,
        mut child: Child,
        measure: &Measure<'_>,
        start: Instant,
    ) -> Result<ExitStatus, Failure> {
        let mut asked = false;
        for period in 0_u32.. {
            self.look((measure.sent)()?);
            if period % MEMORY_EVERY == 0
                && let Some(memory) = machine::peak_memory(child.id())
            {
                self.memory = self.memory.max(memory);
            }
            if let Some(status) = child.try_wait()? {
                self.look((measure.sent)()?);
                return Ok(status);
            }
            let elapsed = start.elapsed();
            if elapsed > measure.most && !asked {
                asked = true;
                kill(Pid::from_raw(child.id().try_into()?), Signal::SIGINT)?;
            }
            if elapsed > measure.most + PATIENCE {
                child.kill()?;
                return Ok(child.wait()?);
            }
            thread::sleep(PERIOD);
        }
        Ok(child.wait()?)
    }

    fn look(&mut self, now: Sent) {
        let moment = Instant::now();
        if now.frames > self.last.frames {
            self.first_growth.get_or_insert(self.looked);
            self.last_growth = Some(moment);
            self.last = now;
        }
        self.looked = moment;
    }

    fn sending(&self) -> Duration {
        match (self.first_growth, self.last_growth) {
            (Some(first), Some(last)) => last - first,
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Runs a shell that the far end saw `frames` frames of.
    fn run(script: &str, frames: u64, most: Duration) -> Result<Run, Failure> {
        let folder = tempfile::tempdir()?;
        let looks = Cell::new(0);
        let sent = || {
            looks.set(looks.get() + 1);
            let frames = if looks.get() == 1 { 7 } else { 7 + frames };
            Ok(Sent { frames, octets: frames * 58 })
        };
        let measure = Measure {
            sent: &sent,
            most,
            most_idle: Duration::ZERO,
            input: None,
            log: &folder.path().join("log"),
            server: None,
            incomplete: Some(4),
        };
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        measure.run(shell)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn what_went_by_before_is_not_counted() {
        let run = run("exit 0", 100, LONG).expect("a run");
        assert_eq!(run.sent, Sent { frames: 100, octets: 5_800 });
        assert!(run.rate() > 0.0 && run.frame_len() == 58.0);
    }

    #[test]
    fn the_cpu_of_a_child_is_counted_per_frame() {
        let run =
            run("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done", 10, LONG).expect("a run");
        assert!(run.process > Duration::ZERO && run.process <= run.wall * 2, "{run:?}");
        let expected = run.process.as_secs_f64() * 1e5;
        assert!((run.process_per_frame() - expected).abs() < 1e-6, "{run:?}");
        assert!(run.memory > 0);
    }

    #[test]
    fn a_tool_that_fails_or_does_not_end_is_no_run() {
        let error = run("echo first; echo no such flag >&2; exit 3", 0, LONG).unwrap_err();
        assert!(error.to_string().contains("3: no such flag"), "{error}");
        run("exit 4", 0, LONG).expect("a run that is not complete");
        let short = Duration::from_millis(50);
        let error = run("trap 'exit 0' INT; while :; do sleep 0.01; done", 0, short).unwrap_err();
        assert!(error.to_string().contains("did not end within"), "{error}");
    }
}
