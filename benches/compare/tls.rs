//! `compare tls`: who has which certificate, by mrpf and by other scanners.
//!
//! ```text
//! limit    mrpf alone       the lab's TLS responder: an answer for nearly nothing, so that the scanner is the limit
//! waiting  mrpf alone       hosts that take a connection and say nothing: what is held meanwhile
//! peers    all, in turn     one nginx at every address: a server that nobody here wrote, and that sets the pace
//! ```
//!
//! What counts is CPU for a row with the right leaf. The peers verify what the responder does not sign, so they meet nginx alone;
//! each is asked for as many hosts as it can do in about a minute.

mod rows;
mod tools;

use std::{fs, io::Write as _, net::Ipv4Addr, path::Path, sync::Arc, time::Duration};

use clap::ValueEnum;
use mrpf_engine::link::interface::Interface;
use mrpf_lab::{
    Lab, Prefix,
    tls_responder::{Accepts, Leaves, TlsResponder},
    veth,
};

use self::{
    rows::{Rows, Truth},
    tools::{Program, Tool, Work},
};
use crate::{
    Failure,
    measure::{Measure, Run, Sent},
    report::{Report, median, ratio, spread},
    tick::Tick,
    tool::{Link, OURS},
    turns::in_turn,
};

/// The port of nginx.
const PORT: u16 = 443;
/// How many connections mrpf holds at once to nginx, which sets the pace then; the peers have their own numbers for it.
const NGINX_CONNECTIONS: u32 = 4_000;
/// Frames a second of mrpf against the far end that costs nothing, the last as fast as it goes: a third of them are hosts.
const RATES: [Option<u32>; 4] = [Some(30_000), Some(60_000), Some(120_000), None];
/// The exit code of mrpf when frames were lost.
pub(crate) const INCOMPLETE: i32 = 3;
/// How many connections mrpf may hold at once where nobody says anything: one to each host and port.
const CONNECTIONS: u32 = 1 << 20;
/// For how many seconds of silence they are held: longer than it takes to open them all.
const PATIENCE: u32 = 40;
/// Which leaf nginx has.
const NGINX_LEAF: usize = 443;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Runs of each tool in each part; the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// A hundredth of the work: shows that all runs, gives no figures
    #[arg(long)]
    quick: bool,
    /// Adds a dated section to benches/RESULTS.md
    #[arg(long)]
    write: bool,
    /// Only these parts
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Part>,
    /// Only these tools
    #[arg(long, value_delimiter = ',', value_enum)]
    tools: Vec<Tool>,
}

/// A part of the comparison.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Part {
    /// mrpf against the cheapest far end there is.
    Limit,
    /// mrpf against hosts that say nothing.
    Waiting,
    /// Everyone against nginx.
    Peers,
}

pub(crate) fn compare(options: &Options) -> Result<(), Failure> {
    let mut report = Report::begin("TLS", options.runs, options.quick)?;
    let mut programs = Vec::new();
    for tool in Tool::ALL {
        let is_wanted = options.tools.is_empty() || options.tools.contains(&tool);
        match is_wanted.then(|| Program::find(tool)) {
            Some(Ok(program)) => programs.push(program),
            Some(Err(why)) => report.note(format!("Without {}: {why}.", tool.as_str())),
            None => {}
        }
    }
    if programs.is_empty() {
        return Err("none of the tools can be run".into());
    }
    let versions = programs.iter().map(|it| (it.tool.as_str(), it.version.as_str()));
    report.programs(versions);
    let is_wanted = |part| options.only.is_empty() || options.only.contains(&part);
    let leaves = Arc::new(Leaves::make()?);
    if let Some(ours) = programs.iter().find(|program| program.tool == Tool::Mrpf) {
        if is_wanted(Part::Limit) {
            limit(ours, &leaves, options, &mut report)?;
        }
        if is_wanted(Part::Waiting) {
            waiting(ours, &leaves, options, &mut report)?;
        }
    }
    if is_wanted(Part::Peers) {
        peers(&programs, &leaves, options, &mut report)?;
    }
    if options.write {
        report.write()?;
    }
    if report.ours_failed() {
        return Err("mrpf did not finish every part: see above".into());
    }
    Ok(())
}

/// One run and what was found in it.
struct Outcome {
    run: Run,
    rows: Rows,
}

impl Outcome {
    /// CPU of the process in microseconds for a row that is right.
    fn process(&self) -> f64 {
        self.run.process.as_secs_f64() * 1e6 / self.rows.right.max(1) as f64
    }

    fn machine(&self) -> Option<f64> {
        let time = self.run.machine?;
        Some(time.as_secs_f64() * 1e6 / self.rows.right.max(1) as f64)
    }

    fn rate(&self) -> f64 {
        self.rows.right as f64 / self.run.sending.as_secs_f64().max(1e-3)
    }

    fn frames(&self) -> f64 {
        self.run.sent.frames as f64 / self.rows.right.max(1) as f64
    }
}

fn limit(
    ours: &Program,
    leaves: &Arc<Leaves>,
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    let work = |rate, link| Work {
        targets: targets(veth::HOSTS, options),
        ports: format!("{PORT}-{}", PORT + 3),
        rate,
        link: Some(link),
        connections: None,
        patience: None,
    };
    report.part("A far end that costs nearly nothing");
    let lab = Lab::builder().silent(veth::HOSTS).start()?;
    let responder = TlsResponder::start(lab.world(), Arc::clone(leaves))?;
    let truth = Truth::of(leaves, Leaves::number_of);
    let contenders: Vec<_> =
        RATES.into_iter().flat_map(|rate| Link::ALL.map(|link| (ours, work(rate, link)))).collect();
    let outcomes = run_all(&lab, &contenders, &truth, options, report);
    tell(&contenders, &outcomes, report);
    let counts = responder.counts();
    report.note(format!(
        "The far end answered {} ClientHellos and lost {} frames.",
        counts.hellos, counts.lost
    ));
    Ok(())
}

fn waiting(
    ours: &Program,
    leaves: &Leaves,
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    let targets = targets(veth::HOSTS, options);
    let work = Work {
        targets,
        ports: "1-16".to_owned(),
        rate: None,
        link: None,
        connections: Some(CONNECTIONS),
        patience: Some(PATIENCE),
    };
    report.part("Hosts that take the connection and say nothing");
    let lab = Lab::builder().silent(veth::HOSTS).start()?;
    let accepts = Accepts::start(lab.world())?;
    let truth = Truth::of(leaves, Leaves::number_of);
    let contender = (ours, work);
    let outcomes = run_all(&lab, std::slice::from_ref(&contender), &truth, options, report);
    let rows = outcomes.iter().flatten().map(|outcome| {
        vec![
            OURS.to_owned(),
            contender.1.asked().to_string(),
            outcome.rows.other.to_string(),
            format!("{:.2}", outcome.run.process.as_secs_f64()),
            format!("{:.1}", outcome.run.memory as f64 / 1e6),
            format!("{:.1}", outcome.run.wall.as_secs_f64()),
        ]
    });
    let header = ["", "asked", "rows", "CPU s", "peak MB", "s in all"];
    report.commands(&[contender.0.shown(&contender.1)]);
    report.table(&header, &rows.collect::<Vec<_>>());
    report.note(format!("The far end took {} SYNs.", accepts.counts().syns));
    Ok(())
}

fn peers(
    programs: &[Program],
    leaves: &Leaves,
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    report.part("nginx at every address");
    let chain = leaves.chain_pem(NGINX_LEAF);
    let lab = Lab::builder().nginx_tls(PORT, chain, leaves.key_pem().to_owned()).start()?;
    let contenders: Vec<_> = programs
        .iter()
        .flat_map(|program| {
            let is_ours = program.tool == Tool::Mrpf;
            let links = if is_ours { Link::ALL.map(Some).to_vec() } else { vec![None] };
            let work = Work {
                targets: targets(program.tool.share(), options),
                ports: PORT.to_string(),
                rate: None,
                link: None,
                connections: is_ours.then_some(NGINX_CONNECTIONS),
                patience: None,
            };
            links.into_iter().map(move |link| (program, Work { link, ..work.clone() }))
        })
        .collect();
    let truth = Truth::of(leaves, |_| NGINX_LEAF);
    let outcomes = run_all(&lab, &contenders, &truth, options, report);
    tell(&contenders, &outcomes, report);
    Ok(())
}

/// The hosts of a run: a hundredth of `all`, about, when it is to be quick.
fn targets(all: Prefix, options: &Options) -> Prefix {
    let len = if options.quick { (all.len() + 7).min(30) } else { all.len() };
    Prefix::new(all.first().octets(), len)
}

type Contender<'a> = (&'a Program, Work);

/// What a row is called: the tool, and how ours was asked, as far as that is said.
fn name((program, work): &Contender<'_>) -> String {
    let link = work.link.map(|link| link.as_str().to_owned());
    let rate = work.rate.map(|rate| format!("{} k/s", rate / 1_000));
    let words = [Some(program.tool.as_str().to_owned()), link, rate];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn run_all(
    lab: &Lab,
    contenders: &[Contender<'_>],
    truth: &Truth,
    options: &Options,
    report: &mut Report,
) -> Vec<Vec<Outcome>> {
    let names: Vec<_> = contenders.iter().map(name).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    in_turn(&names, options.runs, report, |index| {
        let (program, work) = &contenders[index];
        run(lab, program, work, truth, options)
    })
}

/// One tool, once.
fn run(
    lab: &Lab,
    program: &Program,
    work: &Work,
    truth: &Truth,
    options: &Options,
) -> Result<Outcome, Failure> {
    let folder = tempfile::tempdir()?;
    let path = |name| folder.path().join(name);
    let (log, found, list) = (path("log"), path("found"), path("list"));
    write_list(&list, work.targets)?;
    let _tick = Tick::start(lab)?;
    let interface = Interface::by_name(veth::SCANNER.device)?;
    let sent = || {
        let counters = interface.counters()?;
        Ok(Sent { frames: counters.tx_packets, octets: counters.tx_bytes })
    };
    let measure = Measure {
        sent: &sent,
        most: Duration::from_secs(180),
        most_idle: Duration::from_secs(if options.quick { 1 } else { 20 }),
        input: None,
        log: &log,
        server: lab.nginx(),
        incomplete: (program.tool == Tool::Mrpf).then_some(INCOMPLETE),
    };
    let run = measure.run(program.command(work, &list, &found))?;
    let rows = Rows::read(program.tool, &found, truth)?;
    Ok(Outcome { run, rows })
}

fn write_list(path: &Path, targets: Prefix) -> Result<(), Failure> {
    let mut text = Vec::new();
    for bits in targets.first().to_bits()..=targets.last().to_bits() {
        writeln!(text, "{}", Ipv4Addr::from_bits(bits))?;
    }
    Ok(fs::write(path, text)?)
}

fn tell(contenders: &[Contender<'_>], outcomes: &[Vec<Outcome>], report: &mut Report) {
    let shown = contenders.iter().map(|(program, work)| program.shown(work));
    report.commands(&shown.collect::<Vec<_>>());
    let done = || contenders.iter().zip(outcomes).filter(|(_, outcomes)| !outcomes.is_empty());
    let rows = done().map(|((program, work), outcomes)| {
        let values = |of: fn(&Outcome) -> Option<f64>| outcomes.iter().filter_map(of);
        let middle = |of: fn(&Outcome) -> f64| median(outcomes.iter().map(of));
        vec![
            name(&(*program, work.clone())),
            work.asked().to_string(),
            format!("{:.0}", middle(|it| it.rows.right as f64)),
            format!("{:.0}", middle(|it| it.rows.wrong as f64)),
            spread(values(|it| Some(it.process())), 1),
            spread(values(Outcome::machine), 1),
            spread(values(|it| Some(it.rate())), 0),
            format!("{:.1}", middle(Outcome::frames)),
            format!("{:.1}", middle(|it| it.run.memory as f64 / 1e6)),
            format!("{:.1}", middle(|it| it.run.wall.as_secs_f64())),
        ]
    });
    let header = [
        "",
        "asked",
        "right rows",
        "wrong",
        "process us/row",
        "machine us/row",
        "rows/s",
        "frames out/row",
        "peak MB",
        "s in all",
    ];
    report.table(&header, &rows.collect::<Vec<_>>());
    let compared = |ours: &[Outcome], theirs: &[Outcome], of: fn(&Outcome) -> Option<f64>| {
        let middle = |outcomes: &[Outcome]| median(outcomes.iter().filter_map(of));
        ratio(middle(ours), middle(theirs))
    };
    let is_ours = |contender: &Contender<'_>| contender.0.tool == Tool::Mrpf;
    // Ours by XDP to ours by packet sockets at the same rate, and both to the others.
    let is_base = |own: &Contender<'_>, other: &Contender<'_>| {
        let links = (own.1.link, other.1.link);
        !is_ours(other)
            || links == (Some(Link::Xdp), Some(Link::Packet)) && own.1.rate == other.1.rate
    };
    let pairs = done().filter(|(own, _)| is_ours(own)).flat_map(|ours| {
        done().filter(move |(other, _)| is_base(ours.0, other)).map(move |theirs| (ours, theirs))
    });
    let rows = pairs.map(|((own, ours), (other, theirs))| {
        vec![
            format!("{} to {}", name(own), name(other)),
            compared(ours, theirs, |it| Some(it.process())),
            compared(ours, theirs, Outcome::machine),
            compared(ours, theirs, |it| Some(it.run.memory as f64)),
        ]
    });
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        report.table(&["", "process CPU", "machine CPU", "memory"], &rows);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn lists_name_every_host_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("list");
        write_list(&path, Prefix::new([198, 19, 7, 0], 24)).expect("a list");
        let text = fs::read_to_string(&path).expect("a list");
        let addrs: Vec<IpAddr> =
            text.lines().map(|line| line.parse().expect("an address")).collect();
        assert_eq!((addrs.len(), addrs[255]), (256, IpAddr::from([198, 19, 7, 255])));
    }
}
