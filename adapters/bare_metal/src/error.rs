//! Why a scan failed, sorted by what is to be done about it.

use mrpf_dns::DnsError;
use mrpf_engine::{
    link::LinkError,
    neighbour::NeighbourError,
    port_guard::PortGuardError,
    scan::{Failure, SettingsError},
};
use mrpf_syn::ScanError;
use mrpf_tasks::{ErrorKind, TaskError};
use mrpf_tls::TlsError;

/// A scan that could not start.
pub(crate) fn not_started(error: &ScanError) -> TaskError {
    let kind = match error {
        ScanError::Link(link)
        | ScanError::Neighbour(NeighbourError::Link(link))
        | ScanError::PortGuard(PortGuardError::Link(link))
        | ScanError::Failure(Failure::Link(link)) => link_kind(link),
        ScanError::Failure(failure) => failure_kind(failure),
        // Another machine may have the memory.
        ScanError::Settings(SettingsError::Memory(_)) => ErrorKind::Resource,
        error if error.is_usage() => ErrorKind::Input,
        _ => ErrorKind::Resource,
    };
    TaskError::new(kind, error.to_string())
}

/// The same of a TLS scan.
pub(crate) fn tls_not_started(error: &TlsError) -> TaskError {
    match error {
        TlsError::Scan(error) => not_started(error),
        // Another machine may have randomness.
        error => TaskError::new(ErrorKind::Resource, error.to_string()),
    }
}

/// The same of a DNS scan.
pub(crate) fn dns_not_started(error: &DnsError) -> TaskError {
    match error {
        DnsError::Scan(error) => not_started(error),
        error => TaskError::new(ErrorKind::Input, error.to_string()),
    }
}

/// A scan that ended before its time.
pub(crate) fn broken_off(failure: &Failure) -> TaskError {
    TaskError::new(failure_kind(failure), failure.to_string())
}

fn failure_kind(failure: &Failure) -> ErrorKind {
    match failure {
        Failure::Link(link) => link_kind(link),
        Failure::Panicked => ErrorKind::WorkerLost,
        Failure::Thread(_) | Failure::Pass(_) | Failure::List(_) => ErrorKind::Resource,
    }
}

/// What nobody but the operator of the worker can mend is a matter of its configuration.
fn link_kind(error: &LinkError) -> ErrorKind {
    match error {
        LinkError::Permission | LinkError::Fenced { .. } | LinkError::UnknownFence { .. } => {
            ErrorKind::NotConfigured
        }
        _ => ErrorKind::Resource,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use mrpf_engine::target::TargetError;

    use super::*;

    #[test]
    fn errors_are_sorted_by_what_helps() {
        let denied = || LinkError::Permission;
        let gone =
            || LinkError::Gone { name: "x".to_owned(), source: io::Error::from_raw_os_error(100) };
        let cases: [(ScanError, ErrorKind); 10] = [
            (ScanError::Link(denied()), ErrorKind::NotConfigured),
            (ScanError::Neighbour(NeighbourError::Link(denied())), ErrorKind::NotConfigured),
            (ScanError::PortGuard(PortGuardError::Link(denied())), ErrorKind::NotConfigured),
            (ScanError::Link(LinkError::Fenced { why: "x".to_owned() }), ErrorKind::NotConfigured),
            (ScanError::Link(gone()), ErrorKind::Resource),
            (ScanError::Failure(Failure::Link(gone())), ErrorKind::Resource),
            (ScanError::PortGuard(PortGuardError::LoopbackDown), ErrorKind::Resource),
            (ScanError::Settings(SettingsError::Memory(7)), ErrorKind::Resource),
            (ScanError::Settings(SettingsError::Retries(16)), ErrorKind::Input),
            (ScanError::Targets(TargetError::NoPorts), ErrorKind::Input),
        ];
        for (error, kind) in cases {
            assert_eq!(not_started(&error).kind, kind, "{error}");
        }
        assert!(not_started(&ScanError::Link(denied())).message.contains("CAP_NET_RAW"));
        assert_eq!(broken_off(&Failure::Panicked).kind, ErrorKind::WorkerLost);
        assert_eq!(broken_off(&Failure::Link(gone())).kind, ErrorKind::Resource);
    }
}
