//! What can be asked for, and of which store.

use std::{error::Error, fmt, sync::Arc};

use clap::{Args, Subcommand};
use mrpf_ports::ManagerStore;

use crate::{
    ConsoleError, ResultsArgs, StatusArgs, SubmitArgs,
    args::{results_examples, submit_examples},
    control, results, status, submit, tasks,
};

/// Where a program finds its store: the flags that say so, and how it is opened.
pub trait Place: Args + fmt::Debug {
    /// What users call the program.
    const PROGRAM: &'static str;
    /// Why there is no store.
    type Error: Error + From<ConsoleError>;

    /// The store of a platform that is there.
    ///
    /// # Errors
    ///
    /// Why there is none.
    fn existing(&self) -> Result<Arc<dyn ManagerStore>, Self::Error>;

    /// The store, made where it is not there: work can be given before the platform is started.
    ///
    /// # Errors
    ///
    /// Why it cannot be had.
    fn make(&self) -> Result<Arc<dyn ManagerStore>, Self::Error>;
}

/// The commands of a platform.
#[derive(Debug, Subcommand)]
pub enum Command<P: Place> {
    /// Gives a workflow to the platform, and prints its id.
    #[command(after_help = submit_examples(P::PROGRAM))]
    Submit {
        /// What.
        #[command(flatten)]
        args: SubmitArgs,
        /// To which store.
        #[command(flatten)]
        place: P,
    },
    /// Says how far workflows are, and what their workers do.
    Status {
        /// Which.
        #[command(flatten)]
        args: StatusArgs,
        /// In which store.
        #[command(flatten)]
        place: P,
    },
    /// What workflows found, as JSON lines: the output of tasks, or the rows of recon.
    #[command(after_help = results_examples(P::PROGRAM))]
    Results {
        /// Which.
        #[command(flatten)]
        args: ResultsArgs,
        /// In which store.
        #[command(flatten)]
        place: P,
    },
    /// Ends a workflow: what has not begun does not, and what runs is stopped.
    Cancel {
        /// Its id, or the first characters of it.
        #[arg(value_name = "WORKFLOW")]
        workflow: String,
        /// In which store.
        #[command(flatten)]
        place: P,
    },
    /// Stops everything: no probe leaves any worker 5 s later. Scans are kept as far as they are, and go on with --undo.
    Stop {
        /// Goes on.
        #[arg(long)]
        undo: bool,
        /// In which store.
        #[command(flatten)]
        place: P,
    },
    /// The kinds of task that workflows are made of; of one, its JSON schemas.
    Tasks {
        /// Which.
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
}

impl<P: Place> Command<P> {
    /// Does it; gives the exit code.
    ///
    /// # Errors
    ///
    /// What was in the way, or why there is no store.
    pub fn run(&self) -> Result<u8, P::Error> {
        let program = P::PROGRAM;
        Ok(match self {
            Self::Submit { args, place } => submit::run(args, place)?,
            Self::Status { args, place } => status::run(args, &*place.existing()?, program)?,
            Self::Results { args, place } => results::run(args, &*place.existing()?, program)?,
            Self::Cancel { workflow, place } => {
                control::cancel(workflow, &*place.existing()?, program)?
            }
            Self::Stop { undo, place } => control::stop(*undo, &*place.existing()?, program)?,
            Self::Tasks { name } => tasks::run(name.as_deref())?,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;

    use clap::{CommandFactory as _, Parser};
    use mrpf_embedded::SqliteStore;

    use super::*;

    /// A store in a file.
    #[derive(Args, Clone, Debug)]
    pub(crate) struct Store {
        #[arg(long, default_value = "none.db")]
        file: PathBuf,
    }

    impl Place for Store {
        const PROGRAM: &'static str = "any";
        type Error = ConsoleError;

        fn existing(&self) -> Result<Arc<dyn ManagerStore>, ConsoleError> {
            self.make()
        }

        fn make(&self) -> Result<Arc<dyn ManagerStore>, ConsoleError> {
            Ok(Arc::new(SqliteStore::open(&self.file)?))
        }
    }

    #[derive(Debug, Parser)]
    pub(crate) struct Program {
        #[command(subcommand)]
        pub(crate) command: Command<Store>,
    }

    fn run(file: &std::path::Path, words: &str) -> Result<u8, ConsoleError> {
        let words = ["any"].into_iter().chain(words.split(' '));
        let words = words.map(Into::into).chain(["--file".into(), file.as_os_str().to_owned()]);
        Program::try_parse_from(words).unwrap().command.run()
    }

    #[test]
    fn the_commands_are_well_formed_and_name_their_program() {
        let mut command = Program::command();
        command.clone().debug_assert();
        let submit = command.find_subcommand_mut("submit").unwrap().render_long_help().to_string();
        assert!(submit.contains("any submit monday.toml --wait"), "{submit}");
        let results = command.find_subcommand_mut("results").unwrap().render_long_help();
        assert!(results.to_string().contains("any results --model endpoint"), "{results}");
    }

    #[test]
    fn a_workflow_goes_in_and_is_shown_stopped_and_ended() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store.db");
        assert_eq!(run(&file, "submit recon --domain a.example").unwrap(), 0);
        assert_eq!(run(&file, "status").unwrap(), 0);
        let control = || {
            let (store, mut is_stopped) = (SqliteStore::open(&file).unwrap(), false);
            let look = &mut |tx: &mut dyn mrpf_ports::store::Tx| {
                is_stopped = tx.control()?.is_stopped;
                Ok(())
            };
            store.transaction(look).unwrap();
            is_stopped
        };
        run(&file, "stop").unwrap();
        assert!(control());
        run(&file, "stop --undo").unwrap();
        assert!(!control());
        let mut id = String::new();
        let store = SqliteStore::open(&file).unwrap();
        store
            .transaction(&mut |tx| {
                id = tx.workflows()?[0].id.to_string();
                Ok(())
            })
            .unwrap();
        assert_eq!(run(&file, &format!("cancel {id}")).unwrap(), 0);
        // A second time changes nothing, and who waits for it learns that it is over.
        assert_eq!(run(&file, &format!("cancel {id}")).unwrap(), 0);
        assert!(run(&file, "cancel ffffff").unwrap_err().is_usage());
    }
}
