//! The PostgreSQL of tests: that it is there, is stopped and started, and outlives nobody.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use mrpf_cloud::Postgres;

fn answers(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[track_caller]
fn goes(folder: &Path, port: u16) {
    let end = Instant::now() + Duration::from_secs(20);
    while folder.exists() || answers(port) {
        assert!(Instant::now() < end, "{} is still there", folder.display());
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn it_stops_and_starts_with_what_it_had_and_leaves_nothing() {
    let Some(server) = Postgres::start() else { return };
    let (folder, port) = (server.folder().to_owned(), server.port());
    let [one, two] = [(); 2].map(|()| server.database());
    one.sql("CREATE TABLE kept (x int); INSERT INTO kept VALUES (7)");
    assert_eq!(two.sql("SELECT to_regclass('kept') IS NULL, current_user"), "t|postgres");
    server.stop();
    assert!(!answers(port));
    server.start_again();
    assert_eq!(one.sql("SELECT x FROM kept"), "7");
    drop(server);
    goes(&folder, port);
}

#[test]
fn its_logins_have_passwords_and_the_owner_is_no_superuser() {
    let Some(server) = Postgres::shared() else { return };
    let database = server.database();
    database.sql("CREATE ROLE readers");
    let login = database.login(&["readers"]);
    for url in [database.url(), login.clone()] {
        let (user, password) =
            url.split("//").nth(1).unwrap().split('@').next().unwrap().split_once(':').unwrap();
        assert!(password.len() >= 32);
        let rights = format!(
            "SELECT rolsuper, pg_has_role('{user}', 'readers', 'USAGE') FROM pg_roles WHERE rolname = '{user}'"
        );
        assert_eq!(database.sql(&rights), if url == login { "f|t" } else { "f|f" });
    }
}

/// Set for the copy of this program that is killed.
const VICTIM: &str = "MRPF_TEST_VICTIM";

#[test]
fn it_ends_with_a_process_that_is_killed() {
    if env::var_os(VICTIM).is_some() {
        let server = Postgres::start().expect("a PostgreSQL, as the other process has it");
        // Not by a macro, which the harness would keep to itself.
        let line = format!("\nSERVER {} {}\n", server.port(), server.folder().display());
        std::io::stdout().write_all(line.as_bytes()).unwrap();
        thread::sleep(Duration::from_secs(60));
        return;
    }
    if Postgres::shared().is_none() {
        return;
    }
    let mut victim = Command::new(env::current_exe().unwrap())
        .args(["--exact", "it_ends_with_a_process_that_is_killed"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let line = BufReader::new(victim.stdout.take().unwrap())
        .lines()
        .find_map(|line| line.unwrap().strip_prefix("SERVER ").map(str::to_owned))
        .expect("a server");
    let (port, folder) = line.split_once(' ').unwrap();
    let port = port.parse().unwrap();
    assert!(answers(port) && Path::new(folder).exists());
    victim.kill().unwrap();
    victim.wait().unwrap();
    goes(Path::new(folder), port);
}
