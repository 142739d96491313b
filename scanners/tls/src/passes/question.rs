//! What is said on one of ten connections, and what of the answer is kept.

use std::{fmt::Write as _, net::IpAddr, sync::Arc};

use mrpf_engine::{
    cookie::Cookie,
    link::xdp::Purpose,
    scan::{Dialogue, Shared, Talker, Turn},
    target::Target,
    tcp::{About, End, Frames, Report, Requests},
    template::{Ends, TcpProfile},
};
use mrpf_syn::{Follow, Marks, ScanError, SynProbe};

use crate::{
    fingerprint::jarm::{Answer, JarmProbe},
    follow::Connections,
    hello::{Hello, KeyShares, Profile},
    names::ServerNames,
    probe::{ConnectProbe, Told},
    salts::Salts,
};

/// Which of the ten hellos `target` is said in a pass: another in each of ten passes, and not the same as most others are.
pub(super) fn probe_of(target: Target, pass: usize) -> JarmProbe {
    let host = match target.addr {
        IpAddr::V4(addr) => addr.to_bits() as usize,
        IpAddr::V6(addr) => addr.to_bits() as usize,
    };
    let count = JarmProbe::COUNT;
    JarmProbe::ALL[(host % count + usize::from(target.port) % count + pass) % count]
}

/// The ten hellos and who is asked for which name: the same in all passes.
#[derive(Debug)]
pub(crate) struct Questions {
    hellos: [Hello; JarmProbe::COUNT],
    names: ServerNames,
    salts: Salts,
}

impl Questions {
    pub(crate) fn new(names: ServerNames, salts: Salts) -> Self {
        let shares = Arc::new(KeyShares::identity());
        let hellos =
            JarmProbe::ALL.map(|probe| Hello::new(Profile::Jarm(probe), Arc::clone(&shares)));
        Self { hellos, names, salts }
    }
}

/// One pass, for the engine.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) questions: Arc<Questions>,
    pub(super) pass: usize,
    pub(super) places: Cookie,
    pub(super) connections: Connections,
}

impl Follow for Ask {
    type Probe = ConnectProbe<Answer>;
    type Listener = Talker<Self::Probe, Asking>;

    const FRAME_LEN: usize = Frames::MAX_LEN;
    const PURPOSE: Purpose = Purpose::Talk;

    fn probe(&self, ends: &Ends, profile: TcpProfile, marks: Marks) -> Self::Probe {
        ConnectProbe::new(SynProbe::new(ends, profile, marks))
    }

    fn listener(
        &self,
        shared: &Arc<Shared<Self::Probe>>,
        number: u8,
        ends: &Ends,
        profile: TcpProfile,
    ) -> Result<Self::Listener, ScanError> {
        let rate = shared.rate().per_second().map(std::num::NonZeroU64::get);
        let flows = self.connections.table(rate, shared.threads(), profile, self.places.clone())?;
        let asking = Asking {
            questions: Arc::clone(&self.questions),
            pass: self.pass,
            written: Vec::new(),
            address: String::new(),
            answers: Vec::new(),
        };
        Ok(Talker::new(Arc::clone(shared), number, flows, Frames::new(ends, profile), asking))
    }
}

/// Says one hello to each host and keeps what JARM wants to know of the answer. One a listener.
#[derive(Debug)]
pub(super) struct Asking {
    questions: Arc<Questions>,
    pass: usize,
    /// The latest hello that was written.
    written: Vec<u8>,
    /// The address in text of a host without a name.
    address: String,
    /// By place; `None` before the first octet.
    answers: Vec<Option<Answer>>,
}

impl Asking {
    fn write(&mut self, remote: Target, local_port: u16) {
        let Questions { hellos, names, salts } = &*self.questions;
        let salt = salts.of(remote, local_port);
        let name = names.of(remote.addr).unwrap_or_else(|| {
            self.address.clear();
            // A String takes all.
            let _ = write!(self.address, "{}", remote.addr);
            &self.address
        });
        hellos[probe_of(remote, self.pass).index()].write(&mut self.written, &salt, Some(name));
    }

    fn take(&mut self, about: &About) -> Option<Answer> {
        self.answers.get_mut(about.flow.place()).and_then(Option::take)
    }
}

impl Requests for Asking {
    fn bytes(&mut self, about: &About) -> &[u8] {
        self.write(about.remote, about.local_port);
        &self.written
    }
}

impl Dialogue for Asking {
    type Reply = Told<Answer>;

    fn request_len(&mut self, remote: Target) -> u32 {
        // Which port of ours it is changes what is written, and not how much.
        self.write(remote, 0);
        self.written.len() as u32
    }

    /// Nothing is dealt with before all of it is here: an answer is read from its first octet on.
    fn read(&mut self, about: &About, data: &[u8]) -> (usize, Turn) {
        let place = about.flow.place();
        if self.answers.len() <= place {
            self.answers.resize_with(place + 1, || None);
        }
        if !data.is_empty() {
            self.answers[place] = Some(Answer::read(data));
        }
        (0, if Answer::is_whole(data) { Turn::Enough } else { Turn::More })
    }

    fn end(&mut self, about: &About, report: &Report) -> Self::Reply {
        let silence = match report.end {
            End::Idle | End::Deadline => Answer::TIMED_OUT,
            End::Closed | End::Finished | End::Reset | End::Unreachable | End::Full => {
                Answer::FAILED
            }
        };
        Told::Talk(self.take(about).unwrap_or(silence))
    }

    fn forget(&mut self, about: &About) {
        self.take(about);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ten_passes_say_all_ten_hellos_to_each_host_and_each_pass_says_all() {
        let target = |last, port| Target { addr: [198, 19, 255, last].into(), port };
        let v6 = |last| Target { addr: [0x2001, 0xdb8, 0, 0, 0, 0, 0, last].into(), port: 443 };
        for host in [target(0, 0), target(255, 65_535), target(7, 8_443), v6(0xffff)] {
            let said: BTreeSet<_> = (0..10).map(|pass| probe_of(host, pass)).collect();
            assert_eq!(said.len(), 10, "{host:?}");
        }
        let said: BTreeSet<_> = (0..10).map(|last| probe_of(target(last, 443), 4)).collect();
        assert_eq!(said.len(), 10);
    }
}
