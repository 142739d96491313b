//! Checkpoints as they are written, damaged and anything else.

use std::ops::Range;

use proptest::{collection, prelude::*, sample::Index};

use super::*;

pub(crate) fn checkpoint() -> Checkpoint {
    let (kind, format, mrpf) = Checkpoint::head();
    Checkpoint {
        kind,
        format,
        mrpf,
        scan: "0123456789abcdef".to_owned(),
        saved: Timestamp::from_unix_micros(0),
        scanner: Kind::Syn,
        command: ["--ports=80", "--output=/x/out.jsonl", "--", "198.19.0.0/24"]
            .map(str::to_owned)
            .to_vec(),
        stdin: Some("198.19.1.1\n".to_owned()),
        seed: u64::MAX,
        shard: "1/1".to_owned(),
        fingerprint: "00000000000000ff".to_owned(),
        mark: 5,
        total: 256,
        finished: false,
        closed: false,
        output: Written { path: Some("/x/out.jsonl".into()), octets: Some(77) },
        may_repeat: 3,
        may_have_repeated: 4,
        uncounted: false,
        so_far: Totals::default(),
        incomplete: Vec::new(),
    }
}

fn written(text: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint");
    fs::write(&path, text).unwrap();
    (folder, path)
}

#[track_caller]
fn check_wrong(text: &[u8], words: &str) {
    let (_folder, path) = written(text);
    let error = Checkpoint::read(&path).unwrap_err();
    assert!(error.to_string().contains(words), "{error}");
    assert_eq!(error.exit_code(), mrpf_console::exit::USAGE);
}

/// `value` as a file with the right sum.
fn summed(mut value: Value) -> Vec<u8> {
    sum::take(&mut value);
    value[sum::NAME] = sum::of(&value).unwrap().into();
    serde_json::to_vec_pretty(&value).unwrap()
}

/// Damage is refused, or it has changed nothing that counts.
#[track_caller]
fn check_harmless(damaged: &[u8], whole: &Checkpoint) {
    if let Ok(read) = Checkpoint::parse(damaged) {
        assert_eq!(&read, whole, "{}", String::from_utf8_lossy(damaged));
    }
}

#[test]
fn it_comes_back_as_it_was() {
    let (_folder, path) = written(&checkpoint().to_json().unwrap());
    assert_eq!(Checkpoint::read(&path).unwrap(), checkpoint());
    assert!(Checkpoint::may_replace(&path).unwrap());
}

#[test]
fn the_sum_is_of_what_it_says_and_not_of_how() {
    let json = checkpoint().to_json().unwrap();
    // The members in another order, on one line.
    let value: Value = serde_json::from_slice(&json).unwrap();
    let compact = serde_json::to_vec(&value).unwrap();
    assert_ne!(compact, json);
    assert_eq!(Checkpoint::parse(&compact), Ok(checkpoint()));
    let escaped = String::from_utf8(json).unwrap().replace("/x/", "\\u002fx\\/");
    assert_eq!(Checkpoint::parse(escaped.as_bytes()), Ok(checkpoint()));
    // As of any tool: `printf '{"a":1,"b":[true,null]}' | gzip -c | tail -c8 | head -c4`, the lowest octet first.
    assert_eq!(sum::of(&serde_json::json!({"b": [true, null], "a": 1})).unwrap(), "45a73c59");
}

#[test]
fn anything_else_is_refused_with_words() {
    let json = checkpoint().to_json().unwrap();
    let text = String::from_utf8(json).unwrap();
    check_wrong(b"", "is no checkpoint");
    check_wrong(b"{}", "is no checkpoint");
    check_wrong(b"[]", "is no checkpoint");
    check_wrong(b"\xff", "give the file that --checkpoint named");
    check_wrong(text.replace("\"format\": 2", "\"format\": 1").as_bytes(), "in format 1");
    let other =
        text.replace(&format!("\"mrpf\": \"{}\"", env!("CARGO_PKG_VERSION")), "\"mrpf\": \"9\"");
    check_wrong(other.as_bytes(), "written by mrpf 9");
    // A mark that is as good as any, but not the one that was written.
    let other = text.replace("\"mark\": 5", "\"mark\": 6");
    check_wrong(other.as_bytes(), "put back a copy of it as it was written");
    check_wrong(other.as_bytes(), "is damaged (its crc32 is not ");
    check_wrong(text.replace("\"crc32\"", "\"crc\"").as_bytes(), "its crc32 is not ");
    // The sum is right, and what it says makes no sense all the same.
    for (mark, words) in [(257, "lies behind its end"), (-5, "damaged")] {
        let mut value: Value = serde_json::from_str(&text).unwrap();
        value["mark"] = mark.into();
        check_wrong(&summed(value), words);
    }
    let error = Checkpoint::read(Path::new("/no/such/file")).unwrap_err();
    assert!(error.to_string().contains("/no/such/file cannot be read"), "{error}");
}

#[test]
fn one_that_is_torn_anywhere_is_refused() {
    let json = checkpoint().to_json().unwrap();
    // All but the end of the last line.
    for end in 0..json.len() - 1 {
        assert!(Checkpoint::parse(&json[..end]).is_err(), "{end}");
        assert!(Checkpoint::parse(&json[json.len() - end..]).is_err(), "the last {end}");
    }
}

#[test]
fn no_octet_can_be_changed_unseen() {
    let whole = checkpoint();
    let mut json = whole.to_json().unwrap();
    for at in 0..json.len() {
        let octet = json[at];
        for other in (0..=u8::MAX).filter(|other| *other != octet) {
            json[at] = other;
            check_harmless(&json, &whole);
        }
        json[at] = octet;
    }
}

#[test]
fn two_that_are_mixed_are_refused() {
    let (old, mut new) = (checkpoint(), checkpoint());
    (new.mark, new.may_repeat, new.seed) = (9, 1, u64::MAX - 1);
    new.saved = Timestamp::from_unix_micros(1_000_000);
    new.output.octets = Some(99);
    let jsons = [&old, &new].map(|checkpoint| checkpoint.to_json().unwrap());
    assert_eq!(jsons[0].len(), jsons[1].len(), "one written over the other leaves no rest");
    for cut in 0..=jsons[0].len() {
        let mixed = [&jsons[1][..cut], &jsons[0][cut..]].concat();
        match Checkpoint::parse(&mixed) {
            Ok(read) => {
                assert!(read == old && mixed == jsons[0] || read == new && mixed == jsons[1])
            }
            Err(why) => assert!(why.contains("is damaged (its crc32 is not "), "{cut}: {why}"),
        }
    }
}

/// Anything that a file can say.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            collection::btree_map(".*", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

prop_compose! {
    fn any_totals()(
        (runs, records, noisy_hosts) in any::<(u32, u64, u64)>(),
        elapsed_s in 0.0..=f64::MAX,
        states in collection::btree_map(".*", any::<u64>(), 0..5),
        counters in collection::btree_map(".*", any_json(), 0..5),
    ) -> Totals {
        let counters = counters.into_iter().collect();
        Totals { runs, records, elapsed_s, states, noisy_hosts, counters }
    }
}

prop_compose! {
    fn any_checkpoint()(
        (saved, seed, total, share) in any::<(u64, u64, u64, Index)>(),
        (scan, shard, fingerprint) in any::<(String, String, String)>(),
        command in collection::vec(".*", 0..8),
        stdin in any::<Option<String>>(),
        (path, octets) in any::<(Option<String>, Option<u64>)>(),
        (finished, closed, uncounted) in any::<(bool, bool, bool)>(),
        (may_repeat, may_have_repeated) in any::<(u64, u64)>(),
        so_far in any_totals(),
        incomplete in collection::vec(".*", 0..3),
        is_tls: bool,
    ) -> Checkpoint {
        let (kind, format, mrpf) = Checkpoint::head();
        Checkpoint {
            kind, format, mrpf, scan, command, stdin, seed, shard, fingerprint, total, finished,
            closed, may_repeat, may_have_repeated, uncounted, so_far, incomplete,
            scanner: if is_tls { Kind::Tls } else { Kind::Syn },
            saved: Timestamp::from_unix_micros(saved),
            mark: share.index(usize::MAX) as u64 % total.max(1),
            output: Written { path: path.map(PathBuf::from), octets },
        }
    }
}

/// A part of what has `len` octets.
fn part(len: usize, (from, to): (Index, Index)) -> Range<usize> {
    let [from, to] = [from, to].map(|at| at.index(len + 1));
    from.min(to)..from.max(to)
}

proptest! {
    #[test]
    fn whatever_is_written_comes_back(checkpoint in any_checkpoint()) {
        prop_assert_eq!(Checkpoint::parse(&checkpoint.to_json().unwrap()), Ok(checkpoint));
    }

    #[test]
    fn any_octets_are_answered(text: Vec<u8>) {
        prop_assert!(Checkpoint::parse(&text).is_err());
    }

    #[test]
    fn parts_that_are_written_over_moved_or_lost_are_harmless(
        checkpoint in any_checkpoint(),
        parts in collection::vec((any::<(Index, Index)>(), any::<Option<(Index, Index)>>(), any::<Vec<u8>>()), 1..4),
    ) {
        let mut json = checkpoint.to_json().unwrap();
        for (at, from, other) in parts {
            let other = from.map_or(other, |from| json[part(json.len(), from)].to_vec());
            json.splice(part(json.len(), at), other);
        }
        check_harmless(&json, &checkpoint);
    }

    /// By hand, with a sum that is right: there is an answer all the same, and what is taken adds up.
    #[test]
    fn any_member_may_say_anything(member: Index, json in any_json(), key in ".*") {
        let mut value = serde_json::to_value(checkpoint()).unwrap();
        let members = value.as_object_mut().unwrap();
        let name = members.keys().nth(member.index(members.len())).cloned();
        members.insert(name.unwrap(), json.clone());
        members.insert(key, json);
        if let Ok(read) = Checkpoint::parse(&summed(value)) {
            prop_assert!(read.mark <= read.total);
            prop_assert!((0.0..=1.0).contains(&read.so_far.losses().loss()));
        }
    }
}

#[test]
fn only_checkpoints_are_replaced() {
    let (folder, path) = written(b"precious\n");
    assert!(!Checkpoint::may_replace(&path).unwrap());
    assert!(!Checkpoint::may_replace(folder.path()).unwrap());
    assert!(!Checkpoint::may_replace(Path::new("/dev/null")).unwrap());
    assert!(Checkpoint::may_replace(&folder.path().join("none")).unwrap());
    fs::write(&path, "").unwrap();
    assert!(Checkpoint::may_replace(&path).unwrap());
}

#[test]
fn totals_add_up_over_runs() {
    let driven = crate::report::tests::through();
    let once = Totals::default().plus(&driven.summary, 256);
    let twice = once.plus(&driven.summary, 256);
    assert_eq!((twice.runs, twice.records, twice.states["open"]), (2, 512, 512));
    assert_eq!(twice.counters["sent"], 2 * driven.summary.counts.sent);
    let attempts = |totals: &Totals| totals.counters["made_by_attempt"][0].as_u64().unwrap();
    assert_eq!(attempts(&twice), 2 * attempts(&once));
    let mut lossy = driven.summary.clone();
    lossy.counts.dropped_busy = 1;
    lossy.counts.dropped_too_long = 2;
    lossy.counts.dropped_forbidden = 3;
    lossy.counts.dropped_other = 4;
    lossy.counts.ring_drops = 5;
    lossy.counts.refused = 6;
    let losses = Totals::default().plus(&lossy, 0).losses();
    assert_eq!((losses.dropped(), losses.ring_drops, losses.refused), (10, 5, 6));
    assert!((losses.loss() - lossy.counts.loss()).abs() < 1e-12);
    // A file that was edited by hand.
    let mut odd = once.clone();
    odd.counters.insert("sent".to_owned(), "x".into());
    odd.counters.insert("made_by_attempt".to_owned(), 7.into());
    (odd.runs, odd.records, odd.noisy_hosts) = (u32::MAX, u64::MAX, u64::MAX);
    odd.states.insert("open".to_owned(), u64::MAX);
    let sum = odd.plus(&driven.summary, 1);
    assert_eq!(sum.counters["sent"], driven.summary.counts.sent);
    assert_eq!((sum.runs, sum.records, sum.states["open"]), (u32::MAX, u64::MAX, u64::MAX));
}
