//! The fleet over an EC2 that answers as it is told. What the real SDK makes of real answers is tested in `tests/`.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use mrpf_aws::{AwsError, CallError, Reason};
use mrpf_ports::{Fleet as _, InstanceId, InstanceState, LaunchError};

use super::{Ec2Fleet, Settings};
use crate::{
    api::{Ec2Api, Launch, Life, Machine, Subnet, Template, TypeInfo},
    check::Finding,
    kinds::LISTED,
};

#[derive(Debug, Default)]
struct Script {
    /// What launches are answered, in order; after that each is given an instance.
    runs: VecDeque<&'static str>,
    /// What was asked for: combination and token.
    asked: Vec<(String, String)>,
    machines: Vec<Machine>,
    /// Whether machines are shown.
    hides: bool,
    ended: Vec<String>,
    /// What every call but a launch is answered.
    fails: Option<&'static str>,
    may_not: Option<&'static str>,
    architecture: &'static str,
}

#[derive(Debug, Default)]
struct Fake(Mutex<Script>);

fn error(code: &str) -> AwsError {
    let call = CallError {
        call: "EC2 Fake",
        reason: Reason::Refused,
        code: Some(code.to_owned()),
        status: Some(400),
        said: String::new(),
    };
    AwsError::Call(call)
}

impl Fake {
    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }

    fn looked_at(&self) -> Result<std::sync::MutexGuard<'_, Script>, AwsError> {
        let script = self.script();
        script.fails.map_or(Ok(()), |code| Err(error(code)))?;
        Ok(script)
    }
}

impl Ec2Api for Fake {
    fn run(&self, launch: &Launch<'_>) -> Result<String, AwsError> {
        let mut script = self.script();
        script.asked.push((launch.at.to_string(), launch.token.clone()));
        if let Some(code) = script.runs.pop_front() {
            return Err(error(code));
        }
        let id = format!("i-{}", script.machines.len());
        script.machines.push(Machine {
            id: id.clone(),
            slot: Some(launch.slot),
            life: Life::Live,
            code: None,
            reason: None,
            token: Some(launch.token.clone()),
            launched: Some(SystemTime::now()),
        });
        Ok(id)
    }

    fn may_run(&self, _: &Launch<'_>) -> Result<(), AwsError> {
        self.script().may_not.map_or(Ok(()), |code| Err(error(code)))
    }

    fn machines(&self, _: &str, slot: Option<(u32, u32)>) -> Result<Vec<Machine>, AwsError> {
        let script = self.looked_at()?;
        let is_meant = |it: &&Machine| !script.hides && (slot.is_none() || it.slot == slot);
        Ok(script.machines.iter().filter(is_meant).cloned().collect())
    }

    fn terminate(&self, id: &str) -> Result<(), AwsError> {
        let mut script = self.looked_at()?;
        script.ended.push(id.to_owned());
        let hides = script.hides;
        match script.machines.iter_mut().find(|it| it.id == id && !hides) {
            Some(machine) => machine.life = Life::Gone,
            None => return Err(error("InvalidInstanceID.NotFound")),
        }
        Ok(())
    }

    fn may_terminate(&self, _: &str) -> Result<(), AwsError> {
        self.script().may_not.map_or(Ok(()), |code| Err(error(code)))
    }

    fn template(&self, _: &str) -> Result<Option<Template>, AwsError> {
        drop(self.looked_at()?);
        let image = Some("ami-1".to_owned());
        Ok(Some(Template { image, kind: Some("t3.large".to_owned()), ..Template::default() }))
    }

    fn architecture(&self, _: &str) -> Result<Option<String>, AwsError> {
        let script = self.looked_at()?;
        Ok((!script.architecture.is_empty()).then(|| script.architecture.to_owned()))
    }

    fn types(&self, names: &[&str]) -> Result<Vec<TypeInfo>, AwsError> {
        drop(self.looked_at()?);
        let info = |name: &&str| {
            let architecture = if LISTED.contains(name) { "arm64" } else { "x86_64" };
            TypeInfo {
                name: (*name).to_owned(),
                vcpus: 2,
                architectures: vec![architecture.to_owned()],
            }
        };
        Ok(names.iter().map(info).collect())
    }

    fn subnets(&self, ids: &[String]) -> Result<Vec<Subnet>, AwsError> {
        let subnet = |id: &String| Subnet {
            id: id.clone(),
            vpc: Some("vpc-1".to_owned()),
            zone: Some(id.clone()),
            free_addresses: Some(9),
        };
        Ok(ids.iter().map(subnet).collect())
    }
}

fn open(fake: &Arc<Fake>) -> Ec2Fleet {
    let subnets = ["subnet-a", "subnet-b", "subnet-a"].map(str::to_owned).to_vec();
    let settings =
        Settings { template: "workers".to_owned(), subnets, platform: "platform-1".to_owned() };
    Ec2Fleet::over(fake.clone(), settings).unwrap()
}

fn asked(fake: &Fake) -> Vec<String> {
    fake.script().asked.iter().map(|(at, _)| at.clone()).collect()
}

const ICE: &str = "InsufficientInstanceCapacity";

#[test]
fn the_second_launch_leaves_out_what_the_first_found_full() {
    let fake = Arc::new(Fake::default());
    let fleet = open(&fake);
    fake.script().runs = [ICE, ICE, "Unsupported"].into();
    fleet.launch(1, 1).unwrap();
    fleet.launch(2, 1).unwrap();
    assert_eq!(
        asked(&fake),
        [
            "the template's type in subnet-a",
            "the template's type in subnet-b",
            "t4g.micro in subnet-a",
            "t4g.micro in subnet-b",
            "t4g.micro in subnet-b",
        ]
    );
}

#[test]
fn with_no_room_anywhere_the_other_slots_ask_for_nothing() {
    let fake = Arc::new(Fake::default());
    let fleet = open(&fake);
    fake.script().runs = vec![ICE; 100].into();
    for slot in 1..=5 {
        assert!(matches!(fleet.launch(slot, 1), Err(LaunchError::Exhausted(_))));
    }
    assert_eq!(asked(&fake).len(), 10, "five types in two subnets: the third was one of them");
}

#[test]
fn the_same_launch_is_one_request_and_after_a_restart_too() {
    let fake = Arc::new(Fake::default());
    let fleet = open(&fake);
    let id = fleet.launch(1, 1).unwrap();
    assert_eq!(fleet.launch(1, 1).unwrap(), id);
    assert_eq!(open(&fake).launch(1, 1).unwrap(), id, "it has its tags");
    assert_eq!(asked(&fake).len(), 1);
    assert_ne!(fleet.launch(1, 2).unwrap(), id);
}

#[test]
fn a_restarted_manager_that_sees_nothing_yet_asks_with_the_same_token() {
    let fake = Arc::new(Fake::default());
    open(&fake).launch(1, 1).unwrap();
    fake.script().hides = true;
    open(&fake).launch(1, 1).unwrap();
    let asked = fake.script().asked.clone();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0], asked[1]);
    // Another platform in the same account is another matter.
    let settings = Settings { platform: "platform-2".to_owned(), ..open(&fake).settings };
    Ec2Fleet::over(fake.clone(), settings).unwrap().launch(1, 1).unwrap();
    assert_ne!(fake.script().asked[2].1, asked[0].1);
}

#[test]
fn a_launch_that_may_have_been_made_before_is_not_made_blindly() {
    let fake = Arc::new(Fake::default());
    let fleet = open(&fake);
    fake.script().fails = Some("InternalError");
    assert!(matches!(fleet.launch(1, 1), Err(LaunchError::Unknown(_))));
    fake.script().fails = Some("UnauthorizedOperation");
    assert!(matches!(fleet.launch(1, 1), Err(LaunchError::Refused(_))));
    assert_eq!(asked(&fake), [""; 0]);
    assert!(fleet.list().unwrap_err().0.contains("UnauthorizedOperation"));
}

#[test]
fn what_was_taken_back_is_left_out_of_the_next_launch() {
    let fake = Arc::new(Fake::default());
    let fleet = open(&fake);
    let id = fleet.launch(1, 1).unwrap();
    {
        let mut script = fake.script();
        script.machines[0].life = Life::Gone;
        script.machines[0].code = Some("Server.InsufficientInstanceCapacity".to_owned());
        script.machines[0].reason = Some("There was insufficient capacity".to_owned());
    }
    let listed = fleet.list().unwrap();
    assert_eq!((&listed[0].id, listed[0].state), (&id, InstanceState::Gone));
    assert_eq!(listed[0].reason.as_deref(), Some("There was insufficient capacity"));
    fleet.launch(1, 2).unwrap();
    // A manager that has just come up learns it the same way.
    let other = open(&fake);
    other.list().unwrap();
    other.launch(2, 1).unwrap();
    let b = "the template's type in subnet-b";
    assert_eq!(asked(&fake), ["the template's type in subnet-a", b, b]);
    // After as long as a refusal is remembered it says nothing any more.
    fake.script().machines[0].launched = Some(SystemTime::now() - Duration::from_secs(600));
    let other = open(&fake);
    other.list().unwrap();
    other.launch(3, 1).unwrap();
    assert_eq!(asked(&fake)[3], "the template's type in subnet-a");
}

#[test]
fn a_fresh_instance_that_ec2_does_not_know_yet_is_no_gone_one() {
    let fake = Arc::new(Fake::default());
    let fleet = open(&fake);
    let id = fleet.launch(1, 1).unwrap();
    fake.script().hides = true;
    assert_eq!(fleet.list().unwrap()[0].state, InstanceState::Live);
    assert!(fleet.terminate(&id).unwrap_err().0.contains("again later"));
    assert_eq!(fleet.list().unwrap()[0].state, InstanceState::Live, "nobody has ended it");
    fake.script().hides = false;
    fleet.terminate(&id).unwrap();
    fake.script().hides = true;
    assert_eq!(fleet.list().unwrap()[0].state, InstanceState::Ending);
    fleet.terminate(&id).unwrap();
    fleet.terminate(&InstanceId("i-99".to_owned())).unwrap();
}

#[test]
fn a_stopped_instance_is_ended_and_a_failure_to_is_not_the_lists() {
    let fake = Arc::new(Fake::default());
    let fleet = open(&fake);
    fleet.launch(1, 1).unwrap();
    fake.script().machines[0].life = Life::Stopped;
    assert_eq!(fleet.list().unwrap()[0].state, InstanceState::Gone);
    assert_eq!(fake.script().ended, ["i-0"]);
}

#[test]
fn types_that_cannot_run_the_image_are_left_out() {
    let fake = Arc::new(Fake::default());
    fake.script().architecture = "x86_64";
    let fleet = open(&fake);
    fake.script().runs = vec![ICE; 100].into();
    fleet.launch(1, 1).unwrap_err();
    assert_eq!(
        asked(&fake),
        ["the template's type in subnet-a", "the template's type in subnet-b"]
    );
    let notes = fleet.check();
    let about_image = |it: &&Finding| it.to_string().contains("the image is for x86_64");
    assert_eq!(notes.iter().filter(about_image).count(), LISTED.len(), "{notes:?}");

    fake.script().architecture = "riscv64";
    let fleet = open(&fake);
    assert!(matches!(fleet.launch(2, 1), Err(LaunchError::Refused(_))));
    assert!(matches!(&fleet.check()[..], [.., Finding::Wrong(_)] | [Finding::Wrong(_), ..]
        if fleet.check().iter().any(|it| it.to_string().contains("no instance type can run"))));
}

#[test]
fn an_ec2_that_cannot_be_asked_is_no_reason_not_to_open_and_a_wrong_setting_is() {
    let fake = Arc::new(Fake::default());
    fake.script().fails = Some("Unavailable");
    let fleet = open(&fake);
    fake.script().fails = None;
    fleet.launch(1, 1).unwrap();
    fake.script().fails = Some("InvalidLaunchTemplateName.NotFoundException");
    let refused = Ec2Fleet::over(fake, fleet.settings.clone()).unwrap_err();
    assert!(refused.0.contains("InvalidLaunchTemplateName"), "{refused}");
    for (template, platform) in [("", "p"), ("t", "")] {
        let (template, platform) = (template.to_owned(), platform.to_owned());
        let settings = Settings { template, platform, subnets: Vec::new() };
        let refused = Ec2Fleet::over(Arc::new(Fake::default()), settings).unwrap_err();
        assert!(refused.0.contains("is empty"), "{refused}");
    }
}

#[test]
fn the_check_says_what_may_not_be_done() {
    let fake = Arc::new(Fake::default());
    fake.script().architecture = "arm64";
    let fleet = open(&fake);
    let wrong = |fleet: &Ec2Fleet| {
        let findings = fleet.check().into_iter();
        findings.filter(|it| matches!(it, Finding::Wrong(_))).collect::<Vec<_>>()
    };
    assert_eq!(wrong(&fleet), []);
    fake.script().may_not = Some("UnauthorizedOperation");
    let said = wrong(&fleet);
    assert_eq!(said.len(), 2, "one for each subnet: {said:?}");
    assert!(said[0].to_string().contains("iam:PassRole"), "{said:?}");
    // With an instance to try it on, ending is known too.
    fake.script().machines.push(Machine {
        id: "i-7".to_owned(),
        slot: Some((1, 1)),
        life: Life::Live,
        code: None,
        reason: None,
        token: None,
        launched: None,
    });
    assert!(wrong(&fleet)[2].to_string().contains("ending i-7"));
}
