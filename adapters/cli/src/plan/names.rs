//! `mrpf dns --dry-run`: how many questions there would be, and of whom.

use std::{collections::BTreeSet, num::NonZeroU64, path::Path, sync::Arc, time::Duration};

use indicatif::HumanCount;
use mrpf_dns::{
    Ask, DnsError, Origin,
    names::{Input, Lines, Names, Pointers, Product, Pull, Question, Questions, Rules, Source},
};
use mrpf_engine::governor::Rate;

use super::SHOWN;
use crate::{args::DnsArgs, dns, error::CliError, progress::span, resolvers};

/// What lists hold.
#[derive(Debug, Default)]
struct Listed {
    lines: u64,
    servers: BTreeSet<std::net::SocketAddr>,
}

/// What a scan of names would be, found out without sending anything.
pub(super) fn plan(args: &DnsArgs) -> Result<String, CliError> {
    let (ask, types) = (dns::ask(args)?, dns::types(args));
    let mut servers: BTreeSet<_> = resolvers::read(&args.resolvers)?.into_iter().collect();
    let rules = Rules { servers: args.direct, addresses: types == [mrpf_dns::message::Qtype::PTR] };
    let mut lines = Vec::new();
    let count = match &ask {
        // What is read there is gone, and perhaps not there yet.
        Ask::Lines { origins, .. } if origins.iter().any(is_stdin) => None,
        Ask::Product { domains, words } if domains.iter().chain([words]).any(is_stdin) => None,
        Ask::Lines { origins, .. } => {
            let listed = listed(origins, rules)?;
            servers.extend(listed.servers);
            Some(listed.lines)
        }
        Ask::Product { words, domains } => {
            let words = listed(std::slice::from_ref(words), Rules::default())?.lines;
            Some(words.saturating_mul(listed(domains, Rules::default())?.lines))
        }
        Ask::Pointers { addresses, .. } => Some(u64::try_from(addresses.len()).unwrap_or(u64::MAX)),
    };
    let shard = args.scan.shard.unwrap_or_default();
    let parts = u64::from(shard.n());
    let questions = count.map(|names| {
        let of_shard = names / parts + u64::from(names % parts >= u64::from(shard.k()));
        of_shard.saturating_mul(types.len() as u64)
    });
    let asked = types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let what = match (count, questions) {
        (Some(names), Some(questions)) => {
            format!("{} names, {asked}: {} questions", HumanCount(names), HumanCount(questions))
        }
        _ => format!("names of standard input, as they come, {asked}"),
    };
    let who = if args.direct { "servers" } else { "resolvers" };
    let part = if shard.n() > 1 { format!(", as part {shard}") } else { String::new() };
    lines.push(format!("dry run, nothing is sent: {what}{part}, of {} {who}", servers.len()));
    lines.push(rate(args, servers.len() as u64, questions));
    if args.words.is_some() || args.wildcards == crate::values::Wildcards::On {
        lines
            .push("and some more, to tell names from wildcards, unless --wildcards off".to_owned());
    }
    if count.is_some() {
        lines.push("first questions:".to_owned());
        lines.extend(first(ask, args, rules)?);
    }
    Ok(lines.join("\n"))
}

/// The rate in force, and what time that takes.
fn rate(args: &DnsArgs, servers: u64, questions: Option<u64>) -> String {
    let per_server = args.scan.host_rate.0.get().saturating_mul(servers.max(1));
    let asked = args.scan.rate.per_second().map_or(u64::MAX, NonZeroU64::get);
    let least = Rate::PerSecond(NonZeroU64::new(per_server.min(asked)).unwrap_or(NonZeroU64::MIN));
    let why = if per_server < asked {
        format!(", as --host-rate allows each {}/s", args.scan.host_rate.0)
    } else {
        String::new()
    };
    let time = |queries: u64| {
        let seconds = queries as f64 / per_server.min(asked) as f64;
        span(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    };
    let took = questions.map_or_else(String::new, |questions| {
        let attempts = 1 + u64::from(args.scan.retries);
        let most = time(questions.saturating_mul(attempts));
        format!(
            "; from {}, when each is answered at once, to {most}, when none is",
            time(questions)
        )
    });
    format!("rate: at most {least} queries/s{why}{took}")
}

fn is_stdin(origin: &Origin) -> bool {
    matches!(origin, Origin::File(path) if path == Path::new("-"))
}

fn inputs(origins: &[Origin]) -> Vec<Input> {
    let input = |origin: &Origin| match origin {
        Origin::File(path) => Input::File(path.clone()),
        Origin::Text(text) => Input::Text(text.clone()),
    };
    origins.iter().map(input).collect()
}

fn listed(origins: &[Origin], rules: Rules) -> Result<Listed, CliError> {
    let (mut lines, mut question) = (Lines::new(inputs(origins), rules), Question::default());
    let mut listed = Listed::default();
    loop {
        match lines.next(&mut question).map_err(DnsError::Names)? {
            Pull::Question => {
                listed.lines += 1;
                listed.servers.extend(question.server);
            }
            Pull::Later => {}
            Pull::End => return Ok(listed),
        }
    }
}

/// The first questions, a line each.
fn first(ask: Ask, args: &DnsArgs, rules: Rules) -> Result<Vec<String>, CliError> {
    let names: Box<dyn Names> = match ask {
        Ask::Lines { origins, .. } => Box::new(Lines::new(inputs(&origins), rules)),
        Ask::Product { words, domains } => {
            let words = inputs(&[words]).remove(0);
            Box::new(Product::new(words, inputs(&domains)).map_err(DnsError::Names)?)
        }
        Ask::Pointers { addresses, seed } => Box::new(Pointers::new(Arc::clone(&addresses), seed)),
    };
    let shard = args.scan.shard.unwrap_or_default();
    let mut source = Questions::new(names, &dns::types(args), args.class, shard, 0);
    let (mut shown, mut question) = (Vec::new(), Question::default());
    while (shown.len() as u64) < SHOWN {
        match source.next(&mut question) {
            Pull::Question => shown.push(match &question.name {
                Ok(name) => {
                    let server = question.server.map(|server| format!("  of {server}"));
                    format!("  {name}  {}{}", question.qtype, server.unwrap_or_default())
                }
                Err(invalid) => format!("  {invalid}"),
            }),
            Pull::Later => {}
            Pull::End => break,
        }
    }
    match source.fault() {
        Some(error) => Err(DnsError::Names(error).into()),
        None => Ok(shown),
    }
}

#[cfg(test)]
mod tests {
    use mrpf_console::exit::USAGE;

    use crate::{plan::plan, words::tests::dns};

    #[track_caller]
    fn check(words: &str, expected: &[&str]) {
        let text = plan(&dns(words).args).unwrap();
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn names_are_counted_and_the_first_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names");
        std::fs::write(&path, "# ours\nb.example\n\nc.example\n").unwrap();
        check(
            &format!(
                "a.example -f {} -t A,AAAA -r 192.0.2.1,192.0.2.2 --rate 1k --retries 1",
                path.display()
            ),
            &[
                "dry run, nothing is sent: 3 names, A, AAAA: 6 questions, of 2 resolvers",
                "rate: at most 1000 queries/s; from 0 s, when each is answered at once, to 0 s, when none is",
                "first questions:",
                "  a.example  A",
                "  a.example  AAAA",
                "  b.example  A",
                "  b.example  AAAA",
                "  c.example  A",
            ],
        );
        check(
            &format!("example.org --words {} -r ::1 --seed 1 --shard 2/2", path.display()),
            &[
                "dry run, nothing is sent: 2 names, A: 1 questions, as part 2/2, of 1 resolvers",
                "rate: at most 1000 queries/s, as --host-rate allows each 1000/s; from 0 s, when each is answered at once, to \
                 0 s, when none is",
                "and some more, to tell names from wildcards, unless --wildcards off",
                "first questions:",
                "  c.example.example.org  A",
            ],
        );
    }

    #[test]
    fn addresses_and_servers_are_counted_too() {
        check(
            "--ptr 198.18.0.0/30 --allow-reserved --exclude 198.18.0.2 -r 192.0.2.1 --host-rate 1",
            &[
                "dry run, nothing is sent: 3 names, PTR: 3 questions, of 1 resolvers",
                "rate: at most 1 queries/s, as --host-rate allows each 1/s; from 3 s, when each is answered at once, to 18 s, \
                 when none is",
                "first questions:",
                "  0.0.18.198.in-addr.arpa  PTR",
                "  1.0.18.198.in-addr.arpa  PTR",
                "  3.0.18.198.in-addr.arpa  PTR",
            ],
        );
        let text = plan(&dns("--direct a.example,192.0.2.1 b.example,[2001:db8::1]:54 a..b").args);
        let text = text.unwrap();
        assert!(text.contains("3 names, A: 3 questions, of 2 servers"), "{text}");
        assert!(text.contains("  b.example  A  of [2001:db8::1]:54"), "{text}");
        assert!(text.contains("\"a..b\" is no question: "), "{text}");
        let text = plan(&dns("-f - -r 192.0.2.1").args).unwrap();
        assert!(
            text.contains("names of standard input, as they come, A, of 1 resolvers"),
            "{text}"
        );
        let text =
            plan(&dns("--sweep 198.18.0.0/31 --query a.example --allow-reserved --seed 1").args);
        let text = text.unwrap();
        assert!(text.contains("2 targets on 2 hosts") && text.contains("198.18.0.1:53"), "{text}");
    }

    #[test]
    fn what_cannot_be_asked_is_a_usage_error() {
        for (words, expected) in [
            ("-r 192.0.2.1", "there are no names"),
            ("a.example -r /no/such/file", "-r /no/such/file is no address and cannot be read"),
            ("-f /no/such/file -r 192.0.2.1", "/no/such/file: cannot be read"),
            ("--ptr 198.18.0.0/30 -r 192.0.2.1", "--allow-reserved lifts that"),
        ] {
            let error = plan(&dns(words).args).unwrap_err();
            assert!(error.to_string().contains(expected), "{words}: {error}");
            assert_eq!(error.exit_code(), USAGE, "{words}");
        }
    }
}
