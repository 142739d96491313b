//! The same SYN from all to a far end of which nobody, a share, or every host answers: what an answer costs, and whether it is
//! heard.
//!
//! mrpf takes answers by its port guard or its XDP program, and resets what it opened by itself. masscan resets too, and zmap
//! leaves it to the kernel; they send from an address that no kernel has, so that none does it for them. So a row says in its
//! name when nobody resets: these belong together.

use std::iter;

use mrpf_lab::veth;

use crate::{
    Failure, Options,
    far_end::{Contender, Done, run_all, tell},
    findings::Losses,
    measure::Run,
    report::{Report, median},
    sinks::kxdpgun_seconds,
    tool::{Link, Program, Records, Tool, Work},
};

/// How many hosts of a thousand answer; none is a sink.
const SHARES: [u32; 4] = [0, 10, 100, 1_000];
const ALL: u32 = 1_000;

/// Behind the name of a row in which nobody resets what the probes opened.
const NO_RST: &str = ", no RST";

/// Behind the name of a row of mrpf in which two threads send, and two receive.
const TWO: &str = ", 2 threads";

/// What is wanted where every host answers, of mrpf by XDP: probes a second, times masscan's rate, its share of masscan's CPU
/// of the process and of the machine, and the share of the answers that may be missing.
const RATE: f64 = 3.2e6;
const TIMES_RATE: f64 = 5.0;
const SHARE_OF_PROCESS: f64 = 1.0 / 4.0;
const SHARE_OF_MACHINE: f64 = 1.0 / 3.0;
const MISSING: f64 = 0.001;

/// Prints tables for each share, and at the last whether the goals are met.
pub(crate) fn compare(
    programs: &[Program],
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    for per_mille in SHARES {
        let (title, share) = match per_mille {
            0 => ("Nobody answers: to a sink".to_owned(), None),
            _ => (format!("{} % of the hosts answer", per_mille / 10), Some(per_mille)),
        };
        report.part(&format!("{title}, as fast as each can"));
        let contenders = contenders(programs, per_mille, options);
        let runs = run_all(share, &contenders, options, report)?;
        tell(&contenders, &runs, report);
        let rows: Vec<_> = contenders.iter().map(|it| it.name.as_str()).zip(&runs).collect();
        if per_mille > 0 {
            tell_missing(&rows, report);
        }
        if per_mille == ALL {
            tell_goals(&rows, report);
        }
    }
    report.note(
        "Both ends of the link have a queue for each CPU. Rows without *no RST* reset what they open, but for zmap's: it leaves that to the kernel, which does not know the \
         address that zmap and masscan send from. Those two write a line for each open port; mrpf does so in the row that says \
         jsonl, and counts in the others. kxdpgun has UDP to send, and only to one address: it stands where nobody answers."
            .to_owned(),
    );
    Ok(())
}

/// Who runs where so many of a thousand hosts answer.
fn contenders<'a>(
    programs: &'a [Program],
    per_mille: u32,
    options: &Options,
) -> Vec<Contender<'a>> {
    let work = Work {
        targets: veth::HOSTS,
        ports: if options.quick { "1-2" } else { "1-128" }.to_owned(),
        rate: None,
        attempts: Some(1),
        wait: Some(2),
        is_smallest: true,
        threads: None,
        link: None,
        records: Records::List,
        resets: true,
        is_apart: true,
        seconds: kxdpgun_seconds(options),
    };
    let mut contenders = Vec::new();
    for program in programs {
        let mut row = |name: &str, work: Work| {
            let name = format!("{}{name}", program.tool);
            contenders.push(Contender { name, program, work });
        };
        match program.tool {
            Tool::Nmap => {} // some thousand frames a second
            Tool::Mrpf => {
                for link in Link::ALL.into_iter().filter(|link| program.has(*link)) {
                    let name = format!(", {}", link.as_str());
                    let work =
                        Work { link: Some(link), records: Records::Counters, ..work.clone() };
                    row(&name, work.clone());
                    if per_mille == ALL {
                        row(&format!("{name}{NO_RST}"), Work { resets: false, ..work });
                    }
                }
                if per_mille == ALL && program.has(Link::Xdp) {
                    let (link, records) = (Some(Link::Xdp), Records::Counters);
                    let work = Work { link, records, threads: Some(2), ..work.clone() };
                    row(&format!(", xdp{TWO}"), work.clone());
                    row(&format!(", xdp{TWO}{NO_RST}"), Work { resets: false, ..work.clone() });
                    row(", xdp, jsonl", Work { records: Records::Jsonl, threads: None, ..work });
                }
            }
            Tool::Zmap => {
                for threads in [1, 2] {
                    let work = Work { threads: Some(threads), ..work.clone() };
                    row(&format!(", {threads} to send"), work);
                }
            }
            Tool::Masscan => {
                row("", work.clone());
                if per_mille == ALL {
                    row(NO_RST, Work { resets: false, ..work.clone() });
                }
            }
            Tool::Kxdpgun if per_mille == 0 => row("", work.clone()),
            Tool::Kxdpgun => {}
        }
    }
    contenders
}

/// The runs of a row by its name.
type Row<'a> = (&'a str, &'a Vec<Done>);

/// What each told of the answers, and what mrpf says became of the others.
fn tell_missing(rows: &[Row<'_>], report: &mut Report) {
    let lines = rows.iter().filter(|(_, runs)| !runs.is_empty()).map(|(name, runs)| {
        let (answers, hits) = counted(runs);
        let mut losses = Losses::new();
        for (what, count) in runs.iter().flat_map(|done| &done.losses) {
            *losses.entry(*what).or_default() += count;
        }
        let named: Vec<_> = losses.iter().map(|(what, count)| format!("{what} {count}")).collect();
        let missing = i128::from(answers) - i128::from(hits);
        let named =
            if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) };
        format!(
            "- {name}: {missing} of {answers} not found, {:.4} % in the worst run{named}",
            100.0 * missing_share(runs)
        )
    });
    report.note(lines.collect::<Vec<_>>().join("\n"));
}

/// Whether what was wanted is reached, with RSTs and without, by one thread that sends and by two.
fn tell_goals(rows: &[Row<'_>], report: &mut Report) {
    let runs = |name: String| {
        let found = rows.iter().find(|(row, runs)| *row == name && !runs.is_empty());
        found.map(|(_, runs)| runs.as_slice())
    };
    let ours = format!("{}, {}", Tool::Mrpf, Link::Xdp.as_str());
    let columns = [("", ""), ("", NO_RST), (TWO, ""), (TWO, NO_RST)].map(|(threads, how)| {
        let name = format!("{ours}{threads}{how}");
        let cells = goals(runs(name.clone()), runs(format!("{}{how}", Tool::Masscan)));
        (name, cells)
    });
    let names = [
        format!("probes a second >= {:.1} M", RATE / 1e6),
        format!("rate >= {TIMES_RATE:.0}x masscan's"),
        format!("answers not found <= {:.1} %", 100.0 * MISSING),
        format!("process CPU <= {SHARE_OF_PROCESS:.2}x masscan's"),
        format!("machine CPU <= {SHARE_OF_MACHINE:.2}x masscan's"),
    ];
    let lines: Vec<_> = (0..names.len())
        .map(|line| {
            let cells = columns.iter().map(|(_, cells)| cells[line].clone());
            iter::once(names[line].clone()).chain(cells).collect::<Vec<_>>()
        })
        .collect();
    let heads: Vec<_> =
        iter::once("goal").chain(columns.iter().map(|(name, _)| name.as_str())).collect();
    report.table(&heads, &lines);
}

/// A cell a goal; a dash where something was not measured.
fn goals(ours: Option<&[Done]>, masscan: Option<&[Done]>) -> [String; 5] {
    let median_of = |runs: Option<&[Done]>, of: fn(&Run) -> Option<f64>| {
        let values: Vec<f64> = runs?.iter().filter_map(|done| of(&done.run)).collect();
        (!values.is_empty()).then(|| median(values))
    };
    let ratio = |of: fn(&Run) -> Option<f64>| Some(median_of(ours, of)? / median_of(masscan, of)?);
    let cell = |figure: Option<f64>, is_met: fn(f64) -> bool, shown: fn(f64) -> String| {
        let verdict = |met| if met { "met" } else { "not met" };
        figure
            .map_or_else(|| "-".to_owned(), |it| format!("{}: {}", shown(it), verdict(is_met(it))))
    };
    let times = |figure: f64| format!("{figure:.2}x");
    [
        cell(
            median_of(ours, |run| Some(run.rate())),
            |rate| rate >= RATE,
            |rate| format!("{:.2} M", rate / 1e6),
        ),
        cell(ratio(|run| Some(run.rate())), |times| times >= TIMES_RATE, times),
        cell(
            ours.map(missing_share),
            |share| share <= MISSING,
            |share| format!("{:.4} %", 100.0 * share),
        ),
        cell(ratio(|run| Some(run.process_per_frame())), |share| share <= SHARE_OF_PROCESS, times),
        cell(ratio(Run::machine_per_frame), |share| share <= SHARE_OF_MACHINE, times),
    ]
}

/// Answers that were sent, and those that were told of, in all runs.
fn counted(runs: &[Done]) -> (u64, u64) {
    let sum = |of: fn(&Done) -> u64| runs.iter().map(of).sum();
    (sum(|done| done.answers), sum(|done| done.hits))
}

/// The share of the answers of a run that was not told of, or was told of and not answered, where it was largest.
fn missing_share(runs: &[Done]) -> f64 {
    let share = |done: &Done| done.answers.abs_diff(done.hits) as f64 / done.answers.max(1) as f64;
    runs.iter().map(share).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::measure::Sent;

    fn done(millis: u64, process: u64, machine: u64, hits: u64) -> Vec<Done> {
        let run = Run {
            sent: Sent { frames: 8_000_000, octets: 0 },
            sending: Duration::from_millis(millis),
            process: Duration::from_millis(process),
            machine: Some(Duration::from_millis(machine)),
            ..Run::default()
        };
        vec![Done { run, hits, answers: 8_000_000, resets: 0, losses: Losses::new() }]
    }

    #[test]
    fn goals_are_met_at_their_bounds_and_not_beyond() {
        let masscan = done(12_500, 12_000, 15_000, 7_000_000);
        let cells = goals(Some(&done(2_500, 3_000, 5_000, 7_992_000)), Some(&masscan));
        assert_eq!(
            cells,
            ["3.20 M: met", "5.00x: met", "0.1000 %: met", "0.25x: met", "0.33x: met"]
        );
        let cells = goals(Some(&done(2_600, 3_100, 5_200, 8_008_001)), Some(&masscan));
        assert!(cells.iter().all(|cell| cell.ends_with(": not met")), "{cells:?}");
    }

    #[test]
    fn what_was_not_measured_is_neither() {
        assert_eq!(goals(None, None), ["-"; 5]);
        let cells = goals(Some(&done(1_000, 1, 1, 8_000_000)), None);
        assert_eq!(cells, ["8.00 M: met", "-", "0.0000 %: met", "-", "-"]);
    }
}
