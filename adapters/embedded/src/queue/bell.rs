//! Wakes the receivers of this process that wait for a queue.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use mrpf_ports::clock::Wake;

/// Of one queue.
#[derive(Debug, Default)]
pub(super) struct Bell(Mutex<(u64, BTreeMap<u64, Wake>)>);

/// A receiver that hears the bell until this is dropped.
pub(super) struct Listener<'a> {
    bell: &'a Bell,
    number: u64,
    wake: Wake,
}

impl Bell {
    /// Wakes all who listen.
    pub(super) fn ring(&self) {
        let heard = std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).1);
        heard.values().for_each(Wake::set);
    }

    /// Hears the next ring.
    pub(super) fn listen(&self) -> Listener<'_> {
        let wake = Wake::default();
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.0 += 1;
        let number = inner.0;
        inner.1.insert(number, wake.clone());
        Listener { bell: self, number, wake }
    }
}

impl Listener<'_> {
    /// Is set by a ring.
    pub(super) fn wake(&self) -> &Wake {
        &self.wake
    }
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        self.bell.0.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&self.number);
    }
}
