//! A thread that looks at the allowances of the network behind the interface, and slows the scan while one is exceeded.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Acquire},
    },
    thread,
    time::Duration,
};

use super::Shared;
use crate::{
    link::allowance::{Allowance, AllowanceSource, Throttle},
    probe::Probe,
    time::Clock,
};

/// How long it sleeps before it looks whether the scan has ended.
const NAP: Duration = Duration::from_millis(50);

/// Asks `source` once a second as long as anyone is `sending`. It gives up for good when the source does: then the numbers
/// so far stand.
pub(super) fn watch<P: Probe>(
    shared: &Arc<Shared<P>>,
    clock: Clock,
    mut source: impl AllowanceSource,
    sending: &AtomicUsize,
) {
    let mut throttle = Throttle::new(shared.rate);
    while sending.load(Acquire) > 0 && !shared.stop.is_stopped() {
        let now = clock.now();
        if now < throttle.next_look() {
            thread::sleep(NAP.min(throttle.next_look().since(now)));
            continue;
        }
        let Ok(allowance) = source.read() else { return };
        let before = throttle.halvings();
        if let Some(rate) = throttle.observe(now, &allowance, shared.counters.sent.load()) {
            shared.governor.set_rate(rate.per_second());
        }
        shared.counters.throttled.add(throttle.halvings() - before);
        shared.set_exceeded(throttle.exceeded());
    }
}

impl<P: Probe> Shared<P> {
    /// What the network behind the interface has exceeded since the scan began; `None` where nothing tells.
    pub fn exceeded(&self) -> Option<Allowance> {
        *self.exceeded.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn set_exceeded(&self, exceeded: Allowance) {
        *self.exceeded.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(exceeded);
    }
}
