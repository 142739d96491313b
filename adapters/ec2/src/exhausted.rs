//! Which types had no room in which subnets a moment ago.
//!
//! ```text
//!  launch   InsufficientInstanceCapacity, Unsupported         --.
//!  list     an instance that was given and then taken back     --+-> (type, subnet) until .. -> the next walks leave it out
//! ```
//!
//! With five slots to fill and no room anywhere the first walk asks fifteen times and the other four not at all: requests are
//! rationed too. The manager waits a minute before it asks for a machine again, and then all are asked again, for a task waits.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::walk::Combination;

/// How long a combination is left alone. Room comes back within minutes, or not for hours.
pub(crate) const LEFT_ALONE: Duration = Duration::from_secs(3 * 60);
/// As long as this, when there was no room for any. Less than the manager waits after such a launch.
const ALL_LEFT_ALONE: Duration = Duration::from_secs(45);

/// Combinations without room. See the module.
#[derive(Debug, Default)]
pub(crate) struct Exhausted(BTreeMap<Combination, Instant>);

impl Exhausted {
    /// There is no room for it until then.
    pub(crate) fn note(&mut self, combination: Combination, until: Instant) {
        let known = self.0.entry(combination).or_insert(until);
        *known = until.max(*known);
    }

    /// A walk over `all` begins: when there was no room for any of them, and that walk began long enough ago, none is left out.
    pub(crate) fn begin(&mut self, all: impl IntoIterator<Item = Combination>, now: Instant) {
        let held = |at: Combination| self.0.get(&at).copied().filter(|until| now < *until);
        let all: Option<Vec<Instant>> = all.into_iter().map(held).collect();
        let Some(first) = all.and_then(|all| all.into_iter().min()) else { return };
        if now + (LEFT_ALONE - ALL_LEFT_ALONE) >= first {
            self.0.clear();
        }
    }

    /// Whether there is no room for it now, as far as is known.
    pub(crate) fn holds(&self, combination: &Combination, now: Instant) -> bool {
        self.0.get(combination).is_some_and(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{ALL_LEFT_ALONE, Exhausted, LEFT_ALONE};
    use crate::walk::Combination;

    #[test]
    fn a_combination_is_left_alone_for_a_while_and_others_are_not() {
        let (a, b) = (Some("subnet-a".to_owned()), Some("subnet-b".to_owned()));
        let full = Combination { kind: None, subnet: a.clone() };
        let mut exhausted = Exhausted::default();
        let now = Instant::now();
        exhausted.note(full.clone(), now + LEFT_ALONE);
        assert!(exhausted.holds(&full, now + LEFT_ALONE - Duration::from_millis(1)));
        assert!(!exhausted.holds(&full, now + LEFT_ALONE));
        for other in [(None, b), (Some("t4g.micro"), a), (None, None)] {
            let other = Combination { kind: other.0, subnet: other.1 };
            assert!(!exhausted.holds(&other, now), "{other}");
        }
    }

    #[test]
    fn when_all_are_full_all_are_asked_again_sooner() {
        let all =
            ["t4g.micro", "c7g.medium"].map(|kind| Combination { kind: Some(kind), subnet: None });
        let begin = Instant::now();
        let second = Duration::from_secs(1);
        let held = |full: usize, after: Duration| {
            let mut exhausted = Exhausted::default();
            for (at, n) in all[..full].iter().zip(0..) {
                exhausted.note(at.clone(), begin + second * n + LEFT_ALONE);
            }
            let now = begin + after;
            exhausted.begin(all.clone(), now);
            all.clone().map(|at| exhausted.holds(&at, now))
        };
        assert_eq!(held(2, second), [true, true]);
        assert_eq!(held(2, ALL_LEFT_ALONE - second), [true, true]);
        assert_eq!(held(2, ALL_LEFT_ALONE), [false, false], "the second was asked a second later");
        assert_eq!(held(1, ALL_LEFT_ALONE + second), [true, false]);
        assert_eq!(held(0, second), [false, false]);
    }

    #[test]
    fn an_older_word_does_not_cut_a_younger_one_short() {
        let full = Combination { kind: Some("c7g.medium"), subnet: None };
        let mut exhausted = Exhausted::default();
        let now = Instant::now();
        exhausted.note(full.clone(), now + LEFT_ALONE);
        exhausted.note(full.clone(), now + Duration::from_secs(1));
        assert!(exhausted.holds(&full, now + Duration::from_secs(2)));
    }
}
