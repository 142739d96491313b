//! From a description to lookups under way.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    net::SocketAddr,
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use mrpf_engine::{
    link::{
        sim::Network,
        xdp::{Choice, Purpose},
    },
    scan::{Failure, Listening, Session, Stepped, Stop},
    target::{Shard, TargetError, Targets},
    time::Instant,
};
use mrpf_syn::{Holding, ScanError};
use siphasher::sip::SipHasher24;

use crate::{
    ask::Ask,
    lookup::{Keys, Lookups, LookupsError, Marks, Parts, Ports, Settings, queue},
    message::{Edns, Qclass, Qtype, Query},
    names::{NamesError, Questions, feed},
    resolver::{Pool, PoolSettings},
    scan::{Drive, Facts, List, Scan},
    show::Show,
    wildcard::Wildcards,
};

/// The port of resolvers that are given without one.
const PORT: &str = "53";
/// The longest frame: a query of the longest name over IPv6 with a VLAN tag, and segments of TCP.
const FRAME_LEN: usize = mrpf_engine::tcp::Frames::MAX_LEN;
/// Levels of names of which is remembered whether they have a wildcard.
const LEVELS: usize = 1 << 16;

const _: () = assert!(FRAME_LEN >= 14 + 4 + 40 + 8 + Query::MAX_LEN);

/// Lookups to be. Every knob has the default of the command line.
#[derive(Debug)]
pub struct Builder {
    resolvers: mrpf_syn::Builder,
    ask: Ask,
    types: Vec<Qtype>,
    class: Qclass,
    shard: Shard,
    start_at: u64,
    expected: Option<u64>,
    lookups: Settings,
    timeout: Duration,
    wants_wildcards: bool,
    wants_wire: bool,
    show: Show,
}

/// Why lookups cannot start.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// Resolvers, rate, link.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The list of names.
    #[error(transparent)]
    Names(#[from] NamesError),
    /// Too many lookups at once.
    #[error(transparent)]
    Lookups(#[from] LookupsError),
    /// There is nobody to ask.
    #[error("there is no resolver to ask: give some, or lines that name servers")]
    NoResolvers,
    /// There is nothing to ask for.
    #[error("there is no type to ask for")]
    NoTypes,
    /// More than can be told apart.
    #[error("{0} resolvers are too many: give at most {most}", most = MOST_RESOLVERS)]
    Resolvers(u128),
}

impl Builder {
    /// Lookups of `ask` at `resolvers`, whose targets are the resolvers, of port 53 where they say nothing else, and which says rate,
    /// retries, threads and link.
    ///
    /// [Host rate](mrpf_syn::Builder::host_rate) is the most that one resolver is asked in a second.
    pub fn new(resolvers: mrpf_syn::Builder, ask: Ask) -> Self {
        Self {
            resolvers,
            ask,
            types: vec![Qtype::A],
            class: Qclass::IN,
            shard: Shard::default(),
            start_at: 0,
            expected: None,
            lookups: Settings::default(),
            timeout: PoolSettings::default().timeout_ceiling,
            wants_wildcards: false,
            wants_wire: false,
            show: Show::default(),
        }
    }

    /// Which records are asked for, of each name all of these.
    #[must_use]
    pub fn types(mut self, types: impl Into<Vec<Qtype>>) -> Self {
        self.types = types.into();
        self
    }

    /// Of which class.
    #[must_use]
    pub fn class(mut self, class: Qclass) -> Self {
        self.class = class;
        self
    }

    /// Asks for one part of the names. The parts are disjoint and together the whole.
    #[must_use]
    pub fn shard(mut self, shard: Shard) -> Self {
        self.shard = shard;
        self
    }

    /// Begins at question `mark` of the order, which [`Scan::mark`] of an earlier scan gave.
    #[must_use]
    pub fn start_at(mut self, mark: u64) -> Self {
        self.start_at = mark;
        self
    }

    /// Refuses to start unless the scan has this [fingerprint](Scan::fingerprint).
    #[must_use]
    pub fn expect_fingerprint(mut self, fingerprint: u64) -> Self {
        self.expected = Some(fingerprint);
        self
    }

    /// Most lookups under way at once, of all threads together.
    #[must_use]
    pub fn in_flight(mut self, most: NonZeroU32) -> Self {
        self.lookups.slots = most.get();
        self
    }

    /// How long an answer is waited for at most; less where a resolver is known to be quick.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Whether servers are to find the answer elsewhere (RD): of resolvers that is wanted, of servers that speak for a zone not.
    #[must_use]
    pub fn recursion(mut self, wanted: bool) -> Self {
        self.lookups.recursion = wanted;
        self
    }

    /// What is said of EDNS; `None` to say nothing.
    #[must_use]
    pub fn edns(mut self, edns: Option<Edns>) -> Self {
        self.lookups.edns = edns;
        self
    }

    /// Whether letters are sent in a case that an answer has to repeat, which forgers cannot foresee.
    #[must_use]
    pub fn random_case(mut self, wanted: bool) -> Self {
        self.lookups.case = wanted;
        self
    }

    /// Says of each answer whether a wildcard of a parent made it.
    #[must_use]
    pub fn wildcards(mut self, wanted: bool) -> Self {
        self.wants_wildcards = wanted;
        self
    }

    /// Puts whole answers into the records.
    #[must_use]
    pub fn wire(mut self, wanted: bool) -> Self {
        self.wants_wire = wanted;
        self
    }

    /// Which outcomes give records.
    #[must_use]
    pub fn show(mut self, show: Show) -> Self {
        self.show = show;
        self
    }

    /// Opens list and link and starts.
    ///
    /// # Errors
    ///
    /// [`DnsError`]; nothing has been sent then but, at most, ARP requests and neighbour solicitations.
    pub fn build(mut self) -> Result<Scan, DnsError> {
        if self.types.is_empty() {
            return Err(DnsError::NoTypes);
        }
        let fingerprint = self.fingerprint();
        if self.expected.is_some_and(|expected| expected != fingerprint) {
            return Err(ScanError::Changed.into());
        }
        let is_for_addresses = self.types == [Qtype::PTR];
        let ready = self.ask.clone().ready(is_for_addresses)?;
        // Resolvers are named by who knows them: those of a private network are meant.
        let mut resolvers = std::mem::take(&mut self.resolvers).ports(PORT).allow_reserved(true);
        for server in &ready.servers {
            resolvers = resolvers.target(server.to_string());
        }
        let targets = match resolvers.take_targets() {
            Err(ScanError::Targets(TargetError::NoTargets)) => return Err(DnsError::NoResolvers),
            targets => targets?,
        };
        if targets.len() > MOST_RESOLVERS {
            return Err(DnsError::Resolvers(targets.len()));
        }
        let all = (0..targets.len()).map(|index| targets.nth(index));
        let all = all.map(|target| SocketAddr::new(target.addr, target.port));
        let listed: Vec<_> = all.filter(|server| !ready.servers.contains(server)).collect();
        let names = ready.into_names();
        let source = Questions::new(names, &self.types, self.class, self.shard, self.start_at);
        let plan = self.plan(&resolvers, listed, fingerprint);
        match resolvers.take_network() {
            Some(network) => self.simulated(&resolvers, plan, source, network),
            None => self.on_threads(resolvers, plan, source, &targets),
        }
    }

    /// What does not depend on the link.
    fn plan(
        &self,
        resolvers: &mrpf_syn::Builder,
        listed: Vec<SocketAddr>,
        fingerprint: u64,
    ) -> Plan {
        let pace = *resolvers.pace();
        let pool = PoolSettings {
            most_per_second_each: NonZeroU32::try_from(pace.host_rate).ok(),
            timeout_floor: PoolSettings::default().timeout_floor.min(self.timeout),
            timeout_ceiling: self.timeout,
            ..PoolSettings::default()
        };
        let seed = resolvers.given_seed();
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one("resolvers"));
        let settings = Settings { retries: pace.retries, ..self.lookups };
        Plan { listed, pool, settings, pace, seed, fingerprint, stop: resolvers.handle() }
    }

    /// Puts the lookups on a network in memory.
    fn simulated(
        self,
        resolvers: &mrpf_syn::Builder,
        plan: Plan,
        source: List,
        network: Network,
    ) -> Result<Scan, DnsError> {
        let ends = resolvers.simulated_ends(&network);
        let (first, last) = resolvers.simulated_ports();
        let next_hops = resolvers.simulated_next_hops();
        let session = Session::new(plan.stop.clone(), plan.pace.rate, next_hops, ends.layer);
        let session = Arc::new(session);
        let (mut outboxes, inbox) = queue(1);
        let marks = Marks::new(1, self.start_at);
        let wildcards = self.levels(resolvers)?;
        let parts = Parts {
            session: Arc::clone(&session),
            thread: 0,
            ends,
            ports: ports(first, last, 1, 0)?,
            keys: Keys::from_seed(plan.seed),
            pool: Pool::new(&plan.listed, plan.pool.clone(), plan.seed),
            wildcards,
            source,
            outbox: outboxes.remove(0),
            marks: marks.clone(),
        };
        let lookups = Lookups::new(parts, plan.settings)?;
        let tallies = vec![lookups.tally()];
        let facts = plan.facts(("sim", None), (first, last), 1, network.now(), None);
        let drive = Drive::Stepped(Box::new(Stepped::new(lookups, network)));
        Ok(Scan::new(drive, session, inbox, marks, tallies, facts, (self.show, self.wants_wire)))
    }

    /// Puts the lookups on a real interface, and starts them.
    fn on_threads(
        self,
        mut resolvers: mrpf_syn::Builder,
        mut plan: Plan,
        source: List,
        targets: &Targets,
    ) -> Result<Scan, DnsError> {
        let threads = plan.pace.threads_at(plan.pace.rate);
        plan.pool.threads = NonZeroU32::new(threads.into()).unwrap_or(NonZeroU32::MIN);
        plan.settings.slots = plan.settings.slots.div_ceil(plan.pool.threads.get());
        let (mut opened, next_hops) = resolvers.open(targets, FRAME_LEN, threads, Purpose::Talk)?;
        let (stop, layer) = (plan.stop.clone(), opened.ends.layer);
        let session = Arc::new(Session::new(stop, plan.pace.rate, next_hops, layer));
        session.count_neighbours(opened.asked);
        let (link, choice) = (opened.choice.name(), Some(opened.choice.clone()));
        let (first, last) = opened.source_ports();
        let (outboxes, inbox) = queue(threads.into());
        let marks = Marks::new(threads.into(), self.start_at);
        let (feeder, feds) = feed(source, threads.into()).map_err(thread)?;
        let parts = (0..u16::from(threads)).map(|number| ports(first, last, threads, number));
        let parts = parts.collect::<Result<Vec<_>, ScanError>>()?;
        let span = |ports: &Ports| (ports.first(), ports.first() + (ports.count() - 1));
        let receivers = match &*parts {
            [_] => opened.receivers(1, None)?,
            _ => opened.receivers_of(&parts.iter().map(span).collect::<Vec<_>>())?,
        };
        let mut listeners = Vec::new();
        let mut tallies = Vec::new();
        let links = opened.answering_senders(threads)?.into_iter().zip(receivers);
        let queues = outboxes.into_iter().zip(feds);
        for (number, (((tx, rx), (outbox, source)), ports)) in
            links.zip(queues).zip(parts).enumerate()
        {
            let parts = Parts {
                session: Arc::clone(&session),
                thread: number,
                ends: opened.ends,
                ports,
                keys: Keys::from_os().map_err(|error| ScanError::Random(error.to_string()))?,
                pool: Pool::new(&plan.listed, plan.pool.clone(), plan.seed ^ number as u64),
                wildcards: self.levels(&resolvers)?,
                source,
                outbox,
                marks: marks.clone(),
            };
            let lookups = Lookups::new(parts, plan.settings)?;
            tallies.push(lookups.tally());
            listeners.push((lookups, rx, tx));
        }
        let (allowance, clock) = (opened.allowance(), opened.clock);
        let holding = Some(opened.into_holding());
        let facts = plan.facts((link, choice), (first, last), threads, clock.now(), holding);
        let mut listening =
            Listening::start(Arc::clone(&session), clock, listeners).map_err(ScanError::from)?;
        if let Some(allowance) = allowance {
            listening.watch(clock, allowance).map_err(ScanError::from)?;
        }
        let drive = Drive::Threads { listening: Some(listening), feeder: Some(feeder), clock };
        Ok(Scan::new(drive, session, inbox, marks, tallies, facts, (self.show, self.wants_wire)))
    }

    fn levels(&self, resolvers: &mrpf_syn::Builder) -> Result<Option<Wildcards>, ScanError> {
        let key = || resolvers.key("wildcards").map(|key| Wildcards::new(LEVELS, key));
        self.wants_wildcards.then(key).transpose()
    }

    /// See [`Scan::fingerprint`].
    fn fingerprint(&self) -> u64 {
        let mut hasher = SipHasher24::new();
        self.ask.stamp(&mut hasher);
        for qtype in &self.types {
            hasher.write_u16(qtype.0);
        }
        hasher.write_u16(self.class.0);
        hasher.write_u32(self.shard.k());
        hasher.write_u32(self.shard.n());
        hasher.finish()
    }
}

/// More than anybody has, and what numbers of servers have room for.
const MOST_RESOLVERS: u128 = 1 << 20;

/// What is known before the link.
struct Plan {
    listed: Vec<SocketAddr>,
    pool: PoolSettings,
    settings: Settings,
    pace: mrpf_engine::scan::Settings,
    seed: u64,
    fingerprint: u64,
    stop: Stop,
}

impl Plan {
    fn facts(
        &self,
        (link, choice): (&'static str, Option<Choice>),
        source_ports: (u16, u16),
        threads: u8,
        began: Instant,
        holding: Option<Holding>,
    ) -> Facts {
        Facts {
            link,
            choice,
            holding,
            resolvers: self.listed.len() as u64,
            seed: self.seed,
            fingerprint: self.fingerprint,
            source_ports,
            threads,
            began,
        }
    }
}

/// Part `number` of the source ports, of as many parts as there are threads.
fn ports(first: u16, last: u16, threads: u8, number: u16) -> Result<Ports, ScanError> {
    let count = last.saturating_sub(first).saturating_add(1);
    let part = count / u16::from(threads.max(1));
    let too_few = || ScanError::SourcePorts { count, attempts: threads };
    Ports::new(first + number * part, part).ok_or_else(too_few)
}

fn thread(error: std::io::Error) -> ScanError {
    Failure::Thread(error).into()
}
