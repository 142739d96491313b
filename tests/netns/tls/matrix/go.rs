//! crypto/tls of Go: one process, `server.go`, which is built here without a module or a network.

use std::{fmt::Write as _, path::PathBuf, process::Command};

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

/// Two timestamps of certificates, by `server.go`.
const SCTS: u32 = 2;

/// A server, and the groups it has: numbers of RFC 8446, section 4.2.7.
type Configured = (Case, &'static [u16]);

fn all() -> Vec<Configured> {
    let mut all: Vec<Configured> = Vec::new();
    for kind in Kind::ALL {
        for version in [Version::Tls13, Version::Tls12] {
            let what = format!("{} {kind}", version.as_str());
            all.push((Case::new(what, kind, version), &[]));
        }
    }
    for version in [Version::Tls11, Version::Tls10] {
        for kind in [Kind::Rsa2048, Kind::P256] {
            let what = format!("{} {kind}", version.as_str());
            all.push((Case::new(what, kind, version), &[]));
        }
    }
    let groups: [(&[u16], _); 4] =
        [(&[29], "x25519"), (&[23], "secp256r1"), (&[24], "secp384r1"), (&[25], "secp521r1")];
    for (numbers, name) in groups {
        let case =
            Case::new(name, Kind::Rsa2048, Version::Tls13).chooses("AES_128_GCM_SHA256", name);
        all.push((case, numbers));
    }
    for version in [Version::Tls12, Version::Tls13] {
        let case =
            |what: &str| Case::new(format!("{} {what}", version.as_str()), Kind::P256, version);
        all.push((Case { asks_clients: true, ..case("client certificate required") }, &[]));
        all.push((Case { alpn: Some("h2"), ..case("ALPN h2") }, &[]));
        all.push((Case { staples: true, ..case("OCSP stapled") }, &[]));
        all.push((Case { scts: Some(SCTS), ..case("timestamps") }, &[]));
    }
    let range = Case::new("all versions", Kind::P384, Version::Tls13);
    all.push((range.and(Version::Tls12).and(Version::Tls11).and(Version::Tls10), &[]));
    all
}

/// What `server.go` reads: a line a server.
fn configuration(folder: &Folder, all: &[Configured]) -> String {
    let mut text = String::new();
    for (case, groups) in all {
        let number = |version: Version| 0x0301 + version as u16;
        let oldest = case.answers.iter().map(|answer| answer.version).min().unwrap();
        let groups: Vec<String> = groups.iter().map(u16::to_string).collect();
        let or_none = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{} {} {} {} {} {} {} {} {} {}",
            case.port,
            folder.of(case.kind, "chain.pem"),
            folder.of(case.kind, "key"),
            number(oldest),
            number(case.newest()),
            or_none(&groups.join(",")),
            or_none(case.alpn.unwrap_or_default()),
            if case.asks_clients { folder.clients() } else { "-".to_owned() },
            if case.staples { folder.file("ocsp").display().to_string() } else { "-".to_owned() },
            case.scts.unwrap_or(0),
        );
    }
    text
}

fn build(folder: &Folder) -> PathBuf {
    folder.write("server.go", include_str!("server.go"));
    let program = folder.file("server");
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(&program).arg(folder.file("server.go")).current_dir(folder.path());
    for (name, value) in
        [("CGO_ENABLED", "0"), ("GOPROXY", "off"), ("GOTOOLCHAIN", "local"), ("GOFLAGS", "")]
    {
        go.env(name, value);
    }
    // What was compiled before saves most of the time, where there is a place for it.
    if std::env::var_os("HOME").is_none() {
        go.env("GOCACHE", folder.file("cache"));
    }
    let built = go.output().expect("a go");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    program
}

#[test]
fn go() {
    if !gate::permits(&[Need::Netns, Need::Openssl, Need::Go]) {
        return;
    }
    let folder = Folder::make();
    let (mut cases, groups): (Vec<_>, Vec<_>) = all().into_iter().unzip();
    Case::number(&mut cases);
    let all: Vec<Configured> = cases.iter().cloned().zip(groups).collect();
    folder.write("servers", &configuration(&folder, &all));
    let mut command = Command::new(build(&folder));
    command.arg(folder.file("servers"));
    let ports = cases.iter().map(|case| case.port).collect();
    let lab = Lab::builder().start().unwrap();
    check(&lab, vec![Server { command, ports }], &cases);
}
