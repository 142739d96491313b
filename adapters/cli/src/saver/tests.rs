use std::{
    io,
    num::NonZeroU64,
    sync::{Arc, Mutex},
};

use mrpf_console::{
    Signals,
    exit::{DONE, FAILED, INTERRUPTED},
};

use super::*;
use crate::{
    args::Format,
    drive::{
        Driven, Ended, Limits, drive,
        tests::{HOSTS, disk, scan},
    },
    output::{Form, tests::Disk},
    progress::{Progress, Wanted},
};

/// Keeps checkpoints in memory, until it fails.
#[derive(Clone, Debug, Default)]
struct Memory {
    kept: Arc<Mutex<Vec<Checkpoint>>>,
    /// How many it takes before it fails, if it does.
    room: Option<usize>,
}

impl Keep for Memory {
    fn keep(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut kept = self.kept.lock().unwrap();
        if self.room.is_some_and(|room| kept.len() >= room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        kept.push(serde_json::from_slice(bytes).unwrap());
        Ok(())
    }
}

impl Memory {
    fn last(&self) -> Checkpoint {
        self.kept.lock().unwrap().last().unwrap().clone()
    }

    /// A saver of a first run that saves at every flush.
    fn saver(&self) -> Saver {
        let words = crate::words::tests::asked("198.19.0.0/24 -p 80 --seed 7").words;
        let fixed = Fixed { scan: "0f".to_owned(), words, ..Fixed::default() };
        let place = Some(Place::new("nowhere/checkpoint".as_ref(), "0f"));
        let mut saver = Saver::with(fixed, Before::default(), Some(Box::new(self.clone())), place);
        saver.wait = Duration::ZERO;
        saver
    }
}

fn run(saver: &mut Saver, output: &mut Output<Disk>, limits: Limits, signals: &Signals) -> Driven {
    let quiet = Wanted { quiet: true, verbose: false, records_on_terminal: false };
    let mut progress = Progress::new(quiet, Duration::from_secs(10));
    let mut driven = drive(&mut scan(), output, limits, &mut progress, signals, saver);
    driven.saved = saver.close(crate::summary::incomplete(&driven));
    driven
}

#[test]
fn a_scan_that_is_through_leaves_nothing_to_do() {
    let (memory, mut output) = (Memory::default(), disk(1 << 20));
    let driven = run(&mut memory.saver(), &mut output, Limits::default(), &Signals::default());
    assert_eq!(driven.exit_code(), DONE);
    let last = memory.last();
    assert!(last.finished && last.closed);
    assert_eq!((last.mark, last.total, last.may_repeat), (HOSTS, HOSTS, 0));
    assert_eq!(last.output.octets, Some(output.sink().held.len() as u64));
    assert_eq!((last.so_far.records, last.so_far.runs), (HOSTS, 1));
    assert_eq!(last.command.last().unwrap(), "198.19.0.0/24");
    assert!(last.incomplete.is_empty());
}

/// Each checkpoint, whenever it was written: what it does not claim is all that can come again.
#[test]
fn a_checkpoint_never_claims_what_is_not_on_the_disk() {
    let (memory, mut output) = (Memory::default(), disk(1 << 20));
    run(&mut memory.saver(), &mut output, Limits::default(), &Signals::default());
    let kept = memory.kept.lock().unwrap();
    assert!(kept.len() >= 2);
    assert_eq!(output.sink().syncs as usize, kept.len());
    for one in kept.iter() {
        let octets = one.output.octets.unwrap() as usize;
        let lines = output.sink().held[..octets].iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(lines as u64, one.so_far.records);
        // All hosts are open: a position below the mark is a line.
        assert!(one.so_far.records >= one.mark, "{one:?}");
        assert!(one.may_repeat >= one.so_far.records.saturating_sub(one.mark), "{one:?}");
    }
}

#[test]
fn an_interrupted_scan_is_saved_without_being_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint");
    let signals = Signals::default();
    signals.ask();
    let fixed = Fixed { scan: "0f".to_owned(), ..Fixed::default() };
    let mut saver = Saver::with(fixed, Before::default(), None, Some(Place::new(&path, "0f")));
    let driven = run(&mut saver, &mut disk(1 << 20), Limits::default(), &signals);
    assert_eq!(driven.exit_code(), INTERRUPTED);
    assert!(matches!(&driven.saved, Saved::At(at) if *at == path));
    let read = Checkpoint::read(&path).unwrap();
    assert!(!read.finished && read.closed && read.mark < read.total);
    assert_eq!(read.so_far.records, driven.written);
    assert!(read.may_repeat >= driven.written - read.mark);
}

#[test]
fn an_interrupted_scan_that_cannot_be_saved_says_so_and_ends_all_the_same() {
    let (memory, signals) = (Memory { room: Some(0), ..Memory::default() }, Signals::default());
    signals.ask();
    let driven = run(&mut memory.saver(), &mut disk(1 << 20), Limits::default(), &signals);
    assert_eq!((driven.ended, driven.exit_code()), (Ended::Interrupted, FAILED));
    assert!(matches!(&driven.saved, Saved::Failed(..)), "{:?}", driven.saved);
}

#[test]
fn limits_are_saved_only_where_it_was_asked_for() {
    let limits = Limits { results: NonZeroU64::new(3), time: None };
    let (memory, mut output) = (Memory::default(), disk(1 << 20));
    let driven = run(&mut memory.saver(), &mut output, limits, &Signals::default());
    assert!(matches!(driven.saved, Saved::At(_)));
    let last = memory.last();
    // What came after the limit is not written, so the mark must not pass it.
    assert!(last.mark <= 3 && last.so_far.records == 3 && !last.finished, "{last:?}");
    let driven = run(&mut Saver::off(), &mut disk(1 << 20), limits, &Signals::default());
    assert!(matches!(driven.saved, Saved::Not));
}

#[test]
fn a_checkpoint_that_cannot_be_written_does_not_end_the_scan() {
    let memory = Memory { room: Some(1), ..Memory::default() };
    let mut output = disk(1 << 20);
    let driven = run(&mut memory.saver(), &mut output, Limits::default(), &Signals::default());
    assert_eq!((driven.ended, driven.written), (Ended::Through, HOSTS));
    assert!(matches!(&driven.saved, Saved::Failed(..)));
    let told = crate::report::tests::settings();
    assert!(crate::summary::going_on(&driven, &told).unwrap().contains("could not be written"));
}

/// Which of the writes before it was lost is not known: the last checkpoint stays as it is.
#[test]
fn a_write_that_fails_leaves_the_checkpoint_before_it() {
    let (memory, mut output) = (Memory::default(), disk(1_000));
    let mut saver = memory.saver();
    saver.begin(&scan(), &mut output).unwrap();
    saver.wait = Duration::from_secs(3_600);
    let driven = run(&mut saver, &mut output, Limits::default(), &Signals::default());
    assert_eq!(driven.ended, Ended::WriteFailed);
    assert!(!output.sink().held.is_empty());
    assert_eq!(memory.kept.lock().unwrap().len(), 1, "only the first");
    let last = memory.last();
    assert_eq!((last.mark, last.output.octets, last.finished), (0, Some(0), false));
    // That one is what the scan goes on with, and is told.
    assert!(matches!(driven.saved, Saved::At(_)) && driven.mark == 0);
    let Some(error) = driven.error else { panic!("no error") };
    assert!(error.to_string().ends_with("--resume=nowhere/checkpoint"), "{error}");
}

/// Nobody has asked for a checkpoint, and still the records must be on the disk before anybody says done.
#[test]
fn the_end_of_a_scan_waits_for_the_disk() {
    let disk = Disk { room: 1 << 20, piece: 100, sync_fails: true, ..Disk::default() };
    let mut output = Output::new(disk, "list".to_owned(), Form::syn(Format::List));
    let driven = run(&mut Saver::off(), &mut output, Limits::default(), &Signals::default());
    assert_eq!(output.sink().syncs, 1);
    assert!(!driven.is_complete() && driven.ended == Ended::WriteFailed);
    assert!(matches!(driven.error, Some(CliError::Write { resume: None, .. })));
}

/// The system tells that writing failed once, at the first fsync.
#[test]
fn a_disk_that_loses_what_it_took_is_not_claimed() {
    let memory = Memory::default();
    let disk = Disk { room: 1 << 20, piece: 100, sync_fails: true, ..Disk::default() };
    let mut output = Output::new(disk, "list".to_owned(), Form::syn(Format::List));
    let driven = run(&mut memory.saver(), &mut output, Limits::default(), &Signals::default());
    assert_eq!(driven.ended, Ended::WriteFailed);
    assert!(matches!(&driven.saved, Saved::Failed(_, why) if why.contains("on the disk")));
    assert!(memory.kept.lock().unwrap().is_empty());
    assert!(matches!(driven.error, Some(CliError::Write { .. })));
}

#[test]
fn the_first_checkpoint_must_succeed() {
    let memory = Memory { room: Some(0), ..Memory::default() };
    let error = memory.saver().begin(&scan(), &mut disk(1 << 20)).unwrap_err();
    assert!(error.to_string().contains("nowhere/checkpoint"), "{error}");
    let memory = Memory::default();
    memory.saver().begin(&scan(), &mut disk(1 << 20)).unwrap();
    assert_eq!((memory.last().mark, memory.last().may_repeat), (0, 0));
}

#[test]
fn standard_input_that_was_too_long_is_not_saved() {
    let memory = Memory::default();
    let mut saver = memory.saver();
    saver.fixed.stdin = Stdin::TooLong;
    let error = saver.begin(&scan(), &mut disk(1 << 20)).unwrap_err();
    assert!(error.to_string().contains("give the targets in a file"), "{error}");
}

/// Ctrl-C must not promise that a list from a pipe can be read again.
#[test]
fn what_cannot_go_on_is_not_saved() {
    let (memory, signals) = (Memory::default(), Signals::default());
    signals.ask();
    let mut saver = memory.saver();
    saver.fixed.trouble = Some("no such list".to_owned());
    let driven = run(&mut saver, &mut disk(1 << 20), Limits::default(), &signals);
    assert!(matches!(&driven.saved, Saved::Failed(_, why) if why == "no such list"));
    assert_eq!(driven.exit_code(), FAILED);
}

/// Records against the rule: those written while at most `mark` positions had begun stay.
#[test]
fn history_tells_what_can_come_again() {
    let mut history = History::new(100);
    for (started, records) in [(100, 0), (200, 10), (300, 50), (300, 60), (400, 90)] {
        history.note(started, records);
    }
    let beyond = |mark| history.beyond(mark, 95);
    assert_eq!((beyond(99), beyond(100), beyond(199)), (95, 95, 95));
    assert_eq!((beyond(200), beyond(299), beyond(300), beyond(399)), (85, 85, 35, 35));
    assert_eq!((beyond(400), beyond(u64::MAX)), (5, 5));
    // A disk that filled up holds fewer than were taken.
    assert_eq!(history.beyond(400, 80), 0);
    history.hosts = 3;
    assert_eq!((history.beyond(400, 95), history.beyond(400, 2)), (8, 2));
}

/// A scan whose answers take their time, in which every position below the mark has its record and others have too.
#[test]
fn history_is_never_short_of_what_comes_again() {
    use std::hash::BuildHasher as _;

    for seed in 0..200_u64 {
        let random = |at: u64| {
            std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default()
                .hash_one((seed, at))
        };
        let (pace, tail) = (1 + random(1) % 9, 1 + random(2) % 300);
        // When each position begins, and when its record is taken.
        let begins = |position: u64| position / pace;
        let taken_at = |position: u64| begins(position) + random(1_000 + position) % tail;
        let mut history = History::new(0);
        for now in (0..400).step_by(1 + random(3) as usize % 20) {
            let started = (0..2_000).take_while(|position| begins(*position) <= now).count() as u64;
            let is_taken = |position: &u64| taken_at(*position) <= now;
            let mark = (0..started).find(|position| !is_taken(position)).unwrap_or(started);
            let records = (0..started).filter(is_taken).count() as u64;
            history.note(started, records);
            history.forget_below(mark);
            let beyond = (mark..started).filter(is_taken).count() as u64;
            let told = history.beyond(mark, records);
            assert!(beyond <= told && told <= records, "{seed} {now}: {beyond} {told} {records}");
        }
    }
}

#[test]
fn history_forgets_what_no_later_mark_needs() {
    let mut history = History::new(0);
    for at in 1..=1_000 {
        history.note(at * 10, at);
    }
    let before = history.beyond(5_005, 1_000);
    history.forget_below(5_005);
    assert_eq!(history.beyond(5_005, 1_000), before);
    assert_eq!(history.notes.len(), 501);
    for _ in 0..1_000 {
        history.note(10_000, 2_000);
    }
    assert_eq!(history.notes.len(), 501, "a scan that waits adds nothing");
}
