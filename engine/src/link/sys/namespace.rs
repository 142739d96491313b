//! A network namespace for a test, with the devices that it needs. It has no way out.

#![expect(unsafe_code, reason = "unshare(2), and ioctl(2) with a structure that names a device")]

use std::{
    fs::File,
    io::{self, Read},
    os::fd::AsRawFd,
    process::Command,
    thread,
};

use super::syscall;

/// Runs `test` in a network namespace that ends with its thread, where the system lets us have one; says so where not.
pub(crate) fn run(test: impl FnOnce() + Send) {
    let inside = || {
        // SAFETY: moves the calling thread alone into another network namespace; no memory is involved.
        match unsafe { syscall!(unshare(libc::CLONE_NEWNET)) } {
            Ok(_) => test(),
            Err(error) => println!("\nSKIPPED: this test needs a network namespace: {error}"),
        }
    };
    thread::scope(|scope| {
        scope.spawn(inside).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// ip(8) with these arguments, in the namespace of the calling thread.
#[track_caller]
pub(crate) fn ip(args: &str) {
    let status = Command::new("ip").args(args.split(' ')).status();
    assert!(status.expect("ip of iproute2").success(), "ip {args}");
}

/// A tun device and what is sent to it (linux/Documentation/networking/tuntap.rst).
#[derive(Debug)]
pub(crate) struct Tun(File);

impl Tun {
    /// Makes the device `name` in the namespace of the calling thread, and switches it on.
    pub(crate) fn make(name: &str) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open("/dev/net/tun")?;
        let mut ifr_name = [0; libc::IFNAMSIZ];
        for (octet, to) in name.bytes().zip(&mut ifr_name) {
            *to = octet as libc::c_char;
        }
        let ifr_ifru = libc::__c_anonymous_ifr_ifru { ifru_flags: libc::IFF_TUN as libc::c_short };
        let mut request = libc::ifreq { ifr_name, ifr_ifru };
        // SAFETY: the kernel reads and writes the whole ifreq, which lives longer than the call.
        unsafe { syscall!(ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request))? };
        ip(&format!("link set {name} up"));
        Ok(Self(file))
    }

    /// Waits for the next packet that is sent to the device: the EtherType that its sender gave it, and its octets.
    pub(crate) fn next(&mut self) -> io::Result<(u16, Vec<u8>)> {
        let mut bytes = vec![0; 4 + (64 << 10)];
        let len = self.0.read(&mut bytes)?;
        bytes.truncate(len);
        // Before each packet stands a tun_pi: two octets of flags and the EtherType.
        let packet = bytes.split_off(4);
        Ok((u16::from_be_bytes([bytes[2], bytes[3]]), packet))
    }
}
