//! What `openssl s_client` is shown.

use std::process::{Command, Stdio};

use super::case::{Case, Version};

/// What a client that nobody here wrote was shown.
#[derive(Debug)]
pub(super) struct Shown {
    /// The certificates in base64, as they came.
    pub(super) certificates: Vec<String>,
    /// All that it said, for who wants to know why there are none.
    pub(super) said: String,
}

impl Shown {
    /// Asks the server of `case`, in the network namespace of the calling thread.
    pub(super) fn ask(case: &Case) -> Self {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "20", "openssl", "s_client", "-showcerts", "-connect"]);
        command.arg(format!("127.0.0.1:{}", case.port));
        match case.name {
            Some(name) => command.args(["-servername", name]),
            None => command.arg("-noservername"),
        };
        command.args(["-cipher", "ALL:@SECLEVEL=0"]);
        command.arg(match case.newest() {
            Version::Tls13 => "-tls1_3",
            Version::Tls12 => "-tls1_2",
            Version::Tls11 => "-tls1_1",
            Version::Tls10 => "-tls1",
        });
        // What the machine is set up to forbid is asked all the same.
        command.env("OPENSSL_CONF", "/dev/null").stdin(Stdio::null());
        let output = command.output().expect("coreutils has timeout");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let certificates = certificates(&said);
        let said = said + &String::from_utf8_lossy(&output.stderr);
        Self { certificates, said }
    }
}

/// What stands between the lines of PEM; the leaf once, which is repeated at the end.
fn certificates(said: &str) -> Vec<String> {
    let chain = said.split("Server certificate").next().unwrap_or_default();
    let mut parts = chain.split("-----BEGIN CERTIFICATE-----\n");
    parts.next();
    parts
        .map(|part| {
            let base64 = part.split("-----END CERTIFICATE-----").next().unwrap_or_default();
            base64.split_whitespace().collect()
        })
        .collect()
}
