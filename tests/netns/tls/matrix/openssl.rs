//! `openssl s_server`: one process a way of being set up.

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

/// The name that has a certificate of its own.
const NAMED: &str = "p-384.example";

/// A server, and the words of its command line.
type Configured = (Case, Vec<String>);

fn configured(case: Case, words: &str) -> Configured {
    let version = match case.newest() {
        Version::Tls13 => "-tls1_3",
        Version::Tls12 => "-tls1_2",
        Version::Tls11 => "-tls1_1",
        Version::Tls10 => "-tls1",
    };
    let words = [version].into_iter().chain(words.split_whitespace());
    let words = words.map(str::to_owned).collect();
    (case, words)
}

fn by_kind() -> impl Iterator<Item = Configured> {
    Kind::ALL.into_iter().flat_map(|kind| {
        [
            configured(Case::new(format!("1.3 {kind}"), kind, Version::Tls13), ""),
            configured(Case::new(format!("1.2 {kind}"), kind, Version::Tls12), ""),
        ]
    })
}

fn by_suite() -> impl Iterator<Item = Configured> {
    let suites = ["AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256"];
    let tls13 = suites.into_iter().map(|suite| {
        let case = Case::new(suite, Kind::P256, Version::Tls13).chooses(suite, "x25519");
        configured(case, &format!("-ciphersuites TLS_{suite}"))
    });
    let tls12 = [
        ("AES128-SHA", "RSA_WITH_AES_128_CBC_SHA", None),
        ("AES256-SHA256", "RSA_WITH_AES_256_CBC_SHA256", None),
        ("AES256-GCM-SHA384", "RSA_WITH_AES_256_GCM_SHA384", None),
        ("DHE-RSA-AES128-GCM-SHA256", "DHE_RSA_WITH_AES_128_GCM_SHA256", None),
        ("DHE-RSA-CHACHA20-POLY1305", "DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", None),
        ("ECDHE-RSA-AES256-SHA384", "ECDHE_RSA_WITH_AES_256_CBC_SHA384", Some("x25519")),
        ("ECDHE-RSA-CHACHA20-POLY1305", "ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", Some("x25519")),
    ];
    tls13.chain(tls12.into_iter().map(|(suite, name, group)| {
        let case = Case::new(suite, Kind::Rsa2048, Version::Tls12).chooses(name, group);
        configured(case, &format!("-cipher {suite}"))
    }))
}

fn by_group() -> impl Iterator<Item = Configured> {
    let groups = [
        ("X25519", "x25519"),
        ("P-256", "secp256r1"),
        ("P-384", "secp384r1"),
        ("P-521", "secp521r1"),
    ];
    groups.into_iter().flat_map(|(group, name)| {
        let words = format!("-groups {group}");
        let case = |version, cipher| {
            Case::new(format!("{} {group}", Version::as_str(version)), Kind::Rsa2048, version)
                .chooses(cipher, name)
        };
        [
            configured(case(Version::Tls13, "AES_128_GCM_SHA256"), &words),
            configured(case(Version::Tls12, "ECDHE_RSA_WITH_AES_128_GCM_SHA256"), &words),
        ]
    })
}

/// Versions that are off unless asked for.
fn old() -> impl Iterator<Item = Configured> {
    const ALL: &str = "-cipher ALL:@SECLEVEL=0";
    [Version::Tls10, Version::Tls11].into_iter().flat_map(|version| {
        let named = |what: &str| format!("{} {what}", version.as_str());
        let plain = Case::new(named("RSA"), Kind::Rsa4096, version)
            .chooses("RSA_WITH_AES_256_CBC_SHA", None);
        [
            configured(Case::new(named("ECDHE"), Kind::P256, version), ALL),
            configured(plain, "-cipher AES256-SHA:@SECLEVEL=0"),
        ]
    })
}

fn others(folder: &Folder) -> Vec<Configured> {
    let mut all = Vec::new();
    for version in [Version::Tls12, Version::Tls13] {
        let case =
            |what: &str| Case::new(format!("{} {what}", version.as_str()), Kind::P256, version);
        let asks = Case { asks_clients: true, ..case("client certificate required") };
        all.push(configured(asks, &format!("-Verify 1 -CAfile {}", folder.clients())));
        let staples = Case { staples: true, ..case("OCSP stapled") };
        let ocsp = folder.file("ocsp");
        all.push(configured(staples, &format!("-status_file {}", ocsp.display())));
        let speaks = Case { alpn: Some("h2"), ..case("ALPN h2") };
        all.push(configured(speaks, "-alpn h2,http/1.1"));
        let speaks = Case { alpn: Some("http/1.1"), ..case("ALPN http/1.1") };
        all.push(configured(speaks, "-alpn http/1.1"));
        let (cert, key) = (folder.of(Kind::P384, "leaf.pem"), folder.of(Kind::P384, "key"));
        let words = format!("-servername {NAMED} -cert2 {cert} -key2 {key}");
        all.push(configured(case("a name, not asked for"), &words));
        let named = Case { kind: Kind::P384, name: Some(NAMED), shown: 1, ..case("a name") };
        all.push(configured(named, &words));
    }
    let range = Case::new("all versions", Kind::Rsa2048, Version::Tls13)
        .and(Version::Tls12)
        .and(Version::Tls11)
        .and(Version::Tls10);
    all.push((range, vec!["-cipher".to_owned(), "ALL:@SECLEVEL=0".to_owned()]));
    let own = Case::new("suites in an order of its own", Kind::P256, Version::Tls13)
        .chooses("AES_256_GCM_SHA384", "x25519");
    all.push(configured(own, "-serverpref"));
    all
}

/// A process for each.
fn servers(folder: &Folder, configured: Vec<Configured>) -> (Vec<Case>, Vec<Server>) {
    let (mut cases, words): (Vec<_>, Vec<_>) = configured.into_iter().unzip();
    Case::number(&mut cases);
    let servers = cases.iter().zip(words).map(|(case, words)| {
        let mut command = Command::new("openssl");
        // That of a name is its second one.
        let kind = if case.name.is_some() { Kind::P256 } else { case.kind };
        command.args(["s_server", "-quiet", "-www", "-4", "-accept", &case.port.to_string()]);
        command.args(["-cert", &folder.of(kind, "leaf.pem"), "-key", &folder.of(kind, "key")]);
        command.args(["-cert_chain", &folder.of(kind, "issuers.pem")]).args(words);
        command.env("OPENSSL_CONF", "/dev/null");
        Server { command, ports: vec![case.port] }
    });
    let servers = servers.collect();
    (cases, servers)
}

#[test]
fn openssl() {
    if !gate::permits(&[Need::Netns, Need::Openssl]) {
        return;
    }
    let folder = Folder::make();
    let all = by_kind().chain(by_suite()).chain(by_group()).chain(old()).chain(others(&folder));
    let (cases, servers) = servers(&folder, all.collect());
    let lab = Lab::builder().start().unwrap();
    check(&lab, servers, &cases);
}
