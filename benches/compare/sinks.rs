//! Rate, CPU and memory against a far end that counts frames and drops them.

use std::{collections::BTreeSet, time::Duration};

use mrpf_lab::{Lab, sink::Sink, veth};

use crate::{
    Failure, Options,
    findings::Findings,
    measure::{Measure, Run, Sent},
    report::{Report, median, ratio, spread},
    tick::Tick,
    tool::{Program, Tool, Work},
};

/// nmap gets so many times fewer ports: it would take minutes, and its cost for a frame is the same.
const NMAP_SHARE: u32 = 32;

/// A tool with its work.
struct Contender<'a> {
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
            targets: veth::HOSTS,
            ports: ports(program, if options.quick { 8 } else { 128 }),
            rate: None,
            attempts: Some(1),
            wait: Some(u32::from(program.tool == Tool::Mrpf)),
            is_smallest: true,
            threads: Some(threads),
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
        targets: veth::HOSTS,
        ports: ports(program, if options.quick { 2 } else { 32 }),
        rate: None,
        attempts: None,
        wait: None,
        is_smallest: false,
        threads: None,
    };
    report.part("To a sink, each tool's defaults but for the rate");
    // nmap asks a silent port up to eleven times and slows down when nobody answers: it would not end.
    let contenders: Vec<_> =
        programs.iter().filter(|program| program.tool != Tool::Nmap).map(with(work)).collect();
    run_all(&contenders, options, report)
}

fn with<'a>(work: impl Fn(&Program) -> Work) -> impl Fn(&'a Program) -> Contender<'a> {
    move |program| Contender { program, work: work(program) }
}

fn ports(program: &Program, ports: u32) -> String {
    match if program.tool == Tool::Nmap { (ports / NMAP_SHARE).max(1) } else { ports } {
        1 => "1".to_owned(),
        ports => format!("1-{ports}"),
    }
}

/// Runs the contenders in turn and prints what they took.
fn run_all(
    contenders: &[Contender<'_>],
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let lab = Lab::builder().start()?;
    let sink = Sink::attach(lab.world(), veth::WORLD.device)?;
    let _tick = Tick::start(&lab)?;
    let sent = || {
        let counts = sink.counts()?;
        Ok(Sent { frames: counts.frames, octets: counts.octets })
    };
    let (log, found) = (folder.path().join("log"), folder.path().join("found"));
    let measure = Measure {
        sent: &sent,
        most: Duration::from_secs(180),
        most_idle: Duration::from_secs(if options.quick { 1 } else { 60 }),
        log: &log,
    };
    let mut runs: Vec<Vec<Run>> = contenders.iter().map(|_| Vec::new()).collect();
    let mut hits: Vec<usize> = contenders.iter().map(|_| 0).collect();
    let mut gave_up = BTreeSet::new();
    for round in 0..options.runs as usize {
        // Each tool is first, second and so on in its turn.
        for place in 0..contenders.len() {
            let index = (place + round) % contenders.len();
            let Contender { program, work } = &contenders[index];
            if gave_up.contains(&index) {
                continue;
            }
            match measure.run(program.command(work, &found)) {
                Ok(run) => {
                    hits[index] += Findings::read(program.tool, &found)?.open.len();
                    runs[index].push(run);
                }
                Err(error) if program.tool == Tool::Mrpf => {
                    return Err(format!("mrpf: {error}").into());
                }
                Err(error) => {
                    report.note(format!("{} is left out: {error}.", program.tool));
                    gave_up.insert(index);
                }
            }
            // What was never written must not be read as the next tool's.
            std::fs::remove_file(&found).or_else(absent_is_fine)?;
        }
    }
    tell(contenders, &runs, &hits, report);
    Ok(())
}

fn absent_is_fine(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn tell(contenders: &[Contender<'_>], runs: &[Vec<Run>], hits: &[usize], report: &mut Report) {
    let shown = contenders.iter().map(|contender| contender.program.shown(&contender.work));
    report.commands(&shown.collect::<Vec<_>>());
    let done = || contenders.iter().zip(runs).zip(hits).filter(|((_, runs), _)| !runs.is_empty());
    let rows = done().map(|((contender, runs), hits)| {
        let median = |of: fn(&Run) -> f64| median(runs.iter().map(of));
        let spread = |of: fn(&Run) -> f64, digits| spread(runs.iter().map(of), digits);
        vec![
            contender.program.tool.to_string(),
            format!("{:.0}", median(|run| run.sent.frames as f64)),
            format!("{:.1}", median(Run::frame_len)),
            spread(|run| run.rate() / 1e6, 3),
            spread(Run::process_per_frame, 3),
            spread(Run::machine_per_frame, 3),
            format!("{:.1}", median(|run| run.memory as f64 / 1e6)),
            format!("{:.1}", median(|run| run.wall.as_secs_f64())),
            hits.to_string(),
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
        "found",
    ];
    report.table(&header, &rows.collect::<Vec<_>>());
    let Some(((_, ours), _)) = done().find(|((it, _), _)| it.program.tool == Tool::Mrpf) else {
        return;
    };
    let theirs = done().filter(|((it, _), _)| it.program.tool != Tool::Mrpf);
    let rows = theirs.map(|((contender, theirs), _)| {
        let compared =
            |of: fn(&Run) -> f64| ratio(median(ours.iter().map(of)), median(theirs.iter().map(of)));
        vec![
            format!("mrpf to {}", contender.program.tool),
            compared(Run::rate),
            compared(Run::process_per_frame),
            compared(Run::machine_per_frame),
            compared(|run| run.memory as f64),
        ]
    });
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        report.table(&["", "rate", "process CPU", "machine CPU", "memory"], &rows);
    }
}
