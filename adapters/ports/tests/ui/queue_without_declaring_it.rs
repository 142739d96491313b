use mrpf_ports::{Cx, Finished, Runs};
use mrpf_tasks::{TaskError, task};

task! {
    /// Uses what it does not declare.
    pub struct Careless;
    requires: [TaskDataAccess, ReconDataAccess, RawSocketAccess];
    input: serde_json::Value;
    output: u64;
}

struct Runner;

impl Runs<Careless> for Runner {
    fn run(&self, cx: &Cx<'_, Careless>, _: serde_json::Value) -> Result<Finished, TaskError> {
        cx.queue();
        Ok(Finished::default())
    }
}

fn main() {}
