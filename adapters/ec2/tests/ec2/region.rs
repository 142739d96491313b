//! A region of the cloud with all that a fleet needs: image, template, three subnets.

use std::time::Duration;

use aws_sdk_ec2::types::{LaunchTemplateSpecification, ResourceType, Tag, TagSpecification};
use mrpf_aws::{Aws, Place};
use mrpf_cloud::{ACCESS_KEY, Call, Cloud, REGION, Template};
use mrpf_ec2::{Ec2Fleet, Settings};
use mrpf_ports::InstanceId;

/// The name of the launch template.
pub(crate) const TEMPLATE: &str = "mathijs-worker-ami";
/// The id of the platform.
pub(crate) const PLATFORM: &str = "platform-1";
/// The subnets of the setting, in order.
pub(crate) const SUBNETS: [&str; 3] = ["subnet-aaaaaaaa", "subnet-bbbbbbbb", "subnet-cccccccc"];
/// The types that are asked for, in order; none is the template's own, which has four vCPUs.
pub(crate) const TYPES: [Option<&str>; 5] =
    [None, Some("t4g.micro"), Some("t4g.small"), Some("c8gd.medium"), Some("c7g.medium")];

/// A region. See the module.
pub(crate) struct Region {
    /// The server.
    pub(crate) cloud: Cloud,
    /// The SDK.
    pub(crate) aws: Aws,
}

impl Region {
    /// One whose image is for arm64.
    pub(crate) fn new() -> Self {
        Self::with(Template {
            image: "ami-arm".to_owned(),
            instance_type: Some("c7g.xlarge".to_owned()),
            ..Template::default()
        })
    }

    /// One with this launch template.
    pub(crate) fn with(template: Template) -> Self {
        let cloud = Cloud::start();
        let ec2 = cloud.ec2();
        ec2.add_image("ami-arm", "arm64");
        ec2.add_image("ami-x86", "x86_64");
        ec2.add_type("c7g.xlarge", "arm64", 4, 8_192);
        for (subnet, zone) in SUBNETS.into_iter().zip(["a", "b", "c"]) {
            ec2.add_subnet(subnet, &format!("{REGION}{zone}"));
        }
        // The first version is the default one, and not the latest.
        ec2.add_template(TEMPLATE, Template { image: "ami-old".to_owned(), ..Template::default() });
        ec2.add_template(TEMPLATE, template);
        let aws = Aws::start_at(&Place {
            endpoint: cloud.endpoint(),
            region: REGION.to_owned(),
            access_key_id: ACCESS_KEY.to_owned(),
            secret_access_key: "no secret".to_owned(),
        });
        Self { cloud, aws: aws.unwrap() }
    }

    /// What the fleets of this region are told.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            template: TEMPLATE.to_owned(),
            subnets: SUBNETS.map(str::to_owned).to_vec(),
            platform: PLATFORM.to_owned(),
        }
    }

    /// A fleet that knows of no other: a manager that has just been started.
    pub(crate) fn fleet(&self) -> Ec2Fleet {
        Ec2Fleet::open(&self.aws, self.settings()).unwrap()
    }

    /// All HTTP requests for launches.
    pub(crate) fn launches(&self) -> Vec<Call> {
        self.cloud.calls().into_iter().filter(|it| it.operation == "RunInstances").collect()
    }

    /// How many instances there ever were, as it is: shown or not.
    pub(crate) fn instances(&self) -> usize {
        self.cloud.ec2().instances().len()
    }

    /// Shows what is only after so long.
    pub(crate) fn lag(&self, lag: Duration) {
        self.cloud.ec2().set_lag(lag);
    }

    /// Launches one with our tags and EC2's own shutdown behaviour, and shuts it down.
    pub(crate) fn stopped(&self, (slot, generation): (u32, u32)) -> InstanceId {
        let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
        let tags = TagSpecification::builder()
            .resource_type(ResourceType::Instance)
            .tags(tag("mrpf:platform", PLATFORM))
            .tags(tag("mrpf:slot", &slot.to_string()))
            .tags(tag("mrpf:generation", &generation.to_string()));
        let template = LaunchTemplateSpecification::builder()
            .launch_template_name(TEMPLATE)
            .version("$Latest");
        let launch = aws_sdk_ec2::Client::new(self.aws.config())
            .run_instances()
            .launch_template(template.build())
            .tag_specifications(tags.build())
            .min_count(1)
            .max_count(1);
        let launched = self.aws.call(launch.send()).unwrap().unwrap();
        let id = launched.instances()[0].instance_id().unwrap();
        self.cloud.ec2().shut_down(id);
        InstanceId(id.to_owned())
    }
}
