//! The same suite on moto, AWS as others have understood it, as far as moto goes.
//!
//! Expected to fail on moto, and why: whatever needs client tokens, which moto ignores (two requests with the same one are two
//! instances): of `doubt.rs` these are `an_answer_that_is_lost_and_a_manager_that_is_killed_leave_one_instance` and
//! `three_managers_that_see_nothing_for_30_s_have_one_instance_a_slot`. `client_tokens_are_not_known_to_moto` notices when moto
//! learns them. With one manager its memory and its lock stand in, so the suite holds. Not on moto at all: errors of capacity, describe lag, the template's
//! shutdown behaviour and metadata options, which moto does not have.

use aws_sdk_ec2::types::{
    Filter, InstanceType, LaunchTemplateSpecification, RequestLaunchTemplateData,
};
use mrpf_aws::{Aws, Place};
use mrpf_cloud::Moto;
use mrpf_ec2::{Ec2Fleet, Finding, Settings};
use mrpf_ports::{Fleet, InstanceId, conformance};

const TEMPLATE: &str = "mathijs-worker-ami";

/// A fleet on moto, with a platform of its own.
struct Bench {
    aws: Aws,
    client: aws_sdk_ec2::Client,
    settings: Settings,
    fleet: Ec2Fleet,
}

impl Bench {
    fn new(aws: &Aws, subnets: &[String], platform: &str) -> Self {
        let settings = Settings {
            template: TEMPLATE.to_owned(),
            subnets: subnets.to_vec(),
            platform: platform.to_owned(),
        };
        let fleet = Ec2Fleet::open(aws, settings.clone()).unwrap();
        let client = aws_sdk_ec2::Client::new(aws.config());
        Self { aws: aws.clone(), client, settings, fleet }
    }
}

impl conformance::fleet::Bench for Bench {
    fn fleet(&self) -> &dyn Fleet {
        &self.fleet
    }

    fn lose(&self, id: &InstanceId) {
        let ended = self.client.terminate_instances().instance_ids(&id.0).send();
        self.aws.call(ended).unwrap().unwrap();
    }
}

/// Makes the template, of an image for x86_64, and gives the subnets that moto has.
fn prepare(aws: &Aws) -> Vec<String> {
    let client = aws_sdk_ec2::Client::new(aws.config());
    let image = Filter::builder().name("architecture").values("x86_64").build();
    let images = aws.call(client.describe_images().filters(image).send()).unwrap().unwrap();
    let data = RequestLaunchTemplateData::builder()
        .image_id(images.images()[0].image_id().unwrap())
        .instance_type(InstanceType::T3Small)
        .build();
    let made = client.create_launch_template().launch_template_name(TEMPLATE);
    aws.call(made.launch_template_data(data).send()).unwrap().unwrap();
    let subnets = aws.call(client.describe_subnets().send()).unwrap().unwrap();
    subnets.subnets().iter().filter_map(|it| it.subnet_id()).map(str::to_owned).collect()
}

fn aws(moto: &Moto) -> Aws {
    Aws::start_at(&Place {
        endpoint: moto.endpoint(),
        region: "eu-central-1".to_owned(),
        access_key_id: "test".to_owned(),
        secret_access_key: "test".to_owned(),
    })
    .unwrap()
}

#[test]
fn the_suite_holds_on_moto() {
    let Some(moto) = Moto::start() else { return };
    let aws = aws(&moto);
    let subnets = prepare(&aws);
    macro_rules! cases {
        ($($case:ident)*) => {
            $(
                println!(stringify!($case));
                conformance::fleet::$case(&Bench::new(&aws, &subnets, stringify!($case)));
            )*
        };
    }
    cases! {
        a_launched_instance_is_listed_with_its_slot
        the_same_launch_again_is_the_same_instance
        eight_threads_that_launch_the_same_get_one_instance
        a_slot_taken_again_has_another_instance
        a_terminated_instance_is_gone_and_the_others_live
        an_instance_that_ends_by_itself_is_gone
        what_is_no_instance_is_gone_already
    }
    a_manager_that_is_restarted_finds_what_was_launched(&aws, &subnets);
    the_check_finds_what_is_wrong(&aws, &subnets);
    client_tokens_are_not_known_to_moto(&aws);
}

fn a_manager_that_is_restarted_finds_what_was_launched(aws: &Aws, subnets: &[String]) {
    let launched = Bench::new(aws, subnets, "restarted").fleet.launch(1, 1).unwrap();
    let again = Bench::new(aws, subnets, "restarted");
    assert_eq!(again.fleet.launch(1, 1).unwrap(), launched);
    assert_eq!(again.fleet.list().unwrap().len(), 1);
}

fn the_check_finds_what_is_wrong(aws: &Aws, subnets: &[String]) {
    let bench = Bench::new(aws, subnets, "checked");
    let findings = bench.fleet.check();
    let wrong: Vec<_> = findings.iter().filter(|it| matches!(it, Finding::Wrong(_))).collect();
    assert!(wrong.is_empty(), "{findings:?}");
    let about_types = |it: &&Finding| it.to_string().contains("the image is for x86_64");
    assert_eq!(findings.iter().filter(about_types).count(), 4, "{findings:?}");

    let missing = Settings { template: "no-such-template".to_owned(), ..bench.settings.clone() };
    let refused = Ec2Fleet::open(aws, missing).unwrap_err().to_string();
    assert!(refused.contains("InvalidLaunchTemplateName.NotFound"), "{refused}");
    let subnets = vec!["subnet-00000000".to_owned()];
    let fleet = Ec2Fleet::open(aws, Settings { subnets, ..bench.settings }).unwrap();
    let findings = fleet.check();
    let says = |what: &str| findings.iter().any(|it| it.to_string().contains(what));
    assert!(says("there is no such subnet"), "{findings:?}");
}

/// See the module: this is what moto gets wrong.
fn client_tokens_are_not_known_to_moto(aws: &Aws) {
    let client = aws_sdk_ec2::Client::new(aws.config());
    let [one, other] = [(); 2].map(|()| {
        let launch = client
            .run_instances()
            .launch_template(
                LaunchTemplateSpecification::builder().launch_template_name(TEMPLATE).build(),
            )
            .min_count(1)
            .max_count(1)
            .client_token("the same");
        let launched = aws.call(launch.send()).unwrap().unwrap();
        launched.instances()[0].instance_id().unwrap().to_owned()
    });
    assert_ne!(one, other, "moto has learned client tokens: run doubt.rs on it too");
}
