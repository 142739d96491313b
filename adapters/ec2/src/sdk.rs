//! [`Ec2Api`] by the AWS SDK.
//!
//! The SDK takes a 500 for a passing trouble and asks three times. For InsufficientInstanceCapacity, which is one, that is three
//! requests and up to 2.4 s for each combination of type and subnet, where the next combination is the answer: so that one
//! code is never tried again, and every other failure is as the SDK does it.

use std::{future::Future, time::Duration};

use aws_sdk_ec2::{
    Client,
    config::{
        Builder,
        interceptors::InterceptorContext,
        retry::{ClassifyRetry, RetryAction},
        timeout::TimeoutConfig,
    },
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        describe_instances::DescribeInstancesError,
        run_instances::{RunInstancesError, builders::RunInstancesFluentBuilder},
    },
    types::{
        self, Filter, InstanceStateName, InstanceType, LaunchTemplateSpecification, ResourceType,
        ShutdownBehavior, Tag, TagSpecification,
    },
};
use aws_smithy_runtime_api::client::retries::classifiers::RetryClassifierPriority;
use mrpf_aws::{Aws, AwsError, CallError, TellsRetries};

use crate::{
    api::{Ec2Api, GENERATION, Launch, Life, Machine, PLATFORM, SLOT, Subnet, Template, TypeInfo},
    verdict,
};

/// RunInstances answers within seconds. The manager waits for it, and has more to do.
const ATTEMPT: Duration = Duration::from_secs(15);
/// Of instances in an answer: the most there may be.
const PAGE: i32 = 1_000;

/// EC2 on the SDK's thread.
#[derive(Debug)]
pub(crate) struct Sdk {
    aws: Aws,
    client: Client,
}

impl Sdk {
    pub(crate) fn new(aws: &Aws) -> Self {
        let timeouts = aws.config().timeout_config().cloned();
        let timeouts = timeouts.map_or_else(TimeoutConfig::builder, TimeoutConfig::into_builder);
        let timeouts = timeouts.read_timeout(ATTEMPT).operation_attempt_timeout(ATTEMPT).build();
        let config = Builder::from(aws.config())
            .timeout_config(timeouts)
            .retry_classifier(NoRoomIsAnAnswer)
            .interceptor(TellsRetries)
            .build();
        Self { aws: aws.clone(), client: Client::from_conf(config) }
    }

    fn call<T, E>(
        &self,
        name: &'static str,
        future: impl Future<Output = Result<T, SdkError<E>>> + Send + 'static,
    ) -> Result<T, AwsError>
    where
        T: Send + 'static,
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        Ok(self.aws.call(future)?.map_err(|error| CallError::of(name, &error))?)
    }

    fn request(&self, launch: &Launch<'_>) -> RunInstancesFluentBuilder {
        let (slot, generation) = launch.slot;
        let template = LaunchTemplateSpecification::builder()
            .launch_template_name(launch.template)
            .version("$Latest")
            .build();
        let tags = TagSpecification::builder()
            .resource_type(ResourceType::Instance)
            .tags(tag("Name", &format!("mrpf worker {slot}.{generation}")))
            .tags(tag(PLATFORM, launch.platform))
            .tags(tag(SLOT, &slot.to_string()))
            .tags(tag(GENERATION, &generation.to_string()))
            .build();
        self.client
            .run_instances()
            .launch_template(template)
            .set_instance_type(launch.at.kind.map(InstanceType::from))
            .set_subnet_id(launch.at.subnet.clone())
            .min_count(1)
            .max_count(1)
            // A worker that has nothing to do powers off. EC2's own default would keep its disk, and the bill for it.
            .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
            .client_token(&launch.token)
            .tag_specifications(tags)
    }
}

impl Ec2Api for Sdk {
    fn run(&self, launch: &Launch<'_>) -> Result<String, AwsError> {
        const NAME: &str = "EC2 RunInstances";
        let answer = self.call(NAME, self.request(launch).send())?;
        let id = answer.instances().first().and_then(types::Instance::instance_id);
        id.map(str::to_owned).ok_or_else(|| unreadable(NAME, "a success without an instance"))
    }

    fn may_run(&self, launch: &Launch<'_>) -> Result<(), AwsError> {
        let request = self.request(launch).dry_run(true).set_client_token(None);
        allowed(self.call("EC2 RunInstances (dry run)", request.send()).map(drop))
    }

    fn machines(&self, platform: &str, slot: Option<(u32, u32)>) -> Result<Vec<Machine>, AwsError> {
        let mut filters = vec![tagged(PLATFORM, platform)];
        if let Some((slot, generation)) = slot {
            filters.push(tagged(SLOT, &slot.to_string()));
            filters.push(tagged(GENERATION, &generation.to_string()));
        }
        let request = self.client.describe_instances().set_filters(Some(filters));
        let mut pages = request.into_paginator().page_size(PAGE).send();
        let all = async move {
            let mut machines = Vec::new();
            while let Some(page) = pages.next().await {
                let page = page?;
                let instances = page.reservations().iter().flat_map(types::Reservation::instances);
                machines.extend(instances.filter_map(machine));
            }
            Ok::<_, SdkError<DescribeInstancesError>>(machines)
        };
        self.call("EC2 DescribeInstances", all)
    }

    fn terminate(&self, id: &str) -> Result<(), AwsError> {
        let request = self.client.terminate_instances().instance_ids(id);
        self.call("EC2 TerminateInstances", request.send()).map(drop)
    }

    fn may_terminate(&self, id: &str) -> Result<(), AwsError> {
        let request = self.client.terminate_instances().instance_ids(id).dry_run(true);
        allowed(self.call("EC2 TerminateInstances (dry run)", request.send()).map(drop))
    }

    fn template(&self, name: &str) -> Result<Option<Template>, AwsError> {
        let request = self
            .client
            .describe_launch_template_versions()
            .launch_template_name(name)
            .versions("$Latest")
            // An image may be named by a parameter of Systems Manager.
            .resolve_alias(true);
        let answer = self.call("EC2 DescribeLaunchTemplateVersions", request.send())?;
        Ok(answer.launch_template_versions().first().map(template))
    }

    fn architecture(&self, image: &str) -> Result<Option<String>, AwsError> {
        let request = self.client.describe_images().image_ids(image);
        let answer = self.call("EC2 DescribeImages", request.send())?;
        let architecture = answer.images().first().and_then(types::Image::architecture);
        Ok(architecture.map(|it| it.as_str().to_owned()))
    }

    fn types(&self, names: &[&str]) -> Result<Vec<TypeInfo>, AwsError> {
        // Asked for by name, one type that the region does not have would fail them all.
        let request = self.client.describe_instance_types().filters(filter("instance-type", names));
        let answer = self.call("EC2 DescribeInstanceTypes", request.send())?;
        Ok(answer.instance_types().iter().filter_map(type_info).collect())
    }

    fn subnets(&self, ids: &[String]) -> Result<Vec<Subnet>, AwsError> {
        let request = self.client.describe_subnets().filters(filter("subnet-id", ids));
        let answer = self.call("EC2 DescribeSubnets", request.send())?;
        Ok(answer.subnets().iter().filter_map(subnet).collect())
    }
}

/// The retry classifier of this crate: see the module.
#[derive(Debug)]
struct NoRoomIsAnAnswer;

impl ClassifyRetry for NoRoomIsAnAnswer {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let code = context
            .output_or_error()
            .and_then(Result::err)
            .and_then(|error| error.as_operation_error()?.downcast_ref::<RunInstancesError>())
            .and_then(ProvideErrorMetadata::code);
        match code {
            Some("InsufficientInstanceCapacity") => RetryAction::RetryForbidden,
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "no room is an answer"
    }

    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }
}

fn unreadable(call: &'static str, said: &str) -> AwsError {
    let reason = mrpf_aws::Reason::Unreadable;
    CallError { call, reason, code: None, status: Some(200), said: said.to_owned() }.into()
}

/// What a dry run says: it always fails, and says how.
fn allowed(dry: Result<(), AwsError>) -> Result<(), AwsError> {
    match dry {
        Err(error) if verdict::code(&error) == Some("DryRunOperation") => Ok(()),
        other => other,
    }
}

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

fn filter(name: &str, values: &[impl AsRef<str>]) -> Filter {
    let values = values.iter().map(|value| value.as_ref().to_owned()).collect();
    Filter::builder().name(name).set_values(Some(values)).build()
}

fn tagged(key: &str, value: &str) -> Filter {
    filter(&format!("tag:{key}"), &[value])
}

fn machine(it: &types::Instance) -> Option<Machine> {
    let value = |key| it.tags().iter().find(|tag| tag.key() == Some(key)).and_then(Tag::value);
    let number = |key| value(key).and_then(|value| value.parse().ok());
    let life = match it.state().and_then(types::InstanceState::name) {
        Some(InstanceStateName::ShuttingDown) => Life::Ending,
        Some(InstanceStateName::Terminated) => Life::Gone,
        Some(InstanceStateName::Stopping | InstanceStateName::Stopped) => Life::Stopped,
        _ => Life::Live,
    };
    let said = |text: &&str| !text.is_empty();
    let reason = it.state_reason();
    Some(Machine {
        id: it.instance_id()?.to_owned(),
        slot: number(SLOT).zip(number(GENERATION)),
        life,
        code: reason.and_then(|reason| reason.code()).map(str::to_owned),
        reason: reason
            .and_then(|reason| reason.message())
            .filter(said)
            .or_else(|| it.state_transition_reason().filter(said))
            .map(str::to_owned),
        token: it.client_token().map(str::to_owned),
        launched: it.launch_time().and_then(|time| (*time).try_into().ok()),
    })
}

fn template(version: &types::LaunchTemplateVersion) -> Template {
    let number = version.version_number().unwrap_or_default();
    let Some(data) = version.launch_template_data() else {
        return Template { version: number, ..Template::default() };
    };
    let metadata = data.metadata_options();
    Template {
        version: number,
        image: data.image_id().map(str::to_owned),
        kind: data.instance_type().map(|it| it.as_str().to_owned()),
        shutdown: data.instance_initiated_shutdown_behavior().map(|it| it.as_str().to_owned()),
        is_kept: data.disable_api_termination().unwrap_or_default(),
        has_interfaces: !data.network_interfaces().is_empty(),
        has_profile: data.iam_instance_profile().is_some(),
        metadata_tokens: metadata.and_then(|it| it.http_tokens()).map(|it| it.as_str().to_owned()),
        metadata: metadata.and_then(|it| it.http_endpoint()).map(|it| it.as_str().to_owned()),
    }
}

fn type_info(it: &types::InstanceTypeInfo) -> Option<TypeInfo> {
    let vcpus = it.v_cpu_info().and_then(types::VCpuInfo::default_v_cpus);
    let processor = it.processor_info();
    let architectures = processor.map(types::ProcessorInfo::supported_architectures);
    Some(TypeInfo {
        name: it.instance_type()?.as_str().to_owned(),
        vcpus: vcpus.and_then(|vcpus| vcpus.try_into().ok()).unwrap_or(u32::MAX),
        architectures: architectures
            .unwrap_or_default()
            .iter()
            .map(|it| it.as_str().to_owned())
            .collect(),
    })
}

fn subnet(it: &types::Subnet) -> Option<Subnet> {
    Some(Subnet {
        id: it.subnet_id()?.to_owned(),
        vpc: it.vpc_id().map(str::to_owned),
        zone: it.availability_zone().map(str::to_owned),
        free_addresses: it.available_ip_address_count(),
    })
}
