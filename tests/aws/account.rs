//! An AWS account: in small, or moto's. Four queues with dead letters, a launch template, subnets, machines.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use mrpf_cloud::{Clock, Cloud, Instance, InstanceState, Moto, QueueSettings, REGION, Template};
use serde_json::{Value, json};

use crate::program::Variables;

/// The owner's, and the default.
const TEMPLATE: &str = "mathijs-worker-ami";
/// Six times the timeout of the functions.
const HIDDEN_FROM_FUNCTIONS: Duration = Duration::from_secs(360);
/// How long a machine is shutting down in small. A real one may take minutes.
const SHUTS_DOWN: Duration = Duration::from_secs(5);
/// Workers on machines renew what they hold.
const HIDDEN: Duration = Duration::from_secs(60);
const MAX_RECEIVES: u32 = 10;

/// Names of the queues, the variables that name them, and for how long they hide what was received.
const QUEUES: [(&str, &str, Duration); 4] = [
    ("external", "EXTERNAL_QUEUE_URL", HIDDEN_FROM_FUNCTIONS),
    ("internal", "INTERNAL_QUEUE_URL", HIDDEN_FROM_FUNCTIONS),
    ("bare-metal", "BARE_METAL_QUEUE_URL", HIDDEN),
    ("task-manager", "TASK_MANAGER_QUEUE_URL", HIDDEN),
];

/// Where the programs of a platform are clients.
#[derive(Debug)]
pub(crate) enum Account {
    Small(Box<Cloud>),
    Moto(Box<MotoAccount>),
}

/// moto, with what it was given.
#[derive(Debug)]
pub(crate) struct MotoAccount {
    moto: Moto,
    /// URLs in the order of [`QUEUES`].
    urls: Vec<String>,
    subnets: Vec<String>,
}

/// A machine, as both tell it.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) instance: Instance,
    pub(crate) is_live: bool,
}

impl Account {
    /// In small: two subnets in two zones, an image for arm64.
    pub(crate) fn small() -> Self {
        let cloud = Cloud::start();
        for (name, _, hidden) in QUEUES {
            let settings = QueueSettings::default().visibility(hidden).max_receives(MAX_RECEIVES);
            cloud.queues().create(name, &settings);
        }
        let ec2 = cloud.ec2();
        ec2.set_shutdown_time(SHUTS_DOWN);
        ec2.add_image("ami-0123456789abcdef0", "arm64");
        ec2.add_subnet("subnet-0000000000000000a", "eu-central-1a");
        ec2.add_subnet("subnet-0000000000000000b", "eu-central-1b");
        ec2.add_template(
            TEMPLATE,
            Template {
                image: "ami-0123456789abcdef0".to_owned(),
                instance_type: Some("c7g.medium".to_owned()),
                subnet: None,
                shutdown_behavior: Some("stop".to_owned()),
            },
        );
        Self::Small(Box::new(cloud))
    }

    /// moto's; `None`, said aloud, where it is not installed.
    pub(crate) fn moto() -> Option<Self> {
        let moto = Moto::start()?;
        let sqs = |operation: &str, body: Value| {
            let target = format!("AmazonSQS.{operation}");
            let headers =
                [("X-Amz-Target", &*target), ("Content-Type", "application/x-amz-json-1.0")];
            let answer = post(&moto.endpoint(), "sqs", &headers, &body.to_string());
            serde_json::from_str::<Value>(&answer).unwrap_or_else(|e| panic!("{e}: {answer}"))
        };
        let url = |answer: Value| answer["QueueUrl"].as_str().expect("a URL").to_owned();
        let urls = QUEUES.map(|(name, _, hidden)| {
            let dead = url(sqs("CreateQueue", json!({ "QueueName": format!("{name}-dead") })));
            let asked = json!({ "QueueUrl": dead, "AttributeNames": ["QueueArn"] });
            let arn = sqs("GetQueueAttributes", asked)["Attributes"]["QueueArn"].clone();
            let policy = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVES });
            let attributes = json!({
                "VisibilityTimeout": hidden.as_secs().to_string(),
                "RedrivePolicy": policy.to_string(),
            });
            url(sqs("CreateQueue", json!({ "QueueName": name, "Attributes": attributes })))
        });
        let images = ec2(&moto, "DescribeImages&Owner.1=amazon");
        let image = between(&images, "<imageId>", "<").next().expect("moto brings images");
        let subnets = ec2(&moto, "DescribeSubnets");
        let subnets = between(&subnets, "<subnetId>", "<").take(2).map(str::to_owned).collect();
        ec2(
            &moto,
            &format!(
                "CreateLaunchTemplate&LaunchTemplateName={TEMPLATE}&LaunchTemplateData.ImageId={image}\
                 &LaunchTemplateData.InstanceType=t3.micro"
            ),
        );
        Some(Self::Moto(Box::new(MotoAccount { moto, urls: urls.into(), subnets })))
    }

    /// AWS in small, for tests that only it can serve.
    #[track_caller]
    pub(crate) fn cloud(&self) -> &Cloud {
        match self {
            Self::Small(cloud) => cloud,
            Self::Moto(_) => panic!("moto has no faults to order"),
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        match self {
            Self::Small(cloud) => cloud.endpoint(),
            Self::Moto(account) => account.moto.endpoint(),
        }
    }

    /// The time of its machines.
    pub(crate) fn clock(&self) -> Clock {
        match self {
            Self::Small(cloud) => cloud.clock(),
            Self::Moto(_) => Clock::start(),
        }
    }

    /// The URL of a queue by its place in [`QUEUES`].
    fn url(&self, number: usize) -> String {
        match self {
            Self::Small(cloud) => cloud.queues().url(QUEUES[number].0),
            Self::Moto(account) => account.urls[number].clone(),
        }
    }

    /// The URL of the queue called `name`.
    #[track_caller]
    pub(crate) fn queue(&self, name: &str) -> String {
        let number = QUEUES.iter().position(|(known, ..)| *known == name);
        self.url(number.unwrap_or_else(|| panic!("no queue {name}")))
    }

    /// What programs find in their environment.
    pub(crate) fn variables(&self) -> Variables {
        let subnets = match self {
            Self::Small(_) => "subnet-0000000000000000a,subnet-0000000000000000b".to_owned(),
            Self::Moto(account) => account.subnets.join(","),
        };
        let variables = [
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", mrpf_cloud::ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "no secret".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("BARE_METAL_WORKER_SUBNETS", subnets),
        ];
        let queues =
            QUEUES.iter().enumerate().map(|(number, (_, name, _))| (*name, self.url(number)));
        variables.into_iter().chain(queues).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// All machines of a moment ago.
    pub(crate) fn machines(&self) -> Vec<Machine> {
        match self {
            Self::Small(cloud) => {
                let of =
                    |instance: Instance| Machine { is_live: instance.state.is_live(), instance };
                cloud.ec2().instances().into_iter().map(of).collect()
            }
            Self::Moto(account) => {
                let answer = ec2(&account.moto, "DescribeInstances");
                answer.split("<instanceId>").skip(1).map(machine_of_moto).collect()
            }
        }
    }

    /// A machine has switched itself off.
    pub(crate) fn shut_down(&self, id: &str) {
        match self {
            Self::Small(cloud) => cloud.ec2().shut_down(id),
            Self::Moto(account) => {
                ec2(&account.moto, &format!("TerminateInstances&InstanceId.1={id}"));
            }
        }
    }
}

/// What of moto's answer stands behind `<instanceId>`.
fn machine_of_moto(text: &str) -> Machine {
    let word =
        |tag: &str| between(text, &format!("<{tag}>"), "<").next().unwrap_or_default().to_owned();
    let state = between(text, "<name>", "<").next().unwrap_or_default();
    let is_live = matches!(state, "pending" | "running");
    let instance = Instance {
        id: text.split('<').next().unwrap_or_default().to_owned(),
        instance_type: word("instanceType"),
        architecture: word("architecture"),
        image: word("imageId"),
        subnet: word("subnetId"),
        zone: word("availabilityZone"),
        private_ip: word("privateIpAddress"),
        tags: Default::default(),
        client_token: None,
        shutdown_behavior: "terminate".to_owned(),
        launched_at: Duration::ZERO,
        state: if is_live { InstanceState::Running } else { InstanceState::Terminated },
        reason: None,
    };
    Machine { instance, is_live }
}

/// What stands between `begin` and the next `end`, each time.
fn between<'a>(text: &'a str, begin: &'a str, end: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(begin).skip(1).filter_map(move |rest| rest.split(end).next())
}

/// A call of moto's EC2, `Action` first.
#[track_caller]
fn ec2(moto: &Moto, action: &str) -> String {
    let body = format!("Action={action}&Version=2016-11-15");
    post(&moto.endpoint(), "ec2", &[("Content-Type", "application/x-www-form-urlencoded")], &body)
}

/// moto wants to see for which service a call is signed, and not whether it is.
#[track_caller]
fn post(endpoint: &str, service: &str, headers: &[(&str, &str)], body: &str) -> String {
    let host = endpoint.strip_prefix("http://").expect("an http:// endpoint").trim_end_matches('/');
    let mut request = format!(
        "POST / HTTP/1.0\r\nHost: {host}\r\nContent-Length: {}\r\nAuthorization: AWS4-HMAC-SHA256 \
         Credential=K/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0\r\n",
        body.len()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    request.push_str(body);
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer of HTTP");
    assert!(head.split(' ').nth(1) == Some("200"), "{body}");
    body.to_owned()
}
