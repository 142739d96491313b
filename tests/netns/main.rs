//! Scans over real links, in network namespaces without a way out: the library in this process, the command as its own.
//!
//! ```text
//! exact.rs     every host found once, and our counters agree with the kernel's
//! states.rs    each kind of host is what it is
//! routing.rs   every target goes where the kernel would send it, and neighbours are found
//! hostile.rs   frames that nobody should send, in mid-scan
//! backpressure.rs  a reader that pauses loses nothing and costs no memory
//! silence.rs   the kernel of the scanner says nothing, and nothing is left behind
//! command.rs   flags, files, pipes, signals and exit codes of `mrpf syn`
//! resume.rs    scans that are killed or interrupted, and go on
//! killed.rs    such a scan
//! live.rs      live frames at real servers, and what is lost of them
//! tls.rs       certificates of nginx and of a faster far end, and `mrpf tls`
//! dns.rs       names over links that lose, at servers that fail and truncate
//! dns/servers.rs  what knot, nsd and unbound say
//! dns_command.rs  `mrpf dns`: names, networks and sweeps, of servers of the lab, Knot and Unbound
//! jarm.rs      JARM of servers that nobody here wrote, beside kernel sockets
//! tls/matrix.rs  servers that nobody here wrote, each as it can be set up, and whether every field is right
//! platform.rs  `mrpf up` and the commands on its folder
//! demo.rs      `mrpf demo` and `mrpf lab`, as root and as an ordinary user
//! xdp.rs       whom the XDP link disturbs, what it leaves behind and who may not have it
//! world.rs     what they share
//! ```
//!
//! Each test makes a lab of its own and is skipped aloud where the machine does not permit one: see [`mrpf_lab::gate`].

#![forbid(unsafe_code)]

mod backpressure;
mod command;
mod demo;
mod dns;
mod dns_command;
mod exact;
mod hostile;
mod jarm;
mod killed;
mod live;
mod platform;
mod resume;
mod routing;
mod silence;
mod states;
mod tls;
mod world;
mod xdp;
