//! What every implementation of a port must do, as tests that each of them runs unchanged.
//!
//! ```text
//!  conformance::queue::Bench   <- an implementation's tests make one: a fresh queue, and a second way to it
//!  queue_conformance!(make)    -> one #[test] for each case: fn case(&dyn Bench)
//! ```
//!
//! The cases assume no more than the ports say. Time may be real: where it must pass, it does for a second or so, and in
//! whole seconds, since some services know no others. What a service may give late or twice is waited for, not demanded.

pub mod fleet;
pub mod queue;
pub mod store;

use std::{
    thread,
    time::{Duration, Instant},
};

/// Waits for something that may take its time.
#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < end, "not within 10 s: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Makes a test of each case of a suite: see the suites' own macros.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($make:expr, $suite:ident: $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                let bench = $make();
                $crate::conformance::$suite::$case(&bench);
            }
        )*
    };
}
