//! `serve` and `--check`.

use std::{
    thread::{self, JoinHandle},
    time::Duration,
};

use mrpf_console::{
    Signals, answer,
    exit::{DONE, FAILED},
    say,
};
use mrpf_manager::{Dice, Manager, Outside, Settings};
use mrpf_ports::clock::{SystemClock, Wake};
use mrpf_tasks::Registry;

use crate::{
    error::ProgramError,
    finding::{Finding, Findings},
    open::{self, Tables},
};

/// How soon a signal is seen.
const LOOK: Duration = Duration::from_millis(100);

/// Says of everything that the manager needs whether it is there.
pub(crate) fn check() -> Result<u8, ProgramError> {
    let mut findings = Findings::default();
    if let Some(settings) = open::settings(&mut findings) {
        open::open(&settings, Tables::Look, &mut findings);
    }
    answer(&findings.to_string())?;
    Ok(findings.exit_code())
}

/// Runs the manager until a signal.
pub(crate) fn run() -> Result<u8, ProgramError> {
    let signals = Signals::install()?;
    mrpf_environment::log::start();
    let mut findings = Findings::default();
    let opened = open::settings(&mut findings).and_then(|settings| {
        let outside = open::open(&settings, Tables::Make, &mut findings)?;
        Some((outside, settings.fleet.max_workers))
    });
    let (outside, max_bare_metal_workers) = match opened {
        Some(opened) if findings.exit_code() == DONE => opened,
        _ => {
            say(&findings.to_string());
            return Ok(findings.exit_code().max(FAILED));
        }
    };
    for finding in findings.iter() {
        match finding {
            Finding::Fine(text) => tracing::info!("{text}"),
            Finding::Note(text) | Finding::Setting(text) | Finding::Wrong(text) => {
                tracing::warn!("{text}");
            }
        }
    }
    let stop = Wake::default();
    let manager = start(outside, max_bare_metal_workers, &stop)?;
    tracing::info!(max_bare_metal_workers, "the manager is up");
    while !signals.asked() && !manager.is_finished() {
        thread::sleep(LOOK);
    }
    let ended_by_itself = !signals.asked();
    tracing::info!("ending: what is begun is finished");
    stop.set();
    if manager.join().is_err() || ended_by_itself {
        return Err(ProgramError::Ended);
    }
    tracing::info!("ended; another manager goes on with everything");
    Ok(DONE)
}

fn start(
    outside: Outside,
    max_bare_metal_workers: u32,
    stop: &Wake,
) -> Result<JoinHandle<()>, ProgramError> {
    let settings = Settings { max_bare_metal_workers, ..Settings::default() };
    let mut manager = Manager::new(outside, Registry::shipped(), settings, Dice::System);
    let stop = stop.clone();
    thread::Builder::new()
        .name("manager".to_owned())
        .spawn(move || manager.run(&SystemClock, &stop))
        .map_err(ProgramError::Start)
}
