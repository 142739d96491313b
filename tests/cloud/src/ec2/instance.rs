//! Instances, and what became of them when.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use super::{
    catalog::VPC,
    xml::{date, element, list, text},
};
use crate::clock::Moment;

/// How long a terminated instance is still shown.
const REMEMBERED: Duration = Duration::from_secs(3_600);

/// Where an instance is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InstanceState {
    /// It comes up.
    Pending,
    /// It is up.
    Running,
    /// It is being terminated.
    ShuttingDown,
    /// It is gone.
    Terminated,
    /// It was shut down, and keeps its disk.
    Stopped,
}

impl InstanceState {
    fn code(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Running => 16,
            Self::ShuttingDown => 32,
            Self::Terminated => 48,
            Self::Stopped => 80,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
            Self::Stopped => "stopped",
        }
    }

    /// Whether it is up, or to come up.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }

    pub(super) fn xml(self, name: &str) -> String {
        let inside = text("code", &self.code().to_string()) + &text("name", self.name());
        element(name, &inside)
    }
}

/// Code and message.
pub(super) type Reason = (String, String);

/// An instance at some moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Instance {
    /// What AWS calls it.
    pub id: String,
    /// Its type: the template's, where the launch named none.
    pub instance_type: String,
    /// Of its processor.
    pub architecture: String,
    /// Its machine image.
    pub image: String,
    /// Where it is.
    pub subnet: String,
    /// Where that is.
    pub zone: String,
    /// Inside the VPC.
    pub private_ip: String,
    /// Those of the launch.
    pub tags: BTreeMap<String, String>,
    /// That of the launch.
    pub client_token: Option<String>,
    /// What happens when it shuts itself down: `stop` or `terminate`.
    pub shutdown_behavior: String,
    /// Since 1970.
    pub launched_at: Duration,
    /// Whether it lives.
    pub state: InstanceState,
    /// Code and message of AWS's reason for the state.
    pub reason: Option<Reason>,
}

/// An instance with all that became of it, and what will.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) reservation: String,
    pub(super) instance: Instance,
    history: Vec<(Moment, InstanceState, Option<Reason>)>,
}

impl Machine {
    pub(super) fn new(reservation: &str, instance: Instance, boot: Duration) -> Self {
        let start = instance.launched_at;
        let history = vec![
            (start, InstanceState::Pending, None),
            (start + boot, InstanceState::Running, None),
        ];
        Self { reservation: reservation.to_owned(), instance, history }
    }

    /// The instance as it is then; `None` before its launch and when it is long gone.
    pub(super) fn at(&self, moment: Moment) -> Option<Instance> {
        let (since, state, reason) = self.history.iter().rev().find(|(at, ..)| *at <= moment)?;
        let is_forgotten = *state == InstanceState::Terminated && *since + REMEMBERED < moment;
        let (state, reason) = (*state, reason.clone());
        (!is_forgotten).then(|| Instance { state, reason, ..self.instance.clone() })
    }

    /// From its launch until it was gone or stopped, or now.
    pub(super) fn life(&self, now: Moment) -> Range<Moment> {
        let is_end = |state| matches!(state, InstanceState::Terminated | InstanceState::Stopped);
        let end = self.history.iter().find(|(at, state, _)| is_end(*state) && *at <= now);
        // One that is launched at this moment is there.
        let end = end.map_or(now + Duration::from_nanos(1), |(at, ..)| *at);
        self.instance.launched_at..end
    }

    /// Whether it will never live again, or has long not.
    pub(super) fn is_over(&self, now: Moment) -> bool {
        let is_terminated = |instance: Instance| {
            matches!(instance.state, InstanceState::ShuttingDown | InstanceState::Terminated)
        };
        self.at(now).is_none_or(is_terminated)
    }

    /// What else was to come does not.
    pub(super) fn become_at(
        &mut self,
        at: Moment,
        state: InstanceState,
        code: &str,
        message: &str,
    ) {
        self.history.retain(|(then, ..)| *then < at);
        let reason = Some((code.to_owned(), format!("{code}: {message}")));
        self.history.push((at, state, reason));
    }
}

impl Instance {
    /// As inside `instancesSet`.
    pub(super) fn xml(&self) -> String {
        let dns = format!("ip-{}.eu-central-1.compute.internal", self.private_ip.replace('.', "-"));
        let tags = self
            .tags
            .iter()
            .map(|(key, value)| text("key", key) + &text("value", value))
            .collect::<Vec<_>>();
        let mut xml = [
            text("instanceId", &self.id),
            text("imageId", &self.image),
            self.state.xml("instanceState"),
            text("privateDnsName", &dns),
            text("dnsName", ""),
            text("amiLaunchIndex", "0"),
            text("instanceType", &self.instance_type),
            text("launchTime", &date(self.launched_at)),
            element(
                "placement",
                &(text("availabilityZone", &self.zone) + &text("tenancy", "default")),
            ),
            element("monitoring", &text("state", "disabled")),
            text("subnetId", &self.subnet),
            text("vpcId", VPC),
            text("privateIpAddress", &self.private_ip),
            text("architecture", &self.architecture),
            text("rootDeviceType", "ebs"),
            text("virtualizationType", "hvm"),
            text("clientToken", self.client_token.as_deref().unwrap_or_default()),
            text("hypervisor", "xen"),
            list("tagSet", tags),
        ]
        .concat();
        if let Some((code, message)) = &self.reason {
            xml += &text("reason", message);
            xml += &element("stateReason", &(text("code", code) + &text("message", message)));
        }
        xml
    }

    /// What it has under the name of a filter.
    pub(super) fn values(&self, filter: &str) -> Vec<String> {
        match filter {
            "availability-zone" => vec![self.zone.clone()],
            "client-token" => self.client_token.iter().cloned().collect(),
            "image-id" => vec![self.image.clone()],
            "instance-id" => vec![self.id.clone()],
            "instance-state-name" => vec![self.state.name().to_owned()],
            "instance-type" => vec![self.instance_type.clone()],
            "subnet-id" => vec![self.subnet.clone()],
            "tag-key" => self.tags.keys().cloned().collect(),
            other => {
                let key = other.strip_prefix("tag:").unwrap_or_default();
                self.tags.get(key).cloned().into_iter().collect()
            }
        }
    }
}

/// The names that [`Instance::values`] knows.
pub(super) const FILTERS: [&str; 9] = [
    "availability-zone",
    "client-token",
    "image-id",
    "instance-id",
    "instance-state-name",
    "instance-type",
    "subnet-id",
    "tag-key",
    "tag:",
];
