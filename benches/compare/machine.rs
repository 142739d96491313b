//! The machine: what it is, and how long its CPUs were busy.

use std::{
    fs,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        resource::{Usage, UsageWho, getrusage},
        time::TimeValLike,
    },
    unistd::{SysconfVar, sysconf},
};

use crate::Failure;

/// How long all CPUs together are busy, at any priority and interrupts included, from a moment on.
///
/// It is what is left of the time that went by when the idle time is taken off, which the kernel measures as it comes and goes
/// (linux/kernel/time/tick-sched.c, get_cpu_idle_time_us). What it says of busy times are samples, one a tick, and who works
/// for less than a tick at a time and in step with it is hardly in them: they told of a machine that did less than a process
/// on it. What the hypervisor gave to others, as far as it says so, is not in it either.
pub(crate) struct Busy {
    since: Instant,
    idle: Duration,
    cpus: u32,
}

impl Busy {
    /// From now on.
    pub(crate) fn begin() -> Result<Self, Failure> {
        let (idle, cpus) = idle()?;
        Ok(Self { since: Instant::now(), idle, cpus })
    }

    /// Until now.
    pub(crate) fn until_now(&self) -> Result<Duration, Failure> {
        let (idle, _) = idle()?;
        let all = self.since.elapsed() * self.cpus;
        Ok(all.saturating_sub(idle.saturating_sub(self.idle)))
    }
}

/// How long all CPUs together did nothing or were taken away since the machine started, and how many they are: proc_stat(5).
fn idle() -> Result<(Duration, u32), Failure> {
    let stat = fs::read_to_string("/proc/stat")?;
    let ticks = idle_ticks(&stat).ok_or("/proc/stat does not begin with the times of the CPUs")?;
    let is_cpu = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
    Ok((in_ticks(ticks)?, stat.lines().filter(is_cpu).count().try_into()?))
}

fn in_ticks(ticks: u64) -> Result<Duration, Failure> {
    let per_second = sysconf(SysconfVar::CLK_TCK)?.filter(|ticks| *ticks > 0).unwrap_or(100);
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

/// idle, iowait and steal of the first line.
fn idle_ticks(stat: &str) -> Option<u64> {
    const IDLE: [usize; 3] = [3, 4, 7];
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let times: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
    IDLE.iter().map(|index| times.get(*index)).sum()
}

/// CPU time of this process, all its threads: the far end that answers runs in it.
pub(crate) fn own_cpu() -> Result<Duration, Failure> {
    Ok(cpu(&getrusage(UsageWho::RUSAGE_SELF)?))
}

/// CPU time of a process that runs: utime and stime of proc_pid_stat(5), in ticks.
pub(crate) fn cpu_of(pid: u32) -> Result<Duration, Failure> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let ticks = used_ticks(&stat).ok_or("/proc/PID/stat is not as proc_pid_stat(5) has it")?;
    in_ticks(ticks)
}

/// Behind the name in brackets, which may hold anything, the twelfth and thirteenth field.
fn used_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    Some(times.next()?.ok()? + times.next()?.ok()?)
}

/// CPU time of all children that ended and were waited for, and of theirs.
pub(crate) fn children_cpu() -> Result<Duration, Failure> {
    Ok(cpu(&getrusage(UsageWho::RUSAGE_CHILDREN)?))
}

fn cpu(usage: &Usage) -> Duration {
    let sum = usage.user_time() + usage.system_time();
    Duration::from_micros(sum.num_microseconds().try_into().unwrap_or(0))
}

/// Most memory that a process had resident at a time, in octets: VmHWM of proc_pid_status(5). `None` once it ended.
pub(crate) fn peak_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kibibytes * 1_024)
}

/// How many CPUs this process may use.
pub(crate) fn cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u32)
}

/// CPU model, number of CPUs and kernel, on one line.
pub(crate) fn description() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("a CPU that /proc/cpuinfo does not name", |(_, name)| name);
    let cpus = cpus();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {cpus} CPUs, Linux {}", kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_waiting_and_stolen_time_is_not_busy() {
        let stat = "cpu  1 20 300 4000 50000 600000 7000000 80000000 1 1\ncpu0 1 1 1 1\n";
        assert_eq!(idle_ticks(stat), Some(4_000 + 50_000 + 80_000_000));
        assert_eq!(idle_ticks("intr 1\n"), None);
        assert_eq!(idle_ticks("cpu  1 2 3\n"), None);
    }

    #[test]
    fn a_thread_that_works_keeps_a_cpu_busy() {
        let (busy, own) = (Busy::begin().expect("a start"), own_cpu().expect("a time"));
        while own_cpu().expect("a time") - own < Duration::from_millis(200) {}
        // The kernel tells idle times in steps of 10 ms.
        assert!(busy.until_now().expect("a time") >= Duration::from_millis(150));
    }

    #[test]
    fn the_time_of_a_process_is_read_behind_its_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 100 0 0 0 31 11 5 6 20 0 1 0";
        assert_eq!(used_ticks(stat), Some(42));
        assert_eq!(used_ticks("7 (a) S 1"), None);
        assert!(cpu_of(std::process::id()).is_ok());
    }

    #[test]
    fn the_memory_of_this_process_is_known() {
        assert!(peak_memory(std::process::id()).is_some_and(|octets| octets > 100_000));
    }
}
