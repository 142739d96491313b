//! `mrpf demo`: a whole scan of 65,536 hosts that it makes itself, held against what is true of them.

use std::{
    env,
    fmt::Write as _,
    fs::File,
    io::{self, BufReader},
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    time::Duration,
};

use indicatif::HumanCount;
use mrpf_engine::scan::Settings;
use mrpf_lab::{
    demo::{self, HOSTS, PORTS, Truth},
    netns::{self, Privileges},
};
use mrpf_records::{Record, State};
use mrpf_syn::{Scan, Show};

use crate::{
    answer,
    args::{DemoArgs, Format},
    drive::{Driven, Ended, Limits, drive},
    error::{CliError, DONE, INTERRUPTED},
    output::Output,
    prepared::Prepared,
    progress::{Progress, Wanted},
    saver::Saver,
    say,
    signals::Signals,
    summary,
};

/// Where the records go when no file is named.
const RECORDS: &str = "mrpf-demo.jsonl";
/// Long enough for the slowest host of the demo, which takes 300 ms.
const COOLDOWN: Duration = Duration::from_secs(4);
const RETRIES: u8 = 2;
/// Most wrong answers that are listed.
const LISTED: usize = 10;

/// Runs the demo; fails unless every answer is true.
pub(crate) fn run(args: &DemoArgs) -> Result<u8, CliError> {
    let privileges = netns::gain_privileges()?;
    let prepared = records_file(args.output.as_deref())?;
    let lab = match demo::start() {
        Ok(lab) => lab,
        Err(error) => {
            prepared.discard();
            return Err(error.into());
        }
    };
    if !args.quiet {
        let how = match privileges {
            Privileges::Had => "",
            Privileges::UserNamespace => ", without root",
        };
        say(&format!(
            "{HOSTS}: 65,536 hosts in a namespace of this process{how}; no packet leaves the machine"
        ));
    }
    let settings =
        Settings { rate: args.rate, retries: RETRIES, cooldown: COOLDOWN, ..Settings::default() };
    let ports = PORTS.map(|port| port.to_string()).join(",");
    let signals = Signals::install().map_err(CliError::Signals)?;
    let made = prepared.new_path().into_iter().collect();
    let preparing = signals.end_at_once(made).map_err(CliError::Signals)?;
    let scan = Scan::builder()
        .settings(settings)
        .target(HOSTS.to_string())
        .ports(ports)
        .allow_reserved(true)
        .show(Show::ALL)
        .build();
    let mut scan = match scan {
        Ok(scan) => scan,
        Err(error) => {
            prepared.discard();
            return Err(error.into());
        }
    };
    drop(preparing);
    let path = prepared.path().to_owned();
    let mut output = Output::file(prepared, Some(Format::Jsonl))?;
    let wanted = Wanted { quiet: args.quiet, verbose: true, records_on_terminal: false };
    let mut progress = Progress::new(wanted, &settings);
    let mut saver = Saver::off();
    let limits = Limits::default();
    let driven = drive(&mut scan, &mut output, limits, &mut progress, &signals, &mut saver);
    drop(scan);
    drop(lab);
    report(driven, &path)
}

/// The file that was asked for, or one here, or one among the temporary files.
fn records_file(asked: Option<&Path>) -> Result<Prepared, CliError> {
    if let Some(path) = asked {
        let prepared = Prepared::open("-o", path)?;
        // What is written is read again, which devices and pipes do not give back.
        return if prepared.is(path) {
            Ok(prepared)
        } else {
            Err(CliError::NotAFile(path.to_owned()))
        };
    }
    let error = match Prepared::open("-o", Path::new(RECORDS)) {
        Ok(prepared) => return Ok(prepared),
        Err(error) => error,
    };
    // A file that is there already may be anybody's.
    for n in 0..100 {
        let path = env::temp_dir().join(format!("mrpf-demo-{}-{n}.jsonl", std::process::id()));
        if let Ok(prepared) = Prepared::create("-o", &path) {
            say(&format!(
                "this folder cannot be written to, so the records go to {}",
                path.display()
            ));
            return Ok(prepared);
        }
    }
    Err(error)
}

/// Holds the file against the truth and shows both.
fn report(driven: Driven, path: &Path) -> Result<u8, CliError> {
    let read = |source| CliError::Write {
        name: path.display().to_string(),
        source,
        kept: driven.written,
        resume: None,
    };
    let tally =
        File::open(path).and_then(|file| Tally::read(BufReader::new(file))).map_err(read)?;
    answer(&table(&tally, &driven, path));
    if let Some(error) = driven.error {
        return Err(error);
    }
    if driven.ended == Ended::Interrupted {
        say("interrupted: what is missing was not scanned");
        return Ok(INTERRUPTED);
    }
    match tally.faults() {
        None => Ok(DONE),
        Some(faults) => Err(CliError::Demo(faults)),
    }
}

/// What was found of each target, in the order of the addresses and then of [`PORTS`].
#[derive(Debug)]
struct Tally {
    found: Vec<Option<State>>,
    /// Records of a target that had one.
    twice: u64,
    /// Lines that are no record of a target of the demo.
    strange: u64,
    /// A line for each state.
    samples: [Option<String>; 4],
}

impl Tally {
    fn new() -> Self {
        let hosts = HOSTS.last().to_bits() - HOSTS.first().to_bits() + 1;
        Self {
            found: vec![None; hosts as usize * PORTS.len()],
            twice: 0,
            strange: 0,
            samples: [const { None }; 4],
        }
    }

    /// Reads what the scan has written, as anybody would.
    fn read(lines: impl io::BufRead) -> io::Result<Self> {
        let mut tally = Self::new();
        for line in lines.lines() {
            tally.note(&line?);
        }
        Ok(tally)
    }

    fn note(&mut self, line: &str) {
        let Ok(Record::Syn(syn)) = serde_json::from_str::<Record>(line) else {
            self.strange += 1;
            return;
        };
        let slot = place(syn.ip, syn.port).and_then(|at| self.found.get_mut(at));
        match slot {
            None => self.strange += 1,
            Some(Some(_)) => self.twice += 1,
            Some(slot) => *slot = Some(syn.state),
        }
        self.samples[syn.state as usize].get_or_insert_with(|| line.to_owned());
    }

    /// Each target with what was found and what is true.
    fn targets(&self) -> impl Iterator<Item = (Ipv4Addr, u16, Option<State>, State)> {
        self.found.iter().enumerate().map(|(at, found)| {
            let addr = Ipv4Addr::from_bits(HOSTS.first().to_bits() + (at / PORTS.len()) as u32);
            let port = PORTS[at % PORTS.len()];
            (addr, port, *found, state(demo::truth(addr, port)))
        })
    }

    /// What was found and is not true.
    fn wrong(&self) -> impl Iterator<Item = (Ipv4Addr, u16, Option<State>, State)> {
        self.targets().filter(|(.., found, truth)| found.is_some_and(|found| found != *truth))
    }

    /// What has no record.
    fn missing(&self) -> impl Iterator<Item = (Ipv4Addr, u16, Option<State>, State)> {
        self.targets().filter(|(.., found, _)| found.is_none())
    }

    /// What is not as it should be, in a clause; `None` when all is.
    fn faults(&self) -> Option<String> {
        let parts: Vec<String> = [
            (self.wrong().count() as u64, "wrong answers"),
            (self.missing().count() as u64, "answers missing"),
            (self.twice, "answers recorded twice"),
            (self.strange, "lines that are no record of its own"),
        ]
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{} {what}", HumanCount(n)))
        .collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

fn place(ip: IpAddr, port: u16) -> Option<usize> {
    let IpAddr::V4(ip) = ip else { return None };
    let host = ip.to_bits().checked_sub(HOSTS.first().to_bits())? as usize;
    Some(host * PORTS.len() + PORTS.iter().position(|known| *known == port)?)
}

fn state(truth: Truth) -> State {
    match truth {
        Truth::Open => State::Open,
        Truth::Closed => State::Closed,
        Truth::Silent => State::Silent,
        Truth::Unreachable => State::Unreachable,
    }
}

/// All that the demo has to show.
fn table(tally: &Tally, driven: &Driven, path: &Path) -> String {
    let mut text = counts(tally);
    let mut add = |name: &str, value: &str| {
        // A string takes every write.
        let _ = writeln!(text, "{name:<16} {value}");
    };
    let (counts, summary) = (&driven.summary.counts, &driven.summary);
    let total = HumanCount(tally.found.len() as u64);
    let wrong: Vec<_> = tally.wrong().collect();
    add("wrong answers", &format!("{} of {total}", HumanCount(wrong.len() as u64)));
    let missing: Vec<_> = tally.missing().collect();
    add("missing", &format!("{} of {total}", HumanCount(missing.len() as u64)));
    // What a scan that was stopped has not found is no news.
    let told = if driven.ended == Ended::Through { missing.as_slice() } else { &[] };
    for (addr, port, found, truth) in wrong.iter().chain(told).take(LISTED) {
        let found =
            found.map_or_else(|| "is missing".to_owned(), |found| format!("was found {found}"));
        add("", &format!("{addr}:{port} is {truth} and {found}"));
    }
    add("recorded twice", &HumanCount(tally.twice).to_string());
    let lost = counts.dropped() + counts.ring_drops + counts.refused;
    add("lost here", &format!("{} of {} frames", HumanCount(lost), HumanCount(counts.generated)));
    let (interface_sent, interface_received) = match &summary.interface {
        Some((name, grown)) => (
            format!("; {name} counted {}", HumanCount(grown.tx_packets)),
            format!("; {name} counted {}", HumanCount(grown.rx_packets)),
        ),
        None => (String::new(), String::new()),
    };
    let kinds = format!(
        "{} probes, {} resets, {} ARP",
        HumanCount(counts.probes),
        HumanCount(counts.resets),
        HumanCount(counts.arp_requests)
    );
    add("frames sent", &format!("{} ({kinds}){interface_sent}", HumanCount(counts.sent)));
    let kinds = format!(
        "{} first answers, {} duplicates, {} no answers",
        HumanCount(counts.first),
        HumanCount(counts.duplicate + counts.late),
        HumanCount(counts.invalid())
    );
    add(
        "frames received",
        &format!("{} ({kinds}){interface_received}", HumanCount(counts.received)),
    );
    let seconds = summary.elapsed.as_secs_f64();
    add(
        "time",
        &format!(
            "{seconds:.1} s at {}/s, {RETRIES} retries, {COOLDOWN:?} of cooldown",
            summary.rate
        ),
    );
    add("records", &format!("{} in {}", HumanCount(driven.written), path.display()));
    for sample in tally.samples.iter().flatten() {
        add("", sample);
    }
    for (n, reason) in summary::incomplete(driven).iter().enumerate() {
        add(if n == 0 { "not complete" } else { "" }, reason);
    }
    let program = env::args_os().next().map_or_else(|| PathBuf::from("mrpf"), PathBuf::from);
    let program = program.display();
    add(
        "to try next",
        &format!("{program} lab run -- {program} syn 198.19.184.0/24 -p 80,443 --allow-reserved"),
    );
    text.truncate(text.trim_end().len());
    text
}

/// State by state, what was found and what is true, by port and in all.
fn counts(tally: &Tally) -> String {
    let mut counts = [[[0_u64; 2]; PORTS.len() + 1]; 4];
    for (_, port, found, truth) in tally.targets() {
        let column = PORTS.iter().position(|known| *known == port).unwrap_or(PORTS.len());
        for column in [column, PORTS.len()] {
            counts[truth as usize][column][1] += 1;
            if let Some(found) = found {
                counts[found as usize][column][0] += 1;
            }
        }
    }
    let mut text = format!("{:<16}", "");
    let mut add = |part: std::fmt::Arguments<'_>| {
        // A string takes every write.
        let _ = text.write_fmt(part);
    };
    for port in PORTS {
        add(format_args!(" {:<17}", format!("port {port}")));
    }
    add(format_args!(" total\n{:<16}", "state"));
    for _ in 0..=PORTS.len() {
        add(format_args!(" {:>7} {:>7}  ", "found", "true"));
    }
    for state in State::ALL {
        add(format_args!("\n{state:<16}"));
        for [found, truth] in counts[state as usize] {
            add(format_args!(
                " {:>7} {:>7}  ",
                HumanCount(found).to_string(),
                HumanCount(truth).to_string()
            ));
        }
    }
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n\n"
}

#[cfg(test)]
mod tests {
    use mrpf_records::{Reason, SynRecord, Timestamp};

    use super::*;

    /// The records of a scan that finds the truth.
    fn all() -> Vec<String> {
        let line = |(addr, port, _, truth): (Ipv4Addr, u16, Option<State>, State)| {
            let ts = Timestamp::from_unix_micros(0);
            let record = SynRecord::new(ts, addr.into(), port, truth, Reason::SynAck);
            serde_json::to_string(&Record::Syn(record)).unwrap()
        };
        Tally::new().targets().map(line).collect()
    }

    fn tally(lines: &[String]) -> Tally {
        Tally::read(lines.join("\n").as_bytes()).unwrap()
    }

    #[test]
    fn the_truth_has_no_faults_and_all_of_it_is_needed() {
        let mut lines = all();
        assert_eq!(lines.len(), 65_536 * 3);
        assert_eq!(tally(&lines).faults(), None);
        let last = lines.pop().unwrap();
        assert_eq!(tally(&lines).faults().unwrap(), "1 answers missing");
        lines.extend([last.clone(), last]);
        assert_eq!(tally(&lines).faults().unwrap(), "1 answers recorded twice");
        lines.pop();
        lines.push("{\"type\":\"syn\"".to_owned());
        assert_eq!(tally(&lines).faults().unwrap(), "1 lines that are no record of its own");
        lines.pop();
        lines[0] = lines[0].replace("\"state\":\"open\"", "\"state\":\"silent\"");
        let tally = tally(&lines);
        assert_eq!(tally.faults().unwrap(), "1 wrong answers");
        let wrong: Vec<_> = tally.wrong().collect();
        assert_eq!(wrong, [(HOSTS.first(), PORTS[0], Some(State::Silent), State::Open)]);
    }

    #[test]
    fn counts_agree_with_the_totals_of_the_lab() {
        let text = counts(&tally(&all()));
        let [open, ..] = demo::totals();
        let line = text.lines().find(|line| line.starts_with("open")).unwrap();
        let open = HumanCount(open).to_string();
        let columns: Vec<&str> = line.split_whitespace().rev().take(2).collect();
        assert_eq!(columns, [open.as_str(), open.as_str()]);
    }

    #[test]
    fn an_address_outside_has_no_place() {
        for (ip, port) in [("198.18.255.255", 80), ("198.19.0.0", 81), ("::1", 80), ("0.0.0.0", 80)]
        {
            assert_eq!(place(ip.parse().unwrap(), port), None, "{ip}:{port}");
        }
        // Past the end there is a number, and no target under it.
        assert!(place([198, 20, 0, 0].into(), 80).unwrap() >= Tally::new().found.len());
    }
}
