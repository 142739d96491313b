//! `mrpf up`: the platform until Ctrl-C.

use mrpf_console::{
    Signals,
    exit::{DONE, FAILED},
    say,
};
use mrpf_environment::{IdleTimeout, Scans};

use super::{Folder, Options, PlatformError, Running, running::LOOK};
use crate::{args::UpArgs, error::CliError};

/// Runs until a signal.
pub(crate) fn run(args: &UpArgs) -> Result<u8, CliError> {
    let signals = Signals::install()?;
    mrpf_environment::log::start();
    let running = start(args)?;
    let data = args.data.data.display();
    say(&format!(
        "the platform is up in {data}; give it work with: mrpf submit recon --domain ... --address ... --data {data}"
    ));
    while !signals.asked() {
        if running.has_failed() {
            return Ok(FAILED);
        }
        std::thread::sleep(LOOK);
    }
    say("ending: what runs is given back");
    drop(running);
    say("everything is kept; the next `mrpf up` goes on with it");
    Ok(DONE)
}

fn start(args: &UpArgs) -> Result<Running, PlatformError> {
    // Its workers read them too, but would say in the log alone, again and again, what is wrong with them.
    mrpf_external::Settings::from_env()?;
    let (scans, _) = mrpf_environment::read::<(Scans, IdleTimeout)>()?;
    Running::start(&Options {
        folder: Folder::make(&args.data.data)?,
        max_bare_metal_workers: scans.max_workers,
        external: args.external,
        internal: args.internal,
        allow_reserved: args.allow_reserved,
        variables: Vec::new(),
    })
}
