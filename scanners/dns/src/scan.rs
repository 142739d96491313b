//! Lookups under way and what remains of them.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use crossbeam_channel::RecvTimeoutError;
use mrpf_engine::{
    governor::Rate,
    link::xdp::Choice,
    scan::{Failure, Listening, Progress, Session, Stepped, Stop},
    stats::Counts,
    target::Excluded,
    time::{Clock, Instant},
};
use mrpf_records::{Record, Timestamp};
use mrpf_syn::{Holding, Next, Summary as Base};

use crate::{
    ask::Ask,
    build::Builder,
    line::Lines,
    lookup::{Batch, Counted, End, Inbox, Lookups, Marks, Tally},
    names::{Feeder, Names, Questions},
    row::Rows,
    show::Show,
};

/// Lookups under way: an iterator over their records, one a question.
///
/// Records come in the order in which lookups end. A consumer that is slow makes them wait. Dropped, it stops.
#[derive(Debug)]
pub struct Scan {
    drive: Drive,
    session: Arc<Session>,
    inbox: Inbox,
    /// What is being read, and how much of it was.
    reading: Option<(Batch, usize)>,
    marks: Marks,
    mark: Mark,
    tallies: Vec<Arc<Tally>>,
    rows: Rows,
    lines: Lines,
    show: Show,
    /// The wall-clock time of the engine's zero.
    start: SystemTime,
    ended: Option<Instant>,
    failure: Option<Failure>,
    facts: Facts,
}

/// Who makes the lookups go on.
pub(crate) enum Drive {
    Threads { listening: Option<Listening>, feeder: Option<Feeder>, clock: Clock },
    Stepped(Box<Stepped<Lookups<List>>>),
}

/// The questions about a list of any kind.
pub(crate) type List = Questions<Box<dyn Names>>;

impl std::fmt::Debug for Drive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Threads { .. } => "Threads",
            Self::Stepped(_) => "Stepped",
        })
    }
}

/// What is known before the first query and wanted in the summary.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) link: &'static str,
    pub(crate) choice: Option<Choice>,
    /// Of lookups on a real interface.
    pub(crate) holding: Option<Holding>,
    /// Those that were listed.
    pub(crate) resolvers: u64,
    pub(crate) seed: u64,
    pub(crate) fingerprint: u64,
    pub(crate) source_ports: (u16, u16),
    pub(crate) threads: u8,
    /// When the first query could leave.
    pub(crate) began: Instant,
}

/// How far the records that were handed out are complete. What lies below `next` was in the queue when that held `queued` batches:
/// once these are read, it is reached.
#[derive(Clone, Copy, Debug)]
struct Mark {
    start: u64,
    reached: u64,
    next: u64,
    queued: usize,
}

/// What [`Scan::next_told`] gives.
enum Told<T> {
    Now(T),
    Later,
    End,
}

/// See [`Scan::next_line_within`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NextLine {
    /// A line was written.
    Written,
    /// None yet.
    Later,
    /// No more will come.
    End,
}

/// What lookups have done, for people and for programs.
#[derive(Clone, Debug)]
pub struct Summary {
    /// What every scan has done; hosts are the resolvers that were listed, targets the questions.
    pub base: Base,
    /// What the lookups have counted.
    pub lookups: Counted,
}

impl Scan {
    /// Describes lookups of `ask` at `resolvers`: see [`Builder::new`].
    pub fn builder(resolvers: mrpf_syn::Builder, ask: Ask) -> Builder {
        Builder::new(resolvers, ask)
    }

    pub(crate) fn new(
        drive: Drive,
        session: Arc<Session>,
        inbox: Inbox,
        marks: Marks,
        tallies: Vec<Arc<Tally>>,
        facts: Facts,
        (show, wants_wire): (Show, bool),
    ) -> Self {
        let start = match &drive {
            Drive::Threads { clock, .. } => clock.start_wall(),
            Drive::Stepped(_) => SystemTime::UNIX_EPOCH,
        };
        let first = marks.mark();
        Self {
            drive,
            session,
            inbox,
            reading: None,
            marks,
            mark: Mark { start: first, reached: first, next: first, queued: 0 },
            tallies,
            rows: Rows::new(wants_wire),
            lines: Lines::new(wants_wire),
            show,
            start,
            ended: None,
            failure: None,
            facts,
        }
    }

    /// The handle that ends the lookups early, from any thread. What was found until then still comes.
    pub fn stop(&self) -> Stop {
        self.session.stop().clone()
    }

    /// How far the lookups are, in questions. How many there will be is not known before the end: until then the total is
    /// what was asked so far.
    pub fn progress(&self) -> Progress {
        let (start, counted) = (self.mark.start, self.counted());
        let started = start + counted.questions + counted.invalid;
        let settled = start + counted.ends();
        Progress { total: started, started, reached: started, settled }
    }

    /// Whether the total of [`Self::progress`] is that of all questions.
    pub fn knows_total(&self) -> bool {
        self.ended.is_some()
    }

    /// A copy of the engine's counters.
    pub fn counts(&self) -> Counts {
        self.session.counts()
    }

    /// What the lookups have counted so far.
    pub fn counted(&self) -> Counted {
        let all = self.tallies.iter().map(|tally| tally.counted());
        all.reduce(|sum, more| sum.plus(&more)).unwrap_or_default()
    }

    /// A number of the order of questions below which all have ended and their records, if they give one, have been handed out.
    /// It never decreases, and lookups that [start at](Builder::start_at) it leave nothing out.
    pub fn mark(&self) -> u64 {
        self.mark.reached
    }

    /// A number that tells lookups of different names, types, classes or shards apart: a mark means something to scans with the
    /// same number alone. Of what a file says only the length counts, of standard input nothing.
    pub fn fingerprint(&self) -> u64 {
        self.facts.fingerprint
    }

    /// How many threads ask and listen.
    pub fn threads(&self) -> u8 {
        self.facts.threads
    }

    /// The rate in force.
    pub fn rate(&self) -> Rate {
        self.session.rate()
    }

    /// Nothing is excluded: names are not addresses.
    pub fn excluded(&self) -> Excluded {
        Excluded::default()
    }

    /// The next record, waiting up to `wait` for it. Questions that give no record do not make it wait longer.
    pub fn next_within(&mut self, wait: Duration) -> Next {
        match self.next_told(wait, |rows, _, end, ts, show| {
            let row = rows.row(end, ts);
            show.shows(&row).then_some(row)
        }) {
            Told::Now(row) => Next::Record(Record::Dns(row)),
            Told::Later => Next::Later,
            Told::End => Next::End,
        }
    }

    /// The next record as serde_json writes it, appended to `out` with the end of a line behind it: the same octets for less time.
    pub fn next_line_within(&mut self, wait: Duration, out: &mut Vec<u8>) -> NextLine {
        let told = self.next_told(wait, |rows, lines, end, ts, show| {
            if show == Show::ALL
                && let Some(line) = lines.line(end, ts)
            {
                out.extend_from_slice(line.as_bytes());
            } else {
                let row = rows.row(end, ts);
                if !show.shows(&row) {
                    return None;
                }
                // Writing to memory does not fail, and neither does what a record is made of.
                serde_json::to_writer(&mut *out, &Record::Dns(row)).ok()?;
            }
            out.push(b'\n');
            Some(())
        });
        match told {
            Told::Now(()) => NextLine::Written,
            Told::Later => NextLine::Later,
            Told::End => NextLine::End,
        }
    }

    /// What `tell` makes of the next end that it makes something of.
    fn next_told<T>(
        &mut self,
        wait: Duration,
        mut tell: impl FnMut(&mut Rows, &mut Lines, &End<'_>, Timestamp, Show) -> Option<T>,
    ) -> Told<T> {
        let begin = std::time::Instant::now();
        loop {
            if let Some((batch, at)) = &mut self.reading {
                if let Some(end) = batch.get(*at) {
                    *at += 1;
                    let ts = Timestamp::from(self.start + Duration::from_nanos(end.at.as_nanos()));
                    if let Some(told) = tell(&mut self.rows, &mut self.lines, &end, ts, self.show) {
                        return Told::Now(told);
                    }
                    continue;
                }
                if let Some((batch, _)) = self.reading.take() {
                    self.inbox.give_back(batch);
                    self.mark.queued = self.mark.queued.saturating_sub(1);
                }
                if begin.elapsed() >= wait {
                    return Told::Later;
                }
            }
            self.move_mark();
            match self.next_batch(wait) {
                Some(batch) => self.reading = Some((batch, 0)),
                None if self.ended.is_some() => return Told::End,
                None => return Told::Later,
            }
        }
    }

    /// Waits for the end, without the records that are left, and says what the lookups have done.
    ///
    /// # Errors
    ///
    /// [`Failure`] when link or list went away; [`Self::summary`] tells how far it came.
    pub fn finish(mut self) -> Result<Summary, Failure> {
        while !matches!(self.next_within(Duration::from_secs(1)), Next::End) {}
        match self.take_failure() {
            Some(failure) => Err(failure),
            None => Ok(self.summary()),
        }
    }

    /// What ended the lookups early, if something did; asked once, after the last record.
    pub fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// What the lookups have done so far.
    pub fn summary(&self) -> Summary {
        let base = Base {
            counts: self.counts(),
            progress: self.progress(),
            threads: self.facts.threads,
            states: [0; 4],
            noisy_hosts: None,
            rate: self.rate(),
            elapsed: self.ended.unwrap_or_else(|| self.now()).since(self.facts.began),
            link: self.facts.link,
            choice: self.facts.choice.clone(),
            interface: self.facts.holding.as_ref().and_then(Holding::growth),
            exceeded: self.session.exceeded(),
            excluded: self.excluded(),
            hosts: self.facts.resolvers.into(),
            seed: self.facts.seed,
            source_ports: self.facts.source_ports,
            was_stopped: self.session.stop().is_stopped(),
        };
        Summary { base, lookups: self.counted() }
    }

    /// Everything that was handed out so far may be final: see [`Mark`].
    fn move_mark(&mut self) {
        if self.mark.queued == 0 {
            self.mark.reached = self.mark.reached.max(self.mark.next);
            // In this order: what lies below the number was queued before the queue is measured.
            self.mark.next = self.marks.mark();
            self.mark.queued = self.inbox.len();
        }
    }

    fn now(&self) -> Instant {
        match &self.drive {
            Drive::Threads { clock, .. } => clock.now(),
            Drive::Stepped(stepped) => stepped.now(),
        }
    }

    /// The next batch; `None` when there is none yet, or at the end, which is noted.
    fn next_batch(&mut self, wait: Duration) -> Option<Batch> {
        if self.ended.is_some() {
            return None;
        }
        let batch = match &mut self.drive {
            Drive::Threads { listening, .. } => match self.inbox.recv_timeout(wait) {
                Ok(batch) => Some(batch),
                Err(RecvTimeoutError::Timeout)
                    if listening.as_ref().is_some_and(|running| !running.is_finished()) =>
                {
                    return None;
                }
                // The threads have ended, so what is in the queue now is all there will be.
                Err(_) => self.inbox.try_recv().ok(),
            },
            Drive::Stepped(stepped) => loop {
                if let Ok(batch) = self.inbox.try_recv() {
                    break Some(batch);
                }
                match stepped.step() {
                    Ok(true) => {}
                    Ok(false) => break self.inbox.try_recv().ok(),
                    Err(error) => {
                        if self.failure.is_none() && !self.session.stop().is_stopped() {
                            self.failure = Some(Failure::Link(error));
                            self.session.stop().stop();
                        }
                        break self.inbox.try_recv().ok();
                    }
                }
            },
        };
        if batch.is_none() {
            self.end();
        }
        batch
    }

    /// The queue is empty, and nobody fills it any more.
    fn end(&mut self) {
        self.mark.reached = self.mark.reached.max(self.marks.mark());
        self.ended = Some(self.now());
        if let Drive::Threads { listening, feeder, .. } = &mut self.drive {
            let of_link = listening.take().map(Listening::join).and_then(Result::err);
            // A list that was not read to its end because nobody wants the rest of it has not failed.
            let of_list = feeder.take().map(Feeder::finish).and_then(Result::err);
            let of_list = of_list.map(|error| Failure::List(Box::new(error)));
            self.failure = self.failure.take().or(of_link).or(of_list);
        }
    }
}

impl Iterator for Scan {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        loop {
            match self.next_within(Duration::from_millis(100)) {
                Next::Record(record) => return Some(record),
                Next::Later => {}
                Next::End => return None,
            }
        }
    }
}
