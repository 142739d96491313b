//! The platform on this machine, as commands.
//!
//! ```text
//!  up ----> Running: manager (threads of this process)
//!             |--> staff: external and internal workers, a process each, started again when they end
//!             '--> LocalFleet: bare-metal workers, launched on demand, gone when idle
//!                    each of them: mrpf worker CLASS ---> worker
//!  submit, status, results, cancel, stop ----> DIR/store.db
//!  tasks                                       the kinds of task
//! ```
//!
//! What is decided stands in `mrpf_manager`; here are flags, folders, processes and text.

pub(crate) mod control;
mod environment;
mod error;
mod folder;
pub(crate) mod results;
mod running;
mod staff;
pub(crate) mod status;
pub(crate) mod submit;
pub(crate) mod tasks;
pub(crate) mod up;
pub(crate) mod worker;

pub(crate) use self::{
    environment::Environment,
    error::PlatformError,
    folder::Folder,
    results::called,
    running::{Options, Running},
    submit::set_scans,
};
