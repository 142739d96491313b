//! How evenly `mrpf syn` sends, seen from the far end: the real command against a lab that says nothing, or answers.
//!
//! ```text
//! cargo build --release -p mrpf && cargo run --release -p mrpf_benches --bin pacing        # about a minute and a half
//! sudo target/release/pacing --link xdp                                      # and a million a second, by live frames
//! ```
//!
//! The bounds are those of the governor. Over every second the frames are within 1 %, or one frame, of the rate, seconds
//! in which the sender did not run for more than 5 ms aside, which are listed. In no 10 ms are they more than 1.2 times
//! their share, or one frame. A stretch in which the process was stopped is not made up, and one host is never sent more
//! than `--host-rate`. Up to 1,000 frames a second the process takes at most 5 % of a core, start and end included. It ends
//! with 1 when a bound is broken or nothing was left to judge it by: on a machine that does other work at the same time that
//! says little.
//!
//! Frames are seen by a packet socket at the far end, with the kernel's time of each. At a million a second nobody could
//! read them all, so an XDP program counts them by tenths of a millisecond there.
//!
//! It runs in namespaces of its own, as root or with `--link packet` as an ordinary user, and sends to nobody else.

#![forbid(unsafe_code)]

use std::{
    error::Error,
    path::PathBuf,
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use clap::{Parser, ValueEnum};
use mrpf_lab::{Arrivals, Lab, Pass, Recorder, gauge::Gauge, netns, veth};
use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        signal::{Signal, kill},
        time::TimeValLike,
    },
    unistd::Pid,
};

/// Says whether mrpf keeps the rate it is told, as the far end sees it.
#[derive(Debug, Parser)]
#[command(name = "pacing")]
struct Cli {
    /// What mrpf sends and receives by
    #[arg(long, value_enum, default_value_t = Link::Packet)]
    link: Link,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Link {
    Packet,
    /// Receives by an XDP program; sends by packet sockets, and from a million a second on by live frames
    Xdp,
}

const SECOND: Duration = Duration::from_secs(1);
const BURST: Duration = Duration::from_millis(10);
const STALL: Duration = Duration::from_millis(5);
/// How long a process is stopped.
const STOP: Duration = Duration::from_secs(5);
/// What is left of a record at both ends.
const EDGE: Duration = Duration::from_millis(200);
/// Up to so many frames a second a scan is to cost next to nothing: this share of a core.
const LOW: u64 = 1_000;
const CPU_WHEN_LOW: f64 = 0.05;

/// A scan and what holds for it.
struct Case {
    name: &'static str,
    args: &'static [&'static str],
    /// Frames a second.
    rate: u64,
    seconds: u64,
    world: World,
}

#[derive(Clone, Copy)]
enum World {
    Silent,
    Open,
    /// Counts by time and drops, before the kernel has anything to do with it.
    Gauge,
}

const CASES: [Case; 8] = [
    Case::silent("1/s", &["-p", "1-16", "--rate", "1"], 1, 12),
    Case::silent("100/s", &["-p", "1-16", "--rate", "100"], 100, 6),
    Case::silent("1k/s", &["-p", "1-16", "--rate", "1k"], 1_000, 6),
    Case::silent("10k/s", &["-p", "1-16", "--rate", "10k"], 10_000, 6),
    Case::silent("100k/s", &["-p", "1-16", "--rate", "100k"], 100_000, 6),
    Case {
        name: "10k/s, resets",
        args: &["198.19.0.0/16", "-p", "80", "--rate", "10k"],
        rate: 10_000,
        seconds: 6,
        world: World::Open,
    },
    Case {
        name: "10k/s, retries",
        args: &["198.19.0.0/16", "-p", "80", "--rate", "10k", "--retries", "2"],
        rate: 10_000,
        seconds: 9,
        world: World::Silent,
    },
    Case {
        name: "one host",
        args: &["198.19.0.1", "-p", "-", "--rate", "max", "--host-rate", "1000", "--retries", "0"],
        rate: 1_000,
        seconds: 6,
        world: World::Silent,
    },
];

/// The rate from which live frames are sent, and which a packet socket does not reach.
const LIVE: Case = Case {
    name: "1M/s",
    args: &["198.19.0.0/16", "-p", "1-256", "--rate", "1M", "--retries", "0"],
    rate: 1_000_000,
    seconds: 6,
    world: World::Gauge,
};

/// What one scan showed.
struct Seen {
    arrivals: Arrivals,
    /// The CPU time of the process to the time from its start to its end.
    cpu: f64,
}

/// Ends the watch at the far end: what came there.
type Finish = Box<dyn FnOnce() -> Result<Arrivals, Box<dyn Error>>>;

impl Case {
    const fn silent(
        name: &'static str,
        args: &'static [&'static str],
        rate: u64,
        seconds: u64,
    ) -> Self {
        Self { name, args, rate, seconds, world: World::Silent }
    }

    fn start(&self, link: Link) -> Result<Child, Box<dyn Error>> {
        let mut command = Command::new(mrpf()?);
        command.arg("syn").args(self.args);
        if !self.args[0].starts_with("198") {
            command.args(["198.19.0.0/16", "--retries", "0"]);
        }
        command
            .args(["--link", if link == Link::Xdp { "xdp" } else { "packet" }])
            .args(["--allow-reserved", "--show", "none", "-q", "--cooldown", "1", "--seed", "1"])
            .args(["--max-time", &self.seconds.to_string()])
            .env("MRPF_FENCE", "lab")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        Ok(command.spawn()?)
    }

    fn lab(&self) -> Result<Lab, Box<dyn Error>> {
        let builder = match self.world {
            World::Silent => Lab::builder().silent(veth::HOSTS),
            World::Open => Lab::builder().open(80),
            World::Gauge => Lab::builder(),
        };
        Ok(builder.start()?)
    }

    /// Runs the scan to its end, and meanwhile `interrupt`.
    fn run(
        &self,
        link: Link,
        interrupt: impl FnOnce(Pid) -> nix::Result<()>,
    ) -> Result<Seen, Box<dyn Error>> {
        let lab = self.lab()?;
        let (world, device) = (lab.world(), veth::WORLD.device);
        // Live frames, which the fastest of these scans sends too, come in only where a program is.
        let is_passed = link == Link::Xdp && !matches!(self.world, World::Gauge);
        let _pass = match is_passed {
            true => Some(Pass::attach(world, device)?),
            false => None,
        };
        let finish: Finish = match self.world {
            World::Gauge => {
                let gauge = Gauge::attach(world, device)?;
                Box::new(move || Ok(gauge.arrivals()?))
            }
            World::Silent | World::Open => {
                let recorder = Recorder::start(world)?;
                Box::new(|| Ok(recorder.finish()?))
            }
        };
        let (used, began) = (children_cpu()?, Instant::now());
        let child = self.start(link)?;
        interrupt(Pid::from_raw(i32::try_from(child.id())?))?;
        ended(child)?;
        let cpu = (children_cpu()? - used).as_secs_f64() / began.elapsed().as_secs_f64();
        Ok(Seen { arrivals: finish()?, cpu })
    }

    /// Prints what arrived and says whether every bound held.
    fn judge(&self, name: &str, seen: &Seen) -> bool {
        let all = &seen.arrivals;
        let arrivals = all.within(EDGE..all.span().saturating_sub(EDGE));
        let slack = (self.rate / 100).max(1);
        let allowed = self.rate + slack;
        let most = arrivals.most_in(SECOND) as u64;
        // Frames are this far apart anyway.
        let stall = STALL + SECOND / u32::try_from(self.rate).unwrap_or(u32::MAX);
        let fewest = arrivals.fewest_in(SECOND, stall).map(|fewest| fewest as u64);
        let burst = arrivals.most_in(BURST) as u64;
        let burst_allowed = (self.rate * 12).div_ceil(1_000).max(1);
        let gaps = arrivals.gaps(stall);
        let longest = gaps.iter().map(|gap| gap.len).max().unwrap_or_default();

        let is_low = fewest.is_some_and(|fewest| fewest + slack < self.rate);
        let broken: Vec<_> = [
            (all.missed() > 0, "the recorder missed frames"),
            (arrivals.count() == 0, "nothing arrived"),
            (most > allowed, "too many in 1 s"),
            (fewest.is_none(), "no second without a stall to judge"),
            (is_low, "too few in 1 s"),
            (burst > burst_allowed, "a burst"),
            (self.rate <= LOW && seen.cpu > CPU_WHEN_LOW, "too much CPU"),
        ]
        .into_iter()
        .filter_map(|(is_broken, what)| is_broken.then_some(what))
        .collect();
        println!(
            "{name:<16} {:>8} {most:>8} <= {allowed:<7} {:>8} >= {:<7} {burst:>6} <= {burst_allowed:<5} {:>6} {:>7.1} {:>7.1}  {}",
            all.count(),
            fewest.map_or_else(|| "-".to_owned(), |fewest| fewest.to_string()),
            self.rate - slack,
            gaps.len(),
            longest.as_secs_f64() * 1e3,
            seen.cpu * 1e2,
            if broken.is_empty() {
                "holds".to_owned()
            } else {
                format!("BROKEN: {}", broken.join(", "))
            },
        );
        broken.is_empty()
    }
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let link = Cli::parse().link;
    netns::gain_privileges()?;
    println!(
        "{:<16} {:>8} {:>19} {:>19} {:>15} {:>6} {:>7} {:>7}",
        "scan",
        "frames",
        "most in 1 s",
        "fewest in 1 s",
        "most in 10 ms",
        "stalls",
        "longest",
        "CPU"
    );
    println!("{:>95} {:>7}", "ms", "% core");
    let mut all_hold = true;
    let live = (link == Link::Xdp).then_some(&LIVE);
    for case in CASES.iter().chain(live) {
        all_hold &= case.judge(case.name, &case.run(link, |_| Ok(()))?);
    }
    all_hold &= stopped(link)?;
    Ok(if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What comes after a stop: no more than at any other time.
fn stopped(link: Link) -> Result<bool, Box<dyn Error>> {
    let case = Case { seconds: 10, ..CASES[3] };
    let seen = case.run(link, |pid| {
        thread::sleep(2 * SECOND);
        kill(pid, Signal::SIGSTOP)?;
        thread::sleep(STOP);
        kill(pid, Signal::SIGCONT)
    })?;
    let arrivals = &seen.arrivals;
    let Some(stop) = arrivals.gaps(STOP / 2).first().copied() else {
        println!("stopped for {STOP:?}: BROKEN: it sent on");
        return Ok(false);
    };
    let resumed = stop.after + stop.len;
    // From the last frame before the stop on, so that a window can hold both ends of it.
    let after = arrivals.within(resumed..resumed + SECOND);
    let first = after.within(Duration::ZERO..BURST).count();
    let share = case.rate * 12 / 1_000;
    println!(
        "stopped for {:.1} s: {first} frames in the first 10 ms, {} in any 10 ms, {} in the first second",
        stop.len.as_secs_f64(),
        after.most_in(BURST),
        after.count()
    );
    let holds =
        after.most_in(BURST) as u64 <= share && after.count() as u64 <= case.rate + case.rate / 100;
    Ok(case.judge("10k/s, stopped", &seen) && holds)
}

/// Waits for a scan; that it ended by its limit of time is no error.
fn ended(child: Child) -> Result<(), Box<dyn Error>> {
    let output = child.wait_with_output()?;
    match output.status.code() {
        Some(0 | 3) => Ok(()),
        _ => {
            Err(format!("mrpf: {}: {}", output.status, String::from_utf8_lossy(&output.stderr))
                .into())
        }
    }
}

/// CPU time of all children that ended and were waited for.
fn children_cpu() -> nix::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = (usage.user_time() + usage.system_time()).num_microseconds();
    Ok(Duration::from_micros(micros.try_into().unwrap_or(0)))
}

/// The command, where cargo has put it beside this program.
fn mrpf() -> Result<PathBuf, Box<dyn Error>> {
    let path = std::env::current_exe()?.with_file_name("mrpf");
    if path.exists() {
        return Ok(path);
    }
    Err(format!("{} is not there: cargo build --release -p mrpf", path.display()).into())
}
