//! How many bare-metal workers there may be, where they come from, when they go, and how fast they scan.

use std::num::NonZeroU64;

use mrpf_tasks::PerSecond;
use mrpf_worker::IdleTimeout;

use crate::{
    Problem,
    reader::{Group, Reader, Variable},
};

const MAX_WORKERS: Variable = Variable {
    name: "MAX_BARE_METAL_WORKERS",
    is: "the most bare-metal workers at a time",
    give: "a number from 1 to 1000",
};
const MAX_RATE: Variable = Variable {
    name: "BARE_METAL_MAX_RATE",
    is: "the most frames a second of one bare-metal worker",
    give: "a number such as 10k",
};
const IDLE: Variable = Variable {
    name: "BARE_METAL_IDLE_TIMEOUT_SECS",
    is: "after how many seconds without a task a bare-metal worker goes",
    give: "whole seconds, 1 or more",
};
const SUBNETS: Variable = Variable {
    name: "BARE_METAL_WORKER_SUBNETS",
    is: "the subnets in which bare-metal workers are launched",
    give: "their ids with commas between, such as subnet-0a1b2c3d,subnet-4e5f6071; or leave it out for that of the launch template",
};
const TEMPLATE: Variable = Variable {
    name: "BARE_METAL_LAUNCH_TEMPLATE",
    is: "the launch template of bare-metal workers",
    give: "its name, such as mathijs-worker-ami",
};

/// How fast scans may be. All workers of a platform must have the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Scans {
    /// `MAX_BARE_METAL_WORKERS`: 5 where it is not set. They share the rate of a scan.
    pub max_workers: u32,
    /// `BARE_METAL_MAX_RATE`: 10k where it is not set. Most frames a second of one of them.
    pub max_rate: NonZeroU64,
}

impl Group for Scans {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let max_workers = max_workers(reader);
        let default = NonZeroU64::new(10_000).unwrap_or(NonZeroU64::MIN);
        // A platform that scans as fast as a link takes it is nobody's wish: there is no `max`.
        let max_rate = reader.optional(&MAX_RATE, default, |text| {
            let rate = text.parse::<PerSecond>().map_err(|_| give(&MAX_RATE, text))?;
            Ok(rate.0)
        });
        Some(Self { max_workers: max_workers?, max_rate: max_rate? })
    }
}

/// The machines that the manager launches.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fleet {
    /// `MAX_BARE_METAL_WORKERS`: 5 where it is not set.
    pub max_workers: u32,
    /// `BARE_METAL_WORKER_SUBNETS`: none where it is not set, which leaves it to the launch template.
    pub subnets: Vec<String>,
    /// `BARE_METAL_LAUNCH_TEMPLATE`: `mathijs-worker-ami` where it is not set.
    pub launch_template: String,
}

impl Group for Fleet {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let max_workers = max_workers(reader);
        let subnets = reader.optional(&SUBNETS, Vec::new(), subnets);
        let template =
            reader.optional(&TEMPLATE, "mathijs-worker-ami".to_owned(), |text| match text {
                "" => Err(give(&TEMPLATE, text)),
                name => Ok(name.to_owned()),
            });
        Some(Self { max_workers: max_workers?, subnets: subnets?, launch_template: template? })
    }
}

/// `BARE_METAL_IDLE_TIMEOUT_SECS`: 300 where it is not set.
impl Group for IdleTimeout {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let parse = |text: &str| text.parse().map_err(|_| give(&IDLE, text));
        reader.optional(&IDLE, Self::default(), parse)
    }
}

fn max_workers(reader: &mut Reader<'_>) -> Option<u32> {
    reader.optional(&MAX_WORKERS, 5, |text| match text.parse() {
        Ok(count @ 1..=1_000) => Ok(count),
        _ => Err(give(&MAX_WORKERS, text)),
    })
}

fn subnets(text: &str) -> Result<Vec<String>, Problem> {
    let mut subnets: Vec<String> = Vec::new();
    // Set to nothing, as a stack does whose parameter is left out.
    if text.is_empty() {
        return Ok(subnets);
    }
    for subnet in text.split(',').map(str::trim) {
        if subnet.is_empty() {
            return Err(
                SUBNETS.wrong(text, "has an empty entry: take out the comma that is too much")
            );
        }
        if subnet.contains(char::is_whitespace) {
            return Err(
                SUBNETS.wrong(text, format_args!("{subnet:?} is no subnet: give {}", SUBNETS.give))
            );
        }
        if subnets.iter().any(|known| known == subnet) {
            return Err(
                SUBNETS.wrong(text, format_args!("has {subnet} twice: name each subnet once"))
            );
        }
        subnets.push(subnet.to_owned());
    }
    Ok(subnets)
}

fn give(of: &Variable, text: &str) -> Problem {
    of.wrong(text, format_args!("give {}", of.give))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Problems, read_from};

    fn read<G: Group>(name: &'static str, value: &str) -> Result<G, Problems> {
        read_from(|asked| (asked == name).then(|| value.into()))
    }

    #[test]
    fn defaults_are_those_of_the_documents() {
        let (scans, fleet, idle): (Scans, Fleet, IdleTimeout) = read_from(|_| None).unwrap();
        assert_eq!((scans.max_workers, scans.max_rate.get()), (5, 10_000));
        assert_eq!((fleet.max_workers, fleet.launch_template.as_str()), (5, "mathijs-worker-ami"));
        assert!(fleet.subnets.is_empty());
        assert_eq!(idle, "300".parse().unwrap());
    }

    #[test]
    fn what_is_set_counts_and_nonsense_is_refused_by_name() {
        assert_eq!(read::<Scans>(MAX_WORKERS.name, " 2 ").unwrap().max_workers, 2);
        assert_eq!(read::<Fleet>(MAX_WORKERS.name, "1000").unwrap().max_workers, 1_000);
        assert_eq!(read::<Scans>(MAX_RATE.name, "25k").unwrap().max_rate.get(), 25_000);
        assert_eq!(
            read::<IdleTimeout>(IDLE.name, "7").unwrap(),
            IdleTimeout::from_secs(7).unwrap()
        );
        assert_eq!(read::<Fleet>(TEMPLATE.name, "other").unwrap().launch_template, "other");
        for (name, value) in [
            (MAX_WORKERS.name, "0"),
            (MAX_WORKERS.name, "1001"),
            (MAX_WORKERS.name, "many"),
            (IDLE.name, "0"),
            (IDLE.name, "soon"),
            (MAX_RATE.name, "max"),
            (MAX_RATE.name, "0"),
            (MAX_RATE.name, ""),
            (TEMPLATE.name, " "),
        ] {
            let error = read::<(Scans, Fleet, IdleTimeout)>(name, value).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name}={}: give ", value.trim())), "{error}");
        }
    }

    #[test]
    fn subnets_are_a_list_without_gaps_and_doubles() {
        let of = |text: &str| read::<Fleet>(SUBNETS.name, text).map(|fleet| fleet.subnets);
        assert_eq!(of(" subnet-a , subnet-b\n").unwrap(), ["subnet-a", "subnet-b"]);
        assert!(of("").unwrap().is_empty());
        for (text, why) in [
            ("subnet-a,", "has an empty entry"),
            (",", "has an empty entry"),
            ("subnet-a,subnet-b, subnet-a", "has subnet-a twice"),
            ("subnet-a subnet-b", "\"subnet-a subnet-b\" is no subnet"),
        ] {
            let said = of(text).unwrap_err().to_string();
            assert!(said.starts_with(SUBNETS.name) && said.contains(why), "{said}");
        }
    }
}
