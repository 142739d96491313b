//! What the kernel lets the calling thread do: capget(2).

#![expect(unsafe_code, reason = "capget(2), which the C library has no function for")]

use std::{ffi::c_long, io};

use super::syscall;

/// `_LINUX_CAPABILITY_VERSION_3`: two words of 32 capabilities a set.
const VERSION: u32 = 0x2008_0522;

/// `struct __user_cap_header_struct`.
#[repr(C)]
struct Header {
    version: u32,
    /// The thread; 0 is the one that asks.
    pid: i32,
}

/// `struct __user_cap_data_struct`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Word {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The effective capabilities of the calling thread: bit `n` is the capability with number `n` (capabilities(7)).
pub(crate) fn effective() -> io::Result<u64> {
    let [low, high] = get()?;
    Ok(u64::from(high.effective) << 32 | u64::from(low.effective))
}

fn get() -> io::Result<[Word; 2]> {
    let mut header = Header { version: VERSION, pid: 0 };
    let mut words = [Word::default(); 2];
    // SAFETY: the kernel reads and writes the header, and writes the two words that its version 3 has; both live longer
    // than the call.
    unsafe { syscall!(syscall(libc::SYS_capget as c_long, &raw mut header, words.as_mut_ptr())) }?;
    Ok(words)
}

/// Leaves the calling thread, and it alone, only those effective capabilities that `keep` has a bit for.
#[cfg(test)]
pub(crate) fn keep(keep: u64) -> io::Result<()> {
    let mut words = get()?;
    words[0].effective &= keep as u32;
    words[1].effective &= (keep >> 32) as u32;
    let mut header = Header { version: VERSION, pid: 0 };
    // SAFETY: as in `get`; the kernel only reads the words. It takes rights away from the calling thread alone.
    unsafe { syscall!(syscall(libc::SYS_capset as c_long, &raw mut header, words.as_ptr())) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, thread};

    use super::*;

    /// What /proc says of the thread, in another way than capget.
    fn told() -> u64 {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    }

    #[test]
    fn they_are_those_of_the_thread() {
        let before = effective().unwrap();
        assert_eq!(before, told());
        thread::spawn(|| {
            keep(1 << 5 | 1 << 39).unwrap();
            assert_eq!(effective().unwrap(), told());
            assert_eq!(told() & !(1 << 5 | 1 << 39), 0);
        })
        .join()
        .unwrap();
        assert_eq!(effective().unwrap(), before, "another thread has its own");
    }
}
