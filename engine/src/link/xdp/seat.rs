//! The CPU that a call which sends over a veth pair stays on.
//!
//! What the far end does with a frame, and what comes back, is all worked on by the CPU that sent it (NAPI;
//! linux/Documentation/networking/napi.rst). When the scheduler moves the call, that work stays behind for as long as any is
//! left: one CPU then fills the queue that another empties, it runs over, and frames are lost. A device of its own empties its
//! queue whoever fills it, so there no call has a seat.
//!
//! A call takes the CPU that its thread is on when it begins, and gives it back when for 30 ms there was nothing to send.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::link::sys::cpu::{self, Cpus};

/// The CPUs that calls of this process stay on. Two that send on one would send half as much.
static TAKEN: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// While there is one the calling thread stays on one CPU.
pub(super) struct Seat {
    cpu: usize,
    before: Cpus,
}

impl Seat {
    /// The CPU that the calling thread is on, or the first that has no call of ours where this one has.
    pub(super) fn take() -> io::Result<Self> {
        let before = Cpus::allowed()?;
        let mut taken = taken();
        let cpu = choose(cpu::current()?, before.numbers(), &taken);
        Cpus::one(cpu).ok_or(io::ErrorKind::InvalidInput)?.apply()?;
        taken.push(cpu);
        Ok(Self { cpu, before })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = taken();
        if let Some(place) = taken.iter().position(|cpu| *cpu == self.cpu) {
            taken.swap_remove(place);
        }
        // It fails where those CPUs were taken from the process meanwhile: then the thread stays where it is.
        let _ = self.before.apply();
    }
}

fn taken() -> MutexGuard<'static, Vec<usize>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn choose(here: usize, mut allowed: impl Iterator<Item = usize>, taken: &[usize]) -> usize {
    if taken.contains(&here) {
        allowed.find(|cpu| !taken.contains(cpu)).unwrap_or(here)
    } else {
        here
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_share_a_cpu_only_when_each_has_one() {
        assert_eq!(choose(1, 0..4, &[]), 1);
        assert_eq!(choose(1, 0..4, &[0]), 1);
        assert_eq!(choose(1, 0..4, &[1]), 0);
        assert_eq!(choose(1, 0..4, &[1, 0, 2]), 3);
        assert_eq!(choose(1, 0..4, &[1, 0, 2, 3]), 1);
        assert_eq!(choose(5, [5, 7].into_iter(), &[5]), 7);
    }

    #[test]
    fn a_seat_is_given_back() {
        let before: Vec<_> = Cpus::allowed().unwrap().numbers().collect();
        let seat = Seat::take().unwrap();
        assert_eq!(Cpus::allowed().unwrap().numbers().collect::<Vec<_>>(), [seat.cpu]);
        assert_eq!(*taken(), [seat.cpu], "no other test has one");
        drop(seat);
        assert!(taken().is_empty());
        assert!(Cpus::allowed().unwrap().numbers().eq(before));
    }
}
