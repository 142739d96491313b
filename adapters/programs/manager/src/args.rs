//! What can be asked for on the command line.

use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use mrpf_console::Place;
use mrpf_environment::DatabaseUrl;
use mrpf_ports::ManagerStore;
use mrpf_postgres::PgStore;

use crate::error::ProgramError;

/// The manager of the mrpf platform on AWS, and the commands with which people use it.
#[derive(Debug, Parser)]
#[command(name = "mrpf-manager", version, max_term_width = 100, after_help = ENVIRONMENT)]
#[command(
    arg_required_else_help = true,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    /// Looks at settings, permissions and everything that must be reached, says of each OK or what mends it, and ends.
    #[arg(long)]
    pub(crate) check: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const ENVIRONMENT: &str = "\
Settings come from the environment. For serve:
  EXTERNAL_QUEUE_URL, INTERNAL_QUEUE_URL, BARE_METAL_QUEUE_URL, TASK_MANAGER_QUEUE_URL
  DATABASE_URL                postgresql://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full&sslrootcert=FILE, with the
                              user who owns the tables, or is to
  MAX_BARE_METAL_WORKERS      most bare-metal workers at a time (5)
  BARE_METAL_WORKER_SUBNETS   ids of the subnets they are launched in, with commas between (that of the launch template)
  BARE_METAL_LAUNCH_TEMPLATE  the name of their launch template (mathijs-worker-ami)
  MRPF_LOG                    what is logged to standard error (info)
  AWS_REGION and the others of the AWS SDK
For submit, status, results, cancel and stop: DATABASE_URL.

Exit codes:
  0 done   1 failed   2 wrong usage or settings   3 finished but incomplete   130 interrupted";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the manager until SIGTERM or Ctrl-C. Makes and brings up the tables. Several may run at once.
    Serve {
        /// Looks whether it could, as --check does, and ends.
        #[arg(long)]
        check: bool,
    },
    #[command(flatten)]
    Console(mrpf_console::Command<Database>),
}

/// The database of `DATABASE_URL`: nothing to say on the command line, where others could read its password.
#[derive(Args, Clone, Debug)]
pub(crate) struct Database {}

impl Place for Database {
    const PROGRAM: &'static str = "mrpf-manager";
    type Error = ProgramError;

    fn existing(&self) -> Result<Arc<dyn ManagerStore>, ProgramError> {
        let url: DatabaseUrl = mrpf_environment::read()?;
        Ok(Arc::new(PgStore::open(url.reveal())?))
    }

    fn make(&self) -> Result<Arc<dyn ManagerStore>, ProgramError> {
        // Tables are made by `serve` alone, whose user owns them.
        self.existing()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_check_is_asked_for_with_serve_or_alone() {
        let parse = |words: &str| Cli::try_parse_from(words.split(' '));
        assert!(parse("mrpf-manager --check").unwrap().command.is_none());
        let serve = |words| match parse(words).unwrap().command {
            Some(Command::Serve { check }) => check,
            other => panic!("{other:?}"),
        };
        assert!(serve("mrpf-manager serve --check") && !serve("mrpf-manager serve"));
        assert!(parse("mrpf-manager --check serve").is_err());
        assert!(parse("mrpf-manager").is_err());
    }

    #[test]
    fn the_commands_of_the_console_are_there_and_name_this_program() {
        for words in ["submit recon", "status", "results 01", "cancel 01", "stop --undo", "tasks"] {
            let words = ["mrpf-manager"].into_iter().chain(words.split(' '));
            assert!(matches!(
                Cli::try_parse_from(words).unwrap().command,
                Some(Command::Console(_))
            ));
        }
        let mut command = Cli::command();
        let help = command.find_subcommand_mut("submit").unwrap().render_help().to_string();
        assert!(help.contains("mrpf-manager submit recon") && !help.contains("--data"), "{help}");
    }
}
