//! JARM over real links, of servers that nobody here wrote: what a scan finds is what their answers to kernel sockets give.
//!
//! The answers are read and hashed here by other means than the library's: a parser of well-formed ServerHellos, and the
//! numbers of the ciphers from the hellos themselves. So no server's version is written down anywhere.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use mrpf_lab::{
    Lab,
    gate::{self, Need},
    tls_responder::Leaves,
};
use mrpf_records::{Record, TlsOutcome, TlsRecord};
use mrpf_tls::{
    Scan,
    fingerprint::jarm::JarmProbe,
    hello::{Hello, KeyShares, Profile, Salt},
};

use crate::world::{kernel_tcp, output, stderr};

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 19, 0, 1));
const NGINX: u16 = 443;

/// Servers by port: program, what it is asked to be, and the flag before each thing that all are told.
const SERVERS: [(u16, &str, &str); 8] = [
    (5_001, "openssl", ""),
    (5_002, "openssl", "-tls1_2 -alpn h2,http/1.1"),
    (5_003, "openssl", "-tls1_3 -groups P-384"),
    (5_004, "openssl", "-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305"),
    (5_005, "openssl", "-cipher ALL@SECLEVEL=0 -serverpref -Verify 1"),
    (5_006, "gnutls-serv", "NORMAL"),
    (5_007, "gnutls-serv", "NORMAL:-VERS-ALL:+VERS-TLS1.2"),
    (5_008, "gnutls-serv", "LEGACY:-VERS-ALL:+VERS-TLS1.1:+VERS-TLS1.0"),
];

/// A server that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server in the namespace of the calling thread; `None` where its program is missing.
fn start(port: u16, program: &str, more: &str, pki: &Path) -> Option<Server> {
    let (chain, key) = (pki.join("chain.pem"), pki.join("key.pem"));
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    match program {
        "openssl" => {
            command.args(["s_server", "-www", "-accept"]).arg(port.to_string());
            command.arg("-cert").arg(chain).arg("-key").arg(key);
            command.args(more.split_whitespace());
        }
        _ => {
            command.args(["--http", "--port"]).arg(port.to_string());
            command.arg("--x509certfile").arg(chain).arg("--x509keyfile").arg(key);
            command.args(["--priority", more]);
        }
    }
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = Server(quiet.spawn().expect("util-linux has setpriv"));
    let begin = Instant::now();
    // By lo, so that the link carries nothing else than the test.
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if server.0.try_wait().unwrap().is_some() {
            return None;
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "{program} {more} does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    Some(server)
}

/// What `to` says to `hello`, as one read gives it; empty for an end without a word.
fn ask(to: SocketAddr, hello: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(hello).unwrap();
    let mut answer = vec![0; 1_484];
    let read = stream.read(&mut answer).unwrap_or(0);
    answer.truncate(read);
    answer
}

/// Cipher, minor version, protocol and kinds of extensions of a well-formed ServerHello.
type Told = (u16, u8, String, Vec<String>);

fn told(answer: &[u8]) -> Option<Told> {
    let number = |octets: &[u8]| usize::from(octets[0]) << 8 | usize::from(octets[1]);
    if answer.first() != Some(&22) || answer[5] != 2 {
        return None;
    }
    let message = &answer[9..9 + number(&answer[7..])];
    let after_id = &message[35 + usize::from(message[34])..];
    let (mut alpn, mut kinds) = (String::new(), Vec::new());
    if let Some(list) = after_id.get(3..5) {
        let mut rest = &after_id[5..5 + number(list)];
        while !rest.is_empty() {
            let (kind, length) = (number(rest), number(&rest[2..]));
            if kind == 16 {
                alpn = String::from_utf8(rest[7..4 + length].to_vec()).unwrap();
            }
            kinds.push(format!("{kind:04x}"));
            rest = &rest[4 + length..];
        }
    }
    Some((number(after_id) as u16, message[1], alpn, kinds))
}

fn sha256(octets: &[u8]) -> String {
    let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let hash = suite.tls13().unwrap().common.hash_provider.hash(octets);
    hash.as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}

/// All suites that are ever offered, in the order of their numbers: those of TLS 1.3 come last.
fn numbered(hello: &[u8]) -> Vec<u16> {
    let suites = &hello[44 + usize::from(hello[43])..];
    let length = usize::from(u16::from_be_bytes([suites[0], suites[1]]));
    let mut suites: Vec<u16> = suites[2..2 + length]
        .chunks_exact(2)
        .map(|suite| u16::from_be_bytes([suite[0], suite[1]]))
        .collect();
    suites.sort_by_key(|suite| (suite >> 8 == 0x13, *suite));
    suites
}

/// The JARM of `to`, by ten kernel sockets.
fn expected(to: SocketAddr) -> String {
    let shares = Arc::new(KeyShares::identity());
    let salt = Salt { random: [3; 32], session_id: [4; 32] };
    let name = to.ip().to_string();
    let hellos = JarmProbe::ALL.map(|probe| {
        let mut hello = Vec::new();
        Hello::new(Profile::Jarm(probe), Arc::clone(&shares)).write(&mut hello, &salt, Some(&name));
        hello
    });
    let numbers = numbered(&hellos[0]);
    let (mut hash, mut rest) = (String::new(), String::new());
    for hello in &hellos {
        match told(&ask(to, hello)) {
            None => hash += "000",
            Some((cipher, minor, alpn, kinds)) => {
                let place = numbers.iter().position(|number| *number == cipher).unwrap();
                hash += &format!("{:02x}{}", place + 1, char::from(b'a' + minor));
                rest += &format!("{alpn}{}", kinds.join("-"));
            }
        }
    }
    hash + &sha256(rest.as_bytes())[..32]
}

#[test]
fn fingerprints_are_those_of_the_published_algorithm() {
    if !gate::permits(&[Need::Netns, Need::Nginx]) {
        return;
    }
    let leaves = Leaves::make().unwrap();
    let pki = tempfile::tempdir().unwrap();
    std::fs::write(pki.path().join("chain.pem"), leaves.chain_pem(0)).unwrap();
    std::fs::write(pki.path().join("key.pem"), leaves.key_pem()).unwrap();
    let lab = Lab::builder()
        .nginx_tls(NGINX, leaves.chain_pem(0), leaves.key_pem().to_owned())
        .start()
        .unwrap();
    // They are told to end with the thread that started them, so that it has to stay.
    let (ready, started) = std::sync::mpsc::channel();
    let (finish, finished) = std::sync::mpsc::channel::<()>();
    let (world, folder) = (lab.world().try_clone().unwrap(), pki.path());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let _inside = world.enter().unwrap();
            let servers: Vec<_> = SERVERS
                .iter()
                .filter_map(|(port, program, more)| {
                    Some((*port, start(*port, program, more, folder)?))
                })
                .collect();
            ready.send(servers.iter().map(|(port, _)| *port).collect::<Vec<_>>()).unwrap();
            let _ = finished.recv();
        });
        // Whatever happens, the servers end.
        let _finish = finish;
        let mut ports = started.recv().unwrap();
        for (port, program, more) in SERVERS {
            if !ports.contains(&port) {
                let _ = writeln!(
                    std::io::stderr(),
                    "\nSKIPPED: JARM of {program} {more}: it is not here, or has no such flags"
                );
            }
        }
        ports.push(NGINX);
        compare(&ports);
    });
}

fn compare(ports: &[u16]) {
    let expected: BTreeMap<u16, String> =
        ports.iter().map(|port| (*port, expected(SocketAddr::new(HOST, *port)))).collect();
    let different: std::collections::BTreeSet<_> = expected.values().collect();
    assert!(different.len() + 1 >= ports.len(), "servers are different: {expected:?}");
    // Two threads, on ports that the ten passes share.
    let mut targets = crate::world::builder()
        .allow_reserved(true)
        .rate("2k".parse().unwrap())
        .threads(2)
        .source_ports(20_000, 20_063);
    for port in ports {
        targets = targets.target(format!("{HOST}:{port}"));
    }
    let resets = kernel_tcp("OutRsts");
    let mut scan = Scan::builder(targets).jarm(true).build().unwrap();
    let mut found = BTreeMap::new();
    for record in &mut scan {
        let Record::Tls(row) = record else { panic!("{record:?}") };
        assert!(matches!(row.outcome, TlsOutcome::Ok | TlsOutcome::Alert), "{row:?}");
        assert!(found.insert(row.port, row.jarm.unwrap()).is_none(), "a second record");
    }
    assert_eq!(found, expected);
    let summary = scan.finish().unwrap();
    assert!(summary.base.is_complete(), "{summary:?}");
    assert_eq!(kernel_tcp("OutRsts"), resets, "resets of the kernel");
    let counts = summary.base.counts;
    assert_eq!(counts.sent, counts.probes + counts.segments_sent + counts.arp_requests);
    assert_eq!(
        counts.received,
        counts.valid + counts.segments + counts.invalid() + counts.arp_received
    );
    let (_, growth) = summary.base.interface.as_ref().unwrap();
    assert_eq!(growth.tx_packets, counts.sent, "what we count left, left");
    the_command_says_the_same(&expected);
}

fn the_command_says_the_same(expected: &BTreeMap<u16, String>) {
    let targets: Vec<String> = expected.keys().map(|port| format!("{HOST}:{port}")).collect();
    let mut args: Vec<&str> = vec!["tls", "--jarm", "--allow-reserved"];
    args.extend(targets.iter().map(String::as_str));
    let done = output(&args);
    assert!(done.status.success(), "{}", stderr(&done));
    let found: BTreeMap<u16, String> = String::from_utf8(done.stdout.clone())
        .unwrap()
        .lines()
        .map(|line| match serde_json::from_str(line).unwrap() {
            Record::Tls(row) => {
                let TlsRecord { port, jarm, .. } = *row;
                (port, jarm.unwrap())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(found, *expected);
}
