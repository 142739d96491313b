//! A frame now and then from the world to the scanner, as any real network has them.
//!
//! masscan takes answers by libpcap, which on an otherwise silent interface never comes back from the kernel: it would not
//! notice that its time is over. So that it ends, ten frames a second arrive while any of the tools runs. They are UDP to a
//! port that is bound and never read, so the scanner's kernel answers none of them.

use std::{
    net::UdpSocket,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use mrpf_lab::{Lab, veth};

use crate::Failure;

const PERIOD: Duration = Duration::from_millis(100);

/// Ticks until it is dropped.
pub(crate) struct Tick {
    _heard: UdpSocket,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Tick {
    /// Starts. For the thread that started the lab.
    pub(crate) fn start(lab: &Lab) -> Result<Self, Failure> {
        let heard = UdpSocket::bind((veth::SCANNER.addr, 0))?;
        let to = heard.local_addr()?;
        let from = lab.world().run(|| UdpSocket::bind((veth::WORLD.addr, 0)))??;
        let (stop, stopped) = channel();
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                // One that is lost is no harm.
                let _ = from.send_to(&[0], to);
            }
        });
        Ok(Self { _heard: heard, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Tick {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
