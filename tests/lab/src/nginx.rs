//! nginx as a peer: a server that nobody here wrote.
//!
//! One process, which the kernel kills when the world's thread ends. Its configuration and all that it writes lie in a
//! tmpfs of a mount namespace of its own, which ends with it.

use std::process::Stdio;

use crate::{
    LabError,
    child::{self, Guard},
    error::asking,
    listener::{BACKLOG, Family},
};

/// Each connection is a whole handshake: no tickets, no cache.
const IDENTITY: &str = "        ssl_certificate /run/chain.pem;
        ssl_certificate_key /run/key.pem;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache off;
        ssl_session_tickets off;
";

/// Where its tmpfs is mounted, in the mount namespace that only it sees.
const SCRIPT: &str = r#"mount -t tmpfs mrpf-lab /run && cd /run && printf %s "$1" >nginx.conf && printf %s "$2" >chain.pem &&
printf %s "$3" >key.pem && ulimit -n "$(ulimit -H -n)" && exec "$0" -p /run -c /run/nginx.conf -e stderr"#;

/// What nginx serves by TLS.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) port: u16,
    /// The certificates, leaf first, and the key of the leaf: PEM.
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// Starts nginx on `ports` of all addresses in the calling thread's namespace, and on that of `tls`; it ends with that thread or
/// with the guard.
pub(crate) fn start(
    ports: &[u16],
    tls: Option<&Tls>,
    families: &[Family],
) -> Result<Guard, LabError> {
    let nginx = child::find("nginx", "nginx-light")?;
    let unshare = child::find("unshare", "util-linux")?;
    let child = child::bound_command(unshare)?
        .args(["--mount", "--", "sh", "-c", SCRIPT])
        .arg(nginx)
        .arg(configuration(ports, tls, families))
        .args(tls.map_or(["", ""], |tls| [&tls.chain, &tls.key]))
        .env_clear()
        .env("PATH", child::PATH)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(asking("starting nginx"))?;
    let mut guard = Guard::new(child);
    for port in ports.iter().chain(tls.map(|tls| &tls.port)) {
        guard.listens("nginx", *port)?;
    }
    Ok(guard)
}

fn configuration(ports: &[u16], tls: Option<&Tls>, families: &[Family]) -> String {
    let listen_by = |port: &u16, family: &Family, kind: &str| match family {
        Family::V4 => format!("        listen {port}{kind} backlog={BACKLOG};\n"),
        Family::V6 => format!("        listen [::]:{port}{kind} ipv6only=on backlog={BACKLOG};\n"),
    };
    let plain = ports.iter().map(|port| (port, ""));
    let listen: String = plain
        .chain(tls.map(|tls| (&tls.port, " ssl")))
        .flat_map(|(port, kind)| families.iter().map(move |family| listen_by(port, family, kind)))
        .collect();
    let identity = tls.map_or("", |_| IDENTITY);
    // As one process it never changes its user, so the signal that binds it to the world's thread stays (prctl(2)).
    // Root of a user namespace knows no other user that it could give its folders to.
    format!(
        "daemon off;
master_process off;
user root root;
pid /run/nginx.pid;
error_log /dev/null crit;
events {{
    worker_connections 8192;
    multi_accept on;
}}
http {{
    access_log off;
    client_body_temp_path /run/body;
    proxy_temp_path /run/proxy;
    fastcgi_temp_path /run/fastcgi;
    uwsgi_temp_path /run/uwsgi;
    scgi_temp_path /run/scgi;
    keepalive_timeout 5;
    server {{
{listen}{identity}        location / {{
            default_type text/plain;
            return 200 \"lab\\n\";
        }}
    }}
}}
"
    )
}
