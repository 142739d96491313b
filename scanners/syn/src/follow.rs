//! What is asked, and what becomes of those who answer.

use std::{fmt, sync::Arc};

use mrpf_engine::{
    link::xdp::Purpose,
    probe::Probe,
    scan::{Listener, Receiver, Shared},
    target::Targets,
    template::{Ends, TcpProfile},
};

use crate::{build::ScanError, marks::Marks, probe::SynProbe};

/// What a scan asks and what it makes of the answers: a SYN scan closes what its SYNs open, others talk to who answers, or ask
/// something else.
pub trait Follow: fmt::Debug {
    /// What is asked: a [`SynProbe`], with answers of its own, or another that [`Marks`] tell apart.
    type Probe: Probe;
    /// Reads the answers.
    type Listener: Listener;

    /// The longest frame that is sent: what a slot of the link must hold.
    const FRAME_LEN: usize;

    /// What frames are exchanged for, which decides how much of it the link can do.
    const PURPOSE: Purpose;

    /// Looks at the targets, before anything is made of them.
    fn regard(&mut self, _targets: &Targets) {}

    /// The probe of a scan whose frames leave from `ends`.
    fn probe(&self, ends: &Ends, profile: TcpProfile, marks: Marks) -> Self::Probe;

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
    const PURPOSE: Purpose = Purpose::Answers;

    fn probe(&self, ends: &Ends, profile: TcpProfile, marks: Marks) -> SynProbe {
        SynProbe::new(ends, profile, marks)
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
