//! The parts of a TLS scan that the engine drives.

use std::sync::Arc;

use mrpf_engine::{
    cookie::Cookie,
    link::xdp::Purpose,
    scan::{Shared, Talker},
    target::Targets,
    tcp::{self, Flows, Frames},
    template::{Ends, TcpProfile},
};
use mrpf_syn::{Follow, Marks, ScanError, SynProbe};

use crate::{
    dialogue::{BUDGET, Talk, TlsDialogue},
    hello::{Hello, KeyShares},
    names::{ServerNames, shadowed},
    probe::ConnectProbe,
    salts::Salts,
};

/// Says hello to who answers.
#[derive(Debug)]
pub(crate) struct Greet {
    pub(crate) hello: Arc<Hello>,
    pub(crate) shares: Arc<KeyShares>,
    pub(crate) names: ServerNames,
    /// See [`shadowed`].
    pub(crate) shadowed: u64,
    pub(crate) salts: Salts,
    /// Keys the table of connections.
    pub(crate) places: Cookie,
    pub(crate) connections: Connections,
}

/// How many connections there may be and how long they last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connections {
    pub(crate) most: Option<u32>,
    pub(crate) settings: tcp::Settings,
}

/// Connections at once, when nobody says how many: never fewer, and so many seconds' worth of what is sent.
const LEAST: u64 = 1 << 16;
const SECONDS: u64 = 4;
const MOST: u64 = 1 << 20;

impl Connections {
    /// The table of one of `listeners` listeners of a scan that sends `rate` frames a second.
    pub(crate) fn table(
        &self,
        rate: Option<u64>,
        listeners: u8,
        profile: TcpProfile,
        places: Cookie,
    ) -> Result<Flows, ScanError> {
        let wanted = rate.unwrap_or(MOST).saturating_mul(SECONDS).clamp(LEAST, MOST);
        let most = self.most.unwrap_or(wanted as u32);
        let flows = most.div_ceil(u32::from(listeners.max(1)));
        let settings = tcp::Settings { flows, profile, ..self.settings };
        Ok(Flows::new(settings, places)?)
    }
}

impl Follow for Greet {
    type Probe = ConnectProbe<Box<Talk>>;
    type Listener = Talker<Self::Probe, TlsDialogue>;

    const FRAME_LEN: usize = Frames::MAX_LEN;
    const PURPOSE: Purpose = Purpose::Talk;

    fn regard(&mut self, targets: &Targets) {
        if matches!(self.names, ServerNames::OfTargets) {
            self.shadowed = shadowed(targets);
        }
        self.names = std::mem::take(&mut self.names).resolved(targets);
    }

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
        let dialogue = TlsDialogue::new(
            Arc::clone(&self.hello),
            Arc::clone(&self.shares),
            self.names.clone(),
            self.salts.clone(),
            BUDGET,
        );
        let frames = Frames::new(ends, profile);
        Ok(Talker::new(Arc::clone(shared), number, flows, frames, dialogue))
    }
}
