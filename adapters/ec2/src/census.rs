//! What there is, made of what EC2 shows and what this process knows better. Pure.
//!
//! ```text
//!  shown, alone for its slot and generation     listed as it is
//!  shown, one of several of one generation      one stays, the others are ended
//!  shown, stopped                               ended: its disk is paid for, and nobody starts it again
//!  not shown, given to us a moment ago          listed as live, or ending if we have ended it
//!  shown, given and then taken back for         its combination of type and subnet has no room
//!    want of capacity
//! ```
//!
//! There are several of one generation if a launch stayed without an answer and another combination was asked for after that: a
//! manager was killed in between, say, and the next did not know that the first combination had no room. The one that this process was
//! given stays, since that one is in its slot. A process that was given none of them leaves them alone for a while: somebody else
//! may know. After that the oldest stays, whoever looks.

use std::time::{Duration, Instant, SystemTime};

use mrpf_ports::{Instance, InstanceId, InstanceState};

use crate::{
    api::{Life, Machine},
    exhausted::LEFT_ALONE,
    launched::{Launched, UNSEEN},
};

/// How long several of one generation are left alone by those who were given none of them.
const STRANGE: Duration = Duration::from_secs(2 * 60);
/// The code of an instance that was given and then taken back.
const TAKEN_BACK: &str = "Server.InsufficientInstanceCapacity";

/// What there is, and what is to be done about it.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Census {
    pub(crate) instances: Vec<Instance>,
    /// Instances to be ended, and why.
    pub(crate) end: Vec<(String, &'static str)>,
    /// Tokens of launches whose combinations have no room, and for how long from now.
    pub(crate) no_room: Vec<(String, Duration)>,
}

/// Looks at what EC2 shows.
pub(crate) fn census(
    machines: &[Machine],
    launched: &Launched,
    now: Instant,
    time: SystemTime,
) -> Census {
    let mut census = Census::default();
    for machine in machines {
        let is_surplus = is_surplus(machine, machines, launched, time);
        if is_surplus {
            census.end.push((machine.id.clone(), "a second one of its slot and generation"));
        }
        if machine.life == Life::Stopped {
            census.end.push((machine.id.clone(), "stopped, and would keep its disk for ever"));
        }
        let taken_back = machine.code.as_deref() == Some(TAKEN_BACK);
        if let (true, Some(token)) = (taken_back, &machine.token) {
            // Counted from the launch, so that the word grows old however often it is read.
            let left = LEFT_ALONE.saturating_sub(age(machine, time));
            census.no_room.push((token.clone(), left));
        }
        let known = launched.iter().find(|(_, given)| given.id == machine.id);
        let is_ended = known.is_some_and(|(_, given)| given.is_ended);
        census.instances.push(Instance {
            id: InstanceId(machine.id.clone()),
            slot: machine.slot.or_else(|| known.map(|(slot, _)| slot)),
            // It was told to end, and EC2 may not show it yet.
            state: if is_surplus || is_ended {
                machine.state().max(InstanceState::Ending)
            } else {
                machine.state()
            },
            reason: machine.reason.clone().or_else(|| machine.code.clone()),
        });
    }
    let is_shown = |id: &str| machines.iter().any(|machine| machine.id == id);
    for (slot, given) in launched.iter().filter(|(_, given)| !is_shown(&given.id)) {
        if now.saturating_duration_since(given.at) >= UNSEEN {
            continue;
        }
        let state = if given.is_ended { InstanceState::Ending } else { InstanceState::Live };
        let id = InstanceId(given.id.clone());
        census.instances.push(Instance { id, slot: Some(slot), state, reason: None });
    }
    census
}

/// Which instance is the one of its slot and generation, of those that are shown: a live one if there is one.
pub(crate) fn keeper(machines: &[Machine], slot: (u32, u32)) -> Option<&Machine> {
    let ours = machines.iter().filter(|machine| machine.slot == Some(slot));
    ours.min_by_key(|it| (it.life != Life::Live, it.launched, &it.id))
}

fn is_surplus(
    machine: &Machine,
    machines: &[Machine],
    launched: &Launched,
    time: SystemTime,
) -> bool {
    let (Life::Live, Some(slot)) = (machine.life, machine.slot) else { return false };
    match launched.of(slot) {
        Some(given) if !given.is_ended => given.id != machine.id,
        // What we were given has ended: another manager may have been given this one since.
        _ => {
            let is_keeper = keeper(machines, slot).is_some_and(|keeper| keeper.id == machine.id);
            !is_keeper && age(machine, time) >= STRANGE
        }
    }
}

fn age(machine: &Machine, time: SystemTime) -> Duration {
    let since = machine.launched.and_then(|launched| time.duration_since(launched).ok());
    since.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant, SystemTime};

    use mrpf_ports::InstanceState;

    use super::{Census, STRANGE, TAKEN_BACK, census, keeper};
    use crate::{
        api::{Life, Machine},
        exhausted::LEFT_ALONE,
        launched::{Given, Launched, UNSEEN},
    };

    const MINUTE: Duration = Duration::from_secs(60);

    struct World {
        time: SystemTime,
        now: Instant,
        launched: Launched,
    }

    impl World {
        fn new() -> Self {
            Self { time: SystemTime::now(), now: Instant::now(), launched: Launched::default() }
        }

        fn machine(&self, id: &str, slot: (u32, u32), life: Life, age: Duration) -> Machine {
            Machine {
                id: id.to_owned(),
                slot: Some(slot),
                life,
                code: None,
                reason: None,
                token: Some(format!("token of {id}")),
                launched: Some(self.time - age),
            }
        }

        fn given(mut self, id: &str, slot: (u32, u32), age: Duration) -> Self {
            let given = Given { id: id.to_owned(), at: self.now - age, is_ended: false };
            self.launched.note(slot, given);
            self
        }

        fn census(&self, machines: &[Machine]) -> Census {
            census(machines, &self.launched, self.now, self.time)
        }
    }

    type Listed<'a> = (&'a str, Option<(u32, u32)>, InstanceState);

    fn states(census: &Census) -> Vec<Listed<'_>> {
        census.instances.iter().map(|it| (it.id.0.as_str(), it.slot, it.state)).collect()
    }

    #[test]
    fn what_is_shown_is_listed_and_nothing_is_done() {
        let world = World::new();
        let machines = [
            world.machine("i-1", (1, 1), Life::Live, MINUTE),
            world.machine("i-2", (2, 7), Life::Gone, MINUTE),
            // The next generation of a slot is no second one.
            world.machine("i-3", (2, 8), Life::Live, MINUTE),
        ];
        let census = world.census(&machines);
        assert_eq!(
            states(&census),
            [
                ("i-1", Some((1, 1)), InstanceState::Live),
                ("i-2", Some((2, 7)), InstanceState::Gone),
                ("i-3", Some((2, 8)), InstanceState::Live),
            ]
        );
        assert_eq!((census.end, census.no_room), (vec![], vec![]));
    }

    #[test]
    fn what_was_given_a_moment_ago_is_live_before_it_is_shown() {
        let world = World::new().given("i-1", (1, 1), UNSEEN - Duration::from_secs(1));
        let live = ("i-1", Some((1, 1)), InstanceState::Live);
        assert_eq!(states(&world.census(&[])), [live]);
        let shown = world.machine("i-1", (1, 1), Life::Live, MINUTE);
        assert_eq!(states(&world.census(&[shown])), [live]);
        let world = World::new().given("i-1", (1, 1), UNSEEN);
        assert_eq!(states(&world.census(&[])), []);
    }

    #[test]
    fn what_was_ended_is_not_gone_until_it_is_shown() {
        let mut world = World::new().given("i-1", (1, 1), MINUTE);
        world.launched.end("i-1");
        let listed = |state| [("i-1", Some((1, 1)), state)];
        assert_eq!(states(&world.census(&[])), listed(InstanceState::Ending));
        for (life, state) in [
            (Life::Live, InstanceState::Ending),
            (Life::Ending, InstanceState::Ending),
            (Life::Gone, InstanceState::Gone),
        ] {
            let shown = world.machine("i-1", (1, 1), life, MINUTE);
            assert_eq!(states(&world.census(&[shown])), listed(state));
        }
    }

    #[test]
    fn a_stopped_instance_is_ended() {
        let world = World::new();
        let census = world.census(&[world.machine("i-1", (1, 1), Life::Stopped, MINUTE)]);
        assert_eq!(states(&census), [("i-1", Some((1, 1)), InstanceState::Gone)]);
        assert_eq!(census.end.len(), 1);
        assert_eq!(census.end[0].0, "i-1");
    }

    #[test]
    fn of_two_of_a_generation_the_one_given_to_us_stays() {
        let world = World::new().given("i-b", (1, 1), MINUTE);
        let machines = [
            world.machine("i-a", (1, 1), Life::Live, 2 * MINUTE),
            world.machine("i-b", (1, 1), Life::Live, MINUTE),
        ];
        let census = world.census(&machines);
        assert_eq!(census.end.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["i-a"]);
        assert_eq!(
            states(&census),
            [
                ("i-a", Some((1, 1)), InstanceState::Ending),
                ("i-b", Some((1, 1)), InstanceState::Live),
            ]
        );
    }

    #[test]
    fn of_two_strangers_the_older_stays_and_after_a_while_only() {
        let world = World::new();
        let pair = |age: Duration| {
            [
                world.machine("i-b", (1, 1), Life::Live, age),
                world.machine("i-a", (1, 1), Life::Live, age + MINUTE),
                // One that is over counts for nothing.
                world.machine("i-c", (1, 1), Life::Gone, age + 2 * MINUTE),
            ]
        };
        assert_eq!(world.census(&pair(STRANGE - Duration::from_secs(1))).end, []);
        let census = world.census(&pair(STRANGE));
        assert_eq!(census.end.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["i-b"]);
        assert_eq!(keeper(&pair(STRANGE), (1, 1)).unwrap().id, "i-a");
        assert_eq!(keeper(&pair(STRANGE)[2..], (1, 1)).unwrap().id, "i-c");
        assert_eq!(keeper(&pair(STRANGE), (1, 2)), None);
    }

    #[test]
    fn what_was_taken_back_tells_of_no_room_for_as_long_as_a_refusal_does() {
        let world = World::new();
        let taken_back = |age| Machine {
            code: Some(TAKEN_BACK.to_owned()),
            ..world.machine("i-1", (1, 1), Life::Gone, age)
        };
        let census = world.census(&[taken_back(MINUTE)]);
        assert_eq!(census.no_room, [("token of i-1".to_owned(), LEFT_ALONE - MINUTE)]);
        assert_eq!(census.instances[0].reason.as_deref(), Some(TAKEN_BACK));
        assert_eq!(world.census(&[taken_back(60 * MINUTE)]).no_room[0].1, Duration::ZERO);
        // One that ended as workers do says nothing about room.
        let ended = Machine {
            code: Some("Client.InstanceInitiatedShutdown".to_owned()),
            ..taken_back(MINUTE)
        };
        assert_eq!(world.census(&[ended]).no_room, []);
    }

    #[test]
    fn a_machine_without_our_numbers_is_listed_and_left_alone() {
        let world = World::new();
        let strange =
            Machine { slot: None, ..world.machine("i-1", (1, 1), Life::Live, 60 * MINUTE) };
        let census = world.census(&[strange.clone(), strange]);
        assert_eq!(census.instances[0].slot, None);
        assert_eq!(census.end, []);
    }
}
