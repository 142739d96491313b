//! Whether launches will work, before one is needed: what is wrong, and what mends it.
//!
//! Nothing is launched or ended: permissions are asked for by dry runs, with the very requests that a launch makes, once for each
//! subnet.

use std::{collections::BTreeMap, fmt};

use mrpf_aws::AwsError;

use crate::{
    api::{Launch, Life, Subnet, Template},
    fleet::{Ec2Fleet, Settings},
    verdict::{self, Verdict},
    walk::Combination,
};

/// Something about the fleet's settings that somebody should know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Finding {
    /// It will not work like this.
    Wrong(String),
    /// It works, and might be better; or it could not be looked at.
    Note(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong(text) => write!(f, "wrong: {text}"),
            Self::Note(text) => write!(f, "note: {text}"),
        }
    }
}

impl Ec2Fleet {
    /// Looks at everything that a launch needs.
    pub fn check(&self) -> Vec<Finding> {
        let mut findings = self.check_template();
        findings.extend(self.check_kinds());
        findings.extend(self.check_subnets());
        findings.extend(self.check_permissions());
        findings
    }

    fn check_template(&self) -> Vec<Finding> {
        let Settings { template: name, subnets, .. } = &self.settings;
        match self.api.template(name) {
            Ok(Some(template)) => template_findings(name, &template, !subnets.is_empty()),
            Ok(None) => vec![wrong(format!("launch template {name} has no version"))],
            Err(error) => vec![because(
                &error,
                format!(
                    "launch template {name}: {error}; make it, or name another in BARE_METAL_LAUNCH_TEMPLATE"
                ),
            )],
        }
    }

    fn check_kinds(&self) -> Vec<Finding> {
        match self.look_at_template() {
            Ok(kinds) if kinds.kinds.is_empty() => {
                let lines = kinds.left_out.join("; ");
                vec![wrong(format!(
                    "no instance type can run the template's image: {lines}; use an image for arm64"
                ))]
            }
            Ok(kinds) => {
                let mends =
                    "; with an image for arm64 in the template there would be more to fall back on";
                let note = |line: String| {
                    let mends = if line.contains("the image is for") { mends } else { "" };
                    Finding::Note(format!("{line}: it is not asked for{mends}"))
                };
                kinds.left_out.into_iter().map(note).collect()
            }
            Err(error) => {
                vec![Finding::Note(format!("which types fit the image is not known: {error}"))]
            }
        }
    }

    fn check_subnets(&self) -> Vec<Finding> {
        let wanted = &self.settings.subnets;
        if wanted.is_empty() {
            let text = "BARE_METAL_WORKER_SUBNETS is empty: launches have one zone, the template's or EC2's choice";
            return vec![Finding::Note(text.to_owned())];
        }
        match self.api.subnets(wanted) {
            Ok(found) => subnet_findings(wanted, &found),
            Err(error) => vec![Finding::Note(format!("subnets are not looked at: {error}"))],
        }
    }

    fn check_permissions(&self) -> Vec<Finding> {
        let Settings { template, subnets, platform } = &self.settings;
        let mut findings = Vec::new();
        let none = subnets.is_empty().then_some(None);
        for subnet in subnets.iter().cloned().map(Some).chain(none) {
            let at = Combination { kind: None, subnet };
            let token = String::new();
            let launch = Launch { template, at: &at, platform, slot: (0, 0), token };
            if let Err(error) = self.api.may_run(&launch) {
                findings
                    .push(because(&error, format!("launching {at}: {error}{}", grants(&error))));
            }
        }
        match self.api.machines(platform, None) {
            Ok(machines) => {
                let live = machines.iter().find(|machine| machine.life == Life::Live);
                findings.extend(self.check_terminate(live.map(|machine| machine.id.as_str())));
            }
            Err(error) => findings.push(because(&error, format!("listing instances: {error}"))),
        }
        findings
    }

    /// A permission that hangs on the instance's tags can only be tried on one that has them.
    fn check_terminate(&self, live: Option<&str>) -> Option<Finding> {
        let error = self.api.may_terminate(live.unwrap_or("i-00000000000000000")).err()?;
        let is_refused = verdict::code(&error) == Some("UnauthorizedOperation");
        match live {
            Some(id) => Some(because(&error, format!("ending {id}: {error}"))),
            None if is_refused => Some(Finding::Note(format!(
                "whether instances may be ended shows only when there is one: {error}"
            ))),
            None if verdict::code(&error) == Some("InvalidInstanceID.NotFound") => None,
            None => Some(because(&error, format!("ending instances: {error}"))),
        }
    }
}

/// A setting is wrong; what passes, and one subnet of several ([`subnet_findings`] sees to all), keeps nobody from starting.
fn because(error: &AwsError, text: String) -> Finding {
    match verdict::of(error) {
        Verdict::Stop => Finding::Wrong(text),
        _ => Finding::Note(text),
    }
}

fn wrong(text: String) -> Finding {
    Finding::Wrong(text)
}

/// What a launch needs besides the obvious, where it is refused.
fn grants(error: &AwsError) -> &'static str {
    match verdict::code(error) {
        Some("UnauthorizedOperation") => {
            ": ec2:RunInstances, ec2:CreateTags, and iam:PassRole if the template has a profile"
        }
        _ => "",
    }
}

fn template_findings(name: &str, template: &Template, has_subnets: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let version = template.version;
    let mut tell = |is_wrong: bool, text: &str| {
        let text = format!("launch template {name}, version {version}: {text}");
        findings.push(if is_wrong { Finding::Wrong(text) } else { Finding::Note(text) });
    };
    if template.image.is_none() {
        tell(true, "names no image; set ImageId");
    }
    if template.has_interfaces && has_subnets {
        tell(
            true,
            "has network interfaces, which EC2 refuses together with BARE_METAL_WORKER_SUBNETS; name security groups in the template instead",
        );
    }
    if template.metadata.as_deref() == Some("disabled") {
        tell(
            true,
            "has the metadata service off, where workers learn who they are; set MetadataOptions.HttpEndpoint to enabled",
        );
    }
    if template.is_kept {
        tell(true, "protects instances from being ended; set DisableApiTermination to false");
    }
    if !template.has_profile {
        tell(false, "has no instance profile: workers need AWS credentials for their queues");
    }
    if template.metadata_tokens.as_deref() != Some("required") {
        tell(
            false,
            "lets version 1 of the metadata service answer; workers use version 2, so set MetadataOptions.HttpTokens to required",
        );
    }
    if template.shutdown.as_deref() != Some("terminate") {
        tell(
            false,
            "has instances stop, not end, when they power off; launches of ours say terminate, those by hand need it set in InstanceInitiatedShutdownBehavior",
        );
    }
    findings
}

fn subnet_findings(wanted: &[String], found: &[Subnet]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut zones: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut vpcs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for id in wanted {
        let Some(subnet) = found.iter().find(|subnet| subnet.id == *id) else {
            let text = format!(
                "{id}: there is no such subnet in this region; correct BARE_METAL_WORKER_SUBNETS"
            );
            // The others are launched in all the same.
            findings.push(if found.is_empty() { wrong(text) } else { Finding::Note(text) });
            continue;
        };
        zones.entry(subnet.zone.as_deref().unwrap_or_default()).or_default().push(id);
        vpcs.entry(subnet.vpc.as_deref().unwrap_or_default()).or_default().push(id);
        if subnet.free_addresses == Some(0) {
            findings.push(Finding::Note(format!("{id}: no address is free in it")));
        }
    }
    if vpcs.len() > 1 {
        findings.push(wrong(format!(
            "subnets of several VPCs, {}: the template's security groups are of one",
            vpcs.into_keys().collect::<Vec<_>>().join(" and ")
        )));
    }
    for (zone, ids) in zones.into_iter().filter(|(_, ids)| ids.len() > 1) {
        findings.push(Finding::Note(format!(
            "{} are all in {zone}: where it has no room, all of them have none",
            ids.join(" and ")
        )));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{Finding, subnet_findings, template_findings};
    use crate::api::{Subnet, Template};

    fn good() -> Template {
        Template {
            version: 3,
            image: Some("ami-1".to_owned()),
            kind: Some("t4g.small".to_owned()),
            shutdown: Some("terminate".to_owned()),
            is_kept: false,
            has_interfaces: false,
            has_profile: true,
            metadata_tokens: Some("required".to_owned()),
            metadata: Some("enabled".to_owned()),
        }
    }

    fn of(template: &Template) -> Vec<Finding> {
        template_findings("workers", template, true)
    }

    #[test]
    fn a_good_template_has_nothing_said_of_it() {
        assert_eq!(of(&good()), []);
        let interfaces = Template { has_interfaces: true, ..good() };
        assert_eq!(template_findings("workers", &interfaces, false), []);
    }

    #[test]
    fn each_flaw_of_a_template_is_said_once_with_what_mends_it() {
        let wrong = [
            (Template { image: None, ..good() }, "ImageId"),
            (Template { has_interfaces: true, ..good() }, "security groups"),
            (Template { metadata: Some("disabled".to_owned()), ..good() }, "HttpEndpoint"),
            (Template { is_kept: true, ..good() }, "DisableApiTermination"),
        ];
        for (template, mends) in wrong {
            let findings = of(&template);
            assert!(
                matches!(&findings[..], [Finding::Wrong(text)] if text.contains(mends)),
                "{mends}: {findings:?}"
            );
            assert!(
                findings[0].to_string().starts_with("wrong: launch template workers, version 3:")
            );
        }
        let notes = [
            (Template { has_profile: false, ..good() }, "instance profile"),
            (Template { metadata_tokens: Some("optional".to_owned()), ..good() }, "HttpTokens"),
            (Template { metadata_tokens: None, ..good() }, "HttpTokens"),
            (Template { shutdown: None, ..good() }, "InstanceInitiatedShutdownBehavior"),
        ];
        for (template, mends) in notes {
            let findings = of(&template);
            assert!(
                matches!(&findings[..], [Finding::Note(text)] if text.contains(mends)),
                "{mends}: {findings:?}"
            );
        }
    }

    fn subnet(id: &str, vpc: &str, zone: &str, free: i32) -> Subnet {
        Subnet {
            id: id.to_owned(),
            vpc: Some(vpc.to_owned()),
            zone: Some(zone.to_owned()),
            free_addresses: Some(free),
        }
    }

    #[test]
    fn subnets_are_there_in_one_vpc_and_in_zones_of_their_own() {
        let wanted = ["subnet-a", "subnet-b"].map(str::to_owned);
        let a = subnet("subnet-a", "vpc-1", "eu-central-1a", 100);
        let said = |found: &[Subnet]| {
            subnet_findings(&wanted, found).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(said(&[subnet("subnet-b", "vpc-1", "eu-central-1b", 1), a.clone()]), [""; 0]);
        let same = said(&[a.clone(), subnet("subnet-b", "vpc-1", "eu-central-1a", 1)]);
        assert_eq!(
            same,
            [
                "note: subnet-a and subnet-b are all in eu-central-1a: where it has no room, all of them have none"
            ]
        );
        let other = said(&[a.clone(), subnet("subnet-b", "vpc-2", "eu-central-1b", 0)]);
        assert_eq!(other[0], "note: subnet-b: no address is free in it");
        assert!(
            other[1].starts_with("wrong: subnets of several VPCs, vpc-1 and vpc-2"),
            "{other:?}"
        );
        let missing = said(&[a]);
        assert!(missing[0].starts_with("note: subnet-b: there is no such subnet"), "{missing:?}");
        let none = said(&[]);
        assert!(none.iter().all(|line| line.starts_with("wrong: subnet-")), "{none:?}");
    }
}
