//! A thread that looks at the allowances of the network behind the interface, and slows the scan while one is exceeded.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Acquire},
    thread,
    time::Duration,
};

use super::Session;
use crate::{
    link::allowance::{AllowanceSource, Throttle},
    time::Clock,
};

/// How long it sleeps before it looks whether the scan has ended.
const NAP: Duration = Duration::from_millis(50);

/// Asks `source` once a second as long as anyone is `sending`. It gives up for good when the source does: then the numbers
/// so far stand.
pub(super) fn watch(
    session: &Session,
    clock: Clock,
    mut source: impl AllowanceSource,
    sending: &AtomicUsize,
) {
    let mut throttle = Throttle::new(session.rate);
    while sending.load(Acquire) > 0 && !session.stop.is_stopped() {
        let now = clock.now();
        if now < throttle.next_look() {
            thread::sleep(NAP.min(throttle.next_look().since(now)));
            continue;
        }
        let Ok(allowance) = source.read() else { return };
        let before = throttle.halvings();
        if let Some(rate) = throttle.observe(now, &allowance, session.counters.sent.load()) {
            session.governor.set_rate(rate.per_second());
        }
        session.counters.throttled.add(throttle.halvings() - before);
        session.set_exceeded(throttle.exceeded());
    }
}
