//! Machines for bare-metal workers.

use std::fmt;

/// Launches and watches the machines of bare-metal workers. How many there may be is the store's affair: a launch is for
/// a slot that the caller holds.
pub trait Fleet: fmt::Debug + Send + Sync {
    /// Launches a worker for a slot. The same slot and generation again gives the same instance and no second one.
    ///
    /// # Errors
    ///
    /// [`LaunchError`].
    fn launch(&self, slot: u32, generation: u32) -> Result<InstanceId, LaunchError>;

    /// Every instance of ours that is not long gone. A fresh one may be missing for a while.
    ///
    /// # Errors
    ///
    /// [`FleetError`].
    fn list(&self) -> Result<Vec<Instance>, FleetError>;

    /// Ends an instance; one that is gone already is no error.
    ///
    /// # Errors
    ///
    /// [`FleetError`].
    fn terminate(&self, id: &InstanceId) -> Result<(), FleetError>;
}

/// What a fleet calls an instance.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct InstanceId(pub String);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A machine of a bare-metal worker.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Instance {
    /// Which.
    pub id: InstanceId,
    /// The slot it was launched for, with its generation.
    pub slot: Option<(u32, u32)>,
    /// Whether it lives.
    pub state: InstanceState,
    /// Why it ended, where the fleet says so.
    pub reason: Option<String>,
}

/// The life of an instance. One that is not gone yet counts among those that there may be.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum InstanceState {
    /// It is to come up, or is up.
    Live,
    /// It was told to end, or has begun to.
    Ending,
    /// It is gone.
    Gone,
}

/// Why nothing was launched.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LaunchError {
    /// There is no room for any type in any zone now: try again later.
    #[error("no capacity: {0}")]
    Exhausted(String),
    /// Nobody knows whether it was launched: ask again for the same slot and generation.
    #[error("launch in doubt: {0}")]
    Unknown(String),
    /// It will not work until somebody changes a setting.
    #[error("launch refused: {0}")]
    Refused(String),
}

/// Why a fleet could not be asked.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("fleet: {0}")]
pub struct FleetError(pub String);
