//! Which type to ask for in which subnet, and what to ask for after a failure.
//!
//! ```text
//!             subnet-a   subnet-b   subnet-c          InsufficientInstanceCapacity: ->
//!  template's    1    ->    2    ->    3  -.          the subnet is full or missing: its column goes
//!  t4g.micro  .- 4    ->    5    ->    6 <-'          too many vCPUs: rows with as many go
//!  t4g.small  '> 7    ->    8    ->    9  -.          too many requests, or no answer: here again
//!  ..                                               a wrong setting: the end
//! ```
//!
//! Without subnets there is one column: the template or EC2 chooses. Combinations that were found to have no room a moment
//! ago are left out from the start.
//!
//! Nothing is sent and no time passes in here: [`Walk::step`] says what to do, [`Walk::failed`] hears what came of it. Each
//! failure takes something away, a combination or one of a few tries, so there is an end.
//!
//! A launch without an answer may have been made. Asked for again with the same token EC2 gives the same instance, so that is
//! what comes next; to go on would be to have two. While it stays in doubt the end of the walk is in doubt too.

use std::{collections::VecDeque, time::Duration};

use mrpf_aws::AwsError;
use mrpf_ports::LaunchError;

use crate::verdict::{self, Verdict};

#[cfg(test)]
mod tests;

/// Waits for a lower pace in one launch. The SDK has waited already before each.
const SLOWER: u32 = 4;
/// Launches of one walk that may stay without an answer. Whoever asked asks again.
const DOUBTS: u32 = 2;
/// The first wait, which doubles.
const WAIT: Duration = Duration::from_millis(250);

/// What to ask for.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Combination {
    /// The instance type; none for the template's own.
    pub(crate) kind: Option<&'static str>,
    /// The subnet; none for the template's own, or EC2's choice.
    pub(crate) subnet: Option<String>,
}

impl std::fmt::Display for Combination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind.unwrap_or("the template's type"))?;
        match &self.subnet {
            Some(subnet) => write!(f, " in {subnet}"),
            None => Ok(()),
        }
    }
}

/// An instance type that may be asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Kind {
    /// Its name; none for the template's own.
    pub(crate) name: Option<&'static str>,
    /// What it takes of the account's share.
    pub(crate) vcpus: u32,
}

/// All combinations, types outside, subnets inside.
pub(crate) fn combinations<'a>(
    kinds: &'a [Kind],
    subnets: &'a [String],
) -> impl Iterator<Item = (Combination, u32)> + 'a {
    let columns = move || {
        let none = subnets.is_empty().then_some(None);
        subnets.iter().map(|subnet| Some(subnet.clone())).chain(none)
    };
    kinds.iter().flat_map(move |kind| {
        columns().map(|subnet| (Combination { kind: kind.name, subnet }, kind.vcpus))
    })
}

/// What to do now.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Step<'a> {
    /// Ask for this, after a wait.
    Try(&'a Combination, Duration),
    /// Give up.
    End(LaunchError),
}

/// One launch on its way. See the module.
#[derive(Debug)]
pub(crate) struct Walk {
    /// What is left, with its vCPUs; the first is asked for.
    left: VecDeque<(Combination, u32)>,
    /// How many there were, and how many of them were left out.
    of: usize,
    left_out: usize,
    wait: Duration,
    slower: u32,
    doubts: u32,
    /// The first failure of the combination at hand that leaves open whether it was launched.
    in_doubt: Option<String>,
    /// Whether anything failed for another reason than a subnet that does not exist.
    is_full: bool,
    last: Option<String>,
    stopped: Option<LaunchError>,
}

impl Walk {
    /// A walk over all combinations but those that `has_no_room`.
    pub(crate) fn new(
        kinds: &[Kind],
        subnets: &[String],
        has_no_room: impl Fn(&Combination) -> bool,
    ) -> Self {
        let mut left: VecDeque<_> = combinations(kinds, subnets).collect();
        let of = left.len();
        left.retain(|(combination, _)| !has_no_room(combination));
        let left_out = of - left.len();
        Self {
            left,
            of,
            left_out,
            wait: Duration::ZERO,
            slower: 0,
            doubts: 0,
            in_doubt: None,
            is_full: left_out > 0,
            last: None,
            stopped: None,
        }
    }

    /// What to do now.
    pub(crate) fn step(&self) -> Step<'_> {
        match (&self.stopped, self.left.front()) {
            (Some(error), _) => Step::End(error.clone()),
            (None, Some((combination, _))) => Step::Try(combination, self.wait),
            (None, None) => Step::End(self.over()),
        }
    }

    /// The combination at hand was asked for in vain. `dice`, any number, sets the length of a wait.
    pub(crate) fn failed(&mut self, error: &AwsError, dice: u32) -> Verdict {
        let verdict = verdict::of(error);
        let Some((at, vcpus)) = self.left.front().cloned() else { return verdict };
        let what = format!("{at}: {error}");
        self.wait = Duration::ZERO;
        match verdict {
            Verdict::NextCombination => drop(self.left.pop_front()),
            Verdict::SubnetFull | Verdict::SubnetMissing => {
                self.left.retain(|(other, _)| other.subnet != at.subnet);
            }
            Verdict::FewerVcpusOnly => self.left.retain(|(_, others)| *others < vcpus),
            Verdict::Slower => {
                self.wait = wait(self.slower + self.doubts, dice);
                self.slower += 1;
                if self.slower > SLOWER {
                    let error = LaunchError::Exhausted(format!("too many requests: {what}"));
                    self.stop(error);
                }
            }
            Verdict::InDoubt => {
                self.wait = wait(self.slower + self.doubts, dice);
                self.doubts += 1;
                self.in_doubt.get_or_insert_with(|| what.clone());
                if self.doubts >= DOUBTS {
                    self.stop(LaunchError::Unknown(what.clone()));
                }
            }
            Verdict::Stop => self.stop(LaunchError::Refused(what.clone())),
        }
        if !matches!(verdict, Verdict::Slower | Verdict::InDoubt | Verdict::Stop) {
            // EC2 would have given the instance if there were one.
            self.in_doubt = None;
            self.is_full |= verdict != Verdict::SubnetMissing;
        }
        self.last = Some(what);
        verdict
    }

    fn stop(&mut self, error: LaunchError) {
        let error = match (&self.in_doubt, error) {
            (None, error) => error,
            (Some(_), error @ LaunchError::Unknown(_)) => error,
            (Some(doubt), error) => LaunchError::Unknown(format!("{doubt}; then {error}")),
        };
        self.stopped = Some(error);
    }

    /// Nothing is left.
    fn over(&self) -> LaunchError {
        let Self { of, left_out, .. } = self;
        match &self.last {
            None if *of == 0 => LaunchError::Refused(
                "no instance type fits the launch template's image: see --check".to_owned(),
            ),
            None => LaunchError::Exhausted(format!(
                "all {of} combinations of type and subnet had no room a few minutes ago"
            )),
            Some(last) if self.is_full => LaunchError::Exhausted(format!(
                "{of} combinations of type and subnet, {left_out} of them known to be full; last {last}"
            )),
            Some(last) => {
                LaunchError::Refused(format!("no subnet of the list exists; last {last}"))
            }
        }
    }
}

/// From half to all of a time that doubles, so that managers who were sent away together do not come back together.
fn wait(before: u32, dice: u32) -> Duration {
    let longest = WAIT * 2_u32.saturating_pow(before.min(8));
    longest / 2 + (longest / 2).mul_f64(f64::from(dice) / f64::from(u32::MAX))
}
