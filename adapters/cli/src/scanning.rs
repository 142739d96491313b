//! `mrpf syn` and its kin: from flags to a scan, and what is left of it.

use std::{
    collections::hash_map::RandomState,
    fs::File,
    hash::BuildHasher as _,
    path::{Path, PathBuf},
    time::Duration,
};

use indicatif::HumanCount;
use mrpf_dns::DnsError;
use mrpf_engine::scan::Settings;
use mrpf_records::State;
use mrpf_syn::{Builder, ScanError};
use mrpf_tls::{
    ServerNames, TlsError,
    hello::{CustomHello, Profile},
    trust::Roots,
};

use mrpf_console::{
    Signals, answer,
    exit::{DONE, INCOMPLETE},
    say,
};

use crate::{
    args::{Format, ScanArgs, TlsArgs},
    dns::{self, Going},
    drive::{Driven, Limits, drive},
    error::CliError,
    files::{Files, check_lasting},
    kind::Scan,
    output::{Form, Output, usual_format},
    plan::plan,
    prepared::Prepared,
    progress::{Progress, Wanted},
    report,
    resume::Resumed,
    saver::{Before, Fixed, Saved, Saver},
    signals::end_at_once,
    stdin::{self, Stdin},
    summary,
    values::HelloChoice,
    words::{AnyArgs, Asked},
};

/// Runs the command; the exit code of a scan that has not failed.
pub(crate) fn run(asked: &Asked) -> Result<u8, CliError> {
    let Some(path) = &asked.args.scan().resume else {
        return start(asked.clone(), None);
    };
    let resumed = Resumed::read(path)?;
    let mut asked = resumed.asked(asked)?;
    resumed.check_output(asked.args.scan().output.as_deref(), path)?;
    let checkpoint = &resumed.checkpoint;
    if checkpoint.finished {
        let is_complete = checkpoint.incomplete.is_empty();
        if !asked.args.scan().quiet || !is_complete {
            let but = match is_complete {
                true => String::new(),
                false => format!(", but is not complete: {}", checkpoint.incomplete.join("; ")),
            };
            say(&format!(
                "nothing left: the scan of {} has come to its end, with {} records{but}",
                path.display(),
                HumanCount(checkpoint.so_far.records)
            ));
        }
        return Ok(if is_complete { DONE } else { INCOMPLETE });
    }
    asked.args.scan_mut().checkpoint.get_or_insert_with(|| path.clone());
    start(asked, Some(resumed))
}

/// Starts a scan, or goes on with one.
fn start(mut asked: Asked, mut resumed: Option<Resumed>) -> Result<u8, CliError> {
    let args = asked.args.scan().clone();
    check_sources(&args)?;
    if args.dry_run {
        answer(&plan(&asked.args)?)?;
        return Ok(DONE);
    }
    let signals = Signals::install()?;
    // Two scans of one folder must not have one name.
    let new = || format!("{:016x}", RandomState::new().hash_one(std::process::id()));
    let id = resumed.as_ref().map_or_else(new, |resumed| resumed.checkpoint.scan.clone());
    let files = Files::prepare(&asked.args, &id, resumed.is_some())?;
    let preparing = end_at_once(&signals, files.made())?;
    let format = args.format.unwrap_or(Format::Jsonl);
    let examined = match &mut resumed {
        // Before anything is sent.
        Some(resumed) => resumed.examine(files.output.as_ref(), format),
        None => Ok(()),
    };
    let (scan, stdin) = match examined.and_then(|()| build(&asked, resumed.as_ref())) {
        Ok(built) => built,
        Err(error) => {
            files.discard();
            return Err(error);
        }
    };
    drop(preparing);
    let Files { output, report, checkpoint } = files;
    let (mut output, before) = open(&asked.args, output, resumed)?;
    // What follows from chance or from the terminal is the same in every run.
    asked.words.set("seed", vec![scan.summary().seed.to_string().into()]);
    asked.words.set("format", vec![output.format().to_string().into()]);
    let path = args.output.as_deref().filter(|path| *path != Path::new("-"));
    let fixed = Fixed {
        scan: id,
        stdin,
        output: path.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned())),
        shard: args.shard.unwrap_or_default().to_string(),
        words: asked.words,
        trouble: check_lasting(&asked.args).err().map(|error| error.to_string()),
    };
    let saver = Saver::new(fixed, before, checkpoint);
    conduct(&asked.args, scan, &mut output, saver, &signals, report)
}

/// Conducts a scan from its start to what is told at its end.
fn conduct(
    all: &AnyArgs,
    mut scan: Scan,
    output: &mut Output<File>,
    mut saver: Saver,
    signals: &Signals,
    report: Option<Prepared>,
) -> Result<u8, CliError> {
    let args = all.scan();
    saver.begin(&scan, output)?;
    announce(args, &scan, saver.before());
    if saver.before().is_uncounted {
        say(
            "what went to standard output after the checkpoint comes twice too, and is not counted",
        );
    }
    let wanted = Wanted {
        quiet: args.quiet,
        verbose: args.verbose,
        records_on_terminal: output.is_terminal(),
    };
    let mut progress =
        Progress::new(wanted, settings(all).window() + talk(all).unwrap_or_default());
    let limits = Limits { results: args.max_results, time: args.max_time };
    let driven = drive(&mut scan, output, limits, &mut progress, signals, &mut saver);
    drop(scan);
    let told = told(all, output.name(), output.format().to_string());
    finish(args, driven, &told, report, saver)
}

/// Compiles the targets and starts; also what standard input held.
fn build(asked: &Asked, resumed: Option<&Resumed>) -> Result<(Scan, Stdin), CliError> {
    let args = asked.args.scan();
    let kept = resumed.and_then(|resumed| resumed.checkpoint.stdin.clone());
    let stdin = match kept {
        Some(text) => {
            stdin::feed(text.clone().into_bytes(), None).map_err(CliError::Stdin)?;
            Stdin::Kept(text)
        }
        None if stdin::is_passing(&asked.args) => Stdin::Passing,
        None if stdin::is_wanted(&asked.args) => stdin::keep().map_err(CliError::Stdin)?,
        None => Stdin::Unused,
    };
    if args.checkpoint.is_some() {
        // Before anything is sent.
        if matches!(stdin, Stdin::TooLong) {
            return Err(CliError::StdinTooLong);
        }
        asked.words.to_text()?;
    }
    let file = args.resume.as_deref().unwrap_or_else(|| Path::new("the checkpoint"));
    let fingerprint = resumed.map(|resumed| resumed.fingerprint(file)).transpose()?;
    let going = resumed.zip(fingerprint);
    let going =
        going.map(|(resumed, fingerprint)| Going { fingerprint, mark: resumed.checkpoint.mark });
    let scan = match start_scan(&asked.args, going) {
        Err(CliError::Scan(ScanError::Changed)) => return Err(CliError::Changed(file.to_owned())),
        scan => scan?,
    };
    // How many names a list has is known when it was read.
    let is_other = |resumed: &Resumed| {
        !matches!(scan, Scan::Dns(_)) && resumed.checkpoint.total != scan.summary().progress.total
    };
    if fingerprint.is_some_and(|fingerprint| fingerprint != scan.fingerprint())
        || resumed.is_some_and(is_other)
    {
        return Err(CliError::Changed(file.to_owned()));
    }
    Ok((scan, stdin))
}

/// Opens the link and starts, from the beginning or where an earlier run came to.
fn start_scan(all: &AnyArgs, going: Option<Going>) -> Result<Scan, CliError> {
    let mut targets = describe(all);
    // Of lists of names the position is one in the list.
    let is_walk = !matches!(all, AnyArgs::Dns(args) if !args.sweep);
    if let Some(Going { fingerprint, mark }) = going.filter(|_| is_walk) {
        targets = targets.expect_fingerprint(fingerprint).start_at(mark);
    }
    let started = match all {
        AnyArgs::Syn(args) => Ok(Scan::Syn(Box::new(targets.show(args.show).build()?))),
        AnyArgs::Tls(args) => match describe_tls(args, targets)?.build() {
            Ok(scan) => Ok(Scan::Tls(Box::new(scan))),
            Err(TlsError::Scan(error)) => Err(error.into()),
            Err(error) => Err(error.into()),
        },
        AnyArgs::Dns(args) => dns::build(args, targets, going),
    };
    match started {
        Err(CliError::Dns(DnsError::Scan(error))) => Err(error.into()),
        started => started,
    }
}

/// Where records go, and what was before.
fn open(
    all: &AnyArgs,
    prepared: Option<Prepared>,
    resumed: Option<Resumed>,
) -> Result<(Output<File>, Before), CliError> {
    let by_server = matches!(all, AnyArgs::Dns(args) if args.sweep);
    let form = |format| Form { kind: all.kind(), format, by_server };
    let format = all.scan().format;
    if let Some(resumed) = resumed {
        let output = resumed.output(prepared, form(format.unwrap_or(Format::Jsonl)))?;
        return Ok((output, resumed.before));
    }
    let form = form(format.unwrap_or_else(|| usual_format(prepared.is_some())));
    let output = match prepared {
        Some(prepared) => Output::file(prepared, form)?,
        None => Output::stdout(form).map_err(|source| CliError::Write {
            name: "standard output".to_owned(),
            source,
            kept: 0,
            resume: None,
        })?,
    };
    Ok((output, Before::default()))
}

/// That each family has one source address at most.
fn check_sources(args: &ScanArgs) -> Result<(), CliError> {
    let mut families = [None; 2];
    for source in &args.source_ip {
        if let Some(first) = families[usize::from(source.is_ipv6())].replace(*source) {
            return Err(CliError::Sources(first, *source));
        }
    }
    Ok(())
}

/// Tells how it went, and gives the exit code or what failed.
fn finish(
    args: &ScanArgs,
    mut driven: Driven,
    told: &report::Settings,
    report: Option<Prepared>,
    mut saver: Saver,
) -> Result<u8, CliError> {
    let incomplete = summary::incomplete(&driven);
    // Whoever is killed between the two goes on, and writes the summary then: nobody does after a checkpoint that says
    // there is nothing left.
    let written = report.map_or(Ok(()), |report| report::write(&driven, told, report));
    driven.saved = saver.close(incomplete);
    if !args.quiet {
        say(&summary::text(&driven, told, &told.output, args.verbose));
    } else if !driven.is_complete() && driven.error.is_none() {
        say(&format!("not complete: {}", summary::incomplete(&driven).join("; ")));
    }
    // What was asked for and is not there is a failure, unless something worse has happened.
    let unsaved = match &driven.saved {
        Saved::Failed(path, why) if driven.error.is_none() => {
            Some(CliError::Save { path: path.clone(), why: why.clone() })
        }
        _ => None,
    };
    if let Some(line) = summary::going_on(&driven, told).filter(|_| unsaved.is_none()) {
        say(&line);
    }
    let code = driven.exit_code();
    match (driven.error.or(unsaved), written) {
        (Some(error), Err(second)) => {
            say(&format!("error: {second}"));
            Err(error)
        }
        (Some(error), Ok(())) | (None, Err(error)) => Err(error),
        (None, Ok(())) => Ok(code),
    }
}

/// The engine's settings that the flags ask for.
pub(crate) fn settings(all: &AnyArgs) -> Settings {
    let args = all.scan();
    let close = match all {
        AnyArgs::Syn(args) => !args.no_rst,
        AnyArgs::Tls(_) | AnyArgs::Dns(_) => true,
    };
    Settings {
        rate: args.rate,
        host_rate: args.host_rate.0,
        retries: args.retries,
        cooldown: args.cooldown,
        close,
        ..Settings::default()
    }
}

/// How long what is said to a host that answers may take.
pub(crate) fn talk(all: &AnyArgs) -> Option<Duration> {
    match all {
        AnyArgs::Syn(_) | AnyArgs::Dns(_) => None,
        AnyArgs::Tls(args) => Some(args.deadline),
    }
}

/// The ports of targets that name none.
pub(crate) fn ports(all: &AnyArgs) -> impl Iterator<Item = &str> {
    let given = all.scan().ports.iter().map(String::as_str);
    let default = match all {
        AnyArgs::Tls(args) if args.scan.ports.is_empty() => Some(TLS_PORT),
        AnyArgs::Dns(args) if args.sweep && args.scan.ports.is_empty() => Some(dns::PORT),
        _ => None,
    };
    given.chain(default)
}

/// Where TLS is looked for when nobody says where.
const TLS_PORT: &str = "443";

/// The targets, pace and packets that the flags describe; no targets where those are names.
fn describe(all: &AnyArgs) -> Builder {
    let args = all.scan();
    let mut scan = mrpf_syn::Scan::builder()
        .settings(settings(all))
        .allow_reserved(args.allow_reserved)
        .threads(args.threads)
        .link(args.link);
    if !matches!(all, AnyArgs::Dns(args) if !args.sweep) {
        scan = scan.shard(args.shard.unwrap_or_default());
        scan = args.targets.iter().fold(scan, Builder::target);
        scan = args.file.iter().fold(scan, Builder::target_file);
        scan = ports(all).fold(scan, Builder::ports);
        scan = args.exclude.iter().fold(scan, Builder::exclude);
        scan = args.exclude_file.iter().fold(scan, Builder::exclude_file);
        scan = args.scope.iter().fold(scan, Builder::scope_file);
    }
    if let Some(seed) = args.seed {
        scan = scan.seed(seed);
    }
    if let Some(interface) = &args.interface {
        scan = scan.interface(interface);
    }
    scan = args.source_ip.iter().fold(scan, |scan, source| scan.source(*source));
    if let Some(ports) = args.source_ports {
        scan = scan.source_ports(ports.first, ports.last);
    }
    if let Some(mac) = args.gateway_mac {
        scan = scan.gateway_mac(mac);
    }
    if let AnyArgs::Syn(args) = all {
        scan = scan.tcp_profile(args.tcp_profile);
    }
    scan
}

/// What is said to the hosts that answer.
fn describe_tls(args: &TlsArgs, targets: Builder) -> Result<mrpf_tls::Builder, CliError> {
    let mut scan = mrpf_tls::Scan::builder(targets)
        .hello(profile(&args.hello)?)
        .key_share(args.key_share)
        .show(args.show)
        .der(args.chain || args.roots.is_some())
        .jarm(args.jarm)
        .deadline(args.deadline)
        .idle(args.idle);
    if let Some(name) = &args.sni {
        if let HelloChoice::File(path) = &args.hello {
            let why = "a hello from a file is sent as it stands, with the name that it has: leave --sni out";
            return Err(CliError::Hello { path: path.clone(), why: why.to_owned() });
        }
        scan = scan.server_names(ServerNames::One(name.as_str().into()));
    }
    if let Some(path) = &args.roots {
        scan = scan.roots(Roots::from_pem(path)?);
    } else if args.chain {
        scan = scan.roots(Roots::mozilla());
    }
    Ok(match args.connections {
        Some(most) => scan.connections(most),
        None => scan,
    })
}

fn profile(choice: &HelloChoice) -> Result<Profile, CliError> {
    let path = match choice {
        HelloChoice::Profile(profile) => return Ok(profile.clone()),
        HelloChoice::File(path) => path,
    };
    let wrong = |why: String| CliError::Hello { path: path.clone(), why };
    let file = std::fs::read(path).map_err(|error| {
        wrong(format!("{error}; give modern, tls12, legacy, or a file with a ClientHello"))
    })?;
    let hello = CustomHello::read(&file).map_err(|error| wrong(error.to_string()))?;
    Ok(Profile::Custom(hello))
}

/// What is worth knowing before the first answer.
fn announce(args: &ScanArgs, scan: &Scan, before: &Before) {
    if args.quiet {
        return;
    }
    if let Some(line) = summary::excluded(scan.excluded()) {
        say(&line);
    }
    if let Scan::Tls(scan) = scan
        && scan.shadowed_names() > 0
    {
        say(&format!(
            "{} addresses were given by several host names: each is asked for the first of its names (one run a name asks for all)",
            HumanCount(scan.shadowed_names())
        ));
    }
    let facts = scan.summary();
    if let Some(mark) = before.mark {
        let total = match scan.is_counted() {
            true => format!(" of {}", HumanCount(facts.progress.total)),
            false => String::new(),
        };
        say(&format!(
            "going on at position {}{total}; up to {} records may come twice",
            HumanCount(mark),
            HumanCount(before.may_have_repeated)
        ));
    }
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
fn told(all: &AnyArgs, output: &str, format: String) -> report::Settings {
    let args = all.scan();
    let path = |path: &PathBuf| path.display().to_string();
    let paths = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect();
    let words = |show: String| show.split(',').map(str::to_owned).collect();
    let (rst, tcp_profile, tls, dns, show) = match all {
        AnyArgs::Syn(args) => {
            let states = State::ALL.into_iter().filter(|state| args.show.shows(*state));
            let show = states.map(|state| state.as_str().to_owned()).collect();
            (!args.no_rst, Some(args.tcp_profile.as_str()), None, None, show)
        }
        AnyArgs::Tls(args) => {
            let tls = report::TlsSettings {
                sni: args.sni.clone(),
                hello: args.hello.to_string(),
                key_share: args.key_share.to_string(),
                chain: args.chain,
                roots: args.roots.as_ref().map(path),
                jarm: args.jarm,
                connections: args.connections,
                deadline_s: args.deadline.as_secs_f64(),
                idle_s: args.idle.as_secs_f64(),
            };
            (true, None, Some(tls), None, words(args.show.to_string()))
        }
        AnyArgs::Dns(args) => {
            (true, None, None, Some(dns::told(args)), words(dns::told_show(args)))
        }
    };
    report::Settings {
        kind: all.kind(),
        targets: args.targets.clone(),
        ports: ports(all).map(str::to_owned).collect(),
        files: paths(&args.file),
        exclude: args.exclude.clone(),
        exclude_files: paths(&args.exclude_file),
        scope_files: paths(&args.scope),
        allow_reserved: args.allow_reserved,
        rate: args.rate.to_string(),
        host_rate: args.host_rate.0.get(),
        retries: args.retries,
        cooldown_s: args.cooldown.as_secs_f64(),
        rst,
        tcp_profile,
        tls,
        dns,
        link: args.link.as_str(),
        interface: args.interface.clone(),
        source_ips: args.source_ip.iter().map(ToString::to_string).collect(),
        threads: args.threads,
        shard: args.shard.unwrap_or_default().to_string(),
        show,
        format,
        output: output.to_owned(),
        checkpoint: args.checkpoint.as_ref().map(path),
        resume: args.resume.as_ref().map(path),
        max_results: args.max_results.map(std::num::NonZeroU64::get),
        max_time_s: args.max_time.map(|time| time.as_secs_f64()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use mrpf_console::exit::USAGE;

    use super::*;
    use crate::{
        checkpoint::{Checkpoint, tests::checkpoint},
        words::tests::asked,
    };

    pub(crate) fn args(words: &str) -> AnyArgs {
        asked(words).args
    }

    #[test]
    fn each_family_has_one_source() {
        assert!(
            check_sources(args("a --source-ip 198.18.0.1 --source-ip 2001:db8::1").scan()).is_ok()
        );
        let error = check_sources(args("a --source-ip ::1 --source-ip ::2").scan()).unwrap_err();
        assert!(error.to_string().contains("one of IPv4 and one of IPv6"), "{error}");
        assert_eq!(error.exit_code(), USAGE);
    }

    #[test]
    fn a_finished_scan_has_nothing_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        let finished = Checkpoint { finished: true, ..checkpoint() };
        std::fs::write(&path, finished.to_json().unwrap()).unwrap();
        let resume = asked(&format!("--resume {}", path.display()));
        assert_eq!(run(&resume).unwrap(), DONE);
        let lossy = Checkpoint { incomplete: vec!["9 frames not sent".to_owned()], ..finished };
        std::fs::write(&path, lossy.to_json().unwrap()).unwrap();
        assert_eq!(run(&resume).unwrap(), INCOMPLETE);
        let other = asked(&format!("198.51.100.1 --resume {}", path.display()));
        assert!(matches!(run(&other), Err(CliError::GivenAgain(_))));
        let missing = run(&asked("--resume /no/such/file")).unwrap_err();
        assert_eq!(missing.exit_code(), USAGE);
    }
}
