//! Rate, CPU and memory against a far end that counts frames and drops them.

use mrpf_lab::{Prefix, veth};

use crate::{
    Failure, Options,
    far_end::{Contender, run_all, tell},
    report::Report,
    tool::{Link, Program, Records, Tool, Work},
};

/// What nmap gets: it sends some thousand frames a second to silent hosts, and its cost for a frame is the same.
const NMAP_TARGETS: Prefix = Prefix::new([198, 19, 0, 0], 20);
const NMAP_PORTS: u32 = 2;

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
            resets: true,
            is_apart: false,
            seconds: kxdpgun_seconds(options),
        }
    };
    report.part("To a sink, equal frames, one thread that sends");
    show(&by_link(programs, work(1)), options, report)?;

    report.part("To a sink, equal frames, two threads that send");
    if let Some(ours) = programs.iter().find(|program| program.tool == Tool::Mrpf)
        && !ours.has_threads()
    {
        report.note("Left out: this mrpf has no --threads.".to_owned());
        return Ok(());
    }
    let threaded = programs.iter().filter(|program| program.has_threads());
    show(&by_link(threaded, work(2)), options, report)
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
        resets: true,
        is_apart: false,
        seconds: kxdpgun_seconds(options),
    };
    report.part("To a sink, each tool's defaults but for the rate");
    // nmap asks a silent port up to eleven times and slows down when nobody answers: it would not end. kxdpgun has no
    // frames of its own kind to show: its queries are those of the other part.
    let is_here = |program: &&Program| !matches!(program.tool, Tool::Nmap | Tool::Kxdpgun);
    let contenders: Vec<_> = programs.iter().filter(is_here).map(with(work)).collect();
    show(&contenders, options, report)
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
        resets: true,
        is_apart: false,
        seconds: kxdpgun_seconds(options),
    };
    report.part("To a sink, mrpf's memory with many targets and retries");
    let ours = programs.iter().filter(|program| program.tool == Tool::Mrpf);
    show(&ours.map(with(work)).collect::<Vec<_>>(), options, report)
}

/// For how long kxdpgun sends.
pub(crate) fn kxdpgun_seconds(options: &Options) -> u32 {
    if options.quick { 1 } else { 5 }
}

fn show(
    contenders: &[Contender<'_>],
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    let runs = run_all(None, contenders, options, report)?;
    tell(contenders, &runs, report);
    Ok(())
}

/// A row a tool, and of mrpf one a link.
fn by_link<'a>(
    programs: impl IntoIterator<Item = &'a Program>,
    work: impl Fn(&Program) -> Work,
) -> Vec<Contender<'a>> {
    let mut contenders = Vec::new();
    for program in programs {
        let plain = with(&work)(program);
        if program.tool != Tool::Mrpf {
            contenders.push(plain);
            continue;
        }
        contenders.extend(Link::ALL.into_iter().filter(|link| program.has(*link)).map(|link| {
            Contender {
                name: format!("{}, {}", plain.name, link.as_str()),
                program,
                work: Work { link: Some(link), ..plain.work.clone() },
            }
        }));
    }
    contenders
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
