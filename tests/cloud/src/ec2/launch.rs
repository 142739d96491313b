//! RunInstances.
//!
//! ```text
//!   allowed? --> parameters --> dry run? --> token known? --> same parameters? --> the same instances
//!                                                 '--> capacity, addresses --> new instances
//! ```

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    Capacity, Ec2, Event, State,
    catalog::Template,
    dry_run,
    instance::{Instance, InstanceState, Machine},
    xml::{list, text},
};
use crate::{ACCOUNT, clock::Moment, failure::Failure, form::Form};

const MOST_TOKEN: usize = 64;

/// What a client token was used for.
#[derive(Clone, Debug)]
pub(super) struct Token {
    params: Map<String, Value>,
    /// Empty while the launch has failed each time.
    instances: Vec<String>,
}

/// A launch whose parameters are right.
struct Launch {
    min: usize,
    max: usize,
    image: String,
    architecture: String,
    instance_type: String,
    subnet: String,
    zone: String,
    tags: BTreeMap<String, String>,
    shutdown_behavior: String,
    token: Option<String>,
}

impl Ec2 {
    pub(super) fn run_instances(
        &self,
        mut form: Form,
        params: &Map<String, Value>,
    ) -> Result<String, Failure> {
        let mut state = self.lock();
        let is_dry = form.switch("DryRun")?;
        let launch = Launch::read(&mut form, &mut state)?;
        form.finish()?;
        if !launch.tags.is_empty() {
            state.allow("CreateTags")?;
        }
        dry_run(is_dry)?;
        let now = self.clock.now();
        let mut params = params.clone();
        params.remove("DryRun");
        if let Some(token) = &launch.token {
            let fresh = || Token { params: params.clone(), instances: Vec::new() };
            let known = state.tokens.entry(token.clone()).or_insert_with(fresh);
            if known.params != params {
                let why = format!("The client token {token} was used with other parameters.");
                return Err(Failure::misuse("IdempotentParameterMismatch", why));
            }
            let ids = known.instances.clone();
            if !ids.is_empty() {
                return Ok(state.reservation(&ids, now));
            }
        }
        let count = state.room(&launch)?;
        let ids = state.launch(&launch, count, now);
        if let Some(token) = launch.token.as_ref().and_then(|token| state.tokens.get_mut(token)) {
            token.instances.clone_from(&ids);
        }
        Ok(state.reservation(&ids, now))
    }
}

impl State {
    /// How many of those asked for there is room for.
    fn room(&mut self, launch: &Launch) -> Result<usize, Failure> {
        let key = (launch.instance_type.clone(), launch.subnet.clone());
        let room = match self.capacity.get(&key) {
            None | Some(Capacity::Free | Capacity::GoneAfter(_)) => launch.max,
            Some(Capacity::Machines(left)) => *left,
            Some(Capacity::Refused(code)) => {
                return Err(Failure::new(code, format!("{code}: as the test asked")));
            }
        };
        let count = room.min(launch.max);
        if count < launch.min {
            let why = format!(
                "We currently do not have sufficient {} capacity in the Availability Zone you requested ({}). Our system will be working on provisioning additional capacity.",
                launch.instance_type, launch.zone
            );
            return Err(Failure::new("InsufficientInstanceCapacity", why));
        }
        let subnet = self.catalog.subnet(&launch.subnet)?;
        if subnet.free_addresses < count {
            let why = format!(
                "There are not enough free addresses in subnet '{}' to satisfy the requested number of instances.",
                subnet.id
            );
            return Err(Failure::new("InsufficientFreeAddressesInSubnet", why));
        }
        subnet.free_addresses -= count;
        if let Some(Capacity::Machines(left)) = self.capacity.get_mut(&key) {
            *left -= count;
        }
        Ok(count)
    }

    fn launch(&mut self, launch: &Launch, count: usize, now: Moment) -> Vec<String> {
        let reservation = fresh_id("r");
        let key = (launch.instance_type.clone(), launch.subnet.clone());
        let gone_after = match self.capacity.get(&key) {
            Some(Capacity::GoneAfter(time)) => Some(*time),
            _ => None,
        };
        let mut ids = Vec::new();
        for _ in 0..count {
            let number = self.machines.len() + 10;
            let instance = Instance {
                id: fresh_id("i"),
                instance_type: launch.instance_type.clone(),
                architecture: launch.architecture.clone(),
                image: launch.image.clone(),
                subnet: launch.subnet.clone(),
                zone: launch.zone.clone(),
                private_ip: format!("10.0.{}.{}", number / 250, number % 250),
                tags: launch.tags.clone(),
                client_token: launch.token.clone(),
                shutdown_behavior: launch.shutdown_behavior.clone(),
                launched_at: now,
                state: InstanceState::Pending,
                reason: None,
            };
            ids.push(instance.id.clone());
            let boot = gone_after.unwrap_or(self.boot);
            let mut machine = Machine::new(&reservation, instance.clone(), boot);
            match gone_after {
                Some(time) => machine.become_at(
                    now + time,
                    InstanceState::Terminated,
                    "Server.InsufficientInstanceCapacity",
                    "There was insufficient capacity available to satisfy the launch request",
                ),
                // One that is to vanish never comes up.
                None => self.tell(&Event::Launched(Box::new(instance))),
            }
            self.machines.push(machine);
        }
        ids
    }

    /// What RunInstances says of instances, as they are now.
    fn reservation(&self, ids: &[String], now: Moment) -> String {
        let machines: Vec<_> =
            self.machines.iter().filter(|machine| ids.contains(&machine.instance.id)).collect();
        let id = machines.first().map(|machine| machine.reservation.as_str()).unwrap_or_default();
        // A new one is pending in this answer, however fast it boots.
        let view = |machine: &&Machine| {
            let is_new = machine.instance.launched_at == now;
            let seen = machine.at(now).filter(|_| !is_new);
            seen.unwrap_or_else(|| machine.instance.clone()).xml()
        };
        let instances = list("instancesSet", machines.iter().map(view));
        text("reservationId", id) + &text("ownerId", ACCOUNT) + "<groupSet/>" + &instances
    }
}

impl Launch {
    fn read(form: &mut Form, state: &mut State) -> Result<Self, Failure> {
        let count = |form: &mut Form, name| {
            form.number(name)?.filter(|count| *count > 0).ok_or_else(|| crate::form::missing(name))
        };
        let (min, max) = (count(form, "MinCount")?, count(form, "MaxCount")?);
        if min > max {
            let why = format!("MinCount ({min}) is more than MaxCount ({max})");
            return Err(Failure::misuse("InvalidParameterCombination", why));
        }
        let token = form.text("ClientToken");
        if token.as_ref().is_some_and(|token| token.len() > MOST_TOKEN || !token.is_ascii()) {
            let why = "The client token must be at most 64 ASCII letters";
            return Err(Failure::misuse("InvalidParameterValue", why));
        }
        let template = Self::template(form, state)?;
        let (instance_type, architecture) = Self::instance_type(form, state, &template)?;
        let given = form.text("InstanceInitiatedShutdownBehavior");
        let shutdown_behavior = given.or(template.shutdown_behavior);
        let shutdown_behavior = shutdown_behavior.unwrap_or_else(|| "stop".to_owned());
        if !["stop", "terminate"].contains(&shutdown_behavior.as_str()) {
            let why = format!(
                "Value ({shutdown_behavior}) for parameter InstanceInitiatedShutdownBehavior is invalid."
            );
            return Err(Failure::misuse("InvalidParameterValue", why));
        }
        let first = || state.catalog.subnets.first().map(|subnet| subnet.id.clone());
        let subnet = form.text("SubnetId").or(template.subnet).or_else(first);
        let none = || {
            let why = "No subnets found for the default VPC. Please specify a subnet.";
            Failure::new("MissingInput", why)
        };
        let subnet = subnet.ok_or_else(none)?;
        let zone = state.catalog.subnet(&subnet)?.zone.clone();
        let tags = tags(form)?;
        let image = template.image;
        Ok(Self {
            min,
            max,
            image,
            architecture,
            instance_type,
            subnet,
            zone,
            tags,
            shutdown_behavior,
            token,
        })
    }

    fn template(form: &mut Form, state: &State) -> Result<Template, Failure> {
        let (id, name) = (
            form.text("LaunchTemplate.LaunchTemplateId"),
            form.text("LaunchTemplate.LaunchTemplateName"),
        );
        let version = form.text("LaunchTemplate.Version");
        let versions = state.catalog.template(id.as_deref(), name.as_deref())?;
        let (_, template) = versions.version(version.as_deref().unwrap_or("$Default"))?;
        Ok(template.clone())
    }

    /// The type with its architecture, which must be the image's.
    fn instance_type(
        form: &mut Form,
        state: &State,
        template: &Template,
    ) -> Result<(String, String), Failure> {
        let asked = form.text("InstanceType").or_else(|| template.instance_type.clone());
        let asked = asked.ok_or_else(|| crate::form::missing("InstanceType"))?;
        let Some(known) = state.catalog.types.get(&asked) else {
            let why = format!("Invalid value '{asked}' for InstanceType.");
            return Err(Failure::new("InvalidParameterValue", why));
        };
        let image = state.catalog.image(&template.image)?;
        if image != known.architecture {
            let why = format!(
                "The architecture '{}' of the specified instance type does not match the architecture '{image}' of the specified AMI. Specify an instance type and an AMI that have matching architectures, and try again.",
                known.architecture
            );
            return Err(Failure::new("InvalidParameterValue", why));
        }
        Ok((asked, known.architecture.clone()))
    }
}

/// The tags for instances; those for other resources are checked and forgotten.
fn tags(form: &mut Form) -> Result<BTreeMap<String, String>, Failure> {
    let mut tags = BTreeMap::new();
    let mut seen = Vec::new();
    for number in 1.. {
        let prefix = format!("TagSpecification.{number}");
        let Some(resource) = form.text(&format!("{prefix}.ResourceType")) else { break };
        if !["instance", "network-interface", "volume"].contains(&resource.as_str()) {
            let why =
                format!("'{resource}' is not a valid taggable resource type for this operation.");
            return Err(Failure::misuse("InvalidParameterValue", why));
        }
        for number in 1.. {
            let Some(key) = form.text(&format!("{prefix}.Tag.{number}.Key")) else { break };
            let value = form.text(&format!("{prefix}.Tag.{number}.Value")).unwrap_or_default();
            let is_reserved = key.to_ascii_lowercase().starts_with("aws:");
            let is_right =
                !key.is_empty() && key.chars().count() <= 128 && value.chars().count() <= 256;
            if is_reserved || !is_right {
                let why = format!("The tag {key:?} is reserved or too long");
                return Err(Failure::misuse("InvalidParameterValue", why));
            }
            if seen.contains(&(resource.clone(), key.clone())) {
                let why = format!("Duplicate tag key '{key}' specified.");
                return Err(Failure::misuse("InvalidParameterValue", why));
            }
            seen.push((resource.clone(), key.clone()));
            if resource == "instance" {
                tags.insert(key, value);
            }
        }
    }
    Ok(tags)
}

/// An id as AWS makes them: a word and 17 hexadecimal digits.
fn fresh_id(word: &str) -> String {
    let digits = Uuid::new_v4().simple().to_string();
    format!("{word}-{}", &digits[..17])
}
