//! The slot of a bare-metal worker: what the manager counts on. A worker that ends leaves it draining, since its machine is up for
//! a while yet; the manager frees it once that is gone.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use mrpf_ports::{
    Clock, StoreError, WorkerStore,
    clock::{Wake, after, between},
};
use mrpf_records::Timestamp;

use crate::{held::lock, shared::patiently};

/// How long a machine that has come up waits for the manager to write down which slot is its.
const BOOT_GRACE: Duration = Duration::from_secs(60);
const BOOT_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Slot {
    store: Arc<dyn WorkerStore>,
    instance: String,
    lease: Duration,
    /// Locked while the store is told, so that a renewal does not undo a drain.
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Live,
    Draining,
    Lost,
}

impl Slot {
    pub(crate) fn new(store: Arc<dyn WorkerStore>, instance: String, lease: Duration) -> Self {
        Self { store, instance, lease, state: Mutex::new(State::Live) }
    }

    /// Takes up the slot; false when there is none for this machine, or `stop` was set first.
    pub(crate) fn arrive(&self, clock: &dyn Clock, stop: &Wake) -> bool {
        let began = clock.now();
        while !stop.is_set() {
            let now = clock.now();
            match self.live(now) {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "asking for the slot of this machine"),
            }
            if between(began, now) >= BOOT_GRACE {
                break;
            }
            clock.sleep(BOOT_PAUSE, stop);
        }
        *lock(&self.state) = State::Lost;
        false
    }

    /// Says that the worker is still there.
    pub(crate) fn renew(&self, now: Timestamp) {
        let mut state = lock(&self.state);
        if *state == State::Live {
            match self.live(now) {
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!(
                        instance = self.instance,
                        "the slot of this machine is another's"
                    );
                    *state = State::Lost;
                }
                Err(error) => tracing::warn!(%error, "the slot of this machine is not renewed"),
            }
        }
    }

    /// Marks it as no capacity. `false`: it is not ours.
    pub(crate) fn drain(&self) -> Result<bool, StoreError> {
        let mut state = lock(&self.state);
        if *state == State::Lost {
            return Ok(false);
        }
        let is_ours = patiently(|| self.store.drain_slot(&self.instance))?;
        *state = if is_ours { State::Draining } else { State::Lost };
        Ok(is_ours)
    }

    /// Takes tasks again after [`Self::drain`]. `false`: it is not ours any more. A store that cannot be asked is asked
    /// again by [`Self::renew`].
    pub(crate) fn revive(&self, now: Timestamp) -> bool {
        let mut state = lock(&self.state);
        *state = match self.live(now) {
            Ok(false) => State::Lost,
            Ok(true) => State::Live,
            Err(error) => {
                tracing::warn!(%error, "the slot of this machine is not marked as live yet");
                State::Live
            }
        };
        *state == State::Live
    }

    pub(crate) fn is_lost(&self) -> bool {
        *lock(&self.state) == State::Lost
    }

    fn live(&self, now: Timestamp) -> Result<bool, StoreError> {
        patiently(|| self.store.live_slot(&self.instance, after(now, self.lease)))
    }
}
