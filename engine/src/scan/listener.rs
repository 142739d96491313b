//! The half of a scan that reads answers, as the loops that drive it see it.

use std::{fmt, time::Duration};

use crate::{
    link::{Frame, LinkError, Screened, Tx},
    time::Instant,
};

/// How long a listener waits for frames before it looks whether the scan has ended.
const LOOK: Duration = Duration::from_millis(20);
/// How long what is in flight is waited for when a scan was stopped, or others send without end.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// Reads frames where they lie, and sends what answers ask for. One a thread; the kernel deals frames out to them by flow.
pub trait Listener: fmt::Debug + Send + 'static {
    /// Takes one received frame.
    fn handle(&mut self, frame: Frame<'_>);

    /// Does what is due at `now` and sends what is owed, as the governor allows; returns when to call again if something
    /// remains.
    ///
    /// # Errors
    ///
    /// [`LinkError`] when the link is gone.
    fn poll_transmit<T: Tx>(
        &mut self,
        now: Instant,
        link: &mut T,
    ) -> Result<Option<Instant>, LinkError>;

    /// Notes that every frame taken so far was dealt with: see [`Shared::mark`](super::Shared::mark). To be called between two
    /// looks at the link, however little came.
    fn rest(&mut self, now: Instant);

    /// Whether so much was found that is not taken that the next frames may find no room.
    fn is_crowded(&self) -> bool;

    /// Whether the scan was ended early.
    fn was_stopped(&self) -> bool;

    /// Notes how many frames the link has lost so far before they could be shown.
    fn note_ring_drops(&mut self, drops: u64);

    /// Notes what the link has judged by itself so far.
    fn note_screened(&mut self, _screened: Screened) {}

    /// Whether it has something to ask that it has not asked, or is still told more to ask: a listener that asks by itself is not
    /// over as long, however little comes. Not asked once the scan was stopped.
    fn is_asking(&self) -> bool {
        false
    }

    /// How long, once all was asked, something may remain to be done.
    fn patience(&self) -> Duration {
        LINGER
    }

    /// How long frames may be waited for at most.
    fn nap(&self) -> Duration {
        LOOK
    }

    /// Gives up what is not done; resets may remain to be sent.
    fn abandon(&mut self);

    /// Nothing more will be asked of it: what is still owed is counted as that.
    fn leave(&mut self) {}
}
