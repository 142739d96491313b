//! What this crate asks of EC2, in its own words: nothing but `sdk.rs` names a type of the SDK.

use std::{fmt, time::SystemTime};

use mrpf_aws::AwsError;
use mrpf_ports::InstanceState;

use crate::walk::Combination;

/// The tag with the platform's id.
pub(crate) const PLATFORM: &str = "mrpf:platform";
/// The tag with the number of the slot.
pub(crate) const SLOT: &str = "mrpf:slot";
/// The tag with its generation.
pub(crate) const GENERATION: &str = "mrpf:generation";

/// Calls of EC2, one after the other.
pub(crate) trait Ec2Api: fmt::Debug + Send + Sync {
    /// Launches one instance. Gives its id.
    fn run(&self, launch: &Launch<'_>) -> Result<String, AwsError>;
    /// Whether [`run`](Self::run) would be allowed and makes sense. Launches nothing.
    fn may_run(&self, launch: &Launch<'_>) -> Result<(), AwsError>;
    /// Our instances, those that have ended too; of one slot and generation, or all.
    fn machines(&self, platform: &str, slot: Option<(u32, u32)>) -> Result<Vec<Machine>, AwsError>;
    /// Ends an instance.
    fn terminate(&self, id: &str) -> Result<(), AwsError>;
    /// Whether [`terminate`](Self::terminate) would be allowed. Ends nothing.
    fn may_terminate(&self, id: &str) -> Result<(), AwsError>;
    /// The latest version of a launch template; none where it has no version.
    fn template(&self, name: &str) -> Result<Option<Template>, AwsError>;
    /// The architecture of an image; none where there is no such image for us.
    fn architecture(&self, image: &str) -> Result<Option<String>, AwsError>;
    /// Those of the types that the region has.
    fn types(&self, names: &[&str]) -> Result<Vec<TypeInfo>, AwsError>;
    /// Those of the subnets that exist.
    fn subnets(&self, ids: &[String]) -> Result<Vec<Subnet>, AwsError>;
}

/// An instance to be launched.
#[derive(Clone, Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) template: &'a str,
    pub(crate) at: &'a Combination,
    pub(crate) platform: &'a str,
    pub(crate) slot: (u32, u32),
    /// The same for the same launch.
    pub(crate) token: String,
}

/// An instance of ours.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Machine {
    pub(crate) id: String,
    pub(crate) slot: Option<(u32, u32)>,
    pub(crate) life: Life,
    /// The code of why it is as it is.
    pub(crate) code: Option<String>,
    /// The same for people.
    pub(crate) reason: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) launched: Option<SystemTime>,
}

/// The life of an instance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Life {
    /// It comes up, or is up.
    Live,
    /// It is switched off and its disk is kept, and paid for.
    Stopped,
    /// It shuts down.
    Ending,
    /// It is gone.
    Gone,
}

impl Machine {
    /// What the port calls it.
    pub(crate) fn state(&self) -> InstanceState {
        match self.life {
            Life::Live => InstanceState::Live,
            Life::Ending => InstanceState::Ending,
            Life::Stopped | Life::Gone => InstanceState::Gone,
        }
    }
}

/// What a launch template says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Template {
    pub(crate) version: i64,
    pub(crate) image: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) shutdown: Option<String>,
    pub(crate) is_kept: bool,
    pub(crate) has_interfaces: bool,
    pub(crate) has_profile: bool,
    /// `required` where version 1 of the metadata service is off.
    pub(crate) metadata_tokens: Option<String>,
    /// `disabled` where there is no metadata service.
    pub(crate) metadata: Option<String>,
}

/// An instance type.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct TypeInfo {
    pub(crate) name: String,
    pub(crate) vcpus: u32,
    pub(crate) architectures: Vec<String>,
}

/// A subnet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Subnet {
    pub(crate) id: String,
    pub(crate) vpc: Option<String>,
    pub(crate) zone: Option<String>,
    pub(crate) free_addresses: Option<i32>,
}
