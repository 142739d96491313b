//! A PostgreSQL of a test's own: on 127.0.0.1, in a folder that goes with it.
//!
//! ```text
//!  Postgres::shared()   one for the whole test process        database() -> Database   one for each test: empty, 0.1 s
//!  Postgres::start()    one to stop and start: 1 s              url()    its owner's      login() a role's of its own
//!       |
//!       '-- stdin --> guard.sh --> pg_ctl --> postgres    whatever ends this process ends its input, and so all of it
//! ```
//!
//! Nothing that it writes need survive, so it waits for no disk. The owner of a database is no superuser, as on RDS. Passwords
//! are asked for and TLS is offered, since both are part of what is tried.
//!
//! Where there is no PostgreSQL a line that begins with SKIPPED says so; under `CI=true` the test fails instead when
//! .ci/required lists `postgres`.

use std::{
    env, fs,
    io::{self, BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

const GUARD: &str = include_str!("guard.sh");
const REQUIRED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.ci/required");
/// What a test needs and where Debian has it.
const PACKAGES: &str = "install postgresql and openssl";
/// The user that a distribution's packages make: the server does not run as root.
const USER: &str = "postgres";

/// A server. It ends when this is dropped, and with the process.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    programs: PathBuf,
    port: u16,
    password: String,
    orders: Mutex<Orders>,
    databases: AtomicU32,
}

#[derive(Debug)]
struct Orders {
    guard: Child,
    // Taken when the guard is to end.
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

/// A database on it, which nobody else uses.
#[derive(Debug)]
pub struct Database<'a> {
    server: &'a Postgres,
    name: String,
    logins: AtomicU32,
}

impl Postgres {
    /// The server that all tests of this process share. `None` where there is no PostgreSQL: the test is to end.
    ///
    /// # Panics
    ///
    /// When it is there and does not start; and instead of giving `None` under `CI=true`, if .ci/required lists it.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Result<Postgres, String>> = OnceLock::new();
        match SHARED.get_or_init(Self::find_and_start) {
            Ok(server) => Some(server),
            Err(why) => skipped(why),
        }
    }

    /// A server of one test's own, to be stopped in the middle. `None` as of [`shared`](Self::shared).
    ///
    /// # Panics
    ///
    /// As [`shared`](Self::shared).
    pub fn start() -> Option<Self> {
        Self::find_and_start().map_or_else(|why| skipped(&why), Some)
    }

    fn find_and_start() -> Result<Self, String> {
        let (programs, user) = (programs()?, user_instead_of_root()?);
        let mut why = String::new();
        // Another process may take the port before the server does.
        for _ in 0..5 {
            match Self::start_on(&programs, user, free_port()) {
                Ok(server) => return Ok(server),
                Err(error) => why = error,
            }
        }
        panic!("PostgreSQL in {} does not start: {why}", programs.display())
    }

    fn start_on(programs: &Path, user: Option<(u32, u32)>, port: u16) -> Result<Self, String> {
        let failed = |error: io::Error| error.to_string();
        let password = uuid::Uuid::new_v4().to_string();
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(GUARD).arg("guard").arg(programs).arg(port.to_string());
        command.arg(&password).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Ctrl-C ends this process; the guard is to see that and tidy up.
        command.process_group(0);
        if let Some((user, group)) = user {
            command.uid(user).gid(group);
        }
        let mut guard = command.spawn().map_err(failed)?;
        let (Some(to), Some(from)) = (guard.stdin.take(), guard.stdout.take()) else {
            return Err("the guard has no pipes".to_owned());
        };
        let mut orders = Orders { guard, to: Some(to), from: BufReader::new(from) };
        let folder = orders.line().map_err(failed)?;
        if !folder.starts_with('/') {
            return Err(folder);
        }
        orders.answer()?;
        orders.order("start")?;
        let server = Self {
            folder: folder.into(),
            programs: programs.to_owned(),
            port,
            password,
            orders: Mutex::new(orders),
            databases: AtomicU32::new(0),
        };
        let owner = format!("CREATE ROLE owner LOGIN CREATEROLE PASSWORD '{}'", server.password);
        server.sql("postgres", &owner)?;
        Ok(server)
    }

    /// Stops it: connections are closed, new ones refused.
    ///
    /// # Panics
    ///
    /// When it does not stop.
    pub fn stop(&self) {
        self.order("stop");
    }

    /// Starts it again, with all that it had.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start_again(&self) {
        self.order("start");
    }

    fn order(&self, order: &str) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let done = orders.order(order);
        assert!(done.is_ok(), "PostgreSQL does not {order}: {done:?}");
    }

    /// Makes an empty database.
    ///
    /// # Panics
    ///
    /// When the server does not.
    pub fn database(&self) -> Database<'_> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let make = format!("CREATE DATABASE {name} OWNER owner");
        self.sql("postgres", &make).unwrap_or_else(|why| panic!("{make}: {why}"));
        Database { server: self, name, logins: AtomicU32::new(0) }
    }

    /// What it has on disk.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate of the authority that signed the server's, for `localhost` and `127.0.0.1`.
    pub fn root_certificate(&self) -> PathBuf {
        self.folder.join("root.pem")
    }

    /// The certificate of an authority that signed nothing.
    pub fn other_certificate(&self) -> PathBuf {
        self.folder.join("other.pem")
    }

    /// Runs SQL as a superuser, and gives what it prints: rows in lines, columns with `|` between.
    fn sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.arg("-h").arg(&self.folder).arg("-p").arg(self.port.to_string());
        psql.args(["-U", "postgres", "-d", database, "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        let output = psql.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
        }
        Err(String::from_utf8_lossy(&output.stderr).trim_end().to_owned())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let orders = self.orders.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(orders.to.take());
        // It has ended already, or does now.
        let _ = orders.guard.wait();
    }
}

impl Orders {
    fn order(&mut self, order: &str) -> Result<(), String> {
        let Some(to) = &mut self.to else { return Err("the guard has ended".to_owned()) };
        writeln!(to, "{order}").map_err(|error| error.to_string())?;
        self.answer()
    }

    fn answer(&mut self) -> Result<(), String> {
        match self.line() {
            Ok(line) if line == "done" => Ok(()),
            Ok(line) => Err(line),
            Err(error) => Err(error.to_string()),
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Database<'_> {
    /// For its owner, who may make roles and is no superuser.
    pub fn url(&self) -> String {
        self.url_of("owner", &self.server.password)
    }

    /// For a user of its own who belongs to `roles`, which are there already.
    ///
    /// # Panics
    ///
    /// When the server does not make it.
    pub fn login(&self, roles: &[&str]) -> String {
        let user = format!("{}_{}", self.name, self.logins.fetch_add(1, Ordering::Relaxed));
        let password = uuid::Uuid::new_v4().to_string();
        self.sql(&format!("CREATE ROLE {user} LOGIN PASSWORD '{password}'"));
        for role in roles {
            self.sql(&format!("GRANT {role} TO {user}"));
        }
        self.url_of(&user, &password)
    }

    fn url_of(&self, user: &str, password: &str) -> String {
        format!("postgresql://{user}:{password}@127.0.0.1:{}/{}", self.server.port, self.name)
    }

    /// Runs SQL as a superuser, and gives what it prints: rows in lines, columns with `|` between.
    ///
    /// # Panics
    ///
    /// When the server refuses it.
    pub fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.name, sql).unwrap_or_else(|why| panic!("{sql}: {why}"))
    }
}

/// Where `initdb`, `pg_ctl` and `psql` lie together: beside the first in PATH, or the newest of Debian's.
fn programs() -> Result<PathBuf, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_whole = |folder: &PathBuf| {
        ["initdb", "pg_ctl", "psql"].iter().all(|name| folder.join(name).exists())
    };
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    if !folders.iter().any(|folder| folder.join("openssl").exists()) {
        return Err(format!("there is no openssl: {PACKAGES}"));
    }
    let mut debians: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    debians.sort_by_key(|folder| version(folder));
    folders.extend(debians.into_iter().rev());
    let found = folders.into_iter().find(is_whole);
    found.ok_or_else(|| format!("there is no PostgreSQL server: {PACKAGES}"))
}

/// `15` of `/usr/lib/postgresql/15/bin`.
fn version(folder: &Path) -> Option<u32> {
    folder.parent()?.file_name()?.to_str()?.parse().ok()
}

/// The user and the group that the server runs as, where this process is root.
fn user_instead_of_root() -> Result<Option<(u32, u32)>, String> {
    let ask = |args: &[&str]| {
        let output = Command::new("id").args(args).output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim().parse::<u32>().map_err(|_| {
            format!("there is no user {USER}, and PostgreSQL does not run as root: {PACKAGES}")
        })
    };
    if ask(&["-u"])? != 0 {
        return Ok(None);
    }
    Ok(Some((ask(&["-u", USER])?, ask(&["-g", USER])?)))
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .expect("a free port on 127.0.0.1")
}

/// Says that the test is skipped, or fails it where it must not be.
fn skipped<T>(why: &str) -> Option<T> {
    let is_required = env::var_os("CI").is_some_and(|value| value == "true")
        && fs::read_to_string(REQUIRED).is_ok_and(|list| lists(&list, USER));
    assert!(!is_required, "postgres is listed in .ci/required and not there: {why}");
    let test = thread::current();
    // Not by a macro: the test harness would keep the line to itself, or have begun one with the test's name.
    let line = format!("\nSKIPPED: {}: {why}\n", test.name().unwrap_or("a test"));
    let _ = io::stderr().write_all(line.as_bytes());
    None
}

/// Whether a line of `list` is `word`, up to a comment.
fn lists(list: &str, word: &str) -> bool {
    list.lines().any(|line| line.split('#').next().is_some_and(|entry| entry.trim() == word))
}
