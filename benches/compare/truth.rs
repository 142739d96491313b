//! What each tool finds of hosts whose answers are known, at one rate, with frames lost on the way.
//!
//! | eighth of the targets | answers |
//! |---|---|
//! | 0 | port 80 open, 81 closed |
//! | 1 | both closed |
//! | 2 | nothing |
//! | 3 | a router: ICMP host unreachable |
//! | 4 | as 0, each answer three times |
//! | 5 | forged: wrong acknowledgement, foreign quote, RST without ACK, from another port. None is open |
//! | 6 | as 0, after 300 ms |
//! | 7 | as 0, answers overtaking each other by up to 50 ms |

use std::{collections::BTreeSet, net::Ipv4Addr, ops::RangeInclusive, time::Duration};

use mrpf_engine::link::{
    interface::Interface,
    sim::hosts::{Behaviour, Hosts, Odd, Quote},
};
use mrpf_lab::{Lab, Loss, Prefix, veth};

use crate::{
    Failure, Options,
    findings::{Findings, Port},
    measure::{Measure, Run, Sent},
    report::{Report, median},
    tick::Tick,
    tool::{Program, Records, Tool, Work},
    turns::in_turn,
};

const OPEN: u16 = 80;
const CLOSED: u16 = 81;
/// Frames a second of every tool: none of them, and not the responder, is near its limit.
const RATE: u32 = 20_000;
/// Every target is asked so often at most.
const ATTEMPTS: u32 = 3;
/// mrpf's attempts in a row of its own: it asks nobody who has answered, so that these are fewer frames than zmap and masscan
/// need for [`ATTEMPTS`] (nmap needs fewer still). The row beside it, with the attempts of all others, is the equal one.
const MORE_ATTEMPTS: u32 = 6;
/// Percent lost each way.
const LOSSES: [u8; 3] = [0, 1, 5];
/// Answers doubled by the network, in percent, where there is loss.
const DOUBLED: u8 = 1;
/// What the hosts draw at random comes from it: the same world for all.
const SEED: u64 = 0x636f_6d70;

/// The eighths whose port 80 is open, in one way or another.
const LIKE_THE_FIRST: [u32; 4] = [0, 4, 6, 7];

/// What one run found.
#[derive(Clone, Copy, Debug)]
struct Score {
    found: u64,
    wrong: u64,
    repeated: u64,
    lost: u64,
    run: Run,
}

/// Prints a table for each loss.
pub(crate) fn compare(
    programs: &[Program],
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    let targets = Prefix::new([198, 19, 0, 0], if options.quick { 21 } else { 17 });
    let truth = truth(targets);
    let work = Work {
        targets,
        ports: format!("{OPEN},{CLOSED}"),
        rate: Some(RATE),
        attempts: Some(ATTEMPTS),
        wait: Some(3),
        is_smallest: false,
        threads: Some(1),
        link: None,
        records: Records::List,
        resets: true,
        is_apart: false,
        seconds: 0,
    };
    report.part(&format!("Known hosts, {RATE} frames/s, {ATTEMPTS} attempts"));
    let contenders = contenders(programs, &work);
    report.commands(&contenders.iter().map(|it| it.program.shown(&it.work)).collect::<Vec<_>>());
    let tools: Vec<_> = contenders.iter().map(|it| it.program.tool.as_str()).collect();
    for percent in LOSSES {
        let scores = in_turn(&tools, options.runs, report, |index| {
            run(contenders[index].program, &contenders[index].work, percent, &truth)
        });
        report.note(format!("{percent} % lost each way; {} ports are open:", truth.len()));
        tell(&contenders, &scores, &truth, targets, report);
    }
    Ok(())
}

/// A row of the tables.
struct Contender<'a> {
    name: String,
    program: &'a Program,
    work: Work,
}

/// All with the same attempts, and mrpf once more with those that the frames of zmap would pay for.
fn contenders<'a>(programs: &'a [Program], work: &Work) -> Vec<Contender<'a>> {
    let all = programs.iter().map(|program| Contender {
        name: program.tool.to_string(),
        program,
        work: work.clone(),
    });
    let more =
        programs.iter().find(|program| program.tool == Tool::Mrpf).map(|program| Contender {
            name: format!("{}, {MORE_ATTEMPTS} attempts", program.tool),
            program,
            work: Work { attempts: Some(MORE_ATTEMPTS), ..work.clone() },
        });
    more.into_iter().chain(all).collect()
}

/// One tool, in a lab of its own.
fn run(
    program: &Program,
    work: &Work,
    percent: u8,
    truth: &BTreeSet<Port>,
) -> Result<Score, Failure> {
    let folder = tempfile::tempdir()?;
    let mut builder = Lab::builder().respond(work.targets, hosts(work.targets));
    if percent > 0 {
        builder = builder.loss(Loss {
            probes_percent: percent,
            answers_percent: percent,
            duplicated_percent: DOUBLED,
        });
    }
    let lab = builder.start()?;
    let _tick = Tick::start(&lab)?;
    let interface = Interface::by_name(veth::SCANNER.device)?;
    let sent = || {
        let counters = interface.counters()?;
        Ok(Sent { frames: counters.tx_packets, octets: counters.tx_bytes })
    };
    let (log, found) = (folder.path().join("log"), folder.path().join("found"));
    let measure = Measure {
        sent: &sent,
        most: Duration::from_secs(300),
        most_idle: Duration::ZERO,
        input: None,
        log: &log,
        server: None,
        incomplete: None,
    };
    let run = measure.run(program.command(work, &found))?;
    let Findings { open, repeated } = Findings::read(program.tool, &found)?;
    let loss = lab.loss()?;
    Ok(Score {
        found: open.intersection(truth).count() as u64,
        wrong: open.difference(truth).count() as u64,
        repeated,
        lost: loss.probes_lost + loss.answers_lost,
        run,
    })
}

fn tell(
    contenders: &[Contender<'_>],
    scores: &[Vec<Score>],
    truth: &BTreeSet<Port>,
    targets: Prefix,
    report: &mut Report,
) {
    let asked = 2.0 * f64::from(1_u32 << (32 - targets.len()));
    let rows = contenders.iter().zip(scores).filter(|(_, scores)| !scores.is_empty());
    let rows = rows.map(|(contender, scores)| {
        let median = |of: fn(&Score) -> f64| median(scores.iter().map(of));
        let found = median(|score| score.found as f64);
        let wrong = median(|score| score.wrong as f64);
        vec![
            contender.name.clone(),
            format!("{found:.0}"),
            format!("{:.3} %", 100.0 * found / truth.len() as f64),
            // Two tools that ask equally often differ by chance, which a median hides and a sum shows.
            format!("{}", scores.iter().map(|score| truth.len() as u64 - score.found).sum::<u64>()),
            format!("{wrong:.0}"),
            format!("{:.3} %", 100.0 * found / (found + wrong).max(1.0)),
            format!("{:.0}", median(|score| score.repeated as f64)),
            format!("{:.2}", median(|score| score.run.sent.frames as f64) / asked),
            format!("{:.0}", median(|score| score.lost as f64)),
            format!("{:.1}", median(|score| score.run.rate() / 1e3)),
            format!("{:.1}", median(|score| score.run.wall.as_secs_f64())),
            format!("{:.2}", median(|score| score.run.process.as_secs_f64())),
            format!("{:.1}", median(|score| score.run.memory as f64 / 1e6)),
        ]
    });
    let header = [
        "",
        "found",
        "recall",
        "missed in all runs",
        "wrong",
        "precision",
        "rows again",
        "frames/target",
        "lost",
        "k frames/s",
        "s in all",
        "CPU s",
        "peak MB",
    ];
    report.table(&header, &rows.collect::<Vec<_>>());
}

/// The eighth of `targets` with this number.
fn eighth(targets: Prefix, number: u32) -> Prefix {
    part(targets, 3, number)
}

/// Part `number` of the `2^bits` equal ones of a prefix.
fn part(prefix: Prefix, bits: u8, number: u32) -> Prefix {
    let len = prefix.len() + bits;
    let first = prefix.first().to_bits() + (number << (32 - len));
    Prefix::new(first.to_be_bytes(), len)
}

fn truth(targets: Prefix) -> BTreeSet<Port> {
    let open = LIKE_THE_FIRST.map(|number| eighth(targets, number));
    let addrs =
        open.into_iter().flat_map(|prefix| prefix.first().to_bits()..=prefix.last().to_bits());
    addrs.map(|addr| (Ipv4Addr::from_bits(addr), OPEN)).collect()
}

fn hosts(targets: Prefix) -> Hosts {
    const HOST_UNREACHABLE: u8 = 1;
    const ALL: RangeInclusive<u16> = 0..=u16::MAX;
    let router = Behaviour::Unreachable {
        code: HOST_UNREACHABLE,
        responder: Some(veth::WORLD.addr.into()),
        quote: Quote::Full,
    };
    let mut rules = vec![
        (eighth(targets, 1), ALL, Behaviour::closed()),
        (eighth(targets, 2), ALL, Behaviour::Silent),
        (eighth(targets, 3), ALL, router),
    ];
    let quirk = |number: u32, it: Behaviour| match number {
        4 => Behaviour::Duplicate(3, Box::new(it)),
        6 => it.slow(Duration::from_millis(300)),
        7 => Behaviour::Reorder(Duration::from_millis(50), Box::new(it)),
        _ => it,
    };
    for number in LIKE_THE_FIRST {
        // The first rule that matches wins.
        rules.push((eighth(targets, number), OPEN..=OPEN, quirk(number, Behaviour::open())));
        rules.push((eighth(targets, number), ALL, quirk(number, Behaviour::closed())));
    }
    let forged = [Odd::WrongAck, Odd::ForeignQuote, Odd::RstWithoutAck, Odd::OtherPort];
    for (number, odd) in (0..).zip(forged) {
        rules.push((part(eighth(targets, 5), 2, number), ALL, Behaviour::Odd(odd)));
    }
    rules.into_iter().fold(Hosts::new(SEED), |hosts, (prefix, ports, behaviour)| {
        hosts.rule((prefix.first(), prefix.last()), ports, behaviour)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_a_prefix_once() {
        let whole = Prefix::new([198, 19, 128, 0], 17);
        assert_eq!(eighth(whole, 0).to_string(), "198.19.128.0/20");
        assert_eq!(eighth(whole, 7).to_string(), "198.19.240.0/20");
        assert_eq!(eighth(whole, 7).last(), whole.last());
        assert_eq!(truth(whole).len(), 4 * 4_096);
    }

    #[test]
    fn the_hosts_do_what_the_truth_says() {
        let whole = Prefix::new([198, 19, 0, 0], 21);
        let (hosts, truth) = (hosts(whole), truth(whole));
        let is_open = |mut behaviour: &Behaviour| loop {
            match behaviour {
                Behaviour::Duplicate(_, inner)
                | Behaviour::Reorder(_, inner)
                | Behaviour::Slow(_, inner) => behaviour = inner,
                Behaviour::Odd(odd) => break odd.is_open(),
                other => break matches!(other, Behaviour::Open(_)),
            }
        };
        for addr in (whole.first().to_bits()..=whole.last().to_bits()).map(Ipv4Addr::from_bits) {
            for port in [OPEN, CLOSED] {
                let behaviour = hosts.behaviour(addr, port).expect("every host has a rule");
                assert_eq!(is_open(behaviour), truth.contains(&(addr, port)), "{addr}:{port}");
            }
        }
    }
}
