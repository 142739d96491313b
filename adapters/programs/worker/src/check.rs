//! `--check`: everything that the worker needs, looked at one by one, with what mends what is wrong. Nothing is changed, no
//! message taken and no packet sent.

use std::{error::Error, fmt::Display, fs};

use mrpf_aws::Aws;
use mrpf_engine::link::interface::Interface;
use mrpf_environment::QueueUrl;
use mrpf_ports::{Queue as _, QueueName};
use mrpf_postgres::{Finding, Login, PgStore};
use mrpf_sqs::Sqs;
use nix::unistd::geteuid;

use crate::{Args, FromEnvironment, imds::Document, start::Identity};

/// What has to be free: twice what a scan at full speed has resident, its receive ring of 16 MiB included (54 MB at most in
/// benches/RESULTS.md), and what the SDK takes.
const FREE: u64 = 128 << 20;
/// Bits of a capability set, from linux/capability.h.
const NET_ADMIN: u32 = 12;
const NET_RAW: u32 = 13;

/// Says how it stands with each; whether nothing is wrong.
pub(crate) fn run(args: &Args) -> bool {
    let mut said = Said::default();
    let settings = mrpf_environment::read::<FromEnvironment>();
    said.note("settings", settings.as_ref().map(|_| "all there"));
    said.note("identity", identity(args));
    let aws = Aws::start();
    match &aws {
        Ok(aws) => said.note("AWS", aws.identity()),
        Err(error) => said.note::<&str>("AWS", Err(error)),
    }
    if let Ok(((queues, database), _)) = &settings {
        if let Ok(aws) = &aws {
            queue(&mut said, aws, QueueName::BareMetal, &queues.bare_metal);
            queue(&mut said, aws, QueueName::TaskManager, &queues.task_manager);
        }
        for finding in PgStore::check(database.reveal(), Login::BareMetal) {
            let Finding { what, mend } = finding;
            said.note(
                "database",
                match mend {
                    None => Ok(what),
                    Some(mend) => Err(format!("{what}; {mend}")),
                },
            );
        }
    }
    said.note("capabilities", capabilities(&proc("self/status")));
    said.note("interface", interface());
    said.note("memory", memory(&proc("meminfo")));
    said.note("power", power(args));
    !said.is_wrong
}

/// What was said so far.
#[derive(Default)]
struct Said {
    is_wrong: bool,
}

impl Said {
    fn note<T: Display>(&mut self, what: &str, found: Result<T, impl Display>) {
        match found {
            Ok(found) => println!("OK     {what}: {found}"),
            Err(why) => {
                self.is_wrong = true;
                println!("WRONG  {what}: {why}");
            }
        }
    }
}

fn proc(name: &str) -> String {
    fs::read_to_string(format!("/proc/{name}")).unwrap_or_default()
}

fn identity(args: &Args) -> Result<String, Box<dyn Error>> {
    Ok(match Identity::of(args)? {
        Identity::Named(name) => format!("{name}, as --instance says"),
        Identity::Ec2(imds) => {
            let document = imds.document()?;
            let spot = match imds.spot_notice()? {
                Some(notice) => {
                    format!("; EC2 takes it back: {} at {}", notice.action, notice.time)
                }
                None => String::new(),
            };
            let Document { instance_id, instance_type, availability_zone } = document;
            format!("{instance_id}, {instance_type} in {availability_zone}{spot}")
        }
    })
}

fn queue(said: &mut Said, aws: &Aws, name: QueueName, url: &QueueUrl) {
    let depth = Sqs::open(aws, name, url.as_str()).and_then(|queue| queue.depth());
    let depth = depth.map(|depth| format!("{url}, about {} messages wait", depth.visible));
    said.note(&format!("{name} queue"), depth);
}

/// What sending takes, and what makes the send buffer large.
fn capabilities(status: &str) -> Result<String, String> {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    let effective = effective.ok_or("/proc/self/status has no CapEff")?;
    let has = |bit: u32| effective >> bit & 1 == 1;
    match (has(NET_RAW), has(NET_ADMIN)) {
        (true, true) => Ok("CAP_NET_RAW, CAP_NET_ADMIN".to_owned()),
        (true, false) => Ok(
            "CAP_NET_RAW; without CAP_NET_ADMIN the send buffer is no larger than net.core.wmem_max".to_owned(),
        ),
        (false, _) => Err(
            "no CAP_NET_RAW, which sending takes: run as root, or give the unit AmbientCapabilities=CAP_NET_RAW CAP_NET_ADMIN"
                .to_owned(),
        ),
    }
}

fn interface() -> Result<String, Box<dyn Error>> {
    let usable = |it: &Interface| {
        it.is_up()
            && it.is_running()
            && !it.is_loopback()
            && !(it.v4().is_empty() && it.v6().is_empty())
    };
    let name = |it: &Interface| format!("{} ({}, MTU {})", it.name(), it.mac(), it.mtu());
    let found: Vec<String> = Interface::list()?.iter().filter(|it| usable(it)).map(name).collect();
    if found.is_empty() {
        return Err(
            "none that is up, has an address and leads out: attach a network interface".into()
        );
    }
    Ok(found.join(", "))
}

fn memory(meminfo: &str) -> Result<String, String> {
    let available = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let available =
        available.and_then(|text| text.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    let available = available.ok_or("/proc/meminfo has no MemAvailable")?.saturating_mul(1_024);
    let (free, needed) = (available >> 20, FREE >> 20);
    if available >= FREE {
        Ok(format!("{free} MiB free"))
    } else {
        Err(format!(
            "{free} MiB free, and a scan with its rings wants {needed}: end other processes, or take a larger instance type"
        ))
    }
}

fn power(args: &Args) -> Result<&'static str, &'static str> {
    if args.keep_machine {
        Ok("the machine stays on, as --keep-machine says")
    } else if geteuid().is_root() {
        Ok("the machine switches itself off when there is nothing to do")
    } else {
        Err(
            "only root may switch the machine off, which would cost for ever: run as root, or give --keep-machine",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_from_their_bits() {
        let of = |set: &str| capabilities(&format!("Name:\tx\nCapPrm:\t0\nCapEff:\t{set}\n"));
        assert_eq!(of("000001ffffffffff").unwrap(), "CAP_NET_RAW, CAP_NET_ADMIN");
        assert!(of("0000000000002000").unwrap().contains("wmem_max"));
        for set in ["0000000000000000", "0000000000001000"] {
            assert!(of(set).unwrap_err().contains("AmbientCapabilities=CAP_NET_RAW"), "{set}");
        }
        assert!(capabilities("").is_err());
    }

    #[test]
    fn a_machine_without_room_for_a_scan_is_told_apart() {
        let of = |kib: u64| memory(&format!("MemTotal: 1 kB\nMemAvailable:  {kib} kB\n"));
        assert_eq!(of(131_072).unwrap(), "128 MiB free");
        assert!(of(131_071).unwrap_err().starts_with("127 MiB free, and a scan"));
        assert!(memory("").is_err());
    }
}
