//! Rate, CPU and memory against a far end that counts frames and drops them.

use std::{fs, io, time::Duration};

use mrpf_lab::{Lab, Prefix, sink::Sink, veth};

use crate::{
    Failure, Options,
    findings::Findings,
    measure::{Measure, Run, Sent},
    report::{Report, median, ratio, spread},
    tick::Tick,
    tool::{Program, Tool, Work},
    turns::in_turn,
};

/// What nmap gets: it sends some thousand frames a second to silent hosts, and its cost for a frame is the same.
const NMAP_TARGETS: Prefix = Prefix::new([198, 19, 0, 0], 20);
const NMAP_PORTS: u32 = 2;

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
            targets: targets(program),
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
        targets: targets(program),
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
    };
    report.part("To a sink, mrpf's memory with many targets and retries");
    let ours = programs.iter().filter(|program| program.tool == Tool::Mrpf);
    run_all(&ours.map(with(work)).collect::<Vec<_>>(), options, report)
}

fn with<'a>(work: impl Fn(&Program) -> Work) -> impl Fn(&'a Program) -> Contender<'a> {
    move |program| Contender { program, work: work(program) }
}

fn targets(program: &Program) -> Prefix {
    if program.tool == Tool::Nmap { NMAP_TARGETS } else { veth::HOSTS }
}

fn ports(program: &Program, ports: u32) -> String {
    let ports = if program.tool == Tool::Nmap { NMAP_PORTS.min(ports) } else { ports };
    format!("1-{ports}")
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
        input: None,
        log: &log,
        server: None,
        incomplete: None,
    };
    let tools: Vec<_> =
        contenders.iter().map(|contender| contender.program.tool.as_str()).collect();
    let runs = in_turn(&tools, options.runs, report, |index| {
        let Contender { program, work } = &contenders[index];
        let run = measure.run(program.command(work, &found))?;
        let hits = Findings::read(program.tool, &found)?.open.len();
        // What one wrote must not be read as the next one's.
        fs::remove_file(&found).or_else(absent_is_fine)?;
        Ok((run, hits))
    });
    tell(contenders, &runs, report);
    Ok(())
}

fn absent_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn tell(contenders: &[Contender<'_>], runs: &[Vec<(Run, usize)>], report: &mut Report) {
    let shown = contenders.iter().map(|contender| contender.program.shown(&contender.work));
    report.commands(&shown.collect::<Vec<_>>());
    let done = || contenders.iter().zip(runs).filter(|(_, runs)| !runs.is_empty());
    let rows = done().map(|(contender, runs)| {
        let values = |of: fn(&Run) -> Option<f64>| runs.iter().filter_map(move |(run, _)| of(run));
        vec![
            contender.program.tool.to_string(),
            format!("{:.0}", median(values(|run| Some(run.sent.frames as f64)))),
            format!("{:.1}", median(values(|run| Some(run.frame_len())))),
            spread(values(|run| Some(run.rate() / 1e6)), 3),
            spread(values(|run| Some(run.process_per_frame())), 3),
            spread(values(Run::machine_per_frame), 3),
            format!("{:.1}", median(values(|run| Some(run.memory as f64 / 1e6)))),
            format!("{:.1}", median(values(|run| Some(run.wall.as_secs_f64())))),
            runs.iter().map(|(_, hits)| hits).sum::<usize>().to_string(),
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
    let Some((_, ours)) = done().find(|(it, _)| it.program.tool == Tool::Mrpf) else {
        return;
    };
    let theirs = done().filter(|(it, _)| it.program.tool != Tool::Mrpf);
    let rows = theirs.map(|(contender, theirs)| {
        let compared = |of: fn(&Run) -> Option<f64>| {
            let median = |runs: &[(Run, usize)]| median(runs.iter().filter_map(|(run, _)| of(run)));
            ratio(median(ours), median(theirs))
        };
        vec![
            format!("mrpf to {}", contender.program.tool),
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
