//! What becomes of those who answer a SYN.

use std::{fmt, sync::Arc};

use mrpf_engine::{
    probe::Probe,
    scan::{Listener, Receiver, Shared},
    target::Targets,
    template::{Ends, TcpProfile},
};

use crate::{build::ScanError, probe::SynProbe};

/// What a scan makes of answers to its SYNs: a SYN scan closes what they open, others talk to who answers.
pub trait Follow: fmt::Debug {
    /// A [`SynProbe`], with answers of its own.
    type Probe: Probe;
    /// Reads the answers.
    type Listener: Listener;

    /// The longest frame that is sent: what a slot of the link must hold.
    const FRAME_LEN: usize;

    /// Looks at the targets, before anything is made of them.
    fn regard(&mut self, _targets: &Targets) {}

    /// The probe.
    fn probe(&self, syn: SynProbe) -> Self::Probe;

    /// Listener `number` of a scan whose frames leave from `ends`.
    ///
    /// # Errors
    ///
    /// [`ScanError`] when there can be none.
    fn listener(
        &self,
        shared: &Arc<Shared<Self::Probe>>,
        number: u8,
        ends: &Ends,
        profile: TcpProfile,
    ) -> Result<Self::Listener, ScanError>;
}

/// Closes what an answer opens.
#[derive(Debug)]
pub struct Close;

impl Follow for Close {
    type Probe = SynProbe;
    type Listener = Receiver<SynProbe>;

    /// The longest frame of a SYN scan is a linux SYN over IPv6 with a VLAN tag, 98 octets.
    const FRAME_LEN: usize = 128;

    fn probe(&self, syn: SynProbe) -> SynProbe {
        syn
    }

    fn listener(
        &self,
        shared: &Arc<Shared<SynProbe>>,
        number: u8,
        _: &Ends,
        _: TcpProfile,
    ) -> Result<Receiver<SynProbe>, ScanError> {
        Ok(Receiver::new(Arc::clone(shared), number))
    }
}
