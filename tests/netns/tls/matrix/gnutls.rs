//! `gnutls-serv`: one process a way of being set up.

use std::process::Command;

use mrpf_lab::{
    Lab, Server,
    gate::{self, Need},
};

use super::{
    Folder,
    case::{Case, Version},
    check,
    identities::Kind,
};

/// A server, its priorities behind `NORMAL` and its version, and more words of its command line.
type Configured = (Case, String, Vec<String>);

fn by_kind() -> impl Iterator<Item = Configured> {
    Kind::ALL.into_iter().flat_map(|kind| {
        [Version::Tls13, Version::Tls12].map(|version| {
            let what = format!("{} {kind}", version.as_str());
            (Case::new(what, kind, version), String::new(), Vec::new())
        })
    })
}

fn by_suite() -> impl Iterator<Item = Configured> {
    let suites = [
        ("AES-128-GCM", "AES_128_GCM_SHA256"),
        ("AES-256-GCM", "AES_256_GCM_SHA384"),
        ("CHACHA20-POLY1305", "CHACHA20_POLY1305_SHA256"),
    ];
    suites.into_iter().map(|(cipher, suite)| {
        let case = Case::new(suite, Kind::P256, Version::Tls13).chooses(suite, "x25519");
        (case, format!(":-CIPHER-ALL:+{cipher}"), Vec::new())
    })
}

fn by_group() -> impl Iterator<Item = Configured> {
    let groups = [
        ("X25519", "x25519"),
        ("SECP256R1", "secp256r1"),
        ("SECP384R1", "secp384r1"),
        ("SECP521R1", "secp521r1"),
    ];
    groups.into_iter().map(|(group, name)| {
        let case =
            Case::new(name, Kind::Rsa2048, Version::Tls13).chooses("AES_128_GCM_SHA256", name);
        (case, format!(":-GROUP-ALL:+GROUP-{group}"), Vec::new())
    })
}

fn others(folder: &Folder) -> Vec<Configured> {
    let mut all = Vec::new();
    for version in [Version::Tls10, Version::Tls11] {
        let case = Case::new(version.as_str(), Kind::Rsa2048, version);
        all.push((case, String::new(), Vec::new()));
    }
    for version in [Version::Tls12, Version::Tls13] {
        let case =
            |what: &str| Case::new(format!("{} {what}", version.as_str()), Kind::P256, version);
        let mut add = |case, words: &[&str]| {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            all.push((case, String::new(), words));
        };
        let asks = Case { asks_clients: true, ..case("client certificate required") };
        add(asks, &["--require-client-cert", "--x509cafile", &folder.clients()]);
        add(Case { alpn: Some("h2"), ..case("ALPN h2") }, &["--alpn", "h2"]);
        let ocsp = folder.file("ocsp").display().to_string();
        let words = ["--ocsp-response", &ocsp, "--ignore-ocsp-response-errors"];
        add(Case { staples: true, ..case("OCSP stapled") }, &words);
    }
    let plain = Case::new("RSA key exchange", Kind::Rsa4096, Version::Tls12)
        .chooses("RSA_WITH_AES_128_GCM_SHA256", None);
    all.push((plain, ":-KX-ALL:+RSA".to_owned(), Vec::new()));
    all
}

/// With TLS 1.3 alone, it takes the hello of TLS 1.2 for its own and then finds nothing in it to agree on.
fn refusal(newest: Version) -> &'static str {
    match newest {
        Version::Tls12 => "handshake_failure",
        _ => "protocol_version",
    }
}

#[test]
fn gnutls() {
    if !gate::permits(&[Need::Netns, Need::Openssl, Need::Gnutls]) {
        return;
    }
    let folder = Folder::make();
    let all = by_kind().chain(by_suite()).chain(by_group()).chain(others(&folder));
    let mut cases = Vec::new();
    let mut words = Vec::new();
    for (case, priority, more) in all {
        cases.push(case);
        words.push((priority, more));
    }
    Case::number(&mut cases);
    for case in &mut cases {
        case.refusal = refusal;
    }
    let servers = cases.iter().zip(words).map(|(case, (priority, words))| {
        let version = case.newest().as_str().replace("TLSv", "TLS");
        let priority = format!("NORMAL:-VERS-ALL:+VERS-{version}{priority}");
        let mut command = Command::new("gnutls-serv");
        command.args(["--quiet", "--http", "--port", &case.port.to_string()]);
        command.args(["--x509certfile", &folder.of(case.kind, "chain.pem")]);
        command.args(["--x509keyfile", &folder.of(case.kind, "key"), "--priority", &priority]);
        if !case.asks_clients {
            command.arg("--disable-client-cert");
        }
        command.args(words);
        Server { command, ports: vec![case.port] }
    });
    let servers = servers.collect();
    let lab = Lab::builder().start().unwrap();
    check(&lab, servers, &cases);
}
