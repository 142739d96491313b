//! The rules of machines, through the operations, with the clock put forward.

use serde_json::json;

use super::*;

struct Bench {
    ec2: Ec2,
    clock: Clock,
}

/// The answer to a call, or the code of its error with whether it is the client's fault.
type Answered = Result<String, (String, bool)>;

impl Bench {
    /// Subnets a and b, an arm64 image, a template with a default type.
    fn new() -> Self {
        let clock = Clock::start();
        let ec2 = Ec2::new(clock.clone());
        ec2.add_image("ami-arm", "arm64");
        ec2.add_image("ami-x86", "x86_64");
        ec2.add_subnet("subnet-a", "eu-central-1a");
        ec2.add_subnet("subnet-b", "eu-central-1b");
        ec2.add_template(
            "worker",
            Template {
                image: "ami-arm".to_owned(),
                instance_type: Some("t4g.micro".to_owned()),
                ..Template::default()
            },
        );
        Self { ec2, clock }
    }

    fn call(&self, operation: &str, given: &[(&str, &str)]) -> Answered {
        let mut params = Map::new();
        params.insert("Action".to_owned(), json!(operation));
        params.insert("Version".to_owned(), json!(VERSION));
        params.extend(given.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
        self.ec2.call(operation, &params).map_err(|failure| (failure.code, failure.is_misuse))
    }

    fn run(&self, given: &[(&str, &str)]) -> Answered {
        let mut all = vec![
            ("LaunchTemplate.LaunchTemplateName", "worker"),
            ("LaunchTemplate.Version", "$Latest"),
            ("MinCount", "1"),
            ("MaxCount", "1"),
        ];
        all.extend(given);
        self.call("RunInstances", &all)
    }

    fn describe(&self, given: &[(&str, &str)]) -> String {
        self.call("DescribeInstances", given).unwrap()
    }
}

/// What stands in all elements of a name.
fn all<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let open = format!("<{name}>");
    xml.split(&open).skip(1).filter_map(|rest| rest.split('<').next()).collect()
}

fn id_of(answer: Answered) -> String {
    all(&answer.unwrap(), "instanceId")[0].to_owned()
}

fn wrong(code: &str) -> Answered {
    Err((code.to_owned(), true))
}

fn refused(code: &str) -> Answered {
    Err((code.to_owned(), false))
}

#[test]
fn a_launch_takes_what_it_names_and_the_rest_from_the_template() {
    let bench = Bench::new();
    let xml = bench.run(&[]).unwrap();
    assert_eq!(all(&xml, "instanceType"), ["t4g.micro"]);
    assert_eq!(all(&xml, "subnetId"), ["subnet-a"]);
    assert_eq!(all(&xml, "imageId"), ["ami-arm"]);
    assert_eq!(all(&xml, "name"), ["pending"]);
    let events = bench.ec2.events();
    let id = id_of(bench.run(&[
        ("InstanceType", "c7g.medium"),
        ("SubnetId", "subnet-b"),
        ("InstanceInitiatedShutdownBehavior", "terminate"),
        ("TagSpecification.1.ResourceType", "instance"),
        ("TagSpecification.1.Tag.1.Key", "mrpf:slot"),
        ("TagSpecification.1.Tag.1.Value", "3 & 4"),
        ("TagSpecification.2.ResourceType", "volume"),
        ("TagSpecification.2.Tag.1.Key", "mrpf:slot"),
        ("TagSpecification.2.Tag.1.Value", "3"),
    ]));
    let Ok(Event::Launched(instance)) = events.try_recv() else { panic!("no event") };
    assert_eq!(instance.id, id);
    assert_eq!((&*instance.zone, &*instance.shutdown_behavior), ("eu-central-1b", "terminate"));
    assert_eq!(instance.tags, BTreeMap::from([("mrpf:slot".to_owned(), "3 & 4".to_owned())]));
    let seen = bench.describe(&[("Filter.1.Name", "tag:mrpf:slot"), ("Filter.1.Value.1", "3*")]);
    assert_eq!(all(&seen, "instanceId"), [id.as_str()]);
    assert!(seen.contains("<value>3 &amp; 4</value>"));
}

#[test]
fn the_latest_version_is_not_the_default_one() {
    let bench = Bench::new();
    let template = Template { image: "ami-x86".to_owned(), ..Template::default() };
    let id = bench.ec2.add_template("worker", template);
    let version = |version: &str| {
        bench.call(
            "RunInstances",
            &[
                ("LaunchTemplate.LaunchTemplateId", &id),
                ("LaunchTemplate.Version", version),
                ("InstanceType", "t3.micro"),
                ("MinCount", "1"),
                ("MaxCount", "1"),
            ],
        )
    };
    assert_eq!(all(&version("$Latest").unwrap(), "imageId"), ["ami-x86"]);
    assert_eq!(version("$Default"), refused("InvalidParameterValue"), "an image for arm64");
    assert_eq!(version("3"), refused("InvalidLaunchTemplateId.VersionNotFound"));
    let asked = [("LaunchTemplateName", "worker"), ("LaunchTemplateVersion.1", "$Latest")];
    let xml = bench.call("DescribeLaunchTemplateVersions", &asked).unwrap();
    assert_eq!(
        (all(&xml, "versionNumber"), all(&xml, "defaultVersion")),
        (vec!["2"], vec!["false"])
    );
    let all_versions = bench.call("DescribeLaunchTemplateVersions", &asked[..1]).unwrap();
    assert_eq!(all(&all_versions, "imageId"), ["ami-x86", "ami-arm"]);
}

#[test]
fn a_client_token_launches_once() {
    let bench = Bench::new();
    let first = id_of(bench.run(&[("ClientToken", "t-1"), ("SubnetId", "subnet-a")]));
    let again = id_of(bench.run(&[("ClientToken", "t-1"), ("SubnetId", "subnet-a")]));
    assert_eq!(first, again);
    assert_eq!(bench.ec2.instances().len(), 1);
    let other = bench.run(&[("ClientToken", "t-1"), ("SubnetId", "subnet-b")]);
    assert_eq!(other, wrong("IdempotentParameterMismatch"));
    assert_ne!(id_of(bench.run(&[("ClientToken", "T-1"), ("SubnetId", "subnet-a")])), first);
    // Even when it is gone.
    bench.call("TerminateInstances", &[("InstanceId.1", &first)]).unwrap();
    let dead = bench.run(&[("ClientToken", "t-1"), ("SubnetId", "subnet-a")]).unwrap();
    assert_eq!((all(&dead, "instanceId"), all(&dead, "name")), (vec![&*first], vec!["terminated"]));
    assert_eq!(bench.run(&[("ClientToken", &"t".repeat(65))]), wrong("InvalidParameterValue"));
}

#[test]
fn a_token_whose_launch_failed_is_bound_and_may_try_again() {
    let bench = Bench::new();
    let refused_code = Capacity::Refused("Unsupported".to_owned());
    bench.ec2.set_capacity("t4g.micro", "subnet-a", refused_code);
    assert_eq!(bench.run(&[("ClientToken", "t")]), refused("Unsupported"));
    let other = bench.run(&[("ClientToken", "t"), ("SubnetId", "subnet-b")]);
    assert_eq!(other, wrong("IdempotentParameterMismatch"));
    bench.ec2.set_capacity("t4g.micro", "subnet-a", Capacity::Free);
    let first = id_of(bench.run(&[("ClientToken", "t")]));
    assert_eq!(id_of(bench.run(&[("ClientToken", "t")])), first);
}

#[test]
fn capacity_is_of_a_type_in_a_subnet() {
    let bench = Bench::new();
    bench.ec2.set_capacity("t4g.micro", "subnet-a", Capacity::Machines(1));
    let id = id_of(bench.run(&[]));
    assert_eq!(bench.run(&[]), refused("InsufficientInstanceCapacity"));
    bench.run(&[("SubnetId", "subnet-b")]).unwrap();
    bench.run(&[("InstanceType", "t4g.small")]).unwrap();
    bench.call("TerminateInstances", &[("InstanceId.1", &id)]).unwrap();
    bench.run(&[]).unwrap();
    bench.ec2.set_free_addresses("subnet-b", 0);
    let full = bench.run(&[("SubnetId", "subnet-b")]);
    assert_eq!(full, refused("InsufficientFreeAddressesInSubnet"));
    assert_eq!(Failure::new("InsufficientInstanceCapacity", "").status, 500);
}

#[test]
fn capacity_that_was_not_there_shows_later_as_a_reason() {
    let bench = Bench::new();
    let events = bench.ec2.events();
    let later = Capacity::GoneAfter(Duration::from_secs(2));
    bench.ec2.set_capacity("t4g.micro", "subnet-a", later);
    let id = id_of(bench.run(&[]));
    assert_eq!(all(&bench.describe(&[("InstanceId.1", &id)]), "name"), ["pending"]);
    bench.clock.advance(Duration::from_secs(2));
    let gone = bench.describe(&[("InstanceId.1", &id)]);
    assert_eq!(all(&gone, "name"), ["terminated"]);
    assert_eq!(all(&gone, "code"), ["48", "Server.InsufficientInstanceCapacity"]);
    assert!(events.try_recv().is_err(), "it never came up");
}

#[test]
fn what_is_described_is_as_old_as_the_lag() {
    let bench = Bench::new();
    bench.ec2.set_lag(Duration::from_secs(30));
    let id = id_of(bench.run(&[]));
    assert_eq!(all(&bench.describe(&[]), "instanceId"), Vec::<&str>::new());
    let by_id = bench.call("DescribeInstances", &[("InstanceId.1", &id)]);
    assert_eq!(by_id, refused("InvalidInstanceID.NotFound"));
    bench.clock.advance(Duration::from_secs(30));
    assert_eq!(all(&bench.describe(&[]), "name"), ["running"]);
    bench.call("TerminateInstances", &[("InstanceId.1", &id)]).unwrap();
    assert_eq!(all(&bench.describe(&[]), "name"), ["running"]);
    bench.clock.advance(Duration::from_secs(30));
    assert_eq!(all(&bench.describe(&[]), "name"), ["terminated"]);
    bench.clock.advance(Duration::from_secs(3_601));
    assert_eq!(all(&bench.describe(&[]), "name"), Vec::<&str>::new());
}

#[test]
fn an_instance_that_shuts_itself_down_stops_or_ends() {
    let bench = Bench::new();
    let stops = id_of(bench.run(&[]));
    let ends = id_of(bench.run(&[("InstanceInitiatedShutdownBehavior", "terminate")]));
    for id in [&stops, &ends] {
        bench.ec2.shut_down(id);
    }
    assert_eq!(bench.ec2.instance(&stops).unwrap().state, InstanceState::Stopped);
    let ended = bench.ec2.instance(&ends).unwrap();
    assert_eq!(ended.state, InstanceState::Terminated);
    assert_eq!(ended.reason.unwrap().0, "Client.InstanceInitiatedShutdown");
}

#[test]
fn an_instance_that_ends_is_there_until_it_has_shut_down() {
    let bench = Bench::new();
    bench.ec2.set_shutdown_time(Duration::from_secs(5));
    assert_eq!(bench.ec2.most_at_a_time(), 0);
    let terminate = [("InstanceInitiatedShutdownBehavior", "terminate")];
    let [ends, ended] = [(); 2].map(|()| id_of(bench.run(&terminate)));
    bench.ec2.shut_down(&ends);
    bench.call("TerminateInstances", &[("InstanceId.1", &ended)]).unwrap();
    for id in [&ends, &ended] {
        let shown = bench.describe(&[("InstanceId.1", id)]);
        assert_eq!(all(&shown, "name"), ["shutting-down"]);
    }
    bench.clock.advance(Duration::from_millis(4_999));
    bench.run(&[]).unwrap();
    assert_eq!(bench.ec2.most_at_a_time(), 3);
    bench.clock.advance(Duration::from_millis(1));
    let states = bench.describe(&[]);
    assert_eq!(all(&states, "name"), ["terminated", "terminated", "running"]);
    for _ in 0..2 {
        bench.run(&[]).unwrap();
    }
    assert_eq!(bench.ec2.most_at_a_time(), 3, "two had gone");
}

#[test]
fn termination_is_told_once_and_of_all_or_none() {
    let bench = Bench::new();
    let id = id_of(bench.run(&[]));
    let events = bench.ec2.events();
    let unknown = "i-00000000000000000";
    let both = [("InstanceId.1", &*id), ("InstanceId.2", unknown)];
    assert_eq!(bench.call("TerminateInstances", &both), refused("InvalidInstanceID.NotFound"));
    assert!(bench.ec2.instance(&id).unwrap().state.is_live());
    for expected in [["shutting-down", "running"], ["terminated", "terminated"]] {
        let xml = bench.call("TerminateInstances", &both[..1]).unwrap();
        assert_eq!(all(&xml, "name"), expected);
    }
    assert_eq!(events.try_iter().collect::<Vec<_>>(), [Event::Terminated(id)]);
    let malformed = bench.call("TerminateInstances", &[("InstanceId.1", "worker-1")]);
    assert_eq!(malformed, wrong("InvalidInstanceID.Malformed"));
    assert_eq!(bench.call("TerminateInstances", &[]), wrong("MissingParameter"));
}

#[test]
fn pages_and_filters_are_of_what_is_there() {
    let bench = Bench::new();
    let ids: Vec<_> = (0..12).map(|_| id_of(bench.run(&[]))).collect();
    bench.call("TerminateInstances", &[("InstanceId.1", &ids[0])]).unwrap();
    let live = [
        ("Filter.1.Name", "instance-state-name"),
        ("Filter.1.Value.1", "pending"),
        ("Filter.1.Value.2", "running"),
    ];
    assert_eq!(all(&bench.describe(&live), "instanceId"), ids[1..]);
    let mut seen = Vec::new();
    let mut token = String::new();
    for _ in 0..3 {
        let page = bench.describe(&[("MaxResults", "5"), ("NextToken", &token)]);
        seen.extend(all(&page, "instanceId").into_iter().map(str::to_owned));
        token =
            all(&page, "nextToken").first().map(|token| (*token).to_owned()).unwrap_or_default();
    }
    assert_eq!((seen, token.as_str()), (ids, ""));
    bench.ec2.set_longest_page(7);
    assert_eq!(all(&bench.describe(&[]), "instanceId").len(), 7, "though no page was asked for");
}

#[test]
fn a_dry_run_and_a_missing_permission_do_nothing() {
    let bench = Bench::new();
    assert_eq!(bench.run(&[("DryRun", "true")]), refused("DryRunOperation"));
    assert_eq!(bench.call("DescribeInstances", &[("DryRun", "true")]), refused("DryRunOperation"));
    bench.ec2.deny("CreateTags");
    let tagged = [
        ("DryRun", "true"),
        ("TagSpecification.1.ResourceType", "instance"),
        ("TagSpecification.1.Tag.1.Key", "a"),
    ];
    assert_eq!(bench.run(&tagged), refused("UnauthorizedOperation"));
    bench.ec2.deny("RunInstances");
    assert_eq!(bench.run(&[]), refused("UnauthorizedOperation"));
    assert!(bench.ec2.instances().is_empty());
    bench.ec2.allow("RunInstances");
    bench.run(&[]).unwrap();
}

#[test]
fn what_does_not_exist_is_said() {
    let bench = Bench::new();
    let not_found = [
        ("RunInstances", ("SubnetId", "subnet-z"), "InvalidSubnetID.NotFound"),
        ("DescribeSubnets", ("SubnetId.1", "subnet-z"), "InvalidSubnetID.NotFound"),
        ("DescribeImages", ("ImageId.1", "ami-z"), "InvalidAMIID.NotFound"),
        ("DescribeInstanceTypes", ("InstanceType.1", "zz9.huge"), "InvalidInstanceType"),
        ("RunInstances", ("InstanceType", "zz9.huge"), "InvalidParameterValue"),
        ("RunInstances", ("InstanceType", "t3.micro"), "InvalidParameterValue"),
    ];
    for (operation, given, code) in not_found {
        let answer = match operation {
            "RunInstances" => bench.run(&[given]),
            _ => bench.call(operation, &[given]),
        };
        assert_eq!(answer, refused(code), "{operation} {given:?}");
    }
    let template = [("LaunchTemplateName", "none")];
    let answer = bench.call("DescribeLaunchTemplateVersions", &template);
    assert_eq!(answer, refused("InvalidLaunchTemplateName.NotFoundException"));
}

#[test]
fn wrong_calls_are_refused_and_seen() {
    let bench = Bench::new();
    assert_eq!(bench.call("RunInstances", &[("MinCount", "1")]), wrong("MissingParameter"));
    assert_eq!(bench.run(&[("Subnet", "subnet-a")]), wrong("UnknownParameter"));
    let filter = [("Filter.1.Name", "age"), ("Filter.1.Value.1", "1")];
    assert_eq!(bench.call("DescribeInstances", &filter), wrong("InvalidParameterValue"));
    assert_eq!(
        bench.call("DescribeInstances", &[("MaxResults", "4")]),
        wrong("InvalidParameterValue")
    );
    assert_eq!(bench.call("StopInstances", &[]), wrong("InvalidAction"));
    let reserved = [
        ("TagSpecification.1.ResourceType", "instance"),
        ("TagSpecification.1.Tag.1.Key", "aws:slot"),
    ];
    assert_eq!(bench.run(&reserved), wrong("InvalidParameterValue"));
}

#[test]
fn types_and_images_have_architectures_and_subnets_zones() {
    let bench = Bench::new();
    let types = [("InstanceType.1", "t4g.micro"), ("InstanceType.2", "t3.micro")];
    let xml = bench.call("DescribeInstanceTypes", &types).unwrap();
    assert_eq!(all(&xml, "instanceType"), ["t3.micro", "t4g.micro"]);
    let architectures = |name: &str| {
        format!("<supportedArchitectures><item>{name}</item></supportedArchitectures>")
    };
    assert!(xml.contains(&architectures("x86_64")) && xml.contains(&architectures("arm64")));
    let image = bench.call("DescribeImages", &[("ImageId.1", "ami-arm")]).unwrap();
    assert_eq!(all(&image, "architecture"), ["arm64"]);
    let subnets = bench.call("DescribeSubnets", &[]).unwrap();
    assert_eq!(all(&subnets, "availabilityZone"), ["eu-central-1a", "eu-central-1b"]);
}

#[test]
fn dates_are_written_as_aws_does() {
    assert_eq!(date(Duration::from_millis(1_772_366_400_500)), "2026-03-01T12:00:00Z");
}
