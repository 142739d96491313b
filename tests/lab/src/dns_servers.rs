//! Name servers and a resolver that nobody here wrote, for [`Servers`](crate::Servers): each reads a configuration that is
//! written here, into a folder of the test.
//!
//! ```text
//! knotd    zones of the test, at every address of the world or at some
//! nsd      the same, at addresses that are named: it answers from the one asked only then
//! unbound  asks those for the zones, keeps what it learns, and knows of no root
//! ```
//!
//! They keep to the folder: no daemon, no log but for errors, no user of their own, no control socket where one can be done
//! without.

use std::{
    fmt::Write,
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{LabError, Server, child, error::asking};

/// A zone, as a file has it (RFC 1035 5.1).
#[derive(Clone, Copy, Debug)]
pub struct ZoneFile<'a> {
    /// The name of its top, without the final dot.
    pub name: &'a str,
    /// All of it, SOA first.
    pub text: &'a str,
}

impl ZoneFile<'_> {
    /// Writes it; gives back the path. Configurations are lines with quotes, which the path of a temporary folder has none of.
    fn write(&self, folder: &Path) -> Result<PathBuf, LabError> {
        let path = folder.join(format!("{}.zone", self.name));
        write(&path, self.text)?;
        Ok(path)
    }
}

/// Knot: serves `zones` on `port` of `addrs`, or of every address of the world when there are none.
///
/// # Errors
///
/// [`LabError::Missing`] when it is not installed, [`LabError::System`] for files that cannot be written.
pub fn knotd(
    folder: &Path,
    addrs: &[IpAddr],
    port: u16,
    zones: &[ZoneFile<'_>],
) -> Result<Server, LabError> {
    let here = folder.display();
    let mut listen = String::new();
    for addr in addrs_with_loopback(addrs, ["0.0.0.0"]) {
        push(&mut listen, format_args!("    listen: {addr}@{port}\n"));
    }
    let mut text = format!(
        "server:
    rundir: \"{here}\"
{listen}
log:
  - target: stderr
    any: error

control:
    listen: \"knot.sock\"

database:
    storage: \"{here}\"

template:
  - id: default
    zonefile-load: whole
    journal-content: none

zone:
"
    );
    for zone in zones {
        let file = zone.write(folder)?;
        push(
            &mut text,
            format_args!("  - domain: \"{}\"\n    file: \"{}\"\n", zone.name, file.display()),
        );
    }
    let configuration = folder.join("knot.conf");
    write(&configuration, &text)?;
    let mut command = Command::new(child::find("knotd", "knot")?);
    command.arg("--config").arg(configuration);
    Ok(Server { command, ports: vec![port] })
}

/// NSD: serves `zones` on `port` of `addrs`.
///
/// # Errors
///
/// As [`knotd`].
pub fn nsd(
    folder: &Path,
    addrs: &[IpAddr],
    port: u16,
    zones: &[ZoneFile<'_>],
) -> Result<Server, LabError> {
    let here = folder.display();
    let mut listen = String::new();
    for addr in addrs_with_loopback(addrs, []) {
        push(&mut listen, format_args!("    ip-address: {addr}\n"));
    }
    let mut text = format!(
        "server:
    server-count: 1
    port: {port}
{listen}    username: \"\"
    chroot: \"\"
    zonesdir: \"{here}\"
    database: \"\"
    logfile: \"{here}/nsd.log\"
    pidfile: \"\"
    xfrdfile: \"\"
    zonelistfile: \"{here}/nsd.zones\"
    xfrdir: \"{here}\"
    rrl-ratelimit: 0

remote-control:
    control-enable: no
"
    );
    for zone in zones {
        let file = zone.write(folder)?;
        push(
            &mut text,
            format_args!(
                "\nzone:\n    name: \"{}\"\n    zonefile: \"{}\"\n",
                zone.name,
                file.display()
            ),
        );
    }
    let configuration = folder.join("nsd.conf");
    write(&configuration, &text)?;
    let mut command = Command::new(child::find("nsd", "nsd")?);
    command.arg("-d").arg("-c").arg(configuration);
    Ok(Server { command, ports: vec![port] })
}

/// Unbound: resolves names of `zones`, each a name and the server that has it, on `port` of every address of the world. It
/// validates nothing and refuses other names, as it asks nobody else.
///
/// # Errors
///
/// As [`knotd`].
pub fn unbound(folder: &Path, port: u16, zones: &[(&str, SocketAddr)]) -> Result<Server, LabError> {
    let here = folder.display();
    let mut text = format!(
        "server:
    directory: \"{here}\"
    chroot: \"\"
    username: \"\"
    pidfile: \"\"
    use-syslog: no
    verbosity: 0
    do-daemonize: no
    interface: 0.0.0.0
    interface-automatic: yes
    port: {port}
    access-control: 0.0.0.0/0 allow
    do-ip6: no
    do-not-query-localhost: no
    module-config: \"iterator\"
    local-zone: \".\" refuse
"
    );
    for (name, _) in zones {
        push(&mut text, format_args!("    local-zone: \"{name}.\" transparent\n"));
    }
    text.push_str("\nremote-control:\n    control-enable: no\n");
    for (name, server) in zones {
        let (addr, port) = (server.ip(), server.port());
        push(
            &mut text,
            format_args!("\nstub-zone:\n    name: \"{name}\"\n    stub-addr: {addr}@{port}\n"),
        );
    }
    let configuration = folder.join("unbound.conf");
    write(&configuration, &text)?;
    let mut command = Command::new(child::find("unbound", "unbound")?);
    command.arg("-d").arg("-c").arg(configuration);
    Ok(Server { command, ports: vec![port] })
}

/// `addrs` and the address that a server is waited for at; `all` when there are none.
fn addrs_with_loopback<const N: usize>(addrs: &[IpAddr], all: [&str; N]) -> Vec<String> {
    if addrs.is_empty() && N > 0 {
        return all.map(str::to_owned).to_vec();
    }
    let named = addrs.iter().map(IpAddr::to_string);
    named.chain(["127.0.0.1".to_owned()]).collect()
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).expect("a String takes all that is written to it");
}

fn write(path: &Path, text: &str) -> Result<(), LabError> {
    fs::write(path, text).map_err(asking(format!("writing {}", path.display())))
}
