//! What the kernel, or the loader, said of a program that it did not take.

use std::{error::Error, io, iter};

use crate::link::LinkError;

/// That `error` ended `what`: [`LinkError::NoBpf`] where the kernel's reason is a lack of rights, else [`LinkError::Program`].
pub(super) fn refused(what: &'static str, error: &(dyn Error + 'static)) -> LinkError {
    match errno(error) {
        Some(libc::EPERM) => LinkError::NoBpf,
        _ => LinkError::Program { what, why: told(error) },
    }
}

/// The first line of each error, from the outermost on: that of the verifier goes on for pages.
pub(super) fn told(error: &(dyn Error + 'static)) -> String {
    let mut told = Vec::<String>::new();
    for error in chain(error) {
        let line = error.to_string().lines().next().unwrap_or_default().to_owned();
        if !told.iter().any(|said| said.contains(&line)) {
            told.push(line);
        }
    }
    told.join(": ")
}

/// The kernel's number for what went wrong.
pub(super) fn errno(error: &(dyn Error + 'static)) -> Option<i32> {
    chain(error).find_map(|error| error.downcast_ref::<io::Error>()?.raw_os_error())
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |error| <dyn Error>::source(*error))
}

#[cfg(test)]
mod tests {
    use aya::{programs::ProgramError, sys::SyscallError};

    use super::*;

    #[test]
    fn what_is_not_permitted_is_said_so_and_the_rest_in_one_line() {
        let load = |errno| {
            let io_error = io::Error::from_raw_os_error(errno);
            ProgramError::from(SyscallError { call: "bpf_prog_load", io_error })
        };
        assert!(matches!(refused("loading", &load(libc::EPERM)), LinkError::NoBpf));
        let LinkError::Program { what, why } = refused("loading", &load(libc::EINVAL)) else {
            panic!()
        };
        assert_eq!(what, "loading");
        assert!(why.contains("Invalid argument"), "{why}");
        let io_error = io::Error::from_raw_os_error(libc::EACCES);
        let verifier_log = (0..1_000).map(|at| format!("{at}: exit\n")).collect::<String>();
        let error = io::Error::other(verifier_log);
        assert_eq!((told(&error), told(&io_error).lines().count()), ("0: exit".to_owned(), 1));
    }
}
