//! Host names to addresses, before a scan and never during one.
//!
//! The system's resolver is asked, so `/etc/hosts` and search domains count. It blocks for seconds where a server is silent,
//! hence the threads. They are the caller's children and so in its network namespace, which those of a pool need not be.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, ToSocketAddrs},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use super::{error::TargetError, source::Name};

/// Asks for every address of a name.
pub(super) type Resolver = fn(&str) -> io::Result<Vec<IpAddr>>;

/// Asks the system.
pub(super) fn system(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|addr| addr.ip()).collect())
}

/// Names asked for at a time.
const THREADS: usize = 32;

/// The addresses of each of `names`, in their order. A name that comes twice is asked for once, so that an exclusion holds all
/// that the same name gave as a target, even where answers rotate.
pub(super) fn resolve(
    names: &[&Name],
    resolver: Resolver,
) -> Result<Vec<Vec<IpAddr>>, TargetError> {
    let mut places = HashMap::new();
    let mut distinct: Vec<&Name> = Vec::new();
    let place: Vec<usize> = names
        .iter()
        .map(|name| {
            let folded = name.name.trim_end_matches('.').to_ascii_lowercase();
            *places.entry(folded).or_insert_with(|| {
                distinct.push(name);
                distinct.len() - 1
            })
        })
        .collect();
    let answers = ask_all(&distinct, resolver)?;
    Ok(place.into_iter().map(|at| answers[at].clone()).collect())
}

fn ask_all(names: &[&Name], resolver: Resolver) -> Result<Vec<Vec<IpAddr>>, TargetError> {
    let answers: Vec<OnceLock<io::Result<Vec<IpAddr>>>> =
        names.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(at) = Some(next.fetch_add(1, Relaxed)).filter(|at| *at < names.len()) {
            answers[at].get_or_init(|| resolver(&names[at].name));
        }
    };
    thread::scope(|scope| {
        for _ in 1..names.len().min(THREADS) {
            // A thread less is slower and no more, since this one works too.
            let _ = thread::Builder::new().name("mrpf-resolve".into()).spawn_scoped(scope, work);
        }
        work();
    });
    let mut resolved = Vec::with_capacity(names.len());
    let mut failed: Option<TargetError> = None;
    for (name, answer) in names.iter().zip(answers) {
        let reason = match answer.into_inner() {
            Some(Ok(addrs)) if !addrs.is_empty() => {
                resolved.push(addrs);
                continue;
            }
            Some(Err(error)) => error.to_string(),
            Some(Ok(_)) | None => "it has no address".into(),
        };
        match &mut failed {
            Some(TargetError::Unresolved { others, .. }) => *others += 1,
            _ => {
                let (origin, name) = (name.origin.clone(), name.name.clone());
                failed = Some(TargetError::Unresolved { origin, name, reason, others: 0 });
            }
        }
    }
    failed.map_or(Ok(resolved), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::spec::Origin;

    fn names(list: &[&str]) -> Vec<Name> {
        let name = |(at, name): (usize, &&str)| {
            let origin = Origin::File("names.txt".into(), at as u64 + 1);
            Name { name: (*name).to_owned(), port: None, origin }
        };
        list.iter().enumerate().map(name).collect()
    }

    /// Host `n` has the addresses 198.18.0.n and 2001:db8::n; the others have none, or an error.
    fn lab(name: &str) -> io::Result<Vec<IpAddr>> {
        match name.parse::<u8>() {
            Ok(n) => Ok(vec![
                [198, 18, 0, n].into(),
                [0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(n)].into(),
            ]),
            Err(_) if name == "bare" => Ok(vec![]),
            Err(_) => Err(io::Error::other("no such name")),
        }
    }

    fn ask(list: &[&str]) -> Result<Vec<Vec<IpAddr>>, TargetError> {
        let names = names(list);
        resolve(&names.iter().collect::<Vec<_>>(), lab)
    }

    #[test]
    fn a_name_that_comes_twice_is_asked_once() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        fn rotating(_: &str) -> io::Result<Vec<IpAddr>> {
            Ok(vec![[198, 18, 0, ASKED.fetch_add(1, Relaxed) as u8].into()])
        }
        let names = names(&["cdn.example", "CDN.example", "cdn.example."]);
        let answers = resolve(&names.iter().collect::<Vec<_>>(), rotating).unwrap();
        assert_eq!(answers, vec![vec![IpAddr::from([198, 18, 0, 0])]; 3]);
    }

    #[test]
    fn every_address_of_every_name_in_order() {
        let numbers: Vec<String> = (0..100).map(|n: u8| n.to_string()).collect();
        let list: Vec<&str> = numbers.iter().map(String::as_str).collect();
        let expected: Vec<_> = list.iter().map(|name| lab(name).unwrap()).collect();
        assert_eq!(ask(&list).unwrap(), expected);
        assert!(ask(&[]).unwrap().is_empty());
    }

    #[test]
    fn the_first_name_without_an_address_is_told() {
        let error = ask(&["1", "nobody", "bare", "2"]).unwrap_err().to_string();
        assert!(
            error.starts_with(
                "names.txt:2: the host name nobody cannot be resolved (no such name), and 1 more"
            ),
            "{error}"
        );
        let error = ask(&["bare"]).unwrap_err().to_string();
        assert!(
            error.contains("bare cannot be resolved (it has no address): correct it"),
            "{error}"
        );
    }

    #[test]
    fn the_system_knows_localhost() {
        let addrs = system("localhost").unwrap();
        assert!(!addrs.is_empty() && addrs.iter().all(IpAddr::is_loopback), "{addrs:?}");
    }
}
