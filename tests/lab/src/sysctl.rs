//! Settings of the calling thread's network namespace: /proc/sys/net shows the namespace of whoever looks.

use std::{fs, io::ErrorKind};

use crate::{LabError, error::asking};

/// Sets `name`, a path below /proc/sys.
pub(crate) fn set(name: &str, value: &str) -> Result<(), LabError> {
    fs::write(format!("/proc/sys/{name}"), value).map_err(asking(format!(
        "setting {} to {value} in the namespace of the lab",
        name.replace('/', ".")
    )))
}

/// Sets `name` unless this kernel does not have it or does not show it to a user namespace; says whether it did.
pub(crate) fn set_if_there(name: &str, value: &str) -> Result<bool, LabError> {
    match set(name, value) {
        Ok(()) => Ok(true),
        Err(LabError::System { source, .. })
            if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
