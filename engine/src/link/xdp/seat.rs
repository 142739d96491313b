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
    /// The CPU that the calling thread is on, or where its queue is taken the first whose queue no call of ours has. A veth gives a
    /// frame to the far end's queue whose number is the CPU's, modulo their number (veth_select_rxq, linux/drivers/net/veth.c): of
    /// so many `queues`, as this end has to send by; more at the far end may be shared all the same.
    pub(super) fn take(queues: usize) -> io::Result<Self> {
        let before = Cpus::allowed()?;
        let mut taken = taken();
        let cpu = choose(cpu::current()?, before.numbers(), &taken, queues.max(1));
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

fn choose(
    here: usize,
    allowed: impl Iterator<Item = usize> + Clone,
    taken: &[usize],
    queues: usize,
) -> usize {
    let has_queue = |cpu: &usize| taken.iter().all(|taken| taken % queues != cpu % queues);
    let is_free = |cpu: &usize| !taken.contains(cpu);
    let first = |is_right: &dyn Fn(&usize) -> bool| {
        Some(here).filter(is_right).or_else(|| allowed.clone().find(is_right))
    };
    first(&has_queue).or_else(|| first(&is_free)).unwrap_or(here)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::xdp::tx::tests::alone;

    #[test]
    fn calls_share_a_cpu_only_when_each_has_one() {
        for queues in [1, 4] {
            assert_eq!(choose(1, 0..4, &[], queues), 1);
            assert_eq!(choose(1, 0..4, &[0], queues), 1);
            assert_eq!(choose(1, 0..4, &[1], queues), 0);
            assert_eq!(choose(1, 0..4, &[1, 0, 2], queues), 3);
            assert_eq!(choose(1, 0..4, &[1, 0, 2, 3], queues), 1);
            assert_eq!(choose(5, [5, 7].into_iter(), &[5], queues), 7);
        }
    }

    #[test]
    fn calls_share_a_queue_only_when_each_has_one() {
        assert_eq!(choose(2, 0..8, &[0], 2), 1);
        assert_eq!(choose(2, 0..8, &[0, 3], 2), 2, "both are taken, and this CPU is not");
        assert_eq!(choose(4, 0..8, &[1, 0], 4), 2);
        assert_eq!(choose(4, (0..8).step_by(4), &[0], 4), 4);
    }

    #[test]
    fn a_seat_is_given_back() {
        let _alone = alone();
        let before: Vec<_> = Cpus::allowed().unwrap().numbers().collect();
        let seat = Seat::take(2).unwrap();
        assert_eq!(Cpus::allowed().unwrap().numbers().collect::<Vec<_>>(), [seat.cpu]);
        assert_eq!(*taken(), [seat.cpu], "no other test has one");
        drop(seat);
        assert!(taken().is_empty());
        assert!(Cpus::allowed().unwrap().numbers().eq(before));
    }
}
