//! Network namespaces by guard, and root without being root.
//!
//! A namespace belongs to threads: [`Namespace::unshare`] moves the calling thread into a new one, and the guard it gives
//! back moves it home. A namespace without a name ends with the last thread, file or socket inside, so a process that is
//! killed leaves none behind (network_namespaces(7)).

use std::{
    fs::{self, File},
    io,
    marker::PhantomData,
    os::unix::fs::MetadataExt,
    thread,
};

use nix::{
    errno::Errno,
    sched::{CloneFlags, setns, unshare},
    unistd::{getgid, getuid},
};

use crate::{LabError, error::asking};

/// A network namespace, held open.
#[derive(Debug)]
pub struct Namespace {
    file: File,
}

impl Namespace {
    /// The namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// [`LabError::System`] without a /proc.
    pub fn current() -> Result<Self, LabError> {
        // Not /proc/self: that is the first thread of the process, wherever the others are.
        const PATH: &str = "/proc/thread-self/ns/net";
        File::open(PATH).map(|file| Self { file }).map_err(asking(format!("opening {PATH}")))
    }

    /// Moves the calling thread into a new namespace: lo alone, and that down. Threads that it starts from then on are
    /// inside too.
    ///
    /// # Errors
    ///
    /// [`LabError::NeedsRoot`] without CAP_SYS_ADMIN: see [`gain_privileges`].
    pub fn unshare() -> Result<Inside, LabError> {
        let home = Self::current()?;
        unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| match errno {
            Errno::EPERM => LabError::NeedsRoot { what: "a network namespace" },
            errno => asking("making a network namespace")(errno),
        })?;
        Ok(Inside { home, _thread_bound: PhantomData })
    }

    /// Moves the calling thread into this namespace.
    ///
    /// # Errors
    ///
    /// [`LabError::System`] without CAP_SYS_ADMIN over it.
    pub fn enter(&self) -> Result<Inside, LabError> {
        let home = Self::current()?;
        setns(&self.file, CloneFlags::CLONE_NEWNET)
            .map_err(asking("entering a network namespace"))?;
        Ok(Inside { home, _thread_bound: PhantomData })
    }

    /// Runs `f` in this namespace, on a thread of its own that ends with it.
    ///
    /// # Errors
    ///
    /// As [`enter`](Self::enter).
    ///
    /// # Panics
    ///
    /// When `f` does.
    pub fn run<R: Send>(&self, f: impl FnOnce() -> R + Send) -> Result<R, LabError> {
        let inside = || {
            let _inside = self.enter()?;
            Ok(f())
        };
        thread::scope(|scope| {
            scope.spawn(inside).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Its number in /proc/PID/ns/net: two namespaces that exist at one time never share it.
    ///
    /// # Errors
    ///
    /// [`LabError::System`] when the system does not say.
    pub fn inode(&self) -> Result<u64, LabError> {
        let facts = self.file.metadata().map_err(asking("looking at a network namespace"))?;
        Ok(facts.ino())
    }

    /// The same namespace, held open by itself.
    ///
    /// # Errors
    ///
    /// [`LabError::System`] when no file is left.
    pub fn try_clone(&self) -> Result<Self, LabError> {
        let file = self.file.try_clone().map_err(asking("holding a network namespace open"))?;
        Ok(Self { file })
    }

    /// The open file, for a netlink message that names the namespace.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

/// The calling thread is inside a namespace until this is dropped. Bound to its thread.
#[derive(Debug)]
pub struct Inside {
    home: Namespace,
    _thread_bound: PhantomData<*const ()>,
}

impl Drop for Inside {
    fn drop(&mut self) {
        // A thread that may not go home stays inside, where no packet of it reaches anyone: the safe side to fail on.
        let _ = setns(&self.home.file, CloneFlags::CLONE_NEWNET);
    }
}

/// How this process came by the right to make namespaces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Privileges {
    /// It had it.
    Had,
    /// It is root in a user namespace of its own since just now.
    UserNamespace,
}

/// Makes sure that this process may make network namespaces: as it is, or as root of a user namespace of its own, in which
/// it also has a network namespace of its own. For early in `main`, before the first thread.
///
/// # Errors
///
/// [`LabError::UserNamespace`] when the machine forbids it, with the setting that does; [`LabError::Threads`] when there
/// are threads.
pub fn gain_privileges() -> Result<Privileges, LabError> {
    if may_make_namespaces() {
        return Ok(Privileges::Had);
    }
    become_root_in_user_namespace()?;
    Ok(Privileges::UserNamespace)
}

/// Makes this process root of a new user namespace with a new network namespace: user_namespaces(7). Files and processes
/// of others stay as closed to it as they were.
///
/// # Errors
///
/// As [`gain_privileges`].
pub fn become_root_in_user_namespace() -> Result<(), LabError> {
    let (uid, gid) = (getuid(), getgid());
    if let Some((why, or)) = user_namespaces_forbidden() {
        return Err(LabError::UserNamespace { why, or });
    }
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).map_err(|errno| match errno {
        // The kernel's word for "there are threads", unshare(2).
        Errno::EINVAL => LabError::Threads,
        errno => refused(&format!("unshare: {errno}")),
    })?;
    // A group may be mapped without privilege only after setgroups was given up.
    let map = |file: &str, line: String| {
        fs::write(file, line).map_err(|error| refused(&format!("writing {file}: {error}")))
    };
    map("/proc/self/setgroups", "deny".to_owned())?;
    map("/proc/self/uid_map", format!("0 {uid} 1"))?;
    map("/proc/self/gid_map", format!("0 {gid} 1"))?;
    if may_make_namespaces() {
        return Ok(());
    }
    Err(refused("a security module takes the capabilities of the new user namespace away"))
}

/// The setting of this machine that keeps ordinary users from making user namespaces, and what else helps.
pub(crate) fn user_namespaces_forbidden() -> Option<(String, &'static str)> {
    let is =
        |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        let or = ", or allow it: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0";
        return Some(("Ubuntu's AppArmor restricts unprivileged user namespaces".to_owned(), or));
    }
    if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        let or = ", or allow it: sudo sysctl kernel.unprivileged_userns_clone=1";
        return Some(("kernel.unprivileged_userns_clone is 0".to_owned(), or));
    }
    if is("/proc/sys/user/max_user_namespaces", "0") {
        let or = ", or allow it: sudo sysctl user.max_user_namespaces=1000";
        return Some(("user.max_user_namespaces is 0".to_owned(), or));
    }
    None
}

/// Whether this thread has the capabilities that a lab takes: CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_ADMIN.
pub(crate) fn may_make_namespaces() -> bool {
    const NEEDED: u64 = 1 << 12 | 1 << 13 | 1 << 21;
    effective_capabilities().is_ok_and(|held| held & NEEDED == NEEDED)
}

/// The effective capabilities of the calling thread, a bit each: capabilities(7).
pub(crate) fn effective_capabilities() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/thread-self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "no CapEff in /proc/thread-self/status")
    })
}

fn refused(why: &str) -> LabError {
    LabError::UserNamespace { why: why.to_owned(), or: "" }
}
