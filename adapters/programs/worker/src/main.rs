//! mrpf-worker: the bare-metal worker of the platform on AWS, one a machine.
//!
//! ```text
//!  instance metadata --> who we are (imds), whether EC2 wants the machine back (spot)
//!  BARE_METAL_QUEUE_URL --> mrpf_worker::Worker --> mrpf_bare_metal --> packets
//!        DATABASE_URL  <---------'    '--> TASK_MANAGER_QUEUE_URL
//!  nothing to do for BARE_METAL_IDLE_TIMEOUT_SECS --> power: the machine switches itself off
//! ```
//!
//! A machine is launched by the manager and ends by itself: when there is nothing to do, when no slot is its, and when the worker
//! could not begin for as long as an idle one would have stayed. SIGTERM, SIGINT, SIGHUP and a spot notice end the worker alone:
//! what it had is visible to others within 5 s, a scan goes on elsewhere at its checkpoint.

#![forbid(unsafe_code)]

mod check;
mod imds;
mod power;
mod spot;
mod start;

use std::{error::Error, io, process::ExitCode, sync::Arc, thread};

use clap::Parser;
use mrpf_environment::{BareMetalQueues, DatabaseUrl, IdleTimeout, Log, Scans, log};
use mrpf_ports::{
    Power,
    clock::{SystemClock, Wake},
};
use mrpf_tasks::WorkerClass;
use mrpf_worker::{Ended, Machine, Parts, Settings, Worker};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{
    power::{KeepOn, SwitchOff},
    start::{Identity, Opened},
};

/// A bare-metal worker of the mrpf platform, for an EC2 instance that the manager launched.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "\
Settings come from the environment: BARE_METAL_QUEUE_URL, TASK_MANAGER_QUEUE_URL, DATABASE_URL, and where the defaults do not suit
BARE_METAL_IDLE_TIMEOUT_SECS (300), BARE_METAL_MAX_RATE (10k), MRPF_LOG (info) and those of the AWS SDK (AWS_REGION ...)."
)]
struct Args {
    /// Look at all that the worker needs, say what is wrong and what mends it, and end
    #[arg(long)]
    check: bool,
    /// When there is nothing to do end the process, and leave the machine on: for containers, and machines that do other work too
    #[arg(long)]
    keep_machine: bool,
    /// Scan special-purpose addresses too (private, documentation, benchmarking ...) where a workflow's scope has them
    #[arg(long)]
    allow_reserved: bool,
    /// What the machine is called in the manager's slots, instead of the instance id that EC2 tells: for a machine that is none
    /// of EC2's. A slot must have this name
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
}

/// What the environment says.
type FromEnvironment = ((BareMetalQueues, DatabaseUrl), (Scans, IdleTimeout, Log));

fn main() -> ExitCode {
    let args = Args::parse();
    if args.check {
        return if check::run(&args) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    log::start();
    match work(&args) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!(%error, "ends");
            ExitCode::FAILURE
        }
    }
}

fn work(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let ((queues, database), (scans, idle, _)): FromEnvironment = mrpf_environment::read()?;
    let stop = signals()?;
    let power: Arc<dyn Power> =
        if args.keep_machine { Arc::new(KeepOn) } else { Arc::new(SwitchOff::default()) };
    let identity = Identity::of(args)?;
    let open = || start::open(&identity, &queues, &database);
    let opened = match start::patiently(open, idle, &SystemClock, &stop) {
        Ok(Some(opened)) => opened,
        Ok(None) => return Ok(ExitCode::SUCCESS),
        Err(error) => {
            tracing::error!(%error, "the worker cannot begin, so its machine goes");
            power.off();
            return Ok(ExitCode::FAILURE);
        }
    };
    let Opened { instance, own, task_manager, store } = opened;
    if let Identity::Ec2(imds) = identity {
        spot::watch(imds, stop.clone())?;
    }
    let mut settings = Settings::new(WorkerClass::BareMetal, instance.0.clone());
    settings.idle = Some(idle);
    // Without dead letters no delivery is the last.
    settings.max_receives = own.max_receives().unwrap_or(u32::MAX);
    let parts = Parts {
        own: Arc::new(own),
        task_manager: Arc::new(task_manager),
        store: Some(Arc::new(store)),
        runners: mrpf_bare_metal::runners(scanning(args, &scans)),
        clock: Arc::new(SystemClock),
        machine: Some(Machine { instance, power }),
    };
    Ok(match Worker::new(settings, parts)?.run(&stop)? {
        Ended::Stopped | Ended::Idle => ExitCode::SUCCESS,
        Ended::NoSlot => ExitCode::FAILURE,
    })
}

fn scanning(args: &Args, scans: &Scans) -> mrpf_bare_metal::Settings {
    mrpf_bare_metal::Settings {
        max_rate: scans.max_rate,
        allow_reserved: args.allow_reserved,
        ..mrpf_bare_metal::Settings::default()
    }
}

/// From now on these signals ask the worker to stop.
fn signals() -> io::Result<Wake> {
    let stop = Wake::default();
    let (waking, mut arriving) = (stop.clone(), Signals::new([SIGHUP, SIGINT, SIGTERM])?);
    let watch = move || {
        for signal in arriving.forever() {
            tracing::info!(signal, "told to stop");
            waking.set();
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(watch)?;
    Ok(stop)
}
