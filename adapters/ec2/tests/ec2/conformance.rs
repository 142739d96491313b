//! The suite of the port, unchanged, on the SDK and the strict server.

use mrpf_ec2::Ec2Fleet;
use mrpf_ports::{Fleet, InstanceId, conformance, fleet_conformance};

use crate::region::Region;

struct Bench {
    region: Region,
    fleet: Ec2Fleet,
}

fn make() -> Bench {
    let region = Region::new();
    let fleet = region.fleet();
    Bench { region, fleet }
}

impl conformance::fleet::Bench for Bench {
    fn fleet(&self) -> &dyn Fleet {
        &self.fleet
    }

    fn lose(&self, id: &InstanceId) {
        self.region.cloud.ec2().shut_down(&id.0);
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.region.cloud.misuses().len(), 0, "{:?}", self.region.cloud.misuses());
        }
    }
}

fleet_conformance!(make);
