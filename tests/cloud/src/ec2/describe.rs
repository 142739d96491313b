//! The Describe operations, and TerminateInstances.

use super::{
    Ec2, Event,
    catalog::{InstanceType, Subnet, VPC, Versions},
    dry_run,
    instance::{FILTERS, InstanceState},
    query::{Filters, Page},
    xml::{date, element, list, text},
};
use crate::{ACCOUNT, REGION, failure::Failure, form::Form};

impl Ec2 {
    pub(super) fn describe_instances(&self, mut form: Form) -> Result<String, Failure> {
        let state = self.lock();
        let is_dry = form.switch("DryRun")?;
        let ids = form.list("InstanceId");
        let filters = Filters::read(&mut form, &FILTERS)?;
        let page = Page::read(&mut form, 5, state.longest_page)?;
        form.finish()?;
        dry_run(is_dry)?;
        if page.is_limited && !ids.is_empty() {
            let why = "The parameter instancesSet cannot be used with the parameter maxResults";
            return Err(Failure::misuse("InvalidParameterCombination", why));
        }
        // What happened within the lag is not known here yet.
        let then = self.clock.now().saturating_sub(state.lag);
        let seen: Vec<_> = state
            .machines
            .iter()
            .filter_map(|machine| Some((machine.reservation.clone(), machine.at(then)?)))
            .collect();
        for id in &ids {
            if !seen.iter().any(|(_, instance)| instance.id == *id) {
                return Err(no_instance(id));
            }
        }
        let fitting = seen.into_iter().filter(|(_, instance)| {
            (ids.is_empty() || ids.contains(&instance.id))
                && filters.fit(|name| instance.values(name))
        });
        let (fitting, next) = page.cut(fitting.collect());
        let reservations = fitting.iter().map(|(reservation, instance)| {
            text("reservationId", reservation)
                + &text("ownerId", ACCOUNT)
                + "<groupSet/>"
                + &list("instancesSet", [instance.xml()])
        });
        Ok(list("reservationSet", reservations) + &next_token(next))
    }

    pub(super) fn terminate_instances(&self, mut form: Form) -> Result<String, Failure> {
        let mut state = self.lock();
        let is_dry = form.switch("DryRun")?;
        let ids = form.list("InstanceId");
        form.finish()?;
        if ids.is_empty() {
            return Err(crate::form::missing("InstanceId"));
        }
        let now = self.clock.now();
        // All or none.
        for id in &ids {
            let machine = state.machines.iter().find(|machine| machine.instance.id == *id);
            machine.and_then(|machine| machine.at(now)).ok_or_else(|| no_instance(id))?;
        }
        dry_run(is_dry)?;
        let mut changes = Vec::new();
        for id in ids {
            let before = state.at(&id, now).map_or(InstanceState::Terminated, |seen| seen.state);
            let is_over = before == InstanceState::Terminated;
            if before != InstanceState::ShuttingDown && !is_over {
                let reason = ("Client.UserInitiatedShutdown", "User initiated shutdown");
                state.end(&id, now, InstanceState::Terminated, reason);
                state.tell(&Event::Terminated(id.clone()));
            }
            let after = if is_over { before } else { InstanceState::ShuttingDown };
            let states = after.xml("currentState") + &before.xml("previousState");
            changes.push(text("instanceId", &id) + &states);
        }
        Ok(list("instancesSet", changes))
    }

    pub(super) fn describe_launch_template_versions(
        &self,
        mut form: Form,
    ) -> Result<String, Failure> {
        let state = self.lock();
        let is_dry = form.switch("DryRun")?;
        let (id, name) = (form.text("LaunchTemplateId"), form.text("LaunchTemplateName"));
        let wanted = form.list("LaunchTemplateVersion");
        // No image here is named by a parameter of another service, so there is nothing to resolve.
        form.switch("ResolveAlias")?;
        let page = Page::read(&mut form, 1, state.longest_page)?;
        form.finish()?;
        dry_run(is_dry)?;
        let template = state.catalog.template(id.as_deref(), name.as_deref())?;
        let mut numbers = Vec::new();
        for version in &wanted {
            numbers.push(template.version(version)?.0);
        }
        if wanted.is_empty() {
            numbers = (1..=template.versions.len()).rev().collect();
        }
        let (numbers, next) = page.cut(numbers);
        let versions = numbers.iter().map(|number| version_xml(template, *number, self));
        Ok(list("launchTemplateVersionSet", versions) + &next_token(next))
    }

    pub(super) fn describe_images(&self, mut form: Form) -> Result<String, Failure> {
        let state = self.lock();
        let is_dry = form.switch("DryRun")?;
        let ids = form.list("ImageId");
        let filters = Filters::read(&mut form, &["architecture", "image-id", "state"])?;
        let page = Page::read(&mut form, 1, state.longest_page)?;
        form.finish()?;
        dry_run(is_dry)?;
        ids.iter().try_for_each(|id| state.catalog.image(id).map(drop))?;
        let fitting = state.catalog.images.iter().filter(|(id, architecture)| {
            let values = |name: &str| match name {
                "architecture" => vec![(*architecture).clone()],
                "image-id" => vec![(*id).clone()],
                _ => vec!["available".to_owned()],
            };
            (ids.is_empty() || ids.contains(id)) && filters.fit(values)
        });
        let (images, next) = page.cut(fitting.collect());
        let images = images.iter().map(|(id, architecture)| {
            [
                text("imageId", id),
                text("imageState", "available"),
                text("imageOwnerId", ACCOUNT),
                text("architecture", architecture),
                text("imageType", "machine"),
                text("name", id),
                text("rootDeviceType", "ebs"),
                text("virtualizationType", "hvm"),
                text("enaSupport", "true"),
            ]
            .concat()
        });
        Ok(list("imagesSet", images) + &next_token(next))
    }

    pub(super) fn describe_instance_types(&self, mut form: Form) -> Result<String, Failure> {
        let state = self.lock();
        let is_dry = form.switch("DryRun")?;
        let names = form.list("InstanceType");
        let filters = Filters::read(&mut form, &["instance-type"])?;
        let page = Page::read(&mut form, 5, state.longest_page)?;
        form.finish()?;
        dry_run(is_dry)?;
        let types = &state.catalog.types;
        let unknown: Vec<_> =
            names.iter().filter(|name| !types.contains_key(*name)).cloned().collect();
        if !unknown.is_empty() {
            let why = format!(
                "The following supplied instance types do not exist: [{}]",
                unknown.join(", ")
            );
            return Err(Failure::new("InvalidInstanceType", why));
        }
        let fitting = types.values().filter(|t| {
            (names.is_empty() || names.contains(&t.name)) && filters.fit(|_| vec![t.name.clone()])
        });
        let (types, next) = page.cut(fitting.collect());
        Ok(list("instanceTypeSet", types.iter().map(|t| type_xml(t))) + &next_token(next))
    }

    pub(super) fn describe_subnets(&self, mut form: Form) -> Result<String, Failure> {
        let mut state = self.lock();
        let is_dry = form.switch("DryRun")?;
        let ids = form.list("SubnetId");
        let filters = Filters::read(&mut form, &["availability-zone", "subnet-id", "vpc-id"])?;
        let page = Page::read(&mut form, 5, state.longest_page)?;
        form.finish()?;
        dry_run(is_dry)?;
        ids.iter().try_for_each(|id| state.catalog.subnet(id).map(drop))?;
        let fitting = state.catalog.subnets.iter().filter(|subnet| {
            let values = |name: &str| match name {
                "availability-zone" => vec![subnet.zone.clone()],
                "subnet-id" => vec![subnet.id.clone()],
                _ => vec![VPC.to_owned()],
            };
            (ids.is_empty() || ids.contains(&subnet.id)) && filters.fit(values)
        });
        let (subnets, next) = page.cut(fitting.collect());
        Ok(list("subnetSet", subnets.iter().map(|subnet| subnet_xml(subnet))) + &next_token(next))
    }
}

fn version_xml(template: &Versions, number: usize, ec2: &Ec2) -> String {
    let data = &template.versions[number - 1];
    let mut inside = text("imageId", &data.image);
    if let Some(instance_type) = &data.instance_type {
        inside += &text("instanceType", instance_type);
    }
    if let Some(behavior) = &data.shutdown_behavior {
        inside += &text("instanceInitiatedShutdownBehavior", behavior);
    }
    if let Some(subnet) = &data.subnet {
        let interface = text("deviceIndex", "0") + &text("subnetId", subnet);
        inside += &list("networkInterfaceSet", [interface]);
    }
    [
        text("launchTemplateId", &template.id),
        text("launchTemplateName", &template.name),
        text("versionNumber", &number.to_string()),
        text("createTime", &date(ec2.clock.now())),
        text("createdBy", &format!("arn:aws:iam::{ACCOUNT}:user/tester")),
        text("defaultVersion", if number == 1 { "true" } else { "false" }),
        element("launchTemplateData", &inside),
    ]
    .concat()
}

fn type_xml(instance_type: &InstanceType) -> String {
    let InstanceType { name, architecture, vcpus, memory_mib } = instance_type;
    [
        text("instanceType", name),
        text("currentGeneration", "true"),
        text("bareMetal", "false"),
        text("hypervisor", "nitro"),
        element("processorInfo", &list("supportedArchitectures", [architecture.clone()])),
        element("vCpuInfo", &text("defaultVCpus", &vcpus.to_string())),
        element("memoryInfo", &text("sizeInMiB", &memory_mib.to_string())),
    ]
    .concat()
}

fn subnet_xml(subnet: &Subnet) -> String {
    let Subnet { id, zone, free_addresses } = subnet;
    [
        text("subnetId", id),
        text("subnetArn", &format!("arn:aws:ec2:{REGION}:{ACCOUNT}:subnet/{id}")),
        text("state", "available"),
        text("ownerId", ACCOUNT),
        text("vpcId", VPC),
        text("cidrBlock", "10.0.0.0/16"),
        text("availableIpAddressCount", &free_addresses.to_string()),
        text("availabilityZone", zone),
        text("defaultForAz", "false"),
        text("mapPublicIpOnLaunch", "false"),
    ]
    .concat()
}

fn next_token(next: Option<String>) -> String {
    next.map(|token| text("nextToken", &token)).unwrap_or_default()
}

fn no_instance(id: &str) -> Failure {
    let digits = id.strip_prefix("i-").unwrap_or_default();
    let is_id = [8, 17].contains(&digits.len()) && digits.chars().all(|d| d.is_ascii_hexdigit());
    if is_id {
        let why = format!("The instance ID '{id}' does not exist");
        return Failure::new("InvalidInstanceID.NotFound", why);
    }
    Failure::misuse("InvalidInstanceID.Malformed", format!("Invalid id: \"{id}\""))
}
