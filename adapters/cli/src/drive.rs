//! The one loop over a scan: records out, progress shown, signals and limits obeyed.

use std::{
    num::NonZeroU64,
    time::{Duration, Instant, SystemTime},
};

use mrpf_console::Signals;
use mrpf_dns::{NextLine, lookup::Counted};
use mrpf_engine::scan::Failure;
use mrpf_records::Record;
use mrpf_syn::{Next, Summary};

use crate::{
    error::CliError,
    kind::{Kind, Scan, Tally},
    output::{Broken, Output, Sink},
    progress::Progress,
    saver::{Before, Saved, Saver},
};

/// How long to wait for a record before something else is looked after.
const WAIT: Duration = Duration::from_millis(50);
/// Longest that a record is held back when more keep coming.
const HOLD: Duration = Duration::from_millis(100);

/// When to stop before the end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) results: Option<NonZeroU64>,
    pub(crate) time: Option<Duration>,
}

/// What ended a scan.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ended {
    /// It was through.
    Through,
    /// A packet thread failed.
    Failed,
    /// A signal.
    Interrupted,
    /// `--max-results`.
    MaxResults,
    /// `--max-time`.
    MaxTime,
    /// Whoever read the records has closed the pipe.
    ReaderClosed,
    /// The records could not be written.
    WriteFailed,
}

impl Ended {
    /// The word of the JSON summary.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Through => "through",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::MaxResults => "max-results",
            Self::MaxTime => "max-time",
            Self::ReaderClosed => "reader-closed",
            Self::WriteFailed => "write-failed",
        }
    }
}

/// A scan that has ended.
#[derive(Debug)]
pub(crate) struct Driven {
    pub(crate) summary: Summary,
    /// See [`Scan::tally`].
    pub(crate) tally: Tally,
    pub(crate) kind: Kind,
    /// See [`Scan::lookups`].
    pub(crate) lookups: Option<Counted>,
    pub(crate) ended: Ended,
    /// What has to be told as an error.
    pub(crate) error: Option<CliError>,
    /// Records that were written whole.
    pub(crate) written: u64,
    pub(crate) started: SystemTime,
    pub(crate) finished: SystemTime,
    /// What the runs before have left.
    pub(crate) before: Before,
    /// Everything before this position of the order is final and written.
    pub(crate) mark: u64,
    /// Where the scan can go on, once [`Saver::close`] has kept it.
    pub(crate) saved: Saved,
}

/// Drives a scan to its end, which a signal, a limit or a failure may bring early. What was found is written then too, and
/// is on the disk. The last checkpoint is kept by [`Saver::close`], after what else there is to write.
pub(crate) fn drive<S: Sink>(
    scan: &mut Scan,
    output: &mut Output<S>,
    limits: Limits,
    progress: &mut Progress,
    signals: &Signals,
    saver: &mut Saver,
) -> Driven {
    let started = SystemTime::now();
    let mut driving = Driving {
        stop: scan.stop(),
        output,
        saver,
        limits,
        begin: Instant::now(),
        flushed: Instant::now(),
        results: 0,
        ended: None,
        error: None,
    };
    loop {
        match driving.next(scan) {
            Taken::Record(record) => driving.take(&record, scan, progress),
            Taken::Line => driving.took_line(scan, progress),
            Taken::Later => driving.flush(scan, progress),
            Taken::End => break,
        }
        let now = Instant::now();
        driving.look(now, signals);
        if now.duration_since(driving.flushed) >= HOLD {
            driving.flush(scan, progress);
        }
        progress.show(now, scan);
    }
    driving.flush(scan, progress);
    progress.end();
    if let Some(failure) = scan.take_failure() {
        driving.fail(failure);
    }
    let Driving { ended, mut error, output, saver, .. } = driving;
    let mut ended = ended.unwrap_or(Ended::Through);
    saver.conclude(scan, output, &mut ended, &mut error);
    Driven {
        summary: scan.summary(),
        tally: scan.tally(),
        kind: scan.kind(),
        lookups: scan.lookups(),
        ended,
        error,
        written: output.written(),
        started,
        finished: SystemTime::now(),
        before: saver.before().clone(),
        mark: saver.mark(),
        saved: Saved::Not,
    }
}

struct Driving<'a, S> {
    stop: mrpf_engine::scan::Stop,
    output: &'a mut Output<S>,
    saver: &'a mut Saver,
    limits: Limits,
    begin: Instant,
    flushed: Instant,
    results: u64,
    /// The first reason there was.
    ended: Option<Ended>,
    error: Option<CliError>,
}

/// What [`Driving::next`] gives.
enum Taken {
    Record(Record),
    /// The output has it already.
    Line,
    Later,
    End,
}

impl<S: Sink> Driving<'_, S> {
    /// The next record, or its line where lines of JSON are wanted and the scan can write them by itself.
    fn next(&mut self, scan: &mut Scan) -> Taken {
        if self.results < self.limit()
            && let (Some(lines), Scan::Dns(scan)) = (self.output.json_lines(), &mut *scan)
        {
            return match scan.next_line_within(WAIT, lines) {
                NextLine::Written => Taken::Line,
                NextLine::Later => Taken::Later,
                NextLine::End => Taken::End,
            };
        }
        match scan.next_within(WAIT) {
            Next::Record(record) => Taken::Record(record),
            Next::Later => Taken::Later,
            Next::End => Taken::End,
        }
    }

    fn limit(&self) -> u64 {
        self.limits.results.map_or(u64::MAX, NonZeroU64::get)
    }

    fn take(&mut self, record: &Record, scan: &Scan, progress: &Progress) {
        if self.results >= self.limit() {
            return; // answers that were on their way when the limit was reached
        }
        let is_full = self.output.push(record);
        self.saver.take(record);
        // What is said of a whole host is no result of its own.
        if !matches!(record, Record::Host(_)) {
            self.results += 1;
        }
        self.took(is_full, scan, progress);
    }

    fn took_line(&mut self, scan: &Scan, progress: &Progress) {
        let is_full = self.output.took_line();
        self.results += 1;
        self.took(is_full, scan, progress);
    }

    fn took(&mut self, is_full: bool, scan: &Scan, progress: &Progress) {
        if self.results == self.limit() {
            // The mark goes on to move, past records that are left out.
            self.flush(scan, progress);
            self.saver.freeze();
            self.end(Ended::MaxResults);
        } else if is_full {
            self.flush(scan, progress);
        }
    }

    fn look(&mut self, now: Instant, signals: &Signals) {
        if self.ended.is_some() {
            return;
        }
        if signals.asked() {
            self.end(Ended::Interrupted);
        } else if self.limits.time.is_some_and(|limit| now.duration_since(self.begin) >= limit) {
            self.end(Ended::MaxTime);
        }
    }

    /// Writes what was gathered, and saves when it is time to.
    fn flush(&mut self, scan: &Scan, progress: &Progress) {
        let now = Instant::now();
        self.flushed = now;
        // In this order: see the saver.
        let (mark, taken) = (scan.mark(), self.output.taken());
        let reached = scan.progress().reached;
        let done =
            if self.output.is_waiting() { progress.aside(|| self.output.flush()) } else { Ok(()) };
        let done = done.and_then(|()| {
            if !self.output.is_broken() {
                self.saver.flushed(mark, taken, reached);
            }
            self.saver.save_if_due(now, scan, self.output)
        });
        match done {
            Ok(()) => {}
            Err(Broken::ReaderClosed) => self.end(Ended::ReaderClosed),
            Err(Broken::Error(error)) => {
                self.saver.lose();
                self.end(Ended::WriteFailed);
                self.error = Some(*error);
            }
        }
    }

    /// The link is gone, or a thread.
    fn fail(&mut self, failure: Failure) {
        // The first trouble is the one to tell.
        self.error.get_or_insert(CliError::Failure(failure));
        self.ended.get_or_insert(Ended::Failed);
    }

    fn end(&mut self, why: Ended) {
        self.ended.get_or_insert(why);
        self.stop.stop();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io;

    use mrpf_engine::link::sim::{
        Faults, Network,
        hosts::{Behaviour, Hosts, OpenHost},
    };

    use mrpf_console::exit::{DONE, INCOMPLETE, INTERRUPTED};

    use super::*;
    use crate::{
        args::Format,
        output::{Form, tests::Disk},
        progress::Wanted,
        summary,
    };

    pub(crate) const HOSTS: u64 = 256;

    /// A scan of 256 simulated hosts with one open port each.
    pub(crate) fn scan() -> Scan {
        let all = ([198, 19, 0, 0], [198, 19, 0, 255]);
        let hosts = Hosts::new(7).rule(all, 0..=u16::MAX, Behaviour::Open(OpenHost::linux()));
        let scan = mrpf_syn::Scan::builder()
            .target("198.19.0.0/24")
            .ports("80")
            .allow_reserved(true)
            .seed(7)
            .simulated(Network::new(7, hosts, Faults::default()))
            .build();
        Scan::Syn(Box::new(scan.unwrap()))
    }

    pub(crate) fn disk(room: usize) -> Output<Disk> {
        Output::new(
            Disk { room, piece: 100, ..Disk::default() },
            "list".to_owned(),
            Form::syn(Format::List),
        )
    }

    pub(crate) fn drive_quietly(
        output: &mut Output<Disk>,
        limits: Limits,
        signals: &Signals,
    ) -> Driven {
        let quiet = Wanted { quiet: true, verbose: false, records_on_terminal: false };
        let mut progress = Progress::new(quiet, Duration::from_secs(10));
        let mut saver = Saver::off();
        drive(&mut scan(), output, limits, &mut progress, signals, &mut saver)
    }

    fn lines(output: &Output<Disk>) -> u64 {
        output.sink().held.iter().filter(|byte| **byte == b'\n').count() as u64
    }

    #[test]
    fn a_scan_that_is_through_is_done() {
        let mut output = disk(1 << 20);
        let driven = drive_quietly(&mut output, Limits::default(), &Signals::default());
        assert_eq!(
            (driven.ended, driven.exit_code(), driven.written),
            (Ended::Through, DONE, HOSTS)
        );
        assert!(driven.is_complete() && driven.error.is_none());
        assert_eq!(lines(&output), HOSTS);
        assert!(summary::incomplete(&driven).is_empty());
    }

    #[test]
    fn as_many_records_are_written_as_were_asked_for() {
        let mut output = disk(1 << 20);
        let limits = Limits { results: NonZeroU64::new(3), time: None };
        let driven = drive_quietly(&mut output, limits, &Signals::default());
        assert_eq!((driven.ended, driven.exit_code()), (Ended::MaxResults, INCOMPLETE));
        assert_eq!((driven.written, lines(&output)), (3, 3));
    }

    #[test]
    fn records_of_every_scanner_count() {
        let all = ([198, 19, 0, 0], [198, 19, 0, 255]);
        let hosts = Hosts::new(7).rule(all, 0..=u16::MAX, Behaviour::closed());
        let targets = mrpf_syn::Scan::builder()
            .target("198.19.0.0/24")
            .ports("443")
            .allow_reserved(true)
            .simulated(Network::new(7, hosts, Faults::default()));
        let scan = mrpf_tls::Scan::builder(targets).show(mrpf_tls::Show::ALL).build();
        let mut scan = Scan::Tls(Box::new(scan.unwrap()));
        let form = Form { kind: Kind::Tls, format: Format::Csv, by_server: false };
        let mut output = Output::new(
            Disk { room: 1 << 20, piece: 100, ..Disk::default() },
            "csv".to_owned(),
            form,
        );
        let quiet = Wanted { quiet: true, verbose: false, records_on_terminal: false };
        let driven = drive(
            &mut scan,
            &mut output,
            Limits { results: NonZeroU64::new(3), time: None },
            &mut Progress::new(quiet, Duration::from_secs(10)),
            &Signals::default(),
            &mut Saver::off(),
        );
        assert_eq!((driven.ended, driven.written), (Ended::MaxResults, 3));
    }

    #[test]
    fn a_limit_of_time_makes_a_scan_incomplete() {
        let mut output = disk(1 << 20);
        let limits = Limits { results: None, time: Some(Duration::from_nanos(1)) };
        let driven = drive_quietly(&mut output, limits, &Signals::default());
        assert_eq!((driven.ended, driven.exit_code()), (Ended::MaxTime, INCOMPLETE));
        assert!(summary::incomplete(&driven)[0].contains("--max-time"));
    }

    #[test]
    fn an_interrupted_scan_says_so_and_keeps_what_it_found() {
        let mut output = disk(1 << 20);
        let signals = Signals::default();
        signals.ask();
        let driven = drive_quietly(&mut output, Limits::default(), &signals);
        assert_eq!((driven.ended, driven.exit_code()), (Ended::Interrupted, INTERRUPTED));
        assert_eq!(driven.written, lines(&output));
        assert!(driven.written > 0 && !driven.is_complete());
        assert_eq!(driven.written, driven.summary.states[0]);
    }

    #[test]
    fn a_full_disk_ends_a_scan_with_whole_lines() {
        let mut output = disk(1_000);
        let driven = drive_quietly(&mut output, Limits::default(), &Signals::default());
        assert_eq!(driven.ended, Ended::WriteFailed);
        assert!(
            matches!(&driven.error, Some(CliError::Write { kept, .. }) if *kept == lines(&output))
        );
        assert!(output.sink().held.ends_with(b"\n") && output.sink().held.len() > 980);
        assert!(!driven.is_complete());
    }

    #[test]
    fn a_reader_that_goes_away_ends_a_scan_quietly() {
        let disk = Disk { full: Some(io::ErrorKind::BrokenPipe), ..Disk::default() };
        let mut output = Output::new(disk, "standard output".to_owned(), Form::syn(Format::List));
        let driven = drive_quietly(&mut output, Limits::default(), &Signals::default());
        assert_eq!(
            (driven.ended, driven.exit_code(), driven.written),
            (Ended::ReaderClosed, INCOMPLETE, 0)
        );
        assert!(driven.error.is_none());
    }
}
