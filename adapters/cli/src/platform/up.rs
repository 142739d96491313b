//! `mrpf up`: the platform until Ctrl-C.

use std::{env, io};

use tracing_subscriber::EnvFilter;

use super::{Environment, Folder, Options, PlatformError, Running, running::LOOK};
use crate::{
    args::UpArgs,
    error::{CliError, DONE, FAILED},
    say,
    signals::Signals,
};

/// What is logged, in the form of tracing-subscriber's directives.
const LOG: &str = "MRPF_LOG";

/// Runs until a signal.
pub(crate) fn run(args: &UpArgs) -> Result<u8, CliError> {
    let signals = Signals::install().map_err(CliError::Signals)?;
    log();
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
    Running::start(&Options {
        folder: Folder::make(&args.data.data)?,
        environment: Environment::read()?,
        external: args.external,
        internal: args.internal,
        allow_reserved: args.allow_reserved,
        variables: Vec::new(),
    })
}

/// Writes what happens to stderr from now on: what `MRPF_LOG` says, or `info`.
pub(crate) fn log() {
    let wanted = env::var(LOG).unwrap_or_else(|_| "info".to_owned());
    let filter = EnvFilter::try_new(&wanted).unwrap_or_else(|error| {
        say(&format!("{LOG}={wanted}: {error}; logging at info"));
        EnvFilter::new("info")
    });
    // A second call, as of a test, changes nothing.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(false)
        .try_init();
}
