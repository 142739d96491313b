//! `mrpf syn`: from flags to a scan, and what is left of it.

use std::path::{Path, PathBuf};

use indicatif::HumanCount;
use mrpf_engine::scan::Settings;
use mrpf_records::State;
use mrpf_syn::{Builder, Scan};

use crate::{
    answer,
    args::SynArgs,
    drive::{Driven, Limits, drive},
    error::{CliError, DONE},
    output::Output,
    plan::plan,
    prepared::Prepared,
    progress::{Progress, Wanted},
    report, say,
    signals::Signals,
    summary,
};

/// Runs the command; the exit code of a scan that has not failed.
pub(crate) fn run(args: &SynArgs) -> Result<u8, CliError> {
    if args.dry_run {
        answer(&plan(args)?);
        return Ok(DONE);
    }
    let output = args.output.as_deref().filter(|path| *path != Path::new("-"));
    let output = output.map(|path| Prepared::open("-o", path)).transpose()?;
    let report = args.summary.as_deref().map(|path| Prepared::open("--summary", path)).transpose();
    let (output, report) = match check_files(args, &output, report) {
        Ok(report) => (output, report),
        Err(error) => {
            output.into_iter().for_each(Prepared::discard);
            return Err(error);
        }
    };
    let mut scan = match describe(args).build() {
        Ok(scan) => scan,
        Err(error) => {
            output.into_iter().chain(report).for_each(Prepared::discard);
            return Err(error.into());
        }
    };
    let signals = Signals::install().map_err(CliError::Signals)?;
    let mut output = match output {
        Some(prepared) => Output::file(prepared, args.format)?,
        None => Output::stdout(args.format).map_err(|source| CliError::Write {
            name: "standard output".to_owned(),
            source,
            kept: 0,
        })?,
    };
    announce(args, &scan);
    let wanted = Wanted {
        quiet: args.quiet,
        verbose: args.verbose,
        records_on_terminal: output.is_terminal(),
    };
    let mut progress = Progress::new(wanted, &settings(args));
    let limits = Limits { results: args.max_results, time: args.max_time };
    let driven = drive(&mut scan, &mut output, limits, &mut progress, &signals);
    drop(scan);
    let told = told(args, output.name(), output.format().to_string());
    finish(args, driven, &told, report)
}

/// Tells how it went, and gives the exit code or what failed.
fn finish(
    args: &SynArgs,
    driven: Driven,
    told: &report::Settings,
    report: Option<Prepared>,
) -> Result<u8, CliError> {
    if !args.quiet {
        say(&summary::text(&driven, told, &told.output, args.verbose));
    } else if !driven.is_complete() && driven.error.is_none() {
        say(&format!("not complete: {}", summary::incomplete(&driven).join("; ")));
    }
    let written = report.map_or(Ok(()), |report| report::write(&driven, told, report));
    let code = driven.exit_code();
    match (driven.error, written) {
        (Some(error), Err(second)) => {
            say(&format!("error: {second}"));
            Err(error)
        }
        (Some(error), Ok(())) | (None, Err(error)) => Err(error),
        (None, Ok(())) => Ok(code),
    }
}

/// That no file is written to twice, or read from and written to.
fn check_files(
    args: &SynArgs,
    output: &Option<Prepared>,
    report: Result<Option<Prepared>, CliError>,
) -> Result<Option<Prepared>, CliError> {
    let report = report?;
    let inputs =
        [("-f", &args.file), ("--exclude-file", &args.exclude_file), ("--scope", &args.scope)];
    let clash = || {
        let (output, report) = (output.as_ref(), report.as_ref());
        for (flag, paths) in inputs {
            for path in paths {
                if output.is_some_and(|output| output.is(path)) {
                    return Some((flag, "-o"));
                }
                if report.is_some_and(|report| report.is(path)) {
                    return Some((flag, "--summary"));
                }
            }
        }
        output
            .zip(report)
            .filter(|(output, report)| output.is(report.path()))
            .map(|_| ("-o", "--summary"))
    };
    match clash() {
        None => Ok(report),
        Some((one, other)) => {
            report.into_iter().for_each(Prepared::discard);
            Err(CliError::SameFile(one, other))
        }
    }
}

/// The engine's settings that the flags ask for.
pub(crate) fn settings(args: &SynArgs) -> Settings {
    Settings {
        rate: args.rate,
        host_rate: args.host_rate.0,
        retries: args.retries,
        cooldown: args.cooldown,
        close: !args.no_rst,
        ..Settings::default()
    }
}

/// The scan that the flags describe.
fn describe(args: &SynArgs) -> Builder {
    let mut scan = Scan::builder()
        .settings(settings(args))
        .allow_reserved(args.allow_reserved)
        .show(args.show)
        .tcp_profile(args.tcp_profile)
        .shard(args.shard.unwrap_or_default());
    scan = args.targets.iter().fold(scan, Builder::target);
    scan = args.file.iter().fold(scan, Builder::target_file);
    scan = args.ports.iter().fold(scan, Builder::ports);
    scan = args.exclude.iter().fold(scan, Builder::exclude);
    scan = args.exclude_file.iter().fold(scan, Builder::exclude_file);
    scan = args.scope.iter().fold(scan, Builder::scope_file);
    if let Some(seed) = args.seed {
        scan = scan.seed(seed);
    }
    if let Some(interface) = &args.interface {
        scan = scan.interface(interface);
    }
    if let Some(source) = args.source_ip {
        scan = scan.source(source);
    }
    if let Some(ports) = args.source_ports {
        scan = scan.source_ports(ports.first, ports.last);
    }
    if let Some(mac) = args.gateway_mac {
        scan = scan.gateway_mac(mac);
    }
    scan
}

/// What is worth knowing before the first answer.
fn announce(args: &SynArgs, scan: &Scan) {
    if args.quiet {
        return;
    }
    if let Some(line) = summary::excluded(scan.excluded()) {
        say(&line);
    }
    let facts = scan.summary();
    let asked = args.rate.per_second();
    if facts.rate.per_second() != asked {
        let rate = facts.rate;
        say(&format!(
            "rate {rate}/s and not {}: --host-rate allows each host {}/s",
            args.rate, args.host_rate.0
        ));
    }
    if args.verbose {
        let interface = facts.interface.as_ref().map_or("no interface", |(name, _)| name);
        let (first, last) = facts.source_ports;
        say(&format!(
            "{} targets on {} hosts; rate {}; link {} on {interface} ({}); source ports {first}-{last}; seed {}, shard {}",
            HumanCount(facts.progress.total),
            facts.hosts,
            facts.rate,
            facts.link,
            if args.link.as_str() == "auto" { "the only one of this version" } else { "asked for" },
            facts.seed,
            args.shard.unwrap_or_default()
        ));
    }
}

/// The settings as the summary tells them.
fn told(args: &SynArgs, output: &str, format: String) -> report::Settings {
    let paths = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect();
    report::Settings {
        targets: args.targets.clone(),
        ports: args.ports.clone(),
        files: paths(&args.file),
        exclude: args.exclude.clone(),
        exclude_files: paths(&args.exclude_file),
        scope_files: paths(&args.scope),
        allow_reserved: args.allow_reserved,
        rate: args.rate.to_string(),
        host_rate: args.host_rate.0.get(),
        retries: args.retries,
        cooldown_s: args.cooldown.as_secs_f64(),
        rst: !args.no_rst,
        tcp_profile: args.tcp_profile.as_str(),
        link: args.link.as_str(),
        shard: args.shard.unwrap_or_default().to_string(),
        show: State::ALL
            .into_iter()
            .filter(|state| args.show.shows(*state))
            .map(State::as_str)
            .collect(),
        format,
        output: output.to_owned(),
        max_results: args.max_results.map(std::num::NonZeroU64::get),
        max_time_s: args.max_time.map(|time| time.as_secs_f64()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{
        args::{Cli, Command},
        error::USAGE,
    };

    pub(crate) fn args(words: &str) -> SynArgs {
        match Cli::try_parse_from(["mrpf", "syn"].into_iter().chain(words.split_whitespace()))
            .unwrap()
            .command
        {
            Command::Syn(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_file_is_not_read_and_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        std::fs::write(&path, "8.8.8.8:80\n").unwrap();
        let path = path.display();
        for words in [
            format!("-f {path} -o {path}"),
            format!("8.8.8.8:80 -o {path} --summary {path}"),
            format!("-f {path} --summary {path}"),
        ] {
            let error = run(&args(&words)).unwrap_err();
            assert!(matches!(error, CliError::SameFile(..)), "{error}");
            assert_eq!(error.exit_code(), USAGE);
        }
        assert_eq!(std::fs::read_to_string(path.to_string()).unwrap(), "8.8.8.8:80\n");
    }
}
