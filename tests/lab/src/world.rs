//! Both namespaces of a lab and all that answers in them.
//!
//! ```text
//! start: caller: unshare, prepare ---> world's thread: unshare, prepare, settings
//!        veth pair, addresses    <---  its namespace
//!        "go"                    --->  addresses, routes, listeners, nginx, responder, rules
//!        Lab                     <---  what answers
//! drop:  stop                    --->  all of it dropped; the thread ends and the namespace with it
//! ```

use std::{
    collections::HashSet,
    fmt, mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
};

use mrpf_engine::link::sim::hosts::{Behaviour, HostCounts, Hosts, Quote};

use crate::{
    LabError, Loss, Namespace, Prefix, Prefix6, Responder,
    child::{self, Guard},
    error::asking,
    ipv6,
    listener::{BACKLOG, Family, Listener},
    loss,
    netns::Inside,
    nginx, responder, sysctl, veth,
};

/// A lab. The thread that started it is inside the scanner's namespace until this is dropped, which ends all of the lab:
/// its threads, its children and both namespaces. Bound to its thread.
#[derive(Debug)]
pub struct Lab {
    scanner: Namespace,
    world: Namespace,
    parts: Parts,
    _thread: WorldThread,
    /// Last: home only when nothing of the lab is left.
    _inside: Inside,
}

impl Lab {
    /// A lab whose kernel answers for all of 198.19.0.0/16, with every port closed.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Where the hosts are.
    pub fn world(&self) -> &Namespace {
        &self.world
    }

    /// Where the scanner is: what the calling thread is inside of, for other threads.
    pub fn scanner(&self) -> &Namespace {
        &self.scanner
    }

    /// Frames lost and doubled so far; zeros for a lab without [`Builder::loss`].
    ///
    /// # Errors
    ///
    /// [`LabError::Nft`] when nft does not say.
    pub fn loss(&self) -> Result<loss::Counters, LabError> {
        if !self.parts.is_lossy {
            return Ok(loss::Counters::default());
        }
        self.world.run(loss::counters)?
    }

    /// Connections that the built-in listeners accepted so far.
    pub fn served(&self) -> u64 {
        self.parts.served.load(Ordering::Relaxed)
    }

    /// The process of nginx, for who wants to know what it costs.
    pub fn nginx(&self) -> Option<u32> {
        self.parts.nginx
    }

    /// What the hosts of all responders saw and did so far, those of [`Builder::unreachable`] among them; `None` without
    /// any.
    pub fn responder(&self) -> Option<HostCounts> {
        let counts = self.parts.counts.as_ref()?;
        Some(*counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a [`Lab`] consists of. What more specific prefixes say goes before what wider ones do.
#[derive(Debug, Default)]
pub struct Builder {
    open: Vec<u16>,
    nginx: Vec<u16>,
    nginx_tls: Option<nginx::Tls>,
    hosts: Vec<Prefix>,
    silent: Vec<Prefix>,
    responders: Vec<Responder>,
    loss: Option<Loss>,
    ipv6: Option<Ipv6>,
    queues: Option<u32>,
}

/// What a lab with IPv6 has of it beside what the kernel answers for.
#[derive(Clone, Debug, Default)]
struct Ipv6 {
    silent: Vec<Prefix6>,
    unreachable: Vec<Prefix6>,
}

impl Builder {
    /// Every host of the kernel has this port open: a listener accepts, answers HTTP with a short 200 and closes.
    #[must_use]
    pub fn open(mut self, port: u16) -> Self {
        self.open.push(port);
        self
    }

    /// As [`open`](Self::open), by an nginx of the world.
    #[must_use]
    pub fn nginx(mut self, port: u16) -> Self {
        self.nginx.push(port);
        self
    }

    /// As [`nginx`](Self::nginx), by TLS 1.2 and 1.3: with these certificates, leaf first, and the key of the leaf, both PEM.
    #[must_use]
    pub fn nginx_tls(mut self, port: u16, chain: String, key: String) -> Self {
        self.nginx_tls = Some(nginx::Tls { port, chain, key });
        self
    }

    /// The kernel of the world answers for `prefix`, inside 198.19.0.0/16. Without any, it answers for all of that.
    #[must_use]
    pub fn hosts(mut self, prefix: Prefix) -> Self {
        self.hosts.push(prefix);
        self
    }

    /// Nobody answers for `prefix`.
    #[must_use]
    pub fn silent(mut self, prefix: Prefix) -> Self {
        self.silent.push(prefix);
        self
    }

    /// The world answers for `prefix` with ICMP host unreachable, as a router would: from 198.18.0.2, for TCP SYNs.
    ///
    /// By the responder, since the kernel does so only when it forwards, and then not more than one a second
    /// (linux/net/ipv4/route.c, `ip_error`).
    #[must_use]
    pub fn unreachable(self, prefix: Prefix) -> Self {
        const HOST_UNREACHABLE: u8 = 1;
        let behaviour = Behaviour::Unreachable {
            code: HOST_UNREACHABLE,
            responder: Some(veth::WORLD.addr.into()),
            quote: Quote::Full,
        };
        let addrs = (prefix.first(), prefix.last());
        self.respond(prefix, Hosts::new(0).rule(addrs, 0..=u16::MAX, behaviour))
    }

    /// `hosts` answer for `prefix`: see [`Responder`].
    #[must_use]
    pub fn respond(self, prefix: Prefix, hosts: Hosts) -> Self {
        self.responder(Responder { prefix, hosts })
    }

    /// As [`respond`](Self::respond).
    #[must_use]
    pub fn responder(mut self, responder: Responder) -> Self {
        self.responders.push(responder);
        self
    }

    /// The lab has IPv6: [addresses](ipv6) on the link, and the world's kernel answers for all of 2001:db8:1::/64, on the same
    /// ports as for IPv4.
    #[must_use]
    pub fn ipv6(mut self) -> Self {
        self.ipv6.get_or_insert_default();
        self
    }

    /// As [`ipv6`](Self::ipv6), and nobody answers for `prefix` inside 2001:db8:1::/64.
    #[must_use]
    pub fn silent6(mut self, prefix: Prefix6) -> Self {
        self.ipv6.get_or_insert_default().silent.push(prefix);
        self
    }

    /// As [`ipv6`](Self::ipv6), and the world's kernel answers for `prefix` inside 2001:db8:1::/64 with ICMPv6 destination
    /// unreachable, no route, from 2001:db8::2.
    #[must_use]
    pub fn unreachable6(mut self, prefix: Prefix6) -> Self {
        self.ipv6.get_or_insert_default().unreachable.push(prefix);
        self
    }

    /// Each end has so many queues, as a network card has one for each CPU; without this it has one.
    #[must_use]
    pub fn queues(mut self, queues: u32) -> Self {
        self.queues = Some(queues);
        self
    }

    /// Frames are lost and doubled on the way.
    #[must_use]
    pub fn loss(mut self, loss: Loss) -> Self {
        self.loss = Some(loss);
        self
    }

    /// Makes the lab and moves the calling thread into its scanner's namespace. Everything answers when this returns.
    ///
    /// # Errors
    ///
    /// [`LabError::NeedsRoot`] without the right to make namespaces, see
    /// [`gain_privileges`](crate::netns::gain_privileges); others say what could not be made. Nothing is left of it then.
    pub fn start(mut self) -> Result<Lab, LabError> {
        self.check()?;
        let has_ipv6 = self.ipv6.is_some();
        let queues = self.queues.unwrap_or(1);
        let inside = Namespace::unshare()?;
        veth::prepare_namespace()?;
        let scanner = Namespace::current()?;
        let (thread, world) = WorldThread::start(self)?;
        veth::create(&world, queues)?;
        veth::set_up(veth::SCANNER, veth::WORLD)?;
        veth::route_hosts()?;
        if has_ipv6 {
            ipv6::set_up(veth::SCANNER, ipv6::SCANNER, (veth::WORLD, ipv6::WORLD))?;
            ipv6::route_hosts()?;
        }
        let parts = thread.go()?;
        veth::wait_until_running(veth::SCANNER)?;
        if has_ipv6 {
            ipv6::wait_until_quiet(veth::SCANNER)?;
        }
        Ok(Lab { scanner, world, parts, _thread: thread, _inside: inside })
    }

    /// Refuses what the routes of a lab do not hold, before anything is made.
    fn check(&mut self) -> Result<(), LabError> {
        if self.hosts.is_empty() {
            self.hosts.push(veth::HOSTS);
        }
        for prefix in self.hosts.iter().chain(&self.silent) {
            if !veth::HOSTS.covers(*prefix) {
                return Err(LabError::Outside(*prefix));
            }
        }
        for Responder { prefix, .. } in &self.responders {
            if veth::LINK.covers(*prefix) {
                let own = [veth::SCANNER.addr, veth::WORLD.addr];
                if let Some(addr) = own.into_iter().find(|addr| prefix.contains(*addr)) {
                    return Err(LabError::Reserved(addr));
                }
            } else if !veth::HOSTS.covers(*prefix) {
                return Err(LabError::Outside(*prefix));
            }
        }
        if let Some(Ipv6 { silent, unreachable }) = &self.ipv6 {
            ipv6::check()?;
            if let Some(prefix) =
                silent.iter().chain(unreachable).find(|p| !ipv6::HOSTS.covers(**p))
            {
                return Err(LabError::Outside6(*prefix));
            }
        }
        let tls = self.nginx_tls.as_ref().map(|tls| &tls.port);
        if let Some(port) = self.nginx.iter().chain(tls).find(|port| self.open.contains(port)) {
            let why = format!("the built-in listener has port {port}");
            return Err(LabError::Server { program: "nginx".to_owned(), why });
        }
        if !self.nginx.is_empty() || tls.is_some() {
            child::find("nginx", "nginx-light")?;
        }
        Ok(())
    }

    /// Makes what the world's end of the pair needs, in the namespace of the calling thread.
    fn make(self) -> Result<Answering, LabError> {
        veth::set_up(veth::WORLD, veth::SCANNER)?;
        veth::wait_until_running(veth::WORLD)?;
        let routed = self.responders.iter().map(|responder| responder.prefix);
        let routed = routed.filter(|prefix| veth::HOSTS.covers(*prefix));
        let swallowed: HashSet<_> = self.silent.iter().copied().chain(routed).collect();
        let local: HashSet<_> = self.hosts.iter().copied().collect();
        for prefix in local.difference(&swallowed) {
            veth::answer_locally(*prefix)?;
        }
        for prefix in swallowed {
            veth::swallow(prefix)?;
        }
        if let Some(ipv6) = &self.ipv6 {
            ipv6.make()?;
        }
        let families: &[_] =
            if self.ipv6.is_some() { &[Family::V4, Family::V6] } else { &[Family::V4] };
        let served = Arc::new(AtomicU64::new(0));
        let listener = (!self.open.is_empty())
            .then(|| Listener::start(&self.open, families, Arc::clone(&served)))
            .transpose()?;
        let nginx = (!self.nginx.is_empty() || self.nginx_tls.is_some())
            .then(|| nginx::start(&self.nginx, self.nginx_tls.as_ref(), families))
            .transpose()?;
        let responder = (!self.responders.is_empty())
            .then(|| responder::Running::start(self.responders))
            .transpose()?;
        // Last: nothing of what came before is lost.
        if let Some(loss) = self.loss {
            loss::install(loss)?;
        }
        let parts = Parts {
            served,
            counts: responder.as_ref().map(responder::Running::counts),
            nginx: nginx.as_ref().map(Guard::id),
            is_lossy: self.loss.is_some(),
        };
        Ok(Answering { parts, _listener: listener, _nginx: nginx, _responder: responder })
    }
}

impl Ipv6 {
    /// Makes what the world's end of the pair needs, in the namespace of the calling thread.
    fn make(&self) -> Result<(), LabError> {
        ipv6::set_up(veth::WORLD, ipv6::WORLD, (veth::SCANNER, ipv6::SCANNER))?;
        ipv6::answer_without_limit()?;
        let special = self.silent.iter().chain(&self.unreachable);
        if special.clone().all(|prefix| *prefix != ipv6::HOSTS) {
            ipv6::answer_locally(ipv6::HOSTS)?;
        }
        for prefix in &self.silent {
            ipv6::swallow(*prefix)?;
        }
        for prefix in &self.unreachable {
            ipv6::refuse(*prefix)?;
        }
        ipv6::wait_until_quiet(veth::WORLD)
    }
}

/// What of the world its owner looks at.
#[derive(Clone, Debug)]
struct Parts {
    served: Arc<AtomicU64>,
    counts: Option<Arc<Mutex<HostCounts>>>,
    nginx: Option<u32>,
    is_lossy: bool,
}

/// What answers, until it is dropped.
struct Answering {
    parts: Parts,
    _listener: Option<Listener>,
    _nginx: Option<Guard>,
    _responder: Option<responder::Running>,
}

/// The thread whose namespace the world is. Its children are bound to it.
struct WorldThread {
    /// The first message says that the pair is there; the end of the channel ends the world.
    orders: Option<Sender<()>>,
    made: Receiver<Result<Parts, LabError>>,
    thread: Option<JoinHandle<()>>,
}

impl WorldThread {
    /// Starts it; gives its namespace back.
    fn start(builder: Builder) -> Result<(Self, Namespace), LabError> {
        let (orders, ordered) = channel();
        let (tell_namespace, namespace) = channel();
        let (tell_made, made) = channel();
        let body = move || {
            let _inside = match prepare() {
                Ok((inside, world)) => {
                    let _ = tell_namespace.send(Ok(world));
                    inside
                }
                Err(error) => {
                    let _ = tell_namespace.send(Err(error));
                    return;
                }
            };
            if ordered.recv().is_err() {
                return;
            }
            match builder.make() {
                Ok(answering) => {
                    let _ = tell_made.send(Ok(answering.parts.clone()));
                    // Until the lab is dropped.
                    let _ = ordered.recv();
                }
                Err(error) => {
                    let _ = tell_made.send(Err(error));
                }
            }
        };
        let thread = thread::Builder::new()
            .name("lab-world".to_owned())
            .spawn(body)
            .map_err(asking("starting a thread"))?;
        let world_thread = Self { orders: Some(orders), made, thread: Some(thread) };
        let world = namespace.recv().map_err(|_| LabError::WorldEnded)??;
        Ok((world_thread, world))
    }

    /// The pair is there: waits until everything answers.
    fn go(&self) -> Result<Parts, LabError> {
        if let Some(orders) = &self.orders {
            orders.send(()).map_err(|_| LabError::WorldEnded)?;
        }
        self.made.recv().map_err(|_| LabError::WorldEnded)?
    }
}

impl fmt::Debug for WorldThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorldThread").finish_non_exhaustive()
    }
}

impl Drop for WorldThread {
    fn drop(&mut self) {
        drop(mem::take(&mut self.orders));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Moves the calling thread into a namespace of a kernel that answers all it is asked.
fn prepare() -> Result<(Inside, Namespace), LabError> {
    let inside = Namespace::unshare()?;
    veth::prepare_namespace()?;
    let backlog = BACKLOG.to_string();
    sysctl::set_if_there("net/core/somaxconn", &backlog)?;
    for (name, value) in [
        ("net/ipv4/tcp_max_syn_backlog", backlog.as_str()),
        // Beyond the backlog the kernel still answers, without a memory of it.
        ("net/ipv4/tcp_syncookies", "1"),
        ("net/ipv4/icmp_ratelimit", "0"),
        ("net/ipv4/icmp_ratemask", "0"),
        ("net/ipv4/icmp_msgs_per_sec", "1000000"),
        ("net/ipv4/icmp_msgs_burst", "1000000"),
    ] {
        sysctl::set_if_there(name, value)?;
    }
    Ok((inside, Namespace::current()?))
}
