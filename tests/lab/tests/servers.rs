//! Programs of a test in the world: there when they listen, gone when they are dropped, and heard when they do not come up.

use std::process::Command;

use mrpf_lab::{
    Lab, LabError, Server, Servers,
    gate::{self, Need},
};

use crate::{SHORT, connect, host};

/// `sh -c script`, which should listen on `port`.
fn sh(script: &str, port: u16) -> Server {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    Server { command, ports: vec![port] }
}

#[test]
fn a_program_that_does_not_come_up_is_heard() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let lab = Lab::builder().start().unwrap();
    let servers = vec![sh("echo no key to serve with >&2; exit 1", 4433)];
    match Servers::start(lab.world(), servers) {
        Err(LabError::Server { program, why }) => {
            assert_eq!((&*program, &*why), ("sh", "no key to serve with"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_program_serves_the_world_until_it_is_dropped() {
    if !gate::permits(&[Need::Netns, Need::Openssl]) {
        return;
    }
    let lab = Lab::builder().start().unwrap();
    let mut command = Command::new("openssl");
    command.args(["s_server", "-4", "-quiet", "-www", "-nocert", "-accept", "4433"]);
    let servers = Servers::start(lab.world(), vec![Server { command, ports: vec![4433] }]);
    connect(host(7, 7), 4433, SHORT).unwrap();
    drop(servers.unwrap());
    assert!(connect(host(7, 7), 4433, SHORT).is_err());
}
