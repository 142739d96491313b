//! The machines: the only file that names EC2's adapter, whose SDK takes minutes to compile.

use std::sync::Arc;

use mrpf_aws::Aws;
use mrpf_ec2::{Ec2Fleet, Settings};
use mrpf_ports::Fleet;

use crate::finding::{Finding, Findings};

/// Opens the fleet, and looks at everything that a launch needs. Nothing is launched.
pub(crate) fn open(
    aws: &Aws,
    settings: &mrpf_environment::Fleet,
    platform: String,
    findings: &mut Findings,
) -> Option<Arc<dyn Fleet>> {
    let mrpf_environment::Fleet { subnets, launch_template, .. } = settings;
    let settings =
        Settings { template: launch_template.clone(), subnets: subnets.clone(), platform };
    let about = |_: &Ec2Fleet| format!("EC2: launch template {launch_template}");
    let fleet = findings.note(Ec2Fleet::open(aws, settings), about)?;
    findings.extend(fleet.check().into_iter().map(|finding| match finding {
        mrpf_ec2::Finding::Wrong(text) => Finding::Wrong(format!("EC2: {text}")),
        mrpf_ec2::Finding::Note(text) => Finding::Note(format!("EC2: {text}")),
    }));
    Some(Arc::new(fleet))
}
