//! What a fuzzer does with target lists; compiled for fuzzing and tests alone.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    io,
    net::IpAddr,
    sync::Arc,
};

use super::{Shard, Target, TargetError, Targets, Walk};

/// Compiles `data` as a description and checks what came of it. No name is ever resolved.
///
/// Each line adds to one list, by its first octet: `!` exclusions, `=` scope, `:` ports, `*` reserved addresses are
/// allowed; any other line is of targets.
///
/// # Panics
///
/// When an invariant of the compiled targets does not hold.
pub fn fuzz_specs(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut builder = Targets::builder().resolver(invented);
    for line in text.lines() {
        builder = match line.split_at_checked(1) {
            Some(("!", list)) => builder.exclude(list),
            Some(("=", list)) => builder.scope(list),
            Some((":", list)) => builder.ports(list),
            Some(("*", _)) => builder.allow_reserved(true),
            _ => builder.spec(line),
        };
    }
    match builder.build() {
        Ok(targets) => check(targets),
        Err(TargetError::Empty { excluded, .. }) => {
            assert!(excluded.total() > 0, "nothing took the targets")
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// An address of each family made from the name itself, or none for one name in four.
fn invented(name: &str) -> io::Result<Vec<IpAddr>> {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let hash = hasher.finish();
    let v6 = (u128::from(hash) << 64) | u128::from(hash);
    if hash & 3 == 0 {
        Ok(Vec::new())
    } else {
        Ok(vec![IpAddr::V4((hash as u32).into()), IpAddr::V6(v6.into())])
    }
}

fn check(targets: Targets) {
    let len = targets.len();
    assert!(len > 0);
    assert!(targets.v6_len() <= len);

    let v4 =
        targets.v4_ranges().map(|(first, last)| u128::from(last.to_bits() - first.to_bits()) + 1);
    let v6 = targets
        .v6_ranges()
        .map(|(first, last)| (last.to_bits() - first.to_bits()).saturating_add(1));
    assert_eq!(
        v4.chain(v6).fold(0, u128::saturating_add),
        targets.hosts(),
        "the ranges are the hosts"
    );

    for index in samples(len) {
        let target = targets.nth(index);
        assert_eq!(targets.index_of(target), Some(index), "{target:?}");
        assert_eq!(target.addr.is_ipv6(), index >= len - targets.v6_len(), "{target:?} at {index}");
        assert!(is_routed(&targets, target.addr), "{target:?} is in no range");
    }
    // What lies just outside a range is no target at any port.
    for (first, last) in targets.v4_ranges().take(64) {
        for addr in
            [first.to_bits().checked_sub(1), last.to_bits().checked_add(1)].into_iter().flatten()
        {
            check_stranger(&targets, IpAddr::V4(addr.into()));
        }
    }
    for (first, last) in targets.v6_ranges().take(64) {
        for addr in
            [first.to_bits().checked_sub(1), last.to_bits().checked_add(1)].into_iter().flatten()
        {
            check_stranger(&targets, IpAddr::V6(addr.into()));
        }
    }

    let targets = Arc::new(targets);
    let shards = [
        Shard::default(),
        Shard::new(1, 3).expect("in 1..=3"),
        Shard::new(3, 3).expect("in 1..=3"),
    ];
    for walk in shards.map(|shard| Walk::new(Arc::clone(&targets), len as u64, shard)) {
        for sequence in samples(walk.len().into()) {
            let sequence = sequence as u64;
            assert_eq!(walk.sequence(walk.target(sequence)), Some(sequence));
        }
    }
}

/// Some numbers of `0..len`: both ends, their neighbours and places between.
fn samples(len: u128) -> impl Iterator<Item = u128> {
    let ends = [0, 1, 2, len / 2, len.saturating_sub(2), len.saturating_sub(1)];
    ends.into_iter().chain((1..58).map(move |at| len / 59 * at)).filter(move |index| *index < len)
}

fn is_routed(targets: &Targets, addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(addr) => targets.v4_ranges().any(|(first, last)| first <= addr && addr <= last),
        IpAddr::V6(addr) => targets.v6_ranges().any(|(first, last)| first <= addr && addr <= last),
    }
}

/// Ranges do not touch, so the address beside one is in none.
fn check_stranger(targets: &Targets, addr: IpAddr) {
    for port in targets.ports().iter().take(8).chain([0, 80, u16::MAX]) {
        assert_eq!(targets.index_of(Target { addr, port }), None, "{addr} port {port}");
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use proptest::prelude::*;

    use super::*;

    /// Every committed input, so that a stable `cargo test` replays what fuzzing knows.
    #[test]
    fn the_corpus_holds() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/target_specs");
        let mut count = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            fuzz_specs(&fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count >= 10, "{count} inputs in {}", folder.display());
    }

    proptest! {
        #[test]
        fn descriptions_made_of_likely_words_hold(
            lines in prop::collection::vec(
                "[!=:*]?(([0-9]{1,3}\\.){3}[0-9]{1,3}(/[0-9]{1,2}|-[0-9]{1,3}|:[0-9]{1,5})?|[a-f0-9]{0,4}::[a-f0-9]{0,4}(/[0-9]{1,3})?|[a-z]{1,3}\\.[a-z]{2}|-|[0-9]{1,5})",
                0..12,
            )
        ) {
            fuzz_specs((lines.join("\n") + "\n*\n:1-9").as_bytes());
        }
    }
}
