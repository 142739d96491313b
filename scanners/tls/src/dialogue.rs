//! What is said on a TLS connection: a hello, perhaps a second one, and no more.

use std::sync::Arc;

use mrpf_engine::{
    scan::{Dialogue, Turn},
    target::Target,
    tcp::{About, Report, Requests},
};

use crate::{
    capture::Capture,
    handshake::{Cut, Handshake, Next},
    hello::{Hello, KeyShares, Retry},
    names::ServerNames,
    probe::Told,
    salts::Salts,
};

/// What is made of one connection.
#[derive(Debug)]
pub struct Talk {
    /// What the host told.
    pub capture: Capture,
    /// How the connection was.
    pub report: Report,
}

/// Says hello to hosts and reads what they answer. One a listener.
#[derive(Debug)]
pub(crate) struct TlsDialogue {
    hello: Arc<Hello>,
    shares: Arc<KeyShares>,
    names: ServerNames,
    salts: Salts,
    /// The latest hello that was written.
    written: Vec<u8>,
    /// By place.
    talks: Vec<Talking>,
}

/// One connection under way.
#[derive(Debug, Default)]
struct Talking {
    handshake: Handshake,
    retry: Option<Box<Retry>>,
}

impl TlsDialogue {
    pub(crate) fn new(
        hello: Arc<Hello>,
        shares: Arc<KeyShares>,
        names: ServerNames,
        salts: Salts,
    ) -> Self {
        Self { hello, shares, names, salts, written: Vec::new(), talks: Vec::new() }
    }

    /// Writes the latest hello of a connection.
    fn write(&mut self, remote: Target, local_port: u16, retry: Option<&Retry>) -> bool {
        let salt = self.salts.of(remote, local_port);
        let name = self.names.of(remote.addr);
        match retry {
            None => {
                self.hello.write(&mut self.written, &salt, name);
                true
            }
            Some(retry) => self.hello.write_retry(&mut self.written, &salt, name, retry).is_ok(),
        }
    }

    fn take(&mut self, about: &About) -> Talking {
        self.talks.get_mut(about.flow.place()).map(std::mem::take).unwrap_or_default()
    }
}

impl Requests for TlsDialogue {
    fn bytes(&mut self, about: &About) -> &[u8] {
        let retry = self.talks.get_mut(about.flow.place()).and_then(|talk| talk.retry.take());
        self.write(about.remote, about.local_port, retry.as_deref());
        if retry.is_some() {
            self.talks[about.flow.place()].retry = retry;
        }
        &self.written
    }
}

impl Dialogue for TlsDialogue {
    type Reply = Told<Box<Talk>>;

    fn request_len(&mut self, remote: Target) -> u32 {
        // Which port of ours it is changes what is written, and not how much.
        self.write(remote, 0, None);
        self.written.len() as u32
    }

    fn read(&mut self, about: &About, data: &[u8]) -> (usize, Turn) {
        let place = about.flow.place();
        if self.talks.len() <= place {
            self.talks.resize_with(place + 1, Talking::default);
        }
        let mut talk = std::mem::take(&mut self.talks[place]);
        self.write(about.remote, about.local_port, talk.retry.as_deref());
        let (read, next) = talk.handshake.read(&self.written, &self.shares, data);
        let turn = match next {
            Next::More => Turn::More,
            Next::Enough => Turn::Enough,
            Next::Retry(retry) if self.write(about.remote, about.local_port, Some(&retry)) => {
                talk.retry = Some(Box::new(retry));
                Turn::Ask(self.written.len() as u32)
            }
            // What the host wants is more than we have.
            Next::Retry(_) => Turn::Enough,
        };
        self.talks[place] = talk;
        (read, turn)
    }

    fn end(&mut self, about: &About, report: &Report) -> Self::Reply {
        let capture = self.take(about).handshake.finish(Cut::from(report.end));
        Told::Talk(Box::new(Talk { capture, report: *report }))
    }

    fn forget(&mut self, about: &About) {
        self.take(about);
    }
}
