//! What there is to launch, and from where: types, images, subnets, launch templates.

use std::collections::BTreeMap;

use crate::failure::Failure;

pub(super) const VPC: &str = "vpc-0123456789abcdef0";

/// An instance type.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct InstanceType {
    pub(super) name: String,
    pub(super) architecture: String,
    pub(super) vcpus: u32,
    pub(super) memory_mib: u32,
}

/// Types that are there from the start: those of the owner's list, and two for another processor.
const TYPES: [(&str, &str, u32, u32); 6] = [
    ("c7g.medium", "arm64", 1, 2_048),
    ("c7i.large", "x86_64", 2, 4_096),
    ("c8gd.medium", "arm64", 1, 2_048),
    ("t3.micro", "x86_64", 2, 1_024),
    ("t4g.micro", "arm64", 2, 1_024),
    ("t4g.small", "arm64", 2, 2_048),
];

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Subnet {
    pub(super) id: String,
    pub(super) zone: String,
    pub(super) free_addresses: usize,
}

/// What a version of a launch template says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Template {
    /// The machine image.
    pub image: String,
    /// The type where RunInstances names none.
    pub instance_type: Option<String>,
    /// The subnet where RunInstances names none.
    pub subnet: Option<String>,
    /// `stop` or `terminate`, where RunInstances says neither.
    pub shutdown_behavior: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Versions {
    pub(super) id: String,
    pub(super) name: String,
    /// The first is version 1, which is the default one.
    pub(super) versions: Vec<Template>,
}

#[derive(Clone, Debug)]
pub(super) struct Catalog {
    pub(super) types: BTreeMap<String, InstanceType>,
    /// Architecture by id.
    pub(super) images: BTreeMap<String, String>,
    pub(super) subnets: Vec<Subnet>,
    pub(super) templates: Vec<Versions>,
}

impl Default for Catalog {
    fn default() -> Self {
        let types = TYPES.map(|(name, architecture, vcpus, memory_mib)| {
            let (key, architecture) = (name.to_owned(), architecture.to_owned());
            (key, InstanceType { name: name.to_owned(), architecture, vcpus, memory_mib })
        });
        Self {
            types: types.into(),
            images: BTreeMap::new(),
            subnets: Vec::new(),
            templates: Vec::new(),
        }
    }
}

impl Catalog {
    pub(super) fn subnet(&mut self, id: &str) -> Result<&mut Subnet, Failure> {
        let missing = || {
            Failure::new("InvalidSubnetID.NotFound", format!("The subnet ID '{id}' does not exist"))
        };
        self.subnets.iter_mut().find(|subnet| subnet.id == id).ok_or_else(missing)
    }

    pub(super) fn image(&self, id: &str) -> Result<&str, Failure> {
        let missing = || {
            Failure::new("InvalidAMIID.NotFound", format!("The image id '[{id}]' does not exist"))
        };
        self.images.get(id).map(String::as_str).ok_or_else(missing)
    }

    /// A template by id or name, one of which must be given.
    pub(super) fn template(
        &self,
        id: Option<&str>,
        name: Option<&str>,
    ) -> Result<&Versions, Failure> {
        match (id, name) {
            (Some(id), None) => {
                let why = format!(
                    "The specified launch template, with template ID {id}, does not exist."
                );
                let found = self.templates.iter().find(|template| template.id == id);
                found.ok_or_else(|| Failure::new("InvalidLaunchTemplateId.NotFound", why))
            }
            (None, Some(name)) => {
                let why = format!(
                    "The specified launch template, with template name {name}, does not exist."
                );
                let found = self.templates.iter().find(|template| template.name == name);
                found
                    .ok_or_else(|| Failure::new("InvalidLaunchTemplateName.NotFoundException", why))
            }
            (Some(_), Some(_)) => {
                let why = "The launch template must have an ID or a name, and not both";
                Err(Failure::misuse("InvalidParameterCombination", why))
            }
            (None, None) => {
                let why = "The launch template must have an ID or a name";
                Err(Failure::misuse("MissingParameter", why))
            }
        }
    }
}

impl Versions {
    /// `$Latest`, `$Default` or a number. Gives the number with what it says.
    pub(super) fn version(&self, version: &str) -> Result<(usize, &Template), Failure> {
        let number = match version {
            "$Latest" => Some(self.versions.len()),
            "$Default" => Some(1),
            number => number.parse().ok(),
        };
        let found = number.and_then(|number: usize| {
            let template = self.versions.get(number.checked_sub(1)?)?;
            Some((number, template))
        });
        let why = format!(
            "Could not find the specified version {version} for the launch template with ID {}.",
            self.id
        );
        found.ok_or_else(|| Failure::new("InvalidLaunchTemplateId.VersionNotFound", why))
    }
}
