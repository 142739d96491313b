//! `mrpf demo`: the whole platform, from a domain to stored results, against an organisation that it makes itself.
//!
//! ```text
//!  lab: 65,536 hosts in a namespace, a resolver among them, a certificate log on lo
//!    ^ packets, HTTP, TLS and DNS of this machine alone
//!  platform: manager, external and internal workers, bare-metal workers on demand     watch: what they do, as they do it
//!    |
//!    '--> recon tables ---> verdict: held against what is true of the lab
//! ```

mod findings;
mod verdict;
mod watch;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use mrpf_console::{
    ConsoleError, Signals, answer,
    exit::{DONE, INTERRUPTED},
    recon, say,
};
use mrpf_environment::{IdleTimeout, Scans};
use mrpf_lab::{
    CertificateLog, certificate_log,
    demo::{self, Certificates, HOSTS, PORTS},
    netns::{self, Privileges},
};
use mrpf_manager::submit;
use mrpf_ports::{Clock as _, clock::SystemClock};
use mrpf_tasks::{AddressRange, Registry, Scope, scope::Excluded, workflow::Plan};

use crate::{
    args::DemoArgs,
    demo::{verdict::Verdict, watch::Watch},
    error::CliError,
    platform::{Folder, Options, PlatformError, Running},
};

/// Where the platform of the demo lies when no folder is named.
const FOLDER: &str = "mrpf-demo-data";
/// Of the lab's addresses, those that the workflow's scope leaves out: nobody is to touch them.
const EXCLUDED: &str = "198.19.255.0/24";
/// Bare-metal workers that share the scan.
const WORKERS: u32 = 3;
/// After so long without a task they go.
const IDLE_SECS: u32 = 3;
/// Nothing of a demo takes longer.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(200);

/// Runs the demo; fails unless what it found is true.
pub(crate) fn run(args: &DemoArgs) -> Result<u8, CliError> {
    let privileges = netns::gain_privileges()?;
    let folder = folder(args.data.as_deref())?;
    let lab = demo::start()?;
    let resolver = demo::start_resolver(&lab)?;
    let log = CertificateLog::start()?;
    if !args.quiet {
        let how = match privileges {
            Privileges::Had => "",
            Privileges::UserNamespace => ", without root",
        };
        say(&format!(
            "{} and {HOSTS}: an organisation in a namespace of this process{how}; no packet leaves the machine",
            certificate_log::DOMAIN
        ));
    }
    let signals = Signals::install()?;
    let begin = Instant::now();
    let running = Running::start(&options(&folder, &log, args)?)?;
    let plan = plan(args)?;
    submit(running.store(), &Registry::shipped(), &plan, SystemClock.now())
        .map_err(ConsoleError::from)?;
    let mut watch = Watch::new(plan.id, args.quiet);
    let ended = loop {
        let is_over = watch.look(running.store())?;
        if is_over || signals.asked() || begin.elapsed() > PATIENCE || running.has_failed() {
            break is_over;
        }
        std::thread::sleep(LOOK);
    };
    watch.finish();
    let verdict =
        Verdict::read(running.store(), plan.id, &EXCLUDED_PREFIX, &Certificates::make()?)?;
    let launched = watch.launched();
    drop(running);
    drop(log);
    drop(resolver);
    drop(lab);
    answer(&verdict.table(launched, begin.elapsed(), folder.path(), args.data.as_deref()))?;
    if signals.asked() {
        say("interrupted: what is missing was not looked for");
        return Ok(INTERRUPTED);
    }
    match verdict.faults(ended) {
        None => Ok(DONE),
        Some(faults) => Err(CliError::Demo(faults)),
    }
}

/// The addresses of [`EXCLUDED`].
const EXCLUDED_PREFIX: mrpf_lab::Prefix = mrpf_lab::Prefix::new([198, 19, 255, 0], 24);

/// A folder without a platform in it: the one that was asked for, or one here that an earlier demo may have left, or one among
/// the temporary files.
fn folder(asked: Option<&Path>) -> Result<Folder, CliError> {
    if let Some(path) = asked {
        if path.join("store.db").exists() {
            return Err(CliError::DemoFolder(path.to_owned()));
        }
        return Ok(Folder::make(path)?);
    }
    match clean(Path::new(FOLDER)) {
        Ok(folder) => Ok(folder),
        Err(error) => {
            let path = env::temp_dir().join(format!("mrpf-demo-{}", std::process::id()));
            let folder = clean(&path).map_err(|_| error)?;
            say(&format!("this folder cannot be written to, so the data go to {}", path.display()));
            Ok(folder)
        }
    }
}

/// Makes the folder, without what an earlier demo left in it.
fn clean(path: &Path) -> Result<Folder, PlatformError> {
    let folder = Folder::make(path)?;
    // Not under the feet of a demo that runs.
    drop(folder.hold()?);
    for name in ["queue.db", "store.db"] {
        for end in ["", "-wal", "-shm"] {
            let path: PathBuf = folder.path().join(format!("{name}{end}"));
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(PlatformError::Folder { path, source });
                }
                _ => {}
            }
        }
    }
    Ok(folder)
}

fn options(
    folder: &Folder,
    log: &CertificateLog,
    args: &DemoArgs,
) -> Result<Options, PlatformError> {
    let rate = args.rate.0.get();
    let share = rate.div_ceil(u64::from(WORKERS));
    let quiet = env::var("MRPF_LOG").unwrap_or_else(|_| "error".to_owned());
    let variables = vec![
        ("BARE_METAL_IDLE_TIMEOUT_SECS", IDLE_SECS.to_string().into()),
        ("BARE_METAL_MAX_RATE", share.to_string().into()),
        ("CRTSH_BASE_URL", log.url().into()),
        ("MAX_BARE_METAL_WORKERS", WORKERS.to_string().into()),
        ("MRPF_LOG", quiet.into()),
    ];
    // What is wrong with the others is said here: its workers would do so in the log alone.
    mrpf_environment::read::<(Scans, IdleTimeout)>()?;
    Ok(Options {
        folder: folder.clone(),
        max_bare_metal_workers: WORKERS,
        external: 1,
        internal: 2,
        // All of the lab's addresses are special ones.
        allow_reserved: true,
        variables,
    })
}

/// The bundled workflow over the lab.
fn plan(args: &DemoArgs) -> Result<Plan, ConsoleError> {
    let range = |text: &str| -> Result<AddressRange, ConsoleError> {
        text.parse().map_err(|_| ConsoleError::Exclude(text.to_owned()))
    };
    let domain = certificate_log::DOMAIN;
    let scope = Scope {
        domains: vec![domain.parse().map_err(|_| ConsoleError::Exclude(domain.to_owned()))?],
        addresses: vec![range(&HOSTS.to_string())?],
        exclude: vec![Excluded::Addresses(range(EXCLUDED)?)],
    };
    let ports = PORTS.map(|port| port.to_string()).join(",");
    recon(scope, Some(&ports), Some(args.rate.0.get()), &[demo::RESOLVER.to_string()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_demo_left_is_removed_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        for name in ["queue.db", "store.db", "store.db-wal", "mine.txt"] {
            fs::write(place.path().join(name), "old").unwrap();
        }
        let folder = clean(place.path()).unwrap();
        let has = |name: &str| folder.path().join(name).exists();
        assert!(!has("queue.db") && !has("store.db") && !has("store.db-wal"));
        assert!(has("mine.txt"));
        let _held = folder.hold().unwrap();
        fs::write(folder.store(), "of a demo that runs").unwrap();
        assert!(matches!(clean(place.path()), Err(PlatformError::Taken { .. })));
        assert!(has("store.db"));
    }

    #[test]
    fn a_platform_in_a_folder_that_was_named_is_not_touched() {
        let place = tempfile::tempdir().unwrap();
        assert!(folder(Some(&place.path().join("new"))).is_ok());
        fs::write(place.path().join("store.db"), "somebody's").unwrap();
        assert!(matches!(folder(Some(place.path())), Err(CliError::DemoFolder(_))));
        assert_eq!(fs::read(place.path().join("store.db")).unwrap(), b"somebody's");
    }

    #[test]
    fn the_workflow_asks_what_the_lab_knows() {
        let args = DemoArgs { data: None, rate: "9k".parse().unwrap(), quiet: true };
        let plan = plan(&args).unwrap();
        let scans = plan.tasks.iter().find(|task| task.name == "shards").unwrap();
        assert_eq!(
            (&scans.input["ports"], &scans.input["rate"]),
            (&"80,443,8080".into(), &9_000.into())
        );
        let excluded = Excluded::Addresses(EXCLUDED.parse().unwrap());
        assert_eq!(
            (EXCLUDED, plan.scope.exclude),
            (EXCLUDED_PREFIX.to_string().as_str(), vec![excluded])
        );
    }
}
