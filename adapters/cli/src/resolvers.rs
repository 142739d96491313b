//! Who is asked: what `-r` can be.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, BufRead as _, BufReader},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use crate::error::CliError;

const PORT: u16 = 53;
/// What a resolver stands behind in the machine's own list (resolv.conf(5)).
const NAMESERVER: &str = "nameserver";
/// Lines of that list that name no resolver.
const OTHERS: [&str; 4] = ["domain", "search", "sortlist", "options"];

/// The resolvers that `words` name, each once, in order.
pub(crate) fn read(words: &[String]) -> Result<Vec<SocketAddr>, CliError> {
    let (mut found, mut known) = (Vec::new(), HashSet::new());
    for word in words {
        let addrs = match listed(word) {
            Some(addrs) => addrs,
            None => of_file(Path::new(word))?,
        };
        found.extend(addrs.into_iter().filter(|addr| known.insert(*addr)));
    }
    Ok(found)
}

/// The file that a word names, if it names one.
pub(crate) fn path(word: &str) -> Option<PathBuf> {
    listed(word).is_none().then(|| word.into())
}

/// A comma list of addresses.
fn listed(word: &str) -> Option<Vec<SocketAddr>> {
    word.split(',').map(address).collect()
}

/// An address with or without a port: `192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53`, `[2001:db8::53]:5353`.
fn address(text: &str) -> Option<SocketAddr> {
    let text = text.trim();
    let plain = || text.parse::<IpAddr>().ok().map(|addr| SocketAddr::new(addr, PORT));
    plain().or_else(|| text.parse().ok().filter(|addr: &SocketAddr| addr.port() != 0))
}

/// A line each, `#` and `;` begin a comment; or the machine's own list.
fn of_file(path: &Path) -> Result<Vec<SocketAddr>, CliError> {
    let wrong = |why: String| CliError::Resolvers { path: path.to_owned(), why };
    let unread = |error: io::Error| wrong(format!("is no address and cannot be read: {error}"));
    let mut found = Vec::new();
    for (number, line) in BufReader::new(File::open(path).map_err(unread)?).lines().enumerate() {
        let line = line.map_err(unread)?;
        let line = line.split(['#', ';']).next().unwrap_or_default().trim();
        let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        if line.is_empty() || OTHERS.contains(&first) {
            continue;
        }
        let text = if first == NAMESERVER { rest } else { line };
        let addr = address(text)
            .ok_or_else(|| wrong(format!("line {}: {text:?} is no address", number + 1)))?;
        found.push(addr);
    }
    if found.is_empty() {
        return Err(wrong("names no resolver".to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use mrpf_console::exit::USAGE;

    use super::*;

    fn texts(words: &[&str]) -> Vec<String> {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        read(&words).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn resolvers_are_addresses_lists_and_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resolvers");
        std::fs::write(
            &file,
            "# ours\n192.0.2.1\n\n192.0.2.2:5353 # the other\n[2001:db8::1]:54\n",
        )
        .unwrap();
        let file = file.display().to_string();
        assert_eq!(
            texts(&["192.0.2.9,2001:db8::9", &file, "192.0.2.1"]),
            [
                "192.0.2.9:53",
                "[2001:db8::9]:53",
                "192.0.2.1:53",
                "192.0.2.2:5353",
                "[2001:db8::1]:54"
            ]
        );
        assert_eq!(path("192.0.2.1,192.0.2.2"), None);
        assert_eq!(path("resolvers"), Some("resolvers".into()));
    }

    #[test]
    fn the_machines_own_list_is_read_when_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resolv.conf");
        let text = "domain example\nsearch example\n; ours\nnameserver\t192.0.2.1\noptions edns0\n";
        std::fs::write(&file, text).unwrap();
        assert_eq!(texts(&[&file.display().to_string()]), ["192.0.2.1:53"]);
    }

    #[test]
    fn what_names_no_resolver_is_a_usage_error() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        for (word, expected) in [
            ("192.0.2.1,".to_owned(), "is no address and cannot be read"),
            ("192.0.2.1:0".to_owned(), "is no address and cannot be read"),
            (write("bad", "192.0.2.1\nns.example\n"), "line 2: \"ns.example\" is no address"),
            (write("none", "# nobody\n"), "names no resolver"),
        ] {
            let error = read(&[word]).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(error.exit_code(), USAGE);
        }
    }
}
