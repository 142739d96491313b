//! When a scan is saved, and what can be said of it then.
//!
//! ```text
//! positions  0 ......... mark ............. started ......... total
//!            final, records on the disk |  under way        | not begun
//! ```
//!
//! The mark is read before the records of everything below it are flushed and synced, so a checkpoint never claims a record
//! that is not on the disk. Records from beyond the mark come again when the scan goes on. How many, at most, is told by a
//! history of how many records there were when how many positions had begun: whatever was written while no more than `mark`
//! positions had begun is from below the mark.

use std::{
    collections::VecDeque,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use mrpf_records::{Record, Timestamp};

use mrpf_console::say;

use crate::{
    checkpoint::{Checkpoint, Totals, Written},
    drive::Ended,
    error::CliError,
    kind::Scan,
    output::{Broken, Output, Sink},
    place::{Keep, Place},
    stdin::Stdin,
    words::Words,
};

/// How often, at least.
const EVERY: Duration = Duration::from_secs(5);
/// Between the first checkpoint and the second; each wait is twice the one before, up to [`EVERY`]. A scan that is killed
/// early then need not begin again.
const AT_FIRST: Duration = Duration::from_millis(250);

/// What a checkpoint says of a scan from its first to its last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fixed {
    /// The name of the scan.
    pub(crate) scan: String,
    pub(crate) words: Words,
    pub(crate) stdin: Stdin,
    /// The file of the records; none for standard output.
    pub(crate) output: Option<PathBuf>,
    pub(crate) shard: String,
    /// Why the scan can not go on at all, if it can not.
    pub(crate) trouble: Option<String>,
}

/// What the runs before this one have left.
#[derive(Clone, Debug, Default)]
pub(crate) struct Before {
    /// Where this one begins; none for the first run.
    pub(crate) mark: Option<u64>,
    pub(crate) so_far: Totals,
    /// At most so many records come twice by then.
    pub(crate) may_have_repeated: u64,
    /// More may come twice than that: what went to a pipe after the last checkpoint of a killed run is not known.
    pub(crate) is_uncounted: bool,
}

/// Saves one run of a scan.
#[derive(Debug)]
pub(crate) struct Saver {
    fixed: Fixed,
    before: Before,
    /// Where checkpoints go while the scan runs.
    keep: Option<Box<dyn Keep>>,
    /// The path of that, or where an interrupted scan is saved; none for one that never is.
    place: Option<Place>,
    /// From the last checkpoint to the next.
    wait: Duration,
    last: Option<Instant>,
    history: History,
    /// The mark when all records were last written.
    safe: u64,
    /// No record is written from here on, so the mark moves no more.
    is_frozen: bool,
    /// Records that were written are perhaps not on the disk.
    is_lost: bool,
    /// The mark of the last checkpoint that this run has kept.
    kept: Option<u64>,
    /// The last checkpoint, to be kept by [`close`](Self::close).
    last_one: Option<Checkpoint>,
    trouble: Option<String>,
}

/// Where a scan can go on.
#[derive(Debug)]
pub(crate) enum Saved {
    /// Nobody has asked for it.
    Not,
    /// In this file.
    At(PathBuf),
    /// It cannot: the file, and why.
    Failed(PathBuf, String),
}

impl Saver {
    /// For one run; `keep` is the file of `--checkpoint`, tried out.
    pub(crate) fn new(fixed: Fixed, before: Before, keep: Option<Place>) -> Self {
        let here = format!("mrpf-{}.checkpoint", fixed.scan);
        let place = keep.clone().unwrap_or_else(|| Place::new(here.as_ref(), &fixed.scan));
        let keep = keep.map(|place| Box::new(place) as Box<dyn Keep>);
        Self::with(fixed, before, keep, Some(place))
    }

    /// For what is never saved.
    #[cfg(test)]
    pub(crate) fn off() -> Self {
        Self::with(Fixed::default(), Before::default(), None, None)
    }

    fn with(
        fixed: Fixed,
        before: Before,
        keep: Option<Box<dyn Keep>>,
        place: Option<Place>,
    ) -> Self {
        let safe = before.mark.unwrap_or(0);
        Self {
            fixed,
            before,
            keep,
            place,
            wait: AT_FIRST,
            last: None,
            history: History::new(safe),
            safe,
            is_frozen: false,
            is_lost: false,
            kept: None,
            last_one: None,
            trouble: None,
        }
    }

    pub(crate) fn before(&self) -> &Before {
        &self.before
    }

    /// Counts a record that the output takes next.
    pub(crate) fn take(&mut self, record: &Record) {
        if matches!(record, Record::Host(_)) {
            self.history.hosts += 1;
        }
    }

    /// No record is written after the last flush, so the mark stays where it is.
    pub(crate) fn freeze(&mut self) {
        self.is_frozen = true;
    }

    /// Writing has failed. Some systems tell the loss of an octet at a later write, and tell it once: what was written since
    /// the last checkpoint is in doubt, and another try that succeeds would prove nothing.
    pub(crate) fn lose(&mut self) {
        self.is_lost = true;
    }

    /// After a flush: everything below `mark`, which was read before it, is written.
    ///
    /// `taken` records were taken before `started` positions had begun.
    pub(crate) fn flushed(&mut self, mark: u64, taken: u64, started: u64) {
        if self.is_frozen {
            return;
        }
        self.safe = self.safe.max(mark);
        self.history.note(started, taken);
        self.history.forget_below(self.safe);
    }

    /// Saves for the first time: what fails here fails before much was done.
    pub(crate) fn begin<S: Sink>(
        &mut self,
        scan: &Scan,
        output: &mut Output<S>,
    ) -> Result<(), CliError> {
        match self.save_if_due(Instant::now(), scan, output) {
            Err(Broken::Error(error)) => return Err(*error),
            Err(Broken::ReaderClosed) | Ok(()) => {}
        }
        match self.trouble.take() {
            Some(why) => Err(CliError::Save { path: self.path(), why }),
            None => Ok(()),
        }
    }

    /// Saves when it is time to, right after a flush. A checkpoint that cannot be written does not end the scan; records that cannot be, do.
    pub(crate) fn save_if_due<S: Sink>(
        &mut self,
        now: Instant,
        scan: &Scan,
        output: &mut Output<S>,
    ) -> Result<(), Broken> {
        let is_due = self.last.is_none_or(|last| now.duration_since(last) >= self.wait);
        if self.keep.is_none() || !is_due || output.is_broken() {
            return Ok(());
        }
        let is_first = self.last.replace(now).is_none();
        if !is_first {
            self.wait = (self.wait * 2).min(EVERY);
        }
        let octets = match output.sync() {
            Ok(octets) => octets,
            Err(broken) => {
                self.lose();
                return Err(broken);
            }
        };
        let checkpoint = self.checkpoint(scan, output.written(), octets, false, false);
        match self.write(&checkpoint) {
            Ok(()) => self.trouble = None,
            Err(why) if self.trouble.is_none() && !is_first => {
                let path = self.path();
                say(&format!(
                    "the checkpoint {} cannot be written ({why}); the scan goes on, and so do the attempts",
                    path.display()
                ));
                self.trouble = Some(why);
            }
            Err(why) => self.trouble = Some(why),
        }
        Ok(())
    }

    /// At the end: waits until the records are on the disk, and makes the last checkpoint, for where it was asked for and for
    /// any scan that was interrupted. What fails here changes how the scan has `ended`.
    pub(crate) fn conclude<S: Sink>(
        &mut self,
        scan: &Scan,
        output: &mut Output<S>,
        ended: &mut Ended,
        error: &mut Option<CliError>,
    ) {
        let octets = output.sync().unwrap_or_else(|broken| {
            self.lose();
            if let Broken::Error(lost) = broken {
                error.get_or_insert(*lost);
                if *ended == Ended::Through {
                    *ended = Ended::WriteFailed;
                }
            }
            None
        });
        if let (Some(CliError::Write { resume, .. }), Some(_)) = (error.as_mut(), self.kept) {
            *resume = Some(self.path());
        }
        if self.keep.is_none() {
            let Some(place) = self.place.clone().filter(|_| *ended == Ended::Interrupted) else {
                return;
            };
            self.keep = Some(Box::new(place));
        }
        let is_finished = *ended == Ended::Through && error.is_none();
        self.last_one = Some(self.checkpoint(scan, output.written(), octets, true, is_finished));
        if self.is_lost {
            self.safe = self.kept.or(self.before.mark).unwrap_or(0);
        }
    }

    /// Keeps the last checkpoint; `incomplete` is why the scan is not complete.
    pub(crate) fn close(&mut self, incomplete: Vec<String>) -> Saved {
        let Some(mut checkpoint) = self.last_one.take() else { return Saved::Not };
        let path = self.path();
        match self.kept {
            Some(_) if self.is_lost => return Saved::At(path),
            None if self.is_lost => {
                return Saved::Failed(path, "the records are perhaps not on the disk".to_owned());
            }
            _ => {}
        }
        checkpoint.incomplete = incomplete;
        match self.write(&checkpoint) {
            Ok(()) => Saved::At(path),
            Err(why) if self.kept.is_some() => {
                Saved::Failed(path, format!("{why}; it is still the one before"))
            }
            Err(why) => Saved::Failed(path, why),
        }
    }

    /// The mark of the last checkpoint, or of the next.
    pub(crate) fn mark(&self) -> u64 {
        self.safe
    }

    fn path(&self) -> PathBuf {
        self.place.as_ref().map(|place| place.path().to_owned()).unwrap_or_default()
    }

    fn write(&mut self, checkpoint: &Checkpoint) -> Result<(), String> {
        if matches!(self.fixed.stdin, Stdin::TooLong) {
            return Err(CliError::StdinTooLong.to_string());
        }
        if matches!(self.fixed.stdin, Stdin::Passing) {
            return Err(CliError::StdinPassing.to_string());
        }
        if let Some(why) = &self.fixed.trouble {
            return Err(why.clone());
        }
        // Again, as a path that is no text must not pass for none.
        self.fixed.words.to_text().map_err(|error| error.to_string())?;
        let text = checkpoint.to_json().map_err(|error| error.to_string())?;
        let keep = self.keep.as_mut().ok_or("there is no place for it")?;
        keep.keep(&text).map_err(|error| error.to_string())?;
        self.kept = Some(checkpoint.mark);
        Ok(())
    }

    fn checkpoint(
        &mut self,
        scan: &Scan,
        records: u64,
        octets: Option<u64>,
        closed: bool,
        finished: bool,
    ) -> Checkpoint {
        let (kind, format, mrpf) = Checkpoint::head();
        let summary = scan.summary();
        let total = summary.progress.total;
        if finished {
            self.safe = total;
        }
        Checkpoint {
            kind,
            format,
            mrpf,
            scan: self.fixed.scan.clone(),
            saved: Timestamp::from(SystemTime::now()),
            scanner: self.fixed.words.kind(),
            command: self.fixed.words.to_text().unwrap_or_default(),
            stdin: match &self.fixed.stdin {
                Stdin::Kept(text) => Some(text.clone()),
                Stdin::Unused | Stdin::TooLong | Stdin::Passing => None,
            },
            seed: summary.seed,
            shard: self.fixed.shard.clone(),
            fingerprint: format!("{:016x}", scan.fingerprint()),
            mark: self.safe,
            total,
            finished,
            closed,
            output: Written { path: self.fixed.output.clone(), octets },
            may_repeat: if finished { 0 } else { self.history.beyond(self.safe, records) },
            may_have_repeated: self.before.may_have_repeated,
            uncounted: self.before.is_uncounted,
            so_far: self.before.so_far.plus(&summary, records),
            incomplete: Vec::new(),
        }
    }
}

/// How many records there were when how many positions had begun.
#[derive(Debug)]
struct History {
    /// Positions and records, both growing.
    notes: VecDeque<(u64, u64)>,
    /// Records of hosts belong to no position: any of them can come again.
    hosts: u64,
}

impl History {
    fn new(start: u64) -> Self {
        Self { notes: VecDeque::from([(start, 0)]), hosts: 0 }
    }

    /// `records` were taken before `started` was read.
    fn note(&mut self, started: u64, records: u64) {
        match self.notes.back_mut() {
            Some((last, taken)) if *last >= started => *taken = records,
            _ => self.notes.push_back((started, records)),
        }
    }

    /// Forgets what no mark from `mark` on asks for.
    fn forget_below(&mut self, mark: u64) {
        while self.notes.get(1).is_some_and(|(started, _)| *started <= mark) {
            self.notes.pop_front();
        }
    }

    /// How many of `written` records can be from `mark` or beyond, at most.
    fn beyond(&self, mark: u64, written: u64) -> u64 {
        let below = self.notes.iter().take_while(|(started, _)| *started <= mark).last();
        let below = below.map_or(0, |(_, records)| *records);
        written.saturating_sub(below).saturating_add(self.hosts).min(written)
    }
}

#[cfg(test)]
pub(crate) mod tests;
