//! From a description to a sweep.

use std::sync::Arc;

use mrpf_engine::{
    link::xdp::Purpose,
    scan::{Receiver, Shared},
    template::{Ends, TcpProfile},
};
use mrpf_syn::{Follow, Marks, ScanError};

use super::{Asked, Show, Sweep, SweepProbe};
use crate::{
    message::{Edns, Name, Qclass, Qtype},
    row::Rows,
};

/// Where name servers are (RFC 1035, section 4.2.1).
const PORT: &str = "53";

/// A sweep to be. Every knob has the default of the command line.
#[derive(Debug)]
pub struct Builder {
    targets: mrpf_syn::Builder,
    asked: Asked,
    show: Show,
    wants_wire: bool,
}

impl Builder {
    pub(super) fn new(targets: mrpf_syn::Builder) -> Self {
        let asked = Asked {
            name: Name::ROOT,
            qtype: Qtype::NS,
            qclass: Qclass::IN,
            recursion: true,
            edns: None,
            keeps_case: true,
        };
        Self { targets, asked, show: Show::default(), wants_wire: false }
    }

    /// What each address is asked; the name servers of the root, which every resolver knows, when not set.
    #[must_use]
    pub fn question(mut self, name: Name, qtype: Qtype, qclass: Qclass) -> Self {
        self.asked = Asked { name, qtype, qclass, ..self.asked };
        self
    }

    /// Whether each is asked to find out, as a resolver is: RD, on when not set.
    #[must_use]
    pub fn recursion(mut self, desired: bool) -> Self {
        self.asked.recursion = desired;
        self
    }

    /// What the OPT record says; there is none when not set, as there are still servers that refuse one.
    #[must_use]
    pub fn edns(mut self, edns: Option<Edns>) -> Self {
        self.asked.edns = edns;
        self
    }

    /// Whether the letters of the name are sent in a case that has to come back ("0x20"), on when not set. Without it a forger has
    /// to guess less, and servers that answer in lower case are heard too.
    #[must_use]
    pub fn mixed_case(mut self, mixed: bool) -> Self {
        self.asked.keeps_case = mixed;
        self
    }

    /// Which targets give records.
    #[must_use]
    pub fn show(mut self, show: Show) -> Self {
        self.show = show;
        self
    }

    /// Puts whole answers into the records.
    #[must_use]
    pub fn wire(mut self, keep: bool) -> Self {
        self.wants_wire = keep;
        self
    }

    /// Compiles the targets, opens the link and starts. Targets have port 53 where they and [`ports`](mrpf_syn::Builder::ports)
    /// name none.
    ///
    /// # Errors
    ///
    /// [`ScanError`]; nothing has been sent then but, at most, ARP requests.
    pub fn build(self) -> Result<Sweep, ScanError> {
        let targets = self.targets.or_ports(PORT).silent(self.show.silent);
        let course = targets.build_with(&mut Ask(self.asked.clone()))?;
        Ok(Sweep::new(course, self.asked, self.show, Rows::new(self.wants_wire)))
    }
}

/// Asks one question and takes what comes.
#[derive(Debug)]
pub(super) struct Ask(Asked);

impl Follow for Ask {
    type Probe = SweepProbe;
    type Listener = Receiver<SweepProbe>;

    const FRAME_LEN: usize = SweepProbe::FRAME_LEN;
    const PURPOSE: Purpose = Purpose::Talk;

    fn probe(&self, ends: &Ends, _: TcpProfile, marks: Marks) -> SweepProbe {
        SweepProbe::new(ends, self.0.clone(), marks)
    }

    fn listener(
        &self,
        shared: &Arc<Shared<SweepProbe>>,
        number: u8,
        _: &Ends,
        _: TcpProfile,
    ) -> Result<Receiver<SweepProbe>, ScanError> {
        Ok(Receiver::new(Arc::clone(shared), number))
    }
}
