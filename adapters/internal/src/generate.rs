//! Cuts a scan into shards that a worker does within ten minutes, each a task of its own.
//!
//! ```text
//!  addresses --scope, blocklist--> ranges --2,000 at a time--> group: seed, shards 1..=n, the same targets in each
//! ```
//!
//! A shard is a part of the *order* of its group, not of its addresses: every shard is spread over all of them, so that no
//! network has a whole shard's rate to itself. All shards of a group carry its ranges, so a group is cut where its ranges
//! would make messages large. A TLS scan may have single endpoints instead of ranges (`generate/endpoints.rs`).

mod endpoints;

use mrpf_ports::{Cx, Finished, Runs};
use mrpf_tasks::{
    AddressRange, ErrorKind, TaskError,
    catalogue::{
        GenerateInput, GenerateTargets, Generated, ScanKind, SynScanInput, TcpSynScan, TlsHost,
        TlsScan, TlsScanInput, count_ports,
    },
};
use serde_json::Value;

use crate::{
    item::{each, tell_malformed},
    scope::Refusals,
};

/// What a shard may take: a worker that is lost costs no more, and its checkpoint less.
const SHARD_SECS: u64 = 600;
/// What a shard is worth at least: below that, a worker more costs more than it saves.
const WORTH_SECS: u64 = 10;
/// Most shards of a task.
const MOST_SHARDS: u128 = 10_000;
/// Most ranges of a group: below 200 KB of text with two IPv6 addresses each.
const MOST_RANGES: usize = 2_000;
/// Frames of a connection after its SYN: the hello, acknowledgements of what comes, the end.
const FRAMES_OF_TLS: u128 = 8;

/// What a number of shards has in common.
struct Group {
    targets: Vec<AddressRange>,
    hosts: Vec<TlsHost>,
    /// Ports of addresses.
    probes: u128,
}

/// Does [`GenerateTargets`].
pub(crate) struct Generator {
    pub(crate) max_bare_metal_workers: u32,
    pub(crate) bare_metal_max_rate: u64,
}

impl Runs<GenerateTargets> for Generator {
    fn run(
        &self,
        cx: &Cx<'_, GenerateTargets>,
        input: GenerateInput,
    ) -> Result<Finished, TaskError> {
        let (groups, addresses, ports) = match (input.scan, input.from, input.ports.as_str()) {
            (ScanKind::Tls, Some(from), "") => {
                let groups = endpoints::groups(cx, from, &input.field)?;
                let count = groups.iter().fold(0_u128, |sum, group| sum + group.probes);
                (groups, count, 1)
            }
            _ => of_ranges(cx, &input)?,
        };
        let rate = self.rate(input.rate);
        let share = self.share(groups.len());
        let shards = groups.iter().map(|group| self.shards(group.probes, rate, share, &input));
        let total = shards.clone().fold(0_u128, u128::saturating_add);
        if total > MOST_SHARDS {
            return Err(refused(format!(
                "{addresses} addresses and {ports} ports at {rate} frames a second and worker are {total} scans of ten \
                 minutes, more than {MOST_SHARDS}: ask for fewer, or a higher rate"
            )));
        }
        // The same at every run of the task, and another for another task.
        let (high, low) = cx.order().assignment.task_id.0.as_u64_pair();
        let seed = high ^ low;
        for (group, shards) in groups.iter().zip(shards) {
            // Below MOST_SHARDS.
            let shards = u32::try_from(shards).unwrap_or(u32::MAX);
            for shard in 1..=shards {
                if cx.is_stopping() {
                    return Err(cx.stopped());
                }
                let targets = group.targets.clone();
                let GenerateInput { ref ports, retries, cooldown_secs, .. } = input;
                let ports = ports.clone();
                match input.scan {
                    ScanKind::Syn => cx.queue().create::<TcpSynScan>(&SynScanInput {
                        targets,
                        ports,
                        rate,
                        retries,
                        cooldown_secs,
                        seed,
                        shard,
                        shards,
                    })?,
                    ScanKind::Tls => cx.queue().create::<TlsScan>(&TlsScanInput {
                        hosts: group.hosts.clone(),
                        targets,
                        ports,
                        rate,
                        retries,
                        cooldown_secs,
                        seed,
                        shard,
                        shards,
                    })?,
                }
            }
        }
        cx.emit(&Generated {
            shards: u32::try_from(total).unwrap_or(u32::MAX),
            addresses: u64::try_from(addresses).unwrap_or(u64::MAX),
            ports,
            rate,
        })?;
        Ok(Finished::default())
    }
}

impl Generator {
    /// A worker's part of the rate of the whole scan.
    fn rate(&self, whole: u64) -> u64 {
        let part = whole / u64::from(self.max_bare_metal_workers.max(1));
        part.min(self.bare_metal_max_rate).max(1)
    }

    /// How many workers there are for each of so many groups.
    fn share(&self, groups: usize) -> u128 {
        let groups = (groups as u128).max(1);
        (u128::from(self.max_bare_metal_workers) / groups).max(1)
    }

    /// How many shards so many probes are: as many as ten minutes ask for, and as many as there are workers for them where each of
    /// them gets something worth its while. At one frame a second, 255 retries and the longest cooldown there is room for one
    /// probe in a shard, so each takes its time at most.
    fn shards(&self, probes: u128, rate: u64, share: u128, input: &GenerateInput) -> u128 {
        let talk = match input.scan {
            ScanKind::Syn => 0,
            ScanKind::Tls => FRAMES_OF_TLS,
        };
        let frames = 1 + u128::from(input.retries) + talk;
        let in_secs = |secs: u64| (u128::from(rate).saturating_mul(secs.into()) / frames).max(1);
        let needed = probes.div_ceil(in_secs(SHARD_SECS - u64::from(input.cooldown_secs)));
        let worth = probes / in_secs(WORTH_SECS);
        needed.max(worth.min(share))
    }
}

/// Ranges of addresses in groups, how many addresses that are, and how many ports of each.
fn of_ranges(
    cx: &Cx<'_, GenerateTargets>,
    input: &GenerateInput,
) -> Result<(Vec<Group>, u128, u32), TaskError> {
    let ports = count_ports(&input.ports)
        .ok_or_else(|| refused(format!("ports: {:?} is no list of ports", input.ports)))?;
    let ranges = wanted(cx, input)?;
    let ranges = allowed(cx, &ranges)?;
    if ranges.is_empty() && !input.addresses.is_empty() {
        let why = "addresses: none lies in the workflow's scope";
        return Err(TaskError::new(ErrorKind::OutOfScope, why));
    }
    let group = |ranges: &[AddressRange]| Group {
        targets: ranges.to_vec(),
        hosts: Vec::new(),
        probes: count(ranges).saturating_mul(ports.into()),
    };
    Ok((ranges.chunks(MOST_RANGES).map(group).collect(), count(&ranges), ports))
}

fn refused(why: String) -> TaskError {
    TaskError::new(ErrorKind::Input, why)
}

fn count(ranges: &[AddressRange]) -> u128 {
    ranges.iter().fold(0, |count, range| count.saturating_add(range.count()))
}

/// What is asked for, before anybody says what may be touched.
fn wanted(
    cx: &Cx<'_, GenerateTargets>,
    input: &GenerateInput,
) -> Result<Vec<AddressRange>, TaskError> {
    let Some(from) = input.from else {
        let is_asked = !input.addresses.is_empty();
        return Ok(if is_asked { &input.addresses } else { &cx.scope().addresses }.clone());
    };
    let mut ranges = input.addresses.clone();
    let (mut malformed, mut since_merged) = (0, 0);
    each(cx, from, |item| {
        let values = match item.pointer(&input.field) {
            Some(Value::Array(values)) => values.as_slice(),
            Some(value) => std::slice::from_ref(value),
            None => &[],
        };
        let before = ranges.len();
        ranges.extend(
            values.iter().filter_map(|value| value.as_str()?.trim().parse::<AddressRange>().ok()),
        );
        if ranges.len() == before {
            malformed += 1;
        }
        since_merged += ranges.len() - before;
        if since_merged >= MERGE_EVERY {
            ranges = AddressRange::merged(&ranges);
            since_merged = 0;
        }
        Ok(())
    })?;
    tell_malformed(cx, malformed);
    Ok(ranges)
}

/// Sources repeat themselves: what they give is merged every so often, so that memory holds what differs.
const MERGE_EVERY: usize = 100_000;

/// What of it may be touched, in order and each address once. What may not is noted.
fn allowed(
    cx: &Cx<'_, GenerateTargets>,
    wanted: &[AddressRange],
) -> Result<Vec<AddressRange>, TaskError> {
    let cut = cx.scope().cut(&AddressRange::merged(wanted), &cx.recon().blocklist()?);
    let mut refusals = Refusals::default();
    cut.refused.into_iter().try_for_each(|refused| refusals.note(cx, refused))?;
    refusals.finish(cx)?;
    Ok(AddressRange::merged(&cut.inside))
}

#[cfg(test)]
mod tests {
    use mrpf_tasks::scope::Refusal;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::fake::{Fake, items};

    fn scans(fake: &Fake) -> Vec<SynScanInput> {
        fake.children::<TcpSynScan>()
    }

    fn targets(scan: &SynScanInput) -> Vec<String> {
        scan.targets.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_scope_is_scanned_where_nothing_is_asked() {
        let fake = Fake::with_scope(json!({
            "addresses": ["198.19.0.0/24", "198.19.0.128/25"], "exclude": ["198.19.0.0"],
        }));
        fake.block("198.19.0.255");
        let input = json!({ "ports": "80,443", "rate": 10_000 });
        assert_eq!(fake.run::<GenerateTargets>(input), Ok(Finished::default()));
        let scans = scans(&fake);
        assert_eq!(scans.len(), 1);
        assert_eq!(targets(&scans[0]), ["198.19.0.1-198.19.0.254"], "each address once");
        assert_eq!((scans[0].rate, scans[0].retries, scans[0].cooldown_secs), (2_000, 2, 8));
        assert_eq!(
            fake.output(),
            [json!({ "shards": 1, "addresses": 254, "ports": 2, "rate": 2_000 })]
        );
        let refused = [("198.19.0.0", Refusal::Excluded), ("198.19.0.255", Refusal::Blocklisted)];
        assert_eq!(fake.refused(), refused.map(|(what, why)| (what.to_owned(), why)));
    }

    #[test]
    fn a_scope_without_addresses_makes_no_scan() {
        let fake = Fake::with_scope(json!({ "domains": ["example.org"] }));
        assert_eq!(fake.run::<GenerateTargets>(json!({ "ports": "80" })), Ok(Finished::default()));
        assert_eq!(scans(&fake).len(), 0);
        assert_eq!(fake.output()[0]["shards"], json!(0));
    }

    #[test]
    fn addresses_of_items_are_scanned_too() {
        let fake = Fake::with_scope(json!({ "addresses": ["198.19.0.0/24", "2001:db8::/64"] }));
        let from = fake.stored(items(json!([
            { "addresses": ["198.19.0.3", "10.0.0.1"] },
            { "addresses": "2001:db8::7" },
            { "addresses": [] },
            { "addresses": ["none"] },
            {},
        ])));
        let input = json!({
            "ports": "80", "addresses": ["198.19.0.2"], "from": from, "field": "/addresses",
        });
        assert_eq!(fake.run::<GenerateTargets>(input), Ok(Finished::default()));
        assert_eq!(targets(&scans(&fake)[0]), ["198.19.0.2/31", "2001:db8::7"]);
        assert_eq!(fake.refused(), [("10.0.0.1".to_owned(), Refusal::OutOfScope)]);
        assert_eq!(fake.told(), "3: items were malformed and passed over");
    }

    #[test]
    fn what_was_asked_for_and_lies_outside_fails() {
        let fake = Fake::with_scope(json!({ "addresses": ["198.19.0.0/24"] }));
        let input = json!({ "ports": "80", "addresses": ["10.0.0.0/8"] });
        assert_eq!(fake.run::<GenerateTargets>(input).unwrap_err().kind, ErrorKind::OutOfScope);
        assert_eq!(fake.refused(), [("10.0.0.0/8".to_owned(), Refusal::OutOfScope)]);
        assert_eq!(scans(&fake).len(), 0);
    }

    #[test]
    fn shards_share_targets_and_seed_at_every_run() {
        let fake = Fake::with_scope(json!({ "addresses": ["198.18.0.0/15"] }));
        let input = json!({ "ports": "1-100", "rate": 50_000 });
        assert_eq!(fake.run::<GenerateTargets>(input.clone()), Ok(Finished::default()));
        let scans = scans(&fake);
        // 131,072 addresses, 100 ports, three frames each at 10,000 a second, ten minutes less eight seconds.
        let n = (131_072_u64 * 100).div_ceil(10_000 * 592 / 3);
        assert_eq!(scans.len() as u64, n);
        for (at, scan) in (1..).zip(&scans) {
            assert_eq!((scan.shard, u64::from(scan.shards)), (at, n));
            assert_eq!((scan.seed, &scan.targets), (scans[0].seed, &scans[0].targets));
            mrpf_tasks::Check::check(scan).unwrap();
        }
        let again = Fake::with_scope(json!({ "addresses": ["198.18.0.0/15"] }));
        again.run::<GenerateTargets>(input).unwrap();
        assert_eq!(again.children::<TcpSynScan>()[0].seed, scans[0].seed);
    }

    #[test]
    fn many_ranges_make_several_scans_of_messages_that_queues_take() {
        let fake = Fake::with_scope(json!({ "addresses": ["2001:db8::/32"] }));
        let ranges: Vec<Value> = (0..5_000_u32)
            .map(|n| json!(format!("2001:db8:{n:x}:ffff:ffff:ffff:ffff:fff1-2001:db8:{n:x}:ffff:ffff:ffff:ffff:fff3")))
            .collect();
        let input = json!({ "ports": "80", "addresses": ranges });
        assert_eq!(fake.run::<GenerateTargets>(input), Ok(Finished::default()));
        let scans = scans(&fake);
        assert_eq!(
            scans.iter().map(|scan| scan.targets.len()).collect::<Vec<_>>(),
            [2_000, 2_000, 1_000]
        );
        assert!(scans.iter().all(|scan| scan.shards == 1));
        for scan in scans {
            assert!(
                serde_json::to_string(&scan).unwrap().len() < mrpf_tasks::message::MOST_BODY / 4
            );
        }
    }

    #[test]
    fn what_would_take_for_ever_is_refused() {
        let fake = Fake::with_scope(json!({ "addresses": ["::/0"] }));
        let error = fake.run::<GenerateTargets>(json!({ "ports": "80" })).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Input);
        assert!(error.message.contains("more than 10000: ask for fewer"), "{error}");
        assert_eq!(scans(&fake).len(), 0);
    }

    proptest! {
        /// Whatever is asked, a shard that a worker gets is done within ten minutes.
        #[test]
        fn no_shard_takes_longer_than_ten_minutes(
            probes in 1..=u128::from(u64::MAX),
            rate in prop_oneof![1_u64..1_000, any::<u64>()],
            workers in 1_u32..50,
            most in 1_u64..1_000_000,
            retries in any::<u8>(),
            cooldown_secs in any::<u8>(),
        ) {
            let generator = Generator { max_bare_metal_workers: workers, bare_metal_max_rate: most };
            let rate = generator.rate(rate.max(1));
            prop_assert!(rate >= 1 && rate <= most);
            let input = json!({ "ports": "80", "retries": retries, "cooldown_secs": cooldown_secs });
            let input = serde_json::from_value(input).unwrap();
            let shards = generator.shards(probes, rate, generator.share(1), &input);
            let frames = probes.div_ceil(shards) * (1 + u128::from(retries));
            prop_assert!(frames.div_ceil(rate.into()) + u128::from(cooldown_secs) <= 600);
            let with_one_less = probes.div_ceil((shards - 1).max(1)) * (1 + u128::from(retries));
            // Or all workers have one, and each is worth it.
            let is_for_workers = shards <= u128::from(workers)
                && frames >= u128::from(rate) * u128::from(WORTH_SECS) / 2;
            prop_assert!(
                shards == 1 || is_for_workers || with_one_less > u128::from(rate) * (600 - u128::from(cooldown_secs)),
                "one shard less would have done"
            );
        }
    }
}
