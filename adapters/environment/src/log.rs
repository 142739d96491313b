//! What is logged: to standard error, a line each.

use std::{env, io, io::Write as _};

use tracing_subscriber::EnvFilter;

use crate::reader::{Group, Reader, Variable};

const LOG: Variable = Variable {
    name: "MRPF_LOG",
    is: "what is logged",
    give: "a level (error, warn, info, debug or trace), or directives such as info,mrpf_manager=debug",
};

/// What is logged where nothing is said.
const DEFAULT: &str = "info";

/// `MRPF_LOG` can be used. For programs that want to know all that is wrong before they begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Log(());

impl Group for Log {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.optional(&LOG, Self(()), |text| match filter(text) {
            Ok(_) => Ok(Self(())),
            Err(why) => Err(LOG.wrong(text, format_args!("{why}; give {}", LOG.give))),
        })
    }
}

/// Writes what happens to standard error from now on: what `MRPF_LOG` says, or `info`. A value that cannot be used is said, and
/// is no reason to be silent.
pub fn start() {
    let wanted = env::var(LOG.name).unwrap_or_else(|_| DEFAULT.to_owned());
    let filter = filter(&wanted).unwrap_or_else(|why| {
        // Nobody is left to tell when that fails.
        let _ = writeln!(io::stderr(), "{}={wanted}: {why}; logging at {DEFAULT}", LOG.name);
        EnvFilter::new(DEFAULT)
    });
    // A second call, as of a test, changes nothing.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(false)
        .try_init();
}

fn filter(text: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_from;

    #[test]
    fn directives_are_checked_before_anything_is_logged() {
        for text in ["warn", "info,mrpf_manager=debug"] {
            assert!(read_from::<Log>(|_| Some(text.into())).is_ok(), "{text}");
        }
        let said = read_from::<Log>(|_| Some("mrpf=loud".into())).unwrap_err().to_string();
        assert!(
            said.starts_with("MRPF_LOG=mrpf=loud: ") && said.contains("give a level"),
            "{said}"
        );
    }
}
