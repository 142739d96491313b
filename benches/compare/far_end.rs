//! What the tools send to: a far end that counts frames and drops them, or answers a share of them; and the tables of it.
//!
//! Nobody keeps the scanner's kernel from resetting what it knows nothing of: where it sees answers to its own address it
//! sends an RST for each. RSTs are counted at the far end, whoever sent them, and are not among the frames.

use std::{fs, io, process::Command, time::Duration};

use mrpf_lab::{Lab, Pass, Synack, sink::Sink, veth};

use crate::{
    Failure, Options,
    findings::{Findings, Losses},
    measure::{Measure, Run, Sent},
    report::{Report, median, ratio, spread},
    tick::Tick,
    tls::INCOMPLETE,
    tool::{KXDPGUN_QUERIES, Link, Program, QUERIES, Records, Tool, Work},
    turns::in_turn,
};

/// A tool with its work.
pub(crate) struct Contender<'a> {
    pub(crate) name: String,
    pub(crate) program: &'a Program,
    pub(crate) work: Work,
}

/// The program at the world's end.
enum FarEnd {
    Sink(Sink),
    Synack(Synack),
}

/// What one run took, and what came of it.
pub(crate) struct Done {
    pub(crate) run: Run,
    /// Open ports as the tool tells them.
    pub(crate) hits: u64,
    /// Answers that were sent to it, and RSTs that came back.
    pub(crate) answers: u64,
    pub(crate) resets: u64,
    /// What mrpf says became of answers that are no hits, where it was asked for its counters.
    pub(crate) losses: Losses,
}

impl FarEnd {
    fn sent(&self) -> Result<Sent, Failure> {
        Ok(match self {
            Self::Sink(sink) => {
                let counts = sink.counts()?;
                Sent { frames: counts.frames, octets: counts.octets }
            }
            Self::Synack(synack) => {
                let counts = synack.counts()?;
                Sent { frames: counts.syns, octets: counts.octets }
            }
        })
    }

    /// Answers that went out, and RSTs.
    fn answered(&self) -> Result<(u64, u64), Failure> {
        let Self::Synack(synack) = self else { return Ok((0, 0)) };
        let counts = synack.counts()?;
        Ok((counts.answered.saturating_sub(synack.lost()?), counts.resets))
    }
}

/// Runs the contenders in turn: to a sink, or to hosts of which so many of a thousand answer.
pub(crate) fn run_all(
    per_mille: Option<u32>,
    contenders: &[Contender<'_>],
    options: &Options,
    report: &mut Report,
) -> Result<Vec<Vec<Done>>, Failure> {
    let folder = tempfile::tempdir()?;
    // As a network card: whoever sends on two CPUs has a queue on each.
    let lab = Lab::builder().queues(crate::machine::cpus()).start()?;
    let (world, device) = (lab.world(), veth::WORLD.device);
    let far_end = match per_mille {
        None => FarEnd::Sink(Sink::attach(world, device)?),
        Some(share) => FarEnd::Synack(Synack::attach(world, device, share)?),
    };
    let _tick = Tick::start(&lab)?;
    let sent = || far_end.sent();
    let (log, found) = (folder.path().join("log"), folder.path().join("found"));
    fs::write(folder.path().join(QUERIES), KXDPGUN_QUERIES)?;
    let names: Vec<_> = contenders.iter().map(|contender| contender.name.as_str()).collect();
    Ok(in_turn(&names, options.runs, report, |index| {
        let Contender { program, work, .. } = &contenders[index];
        // What has a program of its own there takes answers by it.
        let needs_pass = per_mille.is_some() && work.link != Some(Link::Xdp);
        let scanner = veth::SCANNER.device;
        let _pass = match needs_pass {
            true => Some(Pass::attach(lab.scanner(), scanner)?),
            false => None,
        };
        let measure = Measure {
            sent: &sent,
            most: Duration::from_secs(180),
            most_idle: Duration::from_secs(if options.quick { 1 } else { 15 }),
            input: None,
            log: &log,
            server: None,
            // What was lost on the way is what the rows are to show.
            incomplete: (program.tool == Tool::Mrpf).then_some(INCOMPLETE),
        };
        let before = far_end.answered()?;
        let run = measure.run(program.command(work, &found));
        if program.tool == Tool::Kxdpgun {
            take_off(scanner)?;
        }
        let run = run?;
        let after = far_end.answered()?;
        let hits = Findings::count(program.tool, work.records, &found)?;
        let losses = match (program.tool, work.records) {
            (Tool::Mrpf, Records::Counters) => Findings::losses(&found)?,
            _ => Losses::new(),
        };
        // What one wrote must not be read as the next one's.
        fs::remove_file(&found).or_else(absent_is_fine)?;
        Ok(Done {
            run,
            hits,
            answers: after.0.saturating_sub(before.0),
            resets: after.1 - before.1,
            losses,
        })
    }))
}

/// Takes the XDP program off `device` that kxdpgun leaves there.
fn take_off(device: &str) -> Result<(), Failure> {
    let status = Command::new("ip").args(["link", "set", "dev", device, "xdp", "off"]).status()?;
    if status.success() { Ok(()) } else { Err(format!("ip link: {status}").into()) }
}

fn absent_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Prints what they took, and mrpf beside each of the others.
pub(crate) fn tell(contenders: &[Contender<'_>], runs: &[Vec<Done>], report: &mut Report) {
    let shown = contenders.iter().map(|contender| contender.program.shown(&contender.work));
    report.commands(&shown.collect::<Vec<_>>());
    let done = || contenders.iter().zip(runs).filter(|(_, runs)| !runs.is_empty());
    let rows = done().map(|(contender, runs)| {
        let values =
            |of: fn(&Run) -> Option<f64>| runs.iter().filter_map(move |done| of(&done.run));
        let sum = |of: fn(&Done) -> u64| runs.iter().map(of).sum::<u64>();
        vec![
            contender.name.clone(),
            format!("{:.0}", median(values(|run| Some(run.sent.frames as f64)))),
            format!("{:.1}", median(values(|run| Some(run.frame_len())))),
            spread(values(|run| Some(run.rate() / 1e6)), 3),
            spread(values(|run| Some(run.process_per_frame())), 3),
            spread(values(Run::machine_per_frame), 3),
            format!("{:.1}", median(values(|run| Some(run.memory as f64 / 1e6)))),
            format!("{:.1}", median(values(|run| Some(run.wall.as_secs_f64())))),
            sum(|done| done.answers).to_string(),
            sum(|done| done.hits).to_string(),
            sum(|done| done.resets).to_string(),
        ]
    });
    let header = [
        "",
        "frames",
        "octets each",
        "M frames/s",
        "process us/frame",
        "machine us/frame",
        "peak MB",
        "s in all",
        "answers, all runs",
        "found, all runs",
        "RSTs, all runs",
    ];
    report.table(&header, &rows.collect::<Vec<_>>());
    let is_ours = |contender: &Contender<'_>| contender.program.tool == Tool::Mrpf;
    let pairs = done()
        .filter(|(it, _)| is_ours(it))
        .flat_map(|ours| done().filter(|(it, _)| !is_ours(it)).map(move |theirs| (ours, theirs)));
    let rows = pairs.map(|((own, ours), (contender, theirs))| {
        let compared = |of: fn(&Run) -> Option<f64>| {
            let median = |runs: &[Done]| median(runs.iter().filter_map(|done| of(&done.run)));
            ratio(median(ours), median(theirs))
        };
        vec![
            format!("{} to {}", own.name, contender.name),
            compared(|run| Some(run.rate())),
            compared(|run| Some(run.process_per_frame())),
            compared(Run::machine_per_frame),
            compared(|run| Some(run.memory as f64)),
        ]
    });
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        report.table(&["", "rate", "process CPU", "machine CPU", "memory"], &rows);
    }
}
