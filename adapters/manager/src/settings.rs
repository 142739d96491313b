//! The manager's numbers.

use std::time::Duration;

/// How a manager works. All managers of a platform should have the same.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a run that gives a sign of life is believed to live; workers give one at every third of it.
    pub lease: Duration,
    /// How long after the end of a lease the task is given up for lost.
    pub grace: Duration,
    /// How long a message may wait for a worker before the manager looks whether it is lost.
    pub patience: Duration,
    /// How long a message that the manager has taken is hidden from other managers.
    pub visibility: Duration,
    /// Most messages, tasks or outbox rows of one transaction.
    pub batch: usize,
    /// Longest wait for a message when there is nothing to do: so late, at most, the manager notices what is due.
    pub poll: Duration,
    /// From one look for lost workers and dead letters to the next.
    pub look_every: Duration,
    /// From one comparison of slots and machines to the next.
    pub reconcile_every: Duration,
    /// The same while a machine is about to go: its slot is another's no later than this after the fleet shows that it has gone.
    pub going_every: Duration,
    /// Most bare-metal workers at a time.
    pub max_bare_metal_workers: u32,
    /// How long a launched machine may take until its worker says that it is up.
    pub launch_lease: Duration,
    /// Wait after a launch for which there was no capacity.
    pub exhausted_wait: Duration,
    /// Wait after a launch that a setting is in the way of.
    pub refused_wait: Duration,
    /// Most tasks that one run may make.
    pub most_children: u32,
    /// Most parts that one run may send in messages.
    pub most_parts: u32,
}

impl Default for Settings {
    fn default() -> Self {
        const fn seconds(seconds: u64) -> Duration {
            Duration::from_secs(seconds)
        }
        Self {
            lease: seconds(60),
            grace: seconds(15),
            patience: seconds(15 * 60),
            visibility: seconds(60),
            batch: 200,
            poll: seconds(1),
            look_every: seconds(5),
            reconcile_every: seconds(30),
            going_every: seconds(2),
            max_bare_metal_workers: 5,
            launch_lease: seconds(5 * 60),
            exhausted_wait: seconds(60),
            refused_wait: seconds(10 * 60),
            most_children: 10_000,
            most_parts: 1_024,
        }
    }
}
