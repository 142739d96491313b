//! nginx: one process, a server block for each way of being set up.

use std::{fmt::Write as _, process::Command};

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

const NAMED: &str = "p-256.example";

/// A server, how it listens besides `ssl`, and the lines of its block.
type Configured = (Case, &'static str, String);

/// TLS 1.3 and 1.2, as nginx is by itself.
fn both(what: &str, kind: Kind) -> Case {
    let case = Case::new(what, kind, Version::Tls13).and(Version::Tls12);
    Case { alpn: Some("http/1.1"), ..case }
}

fn all(folder: &Folder) -> Vec<Configured> {
    let mut all: Vec<Configured> = Kind::ALL
        .into_iter()
        .map(|kind| (both(&kind.to_string(), kind), "", String::new()))
        .collect();
    let own = |what: &str| both(what, Kind::P256);
    all.push((Case { alpn: Some("h2"), ..own("HTTP/2") }, " http2", String::new()));
    let asks = Case { asks_clients: true, ..own("client certificate required") };
    let clients = folder.clients();
    all.push((asks, "", format!("ssl_verify_client on; ssl_client_certificate {clients};")));
    let staples = Case { staples: true, ..own("OCSP stapled") };
    let ocsp = folder.file("ocsp");
    let words = format!("ssl_stapling on; ssl_stapling_file {};", ocsp.display());
    all.push((staples, "", words));
    for (curve, group) in
        [("prime256v1", "secp256r1"), ("secp384r1", "secp384r1"), ("secp521r1", "secp521r1")]
    {
        let mut case = own(group);
        case.answers.iter_mut().for_each(|answer| answer.group = Some(group));
        all.push((case, "", format!("ssl_ecdh_curve {curve};")));
    }
    let old = Case::new("TLS 1.1 and 1.0", Kind::Rsa2048, Version::Tls11).and(Version::Tls10);
    let old = Case { alpn: Some("http/1.1"), ..old };
    all.push((old, "", "ssl_protocols TLSv1 TLSv1.1; ssl_ciphers ALL:@SECLEVEL=0;".to_owned()));
    let two = own("certificates of two kinds");
    let rsa = format!(
        "ssl_certificate {}; ssl_certificate_key {};",
        folder.of(Kind::Rsa2048, "chain.pem"),
        folder.of(Kind::Rsa2048, "key")
    );
    all.push((two, "", rsa));
    // OpenSSL chooses the version before it asks nginx about the name.
    let refusal = |newest| match newest {
        Version::Tls12 | Version::Tls13 => "unrecognized_name",
        Version::Tls10 | Version::Tls11 => "protocol_version",
    };
    let rejects = Case { answers: Vec::new(), refusal, ..own("no name") };
    all.push((rejects, "", "ssl_reject_handshake on;".to_owned()));
    let named = Case { name: Some(NAMED), ..own("a name") };
    all.push((named, "", format!("server_name {NAMED};")));
    all
}

/// A block for each; that of a name is beside one that rejects all others.
fn configuration(folder: &Folder, all: &[Configured]) -> String {
    let path = folder.path().display();
    let mut text = format!(
        "daemon off; master_process off; user root root; pid {path}/pid; error_log /dev/null crit;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {path}/body; proxy_temp_path {path}/proxy; fastcgi_temp_path {path}/fastcgi;
    uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;
    ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache off; ssl_session_tickets off;
"
    );
    for (case, listens, lines) in all {
        let port = case.port;
        let (chain, key) = (folder.of(case.kind, "chain.pem"), folder.of(case.kind, "key"));
        let identity = format!("ssl_certificate {chain}; ssl_certificate_key {key};");
        if case.name.is_some() {
            let _ = writeln!(
                text,
                "server {{ listen {port} ssl default_server; ssl_reject_handshake on; }}"
            );
        }
        let _ = writeln!(
            text,
            "server {{ listen {port} ssl{listens}; {identity} {lines} return 200; }}"
        );
    }
    text + "}\n"
}

#[test]
fn nginx() {
    if !gate::permits(&[Need::Netns, Need::Openssl, Need::Nginx]) {
        return;
    }
    let folder = Folder::make();
    let mut all = all(&folder);
    let mut cases: Vec<Case> = all.iter().map(|(case, ..)| case.clone()).collect();
    Case::number(&mut cases);
    for ((case, ..), numbered) in all.iter_mut().zip(&cases) {
        case.port = numbered.port;
    }
    folder.write("nginx.conf", &configuration(&folder, &all));
    let mut command = Command::new("nginx");
    command.arg("-p").arg(folder.path()).arg("-c").arg(folder.file("nginx.conf"));
    command.args(["-e", "stderr"]).env("OPENSSL_CONF", "/dev/null");
    let ports = cases.iter().map(|case| case.port).collect();
    let lab = Lab::builder().start().unwrap();
    check(&lab, vec![Server { command, ports }], &cases);
}
