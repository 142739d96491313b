//! Looks whether EC2 wants the machine back. A spot instance is told two minutes ahead; any other never is.

use std::{io, thread, time::Duration};

use mrpf_ports::clock::Wake;

use crate::imds::Imds;

/// How often to look, as EC2 recommends.
const LOOK: Duration = Duration::from_secs(5);

/// From now on a notice sets `stop`, from a thread that ends with it.
pub(crate) fn watch(imds: Imds, stop: Wake) -> io::Result<()> {
    let watch = move || {
        let mut is_known = false;
        while !stop.is_set() {
            match imds.spot_notice() {
                Ok(Some(notice)) => {
                    let (action, time) = (notice.action, notice.time);
                    tracing::warn!(
                        action,
                        time,
                        "EC2 takes this machine back: the worker lets go of what it has"
                    );
                    stop.set();
                }
                Ok(None) => is_known = false,
                // Whatever it is, it does not keep the worker from its work. It is said once while it lasts.
                Err(error) => {
                    if !is_known {
                        tracing::warn!(%error, "whether EC2 wants this machine back is not known for now");
                    }
                    is_known = true;
                }
            }
            stop.wait(LOOK);
        }
    };
    thread::Builder::new().name("spot".to_owned()).spawn(watch).map(drop)
}
