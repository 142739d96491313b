//! The CPUs that a thread may run on, and the one that it is on.

#![expect(unsafe_code, reason = "sched_getaffinity(2), sched_setaffinity(2) and CPU_SET(3)")]

use std::{io, mem};

use super::syscall;

/// CPUs that a thread may run on.
#[derive(Clone, Copy)]
pub(crate) struct Cpus(libc::cpu_set_t);

impl Cpus {
    /// Those of the calling thread. Of kind `InvalidInput` on a machine with more of them than glibc's set has room for.
    pub(crate) fn allowed() -> io::Result<Self> {
        let mut set = Self::none();
        // SAFETY: the kernel writes no more than the size it is told, into a set that is whole and ours.
        unsafe { syscall!(sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set.0)) }?;
        Ok(set)
    }

    /// That of this number alone; `None` when a set has no room for it.
    pub(crate) fn one(cpu: usize) -> Option<Self> {
        if cpu >= libc::CPU_SETSIZE as usize {
            return None;
        }
        let mut set = Self::none();
        // SAFETY: the set has a bit of this number.
        unsafe { libc::CPU_SET(cpu, &mut set.0) };
        Some(set)
    }

    /// Their numbers, in order.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = usize> + Clone {
        // SAFETY: the set has a bit of each of these numbers.
        (0..libc::CPU_SETSIZE as usize).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &self.0) })
    }

    /// From now on the calling thread runs on these alone: when this returns it is on one of them.
    pub(crate) fn apply(&self) -> io::Result<()> {
        // SAFETY: the kernel reads a set of the size that it is told.
        unsafe { syscall!(sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const self.0)) }?;
        Ok(())
    }

    fn none() -> Self {
        // SAFETY: a set is bits, for which zero is a value.
        Self(unsafe { mem::zeroed() })
    }
}

/// The CPU that the calling thread is on, which may be another a moment later.
pub(crate) fn current() -> io::Result<usize> {
    // SAFETY: takes nothing and writes nothing of ours.
    let cpu = unsafe { syscall!(sched_getcpu()) }?;
    Ok(cpu as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stays_where_it_is_told_to() {
        let before = Cpus::allowed().unwrap();
        for cpu in before.numbers() {
            Cpus::one(cpu).unwrap().apply().unwrap();
            assert_eq!(current().unwrap(), cpu);
            assert_eq!(Cpus::allowed().unwrap().numbers().collect::<Vec<_>>(), [cpu]);
        }
        before.apply().unwrap();
        assert!(Cpus::allowed().unwrap().numbers().eq(before.numbers()));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(Cpus::one(libc::CPU_SETSIZE as usize).is_none());
        assert!(Cpus::none().apply().is_err(), "no CPU at all");
    }
}
