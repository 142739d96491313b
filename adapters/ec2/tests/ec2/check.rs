//! What `check` and a start say of settings and permissions, by real answers to the real SDK.

use mrpf_cloud::Template;
use mrpf_ec2::{Ec2Fleet, Finding, Settings};
use mrpf_ports::{Fleet as _, LaunchError};

use crate::region::{Region, SUBNETS, TEMPLATE};

fn wrong(fleet: &Ec2Fleet) -> Vec<String> {
    let findings = fleet.check().into_iter();
    findings.filter(|it| matches!(it, Finding::Wrong(_))).map(|it| it.to_string()).collect()
}

#[test]
fn nothing_is_wrong_and_nothing_is_launched() {
    let region = Region::new();
    let fleet = region.fleet();
    assert_eq!(wrong(&fleet), [""; 0]);
    fleet.launch(1, 1).unwrap();
    assert_eq!(wrong(&fleet), [""; 0], "with an instance to try the permission on");
    assert_eq!(region.instances(), 1);
    assert!(region.cloud.ec2().instances()[0].state.is_live());
    assert_eq!(region.cloud.misuses().len(), 0, "{:?}", region.cloud.misuses());
    let says = |what: &str| fleet.check().iter().any(|it| it.to_string().contains(what));
    assert!(says("HttpTokens to required"));
    assert!(says("InstanceInitiatedShutdownBehavior"));
    assert!(!says("all in eu-central-1"), "the subnets are in zones of their own");
}

#[test]
fn each_permission_that_lacks_is_named() {
    let region = Region::new();
    let fleet = region.fleet();
    for operation in ["RunInstances", "CreateTags"] {
        region.cloud.ec2().deny(operation);
        let said = wrong(&fleet);
        assert_eq!(said.len(), SUBNETS.len(), "{operation}: {said:?}");
        assert!(
            said[0].contains("UnauthorizedOperation") && said[0].contains(operation),
            "{said:?}"
        );
        let launched = fleet.launch(1, 1);
        assert!(matches!(launched, Err(LaunchError::Refused(_))), "{operation}: {launched:?}");
        region.cloud.ec2().allow(operation);
    }
    fleet.launch(1, 1).unwrap();
    for operation in ["TerminateInstances", "DescribeInstances", "DescribeLaunchTemplateVersions"] {
        region.cloud.ec2().deny(operation);
        let said = wrong(&fleet);
        assert!(matches!(&said[..], [it] if it.contains(operation)), "{operation}: {said:?}");
        region.cloud.ec2().allow(operation);
    }
}

#[test]
fn without_an_instance_a_permission_to_end_may_hang_on_its_tags() {
    let region = Region::new();
    region.cloud.ec2().deny("TerminateInstances");
    let findings = region.fleet().check();
    let about = findings.iter().find(|it| it.to_string().contains("TerminateInstances"));
    assert!(matches!(about, Some(Finding::Note(_))), "{findings:?}");
}

#[test]
fn an_image_for_x86_64_leaves_one_type_and_says_so() {
    let region = Region::with(Template {
        image: "ami-x86".to_owned(),
        instance_type: Some("t3.micro".to_owned()),
        ..Template::default()
    });
    let fleet = region.fleet();
    assert_eq!(wrong(&fleet), [""; 0]);
    let notes = fleet.check().iter().filter(|it| it.to_string().contains("is of arm64")).count();
    assert_eq!(notes, 4);
    fleet.launch(1, 1).unwrap();
    for subnet in SUBNETS {
        region.cloud.ec2().set_capacity("t3.micro", subnet, mrpf_cloud::Capacity::Machines(0));
    }
    let launched = fleet.launch(2, 1);
    assert!(matches!(launched, Err(LaunchError::Exhausted(_))), "{launched:?}");
    let kinds: Vec<_> =
        region.launches().into_iter().filter(|it| it.param("DryRun").is_none()).collect();
    assert!(kinds.iter().all(|it| it.param("InstanceType").is_none()), "no other type fits");
    assert_eq!(kinds.len(), 4);
}

#[test]
fn a_template_of_arm64_with_a_type_of_x86_64_leaves_the_listed_types() {
    let region = Region::with(Template {
        image: "ami-arm".to_owned(),
        instance_type: Some("c7i.large".to_owned()),
        ..Template::default()
    });
    let fleet = region.fleet();
    fleet.launch(1, 1).unwrap();
    assert_eq!(region.launches()[0].param("InstanceType"), Some("t4g.micro"));
    let says = fleet.check().iter().any(|it| it.to_string().contains("own type c7i.large"));
    assert!(says, "{:?}", fleet.check());
}

#[test]
fn a_type_that_the_region_does_not_have_is_left_out_and_the_others_are_not() {
    let region = Region::with(Template {
        image: "ami-arm".to_owned(),
        instance_type: Some("c9g.medium".to_owned()),
        ..Template::default()
    });
    let fleet = region.fleet();
    fleet.launch(1, 1).unwrap();
    assert_eq!(region.launches()[0].param("InstanceType"), Some("t4g.micro"));
    let findings = fleet.check();
    let says =
        findings.iter().any(|it| it.to_string().contains("own type c9g.medium is not offered"));
    assert!(says, "{findings:?}");
}

#[test]
fn what_does_not_exist_is_named() {
    let region = Region::new();
    let open = |settings| Ec2Fleet::open(&region.aws, settings);
    let template = "no-such-template".to_owned();
    let refused = open(Settings { template, ..region.settings() }).unwrap_err().to_string();
    assert!(
        refused.contains("no-such-template") && refused.contains("does not exist"),
        "{refused}"
    );
    // One of two is told of, and the other is launched in; without any nothing can be.
    let missing = "subnet-dddddddd: there is no such subnet";
    let subnets = vec![SUBNETS[0].to_owned(), "subnet-dddddddd".to_owned()];
    let fleet = open(Settings { subnets, ..region.settings() }).unwrap();
    assert!(wrong(&fleet).is_empty(), "{:?}", wrong(&fleet));
    assert!(fleet.check().iter().any(|it| it.to_string().contains(missing)), "{:?}", fleet.check());
    let subnets = vec!["subnet-dddddddd".to_owned()];
    let said = wrong(&open(Settings { subnets, ..region.settings() }).unwrap());
    assert!(said[0].contains(missing), "{said:?}");
    let interface = Template {
        image: "ami-arm".to_owned(),
        instance_type: Some("t4g.small".to_owned()),
        subnet: Some(SUBNETS[0].to_owned()),
        ..Template::default()
    };
    region.cloud.ec2().add_template(TEMPLATE, interface);
    let said = wrong(&region.fleet());
    assert!(said[0].contains("version 3") && said[0].contains("network interfaces"), "{said:?}");
}
