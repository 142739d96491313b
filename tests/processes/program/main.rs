//! `mrpf-test-platform ORDER`: a manager or a worker over SQLite files, with the tasks of `mrpf_tests::deeds`. Only tests start it.
//!
//! It is what `mrpf up` starts, with other tasks, shorter leases and queues that misbehave; and it ends with whoever started it.

#![forbid(unsafe_code)]

mod runners;

use std::{env, error::Error, io, process::Command, sync::Arc, thread, time::Duration};

use mrpf_embedded::{Faults, LocalFleet, QueueSettings, Queues, SqliteStore, die_with_parent};
use mrpf_manager::{Dice, Manager, Outside};
use mrpf_ports::{
    Queue, QueueName, WorkerStore,
    clock::{SystemClock, Wake},
};
use mrpf_tasks::{Registry, WorkerClass};
use mrpf_tests::{
    deeds,
    order::{Numbers, Order, Role},
};
use mrpf_worker::{Parts, Worker};
use signal_hook::{consts::SIGTERM, iterator::Signals};

fn main() -> Result<(), Box<dyn Error>> {
    die_with_parent()?;
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).init();
    let order = env::args().nth(1).ok_or("this program is started by tests")?;
    let order: Order = serde_json::from_str(&order)?;
    let stop = stopped_by_sigterm()?;
    match order.role {
        Role::Manager => manage(&order, &stop),
        Role::Worker(class) => work(&order, class, &stop),
    }
}

fn stopped_by_sigterm() -> io::Result<Wake> {
    let stop = Wake::default();
    let (waking, mut arriving) = (stop.clone(), Signals::new([SIGTERM])?);
    thread::spawn(move || arriving.forever().for_each(|_| waking.set()));
    Ok(stop)
}

fn open_queues(order: &Order) -> Result<Queues, Box<dyn Error>> {
    let Numbers { max_receives, duplicates, stale, seed, .. } = order.numbers;
    let faults = Faults { duplicates, stale, is_disordered: duplicates > 0, seed };
    Ok(Queues::open(&order.queue, QueueSettings { max_receives, faults, ..Default::default() })?)
}

fn open_store(order: &Order) -> Result<Option<Arc<SqliteStore>>, Box<dyn Error>> {
    Ok(order.store.as_ref().map(SqliteStore::open).transpose()?.map(Arc::new))
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn manage(order: &Order, stop: &Wake) -> Result<(), Box<dyn Error>> {
    let queues = open_queues(order)?;
    let queue = |name| Arc::new(queues.get(name)) as Arc<dyn Queue>;
    let outside = Outside {
        store: open_store(order)?.ok_or("a manager needs a store")?,
        external: queue(QueueName::External),
        internal: queue(QueueName::Internal),
        bare_metal: queue(QueueName::BareMetal),
        task_manager: queue(QueueName::TaskManager),
        // No task here is for a machine.
        fleet: Arc::new(LocalFleet::new(|| Command::new("true"), Duration::ZERO)?),
    };
    let registry = Registry::shipped()
        .with::<deeds::Outside>()
        .with::<deeds::Inside>()
        .with::<deeds::MakesOutside>()
        .with::<deeds::MakesInside>();
    let Numbers { lease, grace, .. } = order.numbers;
    let settings = mrpf_manager::Settings {
        lease: millis(lease),
        grace: millis(grace),
        patience: millis(2 * lease),
        visibility: millis(lease),
        poll: millis(100),
        look_every: millis(250),
        ..Default::default()
    };
    Manager::new(outside, registry, settings, Dice::System).run(&SystemClock, stop);
    Ok(())
}

fn work(order: &Order, class: WorkerClass, stop: &Wake) -> Result<(), Box<dyn Error>> {
    let queues = open_queues(order)?;
    let parts = Parts {
        own: Arc::new(queues.get(class.into())),
        task_manager: Arc::new(queues.get(QueueName::TaskManager)),
        store: open_store(order)?.map(|store| store as Arc<dyn WorkerStore>),
        runners: runners::all(class, order),
        clock: Arc::new(SystemClock),
        machine: None,
    };
    let Numbers { lease, stop_grace, slots, max_receives, .. } = order.numbers;
    let name = format!("{class}-{}", std::process::id());
    let settings = mrpf_worker::Settings {
        slots,
        lease: millis(lease),
        heartbeat: millis(lease / 4),
        renewal: millis(lease / 4),
        grace: millis(stop_grace),
        max_receives,
        ..mrpf_worker::Settings::new(class, name)
    };
    Worker::new(settings, parts)?.run(stop)?;
    Ok(())
}
