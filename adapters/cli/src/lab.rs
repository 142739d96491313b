//! `mrpf lab`: the namespaces of the tests and the demo, lent out.

use mrpf_console::answer;
use mrpf_lab::command;

use crate::{args::LabCommand, error::CliError};

/// Runs one of the lab's commands; the exit code of `lab run` is that of what it ran.
pub(crate) fn run(lab: LabCommand) -> Result<u8, CliError> {
    match lab {
        LabCommand::Run { command: words } => {
            let code = command::run(&words)?;
            // A code outside of a byte cannot come from exit(3); whatever it is, it is no success.
            return Ok(u8::try_from(code).unwrap_or(1));
        }
        LabCommand::Up => answer(&command::up()?.to_string())?,
        LabCommand::Hold => command::hold()?,
        LabCommand::Down => {
            answer(if command::down()? { "the lab is down" } else { "there was no lab" })?;
        }
        LabCommand::Status => match command::status()? {
            Some(status) => answer(&status.to_string())?,
            None => {
                answer("there is no lab; make one with: sudo mrpf lab up")?;
                return Ok(1);
            }
        },
    }
    Ok(0)
}
