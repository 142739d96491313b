//! `--dry-run`: what a scan would be, without sending anything and without privileges.

mod names;

use std::{sync::Arc, time::Duration};

use indicatif::HumanCount;
use mrpf_engine::{
    governor::Rate,
    scan::Settings,
    target::{Targets, Walk},
};

use crate::{dns, error::CliError, progress::span, scanning, summary, words::AnyArgs};

/// Most targets that a dry run shows.
const SHOWN: u64 = 5;

/// What a scan would be, found out without sending anything.
pub(crate) fn plan(all: &AnyArgs) -> Result<String, CliError> {
    if let AnyArgs::Dns(args) = all
        && dns::Form::of(args) != dns::Form::Sweep
    {
        return names::plan(args);
    }
    let args = all.scan();
    let mut targets = Targets::builder().allow_reserved(args.allow_reserved).v4_of_names(true);
    targets = args.targets.iter().fold(targets, |all, spec| all.spec(spec));
    targets = args.file.iter().fold(targets, |all, path| all.file(path));
    targets = scanning::ports(all).fold(targets, |all, ports| all.ports(ports));
    targets = args.exclude.iter().fold(targets, |all, spec| all.exclude(spec));
    targets = args.exclude_file.iter().fold(targets, |all, path| all.exclude_file(path));
    targets = args.scope.iter().fold(targets, |all, path| all.scope_file(path));
    let targets = targets.build()?;
    let (settings, hosts) = (scanning::settings(all), targets.hosts());
    let excluded = targets.excluded();
    let shard = args.shard.unwrap_or_default();
    let walk = Walk::new(Arc::new(targets), args.seed.unwrap_or(0), shard);
    let mut lines = vec![format!(
        "dry run, nothing is sent: {} targets on {hosts} hosts",
        HumanCount(walk.len())
    )];
    if shard.n() > 1 {
        lines[0] += &format!(", as part {shard}");
    }
    lines.extend(summary::excluded(excluded));
    let rate = settings.effective_rate(hosts);
    lines.push(match rate {
        Rate::Max => "rate: as fast as the link takes them".to_owned(),
        Rate::PerSecond(rate) => {
            let talk = scanning::talk(all);
            let (least, most) = estimate(walk.len(), rate.get(), &settings, talk);
            format!(
                "rate: {}/s; from {}, when every target refuses at once, to {}, when {}",
                HumanCount(rate.get()),
                span(least),
                span(most),
                if talk.is_some() { "each takes its time" } else { "none answers" }
            )
        }
    });
    if args.rate.per_second() != rate.per_second() {
        lines.push(format!(
            "the rate is not {}, as --host-rate allows each host {}/s",
            args.rate, args.host_rate.0
        ));
    }
    if matches!(all, AnyArgs::Tls(args) if args.jarm) {
        lines.push(
            "then ten connections more to each target that speaks TLS, for its JARM".to_owned(),
        );
    }
    let order = if args.seed.is_some() {
        "first targets"
    } else {
        "some targets (the order is random without --seed)"
    };
    lines.push(format!("{order}:"));
    for sequence in 0..walk.len().min(SHOWN) {
        let target = walk.target(sequence);
        lines.push(format!("  {}", std::net::SocketAddr::new(target.addr, target.port)));
    }
    Ok(lines.join("\n"))
}

/// The shortest and the longest that a scan at this rate takes.
fn estimate(
    targets: u64,
    rate: u64,
    settings: &Settings,
    talk: Option<Duration>,
) -> (Duration, Duration) {
    let sending = |frames: u64| {
        Duration::try_from_secs_f64(frames as f64 / rate as f64).unwrap_or(Duration::MAX)
    };
    // A target that is open takes a reset too, or a hello, an acknowledgement and a reset; one that answers has no cooldown.
    let open = if talk.is_some() { 3 } else { u8::from(settings.close) };
    let frames = 1 + u64::from(settings.retries.max(open));
    let most =
        sending(targets.saturating_mul(frames)).max(settings.spacing * u32::from(settings.retries));
    (sending(targets), most.saturating_add(settings.cooldown.max(talk.unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use mrpf_console::exit::USAGE;

    use super::*;
    use crate::scanning::tests::args;

    #[track_caller]
    fn check(words: &str, head: &[&str], targets: &[&str]) {
        let text = plan(&args(words)).unwrap();
        let (lines, mut shown): (Vec<_>, Vec<_>) =
            text.lines().partition(|line| !line.starts_with(' '));
        shown.sort_unstable();
        assert_eq!((lines.as_slice(), shown.as_slice()), (head, targets));
    }

    #[test]
    fn a_dry_run_tells_targets_rate_and_time() {
        check(
            "198.19.0.0/30 198.51.100.1:22 -p 80 --allow-reserved --exclude 198.19.0.3 --seed 1 --rate 500",
            &[
                "dry run, nothing is sent: 4 targets on 4 hosts",
                "left out addresses: 1 excluded",
                "rate: 500/s; from 0 s, when every target refuses at once, to 10 s, when none answers",
                "first targets:",
            ],
            &["  198.19.0.0:80", "  198.19.0.1:80", "  198.19.0.2:80", "  198.51.100.1:22"],
        );
    }

    #[test]
    fn a_dry_run_says_what_changes_the_rate_and_the_shard() {
        let text =
            plan(&args("198.19.0.1 -p 1-1000 --allow-reserved --seed 1 --shard 2/4 --rate 1M"))
                .unwrap();
        assert!(text.contains("250 targets on 1 hosts, as part 2/4"), "{text}");
        assert!(
            text.contains("the rate is not 1000000, as --host-rate allows each host 1000/s"),
            "{text}"
        );
        let text =
            plan(&args("198.18.0.0/15 -p - --allow-reserved --rate max --host-rate 1M")).unwrap();
        assert!(text.contains("as fast as the link takes them"), "{text}");
    }

    #[test]
    fn what_cannot_be_scanned_is_a_usage_error() {
        for (words, expected) in [
            ("", "there are no targets"),
            ("198.51.100.1", "nothing"),
            ("198.51.100.1 -p 80", "--allow-reserved lifts that"),
            ("8.8.8.8", "give ports with -p"),
            ("8.8.8.8 -p 80,x", "is not a port"),
            ("8.8.8.300 -p 80", "8.8.8.300"),
            ("-f /no/such/file -p 80", "/no/such/file"),
            ("8.8.8.8 -p 80 --scope /no/such/file", "/no/such/file"),
        ] {
            match plan(&args(words)) {
                Err(error) if expected == "nothing" => assert_eq!(error.exit_code(), USAGE),
                Err(error) => {
                    assert!(error.to_string().contains(expected), "{words}: {error}");
                    assert_eq!(error.exit_code(), USAGE, "{words}");
                }
                Ok(text) => panic!("{words}: {text}"),
            }
        }
    }

    #[test]
    fn an_estimate_has_room_for_retries_and_cooldown() {
        let settings =
            Settings { retries: 2, cooldown: Duration::from_secs(8), ..Settings::default() };
        let estimate = |targets, rate| {
            let (least, most) = estimate(targets, rate, &settings, None);
            (least.as_secs(), most.as_secs())
        };
        assert_eq!(estimate(10_000, 1_000), (10, 38));
        assert_eq!(estimate(1, 1_000), (0, 10));
        assert_eq!(estimate(u64::MAX, 1).0, u64::MAX);
    }
}
