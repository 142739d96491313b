//! The platform on this machine, as commands.
//!
//! ```text
//!  up ----> Running: manager (threads of this process)
//!             |--> staff: external and internal workers, a process each, started again when they end
//!             '--> LocalFleet: bare-metal workers, launched on demand, gone when idle
//!                    each of them: mrpf worker CLASS ---> worker
//!  submit, status, results, cancel, stop (`mrpf_console`) ----> Folder: DIR/store.db
//! ```
//!
//! What is decided stands in `mrpf_manager`; here are folders and processes.

mod error;
mod folder;
mod running;
mod staff;
pub(crate) mod up;
pub(crate) mod worker;

pub(crate) use self::{
    error::PlatformError,
    folder::Folder,
    running::{Options, Running},
};
