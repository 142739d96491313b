//! Servers that nobody here wrote, each set up in all ways that show in a record.
//!
//! ```text
//! identities.rs  certificates of each kind of key, three in a chain
//! case.rs        a server as it was set up, and what its record must say
//! reference.rs   what `openssl s_client` is shown
//! openssl.rs, nginx.rs, gnutls.rs, rustls.rs, go.rs   the servers, one test each
//! ```
//!
//! The servers of a test listen side by side, each on a port of its own, and each is asked by every profile and by both kinds of key share. What
//! they are set up to must be in the record; the certificates must be those that `openssl s_client` gets from the same port, by
//! the kernel's sockets, octet for octet.

mod case;
mod gnutls;
mod go;
mod identities;
mod nginx;
mod openssl;
mod reference;
mod rustls;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use mrpf_lab::{Lab, Server, Servers};
use mrpf_records::{Record, TlsRecord};
use mrpf_tls::{KeyShare, Scan, ServerNames, hello::Profile};
use tempfile::TempDir;

use self::{
    case::{Asked, Case},
    identities::{Identities, Kind},
    reference::Shown,
};
use crate::world::kernel_tcp;

const FIRST_PORT: u16 = 10_001;

/// Who asks.
const ASKED: [(Profile, KeyShare); 4] = [
    (Profile::Modern, KeyShare::Identity),
    (Profile::Modern, KeyShare::Fresh),
    (Profile::Tls12, KeyShare::Identity),
    (Profile::Legacy, KeyShare::Identity),
];

/// The folder of a test, with a file for each certificate and key.
struct Folder(TempDir);

impl Folder {
    fn make() -> Self {
        let folder = Self(TempDir::new().unwrap());
        for (kind, identity) in &Identities::get().leaves {
            folder.write(&format!("{kind}.leaf.pem"), &identity.chain[0].pem());
            let issuers: String = identity.chain[1..].iter().map(|cert| cert.pem()).collect();
            folder.write(&format!("{kind}.issuers.pem"), &issuers);
            folder.write(&format!("{kind}.chain.pem"), &(identity.chain[0].pem() + &issuers));
            folder.write(&format!("{kind}.key"), &identity.key_pem);
        }
        folder.write("clients.pem", &Identities::get().clients.pem());
        fs::write(folder.file("ocsp"), OCSP).unwrap();
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.file(name), text).unwrap();
    }

    /// The leaf, what follows it, and the key: paths.
    fn of(&self, kind: Kind, what: &str) -> String {
        self.file(&format!("{kind}.{what}")).to_str().expect("a path of UTF-8").to_owned()
    }

    fn clients(&self) -> String {
        self.file("clients.pem").to_str().expect("a path of UTF-8").to_owned()
    }
}

/// An OCSPResponse (RFC 6960, section 4.2.1) that says to try later, which needs nobody's signature.
const OCSP: [u8; 5] = [0x30, 3, 0x0a, 1, 3];

/// Starts `servers` in a world, asks each of them in all ways, and says what is wrong with which record.
#[track_caller]
fn check(lab: &Lab, servers: Vec<Server>, cases: &[Case]) {
    let _servers = Servers::start(lab.world(), servers).unwrap_or_else(|error| panic!("{error}"));
    let shown: Vec<Shown> = lab.world().run(|| cases.iter().map(Shown::ask).collect()).unwrap();
    let before = kernel_tcp("OutRsts");
    let mut wrong = Vec::new();
    for (profile, key_share) in ASKED {
        let rows = scan(cases, &profile, key_share);
        let asked = Asked { profile, key_share };
        for (case, shown) in cases.iter().zip(&shown) {
            let mut differs = match rows.get(&case.port) {
                Some(row) => case.differences(&asked, row, shown),
                None => vec!["no record".to_owned()],
            };
            let place = format!("{}, {}, {}", case.what, asked.profile, asked.key_share);
            differs.iter_mut().for_each(|what| *what = format!("{place}: {what}"));
            if differs.is_empty() {
                println!("{place}: {}", case.expected(&asked));
            }
            wrong.append(&mut differs);
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(kernel_tcp("OutRsts"), before, "resets of the kernel");
}

/// Asks all servers; gives the records by port.
fn scan(cases: &[Case], profile: &Profile, key_share: KeyShare) -> BTreeMap<u16, TlsRecord> {
    let mut targets = crate::world::builder()
        .allow_reserved(true)
        .cooldown(Duration::from_secs(2))
        .rate("200".parse().unwrap());
    for case in cases {
        targets = targets.target(format!("{}:{}", case.host(), case.port));
    }
    let named = cases.iter().filter_map(|case| Some((case.host(), case.name?.into())));
    let mut scan = Scan::builder(targets)
        .hello(profile.clone())
        .key_share(key_share)
        .server_names(ServerNames::ByAddress(Arc::new(named.collect())))
        .der(true)
        .build()
        .unwrap_or_else(|error| panic!("{error}"));
    let mut rows = BTreeMap::new();
    for record in &mut scan {
        let Record::Tls(row) = record else { panic!("{record:?}") };
        assert!(rows.insert(row.port, *row).is_none(), "a second record of a port");
    }
    scan.finish().unwrap_or_else(|error| panic!("{error}"));
    rows
}
