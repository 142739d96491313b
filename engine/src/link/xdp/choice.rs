//! Which halves of a link a scan gets: a pure function of what was wished for, [`Facts`] and the scan.
//!
//! ```text
//! Wish + Facts + Ask -> choose -> Choice { send: Packet | Live, receive: Packet | Xdp(Native | Generic), why }
//!                             '-> Refusal: the reason, and what mends it
//! ```
//!
//! # What decides
//!
//! - **Live frames** keep a CPU busy whatever the rate, and cost a tenth of a packet socket's frame: they pay from
//!   [`LIVE_FROM`] on, with a second CPU, for SYN scans, which alone send so much.
//! - A driver may send what programs redirect to it only while a program is attached, as ENA, virtio_net and Intel's do. So live
//!   frames go with a native program that receives.
//! - **[`Wish::Auto`]** takes XDP for a SYN scan that can have all of it natively and send live frames, and else packet sockets.
//!   It never replaces a program. Where the rate asks for XDP and a fact forbids it, [`Choice::why`] is the line to show.
//! - **[`Wish::Xdp`]** takes as much of it as there is, and refuses what cannot work. A fact that is unknown is given the benefit of
//!   the doubt, since opening the link tells.
//!
//! Physical devices set their queues up anew when a first program is attached and when it goes: traffic pauses for a moment.

mod refusal;

use std::{fmt, num::NonZeroU64, str::FromStr};

pub use self::refusal::Refusal;
use super::{
    Mode,
    facts::{Capabilities, Facts, Kernel},
    take::MAX_RECEIVERS,
};
use crate::{governor::Rate, link::LinkLayer};

/// The rate from which on live frames are worth the CPU that they keep busy.
pub const LIVE_FROM: NonZeroU64 = NonZeroU64::new(1_000_000).unwrap();

/// BPF_PROG_TEST_RUN with live frames (linux/Documentation/bpf/bpf_prog_run.rst) came with this one.
const OLDEST: Kernel = Kernel { major: 5, minor: 18 };

/// The highest MTU with which ENA takes a program, with pages of 4 KiB (linux/drivers/net/ethernet/amazon/ena/ena_xdp.h).
const ENA_MOST_MTU: u32 = 3_498;

/// The highest with which any driver does that is known, as frames and what is around them have to lie in one such page: the ENA's,
/// which is the lowest.
const NATIVE_MOST_MTU: u32 = ENA_MOST_MTU;

/// Drivers of which is known, from their source, that since [`OLDEST`] they run programs and, while one is attached, send what is
/// redirected to them; for kernels that do not tell, and because most of them tell the second only then.
const SENDS_WHILE_ATTACHED: [&str; 6] = ["ena", "virtio_net", "i40e", "ice", "igb", "igc"];

/// What a user wants frames to be sent and received by.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Wish {
    /// Whatever fits the scan and the machine.
    #[default]
    Auto,
    /// Packet sockets.
    Packet,
    /// XDP programs.
    Xdp,
}

impl Wish {
    /// The word for it on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Packet => "packet",
            Self::Xdp => "xdp",
        }
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A link that there is not.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no link: give auto, packet or xdp")]
pub struct WishError(String);

impl FromStr for Wish {
    type Err = WishError;

    fn from_str(text: &str) -> Result<Self, WishError> {
        let all = [Self::Auto, Self::Packet, Self::Xdp];
        let wish = all.into_iter().find(|wish| wish.as_str() == text);
        wish.ok_or_else(|| WishError(text.to_owned()))
    }
}

/// What a link is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ask {
    /// The rate that the scan will have, after all limits on it.
    pub rate: Rate,
    /// What its frames begin with.
    pub layer: LinkLayer,
    /// What becomes of the answers.
    pub purpose: Purpose,
    /// How many receivers share them; as many threads send.
    pub receivers: u8,
}

/// What becomes of the answers to a scan.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// An answer says all: SYN segments are all that is sent, but for resets.
    Answers,
    /// Those who answer are talked to, or what they say is read: TLS, DNS.
    Talk,
}

/// The sending half.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Send {
    /// Packet sockets.
    Packet,
    /// Live frames of an XDP program.
    Live,
}

/// The receiving half.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Receive {
    /// Packet sockets.
    Packet,
    /// An XDP program.
    Xdp(Mode),
}

/// The halves of a link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Choice {
    /// The sending half.
    pub send: Send,
    /// The receiving half.
    pub receive: Receive,
    /// The choice and its reason in one line: "link: packet sockets, since the kernel is 5.10 and XDP needs 5.18".
    pub why: String,
    /// Whether less was chosen than the rate asks for, because a fact forbids it: then `why` is for everyone to see.
    pub falls_short: bool,
}

impl Choice {
    /// The link by name: that of the half that receives, as there is no live sending without it.
    pub fn name(&self) -> &'static str {
        match self.receive {
            Receive::Packet => "packet",
            Receive::Xdp(_) => "xdp",
        }
    }
}

/// Which halves a scan gets.
///
/// # Errors
///
/// [`Refusal`], for [`Wish::Xdp`] alone.
pub fn choose(wish: Wish, facts: &Facts, ask: &Ask) -> Result<Choice, Refusal> {
    match wish {
        Wish::Packet => Ok(packet("asked for")),
        Wish::Auto => Ok(fitting(facts, ask)),
        Wish::Xdp => asked_for(facts, ask),
    }
}

/// Whether live frames would pay.
fn pays(ask: &Ask) -> bool {
    let is_fast = ask.rate.per_second().is_none_or(|rate| rate >= LIVE_FROM);
    is_fast && ask.purpose == Purpose::Answers
}

/// Why packet sockets send fast enough, where live frames would not pay.
fn enough(ask: &Ask) -> &'static str {
    match ask.purpose {
        Purpose::Answers => "which suit rates below 1M/s",
        Purpose::Talk => "as SYN scans alone send so much that more would pay",
    }
}

fn packet(why: &str) -> Choice {
    let why = format!("link: packet sockets, {why}");
    Choice { send: Send::Packet, receive: Receive::Packet, why, falls_short: false }
}

fn fitting(facts: &Facts, ask: &Ask) -> Choice {
    if !pays(ask) {
        return packet(enough(ask));
    }
    let all = || {
        possible(facts, ask)?;
        enough_cpus(facts, ask)?;
        known(facts)?;
        native(facts)?;
        live(facts, ask)?;
        match is_driven_by(facts, "virtio_net") {
            true => Err(Refusal::Virtio { interface: facts.interface.clone() }),
            false => Ok(()),
        }
    };
    match all() {
        Ok(()) => all_of_it(facts, "the fastest here"),
        Err(refusal) => {
            let choice = packet(&since(&refusal));
            Choice { falls_short: true, ..choice }
        }
    }
}

/// The reason for less than all of it, and what mends that.
fn since(refusal: &Refusal) -> String {
    let mend = refusal.mend().map(|mend| format!(" ({mend})")).unwrap_or_default();
    format!("since {}{mend}", refusal.reason())
}

fn asked_for(facts: &Facts, ask: &Ask) -> Result<Choice, Refusal> {
    possible(facts, ask)?;
    let (mode, kind) = match native(facts) {
        Ok(()) => (Mode::Native, "native"),
        Err(_) => (Mode::Generic, "generic"),
    };
    let choice = |why: &str, falls_short| {
        let why = format!(
            "link: XDP receives ({kind}) on {}, packet sockets send, {why}",
            facts.interface
        );
        Choice { send: Send::Packet, receive: Receive::Xdp(mode), why, falls_short }
    };
    if !pays(ask) {
        return Ok(choice(enough(ask), false));
    }
    enough_cpus(facts, ask)?;
    Ok(match native(facts).and_then(|()| live(facts, ask)) {
        Ok(()) => all_of_it(facts, "asked for"),
        Err(refusal) => choice(&since(&refusal), true),
    })
}

fn all_of_it(facts: &Facts, why: &str) -> Choice {
    let why = format!("link: XDP sends and receives (native) on {}, {why}", facts.interface);
    Choice { send: Send::Live, receive: Receive::Xdp(Mode::Native), why, falls_short: false }
}

/// Whether a program of ours can be loaded, and attached to this interface, as far as is known.
fn possible(facts: &Facts, ask: &Ask) -> Result<(), Refusal> {
    let interface = || facts.interface.clone();
    if facts.is_loopback {
        return Err(Refusal::Loopback { interface: interface() });
    }
    if ask.layer != LinkLayer::Ethernet {
        return Err(Refusal::NoEthernet { interface: interface() });
    }
    if let Some(kernel) = facts.kernel.filter(|kernel| *kernel < OLDEST) {
        return Err(Refusal::Kernel(kernel));
    }
    // Before the capabilities: in a user namespace of its own a process may well have all of them.
    if facts.is_in_initial_user_namespace == Some(false) {
        return Err(Refusal::UserNamespace);
    }
    let missing = facts.capabilities.map(missing).unwrap_or_default();
    if !missing.is_empty() {
        return Err(Refusal::Capabilities(missing));
    }
    if let Some(program) = facts.attached {
        return Err(Refusal::Attached { interface: interface(), program });
    }
    if is_driven_by(facts, "ena") {
        if facts.mtu > ENA_MOST_MTU {
            let (mtu, most) = (facts.mtu, ENA_MOST_MTU);
            return Err(Refusal::EnaMtu { interface: interface(), mtu, most });
        }
        if let Some(channels) = facts.channels
            && channels.combined > channels.most_combined / 2
        {
            let (used, most) = (channels.combined, channels.most_combined);
            return Err(Refusal::EnaChannels { interface: interface(), used, most });
        }
    }
    if ask.receivers > MAX_RECEIVERS {
        return Err(Refusal::Receivers(ask.receivers));
    }
    Ok(())
}

/// What the halves need that there is not: packet sockets too, for neighbours and for the half that is not XDP.
fn missing(has: Capabilities) -> Vec<&'static str> {
    let needed = [
        ("CAP_NET_RAW", has.net_raw),
        ("CAP_NET_ADMIN", has.net_admin),
        ("CAP_BPF", has.bpf || has.sys_admin),
        ("CAP_PERFMON", has.perfmon || has.sys_admin),
    ];
    needed.into_iter().filter(|(_, has)| !has).map(|(name, _)| name).collect()
}

fn enough_cpus(facts: &Facts, ask: &Ask) -> Result<(), Refusal> {
    match facts.cpus {
        Some(cpus) if cpus.get() < 2 => Err(Refusal::OneCpu(ask.rate)),
        _ => Ok(()),
    }
}

/// Whether all is known that [`possible`] gives the benefit of the doubt.
fn known(facts: &Facts) -> Result<(), Refusal> {
    let facts = [
        (facts.kernel.is_some(), "which kernel this is"),
        (facts.is_in_initial_user_namespace.is_some(), "in which user namespace this process is"),
        (facts.capabilities.is_some(), "which capabilities this process has"),
        (facts.cpus.is_some(), "how many CPUs this process may use"),
        (
            facts.channels.is_some() || !is_driven_by(facts, "ena"),
            "how many channels the device uses, which ENA limits",
        ),
    ];
    match facts.into_iter().find(|(is_known, _)| !is_known) {
        Some((_, what)) => Err(Refusal::Unknown(what)),
        None => Ok(()),
    }
}

/// Whether the driver runs programs.
fn native(facts: &Facts) -> Result<(), Refusal> {
    if facts.mtu > NATIVE_MOST_MTU {
        let (interface, mtu) = (facts.interface.clone(), facts.mtu);
        return Err(Refusal::LongFrames { interface, mtu, most: NATIVE_MOST_MTU });
    }
    let is_native = match facts.features {
        Some(features) => features.basic,
        None => is_driven_by(facts, "veth") || sends_while_attached(facts),
    };
    match is_native {
        true => Ok(()),
        false if is_driven_by(facts, "veth") => {
            Err(Refusal::VethQueues { interface: facts.interface.clone() })
        }
        false => {
            let (interface, driver) = named(facts);
            Err(Refusal::NotNative { interface, driver })
        }
    }
}

/// Whether the device sends what programs redirect to it, once a program of ours is attached, from as many threads as there will be.
fn live(facts: &Facts, ask: &Ask) -> Result<(), Refusal> {
    let (interface, driver) = named(facts);
    // Where frames go is for the far end's queues, which cannot be asked for; a pair has as many at both ends unless somebody
    // wanted it otherwise, and a far end with a program has no fewer.
    if let Some(channels) = facts.channels.filter(|_| is_driven_by(facts, "veth"))
        && channels.tx < u32::from(ask.receivers)
    {
        let (senders, queues) = (ask.receivers, channels.tx);
        return Err(Refusal::VethSenders { interface, senders, queues });
    }
    match facts.features.map(|features| features.ndo_xmit) {
        Some(true) => Ok(()),
        Some(false) | None if sends_while_attached(facts) => Ok(()),
        Some(false) if is_driven_by(facts, "veth") => Err(Refusal::VethFarEnd { interface }),
        Some(false) => Err(Refusal::NoXmit { interface, driver }),
        None => Err(Refusal::Unknown(
            "whether the device sends what XDP programs redirect to it, before Linux 6.3",
        )),
    }
}

fn sends_while_attached(facts: &Facts) -> bool {
    SENDS_WHILE_ATTACHED.iter().any(|driver| is_driven_by(facts, driver))
}

fn is_driven_by(facts: &Facts, driver: &str) -> bool {
    facts.driver.as_deref() == Some(driver)
}

/// The interface, and its driver in words.
fn named(facts: &Facts) -> (String, String) {
    let driver = facts.driver.as_deref().unwrap_or("which does not tell its name");
    (facts.interface.clone(), driver.to_owned())
}

#[cfg(test)]
mod tests;
