//! Rate, CPU and memory against a far end that counts frames and drops them, or answers a share of them.
//!
//! Nobody keeps the scanner's kernel from resetting what it knows nothing of: where it sees the answers it sends an RST for
//! each, alike for all tools. Those are counted at the far end, are not among the frames, and a column tells them.

use std::{fs, io, time::Duration};

use mrpf_lab::{Lab, Pass, Prefix, Synack, sink::Sink, veth};

use crate::{
    Failure, Options,
    findings::Findings,
    measure::{Measure, Run, Sent},
    report::{Report, median, ratio, spread},
    tick::Tick,
    tls::INCOMPLETE,
    tool::{Link, Program, Records, Tool, Work},
    turns::in_turn,
};

/// What nmap gets: it sends some thousand frames a second to silent hosts, and its cost for a frame is the same.
const NMAP_TARGETS: Prefix = Prefix::new([198, 19, 0, 0], 20);
const NMAP_PORTS: u32 = 2;

/// How many hosts of a thousand answer.
const SHARES: [u32; 4] = [0, 10, 100, 1_000];

/// A tool with its work.
struct Contender<'a> {
    name: String,
    program: &'a Program,
    work: Work,
}

/// The same SYN of 58 octets from all, once, nobody waited for: what a frame costs.
pub(crate) fn equal_frames(
    programs: &[Program],
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    let work = |threads| {
        move |program: &Program| Work {
            targets: targets(program),
            ports: ports(program, if options.quick { 8 } else { 128 }),
            rate: None,
            attempts: Some(1),
            wait: Some(u32::from(program.tool == Tool::Mrpf)),
            is_smallest: true,
            threads: Some(threads),
            link: None,
            records: Records::List,
        }
    };
    report.part("To a sink, equal frames, one thread that sends");
    let contenders: Vec<_> = programs.iter().map(with(work(1))).collect();
    run_all(&contenders, options, report)?;

    report.part("To a sink, equal frames, two threads that send");
    if let Some(ours) = programs.iter().find(|program| program.tool == Tool::Mrpf)
        && !ours.has_threads()
    {
        report.note("Left out: this mrpf has no --threads.".to_owned());
        return Ok(());
    }
    let contenders: Vec<_> =
        programs.iter().filter(|program| program.has_threads()).map(with(work(2))).collect();
    run_all(&contenders, options, report)
}

/// Everything but the rate as each tool would have it: frame, attempts, threads, waits.
pub(crate) fn defaults(
    programs: &[Program],
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    let work = |program: &Program| Work {
        targets: targets(program),
        ports: ports(program, if options.quick { 2 } else { 32 }),
        rate: None,
        attempts: None,
        wait: None,
        is_smallest: false,
        threads: None,
        link: None,
        records: Records::List,
    };
    report.part("To a sink, each tool's defaults but for the rate");
    // nmap asks a silent port up to eleven times and slows down when nobody answers: it would not end.
    let contenders: Vec<_> =
        programs.iter().filter(|program| program.tool != Tool::Nmap).map(with(work)).collect();
    run_all(&contenders, options, report)
}

/// The same from all to hosts of which a share answers, or none: what an answer costs, and whether it is heard.
pub(crate) fn answers(
    programs: &[Program],
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    let work = |link, records| Work {
        targets: veth::HOSTS,
        ports: if options.quick { "1-2" } else { "1-96" }.to_owned(),
        rate: None,
        attempts: Some(1),
        wait: Some(2),
        is_smallest: true,
        threads: None,
        link,
        records,
    };
    let mut contenders = Vec::new();
    for program in programs {
        let name = program.tool;
        match name {
            Tool::Nmap => {} // some thousand frames a second
            Tool::Mrpf => {
                for link in Link::ALL {
                    let how = link.as_str();
                    if !program.has(link) {
                        report.note(format!("Without mrpf, {how}: this mrpf has no --link."));
                        continue;
                    }
                    let counters = work(Some(link), Records::Counters);
                    let name = format!("{name}, {how}");
                    contenders.push(Contender { name, program, work: counters });
                    let name = format!("{}, {how}, jsonl", program.tool);
                    let jsonl = work(Some(link), Records::Jsonl);
                    contenders.push(Contender { name, program, work: jsonl });
                }
            }
            Tool::Zmap | Tool::Masscan => {
                let work = work(None, Records::List);
                contenders.push(Contender { name: name.to_string(), program, work });
            }
        }
    }
    for per_mille in SHARES {
        let percent = per_mille / 10;
        report.part(&format!("{percent} % of the hosts answer, as fast as each can"));
        run_against(Some(per_mille), &contenders, options, report)?;
    }
    Ok(())
}

/// What mrpf holds in memory when it asks 2^24 targets four times each as fast as it can, rings included.
pub(crate) fn memory(
    programs: &[Program],
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    let work = |_: &Program| Work {
        targets: veth::HOSTS,
        ports: if options.quick { "1-2" } else { "1-256" }.to_owned(),
        rate: None,
        attempts: Some(4),
        wait: None,
        is_smallest: false,
        threads: None,
        link: None,
        records: Records::List,
    };
    report.part("To a sink, mrpf's memory with many targets and retries");
    let ours = programs.iter().filter(|program| program.tool == Tool::Mrpf);
    run_all(&ours.map(with(work)).collect::<Vec<_>>(), options, report)
}

fn with<'a>(work: impl Fn(&Program) -> Work) -> impl Fn(&'a Program) -> Contender<'a> {
    move |program| Contender { name: program.tool.to_string(), program, work: work(program) }
}

fn targets(program: &Program) -> Prefix {
    if program.tool == Tool::Nmap { NMAP_TARGETS } else { veth::HOSTS }
}

fn ports(program: &Program, ports: u32) -> String {
    let ports = if program.tool == Tool::Nmap { NMAP_PORTS.min(ports) } else { ports };
    format!("1-{ports}")
}

/// The program at the world's end.
enum FarEnd {
    Sink(Sink),
    Synack(Synack),
}

/// What one run took, and what came of it.
struct Done {
    run: Run,
    /// Open ports as the tool tells them.
    hits: u64,
    /// Answers that were sent to it, and RSTs that came back.
    answers: u64,
    resets: u64,
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

/// Runs the contenders in turn, to a sink, and prints what they took.
fn run_all(
    contenders: &[Contender<'_>],
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    run_against(None, contenders, options, report)
}

/// The same to hosts of which so many of a thousand answer, if that is said.
fn run_against(
    per_mille: Option<u32>,
    contenders: &[Contender<'_>],
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let lab = Lab::builder().start()?;
    let (world, device) = (lab.world(), veth::WORLD.device);
    let far_end = match per_mille {
        None => FarEnd::Sink(Sink::attach(world, device)?),
        Some(share) => FarEnd::Synack(Synack::attach(world, device, share)?),
    };
    let _tick = Tick::start(&lab)?;
    let sent = || far_end.sent();
    let (log, found) = (folder.path().join("log"), folder.path().join("found"));
    let measure = Measure {
        sent: &sent,
        most: Duration::from_secs(180),
        most_idle: Duration::from_secs(if options.quick { 1 } else { 60 }),
        input: None,
        log: &log,
        server: None,
        // Answers lost on the way in are what the rows are to show.
        incomplete: per_mille.map(|_| INCOMPLETE),
    };
    let names: Vec<_> = contenders.iter().map(|contender| contender.name.as_str()).collect();
    let runs = in_turn(&names, options.runs, report, |index| {
        let Contender { program, work, .. } = &contenders[index];
        // What has a program of its own there takes answers by it.
        let needs_pass = per_mille.is_some() && work.link != Some(Link::Xdp);
        let scanner = veth::SCANNER.device;
        let _pass = match needs_pass {
            true => Some(Pass::attach(lab.scanner(), scanner)?),
            false => None,
        };
        let before = far_end.answered()?;
        let run = measure.run(program.command(work, &found))?;
        let after = far_end.answered()?;
        let hits = Findings::count(program.tool, work.records, &found)?;
        // What one wrote must not be read as the next one's.
        fs::remove_file(&found).or_else(absent_is_fine)?;
        Ok(Done {
            run,
            hits,
            answers: after.0.saturating_sub(before.0),
            resets: after.1 - before.1,
        })
    });
    tell(contenders, &runs, report);
    Ok(())
}

fn absent_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn tell(contenders: &[Contender<'_>], runs: &[Vec<Done>], report: &mut Report) {
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
        "answers",
        "found",
        "RSTs",
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
