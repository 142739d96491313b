//! moto, AWS as others have understood it: a second opinion on all that goes well.
//!
//! It is Python, and this project's tests do not need it: `tests/run` installs it and says where it is in `MRPF_MOTO`; otherwise
//! it is looked for in `PATH`. Where there is none its tests are SKIPPED.

use std::{
    env,
    fs::{self, File},
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long it may take to come up: it imports half of Python.
const PATIENCE: Duration = Duration::from_secs(60);
/// Another program may take the port that was free a moment ago.
const TRIES: usize = 3;

/// A moto server of one's own on 127.0.0.1, ended when this is dropped.
#[derive(Debug)]
pub struct Moto {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Moto {
    /// Starts one, ready for calls; `None`, with a line that begins with SKIPPED, when moto is not on this machine.
    ///
    /// # Panics
    ///
    /// When it is there and does not come up; says what it has said.
    pub fn start() -> Option<Self> {
        let Some(program) = program() else {
            let test = thread::current().name().unwrap_or("a test").to_owned();
            println!(
                "\nSKIPPED: {test}: no moto_server in MRPF_MOTO or PATH (pip install 'moto[server,ec2,sqs]==5.2.5')"
            );
            return None;
        };
        let mut last = String::new();
        for _ in 0..TRIES {
            match Self::try_start(&program) {
                Ok(moto) => return Some(moto),
                Err(error) => last = error.to_string(),
            }
        }
        panic!("{} does not come up: {last}", program.display());
    }

    fn try_start(program: &PathBuf) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        // Its log is long: a pipe that nobody reads would stop it.
        let log = File::create(folder.path().join("log"))?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut moto = Self { child, address, folder };
        let end = Instant::now() + PATIENCE;
        while !is_up(address) {
            let ended = moto.child.try_wait()?.map(|status| format!("it ended with {status}"));
            let late = (Instant::now() > end).then(|| format!("not within {PATIENCE:?}"));
            if let Some(why) = ended.or(late) {
                let said = fs::read_to_string(moto.folder.path().join("log")).unwrap_or_default();
                return Err(io::Error::other(format!("{why}; it said:\n{said}")));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(moto)
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where moto is.
fn program() -> Option<PathBuf> {
    let is_file = |path: &PathBuf| path.is_file();
    let given = env::var_os("MRPF_MOTO").filter(|given| !given.is_empty()).map(PathBuf::from);
    given.filter(is_file).or_else(|| {
        let path = env::var_os("PATH")?;
        env::split_paths(&path).map(|folder| folder.join("moto_server")).find(is_file)
    })
}

/// Whether it answers as moto does.
fn is_up(address: SocketAddr) -> bool {
    let ask = || -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"GET /moto-api/config HTTP/1.0\r\nHost: moto\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    // 201 of 5.2.5, 200 of others.
    ask().is_ok_and(|answer| answer.starts_with(b"HTTP/1.") && answer.get(8..10) == Some(b" 2"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moto_comes_up_and_goes() {
        let Some(moto) = Moto::start() else { return };
        let address = moto.address;
        assert_eq!(moto.endpoint(), format!("http://127.0.0.1:{}", address.port()));
        assert!(is_up(address));
        drop(moto);
        assert!(TcpStream::connect(address).is_err(), "it is still there");
    }
}
