//! What a program's exit code says.

/// Everything went as asked.
pub const DONE: u8 = 0;
/// Something broke that flags and settings are not to blame for.
pub const FAILED: u8 = 1;
/// Flags or settings, or the files that they name, are wrong. Nothing was done.
pub const USAGE: u8 = 2;
/// It ended and is not complete: losses, a limit, or a task that failed.
pub const INCOMPLETE: u8 = 3;
/// Ctrl-C or SIGTERM.
pub const INTERRUPTED: u8 = 130;
