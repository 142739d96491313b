//! Published vectors, and what the published JARM program says of octets good and bad (`testdata/jarm`).

use super::{
    ja3s,
    jarm::{self, Answer, JarmProbe},
};

const ANSWERS: &str = include_str!("../../testdata/jarm/answers.txt");

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// A ServerHello of which JARM tells `raw`, in a record.
fn server_hello(raw: &str) -> Vec<u8> {
    let parts: Vec<&str> = raw.split('|').collect();
    let [cipher, version, alpn, extensions] = parts[..] else { panic!("{raw}") };
    let extensions: Vec<u8> = extensions
        .split('-')
        .filter(|kind| !kind.is_empty())
        .flat_map(|kind| {
            let body = match kind {
                "0010" => {
                    let length = alpn.len() as u8;
                    [&[0, length + 1, length], alpn.as_bytes()].concat()
                }
                _ => Vec::new(),
            };
            [octets(kind), vec![0, body.len() as u8], body].concat()
        })
        .collect();
    let mut body = [octets(version), vec![7; 32], vec![0], octets(cipher), vec![0]].concat();
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let length = body.len() as u8;
    [&[22, 3, 3, 0, length + 4, 2, 0, 0, length], &body[..]].concat()
}

/// Answers of which `raws` are the texts.
fn answers(raws: [&str; 10]) -> [Answer; 10] {
    raws.map(|raw| {
        let answer = match raw {
            "|||" => Answer::FAILED,
            _ => Answer::read(&server_hello(raw)),
        };
        assert_eq!(answer.to_string(), raw);
        answer
    })
}

const FULL: &str = "c02f|0303|http/1.1|0000-ff01-000b-0023-0010";

#[test]
fn published_hashes_are_ours() {
    let plain = "c02f|0303||0000-ff01-000b-0023";
    let answers_a = answers([FULL, FULL, "|||", plain, plain, "|||", FULL, FULL, FULL, FULL]);
    assert_eq!(
        jarm::hash(&answers_a),
        "29d29d00029d29d00029d29d29d29d8c9dac4e97f99c7a0e93e9d4d790df0a"
    );
    assert_eq!(
        jarm::hash(&answers(["1301|0303||0033-002b"; 10])),
        "41d41d41d41d41d41d41d41d41d41d63881c11a6cef953539a233a051b694c"
    );
    assert_eq!(jarm::hash(&answers(["|||"; 10])), "0".repeat(62));
}

#[test]
fn a_captured_server_hello_is_read() {
    let record = octets(
        "16030300500200004c0303331f11323d4cb22e196c9661a2a8643cb48be65615220cd3bb3e198e06a906b100c02f00002400000000ff01000100000b000403000102002300000010000b000908687474702f312e31",
    );
    assert_eq!(Answer::read(&record).to_string(), FULL);
    assert!(Answer::is_whole(&record));
    assert!((0..record.len()).all(|length| !Answer::is_whole(&record[..length])));
    // The certificate behind it changes nothing.
    let more = [&record[..], &[22, 3, 3, 4, 0, 11], &[9; 3_000]].concat();
    assert_eq!(Answer::read(&more), Answer::read(&record));
}

#[test]
fn ciphers_have_the_published_numbers() {
    for (cipher, number) in [
        ("0004", "01"),
        ("c009", "1d"),
        ("c02b", "27"),
        ("c02f", "29"),
        ("c030", "2a"),
        ("1301", "41"),
        ("1305", "45"),
        ("0a0a", "46"),
        ("ccaa", "46"),
    ] {
        let hash = jarm::hash(&answers([&format!("{cipher}|0303||ff01"); 10]));
        assert_eq!(&hash[..3], format!("{number}d"), "{cipher}");
    }
    for (version, letter) in
        [("0300", 'a'), ("0301", 'b'), ("0304", 'e'), ("0305", 'f'), ("030f", '0')]
    {
        let hash = jarm::hash(&answers([&format!("1301|{version}||ff01"); 10]));
        assert_eq!(hash.chars().nth(2), Some(letter), "{version}");
    }
}

/// The first 30 digits of a known hash, from the ciphers and versions that they stand for.
#[test]
fn a_hash_has_the_published_shape() {
    let cobalt_strike = "07d14d16d21d21d07c42d41d00041d24a458a375eef0c576d23a7bab9a9fb1";
    let hash = jarm::hash(&answers([
        "0033|0303||ff01",
        "009d|0303||ff01",
        "009f|0303||ff01",
        "c013|0303||ff01",
        "c013|0303||ff01",
        "0033|0302||ff01",
        "1302|0303||002b",
        "1301|0303||002b",
        "|||",
        "1301|0303||002b",
    ]));
    assert_eq!(hash.len(), cobalt_strike.len());
    assert_eq!(hash[..30], cobalt_strike[..30]);
}

#[test]
fn the_published_program_says_the_same() {
    let mut host = Vec::new();
    let mut hosts = 0;
    for line in ANSWERS.lines() {
        let (left, right) = line.split_once(' ').unwrap();
        if left == "=" {
            let answers: [Answer; JarmProbe::COUNT] = std::mem::take(&mut host).try_into().unwrap();
            assert_eq!(jarm::hash(&answers), right);
            hosts += 1;
        } else {
            let answer = Answer::read(&octets(left.trim_start_matches('-')));
            assert_eq!(answer.to_string(), right, "{left}");
            host.push(answer);
        }
    }
    assert_eq!(hosts, 8);
}

#[test]
fn silence_is_no_fingerprint_and_other_failures_are_their_own() {
    let mut answers = answers([FULL; 10]);
    let all = jarm::hash(&answers);
    answers[3] = Answer::FAILED;
    let but_one = jarm::hash(&answers);
    assert_eq!((&but_one[..9], &but_one[9..12]), (&all[..9], "000"));
    assert_eq!(but_one[12..30], all[12..30]);
    assert_ne!(but_one[30..], all[30..]);
    answers[7] = Answer::TIMED_OUT;
    assert_eq!(jarm::hash(&answers), "0".repeat(62));
}

#[test]
fn an_answer_is_whole_as_soon_as_nothing_more_is_looked_at() {
    assert!(!Answer::is_whole(&[]));
    assert!(!Answer::is_whole(&[22, 3, 3]));
    assert!(Answer::is_whole(&[21]) && Answer::is_whole(b"H"));
    assert!(!Answer::is_whole(&[22, 3, 3, 0, 2, 2]));
    assert!(Answer::is_whole(&[22, 3, 3, 0, 2, 2, 0]));
    let mut long = vec![22, 3, 3, 0x40, 0];
    long.resize(jarm::MOST - 1, 0);
    assert!(!Answer::is_whole(&long));
    long.push(0);
    assert!(Answer::is_whole(&long));
}

/// A ServerHello message of these fields.
fn message(version: u16, cipher: u16, extensions: Option<&[u16]>) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 32]);
    body.push(32);
    body.extend([8; 32]);
    body.extend(cipher.to_be_bytes());
    body.push(0);
    if let Some(kinds) = extensions {
        body.extend((6 * kinds.len() as u16).to_be_bytes());
        body.extend(kinds.iter().flat_map(|kind| {
            let [high, low] = kind.to_be_bytes();
            [high, low, 0, 2, 9, 9]
        }));
    }
    [&[2, 0, 0, body.len() as u8], &body[..]].concat()
}

#[test]
fn published_ja3s_are_ours() {
    for (message, hash) in [
        (message(771, 52_393, Some(&[0, 65_281, 11, 16])), "7f76f3e952a1bc7d407366fafe1db7ed"),
        (message(771, 4_865, Some(&[51, 43])), "eb1d94daa7e0344597e756a1fb6e7054"),
        (message(771, 4_865, None), "e8c07683aecf9b16e8e33f10a5161e4e"),
        (message(771, 4_865, Some(&[])), "e8c07683aecf9b16e8e33f10a5161e4e"),
    ] {
        assert_eq!(ja3s(&message).as_deref(), Some(hash));
        // What stands behind the message is not of it; less than the message is nothing.
        assert_eq!(ja3s(&[&message[..], &[1]].concat()).as_deref(), Some(hash));
        assert!((0..message.len()).all(|length| ja3s(&message[..length]).is_none()));
    }
    // GREASE counts, in its place.
    let text = ja3s::text(&message(771, 4_865, Some(&[0x0a0a, 51])));
    assert_eq!(text.as_deref(), Some("771,4865,2570-51"));
    let mut other = message(771, 4_865, None);
    other[0] = 1;
    assert_eq!(ja3s(&other), None);
}
