//! What a task may scan, and whether it is worth beginning.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use mrpf_engine::{
    governor::Rate,
    scan::Settings as ScanSettings,
    target::{Shard, TargetError, Targets, Walk},
};
use mrpf_ports::Cx;
use mrpf_syn::{Builder, Scan};
use mrpf_tasks::{
    AddressRange, ErrorKind, TaskError,
    catalogue::{SynScanInput, TcpSynScan},
};

use crate::{Link, Settings};

/// No scan is begun that takes longer: a task that long is better cut into shards.
pub const LONGEST: Duration = Duration::from_secs(6 * 3_600);

/// A scan that may be made.
#[derive(Debug)]
pub(crate) struct Plan {
    targets: Vec<AddressRange>,
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
    pub(crate) fn make(
        cx: &Cx<'_, TcpSynScan>,
        input: SynScanInput,
        settings: &Settings,
    ) -> Result<Self, TaskError> {
        let recon = cx.recon();
        let cut = cx.scope().cut(&input.targets, &recon.blocklist()?);
        recon.refuse(&cut.refused)?;
        if cut.inside.is_empty() {
            let why =
                "all targets lie outside the workflow's scope or are blocked: see the refusals";
            return Err(TaskError::new(ErrorKind::OutOfScope, why));
        }
        let asked = NonZeroU64::new(input.rate).unwrap_or(NonZeroU64::MIN);
        let shard = Shard::new(input.shard, input.shards)
            .map_err(|error| TaskError::new(ErrorKind::Input, format!("shard: {error}")))?;
        let mut plan = Self {
            targets: cut.inside,
            ports: input.ports,
            scan: ScanSettings {
                rate: Rate::PerSecond(asked.min(settings.max_rate)),
                retries: input.retries,
                cooldown: Duration::from_secs(input.cooldown_secs.into()),
                ..ScanSettings::default()
            },
            seed: input.seed,
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
        let targets =
            Targets::builder().allow_reserved(self.allow_reserved).ports(self.ports.clone());
        let specs = self.targets.iter().map(ToString::to_string);
        let targets = specs.fold(targets, |targets, spec| targets.spec(spec)).build();
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

    /// Refuses what takes more than [`LONGEST`] when nobody answers.
    fn check_time(&self, walk: &Walk) -> Result<(), TaskError> {
        let attempts = 1 + u64::from(self.scan.retries);
        let frames = u128::from(walk.len()) * u128::from(attempts);
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
        let specs = self.targets.iter().map(ToString::to_string);
        let builder = specs
            .fold(Scan::builder(), Builder::target)
            .ports(self.ports.clone())
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
