//! From a description of targets to the compiled plan.

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use super::{
    Targets,
    block::Block,
    error::TargetError,
    ports::Ports,
    ranges::Ranges,
    reserved,
    resolve::{self, Resolver},
    scope::Bounds,
    source::{Listed, Name, Source, Takes},
    spec::Origin,
};

/// A description of targets. What it is given is read and checked by [`build`](Self::build), all at once.
///
/// A list is words that are cut at commas and white space; from a `#` to the end of its line it is a comment. The words are
/// those of [`Spec`](super::Spec). A file named `-` is standard input.
#[derive(Debug, Default)]
#[must_use]
pub struct TargetsBuilder {
    targets: Vec<Source>,
    ports: Vec<String>,
    excluded: Vec<Source>,
    scope: Vec<Source>,
    allow_reserved: bool,
    v4_of_names: bool,
    resolver: Option<Resolver>,
}

impl TargetsBuilder {
    /// Adds the targets of a list that was given as an argument.
    pub fn spec(self, list: impl Into<String>) -> Self {
        self.add_spec(list, Origin::Argument)
    }

    /// Adds the targets of a list from elsewhere, which its errors will name.
    pub fn add_spec(mut self, list: impl Into<String>, origin: Origin) -> Self {
        self.targets.push(Source::Text(list.into(), origin));
        self
    }

    /// Adds the targets of a file.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.targets.push(Source::File(path.into()));
        self
    }

    /// Adds to the ports of every target that names none: `80`, `80,443`, `8000-8100`, `-` for all.
    pub fn ports(mut self, ports: impl Into<String>) -> Self {
        self.ports.push(ports.into());
        self
    }

    /// As [`ports`](Self::ports), unless some were given.
    pub fn or_ports(self, ports: &str) -> Self {
        if self.ports.is_empty() { self.ports(ports) } else { self }
    }

    /// Leaves out the addresses of a list, at all ports, whoever names them: ranges, pairs or host names.
    pub fn exclude(mut self, list: impl Into<String>) -> Self {
        self.excluded.push(Source::Text(list.into(), Origin::Flag("--exclude")));
        self
    }

    /// Leaves out the addresses of a file, as [`exclude`](Self::exclude).
    pub fn exclude_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.excluded.push(Source::File(path.into()));
        self
    }

    /// Leaves out every address that no scope lists.
    pub fn scope(mut self, list: impl Into<String>) -> Self {
        self.scope.push(Source::Text(list.into(), Origin::Flag("--scope")));
        self
    }

    /// Leaves out every address that no scope lists; this one is a file.
    pub fn scope_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.scope.push(Source::File(path.into()));
        self
    }

    /// Keeps special-purpose addresses too (private, loopback, documentation, multicast and the like).
    pub fn allow_reserved(mut self, allow: bool) -> Self {
        self.allow_reserved = allow;
        self
    }

    /// Takes of each target that is a name its IPv4 addresses alone, if it has any. Of exclusions and the scope every address
    /// counts all the same.
    pub fn v4_of_names(mut self, only: bool) -> Self {
        self.v4_of_names = only;
        self
    }

    /// Asks `resolver` for host names, and not the system.
    #[cfg(any(fuzzing, test, feature = "testing"))]
    pub(super) fn resolver(mut self, resolver: Resolver) -> Self {
        self.resolver = Some(resolver);
        self
    }

    /// Reads the lists, resolves the host names in them and compiles what is left of the targets.
    ///
    /// # Errors
    ///
    /// [`TargetError`], the first in this order: ports, targets, exclusions, scope, host names, nothing left.
    pub fn build(self) -> Result<Targets, TargetError> {
        let lists = || self.targets.iter().chain(&self.excluded).chain(&self.scope);
        let stdins = lists().filter(|source| source.is_stdin()).count();
        if stdins > 1 {
            return Err(TargetError::StdinTwice(stdins));
        }
        let (exclude_files, scope_files) = (files(&self.excluded), files(&self.scope));
        let has_scope = !self.scope.is_empty();

        let mut ports = Ports::default();
        for list in &self.ports {
            ports = ports.union(list.parse()?);
        }
        let mut targets = Listed::read(self.targets, Takes::Targets)?;
        let mut excluded = Listed::read(self.excluded, Takes::Addresses)?;
        let mut scope = Listed::read(self.scope, Takes::Addresses)?;
        if targets.is_empty() {
            return Err(TargetError::NoTargets);
        }
        let names_take_ports = targets.names.iter().any(|name| name.port.is_none());
        if ports.is_empty()
            && (!targets.v4.is_empty() || !targets.v6.is_empty() || names_take_ports)
        {
            return Err(TargetError::NoPorts);
        }
        let named = resolve_names(
            [&mut targets, &mut excluded, &mut scope],
            self.v4_of_names,
            self.resolver.unwrap_or(resolve::system),
        )?;

        let keep = self.allow_reserved;
        let v4 = Bounds {
            reserved: if keep { Ranges::new(Vec::new()) } else { reserved::v4() },
            listed: Ranges::new(excluded.v4),
            scope: has_scope.then(|| Ranges::new(scope.v4)),
        };
        let v6 = Bounds {
            reserved: if keep { Ranges::new(Vec::new()) } else { reserved::v6() },
            listed: Ranges::new(excluded.v6),
            scope: has_scope.then(|| Ranges::new(scope.v6)),
        };
        let (v4, excluded_v4) = Block::new(targets.v4, targets.pairs_v4, &ports, &v4)?;
        let (v6, excluded_v6) = Block::new(targets.v6, targets.pairs_v6, &ports, &v6)?;
        let excluded = excluded_v4.plus(excluded_v6);
        let len = v4.len().checked_add(v6.len()).ok_or(TargetError::TooMany)?;
        if len == 0 {
            return Err(TargetError::Empty { excluded, exclude_files, scope_files });
        }
        Ok(Targets { v4, v6, len, ports, excluded, named })
    }
}

fn files(sources: &[Source]) -> Vec<PathBuf> {
    let file = |source: &Source| match source {
        Source::File(path) => Some(path.clone()),
        Source::Text(..) => None,
    };
    sources.iter().filter_map(file).collect()
}

/// Puts the addresses of the names in each list beside the addresses that it names itself; gives those of the targets.
fn resolve_names(
    lists: [&mut Listed; 3],
    v4_of_targets: bool,
    resolver: Resolver,
) -> Result<Vec<(IpAddr, Arc<str>)>, TargetError> {
    let mut named = Vec::new();
    let names: Vec<&Name> = lists.iter().flat_map(|list| &list.names).collect();
    let mut resolved = resolve::resolve(&names, resolver)?.into_iter();
    for (at, list) in lists.into_iter().enumerate() {
        let names = std::mem::take(&mut list.names);
        for (name, mut addrs) in names.iter().zip(resolved.by_ref()) {
            // The first list is that of the targets.
            if at == 0 && v4_of_targets && addrs.iter().any(IpAddr::is_ipv4) {
                addrs.retain(IpAddr::is_ipv4);
            }
            if at == 0 {
                let name: Arc<str> = name.name.as_str().into();
                named.extend(addrs.iter().map(|addr| (*addr, Arc::clone(&name))));
            }
            for addr in addrs {
                match (addr, name.port) {
                    (IpAddr::V4(addr), None) => list.v4.push((addr.to_bits(), addr.to_bits())),
                    (IpAddr::V4(addr), Some(port)) => list.pairs_v4.push((addr.to_bits(), port)),
                    (IpAddr::V6(addr), None) => list.v6.push((addr.to_bits(), addr.to_bits())),
                    (IpAddr::V6(addr), Some(port)) => list.pairs_v6.push((addr.to_bits(), port)),
                }
            }
        }
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::target::{Excluded, Target};

    /// `one.example` has an address of each family; no other name has any.
    fn lab(name: &str) -> io::Result<Vec<IpAddr>> {
        match name {
            "one.example" => {
                Ok(vec![[198, 18, 0, 1].into(), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()])
            }
            _ => Err(io::Error::other("no such name")),
        }
    }

    fn open() -> TargetsBuilder {
        Targets::builder().allow_reserved(true).resolver(lab)
    }

    /// All targets in the order of their indices.
    #[track_caller]
    fn check(builder: TargetsBuilder, expected: &[&str]) {
        let targets = builder.build().unwrap();
        let all: Vec<Target> = (0..targets.len()).map(|index| targets.nth(index)).collect();
        let expected: Vec<Target> = expected
            .iter()
            .map(|pair| pair.parse().unwrap())
            .map(|pair: std::net::SocketAddr| Target { addr: pair.ip(), port: pair.port() })
            .collect();
        assert_eq!(all, expected);
        for (index, target) in all.iter().enumerate() {
            assert_eq!(targets.index_of(*target), Some(index as u128), "{target:?}");
        }
    }

    #[track_caller]
    fn check_wrong(builder: TargetsBuilder, expected: &str) {
        let error = builder.build().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn ranges_come_first_then_pairs_then_ipv6() {
        let builder = open()
            .spec("[2001:db8::9]:53, 2001:db8::2 198.18.0.9:22")
            .spec("198.18.0.1-2")
            .ports("443")
            .ports("80");
        let expected = [
            "198.18.0.1:80",
            "198.18.0.1:443",
            "198.18.0.2:80",
            "198.18.0.2:443",
            "198.18.0.9:22",
            "[2001:db8::2]:80",
            "[2001:db8::2]:443",
            "[2001:db8::9]:53",
        ];
        check(builder, &expected);
    }

    #[test]
    fn a_pair_that_the_ranges_have_counts_once() {
        let builder =
            open().spec("198.18.0.1 198.18.0.1:80 198.18.0.1:81 198.18.0.1:81").ports("80");
        check(builder, &["198.18.0.1:80", "198.18.0.1:81"]);
    }

    #[test]
    fn names_bring_all_their_addresses() {
        check(open().spec("one.example").ports("80"), &["198.18.0.1:80", "[2001:db8::1]:80"]);
        check(open().spec("one.example").ports("80").v4_of_names(true), &["198.18.0.1:80"]);
        check(open().spec("one.example:22"), &["198.18.0.1:22", "[2001:db8::1]:22"]);
        check(open().spec("198.18.0.1-2").ports("80").exclude("one.example"), &["198.18.0.2:80"]);
        check(open().spec("198.18.0.1-2").ports("80").scope("one.example"), &["198.18.0.1:80"]);
        check_wrong(
            open().spec("two.example:22"),
            "argument: the host name two.example cannot be resolved (no such name)",
        );
        // A name that cannot be excluded is not ignored: what it stands for would be scanned.
        check_wrong(
            open().spec("198.18.0.1:80").exclude("two.example"),
            "--exclude: the host name two.example",
        );
    }

    #[test]
    fn exclusions_hold_for_pairs_and_names() {
        check(open().spec("198.18.0.1:80 198.18.0.2:80").exclude("198.18.0.2"), &["198.18.0.1:80"]);
        check(open().spec("one.example:80").exclude("198.18.0.0/16"), &["[2001:db8::1]:80"]);
        check(
            open().spec("198.18.0.1:80 198.18.0.2:80").scope("198.18.0.2/32"),
            &["198.18.0.2:80"],
        );
    }

    #[test]
    fn reserved_addresses_stay_out_unless_allowed() {
        let specs = "8.8.8.8 10.0.0.1 127.0.0.1:80 2001:db8::1 2001:4860::1";
        check(Targets::builder().spec(specs).ports("53"), &["8.8.8.8:53", "[2001:4860::1]:53"]);
        let targets = Targets::builder().spec(specs).ports("53").build().unwrap();
        assert_eq!(targets.excluded(), Excluded { reserved: 3, listed: 0, out_of_scope: 0 });
        assert_eq!(open().spec(specs).ports("53").build().unwrap().len(), 5);
        let everything = Targets::builder().spec("0.0.0.0/0").ports("-").build().unwrap();
        assert_eq!(everything.hosts(), 3_702_257_664);
        assert_eq!(everything.len(), 3_702_257_664 * 65_535);
    }

    #[test]
    fn nothing_left_names_what_took_it_and_the_flag() {
        let error =
            "nothing is left to scan: 256 addresses are reserved (--allow-reserved lifts that)";
        check_wrong(Targets::builder().spec("198.18.0.0/24").ports("80"), error);
        let builder =
            open().spec("198.18.0.0/31").ports("80").exclude("198.18.0.0").scope("198.18.0.0");
        let error = "1 addresses are excluded (--exclude, --exclude-file); 1 addresses are outside the scope (--scope)";
        check_wrong(builder, error);
    }

    #[test]
    fn an_empty_scope_file_permits_nothing_and_is_named() {
        let path =
            std::env::temp_dir().join(format!("mrpf-empty-scope-{}.txt", std::process::id()));
        std::fs::write(&path, "# to be filled in\n").unwrap();
        let error = open()
            .spec("198.18.0.1")
            .ports("80")
            .scope_file(&path)
            .build()
            .unwrap_err()
            .to_string();
        std::fs::remove_file(&path).unwrap();
        assert!(
            error.contains(&format!(
                "1 addresses are outside the scope (--scope {})",
                path.display()
            )),
            "{error}"
        );
    }

    #[test]
    fn what_is_missing_or_wrong_is_said() {
        check_wrong(open(), "there are no targets: give some as arguments or in a file with -f");
        check_wrong(open().spec(" # none"), "there are no targets");
        check_wrong(open().spec("198.18.0.1"), "give ports with -p");
        check_wrong(open().spec("one.example"), "give ports with -p");
        check(open().spec("198.18.0.1").or_ports("53"), &["198.18.0.1:53"]);
        check(open().spec("198.18.0.1").ports("80").or_ports("53"), &["198.18.0.1:80"]);
        check_wrong(open().spec("198.18.0.1").ports("x"), "ports: \"x\" is not a port");
        check_wrong(open().file("-").exclude_file("-"), "standard input is given for 2 lists");
        check_wrong(open().add_spec("?", Origin::Flag("--target")), "--target: \"?\" is neither");
        check_wrong(
            open().spec("198.18.0.1:80").exclude("198.18.0.1:80"),
            "--exclude: \"198.18.0.1:80\" has a port",
        );
        check_wrong(open().spec("::/0").ports("80"), "more targets than 2^128 - 1");
        check_wrong(open().spec("::/1 8000::/2").ports("-"), "more targets than 2^128 - 1");
    }

    #[test]
    fn nearly_all_of_ipv6_can_be_numbered() {
        let targets = open().spec("::/0").exclude("::").ports("80").build().unwrap();
        assert_eq!((targets.len(), targets.hosts()), (u128::MAX, u128::MAX));
        assert_eq!(targets.excluded().listed, 1);
        let last = Target { addr: IpAddr::from(u128::MAX.to_be_bytes()), port: 80 };
        assert_eq!(
            (targets.nth(u128::MAX - 1), targets.index_of(last)),
            (last, Some(u128::MAX - 1))
        );
    }
}
