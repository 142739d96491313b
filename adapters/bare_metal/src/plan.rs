//! What a task may scan, and whether it is worth beginning.

use std::{net::SocketAddr, num::NonZeroU64, sync::Arc, time::Duration};

use mrpf_engine::{
    governor::Rate,
    scan::Settings as ScanSettings,
    target::{Shard, TargetError, Targets, Walk},
};
use mrpf_ports::Cx;
use mrpf_syn::{Builder, Scan};
use mrpf_tasks::{
    AddressRange, ErrorKind, Requires, TaskDefinition, TaskError,
    access::ReconDataAccess,
    catalogue::{SynScanInput, TlsScanInput},
    scope::Targeted,
};

use crate::{Link, Settings};

/// No scan is begun that takes longer: a task that long is better cut into shards.
pub const LONGEST: Duration = Duration::from_secs(6 * 3_600);

/// Frames of a connection after its SYN: the hello, acknowledgements of what comes, the end.
const FRAMES_OF_TLS: u64 = 8;

/// What the input of any scan says.
#[derive(Debug)]
pub(crate) struct Asked {
    targets: Vec<AddressRange>,
    /// Beside the ports of those.
    endpoints: Vec<SocketAddr>,
    ports: String,
    rate: u64,
    retries: u8,
    cooldown_secs: u8,
    seed: u64,
    shard: (u32, u32),
}

impl From<&SynScanInput> for Asked {
    fn from(input: &SynScanInput) -> Self {
        Self {
            targets: input.targets.clone(),
            endpoints: Vec::new(),
            ports: input.ports.clone(),
            rate: input.rate,
            retries: input.retries,
            cooldown_secs: input.cooldown_secs,
            seed: input.seed,
            shard: (input.shard, input.shards),
        }
    }
}

impl From<&TlsScanInput> for Asked {
    fn from(input: &TlsScanInput) -> Self {
        Self {
            targets: input.targets.clone(),
            endpoints: input
                .hosts
                .iter()
                .flat_map(|host| host.ports.iter().map(|port| SocketAddr::new(host.ip, *port)))
                .collect(),
            ports: input.ports.clone(),
            rate: input.rate,
            retries: input.retries,
            cooldown_secs: input.cooldown_secs,
            seed: input.seed,
            shard: (input.shard, input.shards),
        }
    }
}

/// A scan that may be made.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Ranges, and endpoints with their ports.
    targets: Vec<String>,
    /// Of them, those that are expected to talk.
    endpoints: usize,
    ports: String,
    scan: ScanSettings,
    seed: u64,
    shard: Shard,
    allow_reserved: bool,
    /// Tells scans of other targets apart, whose marks mean something else.
    pub(crate) fingerprint: u64,
}

impl Plan {
    /// Cuts the targets to what may be touched, notes the rest, and refuses what would take too long.
    pub(crate) fn make<T, I>(
        cx: &Cx<'_, T>,
        input: &mut I,
        settings: &Settings,
    ) -> Result<Self, TaskError>
    where
        T: TaskDefinition + Requires<ReconDataAccess>,
        I: Targeted,
        for<'a> Asked: From<&'a I>,
    {
        let recon = cx.recon();
        let refused = input.cut(cx.scope(), &recon.blocklist()?);
        recon.refuse(&refused)?;
        if input.has_no_target() {
            let why =
                "all targets lie outside the workflow's scope or are blocked: see the refusals";
            return Err(TaskError::new(ErrorKind::OutOfScope, why));
        }
        let asked = Asked::from(&*input);
        let rate = NonZeroU64::new(asked.rate).unwrap_or(NonZeroU64::MIN);
        let (shard, shards) = asked.shard;
        let shard = Shard::new(shard, shards)
            .map_err(|error| TaskError::new(ErrorKind::Input, format!("shard: {error}")))?;
        let ranges = asked.targets.iter().map(ToString::to_string);
        let endpoints = asked.endpoints.iter().map(ToString::to_string);
        let mut plan = Self {
            targets: ranges.chain(endpoints).collect(),
            endpoints: asked.endpoints.len(),
            ports: asked.ports,
            scan: ScanSettings {
                rate: Rate::PerSecond(rate.min(settings.max_rate)),
                retries: asked.retries,
                cooldown: Duration::from_secs(asked.cooldown_secs.into()),
                ..ScanSettings::default()
            },
            seed: asked.seed,
            shard,
            allow_reserved: settings.allow_reserved,
            fingerprint: 0,
        };
        let walk = plan.walk()?;
        plan.check_time(&walk)?;
        plan.fingerprint = walk.fingerprint();
        Ok(plan)
    }

    /// The order of the scan, without a link.
    fn walk(&self) -> Result<Walk, TaskError> {
        let mut targets = Targets::builder().allow_reserved(self.allow_reserved);
        if !self.ports.is_empty() {
            targets = targets.ports(self.ports.clone());
        }
        let targets =
            self.targets.iter().fold(targets, |targets, spec| targets.spec(spec.clone())).build();
        let targets = targets.map_err(|error| match error {
            TargetError::Empty { .. } => {
                let why = "all targets are reserved addresses (private, documentation, multicast ...), which this worker \
                           leaves alone unless its settings allow them";
                TaskError::new(ErrorKind::OutOfScope, why)
            }
            error => TaskError::new(ErrorKind::Input, error.to_string()),
        })?;
        Ok(Walk::new(Arc::new(targets), self.seed, self.shard))
    }

    /// Refuses what takes more than [`LONGEST`] when nobody answers but those of whom that is known.
    fn check_time(&self, walk: &Walk) -> Result<(), TaskError> {
        let attempts = 1 + u64::from(self.scan.retries);
        let talk = (self.endpoints as u64).min(walk.len()) * FRAMES_OF_TLS;
        let frames = u128::from(walk.len()) * u128::from(attempts) + u128::from(talk);
        let rate = self.scan.effective_rate(walk.targets().hosts());
        let rate = u128::from(rate.per_second().map_or(1, NonZeroU64::get));
        if frames <= rate * u128::from(LONGEST.as_secs()) {
            return Ok(());
        }
        let why = format!(
            "{} targets at {attempts} attempts and {rate} frames a second take {} h, and a task may take {} h: cut it into \
             more shards (GenerateTargets does)",
            walk.len(),
            frames / rate / 3_600,
            LONGEST.as_secs() / 3_600,
        );
        Err(TaskError::new(ErrorKind::Input, why))
    }

    /// The scan on a link, from number `mark` of its order on.
    pub(crate) fn builder(&self, link: &Link, mark: u64) -> Builder {
        let mut builder = self.targets.iter().cloned().fold(Scan::builder(), Builder::target);
        if !self.ports.is_empty() {
            builder = builder.ports(self.ports.clone());
        }
        let builder = builder
            .allow_reserved(self.allow_reserved)
            .settings(self.scan)
            .seed(self.seed)
            .shard(self.shard)
            .expect_fingerprint(self.fingerprint)
            .start_at(mark);
        match link {
            Link::Packet => builder,
            Link::Simulated(network) => builder.simulated(network.clone()),
        }
    }
}
