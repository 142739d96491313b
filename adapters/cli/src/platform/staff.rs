//! Workers that are always there: on AWS Lambda runs as many as there is work for, here a few processes wait for it.

use std::{
    process::Command,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use mrpf_embedded::LocalFleet;
use mrpf_ports::{Fleet, InstanceState, clock::Wake};

use super::PlatformError;

/// How often it is looked whether all are there.
const LOOK: Duration = Duration::from_millis(250);
/// Before a process that has ended is started again; it doubles up to [`LONGEST`] while it ends at once.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);
/// From SIGTERM to SIGKILL: workers give back within 4 s what they have.
pub(super) const GRACE: Duration = Duration::from_secs(6);

/// Processes of one class, each started again when it ends. Dropped, it ends them and waits.
#[derive(Debug)]
pub(super) struct Staff {
    stop: Wake,
    thread: Option<JoinHandle<()>>,
}

impl Staff {
    /// Starts `count` processes by the commands that `command` makes.
    pub(super) fn start(
        count: u8,
        command: impl Fn() -> Command + Send + 'static,
    ) -> Result<Self, PlatformError> {
        let fleet = LocalFleet::new(command, GRACE)?;
        let stop = Wake::default();
        let places = (1..=u32::from(count)).map(Place::new).collect();
        let keeping = stop.clone();
        let thread = thread::Builder::new()
            .name("staff".to_owned())
            .spawn(move || keep(&fleet, places, &keeping))
            .map_err(|source| PlatformError::Start { what: "a thread for workers", source })?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Asks them to end, and does not wait yet.
    pub(super) fn stop(&self) {
        self.stop.set();
    }
}

impl Drop for Staff {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One of the processes.
struct Place {
    number: u32,
    /// Which process in this place; none was started yet at 0.
    generation: u32,
    started: Instant,
    pause: Duration,
}

impl Place {
    fn new(number: u32) -> Self {
        Self { number, generation: 0, started: Instant::now(), pause: Duration::ZERO }
    }
}

fn keep(fleet: &LocalFleet, mut places: Vec<Place>, stop: &Wake) {
    while !stop.is_set() {
        // Without a list nobody is started twice: the next look has one.
        if let Ok(instances) = fleet.list() {
            for place in &mut places {
                let now = Some((place.number, place.generation));
                let lives =
                    instances.iter().any(|it| it.slot == now && it.state == InstanceState::Live);
                if !lives && place.started.elapsed() >= place.pause {
                    start(fleet, place);
                }
            }
        }
        stop.wait(LOOK);
    }
}

fn start(fleet: &LocalFleet, place: &mut Place) {
    let is_first = place.generation == 0;
    let lasted = place.started.elapsed() > LONGEST;
    place.pause = if is_first || lasted { PAUSE } else { (place.pause * 2).min(LONGEST) };
    place.generation += 1;
    place.started = Instant::now();
    if let Err(error) = fleet.launch(place.number, place.generation) {
        tracing::error!(%error, "a worker cannot be started; trying again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ends_is_started_again_and_ever_more_slowly() {
        let folder = tempfile::tempdir().unwrap();
        let (starts, begin) = (folder.path().join("starts"), Instant::now());
        let command = {
            let starts = starts.clone();
            move || {
                let mut command = Command::new("sh");
                command.arg("-c").arg("echo >>\"$0\"").arg(&starts);
                command
            }
        };
        let staff = Staff::start(1, command).unwrap();
        let count = || std::fs::read(&starts).unwrap_or_default().len();
        // At the beginning, after a quarter of a second, and half a second after that.
        while count() < 3 && begin.elapsed() < Duration::from_secs(60) {
            thread::sleep(Duration::from_millis(10));
        }
        drop(staff);
        assert!(count() >= 3 && begin.elapsed() >= PAUSE * 3, "{:?}", begin.elapsed());
        let ended = count();
        thread::sleep(LOOK * 3);
        assert_eq!(count(), ended, "nobody is started any more");
    }

    #[test]
    fn all_places_are_taken_and_are_empty_again_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let command = {
            let path = folder.path().to_owned();
            move || {
                let mut command = Command::new("sh");
                command.arg("-c").arg("echo >\"$0/$$\"; exec sleep 600").arg(&path);
                command
            }
        };
        let staff = Staff::start(3, command).unwrap();
        let pids = || -> Vec<String> {
            let entries = std::fs::read_dir(folder.path()).unwrap().flatten();
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
        };
        let begin = Instant::now();
        while pids().len() < 3 && begin.elapsed() < Duration::from_secs(60) {
            thread::sleep(Duration::from_millis(10));
        }
        // Long enough that one more would be seen.
        thread::sleep(LOOK * 2);
        let pids = pids();
        assert_eq!(pids.len(), 3);
        drop(staff);
        assert!(pids.iter().all(|pid| !std::path::Path::new("/proc").join(pid).exists()));
    }
}
