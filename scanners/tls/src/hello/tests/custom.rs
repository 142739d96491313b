//! Files with a ClientHello, good and bad.

use std::sync::Arc;

use super::{
    super::{BadHello, CustomHello, Hello, KeyShares, Profile, Retry, group},
    SALT, jarms, ours,
    parsed::Parsed,
    written,
};

/// A hello with extensions that a second one may not have: padding, early data, cookie, PSK.
fn with_everything() -> Vec<u8> {
    let extensions: [(u16, &[u8]); 8] = [
        (0, b"\0\x0c\0\0\x09a.example"),
        (21, &[0; 40]),
        (42, &[]),
        (44, &[0, 1, 9]),
        (
            51,
            &[
                0, 36, 0, 29, 0, 32, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            ],
        ),
        (43, &[2, 3, 4]),
        (0x1234, b"what nobody knows"),
        (41, &[0; 50]),
    ];
    let mut body = vec![3, 3];
    body.extend([5; 32]);
    body.extend([3, 1, 2, 3, 0, 4, 0x13, 1, 0x13, 2, 1, 0]);
    let all: Vec<u8> = extensions
        .iter()
        .flat_map(|(kind, body)| {
            [&kind.to_be_bytes(), &(body.len() as u16).to_be_bytes(), *body].concat()
        })
        .collect();
    body.extend((all.len() as u16).to_be_bytes());
    body.extend(all);
    let length = (body.len() as u16).to_be_bytes();
    [&[1, 0], &length[..], &body].concat()
}

/// `message` in records of at most `most` octets.
fn records(message: &[u8], most: usize) -> Vec<u8> {
    message
        .chunks(most)
        .flat_map(|part| [&[22, 3, 1], &(part.len() as u16).to_be_bytes()[..], part].concat())
        .collect()
}

fn hex(octets: &[u8], separator: &str) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(separator)
}

#[test]
fn every_form_of_a_file_is_the_same_hello() {
    let message = with_everything();
    let one = records(&message, 1 << 14);
    let hello = CustomHello::read(&one).unwrap();
    assert_eq!(hello.records(), one);
    for file in [
        message.clone(),
        hex(&message, "").into_bytes(),
        hex(&one, " ").into_bytes(),
        hex(&one, ":\n").to_uppercase().into_bytes(),
        format!("\r\n\t {}\n", hex(&one, "")).into_bytes(),
    ] {
        assert_eq!(CustomHello::read(&file).as_ref(), Ok(&hello));
    }
    let many = records(&message, 7);
    assert_eq!(CustomHello::read(&many).unwrap().records(), many);
}

#[test]
fn it_is_sent_as_the_file_has_it() {
    let files =
        ours().into_iter().chain(jarms()).map(|hello| written(&hello, &SALT, Some("a.example")));
    for file in files.chain([records(&with_everything(), 100)]) {
        let custom = Profile::Custom(CustomHello::read(&file).unwrap());
        let hello = Hello::new(custom, Arc::new(KeyShares::identity()));
        assert_eq!(written(&hello, &SALT, Some("b.example")), file);
        assert_eq!(hello.server_name(Some("b.example")), None);
    }
}

#[test]
fn its_second_hello_has_our_share_and_nothing_that_is_used_up() {
    let file = records(&with_everything(), 100);
    let custom = Profile::Custom(CustomHello::read(&file).unwrap());
    let shares = Arc::new(KeyShares::fresh().unwrap());
    let hello = Hello::new(custom, Arc::clone(&shares));
    let mut out = Vec::new();
    let retry = Retry { group: Some(group::SECP256R1), cookie: vec![1, 2] };
    hello.write_retry(&mut out, &SALT, Some("b.example"), &retry).unwrap();
    let second = Parsed::of(&out);
    let share = shares.public(group::SECP256R1).unwrap().to_vec();
    assert_eq!(second.key_shares(), Some(vec![(group::SECP256R1, share)]));
    assert_eq!(second.kinds(), [0, 51, 44, 43, 0x1234]);
    assert_eq!(second.extension(44), Some(&[0, 2, 1, 2][..]));
    assert_eq!(second.server_name().as_deref(), Some("a.example"));
    assert_eq!((second.random, second.session_id), (vec![5; 32], vec![1, 2, 3]));
    assert_eq!(second.record_version, 0x0303);

    // A cookie alone leaves the shares of the file.
    hello.write_retry(&mut out, &SALT, None, &Retry { group: None, cookie: vec![3] }).unwrap();
    assert_eq!(Parsed::of(&out).key_shares().unwrap()[0].0, group::X25519);
}

#[test]
fn hellos_without_extensions_are_hellos() {
    let mut message = vec![1, 0, 0, 41, 3, 1];
    message.extend([5; 32]);
    message.extend([0, 0, 2, 0, 5, 1, 0]);
    for file in [message.clone(), {
        let mut empty = message.clone();
        empty.extend([0, 0]);
        empty[3] += 2;
        empty
    }] {
        let custom = CustomHello::read(&file).unwrap();
        assert_eq!(custom.records()[5..], file);
        let hello = Hello::new(Profile::Custom(custom), Arc::new(KeyShares::identity()));
        let mut out = Vec::new();
        let retry = Retry { group: Some(group::X25519), cookie: Vec::new() };
        hello.write_retry(&mut out, &SALT, None, &retry).unwrap();
        assert_eq!(Parsed::of(&out).kinds(), [51]);
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let message = with_everything();
    let one = records(&message, 1 << 14);
    let refused = |file: &[u8]| CustomHello::read(file).unwrap_err();
    let changed = |at: usize, octet: u8| {
        let mut file = message.clone();
        file[at] = octet;
        refused(&file)
    };
    let field = |field, at| BadHello::BadField { field, at };

    assert_eq!(refused(b""), BadHello::Empty);
    assert_eq!(refused(b" \n"), BadHello::Empty);
    assert_eq!(refused(b"16 03 xx"), BadHello::NotHex { at: 6 });
    assert_eq!(refused(b"16 03 1"), BadHello::HalfOctet);
    assert_eq!(refused(b"\x80\x2e\x01"), BadHello::NotHex { at: 0 });
    assert_eq!(refused(b"80 2e 01"), BadHello::NotHello(0x80));
    assert_eq!(refused(&one[..one.len() - 1]), BadHello::BadRecord { at: 0 });
    assert_eq!(refused(&[22, 3, 1, 0, 0]), BadHello::BadRecord { at: 0 });
    assert_eq!(refused(&[22, 3]), BadHello::BadRecord { at: 0 });
    let alert = [&one[..], &[21, 3, 3, 0, 2, 1, 0]].concat();
    assert_eq!(refused(&alert), BadHello::OtherRecord { at: one.len() });
    let twice = [&one[..], &one].concat();
    assert_eq!(refused(&twice), BadHello::Trailing(message.len()));
    assert_eq!(refused(&[&message[..], &[0]].concat()), BadHello::Trailing(1));
    assert_eq!(refused(&vec![1; (1 << 14) + 1]), BadHello::TooLong((1 << 14) + 1));
    let long = records(&vec![1; (1 << 14) + 1], 9_000);
    assert_eq!(refused(&long), BadHello::TooLong((1 << 14) + 1));

    let mut server = message.clone();
    server[0] = 2;
    assert_eq!(refused(&records(&server, 1 << 14)), field("type", 0));
    assert_eq!(refused(&message[..3]), field("length", 1));
    assert_eq!(refused(&message[..message.len() - 1]), field("length", 1));
    assert_eq!(refused(&[1, 0, 0, 1, 3]), field("version", 4));
    assert_eq!(refused(&[1, 0, 0, 3, 3, 3, 9]), field("random", 6));
    assert_eq!(changed(38, 33), field("session id", 38));
    assert_eq!(changed(43, 5), field("suites", 42)); // an odd number of octets
    assert_eq!(changed(43, 0), field("suites", 42));
    assert_eq!(changed(48, 0), field("compression methods", 48));
    assert_eq!(changed(51, 0), field("length of extensions", 50));
    assert_eq!(changed(message.len() - 51, 51), field("extension", message.len() - 54));
    assert_eq!(
        changed(38, 33).to_string(),
        "the ClientHello is not well-formed: session id at octet 38 of the message"
    );
}
