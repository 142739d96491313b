//! EC2, its Query protocol: machines that are launched from templates, in subnets that may be full.
//!
//! ```text
//!                     .--> pending --boot--> running --shuts itself down--> shutting-down --> terminated; or stopped
//!   RunInstances -----'        '--capacity that was not there--> terminated, with a StateReason
//!        | event                                  '--TerminateInstances--> shutting-down --> terminated
//!        v
//!   the test starts a worker                      what DescribeInstances sees is as old as the lag
//! ```

mod catalog;
mod describe;
mod instance;
mod launch;
mod query;
#[cfg(test)]
mod tests;
mod xml;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use serde_json::{Map, Value};

pub(crate) use self::xml::date;
pub use self::{
    catalog::Template,
    instance::{Instance, InstanceState},
};
use self::{
    catalog::{Catalog, InstanceType, Subnet, Versions},
    instance::Machine,
    launch::Token,
};
use crate::{
    ACCOUNT,
    clock::{Clock, Moment},
    failure::Failure,
    form::{Form, escape},
    http::Response,
};

const VERSION: &str = "2016-11-15";

/// What there is of a type in a subnet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Capacity {
    /// Any number.
    Free,
    /// So many; then `InsufficientInstanceCapacity`.
    Machines(usize),
    /// None, and this is the code of the error.
    Refused(String),
    /// Launches succeed, and so long after the instance is terminated with `Server.InsufficientInstanceCapacity` as its reason,
    /// without ever coming up.
    GoneAfter(Duration),
}

/// What happened to a machine, for tests that start and end workers with it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// It comes up.
    Launched(Box<Instance>),
    /// It is gone, because somebody asked: its worker must die.
    Terminated(String),
}

/// The machines of a cloud. Clones are one.
#[derive(Clone, Debug)]
pub struct Ec2 {
    clock: Clock,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    catalog: Catalog,
    machines: Vec<Machine>,
    tokens: BTreeMap<String, Token>,
    /// By type and subnet.
    capacity: BTreeMap<(String, String), Capacity>,
    denied: BTreeSet<String>,
    listeners: Vec<Sender<Event>>,
    lag: Duration,
    boot: Duration,
    shutdown: Duration,
    longest_page: usize,
}

impl Ec2 {
    pub(crate) fn new(clock: Clock) -> Self {
        let state = State {
            catalog: Catalog::default(),
            machines: Vec::new(),
            tokens: BTreeMap::new(),
            capacity: BTreeMap::new(),
            denied: BTreeSet::new(),
            listeners: Vec::new(),
            lag: Duration::ZERO,
            boot: Duration::ZERO,
            shutdown: Duration::ZERO,
            longest_page: usize::MAX,
        };
        Self { clock, state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what a client asks. Gives the XML inside the answer.
    pub(crate) fn call(
        &self,
        operation: &str,
        params: &Map<String, Value>,
    ) -> Result<String, Failure> {
        let form = Form::open(params, VERSION)?;
        self.lock().allow(operation)?;
        match operation {
            "DescribeImages" => self.describe_images(form),
            "DescribeInstances" => self.describe_instances(form),
            "DescribeInstanceTypes" => self.describe_instance_types(form),
            "DescribeLaunchTemplateVersions" => self.describe_launch_template_versions(form),
            "DescribeSubnets" => self.describe_subnets(form),
            "RunInstances" => self.run_instances(form, params),
            "TerminateInstances" => self.terminate_instances(form),
            other => {
                let why = format!(
                    "The action {other} is not valid for this web service, or not modelled here."
                );
                Err(Failure::misuse("InvalidAction", why))
            }
        }
    }

    /// Adds a machine image, for `arm64` or `x86_64`.
    pub fn add_image(&self, id: &str, architecture: &str) {
        self.lock().catalog.images.insert(id.to_owned(), architecture.to_owned());
    }

    /// Adds a subnet, with 251 free addresses.
    pub fn add_subnet(&self, id: &str, zone: &str) {
        let (id, zone) = (id.to_owned(), zone.to_owned());
        self.lock().catalog.subnets.push(Subnet { id, zone, free_addresses: 251 });
    }

    /// Adds an instance type. Those of the owner's list are there, with `t3.micro` and `c7i.large` for x86_64.
    pub fn add_type(&self, name: &str, architecture: &str, vcpus: u32, memory_mib: u32) {
        let (name, architecture) = (name.to_owned(), architecture.to_owned());
        let added = InstanceType { name: name.clone(), architecture, vcpus, memory_mib };
        self.lock().catalog.types.insert(name, added);
    }

    /// Adds a launch template, or a version to the one of this name. Gives its id.
    pub fn add_template(&self, name: &str, template: Template) -> String {
        let mut state = self.lock();
        let templates = &mut state.catalog.templates;
        if let Some(known) = templates.iter_mut().find(|known| known.name == name) {
            known.versions.push(template);
            return known.id.clone();
        }
        let id = format!("lt-{:017x}", templates.len() + 1);
        let (name, versions) = (name.to_owned(), vec![template]);
        templates.push(Versions { id: id.clone(), name, versions });
        id
    }

    /// Says what there is of a type in a subnet.
    pub fn set_capacity(&self, instance_type: &str, subnet: &str, capacity: Capacity) {
        let key = (instance_type.to_owned(), subnet.to_owned());
        self.lock().capacity.insert(key, capacity);
    }

    /// Says how many addresses a subnet has left.
    ///
    /// # Panics
    ///
    /// Where there is no such subnet.
    pub fn set_free_addresses(&self, subnet: &str, addresses: usize) {
        let mut state = self.lock();
        let found = state.catalog.subnet(subnet);
        found.unwrap_or_else(|failure| panic!("{}", failure.message)).free_addresses = addresses;
    }

    /// Says how old that is which DescribeInstances sees.
    pub fn set_lag(&self, lag: Duration) {
        self.lock().lag = lag;
    }

    /// Says how long an instance is pending.
    pub fn set_boot_time(&self, boot: Duration) {
        self.lock().boot = boot;
    }

    /// Says how long an instance that ends is shutting down.
    pub fn set_shutdown_time(&self, shutdown: Duration) {
        self.lock().shutdown = shutdown;
    }

    /// Says how long a page is at most, whatever a client asks for.
    pub fn set_longest_page(&self, items: usize) {
        self.lock().longest_page = items;
    }

    /// Takes a permission away: `RunInstances`, or `CreateTags`, which a launch with tags needs too.
    pub fn deny(&self, operation: &str) {
        self.lock().denied.insert(operation.to_owned());
    }

    /// Gives it back.
    pub fn allow(&self, operation: &str) {
        self.lock().denied.remove(operation);
    }

    /// What happens from now on. All who listen hear all.
    pub fn events(&self) -> Receiver<Event> {
        let (sender, receiver) = channel();
        self.lock().listeners.push(sender);
        receiver
    }

    /// Every instance that is not long gone, as it is: no lag.
    pub fn instances(&self) -> Vec<Instance> {
        let now = self.clock.now();
        self.lock().machines.iter().filter_map(|machine| machine.at(now)).collect()
    }

    /// The most instances that there ever were at a moment: pending, running or shutting down.
    pub fn most_at_a_time(&self) -> usize {
        let now = self.clock.now();
        let lives: Vec<_> = self.lock().machines.iter().map(|machine| machine.life(now)).collect();
        // There were never more than at the beginning of one of them.
        let at = |moment: Moment| lives.iter().filter(|life| life.contains(&moment)).count();
        lives.iter().map(|life| at(life.start)).max().unwrap_or(0)
    }

    /// One of them.
    pub fn instance(&self, id: &str) -> Option<Instance> {
        self.lock().at(id, self.clock.now())
    }

    /// An instance shuts itself down: after its shutdown behaviour it is terminated or stopped. Its test has ended the worker.
    pub fn shut_down(&self, id: &str) {
        let now = self.clock.now();
        let mut state = self.lock();
        let Some(instance) = state.at(id, now) else { return };
        let ended = match instance.shutdown_behavior.as_str() {
            "terminate" => InstanceState::Terminated,
            _ => InstanceState::Stopped,
        };
        let reason = ("Client.InstanceInitiatedShutdown", "Instance initiated shutdown");
        state.end(id, now, ended, reason);
    }

    /// AWS ends an instance, for a reason of its own: `Server.SpotInstanceTermination`.
    pub fn reclaim(&self, id: &str, code: &str, message: &str) {
        let mut state = self.lock();
        state.end(id, self.clock.now(), InstanceState::Terminated, (code, message));
        state.tell(&Event::Terminated(id.to_owned()));
    }
}

impl State {
    fn at(&self, id: &str, now: Moment) -> Option<Instance> {
        self.machines.iter().find(|machine| machine.instance.id == id)?.at(now)
    }

    /// Ends an instance that lives; its address and its place are free again at once.
    fn end(&mut self, id: &str, now: Moment, ended: InstanceState, (code, message): (&str, &str)) {
        let Some(machine) = self.machines.iter_mut().find(|machine| machine.instance.id == id)
        else {
            return;
        };
        if machine.is_over(now) {
            return;
        }
        if ended == InstanceState::Terminated && !self.shutdown.is_zero() {
            machine.become_at(now, InstanceState::ShuttingDown, code, message);
        }
        let off = if ended == InstanceState::Terminated { self.shutdown } else { Duration::ZERO };
        machine.become_at(now + off, ended, code, message);
        if ended != InstanceState::Terminated {
            return;
        }
        let Instance { instance_type, subnet, .. } = machine.instance.clone();
        if let Ok(subnet) = self.catalog.subnet(&subnet) {
            subnet.free_addresses += 1;
        }
        if let Some(Capacity::Machines(left)) = self.capacity.get_mut(&(instance_type, subnet)) {
            *left += 1;
        }
    }

    fn tell(&mut self, event: &Event) {
        self.listeners.retain(|listener| listener.send(event.clone()).is_ok());
    }

    fn allow(&self, operation: &str) -> Result<(), Failure> {
        if !self.denied.contains(operation) {
            return Ok(());
        }
        let why = format!(
            "You are not authorized to perform this operation. User: arn:aws:iam::{ACCOUNT}:user/tester is not authorized to perform: ec2:{operation} because no identity-based policy allows the ec2:{operation} action."
        );
        Err(Failure::new("UnauthorizedOperation", why))
    }
}

/// What would have been done is not.
fn dry_run(is_dry: bool) -> Result<(), Failure> {
    if !is_dry {
        return Ok(());
    }
    let why = "Request would have succeeded, but DryRun flag is set.";
    Err(Failure::new("DryRunOperation", why))
}

pub(crate) fn success(request_id: &str, operation: &str, inside: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{operation}Response xmlns=\"http://ec2.amazonaws.com/doc/{VERSION}/\"><requestId>{request_id}</requestId>{inside}</{operation}Response>"
    );
    Response::new(200, "text/xml;charset=UTF-8", body).with("x-amzn-RequestId", request_id)
}

pub(crate) fn failure(request_id: &str, failure: &Failure) -> Response {
    let (code, message) = (escape(&failure.code), escape(&failure.message));
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>{request_id}</RequestID></Response>"
    );
    Response::new(failure.status, "text/xml;charset=UTF-8", body)
        .with("x-amzn-RequestId", request_id)
}
