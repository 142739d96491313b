//! `compare dns`: what names stand for, by mrpf and by others.
//!
//! ```text
//! names    all, in turn     400,000 names, half of which do not exist, at one knotd behind 100 addresses
//! stream   mrpf alone       10 million names by standard input, answered two seconds later: what is held meanwhile
//! ```
//!
//! What counts is CPU for a name with the right answer, and names a second. dnsperf says how many of its queries were
//! answered, and nothing of what the answers say: it is here for what the server can take.

mod answers;
mod tools;

use std::{
    fs,
    io::{self, BufWriter, Write as _},
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::ValueEnum;
use mrpf_engine::link::interface::Interface;
use mrpf_lab::{
    Lab, Servers,
    dns_responder::{Asked, DnsResponder, Knobs, Reply, rtype},
    dns_servers::{ZoneFile, knotd},
    veth,
};

use self::{
    answers::{Answers, ZONE, address, name},
    tools::{How, Program, Tool, Work},
};
use crate::{
    Failure,
    measure::{Measure, Run, Sent},
    report::{Report, median, ratio, spread},
    tick::Tick,
    tool::{Link, OURS},
    turns::in_turn,
};

/// Names that are asked for, of which every second exists.
const NAMES: u32 = 400_000;
/// Addresses at which the one server is asked.
const RESOLVERS: u32 = 100;
/// Lookups that mrpf has under way at once at knotd: about what its sockets have room for. With more, its queue loses some, and
/// they are asked again.
const AT_KNOT: u32 = 500;
/// Lookups that mrpf has under way at once where memory is looked at, and how long each waits: so many a second.
const IN_FLIGHT: u32 = 100_000;
const DELAY: Duration = Duration::from_secs(2);
/// Names by standard input.
const STREAM: u32 = 10_000_000;
/// The port of the server.
const PORT: u16 = 53;
/// The exit code of mrpf when frames were lost.
const INCOMPLETE: i32 = 3;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Runs of each tool in each part; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
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
    /// Everyone against knotd.
    Names,
    /// mrpf and a list that does not seem to end.
    Stream,
}

impl Options {
    fn share(&self, all: u32) -> u32 {
        if self.quick { all / 100 } else { all }
    }
}

pub(crate) fn compare(options: &Options) -> Result<(), Failure> {
    let mut report = Report::begin("DNS", options.runs, options.quick)?;
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
    if is_wanted(Part::Names) {
        names(&programs, options, &mut report)?;
    }
    let ours = programs.iter().find(|program| program.tool == Tool::Mrpf);
    if let Some(ours) = ours.filter(|_| is_wanted(Part::Stream)) {
        stream(ours, options, &mut report)?;
    }
    if options.write {
        report.write()?;
    }
    if report.ours_failed() {
        return Err("mrpf did not finish every part: see above".into());
    }
    Ok(())
}

/// The lab with its server, and files for the tools. In this order, so that the server goes first.
struct Stage {
    server: Server,
    lab: Lab,
    folder: tempfile::TempDir,
}

/// Who answers.
enum Server {
    Knot(Servers),
    /// A thread of ours.
    Slow {
        _responder: DnsResponder,
    },
}

impl Stage {
    fn of_knot(options: &Options) -> Result<Self, Failure> {
        let (lab, folder) = (Lab::builder().start()?, tempfile::tempdir()?);
        let zone = ZoneFile { name: ZONE, text: &zone(options.share(NAMES)) };
        let server = knotd(folder.path(), &[], PORT, &[zone])?;
        let server = Server::Knot(Servers::start(lab.world(), vec![server])?);
        Self { server, lab, folder }.with_resolvers()
    }

    fn of_slow() -> Result<Self, Failure> {
        let (lab, folder) = (Lab::builder().start()?, tempfile::tempdir()?);
        let knobs = Knobs { delay: (DELAY, DELAY), ..Knobs::default() };
        let server = Server::Slow { _responder: DnsResponder::start(lab.world(), knobs, truth)? };
        Self { server, lab, folder }.with_resolvers()
    }

    fn with_resolvers(self) -> Result<Self, Failure> {
        let resolvers: Vec<_> = (0..RESOLVERS).map(|number| resolver(number).to_string()).collect();
        fs::write(self.path("resolvers"), resolvers.join("\n") + "\n")?;
        Ok(self)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The names below `count`, once a line and once with a type behind them.
    fn write_names(&self, count: u32) -> Result<(), io::Error> {
        let file = |name| fs::File::create(self.path(name)).map(BufWriter::new);
        let (mut names, mut queries) = (file("names")?, file("queries")?);
        for number in 0..count {
            writeln!(names, "{}", name(number))?;
            writeln!(queries, "{} A", name(number))?;
        }
        names.flush()?;
        queries.flush()
    }

    /// One tool, once, on the names below `asked`.
    fn run(&self, contender: &Contender<'_>, options: &Options) -> Result<Outcome, Failure> {
        let Contender { program, asked, how, is_piped } = *contender;
        let [names, queries, resolvers, found, log] =
            ["names", "queries", "resolvers", "found", "log"].map(|name| self.path(name));
        match fs::remove_file(&found) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => self.write_names(asked)?,
        }
        let _tick = Tick::start(&self.lab)?;
        let interface = Interface::by_name(veth::SCANNER.device)?;
        let sent = || {
            let counters = interface.counters()?;
            Ok(Sent { frames: counters.tx_packets, octets: counters.tx_bytes })
        };
        let measure = Measure {
            sent: &sent,
            most: Duration::from_secs(if is_piped { 600 } else { 180 }),
            most_idle: Duration::from_secs(if options.quick { 1 } else { 20 }),
            input: is_piped.then_some(&names),
            log: &log,
            server: match &self.server {
                Server::Knot(servers) => servers.pids().first().copied(),
                Server::Slow { .. } => None,
            },
            incomplete: (program.tool == Tool::Mrpf).then_some(INCOMPLETE),
        };
        let read = if is_piped { Path::new("-") } else { &names };
        let work = Work {
            folder: self.folder.path(),
            names: read,
            queries: &queries,
            resolvers: &resolvers,
            found: &found,
        };
        let run = measure.run(program.command(&work, how))?;
        let answers = Answers::read(program.tool, &found, &log, asked)?;
        Ok(Outcome { run, answers })
    }
}

/// Who runs, and what of.
#[derive(Clone, Copy)]
struct Contender<'a> {
    program: &'a Program,
    /// How many names.
    asked: u32,
    how: How,
    /// The names come by standard input.
    is_piped: bool,
}

impl Contender<'_> {
    fn shown(&self) -> String {
        let names = if self.is_piped { "-" } else { "NAMES" };
        self.program.shown(names, self.how)
    }

    /// What its row is called: ours by its link, where that is said.
    fn name(&self) -> String {
        let tool = self.program.tool.as_str();
        self.how.link.map_or_else(|| tool.to_owned(), |link| format!("{tool}, {}", link.as_str()))
    }

    fn is_ours(&self) -> bool {
        self.program.tool == Tool::Mrpf
    }
}

/// One run and what was found in it.
struct Outcome {
    run: Run,
    answers: Answers,
}

impl Outcome {
    /// CPU of the process in microseconds for a name that is right.
    fn process(&self) -> f64 {
        self.run.process.as_secs_f64() * 1e6 / self.answers.right.max(1) as f64
    }

    fn machine(&self) -> Option<f64> {
        let time = self.run.machine?;
        Some(time.as_secs_f64() * 1e6 / self.answers.right.max(1) as f64)
    }

    /// Names a second, from start to end of the process.
    fn rate(&self) -> f64 {
        self.answers.right as f64 / self.run.wall.as_secs_f64().max(1e-3)
    }

    fn frames(&self) -> f64 {
        self.run.sent.frames as f64 / self.answers.right.max(1) as f64
    }
}

fn names(programs: &[Program], options: &Options, report: &mut Report) -> Result<(), Failure> {
    report.part("400,000 names, half of which do not exist, at one knotd behind 100 addresses");
    let names = options.share(NAMES);
    let stage = Stage::of_knot(options)?;
    let contenders: Vec<_> = programs
        .iter()
        .flat_map(|program| {
            let asked = names / program.tool.share();
            let ours = Link::ALL
                .map(|link| How { link: Some(link), in_flight: Some(AT_KNOT), rate: None })
                .to_vec();
            let is_ours = program.tool == Tool::Mrpf;
            let hows = if is_ours { ours } else { vec![How::default()] };
            let with = move |how| Contender { program, asked, how, is_piped: false };
            hows.into_iter().map(with)
        })
        .collect();
    let rows: Vec<_> = contenders.iter().map(Contender::name).collect();
    let rows: Vec<_> = rows.iter().map(String::as_str).collect();
    let outcomes =
        in_turn(&rows, options.runs, report, |index| stage.run(&contenders[index], options));
    tell(&contenders, &outcomes, report);
    Ok(())
}

fn stream(ours: &Program, options: &Options, report: &mut Report) -> Result<(), Failure> {
    report.part("10 million names by standard input, 100,000 under way at once: each answer takes two seconds");
    let asked = options.share(STREAM);
    let stage = Stage::of_slow()?;
    let rate = Some(IN_FLIGHT / DELAY.as_secs() as u32);
    let how = How { link: None, in_flight: Some(IN_FLIGHT), rate };
    let contender = Contender { program: ours, asked, how, is_piped: true };
    let outcomes = in_turn(&[OURS], 1, report, |_| stage.run(&contender, options));
    tell(&[contender], &outcomes, report);
    Ok(())
}

/// What a server of ours says: the same as the zone.
fn truth(asked: &Asked<'_>, reply: &mut Reply) {
    match answers::number_of(asked.name).and_then(address) {
        Some(address) => reply.answer(rtype::A, 300, &address.octets()),
        None => reply.status(3),
    }
}

/// The zone: see [`answers`].
fn zone(names: u32) -> String {
    let mut text = format!("{ZONE}. 3600 SOA ns.{ZONE}. root.{ZONE}. 1 3600 900 604800 300\n");
    text.push_str(&format!("{ZONE}. 3600 NS ns.{ZONE}.\nns.{ZONE}. 3600 A 198.18.0.2\n"));
    for number in 0..names {
        if let Some(address) = address(number) {
            text.push_str(&format!("{}. 300 A {address}\n", name(number)));
        }
    }
    text
}

/// Address `number` of the server.
fn resolver(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(veth::HOSTS.first().to_bits() + 1 + number)
}

/// Where dnsperf asks, which has one server.
fn first_resolver() -> IpAddr {
    resolver(0).into()
}

fn tell(contenders: &[Contender<'_>], outcomes: &[Vec<Outcome>], report: &mut Report) {
    report.commands(&contenders.iter().map(Contender::shown).collect::<Vec<_>>());
    let done = || contenders.iter().zip(outcomes).filter(|(_, outcomes)| !outcomes.is_empty());
    let rows = done().map(|(contender, outcomes)| {
        let values = |of: fn(&Outcome) -> Option<f64>| outcomes.iter().filter_map(of);
        let middle = |of: fn(&Outcome) -> f64| median(outcomes.iter().map(of));
        let not_right =
            |it: &Outcome| (it.answers.wrong + it.answers.again + it.answers.failed) as f64;
        vec![
            contender.name(),
            contender.asked.to_string(),
            format!("{:.0}", middle(|it| it.answers.right as f64)),
            format!("{:.0}", middle(not_right)),
            spread(values(|it| Some(it.process())), 2),
            spread(values(Outcome::machine), 2),
            spread(values(|it| Some(it.rate())), 0),
            format!("{:.2}", middle(Outcome::frames)),
            format!("{:.1}", middle(|it| it.run.memory as f64 / 1e6)),
            format!("{:.1}", middle(|it| it.run.wall.as_secs_f64())),
        ]
    });
    let header = [
        "",
        "names",
        "right",
        "wrong, again or failed",
        "process us/name",
        "machine us/name",
        "names/s",
        "frames out/name",
        "peak MB",
        "s in all",
    ];
    report.table(&header, &rows.collect::<Vec<_>>());
    let compared = |ours: &[Outcome], theirs: &[Outcome], of: fn(&Outcome) -> Option<f64>| {
        let middle = |outcomes: &[Outcome]| median(outcomes.iter().filter_map(of));
        ratio(middle(ours), middle(theirs))
    };
    // Ours by XDP to ours by packet sockets, and both to the others.
    let is_base = |own: &Contender<'_>, other: &Contender<'_>| {
        !other.is_ours() || (own.how.link, other.how.link) == (Some(Link::Xdp), Some(Link::Packet))
    };
    let pairs = done().filter(|(own, _)| own.is_ours()).flat_map(|ours| {
        done().filter(move |(other, _)| is_base(ours.0, other)).map(move |theirs| (ours, theirs))
    });
    let rows = pairs.map(|((own, ours), (other, theirs))| {
        vec![
            format!("{} to {}", own.name(), other.name()),
            compared(ours, theirs, |it| Some(it.rate())),
            compared(ours, theirs, |it| Some(it.process())),
            compared(ours, theirs, Outcome::machine),
            compared(ours, theirs, |it| Some(it.run.memory as f64)),
        ]
    });
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        report.table(&["", "names/s", "process CPU", "machine CPU", "memory"], &rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_name_is_in_the_zone() {
        let text = zone(1_000);
        assert_eq!(text.lines().filter(|line| line.starts_with('w')).count(), 500);
        assert!(text.contains("w2.example.test. 300 A 198.51.100.1\n"), "{text}");
    }

    #[test]
    fn resolvers_are_hosts_of_the_lab() {
        assert_eq!((resolver(0), resolver(99)), ([198, 19, 0, 1].into(), [198, 19, 0, 100].into()));
    }
}
