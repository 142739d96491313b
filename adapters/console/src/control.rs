//! `cancel` and `stop`.

use mrpf_manager::control;
use mrpf_ports::{Clock as _, ManagerStore, clock::SystemClock};

use crate::{ConsoleError, exit::DONE, find, say};

/// Ends a workflow.
pub(crate) fn cancel(
    workflow: &str,
    store: &dyn ManagerStore,
    program: &'static str,
) -> Result<u8, ConsoleError> {
    let row = find::workflow(store, workflow, program)?;
    let open = control::cancel(store, row.id, SystemClock.now())?.unwrap_or_default();
    say(&match open {
        0 => format!("{} had ended already", row.id),
        1 => format!("{}: 1 task was open and is cancelled", row.id),
        many => format!("{}: {many} tasks were open and are cancelled", row.id),
    });
    Ok(DONE)
}

/// Stops the platform, or lets it go on.
pub(crate) fn stop(
    undo: bool,
    store: &dyn ManagerStore,
    program: &str,
) -> Result<u8, ConsoleError> {
    if undo {
        control::resume(store, SystemClock.now())?;
        say("it goes on");
    } else {
        control::stop(store)?;
        say(&format!(
            "stopped: no probe leaves any worker 5 s from now; go on with: {program} stop --undo"
        ));
    }
    Ok(DONE)
}
