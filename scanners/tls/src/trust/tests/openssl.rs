//! What the machine's OpenSSL says.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tempfile::TempDir;

/// OpenSSL did not take the certificate for one.
pub(super) const UNREADABLE: u32 = 0;

/// Whether there is an OpenSSL 3; says that the test is skipped when not.
pub(super) fn is_there() -> bool {
    let version = Command::new("openssl").arg("version").output();
    let is_there = version.is_ok_and(|output| output.stdout.starts_with(b"OpenSSL 3"));
    if !is_there {
        // Not by a macro: the test harness would keep the line to itself.
        let _ =
            std::io::stderr().write_all(b"\nSKIPPED: the table of certificates: needs OpenSSL 3\n");
    }
    is_there
}

/// A directory that goes with its owner.
pub(super) struct Scratch(TempDir);

impl Scratch {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn pem(&self, name: &str, certificates: &[&[u8]]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, certificates.iter().map(|der| pem(der)).collect::<String>()).unwrap();
        path
    }
}

fn pem(der: &[u8]) -> String {
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in BASE64_STANDARD.encode(der).as_bytes().chunks(64) {
        text.push_str(str::from_utf8(line).unwrap());
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}

/// The numbers of all that it has against a chain, at any depth; empty when it takes it.
pub(super) fn verify(
    leaf: &Path,
    rest: &Path,
    roots: &Path,
    asked: Option<&str>,
    at: i64,
) -> BTreeSet<u32> {
    let mut command = Command::new("openssl");
    command.args(["verify", "-no-CApath", "-no-CAstore", "-purpose", "sslserver", "-attime"]);
    command.arg(at.to_string()).arg("-CAfile").arg(roots);
    if fs::metadata(rest).unwrap().len() > 0 {
        command.arg("-untrusted").arg(rest);
    }
    if let Some(name) = asked {
        let is_address = name.parse::<std::net::IpAddr>().is_ok();
        command.arg(if is_address { "-verify_ip" } else { "-verify_hostname" }).arg(name);
    }
    let output = command.arg(leaf).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let errors: BTreeSet<u32> = said
        .lines()
        .filter_map(|line| line.strip_prefix("error ")?.split(' ').next()?.parse().ok())
        .collect();
    match (output.status.success(), errors.is_empty()) {
        (true, true) => errors,
        // It continues after some errors and is then content; it says them all the same.
        (_, false) => errors,
        (false, true) => {
            assert!(
                said.to_lowercase().contains("unable to load") || said.contains("Could not read"),
                "{said}"
            );
            [UNREADABLE].into()
        }
    }
}

/// Subject, issuer, serial number, first and last second, as it reads them.
pub(super) fn describe(der: &[u8]) -> Option<[String; 5]> {
    let mut child = Command::new("openssl")
        .args([
            "x509",
            "-inform",
            "DER",
            "-noout",
            "-subject",
            "-issuer",
            "-serial",
            "-startdate",
            "-enddate",
        ])
        .args(["-nameopt", "RFC2253,utf8,-esc_msb", "-dateopt", "iso_8601"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Smaller than a pipe; and it may have gone before it read all.
    let _ = child.stdin.take().unwrap().write_all(der);
    let mut said = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut said).unwrap();
    if !child.wait().unwrap().success() {
        return None;
    }
    let said = String::from_utf8_lossy(&said).into_owned();
    let value = |name: &str| {
        said.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned).unwrap_or_default()
    };
    // A date that it cannot read is left out of our records.
    let date = |name| value(name).replace("Bad time value", "").replace(' ', "T");
    Some([
        value("subject="),
        value("issuer="),
        value("serial=").to_lowercase(),
        date("notBefore="),
        date("notAfter="),
    ])
}
