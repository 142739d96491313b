//! `mrpf cancel` and `mrpf stop`.

use mrpf_manager::control;
use mrpf_ports::{Clock as _, clock::SystemClock};

use super::{Folder, PlatformError, folder::find_workflow};
use crate::{
    args::DataArgs,
    error::{CliError, DONE},
    say,
};

/// Ends a workflow.
pub(crate) fn cancel(workflow: &str, data: &DataArgs) -> Result<u8, CliError> {
    let store = Folder::existing(&data.data)?.open_store()?;
    let row = find_workflow(store.as_ref(), workflow)?;
    let open = control::cancel(store.as_ref(), row.id, SystemClock.now())
        .map_err(PlatformError::from)?
        .unwrap_or_default();
    say(&match open {
        0 => format!("{} had ended already", row.id),
        1 => format!("{}: 1 task was open and is cancelled", row.id),
        many => format!("{}: {many} tasks were open and are cancelled", row.id),
    });
    Ok(DONE)
}

/// Stops the platform, or lets it go on.
pub(crate) fn stop(undo: bool, data: &DataArgs) -> Result<u8, CliError> {
    let store = Folder::existing(&data.data)?.open_store()?;
    if undo {
        control::resume(store.as_ref(), SystemClock.now()).map_err(PlatformError::from)?;
        say("it goes on");
    } else {
        control::stop(store.as_ref()).map_err(PlatformError::from)?;
        say("stopped: no probe leaves any worker 5 s from now; go on with: mrpf stop --undo");
    }
    Ok(DONE)
}
