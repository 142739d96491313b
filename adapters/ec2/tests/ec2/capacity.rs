//! What is asked of EC2 when something is in the way, request by request, from the log of the server.

use std::time::Instant;

use mrpf_cloud::{Answer, Call, Fault};
use mrpf_ports::{Fleet as _, LaunchError};

use crate::region::{PLATFORM, Region, SUBNETS, TEMPLATE, TYPES};

type Pair = (Option<&'static str>, &'static str);

/// All combinations in the order they are asked for.
fn pairs() -> Vec<Pair> {
    TYPES.into_iter().flat_map(|kind| SUBNETS.map(|subnet| (kind, subnet))).collect()
}

/// A fault of launches of one combination.
fn fault((kind, subnet): Pair, code: &str) -> Fault {
    let fault = Fault::on("RunInstances", Answer::error(code)).with("SubnetId", subnet);
    match kind {
        Some(kind) => fault.with("InstanceType", kind),
        None => fault.without("InstanceType"),
    }
}

/// The combination of an HTTP request, and the attempt that the SDK says it is.
fn asked(call: &Call) -> (String, String, String) {
    let param = |name| call.param(name).unwrap_or("-").to_owned();
    // "ttl=20260101T000000Z; attempt=2; max=3"
    let told = call.sdk_request.as_deref().unwrap_or_default();
    let attempt =
        told.split("; ").find(|it| it.starts_with("attempt=")).unwrap_or_default().to_owned();
    (param("InstanceType"), param("SubnetId"), attempt)
}

fn once((kind, subnet): Pair) -> (String, String, String) {
    (kind.unwrap_or("-").to_owned(), subnet.to_owned(), "attempt=1".to_owned())
}

/// What comes after `at` when nothing stands in the way of `is_free`.
fn rest(at: usize, is_free: impl Fn(&Pair) -> bool) -> Option<Pair> {
    pairs().into_iter().skip(at + 1).find(is_free)
}

/// vCPUs of a type; the template's own is one of those with four.
fn vcpus(kind: Option<&str>) -> u32 {
    match kind {
        None => 4,
        Some(kind) if kind.ends_with(".medium") => 1,
        Some(_) => 2,
    }
}

/// How the launch goes on after a code.
#[derive(Clone, Copy, Debug)]
enum After {
    Next,
    OtherSubnets,
    FewerVcpus,
    Refused,
}

/// Codes of the table that the SDK does not try again, and what follows.
const CODES: [(&str, After); 10] = [
    ("InsufficientInstanceCapacity", After::Next),
    ("Unsupported", After::Next),
    ("InsufficientFreeAddressesInSubnet", After::OtherSubnets),
    ("InvalidSubnetID.NotFound", After::OtherSubnets),
    ("VcpuLimitExceeded", After::FewerVcpus),
    ("InstanceLimitExceeded", After::FewerVcpus),
    ("UnauthorizedOperation", After::Refused),
    ("InvalidLaunchTemplateName.NotFoundException", After::Refused),
    ("InvalidAMIID.NotFound", After::Refused),
    ("IdempotentParameterMismatch", After::Refused),
];

/// Codes that it does: the same combination, with the same token.
const AGAIN: [&str; 3] = ["RequestLimitExceeded", "InternalError", "Unavailable"];

/// Every combination fails in turn with one code of the table; those before it have no room. The requests are exactly the
/// expected ones.
fn matrix(codes: &[(&'static str, After)]) {
    for &(code, after) in codes {
        for (at, pair) in pairs().into_iter().enumerate() {
            let region = Region::new();
            for before in &pairs()[..at] {
                region.cloud.faults().add(fault(*before, "InsufficientInstanceCapacity"));
            }
            region.cloud.faults().add(fault(pair, code));
            let fleet = region.fleet();
            let launched = fleet.launch(1, 1);

            let mut expected: Vec<_> = pairs()[..=at].iter().map(|pair| once(*pair)).collect();
            let next = match after {
                After::Next => rest(at, |_| true),
                After::OtherSubnets => rest(at, |(_, subnet)| *subnet != pair.1),
                After::FewerVcpus => rest(at, |(kind, _)| vcpus(*kind) < vcpus(pair.0)),
                After::Refused => None,
            };
            expected.extend(next.map(once));
            let requests: Vec<_> = region.launches().iter().map(asked).collect();
            assert_eq!(requests, expected, "{code} at {pair:?}");
            match launched {
                Ok(_) => assert!(next.is_some(), "{code} at {pair:?}"),
                Err(LaunchError::Refused(why)) => {
                    assert!(matches!(after, After::Refused) && why.contains(code), "{code}: {why}");
                }
                Err(LaunchError::Exhausted(why)) => {
                    assert!(next.is_none() && why.contains(code), "{code} at {pair:?}: {why}");
                }
                Err(error) => panic!("{code} at {pair:?}: {error}"),
            }
            assert_eq!(region.cloud.faults().left(), [], "{code} at {pair:?}");
            assert_eq!(region.instances(), usize::from(next.is_some()), "{code} at {pair:?}");
        }
    }
}

#[test]
fn no_room_and_unsupported_lead_to_the_next_combination() {
    matrix(&CODES[..2]);
}

#[test]
fn a_full_or_missing_subnet_leads_to_the_other_subnets() {
    matrix(&CODES[2..4]);
}

#[test]
fn the_accounts_limit_leads_to_types_with_fewer_vcpus() {
    matrix(&CODES[4..6]);
}

#[test]
fn a_wrong_setting_ends_the_launch() {
    matrix(&CODES[6..]);
}

/// The SDK waits before each of its attempts, so the pairs are tried side by side.
#[test]
fn too_many_requests_and_trouble_of_ec2s_own_are_the_same_again() {
    for code in AGAIN {
        std::thread::scope(|scope| {
            for (at, pair) in pairs().into_iter().enumerate() {
                scope.spawn(move || check_again(code, at, pair));
            }
        });
    }
}

/// That `code` at the combination number `at`, where those before have no room, is answered by the same once more.
fn check_again(code: &str, at: usize, pair: Pair) {
    let region = Region::new();
    for before in &pairs()[..at] {
        region.cloud.faults().add(fault(*before, "InsufficientInstanceCapacity"));
    }
    region.cloud.faults().add(fault(pair, code));
    region.fleet().launch(1, 1).unwrap();
    let mut expected: Vec<_> = pairs()[..at].iter().map(|pair| once(*pair)).collect();
    let (kind, subnet, attempt) = once(pair);
    expected.push((kind.clone(), subnet.clone(), attempt));
    expected.push((kind, subnet, "attempt=2".to_owned()));
    let launches = region.launches();
    assert_eq!(launches.iter().map(asked).collect::<Vec<_>>(), expected, "{code} at {pair:?}");
    let tokens: Vec<_> = launches[at..].iter().map(|it| it.param("ClientToken")).collect();
    assert_eq!(tokens[0], tokens[1], "{code} at {pair:?}");
}

#[test]
fn fifteen_combinations_without_room_are_swept_in_less_than_a_second() {
    let region = Region::new();
    for pair in pairs() {
        region.cloud.faults().add(fault(pair, "InsufficientInstanceCapacity"));
    }
    let fleet = region.fleet();
    let start = Instant::now();
    let launched = fleet.launch(1, 1);
    let took = start.elapsed();
    println!("15 combinations without room in {took:?}");
    let Err(LaunchError::Exhausted(why)) = launched else { panic!("{launched:?}") };
    assert!(
        why.contains("15 combinations") && why.contains("InsufficientInstanceCapacity"),
        "{why}"
    );
    let requests: Vec<_> = region.launches().iter().map(asked).collect();
    assert_eq!(requests, pairs().into_iter().map(once).collect::<Vec<_>>());
    assert!(took.as_millis() < 1_000, "{took:?}");
    // Another slot of the same moment does not ask at all.
    assert!(matches!(fleet.launch(2, 1), Err(LaunchError::Exhausted(_))));
    assert_eq!(region.launches().len(), 15);
    assert_eq!(region.cloud.misuses().len(), 0);
}

#[test]
fn a_launch_says_all_that_a_worker_needs() {
    let region = Region::new();
    let id = region.fleet().launch(3, 7).unwrap();
    let launches = region.launches();
    let [call] = &launches[..] else { panic!("{launches:?}") };
    for (name, value) in [
        ("LaunchTemplate.LaunchTemplateName", TEMPLATE),
        ("LaunchTemplate.Version", "$Latest"),
        ("InstanceInitiatedShutdownBehavior", "terminate"),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("SubnetId", SUBNETS[0]),
        ("TagSpecification.1.ResourceType", "instance"),
    ] {
        assert_eq!(call.param(name), Some(value), "{name}");
    }
    let tag = |key: &str| {
        let number =
            (1..9).find(|n| call.param(&format!("TagSpecification.1.Tag.{n}.Key")) == Some(key));
        let number = number.unwrap_or_else(|| panic!("no tag {key}"));
        call.param(&format!("TagSpecification.1.Tag.{number}.Value")).map(str::to_owned)
    };
    assert_eq!(tag("mrpf:platform").as_deref(), Some(PLATFORM));
    assert_eq!(tag("mrpf:slot").as_deref(), Some("3"));
    assert_eq!(tag("mrpf:generation").as_deref(), Some("7"));
    assert!(tag("Name").is_some_and(|name| name.contains("3.7")));
    let token = call.param("ClientToken").unwrap_or_default();
    assert!((1..=64).contains(&token.len()) && token.is_ascii(), "{token}");
    let listed = region.fleet().list().unwrap();
    assert_eq!((&listed[0].id, listed[0].slot), (&id, Some((3, 7))));
}
